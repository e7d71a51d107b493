/* SPDX-License-Identifier: MIT
 * Seal: a database and its write-ahead log belong together. The log holds what was committed since the last complete checkpoint. Beside
 * a database from before that checkpoint something is missing, and SQLite does not see it: the log's salts are only in the log. Such a
 * pair results from copying the two files one after the other while the service runs.
 *
 * So bus_meta.seal counts: odd while the store is written to, even once a checkpoint has moved all. The even number is committed after
 * that checkpoint, alone, and moved by a second one: a database that holds it had all before it. Then it is made odd at once, by the first
 * commit of the next log; or, when the store is closed, by the first after that. So, with `first` and `last`, the numbers that the log
 * has from its beginning to its end:
 *
 *     first - 1 <= number in the database, without the log <= last
 *
 * Less: the database lacks what an earlier log held. More: it has what this log will overwrite with older pages. Both numbers are read
 * from the files themselves, because SQLite shows them only together. Every commit that may be the first of a log writes the number
 * (meta.c, migrate.c). A log without any was begun by another program, after its own checkpoint: nothing is known of it.
 *
 * The second check: bus_meta.file says which file it was at the last opening (inode and birth). If it is another, the file is a copy, and is
 * checked whole, because nobody knows in which order a program copied its parts. A process that was killed, or lost power, left its own file,
 * which needs no check. */
#include "store/seal.h"
#include "base/error.h"
#include "base/log.h"
#include "store/file.h"
#include "store/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER 32      /* of the log */
#define FRAME 24       /* before each page in it */
#define SEAL_COLUMN 12 /* of bus_meta, from 0 */
#define PAGE_MOST 65536

