/* SPDX-License-Identifier: MIT
 * Swap: renames, in an order in which no crash mixes two stores. */
#include "ops/swap.h"
#include "base/error.h"
#include "store/file.h"
#include "store/lock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATH_MOST 512

static bus_status move_file(const char *from, const char *to, const char *suffix, bus_error *err)
{
    char a[PATH_MOST + 8], b[PATH_MOST + 8];
    snprintf(a, sizeof a, "%s%s", from, suffix);
    snprintf(b, sizeof b, "%s%s", to, suffix);
    if (rename(a, b) == 0 || (errno == ENOENT && *suffix))
        return BUS_OK;
    return bus_fail(err, BUS_IO, "%s cannot be moved to %s: %s%s", a, b, strerror(errno),
                    errno == EXDEV ? "; build it on the same file system (--into)" : "");
}

/* The database leaves first and comes last: whenever it stands at its place, its own WAL does too. The -shm file is an index
 * of the WAL that SQLite makes anew. */
static bus_status move_store(const char *from, const char *to, bool leaving, bus_error *err)
{
    char shm[PATH_MOST + 8];
    bus_status status = leaving ? move_file(from, to, "", err) : BUS_OK;
    if (status == BUS_OK)
        status = move_file(from, to, "-wal", err);
    if (status == BUS_OK && !leaving)
        status = move_file(from, to, "", err);
    snprintf(shm, sizeof shm, "%s-shm", from);
    if (status == BUS_OK)
        unlink(shm);
    return status;
}

bus_status bus_store_swap(const char *fresh, const char *target, long long now_ms, char *kept, bus_error *err)
{
    char base[PATH_MOST], aside[PATH_MOST] = "";
    size_t len = strlen(target);
    bus_lock *lock = NULL;

    if (len < 4 || len > PATH_MOST - 40 || strlen(fresh) > PATH_MOST - 8 || strcmp(target + len - 3, ".db") != 0)
        return bus_fail(err, BUS_INVALID, "%.200s: a store's path ends with .db and has at most %d bytes", target, PATH_MOST - 40);
    if (access(fresh, F_OK) != 0)
        return bus_fail(err, BUS_MISSING, "%s: no rebuilt store there", fresh);
    snprintf(base, sizeof base, "%.*s", (int)(len - 3), target);
    bus_status status = bus_lock_take(base, &lock, NULL, err);
    if (status != BUS_OK)
        return status;
    if (access(target, F_OK) == 0) {
        snprintf(aside, sizeof aside, "%s.replaced-%lld", target, now_ms);
        status = move_store(target, aside, true, err);
    }
    if (status == BUS_OK)
        status = move_store(fresh, target, false, err);
    if (status == BUS_OK)
        status = bus_file_sync_name(target, err);
    if (status == BUS_OK)
        memcpy(kept, aside, strlen(aside) + 1);
    bus_lock_free(lock);
    return status;
}
