/* SPDX-License-Identifier: MIT
 * Write-ahead log: what is found there is made durable, what a commit adds is written in one piece, and a long log is moved
 * into the store. */
#include "base/error.h"
#include "base/failpoint.h"
#include "store/internal.h"
#include "store/seal.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define PIECE 65536 /* at a time; the unix VFS takes less than 128 KiB */

/* Reads the log and writes the same bytes again. Not where the device may spoil what it overwrites while the power fails. */
static int write_again(sqlite3_file *log)
{
    const sqlite3_io_methods *file = log->pMethods;
    sqlite3_int64 size = 0;
    if (!(file->xDeviceCharacteristics(log) & SQLITE_IOCAP_POWERSAFE_OVERWRITE))
        return SQLITE_OK;
    char *piece = malloc(PIECE);
    int rc = piece ? file->xFileSize(log, &size) : SQLITE_NOMEM;
    for (sqlite3_int64 at = 0; rc == SQLITE_OK && at < size; at += PIECE) {
        int len = size - at < PIECE ? (int)(size - at) : PIECE;
        rc = file->xRead(log, piece, len, at);
        if (rc == SQLITE_OK)
            rc = file->xWrite(log, piece, len, at);
    }
    free(piece);
    return rc == SQLITE_OK && size ? file->xSync(log, SQLITE_SYNC_NORMAL) : rc;
}

/* What the log holds is on the disk before anything is built on it. A commit of a process that is gone is found here, in the
 * system's cache, even if its sync failed. Then the system holds those pages to be clean, no later sync writes them, and a
 * loss of power loses them and all that was committed behind them. The write lock keeps others from restarting the log. */