static uint32_t be32(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* ---- the number in a page of bus_meta: a leaf with one row */

/* A varint of SQLite's of up to two bytes; that row has no longer ones. */
static const unsigned char *small(const unsigned char *at, const unsigned char *end, uint32_t *out)
{
    if (end - at < 2)
        return NULL;
    *out = at[0] < 0x80 ? at[0] : (uint32_t)(at[0] & 0x7f) << 7 | (at[1] & 0x7f);
    return at[0] < 0x80 ? at + 1 : at[1] < 0x80 ? at + 2 : NULL;
}

static size_t size_of_kind(uint32_t kind)
{
    static const size_t sizes[] = { 0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0 };
    return kind < 12 ? sizes[kind] : (kind - 12) / 2;
}

static int64_t number_of(uint32_t kind, const unsigned char *at)
{
    if (kind < 1 || kind > 6)
        return kind == 9;
    uint64_t value = at[0] & 0x80 ? UINT64_MAX : 0;
    for (size_t i = 0; i < size_of_kind(kind); i++)
        value = value << 8 | at[i];
    return (int64_t)value;
}

/* -1: none there: a page that was never written, or by an older version, or half when power was lost: what it has must fill the row exactly. */
static int64_t seal_in(const unsigned char *page, size_t size)
{
    const unsigned char *end = page + size, *at, *columns, *value, *values;
    size_t cell = (size_t)page[8] << 8 | page[9], total = 0;
    uint32_t payload, row, width, kind;
    int64_t seal = -1;
    if (page[0] != 13 || page[3] != 0 || page[4] != 1 || cell < 10 || cell >= size)
        return -1;
    if (!(at = small(page + cell, end, &payload)) || !(at = small(at, end, &row)) || !(columns = small(at, end, &width)) ||
        row != 1)
        return -1;
    if (payload > (size_t)(end - at) || width > payload)
        return -1;
    values = value = at + width;
    for (int i = 0; columns < values; i++, value += size_of_kind(kind), total += size_of_kind(kind)) {
        if (!(columns = small(columns, end, &kind)) || size_of_kind(kind) > (size_t)(end - value))
            return -1;
        if (i == SEAL_COLUMN)
            seal = number_of(kind, value);
    }
    return columns == values && width + total == payload ? seal : -1;
}

/* ---- the files as they are */

typedef struct pair {
    int64_t now, file;      /* of the store as SQLite shows it */
    uint32_t root;          /* page of bus_meta */
    int64_t in_file, first; /* -1: none */
    bool commits;           /* the log has a whole one */
    bool mixed;             /* the log was copied while a new one began in its file */
    unsigned char *bytes;   /* room for a page and its header */
} pair;

static bus_status read_main(bui_store *store, pair *p, bus_error *err)
{
    sqlite3_file *file = NULL;
    unsigned char head[20];
    int rc = sqlite3_file_control(store->db, "main", SQLITE_FCNTL_FILE_POINTER, &file);
    bool there = rc == SQLITE_OK && file && file->pMethods;
    if (there)
        rc = file->pMethods->xRead(file, head, sizeof head, 0);
    if (there && rc == SQLITE_OK) {
        size_t size = (size_t)head[16] << 8 | head[17];
        size = size == 1 ? PAGE_MOST : size;
        rc = file->pMethods->xRead(file, p->bytes, (int)size, (sqlite3_int64)(p->root - 1) * (sqlite3_int64)size);
        p->in_file = rc == SQLITE_OK ? seal_in(p->bytes, size) : 0; /* the file is shorter */
    }
    return rc == SQLITE_OK || rc == SQLITE_IOERR_SHORT_READ ? BUS_OK
                                                            : bui_store_fail(store, rc, "comparing the store with its log", err);
}

/* SQLite's own sum over words of the log, of which each frame has the sum of all up to it. */
static void add_up(const unsigned char *at, size_t len, bool big, uint32_t sum[2])
{
    for (const unsigned char *end = at + len; at < end; at += 8) {
        uint32_t a = be32(at), b = be32(at + 4);
        sum[0] += (big ? a : __builtin_bswap32(a)) + sum[1];
        sum[1] += (big ? b : __builtin_bswap32(b)) + sum[0];
    }
}

/* Reads frames up to the first whole one that has the number, and the first whole commit; then to the last that has the log's salts, and
 * looks whether a newer follows. */
static int read_frames(const sqlite3_file *log, const unsigned char *head, pair *p)
{
    const sqlite3_io_methods *io = log->pMethods;
    sqlite3_file *file = (sqlite3_file *)(uintptr_t)log;
    size_t size = be32(head + 8);
    uint32_t sum[2] = { 0, 0 };
    bool big = head[3] & 1, whole = true;
    int rc = SQLITE_OK;
    add_up(head, 24, big, sum);
    if (be32(head) >> 1 != 0x377f0682 >> 1 || size < 512 || size > PAGE_MOST || sum[0] != be32(head + 24) ||
        sum[1] != be32(head + 28))
        return SQLITE_OK;
    for (sqlite3_int64 at = HEADER; rc == SQLITE_OK; at += (sqlite3_int64)(FRAME + size)) {
        bool looking = (p->first < 0 || !p->commits) && whole;
        rc = io->xRead(file, p->bytes, looking ? (int)(FRAME + size) : FRAME, at);
        if (rc == SQLITE_OK && memcmp(p->bytes + 8, head + 16, 8) != 0) {
            uint32_t newer =
                be32(p->bytes + 8) - be32(head + 16); /* each log's first salt is one more than that of the log before */
            p->mixed = newer > 0 && newer < 1u << 20;
            break;
        }
        if (rc != SQLITE_OK || !looking)
            continue;
        add_up(p->bytes, 8, big, sum);
        add_up(p->bytes + FRAME, size, big, sum);
        whole = sum[0] == be32(p->bytes + 16) && sum[1] == be32(p->bytes + 20);
        p->commits |= whole && be32(p->bytes + 4) > 0;
        if (whole && p->first < 0 && p->root && be32(p->bytes) == p->root)
            p->first = seal_in(p->bytes + FRAME, size);
    }
    return rc;
}

static bus_status read_log(bui_store *store, pair *p, bus_error *err)
{
    sqlite3_file *log = NULL;
    unsigned char head[HEADER];
    int rc = sqlite3_file_control(store->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
    bool there = rc == SQLITE_OK && log && log->pMethods;
    if (there)
        rc = log->pMethods->xRead(log, head, HEADER, 0);
    if (there && rc == SQLITE_OK)
        rc = read_frames(log, head, p);
    return rc == SQLITE_OK || rc == SQLITE_IOERR_SHORT_READ ? BUS_OK
                                                            : bui_store_fail(store, rc, "comparing the store with its log", err);
}

#define WAY_OUT \
    "Restore a copy made by `sqlite3 FILE \".backup COPY\"`, or of both files while the service was stopped, and leave no other -wal beside it; or " \
    "`bus rebuild`. --accept does not help: pages are missing"
#define NOT_OF_ONE_MOMENT "They were copied one after the other while the service ran, or one of them was replaced. " WAY_OUT

static bus_status read_meta(bui_store *store, pair *p, bus_error *err)
{
    sqlite3_stmt *stmt = NULL;
    int rc = bui_prepare_own(
        store, "SELECT seal, file, (SELECT rootpage FROM sqlite_schema WHERE name = 'bus_meta') FROM bus_meta WHERE id = 1",
        false, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = bui_step(store, stmt);
    if (rc == SQLITE_ROW) {
        p->now = sqlite3_column_int64(stmt, 0);
        p->file = sqlite3_column_int64(stmt, 1);
        p->root = (uint32_t)sqlite3_column_int64(stmt, 2);
    }
    sqlite3_finalize(stmt);
    if ((rc & 0xff) == SQLITE_ERROR) /* the row is of a version whose columns are not there */
        return bui_fail(err, BUS_REFUSED,
                        "%s and its -wal are not of one moment: half of the file is of an older version. " NOT_OF_ONE_MOMENT,
                        store->path);
    return rc == SQLITE_ROW ? BUS_OK : bui_store_fail(store, rc, "comparing the store with its log", err);
}

/* ---- what is made of it */

static bool is_copy(const bui_store *store, const pair *p)
{
    return store->file && p->file && p->file != store->file;
}

static bus_status compare(const bui_store *store, const pair *p, bus_error *err)
{
    if (p->mixed)
        return bui_fail(err, BUS_REFUSED,
                        "%s-wal was copied while a new log began in it, and is half an older log and half a newer one. " WAY_OUT,
                        store->path);
    /* A loss of power may leave half a page, which the log has whole. */
    if (p->first <= 1 || p->in_file < 0 || (p->first - 1 <= p->in_file && p->in_file <= p->now))
        return BUS_OK;
    return bui_fail(err, BUS_REFUSED,
                    "%s and its -wal are not of one moment: the file holds number %" PRId64
                    " of its checkpoints, and the log has %" PRId64 " to %" PRId64 ". " NOT_OF_ONE_MOMENT,
                    store->path, p->in_file, p->first, p->now);
}

/* A database without tables whose log has commits: they were made upon tables. */
static bus_status check_fresh(bui_store *store, pair *p, bus_error *err)
{
    bus_status status = read_log(store, p, err);
    if (status != BUS_OK || !p->commits)
        return status;
    return bui_fail(
        err, BUS_REFUSED,
        "%s and its -wal are not of one moment: the log goes on from a database that is not there. " NOT_OF_ONE_MOMENT,
        store->path);
}

static bus_status check_numbers(bui_store *store, pair *p, bus_error *err)
{
    bus_status status = read_meta(store, p, err);
    if (status == BUS_OK)
        status = read_main(store, p, err);
    if (status == BUS_OK)
        status = read_log(store, p, err);
    if (status == BUS_OK)
        status = compare(store, p, err);
    return status;
}

bus_status bui_seal_check(bui_store *store, bus_error *err)
{
    pair p = { .first = -1 };
    if (!store->meta.fresh && store->version < 11) /* older versions note nothing */
        return BUS_OK;
    if (!(p.bytes = malloc(FRAME + PAGE_MOST)))
        return bui_fail_nomem(err);
    bus_status status = store->meta.fresh ? check_fresh(store, &p, err) : check_numbers(store, &p, err);
    free(p.bytes);
    if (status != BUS_OK || !is_copy(store, &p))
        return status;
    status = bui_store_verify(store, err);
    if (status == BUS_OK)
        bui_log(BUS_INFO, "store", "copy_checked",
                "%s is another file than the one that was opened last: a copy, and it is complete", store->path);
    return status;
}

/* SQLite reports a page that could not be read as damage; with its code in most places, without in lists of free pages. */
static int read_error(const char *text)
{
    const char *at = strstr(text, "error code=");
    int code = at ? atoi(at + strlen("error code=")) : strstr(text, "failed to get page") ? SQLITE_IOERR_READ : SQLITE_OK;
    bool damage = code == SQLITE_IOERR_SHORT_READ || (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB;
    return damage ? SQLITE_OK : code;
}

bus_status bui_store_verify(bui_store *store, bus_error *err)
{
    sqlite3_stmt *stmt = NULL;
    bus_status status = BUS_OK;
    if (store->verified)
        return BUS_OK;
    int rc = bui_prepare_own(store, "PRAGMA integrity_check(1)", false, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = bui_step(store, stmt);
    const char *found = rc == SQLITE_ROW ? bui_column_text(stmt, 0) : "";
    if (rc != SQLITE_ROW || read_error(found))
        status = bui_store_fail(store, rc != SQLITE_ROW ? rc : read_error(found), "checking the store", err);
    else if (strcmp(found, "ok") != 0)
        status = bui_fail(err, BUS_CORRUPT, "%s is damaged: %.200s. " WAY_OUT, store->path, found);
    sqlite3_finalize(stmt);
    store->verified = status == BUS_OK;
    return status;
}

static int64_t log_number(const bui_store *store)
{
    char log[4096];
    snprintf(log, sizeof log, "%s-wal", store->path);
    return bui_file_number(log);
}

bus_status bui_store_gone(const bui_store *store, bus_error *err)
{
    if (!store->file)
        return BUS_OK;
    bool file = bui_file_number(store->path) != store->file;
    if (!file && log_number(store) == store->log_file)
        return BUS_OK;
    return bui_fail(
        err, BUS_REFUSED,
        "%s%s was removed or replaced while the service ran: what it would commit from now on would be in no file. Put the "
        "newest copy there, or `bus rebuild`, and start it again",
        store->path, file ? "" : "-wal");
}

/* ---- from open on */

void bui_seal_note(bui_store *store)
{
    store->log_file = log_number(store);
}

bus_status bui_seal_set(bui_store *store, bool sealed, bus_error *err)
{
    if ((store->seal & 1) != sealed)
        return BUS_OK;
    store->sealing = sealed;
    bus_status status = bui_store_begin(store, err);
    if (status == BUS_OK)
        status = bui_store_commit(store, err);
    store->sealing = false;
    return status;
}
