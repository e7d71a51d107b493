/* SPDX-License-Identifier: MIT
 * Outbox: rows committed with the user's data, to be relayed in id order. */
#include "base/error.h"
#include "base/array.h"
#include "store/destination.h"
#include "store/internal.h"

#include <stdlib.h>
#include <string.h>

/* Two tables take turns: while the rows of one wait for their acknowledgements new ones go to the other, and when all of them are
 * in, the first is emptied whole. Deleting rows one by one cost as much as adding them, most of it to keep half-empty pages in
 * balance. All ids of the older table are below `split`, all of the younger at or above it. */
#define SWITCH_ROWS 256 /* fewer share their pages with the next: a switch would write one page more for each commit */

static bui_statement of_table(bui_statement first, int which)
{
    return (bui_statement)((int)first + which);
}

/* When the first row that is ready was made; the older table's, if it has one. */
static bus_status oldest(bui_store *store, bus_error *err)
{
    bui_tables_outbox *outbox = &store->outbox;
    int which = !outbox->current;
    outbox->depth.oldest_ms = 0;
    if (!outbox->depth.rows)
        return BUS_OK;
    if (outbox->table[which].rows == outbox->table[which].rejected)
        which = outbox->current;
    sqlite3_stmt *stmt = bui_statement_of(store, of_table(BUI_SQL_OUTBOX_OLDEST, which), err);
    if (!stmt)
        return err->status;
    int rc = bui_step(store, stmt);
    bus_status status = BUS_OK;
    if (rc == SQLITE_ROW || rc == SQLITE_DONE)
        outbox->depth.oldest_ms = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;
    else
        status = bui_store_fail(store, rc, "reading the outbox", err);
    sqlite3_reset(stmt);
    return status;
}

/* What a range of a table holds, and its first and last id. */
static bus_status sum(bui_store *store, int which, int64_t from, int64_t to, bui_outbox_table *out, bus_error *err)
{
    sqlite3_stmt *stmt = bui_statement_of(store, of_table(BUI_SQL_OUTBOX_SUM, which), err);
    if (!stmt)
        return err->status;
    sqlite3_bind_int64(stmt, 1, from);
    sqlite3_bind_int64(stmt, 2, to);
    int rc = bui_step(store, stmt);
    bus_status status = BUS_OK;
    if (rc == SQLITE_ROW)
        *out = (bui_outbox_table){ .rows = sqlite3_column_int64(stmt, 0),
                                   .bytes = sqlite3_column_int64(stmt, 1),
                                   .rejected = sqlite3_column_int64(stmt, 2),
                                   .low = sqlite3_column_int64(stmt, 3),
                                   .high = sqlite3_column_int64(stmt, 4) };
    else
        status = bui_store_fail(store, rc, "counting the outbox", err);
    sqlite3_reset(stmt);
    return status;
}

static bus_status load(bui_store *store, bus_error *err)
{
    bui_tables_outbox *outbox = &store->outbox;
    for (int i = 0; i < 2; i++) {
        bus_status status = sum(store, i, INT64_MIN, INT64_MAX, &outbox->table[i], err);
        if (status != BUS_OK)
            return status;
        outbox->depth.rows += outbox->table[i].rows - outbox->table[i].rejected;
        outbox->depth.bytes += outbox->table[i].bytes;
        outbox->depth.rejected += outbox->table[i].rejected;
    }
    outbox->current = outbox->table[1].rows && outbox->table[1].high > outbox->table[0].high;
    outbox->split = outbox->table[!outbox->current].rows ? outbox->table[!outbox->current].high + 1 : 0;
    return oldest(store, err);
}

/* ---- adding */

/* Copies a part of the row to `end`; where the next begins. */
static uint8_t *keep_part(const bui_buf *bytes, uint8_t *end, const void *part, size_t len, bool *there, size_t *at)
{
    *there = part != NULL;
    *at = (size_t)(end - bytes->data);
    if (part && len)
        memcpy(end, part, len);
    return end + len;
}