static bus_status harden(bui_store *store, bus_error *err)
{
    sqlite3_file *log = NULL;
    bus_status status = bui_exec(store, "BEGIN IMMEDIATE", "opening the store", err);
    if (status != BUS_OK)
        return status;
    int rc = sqlite3_file_control(store->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
    if (rc == SQLITE_OK && log && log->pMethods)
        rc = write_again(log);
    if (rc != SQLITE_OK)
        status = bui_store_fail(store, rc, "making the write-ahead log durable", err);
    bus_status ended = bui_exec(store, "ROLLBACK", "opening the store", status == BUS_OK ? err : NULL);
    return status == BUS_OK ? ended : status;
}

/* ---- frames in one piece SQLite writes two pieces for each page, 24 bytes and 4 KiB. Until its sync nobody but this
 * connection looks at them, so they are gathered until then. If SQLite's own write or sync fails for what is gathered, the
 * transaction ends and it is dropped: written later it would be a commit that nobody knows of. If a read does, it is kept: a
 * program may ignore that error, and its commit must not pass without those frames. Nothing is gathered where a commit is
 * padded to whole sectors: SQLite writes the rest of it after its sync, and what follows could not be read without it. */

static bui_wal *wal_of(sqlite3_file *file)
{
    return (bui_wal *)(void *)((char *)(uintptr_t)file->pMethods - offsetof(bui_wal, methods));
}

static int let_go(bui_wal *wal, bool ends)
{
    int rc = wal->len ? wal->real->xWrite(wal->file, wal->bytes, wal->len, wal->at) : SQLITE_OK;
    wal->len = rc == SQLITE_OK || ends ? 0 : wal->len;
    return rc;
}

static int gather(sqlite3_file *file, const void *bytes, int len, sqlite3_int64 at)
{
    bui_wal *wal = wal_of(file);
    if (wal->len && (at != wal->at + wal->len || len > PIECE - wal->len)) {
        int rc = let_go(wal, true);
        if (rc != SQLITE_OK)
            return rc;
    }
    if (len > PIECE)
        return wal->real->xWrite(file, bytes, len, at);
    if (!wal->len)
        wal->at = at;
    memcpy(wal->bytes + wal->len, bytes, (size_t)len);
    wal->len += len;
    return SQLITE_OK;
}

static int sync_all(sqlite3_file *file, int flags)
{
    int rc = let_go(wal_of(file), true);
    return rc == SQLITE_OK ? wal_of(file)->real->xSync(file, flags) : rc;
}

static int read_all(sqlite3_file *file, void *out, int len, sqlite3_int64 at)
{
    int rc = let_go(wal_of(file), false);
    return rc == SQLITE_OK ? wal_of(file)->real->xRead(file, out, len, at) : rc;
}

static int truncate_all(sqlite3_file *file, sqlite3_int64 size)
{
    int rc = let_go(wal_of(file), false);
    return rc == SQLITE_OK ? wal_of(file)->real->xTruncate(file, size) : rc;
}

static int size_of_all(sqlite3_file *file, sqlite3_int64 *out)
{
    int rc = let_go(wal_of(file), false);
    return rc == SQLITE_OK ? wal_of(file)->real->xFileSize(file, out) : rc;
}

static bus_status begin_gathering(bui_store *store, bus_error *err)
{
    bui_wal *wal = &store->wal;
    int rc = sqlite3_file_control(store->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal->file);
    if (rc != SQLITE_OK || !wal->file || !wal->file->pMethods ||
        !(wal->file->pMethods->xDeviceCharacteristics(wal->file) & SQLITE_IOCAP_POWERSAFE_OVERWRITE))
        return BUS_OK;
    if (!(wal->bytes = malloc(PIECE)))
        return bui_fail_nomem(err);
    wal->real = wal->file->pMethods;
    wal->methods = *wal->real;
    wal->methods.xWrite = gather;
    wal->methods.xSync = sync_all;
    wal->methods.xRead = read_all;
    wal->methods.xTruncate = truncate_all;
    wal->methods.xFileSize = size_of_all;
    wal->file->pMethods = &wal->methods;
    return BUS_OK;
}

/* ---- its size */

static int on_wal(void *opaque, sqlite3 *db, const char *name, int pages)
{
    (void)db;
    (void)name;
    bui_store *store = opaque;
    store->wal.size = (store->page_size + 24) * (int64_t)pages; /* 24: the header of a frame */
    return SQLITE_OK;
}

int64_t bui_store_wal_bytes(const bui_store *store)
{
    return store->wal.size;
}

/* *whole: nothing is left that only the log has. A reader in the way is not an error, and TRUNCATE does not wait for it: the next
 * iteration tries again. */
static bus_status move(bui_store *store, int mode, bool *whole, bus_error *err)
{
    int all = 0, moved = 0;
    if (mode == SQLITE_CHECKPOINT_TRUNCATE)
        sqlite3_busy_timeout(store->db, 0);
    int rc = sqlite3_wal_checkpoint_v2(store->db, "main", mode, &all, &moved);
    if (mode == SQLITE_CHECKPOINT_TRUNCATE)
        sqlite3_busy_timeout(store->db, BUI_BUSY_MS);
    *whole = rc == SQLITE_OK && all == moved;
    if (rc != SQLITE_OK && (rc & 0xff) != SQLITE_BUSY)
        return bui_store_fail(store, rc, "moving the write-ahead log into the store", err);
    return BUS_OK;
}

/* See seal.c for why twice. */
static bus_status move_and_seal(bui_store *store, int mode, bool *whole, bus_error *err)
{
    BUI_FAILPOINT("store_checkpoint");
    bus_status status = move(store, mode, whole, err);
    BUI_FAILPOINT("store_checkpoint_moved");
    if (status != BUS_OK || !*whole)
        return status;
    status = bui_seal_set(store, true, err);
    return status == BUS_OK ? move(store, mode, whole, err) : status;
}

bus_status bui_store_rest(bui_store *store, bus_error *err)
{
    bool whole;
    return store->active || store->wal.size <= 0 ? BUS_OK : move_and_seal(store, SQLITE_CHECKPOINT_TRUNCATE, &whole, err);
}

bus_status bui_store_checkpoint(bui_store *store, int64_t bytes, bus_error *err)
{
    if (store->active)
        return bui_fail(err, BUS_BUG, "%s: checkpoint inside a transaction", store->path);
    if (bytes <= 0 || store->wal.size <= bytes || store->wal.size < store->wal.checkpoint_above)
        return BUS_OK;
    int mode = store->wal.size > 4 * bytes ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE;
    bool whole;
    bus_status status = move_and_seal(store, mode, &whole, err);
    if (status == BUS_OK)
        status = bui_seal_set(store, false, err);
    if (status != BUS_OK)
        return status;
    BUI_FAILPOINT("store_checkpointed");
    if (whole) {
        store->wal.size = 0; /* the next commit restarts it and the hook tells its size */
        store->wal.checkpoint_above = 0;
    } else {
        store->wal.checkpoint_above = store->wal.size + bytes / 4; /* a reader holds the rest: do not try at every commit */
    }
    return BUS_OK;
}

/* ---- from open to close */

bus_status bui_wal_open(bui_store *store, bus_error *err)
{
    sqlite3_wal_autocheckpoint(store->db, 0);
    sqlite3_wal_hook(store->db, on_wal, store);
    bus_status status = harden(store, err);
    bui_seal_note(store);
    return status == BUS_OK && store->wal.gathers ? begin_gathering(store, err) : status;
}

void bui_wal_close(bui_store *store)
{
    bui_wal *wal = &store->wal;
    if (wal->real)
        wal->file->pMethods = wal->real; /* what is gathered was not committed */
    free(wal->bytes);
    memset(wal, 0, sizeof *wal);
}
