/* SPDX-License-Identifier: MIT
 * Outbox: rows committed with the user's data, to be relayed in id order. */
#include "base/error.h"
#include "store/destination.h"
#include "store/internal.h"

#include <string.h>

static bus_status oldest(bus_store *store, bus_error *err)
{
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_OUTBOX_OLDEST, err);
    if (!stmt)
        return err->status;
    int rc = bus_step(store, stmt);
    bus_status status = BUS_OK;
    if (rc == SQLITE_ROW || rc == SQLITE_DONE)
        store->depth.oldest_ms = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;
    else
        status = bus_store_fail(store, rc, "reading the outbox", err);
    sqlite3_reset(stmt);
    return status;
}

static bus_status sum(bus_store *store, int64_t from, int64_t to, bus_outbox_depth *out, bus_error *err)
{
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_OUTBOX_SUM, err);
    if (!stmt)
        return err->status;
    sqlite3_bind_int64(stmt, 1, from);
    sqlite3_bind_int64(stmt, 2, to);
    int rc = bus_step(store, stmt);
    bus_status status = BUS_OK;
    if (rc == SQLITE_ROW) {
        out->rejected = sqlite3_column_int64(stmt, 2);
        out->rows = sqlite3_column_int64(stmt, 0) - out->rejected;
        out->bytes = sqlite3_column_int64(stmt, 1);
    } else {
        status = bus_store_fail(store, rc, "counting the outbox", err);
    }
    sqlite3_reset(stmt);
    return status;
}

static bus_status load(bus_store *store, bus_error *err)
{
    bus_status status = sum(store, INT64_MIN, INT64_MAX, &store->depth, err);
    return status == BUS_OK ? oldest(store, err) : status;
}

bus_status bus_outbox_add(bus_store *store, bus_outbox_row *row, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_OUTBOX_ADD, err);
    if (!stmt)
        return err->status;
    bus_destination *destination = row->destination;
    int64_t size = (int64_t)(row->key_len + row->value_len + row->headers_len);
    int64_t seq = row->seq ? row->seq : destination->next_seq;
    if (!bus_note(store, &store->outbox_ids.next, sizeof store->outbox_ids.next) ||
        !bus_note(store, &destination->next_seq, sizeof destination->next_seq) || !bus_note(store, &store->depth, sizeof store->depth))
        return bus_fail_nomem(err);
    sqlite3_bind_int64(stmt, 1, store->outbox_ids.next);
    sqlite3_bind_int64(stmt, 2, destination->id);
    sqlite3_bind_int64(stmt, 3, store->epoch);
    sqlite3_bind_int64(stmt, 4, seq);
    sqlite3_bind_int64(stmt, 5, size);
    sqlite3_bind_int64(stmt, 6, store->now_ms);
    sqlite3_bind_int64(stmt, 7, row->at);
    bus_bind_text(stmt, 8, row->event_id);
    bus_bind_bytes(stmt, 9, row->key, row->key_len);
    bus_bind_bytes(stmt, 10, row->value, row->value_len);
    bus_bind_bytes(stmt, 11, row->headers, row->headers_len);
    bus_status status = bus_run_statement(store, stmt, "adding to the outbox", err);
    if (status != BUS_OK)
        return status;
    row->id = store->outbox_ids.next++;
    row->seq = seq;
    if (seq >= destination->next_seq)
        destination->next_seq = seq + 1;
    bus_destination_dirty(store, destination);
    if (!store->depth.rows)
        store->depth.oldest_ms = store->now_ms;
    store->depth.rows++;
    store->depth.bytes += size;
    return BUS_OK;
}

static bus_status delete_range(bus_store *store, int64_t from, int64_t to, bus_error *err)
{
    bus_outbox_depth gone = { 0 };
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_OUTBOX_DELETE, err);
    if (!stmt)
        return err->status;
    bus_status status = sum(store, from, to, &gone, err);
    if (status != BUS_OK)
        return status;
    sqlite3_bind_int64(stmt, 1, from);
    sqlite3_bind_int64(stmt, 2, to);
    if ((status = bus_run_statement(store, stmt, "deleting from the outbox", err)) != BUS_OK)
        return status;
    store->depth.rows -= gone.rows;
    store->depth.bytes -= gone.bytes;
    store->depth.rejected -= gone.rejected;
    return BUS_OK;
}