static bui_pending_row *keep_row(bui_pending_outbox *pending, const bui_outbox_row *row)
{
    if (!bui_array_room(&pending->row, &pending->cap, pending->count + 1, sizeof *pending->row, 256))
        return NULL;
    bui_pending_row *kept = &pending->row[pending->count];
    *kept = (bui_pending_row){ .at = row->at,
                               .destination = row->destination,
                               .key_len = row->key ? row->key_len : 0,
                               .value_len = row->value ? row->value_len : 0,
                               .headers_len = row->headers ? row->headers_len : 0,
                               .event_id_len = row->event_id ? strlen(row->event_id) : 0 };
    bui_buf *bytes = &pending->bytes;
    size_t id_len = row->event_id ? kept->event_id_len + 1 : 0; /* terminated */
    uint8_t *end = bui_buf_grow(bytes, id_len + kept->key_len + kept->value_len + kept->headers_len);
    if (!end) {
        bytes->failed = bytes->over = false;
        return NULL;
    }
    end = keep_part(bytes, end, row->event_id, id_len, &kept->has_event_id, &kept->event_id);
    end = keep_part(bytes, end, row->key, kept->key_len, &kept->has_key, &kept->key);
    end = keep_part(bytes, end, row->value, kept->value_len, &kept->has_value, &kept->value);
    keep_part(bytes, end, row->headers, kept->headers_len, &kept->has_headers, &kept->headers);
    return kept;
}

/* Between two writings, so that all that a statement writes goes to one table. */
static void take_turns(bui_store *store)
{
    bui_tables_outbox *outbox = &store->outbox;
    if (store->pending.count > store->pending.written || outbox->table[!outbox->current].rows ||
        outbox->table[outbox->current].rows < SWITCH_ROWS)
        return;
    outbox->current = !outbox->current;
    outbox->split = store->outbox_ids.next;
}

bus_status bui_outbox_add(bui_store *store, bui_outbox_row *row, bus_error *err)
{
    bui_destination *destination = row->destination;
    int64_t seq = row->seq ? row->seq : destination->next_seq;
    if (!bui_note(store, &store->outbox_ids.next, sizeof store->outbox_ids.next) ||
        !bui_note(store, &destination->next_seq, sizeof destination->next_seq) ||
        !bui_note(store, &store->outbox, sizeof store->outbox))
        return bui_fail_nomem(err);
    take_turns(store);
    bui_pending_row *kept = keep_row(&store->pending, row);
    if (!kept)
        return bui_fail_nomem(err);
    kept->id = row->id = store->outbox_ids.next++;
    kept->seq = row->seq = seq;
    store->pending.count++;
    if (seq >= destination->next_seq)
        destination->next_seq = seq + 1;
    bui_destination_dirty(store, destination);
    bui_outbox_depth *depth = &store->outbox.depth;
    bui_outbox_table *table = &store->outbox.table[store->outbox.current];
    int64_t size = (int64_t)(kept->key_len + kept->value_len + kept->headers_len);
    if (!depth->rows)
        depth->oldest_ms = store->now_ms;
    depth->rows++;
    depth->bytes += size;
    if (!table->rows++)
        table->low = row->id;
    table->bytes += size;
    table->high = row->id;
    return BUS_OK;
}

/* The rows kept in memory go to the table. */
static bus_status write_pending(bui_store *store, bus_error *err)
{
    bui_pending_outbox *pending = &store->pending;
    if (pending->written == pending->count)
        return BUS_OK;
    sqlite3_stmt *stmt = bui_statement_of(store, of_table(BUI_SQL_OUTBOX_ADD, store->outbox.current), err);
    if (!stmt)
        return err->status;
    sqlite3_bind_int64(stmt, 1, store->epoch);
    sqlite3_bind_int64(stmt, 2, store->now_ms);
    bus_status status = bui_run_statement(store, stmt, "adding to the outbox", err);
    if (status == BUS_OK)
        pending->written = pending->count;
    return status;
}

size_t bui_outbox_pending_count(const bui_store *store)
{
    return store->pending.count;
}

