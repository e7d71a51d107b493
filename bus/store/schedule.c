/* SPDX-License-Identifier: MIT
 * Schedule: emits that wait for their time. Only the time of the next one is in memory. */
#include "base/error.h"
#include "store/internal.h"

#include <string.h>

static bus_status find_next(bui_store *store, bus_error *err)
{
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_SCHEDULE_DUE, err);
    if (!stmt)
        return err->status;
    int rc = bui_step(store, stmt);
    bus_status status = BUS_OK;
    if (rc == SQLITE_ROW || rc == SQLITE_DONE)
        store->next_due = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : INT64_MAX;
    else
        status = bui_store_fail(store, rc, "reading the schedule", err);
    sqlite3_reset(stmt);
    return status;
}

int64_t bui_schedule_count(bui_store *store)
{
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_SCHEDULE_COUNT, &(bus_error){ 0 });
    int64_t count = stmt && bui_step(store, stmt) == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;
    if (stmt)
        sqlite3_reset(stmt);
    return count;
}

static bus_status drop(bui_store *store, const char *name, bool *there, bus_error *err)
{
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_SCHEDULE_DROP, err);
    if (!stmt)
        return err->status;
    if (!bui_note(store, &store->next_due, sizeof store->next_due))
        return bui_fail_nomem(err);
    bui_bind_text(stmt, 1, name);
    bus_status status = bui_run_statement(store, stmt, "cancelling a scheduled event", err);
    *there = status == BUS_OK && sqlite3_changes(store->db) > 0;
    return *there ? find_next(store, err) : status;
}

bus_status bui_schedule_put(bui_store *store, bui_scheduled *event, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    bool there;
    int64_t id;
    bus_status status = drop(store, event->name, &there, err);
    sqlite3_stmt *stmt = status == BUS_OK ? bui_statement_of(store, BUI_SQL_SCHEDULE_PUT, err) : NULL;
    if (!stmt)
        return err->status;
    if (!bui_lease_take(store, &store->serial, &id))
        return bui_fail_nomem(err);
    sqlite3_bind_int64(stmt, 1, id);
    bui_bind_text(stmt, 2, event->name);
    sqlite3_bind_int64(stmt, 3, event->due);
    bui_bind_text(stmt, 4, event->event_id);
    bui_bind_text(stmt, 5, event->topic);
    sqlite3_bind_int(stmt, 6, event->partition);
    bui_bind_bytes(stmt, 7, event->key, event->key_len);
    bui_bind_bytes(stmt, 8, event->headers, event->headers_len);
    bui_bind_bytes(stmt, 9, event->value, event->value_len);
    status = bui_run_statement(store, stmt, "scheduling an event", err);
    if (status != BUS_OK)
        return status;
    event->id = id;
    if (event->due < store->next_due)
        store->next_due = event->due; /* noted by drop */
    return BUS_OK;
}

bool bui_schedule_drop(bui_store *store, const char *name)
{
    bus_error err;
    bool there = false;
    if (drop(store, name, &there, &err) != BUS_OK)
        bui_store_doom(store, &err); /* "already sent" would be a lie */
    return there;
}

int64_t bui_schedule_next_due(const bui_store *store)
{
    return store->next_due;
}

static bool copy(sqlite3_stmt *row, bui_arena *arena, bui_scheduled *out)
{
    const void *name, *event_id, *topic;
    size_t len;
    out->id = sqlite3_column_int64(row, 0);
    out->due = sqlite3_column_int64(row, 2);
    out->partition = sqlite3_column_int(row, 5);
    if (!bui_column_copy(row, 1, arena, &name, &len) || !bui_column_copy(row, 3, arena, &event_id, &len) ||
        !bui_column_copy(row, 4, arena, &topic, &len) || !bui_column_copy(row, 6, arena, &out->key, &out->key_len) ||
        !bui_column_copy(row, 7, arena, &out->headers, &out->headers_len) ||
        !bui_column_copy(row, 8, arena, &out->value, &out->value_len))
        return false;
    out->name = name;
    out->event_id = event_id;
    out->topic = topic;
    return true;
}

bus_status bui_schedule_take(bui_store *store, int64_t now, bui_arena *arena, bui_scheduled *out, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    if (now < store->next_due)
        return bui_fail(err, BUS_MISSING, "%s: nothing scheduled is due", store->path);
    sqlite3_stmt *first = bui_statement_of(store, BUI_SQL_SCHEDULE_FIRST, err),
                 *delete = bui_statement_of(store, BUI_SQL_SCHEDULE_DELETE, err);
    if (!first || !delete)
        return err->status;
    sqlite3_bind_int64(first, 1, now);
    int rc = bui_step(store, first);
    bui_scheduled row = { 0 };
    bus_status status = BUS_OK;
    if (rc == SQLITE_DONE)
        status = bui_fail(err, BUS_MISSING, "%s: nothing scheduled is due", store->path);
    else if (rc != SQLITE_ROW)
        status = bui_store_fail(store, rc, "reading the schedule", err);
    else if (!copy(first, arena, &row))
        status = bui_fail_nomem(err);
    sqlite3_reset(first);
    if (status != BUS_OK)
        return status;
    if (!bui_note(store, &store->next_due, sizeof store->next_due))
        return bui_fail_nomem(err);
    sqlite3_bind_int64(delete, 1, row.id);
    status = bui_run_statement(store, delete, "taking a scheduled event", err);
    if (status == BUS_OK)
        status = find_next(store, err);
    if (status != BUS_OK)
        return status;
    *out = row;
    return BUS_OK;
}

bus_status bui_schedule_find(bui_store *store, const char *name, bui_arena *arena, bui_scheduled *out, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_SCHEDULE_FIND, err);
    if (!stmt)
        return err->status;
    bui_bind_text(stmt, 1, name);
    int rc = bui_step(store, stmt);
    bui_scheduled row = { 0 };
    bus_status status = BUS_OK;
    if (rc == SQLITE_DONE)
        status = bui_fail(err, BUS_MISSING, "%s: nothing is scheduled as '%.80s'", store->path, name);
    else if (rc != SQLITE_ROW)
        status = bui_store_fail(store, rc, "reading the schedule", err);
    else if (!copy(stmt, arena, &row))
        status = bui_fail_nomem(err);
    sqlite3_reset(stmt);
    if (status == BUS_OK)
        *out = row;
    return status;
}

const bui_group bui_group_schedule = { .load = find_next };