bus_status bus_outbox_delete(bus_store *store, const int64_t *ids, size_t count, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    if (!bus_note(store, &store->depth, sizeof store->depth))
        return bus_fail_nomem(err);
    bus_status status = BUS_OK;
    for (size_t i = 0, j; i < count && status == BUS_OK; i = j) {
        for (j = i + 1; j < count && ids[j] == ids[j - 1] + 1;)
            j++;
        status = delete_range(store, ids[i], ids[j - 1], err);
    }
    return status == BUS_OK && count ? oldest(store, err) : status;
}

bus_status bus_outbox_reject(bus_store *store, int64_t id, const char *error, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_OUTBOX_REJECT, err);
    if (!stmt)
        return err->status;
    if (!bus_note(store, &store->depth, sizeof store->depth))
        return bus_fail_nomem(err);
    sqlite3_bind_int64(stmt, 1, id);
    bus_bind_text(stmt, 2, error);
    int rc = bus_step(store, stmt);
    bool found = rc == SQLITE_ROW;
    if (found) {
        store->depth.rows--;
        store->depth.rejected++;
        rc = bus_step(store, stmt);
    }
    bus_status status = rc == SQLITE_DONE ? BUS_OK : bus_store_fail(store, rc, "rejecting an outbox row", err);
    sqlite3_reset(stmt);
    if (status == BUS_OK && !found)
        status = bus_fail(err, BUS_MISSING, "%s: outbox row %lld is not there or is rejected already", store->path, (long long)id);
    return status == BUS_OK ? oldest(store, err) : status;
}

static bus_status fill(bus_store *store, sqlite3_stmt *stmt, bus_outbox_row *row, bus_error *err)
{
    memset(row, 0, sizeof *row);
    row->id = sqlite3_column_int64(stmt, 0);
    row->destination = bus_destination_by_id(store, sqlite3_column_int64(stmt, 1));
    if (!row->destination)
        return bus_fail(err, BUS_CORRUPT, "%s: outbox row %lld names destination %lld, which is not recorded", store->path,
                        (long long)row->id, (long long)sqlite3_column_int64(stmt, 1));
    row->source = bus_source_of(store, sqlite3_column_int64(stmt, 2), err);
    if (!row->source)
        return err->status;
    row->seq = sqlite3_column_int64(stmt, 3);
    row->state = sqlite3_column_int(stmt, 4) ? BUS_OUTBOX_REJECTED : BUS_OUTBOX_READY;
    row->at = sqlite3_column_int64(stmt, 5);
    row->event_id = (const char *)sqlite3_column_text(stmt, 6);
    row->key = bus_column_bytes(stmt, 7, &row->key_len);
    row->value = bus_column_bytes(stmt, 8, &row->value_len);
    row->headers = bus_column_bytes(stmt, 9, &row->headers_len);
    row->error = (const char *)sqlite3_column_text(stmt, 10);
    return BUS_OK;
}

bus_status bus_outbox_scan(bus_store *store, int64_t from, const bus_destination *only, size_t most, bus_outbox_each each, void *opaque,
                           bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    if (store->scanning)
        return bus_fail(err, BUS_BUG, "%s: a scan of the outbox inside a scan", store->path);
    sqlite3_stmt *stmt = bus_statement_of(store, only ? BUS_SQL_OUTBOX_SCAN_ONE : BUS_SQL_OUTBOX_SCAN, err);
    if (!stmt)
        return err->status;
    sqlite3_bind_int64(stmt, 1, from);
    sqlite3_bind_int64(stmt, 2, most > INT64_MAX ? INT64_MAX : (int64_t)most);
    if (only)
        sqlite3_bind_int64(stmt, 3, only->id);
    bus_status status = BUS_OK;
    store->scanning = true;
    int rc;
    while ((rc = bus_step(store, stmt)) == SQLITE_ROW) {
        bus_outbox_row row;
        if ((status = fill(store, stmt, &row, err)) != BUS_OK || !each(&row, opaque))
            break;
    }
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        status = bus_store_fail(store, rc, "reading the outbox", err);
    store->scanning = false;
    sqlite3_reset(stmt);
    return status;
}

bus_outbox_depth bus_outbox_depth_of(const bus_store *store)
{
    return store->depth;
}

int64_t bus_outbox_next_id(const bus_store *store)
{
    return store->outbox_ids.next;
}

const bus_group bus_group_outbox = { .load = load };