void bui_outbox_pending_keep(bui_store *store, bool keep)
{
    store->pending.keeps = keep;
}

void bui_outbox_pending(const bui_store *store, size_t i, bui_outbox_row *out)
{
    const bui_pending_row *row = &store->pending.row[i];
    const uint8_t *bytes = store->pending.bytes.data;
    *out = (bui_outbox_row){ .id = row->id,
                             .destination = row->destination,
                             .source = row->destination->source,
                             .seq = row->seq,
                             .event_id = row->has_event_id ? (const char *)bytes + row->event_id : NULL,
                             .key = row->has_key ? bytes + row->key : NULL,
                             .key_len = row->key_len,
                             .value = row->has_value ? bytes + row->value : NULL,
                             .value_len = row->value_len,
                             .headers = row->has_headers ? bytes + row->headers : NULL,
                             .headers_len = row->headers_len,
                             .at = row->at };
}

/* ---- deleting */

static void subtract(bui_store *store, int which, const bui_outbox_table *gone)
{
    bui_tables_outbox *outbox = &store->outbox;
    outbox->depth.rows -= gone->rows - gone->rejected;
    outbox->depth.bytes -= gone->bytes;
    outbox->depth.rejected -= gone->rejected;
    outbox->table[which].rows -= gone->rows;
    outbox->table[which].bytes -= gone->bytes;
    outbox->table[which].rejected -= gone->rejected;
}

static bus_status delete_range(bui_store *store, int which, int64_t from, int64_t to, bus_error *err)
{
    bui_outbox_table gone;
    sqlite3_stmt *stmt = bui_statement_of(store, of_table(BUI_SQL_OUTBOX_DELETE, which), err);
    if (!stmt)
        return err->status;
    bus_status status = sum(store, which, from, to, &gone, err);
    if (status != BUS_OK)
        return status;
    sqlite3_bind_int64(stmt, 1, from);
    sqlite3_bind_int64(stmt, 2, to);
    status = bui_run_statement(store, stmt, "deleting from the outbox", err);
    if (status != BUS_OK)
        return status;
    subtract(store, which, &gone);
    if (from <= store->outbox.table[which].low && to >= store->outbox.table[which].low)
        store->outbox.table[which].low = to + 1;
    return BUS_OK;
}

/* Are these all that the table holds? Without a gap they are ids of a run, and what lies in it is among them. */
static bool whole(const bui_outbox_table *table, const int64_t *ids, size_t count)
{
    return count && ids[0] <= table->low && ids[count - 1] >= table->high && ids[count - 1] - ids[0] == (int64_t)count - 1;
}

static bus_status delete_from(bui_store *store, int which, const int64_t *ids, size_t count, bool lazily, size_t *gone,
                              bus_error *err)
{
    bus_status status = BUS_OK;
    const bui_outbox_table all = store->outbox.table[which];
    if (all.rows && whole(&all, ids, count)) {
        sqlite3_stmt *stmt = bui_statement_of(store, of_table(BUI_SQL_OUTBOX_EMPTY, which), err);
        status = stmt ? bui_run_statement(store, stmt, "emptying the outbox", err) : err->status;
        if (status != BUS_OK)
            return status;
        subtract(store, which, &all);
        *gone += count;
        return BUS_OK;
    }
    for (size_t i = 0, j; i < count && status == BUS_OK && !lazily; i = j) {
        for (j = i + 1; j < count && ids[j] == ids[j - 1] + 1;)
            j++;
        status = delete_range(store, which, ids[i], ids[j - 1], err);
        *gone += j - i;
    }
    return status;
}

static bus_status delete_ids(bui_store *store, const int64_t *ids, size_t count, bool lazily, size_t *gone, bus_error *err)
{
    size_t older = 0;
    *gone = 0;
    if (!count)
        return BUS_OK;
    if (!bui_note(store, &store->outbox, sizeof store->outbox))
        return bui_fail_nomem(err);
    bus_status status = write_pending(store, err);
    while (older < count && ids[older] < store->outbox.split)
        older++;
    if (status == BUS_OK)
        status = delete_from(store, !store->outbox.current, ids, older, lazily, gone, err);
    if (status == BUS_OK && *gone == older)
        status = delete_from(store, store->outbox.current, ids + older, count - older, lazily, gone, err);
    if (status != BUS_OK || !*gone)
        return status;
    bui_destination_due(store);
    return oldest(store, err);
}

