/* SPDX-License-Identifier: MIT
 * Swap: two databases and their WALs cannot change places in one step, and a WAL beside a database that is not its own destroys it.
 * So the intent is written down first, durably; then the old file leaves, its WAL after it, and the new file, which has none, comes.
 * Each step can be seen from outside, so that the next process that finds the note goes on from there. */
#include "store/swap.h"
#include "base/error.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "store/file.h"
#include "store/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_MOST 512
#define NOTE_MOST (2 * PATH_MOST + 16)

typedef struct swap {
    char fresh[PATH_MOST], target[PATH_MOST], aside[PATH_MOST], note[PATH_MOST + 8];
} swap;

static bool there(const char *path)
{
    return access(path, F_OK) == 0;
}

static bus_status move_file(const char *from, const char *to, const char *suffix, bus_error *err)
{
    char a[PATH_MOST + 8], b[PATH_MOST + 8];
    snprintf(a, sizeof a, "%s%s", from, suffix);
    snprintf(b, sizeof b, "%s%s", to, suffix);
    if (rename(a, b) == 0 || errno == ENOENT)
        return BUS_OK;
    return bui_fail(err, BUS_IO, "%s cannot be moved to %s: %s%s", a, b, strerror(errno),
                    errno == EXDEV ? "; build it on the same file system (--into)" : "");
}

static void remove_file(const char *path, const char *suffix)
{
    char name[PATH_MOST + 8];
    snprintf(name, sizeof name, "%s%s", path, suffix);
    unlink(name);
}

