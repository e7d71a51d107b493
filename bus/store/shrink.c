/* SPDX-License-Identifier: MIT
 * Shrink: VACUUM INTO a file beside, which keeps the rows' ids (VACUUM alone does not, in tables without an index), then one rename over the
 * old one. Before that the old file is taken out of WAL mode: SQLite does so only if nobody else has it open, and then takes its log and
 * the log's index away. So no log lies beside a database that is not its own, and nobody reads by the index of another. The lock is kept until
 * the new file is there. Its seal is higher than any of the old one: a log or a file of before does not fit (seal.c). */
#include "store/shrink.h"
#include "base/error.h"
#include "base/failpoint.h"
#include "store/file.h"
#include "store/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_MOST 4096

static int64_t pragma_number(bui_store *store, const char *sql)
{
    sqlite3_stmt *stmt = NULL;
    int rc = bui_prepare_own(store, sql, false, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = bui_step(store, stmt);
    int64_t number = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : -1;
    sqlite3_finalize(stmt);
    return number;
}

int64_t bui_store_unused(bui_store *store, int64_t *live)
{
    int64_t pages = pragma_number(store, "PRAGMA page_count"), unused = pragma_number(store, "PRAGMA freelist_count");
    if (pages < 0 || unused < 0)
        return -1;
    *live = (pages - unused) * store->page_size;
    return unused * store->page_size;
}

static bus_status fail_of(sqlite3 *db, int rc, const char *path, const char *what, bus_error *err)
{
    bus_status status = (rc & 0xff) == SQLITE_FULL                                   ? BUS_FULL
                        : (rc & 0xff) == SQLITE_BUSY || (rc & 0xff) == SQLITE_LOCKED ? BUS_LOCKED
                        : (rc & 0xff) == SQLITE_IOERR                                ? BUS_IO
                                                                                     : BUS_STORE;
    return bui_fail(err, status, "%s: %s: %s", path, what, db ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
}

/* Runs a statement whose first column, if it gives a row, must be `want` (NULL: anything). */
static bus_status run(sqlite3 *db, const char *path, const char *sql, const char *want, const char *what, bus_error *err)
{
    sqlite3_stmt *stmt = NULL;
    bus_status status = BUS_OK;
    int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        status = fail_of(db, rc, path, what, err);
    else if (want && (rc != SQLITE_ROW || strcmp((const char *)sqlite3_column_text(stmt, 0), want) != 0))
        status = bui_fail(err, BUS_STORE, "%s: %s: %.200s", path, what,
                          rc == SQLITE_ROW ? (const char *)sqlite3_column_text(stmt, 0) : "no answer");
    rc = sqlite3_finalize(stmt);
    return status != BUS_OK || rc == SQLITE_OK ? status : fail_of(db, rc, path, what, err);
}

static bus_status open_at(const char *path, sqlite3 **out, bus_error *err)
{
    int rc = sqlite3_open_v2(path, out, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    return rc == SQLITE_OK ? BUS_OK : fail_of(*out, rc, path, "opening it to shrink it", err);
}

/* Ours alone, without a log. */
static bus_status take(sqlite3 *db, const char *path, bus_error *err)
{
    bus_status status = run(db, path, "PRAGMA locking_mode = EXCLUSIVE", "exclusive", "taking it alone", err);
    if (status == BUS_OK)
        status = run(db, path, "PRAGMA journal_mode = DELETE", "delete", "taking it alone", err);
    return status;
}

static bus_status copy_into(sqlite3 *db, const char *path, const char *fresh, bus_error *err)
{
    char sql[2 * PATH_MOST];
    sqlite3_snprintf((int)sizeof sql, sql, "VACUUM INTO %Q", fresh);
    return run(db, path, sql, NULL, "copying what is in use", err);
}

/* It is another file, and known to be whole, so that the next opening need not check it as a copy. Even: it has no log. */
static bus_status seal_copy(const char *fresh, bus_error *err)
{
    sqlite3 *db = NULL;
    bus_status status = open_at(fresh, &db, err);
    if (status == BUS_OK)
        status = run(db, fresh, "PRAGMA integrity_check(1)", "ok", "checking the copy", err);
    if (status == BUS_OK)
        status = run(db, fresh, "UPDATE bus_meta SET seal = (seal | 1) + 1, file = 0", NULL, "sealing the copy", err);
    if (sqlite3_close(db) != SQLITE_OK && status == BUS_OK)
        status = bui_fail(err, BUS_STORE, "%s is still in use", fresh);
    return status;
}

static int64_t size_of(const char *path)
{
    struct stat file;
    return stat(path, &file) == 0 ? (int64_t)file.st_size : -1;
}

/* The mode and the owner are those of the old one. */
static bus_status like(const char *path, const char *fresh, bus_error *err)
{
    struct stat old;
    if (stat(path, &old) != 0 || chmod(fresh, old.st_mode & 07777) != 0 ||
        (old.st_uid != geteuid() && chown(fresh, old.st_uid, old.st_gid) != 0))
        return bui_fail(err, BUS_IO, "%s cannot be given the owner of %s: %s", fresh, path, strerror(errno));
    return BUS_OK;
}

static bus_status replace(const char *path, const char *fresh, bus_error *err)
{
    bus_status status = bui_file_sync(fresh, err);
    BUI_FAILPOINT("shrink-made");
    if (status == BUS_OK && rename(fresh, path) != 0)
        status = bui_fail(err, BUS_IO, "%s cannot be moved to %s: %s", fresh, path, strerror(errno));
    BUI_FAILPOINT("shrink-came");
    return status == BUS_OK ? bui_file_sync_name(path, err) : status;
}

/* What a process left that failed, or was killed, here. */
static void remove_rest(const char *fresh)
{
    char journal[PATH_MOST + 8];
    snprintf(journal, sizeof journal, "%s-journal", fresh);
    unlink(fresh);
    unlink(journal);
}

bus_status bui_store_shrink(const char *path, int64_t *given, bus_error *err)
{
    char fresh[PATH_MOST], log[PATH_MOST];
    sqlite3 *db = NULL;
    if (snprintf(fresh, sizeof fresh, "%s.shrunk", path) >= (int)sizeof fresh)
        return bui_fail(err, BUS_INVALID, "%.200s: the path is too long", path);
    snprintf(log, sizeof log, "%s-wal", path);
    remove_rest(fresh);
    int64_t before = size_of(path);
    bus_status status = open_at(path, &db, err);
    if (status == BUS_OK)
        status = take(db, path, err);
    BUI_FAILPOINT("shrink-taken");
    if (status == BUS_OK && access(log, F_OK) == 0)
        status = bui_fail(err, BUS_STORE, "%s has still its log", path);
    if (status == BUS_OK)
        status = bui_file_touch(fresh, err); /* for its owner alone */
    if (status == BUS_OK)
        status = copy_into(db, path, fresh, err);
    BUI_FAILPOINT("shrink-copied");
    if (status == BUS_OK)
        status = seal_copy(fresh, err);
    if (status == BUS_OK)
        status = like(path, fresh, err);
    if (status == BUS_OK)
        status = replace(path, fresh, err);
    sqlite3_close(db);
    if (status != BUS_OK)
        remove_rest(fresh);
    else
        *given = before - size_of(path);
    return status;
}