bus_status bui_outbox_delete(bui_store *store, const int64_t *ids, size_t count, bus_error *err)
{
    bus_error local;
    size_t gone;
    return delete_ids(store, ids, count, false, &gone, err ? err : &local);
}

bus_status bui_outbox_delete_whole(bui_store *store, const int64_t *ids, size_t count, size_t *gone, bus_error *err)
{
    bus_error local;
    return delete_ids(store, ids, count, true, gone, err ? err : &local);
}

/* Turns a row that is ready into one that is rejected, or back. */
static bus_status set_state(bui_store *store, int64_t id, bui_outbox_state as, const char *error, bus_error *err)
{
    int which = id < store->outbox.split ? !store->outbox.current : store->outbox.current;
    bool rejects = as != BUI_OUTBOX_READY;
    bus_status written = write_pending(store, err);
    bui_statement first = rejects ? BUI_SQL_OUTBOX_REJECT : BUI_SQL_OUTBOX_RETRY;
    sqlite3_stmt *stmt = written == BUS_OK ? bui_statement_of(store, of_table(first, which), err) : NULL;
    if (!stmt)
        return err->status;
    if (!bui_note(store, &store->outbox, sizeof store->outbox))
        return bui_fail_nomem(err);
    sqlite3_bind_int64(stmt, 1, id);
    if (rejects) {
        bui_bind_text(stmt, 2, error);
        sqlite3_bind_int(stmt, 3, (int)as);
    }
    int rc = bui_step(store, stmt);
    bool found = rc == SQLITE_ROW;
    if (found) {
        int by = rejects ? 1 : -1;
        store->outbox.depth.rows -= by;
        store->outbox.depth.rejected += by;
        store->outbox.table[which].rejected += by;
        rc = bui_step(store, stmt);
    }
    bus_status status =
        rc == SQLITE_DONE ? BUS_OK : bui_store_fail(store, rc, "rejecting an outbox row, or sending one again", err);
    sqlite3_reset(stmt);
    if (status == BUS_OK && !found)
        status = bui_fail(err, BUS_MISSING, "%s: outbox row %lld is not there or is %s", store->path, (long long)id,
                          rejects ? "rejected already" : "not rejected");
    return status == BUS_OK ? oldest(store, err) : status;
}

bus_status bui_outbox_reject(bui_store *store, int64_t id, bui_outbox_state as, const char *error, bus_error *err)
{
    bus_error local;
    return set_state(store, id, as, error, err ? err : &local);
}

bus_status bui_outbox_retry(bui_store *store, int64_t id, bus_error *err)
{
    bus_error local;
    return set_state(store, id, BUI_OUTBOX_READY, NULL, err ? err : &local);
}

bus_status bui_outbox_discard(bui_store *store, int64_t id, const char *operator, const char * reason, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_OUTBOX_DISCARD, err);
    if (!stmt)
        return err->status;
    sqlite3_bind_int64(stmt, 1, id);
    bui_bind_text(stmt, 2, operator);
    bui_bind_text(stmt, 3, reason);
    sqlite3_bind_int64(stmt, 4, store->now_ms);
    int rc = bui_step(store, stmt);
    bool found = rc == SQLITE_ROW;
    if (found)
        rc = bui_step(store, stmt);
    bus_status status = rc == SQLITE_DONE ? BUS_OK : bui_store_fail(store, rc, "discarding an outbox row", err);
    sqlite3_reset(stmt);
    if (status == BUS_OK && !found)
        return bui_fail(err, BUS_MISSING, "%s: outbox row %lld is not there or is not rejected", store->path, (long long)id);
    return status == BUS_OK ? bui_outbox_delete(store, &id, 1, err) : status;
}

