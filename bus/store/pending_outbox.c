/* SPDX-License-Identifier: MIT
 * Pending outbox: its rows as an eponymous virtual table. One INSERT ... SELECT over it costs half of what a statement a row does: nothing is
 * bound, begun and reset for each. */
#include "base/error.h"
#include "store/internal.h"

#include <stdlib.h>
#include <string.h>

enum {
    COLUMN_ID,
    COLUMN_DESTINATION,
    COLUMN_SEQ,
    COLUMN_SIZE,
    COLUMN_AT,
    COLUMN_EVENT_ID,
    COLUMN_KEY,
    COLUMN_VALUE,
    COLUMN_HEADERS
};

typedef struct table {
    sqlite3_vtab base;
    const bui_pending_outbox *pending;
} table;
typedef struct cursor {
    sqlite3_vtab_cursor base;
    const bui_pending_outbox *pending;
    size_t at;
} cursor;

static int on_connect(sqlite3 *db, void *opaque, int argc, const char *const *argv, sqlite3_vtab **out, char **why)
{
    (void)argc;
    (void)argv;
    (void)why;
    int rc = sqlite3_declare_vtab(db, "CREATE TABLE fresh(id, destination, seq, size, at, event_id, key, value, headers)");
    table *made = rc == SQLITE_OK ? sqlite3_malloc(sizeof *made) : NULL;
    if (!made)
        return rc == SQLITE_OK ? SQLITE_NOMEM : rc;
    *made = (table){ .pending = opaque };
    *out = &made->base;
    return SQLITE_OK;
}

static int on_disconnect(sqlite3_vtab *base)
{
    sqlite3_free(base);
    return SQLITE_OK;
}

static int on_plan(sqlite3_vtab *base, sqlite3_index_info *info)
{
    (void)base;
    info->estimatedCost = 1000;
    info->estimatedRows = 1000;
    return SQLITE_OK;
}

static int on_open(sqlite3_vtab *base, sqlite3_vtab_cursor **out)
{
    cursor *made = sqlite3_malloc(sizeof *made);
    if (!made)
        return SQLITE_NOMEM;
    *made = (cursor){ .pending = ((table *)base)->pending };
    *out = &made->base;
    return SQLITE_OK;
}

static int on_close(sqlite3_vtab_cursor *base)
{
    sqlite3_free(base);
    return SQLITE_OK;
}

static int on_first(sqlite3_vtab_cursor *base, int number, const char *text, int argc, sqlite3_value **argv)
{
    (void)number;
    (void)text;
    (void)argc;
    (void)argv;
    cursor *c = (cursor *)base;
    c->at = c->pending->written;
    return SQLITE_OK;
}

static int on_next(sqlite3_vtab_cursor *base)
{
    ((cursor *)base)->at++;
    return SQLITE_OK;
}

static int on_end(sqlite3_vtab_cursor *base)
{
    const cursor *c = (const cursor *)base;
    return c->at >= c->pending->count;
}

static void give(sqlite3_context *to, const bui_pending_outbox *pending, bool there, size_t at, size_t len)
{
    if (!there)
        sqlite3_result_null(to);
    else if (len)
        sqlite3_result_blob64(to, pending->bytes.data + at, len, SQLITE_STATIC);
    else
        sqlite3_result_zeroblob(to, 0);
}

static int on_column(sqlite3_vtab_cursor *base, sqlite3_context *to, int which)
{
    const bui_pending_outbox *pending = ((cursor *)base)->pending;
    const bui_pending_row *row = &pending->row[((cursor *)base)->at];
    switch (which) {
    case COLUMN_ID: sqlite3_result_int64(to, row->id); break;
    case COLUMN_DESTINATION: sqlite3_result_int64(to, row->destination->id); break;
    case COLUMN_SEQ: sqlite3_result_int64(to, row->seq); break;
    case COLUMN_SIZE: sqlite3_result_int64(to, (int64_t)(row->key_len + row->value_len + row->headers_len)); break;
    case COLUMN_AT: sqlite3_result_int64(to, row->at); break;
    case COLUMN_EVENT_ID:
        if (row->has_event_id)
            sqlite3_result_text64(to, (const char *)pending->bytes.data + row->event_id, row->event_id_len, SQLITE_STATIC,
                                  SQLITE_UTF8);
        break;
    case COLUMN_KEY: give(to, pending, row->has_key, row->key, row->key_len); break;
    case COLUMN_VALUE: give(to, pending, row->has_value, row->value, row->value_len); break;
    case COLUMN_HEADERS: give(to, pending, row->has_headers, row->headers, row->headers_len); break;
    default: break;
    }
    return SQLITE_OK;
}

static int on_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *out)
{
    *out = (sqlite3_int64)((const cursor *)base)->at;
    return SQLITE_OK;
}

static const sqlite3_module module = {
    .xConnect = on_connect,
    .xBestIndex = on_plan,
    .xDisconnect = on_disconnect,
    .xOpen = on_open,
    .xClose = on_close,
    .xFilter = on_first,
    .xNext = on_next,
    .xEof = on_end,
    .xColumn = on_column,
    .xRowid = on_rowid,
};

bus_status bui_pending_install(bui_store *store, bus_error *err)
{
    int rc = sqlite3_create_module_v2(store->db, "bus_pending", &module, &store->pending, NULL);
    return rc == SQLITE_OK ? BUS_OK : bui_store_fail(store, rc, "opening the store", err);
}

void bui_pending_begin(bui_pending_outbox *pending)
{
    if (!pending->keeps) {
        pending->count = 0;
        bui_buf_clear(&pending->bytes);
    }
    pending->kept_count = pending->written = pending->count;
    pending->kept_len = pending->bytes.len;
}

/* After a commit the rows stay in memory at least until the next transaction begins. */
void bui_pending_ended(bui_pending_outbox *pending, bool committed)
{
    if (committed)
        return;
    pending->count = pending->written = pending->kept_count;
    pending->bytes.len = pending->kept_len;
    pending->bytes.failed = pending->bytes.over = false;
}

void bui_pending_saved(bui_pending_outbox *pending)
{
    pending->saved_count = pending->count;
    pending->saved_len = pending->bytes.len;
    pending->saved_written = pending->written;
}

void bui_pending_back(bui_pending_outbox *pending)
{
    pending->count = pending->saved_count;
    pending->bytes.len = pending->saved_len;
    pending->written = pending->saved_written; /* what was written since is gone from the table, too */
    pending->bytes.failed = pending->bytes.over = false;
}

void bui_pending_free(bui_pending_outbox *pending)
{
    free(pending->row);
    bui_buf_free(&pending->bytes);
}
