/* SPDX-License-Identifier: MIT
 * Slot: the process's number among those that share a data directory. */
#include "store/slot.h"
#include "base/error.h"
#include "base/id.h"
#include "store/lock.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct bui_slot {
    bui_lock *lock;
    int number;
    char instance[BUI_INSTANCE_TEXT];
};

static bus_status make_directories(const char *path, bus_error *err)
{
    char part[PATH_MAX];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof part)
        return bui_fail(err, BUS_CONFIG, "data.dir: a path of %zu bytes cannot be used", len);
    memcpy(part, path, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (part[i] != '/' && part[i] != '\0')
            continue;
        char end = part[i];
        part[i] = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST)
            return bui_fail(err, BUS_IO, "cannot create directory %s: %s; give the service a data.dir it may write to", part,
                            strerror(errno));
        part[i] = end;
    }
    if (access(path, R_OK | W_OK | X_OK) != 0)
        return bui_fail(err, BUS_IO,
                        "cannot write in directory %s: %s; give it to the service's user, or set data.dir to another", path,
                        strerror(errno));
    return BUS_OK;
}

/* SQLite takes names of 512 bytes; a store's has its number and up to 40 bytes behind it (-wal, .replaced-<time>). */
#define LONGEST_DIRECTORY 450

/* Others must not be able to replace the service's directory by theirs; if the directory above has the sticky bit they cannot. */
static bus_status check_place(const char *directory, bus_error *err)
{
    char real[PATH_MAX];
    struct stat above;
    if (!realpath(directory, real))
        return bui_fail(err, BUS_IO, "data.dir: cannot find out where %.200s is: %s", directory, strerror(errno));
    if (strlen(real) > LONGEST_DIRECTORY)
        return bui_fail(err, BUS_CONFIG,
                        "data.dir: the directory of the stores has a path of %zu bytes (%.80s...), and SQLite opens no file "
                        "whose name is over 512: choose one of at most %d bytes",
                        strlen(real), real, LONGEST_DIRECTORY);
    char *slash = strrchr(real, '/');
    *(slash == real ? slash + 1 : slash) = 0;
    if (stat(real, &above) == 0 && (above.st_mode & S_IWOTH) && !(above.st_mode & S_ISVTX))
        return bui_fail(err, BUS_REFUSED,
                        "data.dir: every user of this host can write in %.300s, and could replace the stores: "
                        "remove that right (chmod o-w), or choose another directory",
                        real);
    return BUS_OK;
}

static void name_instance(bui_slot *slot, const char *directory, const char *service)
{
    char host[256] = "", real[PATH_MAX];
    if (gethostname(host, sizeof host - 1) != 0)
        strcpy(host, "localhost");
    const char *path = realpath(directory, real) ? real : directory;
    uint64_t hash = bui_hash(path, strlen(path), bui_hash(host, strlen(host), 0));
    snprintf(slot->instance, sizeof slot->instance, "%.63s-%08x-%d", service, (unsigned)(hash ^ hash >> 32), slot->number);
}

bus_status bui_slot_take(const char *directory, const char *service, bui_slot **out, bus_error *err)
{
    bus_status status = make_directories(directory, err);
    if (status == BUS_OK)
        status = check_place(directory, err);
    if (status != BUS_OK)
        return status;
    bui_slot *slot = calloc(1, sizeof *slot);
    if (!slot)
        return bui_fail_nomem(err);
    status = BUS_LOCKED;
    for (int i = 0; i < BUI_SLOTS && status == BUS_LOCKED; i++) {
        char base[PATH_MAX + 32];
        snprintf(base, sizeof base, "%s/slot-%d", directory, i);
        slot->number = i;
        status = bui_lock_take(base, &slot->lock, NULL, err);
    }
    if (status == BUS_LOCKED)
        status = bui_fail(err, BUS_FULL, "%s: all %d process slots are taken; stop a process of %s that is not needed", directory,
                          BUI_SLOTS, service);
    if (status != BUS_OK) {
        free(slot);
        return status;
    }
    name_instance(slot, directory, service);
    *out = slot;
    return BUS_OK;
}

void bui_slot_free(bui_slot *slot)
{
    if (!slot)
        return;
    bui_lock_free(slot->lock);
    free(slot);
}

const char *bui_slot_instance(const bui_slot *slot)
{
    return slot->instance;
}

int bui_slot_number(const bui_slot *slot)
{
    return slot->number;
}
