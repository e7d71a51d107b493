/* SPDX-License-Identifier: MIT
 * Fresh: the rows as an eponymous virtual table. One INSERT ... SELECT over it costs half of what a statement a row does: nothing is
 * bound, begun and reset for each. */
#include "base/error.h"
#include "store/internal.h"

#include <stdlib.h>
#include <string.h>

enum { COLUMN_ID, COLUMN_DESTINATION, COLUMN_SEQ, COLUMN_SIZE, COLUMN_AT, COLUMN_EVENT_ID, COLUMN_KEY, COLUMN_VALUE, COLUMN_HEADERS };

typedef struct table { sqlite3_vtab base; const bus_fresh *fresh; } table;
typedef struct cursor { sqlite3_vtab_cursor base; const bus_fresh *fresh; size_t at; } cursor;

static int on_connect(sqlite3 *db, void *opaque, int argc, const char *const *argv, sqlite3_vtab **out, char **why)
{
    (void)argc;
    (void)argv;
    (void)why;
    int rc = sqlite3_declare_vtab(db, "CREATE TABLE fresh(id, destination, seq, size, at, event_id, key, value, headers)");
    table *made = rc == SQLITE_OK ? sqlite3_malloc(sizeof *made) : NULL;
    if (!made)
        return rc == SQLITE_OK ? SQLITE_NOMEM : rc;
    *made = (table){ .fresh = opaque };
    *out = &made->base;
    return SQLITE_OK;
}

static int on_disconnect(sqlite3_vtab *self)
{
    sqlite3_free(self);
    return SQLITE_OK;
}

static int on_plan(sqlite3_vtab *self, sqlite3_index_info *info)
{
    (void)self;
    info->estimatedCost = 1000;
    info->estimatedRows = 1000;
    return SQLITE_OK;
}

static int on_open(sqlite3_vtab *self, sqlite3_vtab_cursor **out)
{
    cursor *made = sqlite3_malloc(sizeof *made);
    if (!made)
        return SQLITE_NOMEM;
    *made = (cursor){ .fresh = ((table *)self)->fresh };
    *out = &made->base;
    return SQLITE_OK;
}

static int on_close(sqlite3_vtab_cursor *self)
{
    sqlite3_free(self);
    return SQLITE_OK;
}

static int on_first(sqlite3_vtab_cursor *self, int number, const char *text, int argc, sqlite3_value **argv)
{
    (void)number;
    (void)text;
    (void)argc;
    (void)argv;
    cursor *c = (cursor *)self;
    c->at = c->fresh->written;
    return SQLITE_OK;
}

static int on_next(sqlite3_vtab_cursor *self)
{
    ((cursor *)self)->at++;
    return SQLITE_OK;
}

static int on_end(sqlite3_vtab_cursor *self)
{
    const cursor *c = (const cursor *)self;
    return c->at >= c->fresh->count;
}

static void give(sqlite3_context *to, const bus_fresh *fresh, bool there, size_t at, size_t len)
{
    if (!there)
        sqlite3_result_null(to);
    else if (len)
        sqlite3_result_blob64(to, fresh->bytes.data + at, len, SQLITE_STATIC);
    else
        sqlite3_result_zeroblob(to, 0);
}

static int on_column(sqlite3_vtab_cursor *self, sqlite3_context *to, int which)
{
    const bus_fresh *fresh = ((cursor *)self)->fresh;
    const bus_fresh_row *row = &fresh->row[((cursor *)self)->at];
    switch (which) {
    case COLUMN_ID: sqlite3_result_int64(to, row->id); break;
    case COLUMN_DESTINATION: sqlite3_result_int64(to, row->destination->id); break;
    case COLUMN_SEQ: sqlite3_result_int64(to, row->seq); break;
    case COLUMN_SIZE: sqlite3_result_int64(to, (int64_t)(row->key_len + row->value_len + row->headers_len)); break;
    case COLUMN_AT: sqlite3_result_int64(to, row->at); break;
    case COLUMN_EVENT_ID:
        if (row->has_event_id)
            sqlite3_result_text64(to, (const char *)fresh->bytes.data + row->event_id, row->event_id_len, SQLITE_STATIC, SQLITE_UTF8);
        break;
    case COLUMN_KEY: give(to, fresh, row->has_key, row->key, row->key_len); break;
    case COLUMN_VALUE: give(to, fresh, row->has_value, row->value, row->value_len); break;
    case COLUMN_HEADERS: give(to, fresh, row->has_headers, row->headers, row->headers_len); break;
    default: break;
    }
    return SQLITE_OK;
}

static int on_rowid(sqlite3_vtab_cursor *self, sqlite3_int64 *out)
{
    *out = (sqlite3_int64)((const cursor *)self)->at;
    return SQLITE_OK;
}

static const sqlite3_module module = {
    .xConnect = on_connect, .xBestIndex = on_plan, .xDisconnect = on_disconnect, .xOpen = on_open, .xClose = on_close,
    .xFilter = on_first, .xNext = on_next, .xEof = on_end, .xColumn = on_column, .xRowid = on_rowid,
};

bus_status bus_fresh_install(bus_store *store, bus_error *err)
{
    int rc = sqlite3_create_module_v2(store->db, "bus_fresh", &module, &store->fresh, NULL);
    return rc == SQLITE_OK ? BUS_OK : bus_store_fail(store, rc, "opening the store", err);
}

void bus_fresh_begin(bus_fresh *fresh)
{
    if (!fresh->keeps) {
        fresh->count = 0;
        bus_buf_clear(&fresh->bytes);
    }
    fresh->kept_count = fresh->written = fresh->count;
    fresh->kept_len = fresh->bytes.len;
}

/* After a commit the rows stay in hand until the next transaction begins, at least. */
void bus_fresh_ended(bus_fresh *fresh, bool committed)
{
    if (committed)
        return;
    fresh->count = fresh->written = fresh->kept_count;
    fresh->bytes.len = fresh->kept_len;
    fresh->bytes.failed = fresh->bytes.over = false;
}

void bus_fresh_saved(bus_fresh *fresh)
{
    fresh->saved_count = fresh->count;
    fresh->saved_len = fresh->bytes.len;
    fresh->saved_written = fresh->written;
}

void bus_fresh_back(bus_fresh *fresh)
{
    fresh->count = fresh->saved_count;
    fresh->bytes.len = fresh->saved_len;
    fresh->written = fresh->saved_written; /* what was written since is gone from the table, too */
    fresh->bytes.failed = fresh->bytes.over = false;
}

void bus_fresh_free(bus_fresh *fresh)
{
    free(fresh->row);
    bus_buf_free(&fresh->bytes);
}