static bus_status fill(bui_store *store, sqlite3_stmt *stmt, bui_outbox_row *row, bus_error *err)
{
    memset(row, 0, sizeof *row);
    row->id = sqlite3_column_int64(stmt, 0);
    row->destination = bui_destination_by_id(store, sqlite3_column_int64(stmt, 1));
    if (!row->destination)
        return bui_fail(err, BUS_CORRUPT, "%s: outbox row %lld names destination %lld, which is not recorded", store->path,
                        (long long)row->id, (long long)sqlite3_column_int64(stmt, 1));
    row->source = bui_source_of(store, sqlite3_column_int64(stmt, 2), err);
    if (!row->source)
        return err->status;
    row->seq = sqlite3_column_int64(stmt, 3);
    row->state = (bui_outbox_state)sqlite3_column_int(stmt, 4);
    row->at = sqlite3_column_int64(stmt, 5);
    row->event_id = (const char *)sqlite3_column_text(stmt, 6);
    row->key = bui_column_bytes(stmt, 7, &row->key_len);
    row->value = bui_column_bytes(stmt, 8, &row->value_len);
    row->headers = bui_column_bytes(stmt, 9, &row->headers_len);
    row->error = (const char *)sqlite3_column_text(stmt, 10);
    row->made = sqlite3_column_int64(stmt, 11);
    return BUS_OK;
}

static bus_status walk(bui_store *store, sqlite3_stmt *stmt, bui_outbox_each each, void *opaque, bus_error *err)
{
    bus_status status = BUS_OK;
    store->scanning = true;
    int rc;
    while ((rc = bui_step(store, stmt)) == SQLITE_ROW) {
        bui_outbox_row row;
        status = fill(store, stmt, &row, err);
        if (status != BUS_OK || !each(&row, opaque))
            break;
    }
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        status = bui_store_fail(store, rc, "reading the outbox", err);
    store->scanning = false;
    sqlite3_reset(stmt);
    return status;
}

bus_status bui_outbox_scan(bui_store *store, int64_t from, const bui_destination *only, size_t most, bui_outbox_each each,
                           void *opaque, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    if (store->scanning)
        return bui_fail(err, BUS_BUG, "%s: a scan of the outbox inside a scan", store->path);
    bus_status status = store->active ? write_pending(store, err) : BUS_OK;
    sqlite3_stmt *stmt =
        status == BUS_OK ? bui_statement_of(store, only ? BUI_SQL_OUTBOX_SCAN_ONE : BUI_SQL_OUTBOX_SCAN, err) : NULL;
    if (!stmt)
        return err->status;
    sqlite3_bind_int64(stmt, 1, from);
    sqlite3_bind_int64(stmt, 2, most > INT64_MAX ? INT64_MAX : (int64_t)most);
    if (only)
        sqlite3_bind_int64(stmt, 3, only->id);
    return walk(store, stmt, each, opaque, err);
}

bus_status bui_outbox_rejected(bui_store *store, bui_outbox_each each, void *opaque, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    if (!store->outbox.depth.rejected)
        return BUS_OK;
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_OUTBOX_REJECTED, err);
    return stmt ? walk(store, stmt, each, opaque, err) : err->status;
}

bui_outbox_depth bui_outbox_depth_of(const bui_store *store)
{
    return store->outbox.depth;
}

int64_t bui_outbox_next_id(const bui_store *store)
{
    return store->outbox_ids.next;
}

static void saved(bui_store *store)
{
    bui_pending_saved(&store->pending);
}

static void back(bui_store *store, size_t mark)
{
    (void)mark;
    bui_pending_back(&store->pending);
}

static void ended(bui_store *store, bool committed)
{
    bui_pending_ended(&store->pending, committed);
}

static void release(bui_store *store)
{
    bui_pending_free(&store->pending);
}

const bui_group bui_group_outbox = {
    .load = load, .flush = write_pending, .saved = saved, .back = back, .ended = ended, .free = release
};