/* Takes the WAL of the new store into its file: it moves alone. */
static bus_status fold(const char *fresh, bus_error *err)
{
    char wal[PATH_MOST + 8];
    sqlite3 *db = NULL;
    int left = -1, done = -1;
    snprintf(wal, sizeof wal, "%s-wal", fresh);
    int rc = sqlite3_open_v2(fresh, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK) /* the WAL is looked at by the first statement only */
        rc = sqlite3_exec(db, "SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, &left, &done);
    bus_status status = rc == SQLITE_OK ? BUS_OK
                                        : bui_fail(err, BUS_STORE, "%s: its WAL cannot be checkpointed: %s", fresh,
                                                   db ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
    if (sqlite3_close(db) != SQLITE_OK && status == BUS_OK)
        status = bui_fail(err, BUS_STORE, "%s is still in use", fresh);
    struct stat file;
    if (status == BUS_OK && stat(wal, &file) == 0 && file.st_size > 0)
        status = bui_fail(err, BUS_STORE, "%s was not checkpointed completely: is %s still in use?", wal, fresh);
    if (status != BUS_OK)
        return status;
    remove_file(fresh, "-wal");
    remove_file(fresh, "-shm");
    return bui_file_sync(fresh, err);
}

/* ---- the note */

static bus_status write_note(const swap *s, bus_error *err)
{
    char text[NOTE_MOST];
    int len = snprintf(text, sizeof text, "%s\n%s\n", s->fresh, s->aside + strlen(s->target)); /* the directory may be moved */
    char made[PATH_MOST + 16];
    snprintf(made, sizeof made, "%s.new", s->note);
    int fd = open(made, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && write(fd, text, (size_t)len) == len && fsync(fd) == 0;
    int e = errno;
    if (fd >= 0)
        close(fd);
    if (!ok || rename(made, s->note) != 0)
        return bui_fail(err, BUS_IO, "%s cannot be written: %s", s->note, strerror(ok ? errno : e));
    return bui_file_sync_name(s->note, err);
}

static bus_status read_note(swap *s, bus_error *err)
{
    char text[NOTE_MOST + 1];
    int fd = open(s->note, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    ssize_t len = fd >= 0 ? read(fd, text, NOTE_MOST) : -1;
    if (fd >= 0)
        close(fd);
    text[len > 0 ? len : 0] = 0;
    char *end = strchr(text, '\n'), *last = end ? strchr(end + 1, '\n') : NULL;
    if (!last || end == text || end - text >= PATH_MOST || last - end - 1 >= 40)
        return bui_fail(err, BUS_CORRUPT,
                        "%s describes a change of stores, and cannot be read: put the store you want at %s, "
                        "with its -wal, "
                        "and delete %s",
                        s->note, s->target, s->note);
    snprintf(s->fresh, sizeof s->fresh, "%.*s", (int)(end - text), text);
    snprintf(s->aside, sizeof s->aside, "%.470s%.*s", s->target, (int)(last - end - 1), end + 1);
    return BUS_OK;
}

static bus_status forget_note(const swap *s, bus_error *err)
{
    BUI_FAILPOINT("swap-come");
    if (unlink(s->note) != 0 && errno != ENOENT)
        return bui_fail(err, BUS_IO, "%s cannot be deleted: %s", s->note, strerror(errno));
    BUI_FAILPOINT("swap-done");
    return bui_file_sync_name(s->note, err);
}

/* A note is read later, maybe from another directory. */
static bool absolute(const char *path, char out[PATH_MOST])
{
    char *full = realpath(path, NULL);
    bool fits = full && strlen(full) < PATH_MOST;
    if (fits)
        memcpy(out, full, strlen(full) + 1);
    else if (full)
        errno = ENAMETOOLONG;
    free(full);
    return fits;
}

/* ---- the renames */

/* The new store is still where it was made: what is at the target is the old one. */
static bus_status go_on(const swap *s, bus_error *err)
{
    bus_status status = BUS_OK;
    if (there(s->aside) && there(s->target))
        return bui_fail(err, BUS_REFUSED, "%s and %s both wait to be replaced by %s: move one of them away", s->target, s->aside,
                        s->fresh);
    if (!there(s->aside))
        status = move_file(s->target, s->aside, "", err);
    BUI_FAILPOINT("swap-left");
    if (status == BUS_OK)
        status = move_file(s->target, s->aside, "-wal", err);
    remove_file(s->target, "-shm"); /* an index of the WAL that SQLite makes again */
    if (status == BUS_OK)
        status = bui_file_sync_name(s->target, err);
    BUI_FAILPOINT("swap-gone");
    if (status == BUS_OK)
        status = move_file(s->fresh, s->target, "", err);
    BUI_FAILPOINT("swap-came");
    if (status == BUS_OK)
        status = bui_file_sync_name(s->target, err);
    return status;
}

/* The new store is gone and had not come: the old one returns. The database comes last, so that its WAL is there before it. */
static bus_status take_back(const swap *s, bus_error *err)
{
    bus_status status = move_file(s->aside, s->target, "-wal", err);
    if (status == BUS_OK)
        status = move_file(s->aside, s->target, "", err);
    return status == BUS_OK ? bui_file_sync_name(s->target, err) : status;
}

static bus_status set_target(swap *s, const char *target, bus_error *err)
{
    size_t len = strlen(target);
    if (len < 4 || len > PATH_MOST - 40 || strcmp(target + len - 3, ".db") != 0)
        return bui_fail(err, BUS_INVALID, "%.200s: a store's path ends with .db and has at most %d bytes", target,
                        PATH_MOST - 40);
    memcpy(s->target, target, len + 1);
    snprintf(s->note, sizeof s->note, "%s.swap", target);
    return BUS_OK;
}

bus_status bui_store_swap_finish(const char *target, bus_error *err)
{
    swap s;
    char note[PATH_MOST + 8];
    if (snprintf(note, sizeof note, "%s.swap", target) >= (int)sizeof note || !there(note))
        return BUS_OK;
    bus_status status = set_target(&s, target, err);
    if (status == BUS_OK)
        status = read_note(&s, err);
    if (status != BUS_OK)
        return status;
    const char *how = "it had been done";
    if (there(s.fresh)) {
        status = go_on(&s, err);
        how = "finished";
    } else if (!there(s.target) && there(s.aside)) {
        status = take_back(&s, err);
        how = "the new one is gone: undone, the old one is back";
    }
    if (status == BUS_OK)
        status = forget_note(&s, err);
    if (status == BUS_OK)
        bui_log(BUS_WARN, "store", "swap_finished", "%s was being replaced by %s when that was interrupted: %s%s%s", target,
                s.fresh, how, there(s.aside) ? "; the old one is " : "", there(s.aside) ? s.aside : "");
    return status;
}

bus_status bui_store_swap_held(const char *fresh, const char *target, long long now_ms, char *kept, bus_error *err)
{
    swap s;
    bus_status status = set_target(&s, target, err);
    if (status == BUS_OK && (strlen(fresh) > PATH_MOST - 8 || strchr(fresh, '\n') || strchr(target, '\n')))
        status = bui_fail(err, BUS_INVALID, "%.200s: the path of a store has at most %d bytes on one line", fresh, PATH_MOST - 8);
    if (status == BUS_OK)
        status = bui_store_swap_finish(target, err);
    if (status != BUS_OK)
        return status;
    if (!absolute(fresh, s.fresh))
        return bui_fail(err, errno == ENOENT ? BUS_MISSING : BUS_IO, "%s: %s", fresh,
                        errno == ENOENT ? "no rebuilt store there" : strerror(errno));
    bool had = there(target);
    snprintf(s.aside, sizeof s.aside, "%s.replaced-%lld", target, now_ms);
    if (there(s.aside))
        return bui_fail(err, BUS_REFUSED, "%s is there already: try again", s.aside);
    status = fold(s.fresh, err);
    if (status == BUS_OK)
        status = write_note(&s, err);
    BUI_FAILPOINT("swap-noted");
    if (status == BUS_OK)
        status = go_on(&s, err);
    if (status == BUS_OK)
        status = forget_note(&s, err);
    if (status == BUS_OK)
        snprintf(kept, PATH_MOST, "%s", had ? s.aside : "");
    return status;
}

bus_status bui_store_swap(const char *fresh, const char *target, long long now_ms, char *kept, bus_error *err)
{
    char base[PATH_MOST];
    swap s;
    bui_lock *lock = NULL;
    bus_status status = set_target(&s, target, err);
    if (status != BUS_OK)
        return status;
    snprintf(base, sizeof base, "%.*s", (int)(strlen(target) - 3), target);
    status = bui_lock_take(base, &lock, NULL, err);
    if (status == BUS_OK)
        status = bui_store_swap_held(fresh, target, now_ms, kept, err);
    bui_lock_free(lock);
    return status;
}
