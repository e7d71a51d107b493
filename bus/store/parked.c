/* SPDX-License-Identifier: MIT
 * Parked: records that wait behind, or as, the head of their key. Bodies stay in the table. */
#include "base/error.h"
#include "codec/compact.h"
#include "store/key.h"

#include <string.h>

#define PARKED_HEADERS 128 /* looked through for the source */

/* parked and parked_bytes belong to what bui_key_touch notes. */
static bool touch(bui_store *store, bui_key *key)
{
    return bui_key_touch(store, key) && bui_note(store, &store->keys.totals.parked, sizeof store->keys.totals.parked) &&
           bui_note(store, &store->keys.totals.parked_bytes, sizeof store->keys.totals.parked_bytes);
}

static void count(bui_store *store, bui_key *key, int64_t records, int64_t bytes)
{
    key->parked += records;
    key->parked_bytes += bytes;
    store->keys.totals.parked += records;
    store->keys.totals.parked_bytes += bytes;
}

bus_status bui_key_park(bui_store *store, bui_key *key, const bui_parked *record, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    int64_t n, size = (int64_t)(record->record_key_len + record->value_len + record->headers_len);
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_PARKED_ADD, err);
    if (!stmt)
        return err->status;
    if (!touch(store, key) || !bui_lease_take(store, &store->serial, &n))
        return bui_fail_nomem(err);
    sqlite3_bind_int64(stmt, 1, key->id);
    sqlite3_bind_int64(stmt, 2, n);
    sqlite3_bind_int64(stmt, 3, size);
    bui_bind_text(stmt, 4, record->event_id);
    bui_bind_text(stmt, 5, record->topic);
    sqlite3_bind_int(stmt, 6, record->partition);
    sqlite3_bind_int64(stmt, 7, record->offset);
    sqlite3_bind_int64(stmt, 8, record->timestamp);
    bui_bind_bytes(stmt, 9, record->record_key, record->record_key_len);
    bui_bind_bytes(stmt, 10, record->headers, record->headers_len);
    bui_bind_bytes(stmt, 11, record->value, record->value_len);
    sqlite3_bind_int(stmt, 12, record->command);
    bus_status status = bui_run_statement(store, stmt, "parking an event", err);
    if (status == BUS_OK)
        count(store, key, 1, size);
    return status;
}

static bool copy(sqlite3_stmt *row, bui_arena *arena, bui_parked *out)
{
    const void *event_id, *topic;
    size_t len;
    out->n = sqlite3_column_int64(row, 0);
    out->partition = sqlite3_column_int(row, 3);
    out->offset = sqlite3_column_int64(row, 4);
    out->timestamp = sqlite3_column_int64(row, 5);
    out->command = sqlite3_column_int(row, 9);
    if (!bui_column_copy(row, 1, arena, &event_id, &len) || !bui_column_copy(row, 2, arena, &topic, &len) ||
        !bui_column_copy(row, 6, arena, &out->record_key, &out->record_key_len) ||
        !bui_column_copy(row, 7, arena, &out->headers, &out->headers_len) ||
        !bui_column_copy(row, 8, arena, &out->value, &out->value_len))
        return false;
    out->event_id = event_id;
    out->topic = topic;
    return true;
}

bus_status bui_key_head(bui_store *store, bui_key *key, bui_arena *arena, bui_parked *out, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_PARKED_HEAD, err);
    if (!stmt)
        return err->status;
    sqlite3_bind_int64(stmt, 1, key->id);
    int rc = bui_step(store, stmt);
    bui_parked row = { 0 };
    bus_status status = BUS_OK;
    if (rc == SQLITE_DONE)
        status =
            bui_fail(err, BUS_MISSING, "%s: nothing is parked under key %lld of %s", store->path, (long long)key->id, key->scope);
    else if (rc != SQLITE_ROW)
        status = bui_store_fail(store, rc, "reading a parked event", err);
    else if (copy(stmt, arena, &row))
        *out = row;
    else
        status = bui_fail_nomem(err);
    sqlite3_reset(stmt);
    return status;
}

bus_status bui_key_pop(bui_store *store, bui_key *key, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    sqlite3_stmt *first = bui_statement_of(store, BUI_SQL_PARKED_FIRST, err),
                 *delete = bui_statement_of(store, BUI_SQL_PARKED_DELETE, err);
    if (!first || !delete)
        return err->status;
    sqlite3_bind_int64(first, 1, key->id);
    int rc = bui_step(store, first);
    int64_t n = sqlite3_column_int64(first, 0), size = sqlite3_column_int64(first, 1);
    bus_status status = BUS_OK;
    if (rc == SQLITE_DONE)
        status =
            bui_fail(err, BUS_MISSING, "%s: nothing is parked under key %lld of %s", store->path, (long long)key->id, key->scope);
    else if (rc != SQLITE_ROW)
        status = bui_store_fail(store, rc, "reading a parked event", err);
    sqlite3_reset(first);
    if (status != BUS_OK)
        return status;
    if (!touch(store, key))
        return bui_fail_nomem(err);
    sqlite3_bind_int64(delete, 1, key->id);
    sqlite3_bind_int64(delete, 2, n);
    status = bui_run_statement(store, delete, "deleting a parked event", err);
    if (status == BUS_OK)
        count(store, key, -1, -size);
    return status;
}

static bool from_source(sqlite3_stmt *row, const char *source)
{
    size_t len, wanted = strlen(source);
    const void *packed = bui_column_bytes(row, 0, &len);
    bus_header headers[PARKED_HEADERS];
    size_t count = bui_headers_unpack(packed, len, headers, PARKED_HEADERS);
    bui_slice said = { NULL, 0 };
    if (count != SIZE_MAX)
        said = bui_compact_header(headers, count, BUI_HEADER_SOURCE);
    return said.len == wanted && (wanted == 0 || memcmp(said.at, source, wanted) == 0);
}

bool bui_key_holds(bui_store *store, const bui_key *key, const bui_identity *event)
{
    bus_error err;
    if (!key->parked)
        return false;
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_PARKED_HOLDS, &err);
    if (!stmt) {
        bui_store_doom(store, &err);
        return false;
    }
    sqlite3_bind_int64(stmt, 1, key->id);
    bui_bind_text(stmt, 2, event->id);
    bui_bind_text(stmt, 3, event->topic);
    sqlite3_bind_int(stmt, 4, event->partition);
    int rc;
    while ((rc = bui_step(store, stmt)) == SQLITE_ROW && event->source && !from_source(stmt, event->source))
        continue;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
        bui_store_fail(store, rc, "looking for a parked event", &err);
        bui_store_doom(store, &err);
    }
    sqlite3_reset(stmt);
    return rc == SQLITE_ROW;
}
