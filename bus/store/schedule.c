/* SPDX-License-Identifier: MIT
 * Schedule: emits that wait for their time. In memory only when the next one is due. */
#include "base/error.h"
#include "store/internal.h"

#include <string.h>

static bus_status find_next(bus_store *store, bus_error *err)
{
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_SCHEDULE_DUE, err);
    if (!stmt)
        return err->status;
    int rc = bus_step(store, stmt);
    bus_status status = BUS_OK;
    if (rc == SQLITE_ROW || rc == SQLITE_DONE)
        store->next_due = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : INT64_MAX;
    else
        status = bus_store_fail(store, rc, "reading the schedule", err);
    sqlite3_reset(stmt);
    return status;
}

int64_t bus_schedule_count(bus_store *store)
{
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_SCHEDULE_COUNT, &(bus_error){ 0 });
    int64_t count = stmt && bus_step(store, stmt) == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;
    if (stmt)
        sqlite3_reset(stmt);
    return count;
}

static bus_status drop(bus_store *store, const char *name, bool *there, bus_error *err)
{
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_SCHEDULE_DROP, err);
    if (!stmt)
        return err->status;
    if (!bus_note(store, &store->next_due, sizeof store->next_due))
        return bus_fail_nomem(err);
    bus_bind_text(stmt, 1, name);
    bus_status status = bus_run_statement(store, stmt, "cancelling a scheduled event", err);
    *there = status == BUS_OK && sqlite3_changes(store->db) > 0;
    return *there ? find_next(store, err) : status;
}

bus_status bus_schedule_put(bus_store *store, bus_scheduled *event, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    bool there;
    int64_t id;
    bus_status status = drop(store, event->name, &there, err);
    sqlite3_stmt *stmt = status == BUS_OK ? bus_statement_of(store, BUS_SQL_SCHEDULE_PUT, err) : NULL;
    if (!stmt)
        return err->status;
    if (!bus_lease_take(store, &store->serial, &id))
        return bus_fail_nomem(err);
    sqlite3_bind_int64(stmt, 1, id);
    bus_bind_text(stmt, 2, event->name);
    sqlite3_bind_int64(stmt, 3, event->due);
    bus_bind_text(stmt, 4, event->event_id);
    bus_bind_text(stmt, 5, event->topic);
    sqlite3_bind_int(stmt, 6, event->partition);
    bus_bind_bytes(stmt, 7, event->key, event->key_len);
    bus_bind_bytes(stmt, 8, event->headers, event->headers_len);
    bus_bind_bytes(stmt, 9, event->value, event->value_len);
    status = bus_run_statement(store, stmt, "scheduling an event", err);
    if (status != BUS_OK)
        return status;
    event->id = id;
    if (event->due < store->next_due)
        store->next_due = event->due; /* noted by drop */
    return BUS_OK;
}

bool bus_schedule_drop(bus_store *store, const char *name)
{
    bus_error err;
    bool there = false;
    if (drop(store, name, &there, &err) != BUS_OK)
        bus_store_doom(store, &err); /* "already sent" would be a lie */
    return there;
}

int64_t bus_schedule_next_due(const bus_store *store)
{
    return store->next_due;
}

static bool copy(sqlite3_stmt *row, bus_arena *arena, bus_scheduled *out)
{
    const void *name, *event_id, *topic;
    size_t len;
    out->id = sqlite3_column_int64(row, 0);
    out->due = sqlite3_column_int64(row, 2);
    out->partition = sqlite3_column_int(row, 5);
    if (!bus_column_copy(row, 1, arena, &name, &len) || !bus_column_copy(row, 3, arena, &event_id, &len) ||
        !bus_column_copy(row, 4, arena, &topic, &len) || !bus_column_copy(row, 6, arena, &out->key, &out->key_len) ||
        !bus_column_copy(row, 7, arena, &out->headers, &out->headers_len) || !bus_column_copy(row, 8, arena, &out->value, &out->value_len))
        return false;
    out->name = name;
    out->event_id = event_id;
    out->topic = topic;
    return true;
}

bus_status bus_schedule_take(bus_store *store, int64_t now, bus_arena *arena, bus_scheduled *out, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    if (now < store->next_due)
        return bus_fail(err, BUS_MISSING, "%s: nothing scheduled is due", store->path);
    sqlite3_stmt *first = bus_statement_of(store, BUS_SQL_SCHEDULE_FIRST, err), *delete = bus_statement_of(store, BUS_SQL_SCHEDULE_DELETE, err);
    if (!first || !delete)
        return err->status;
    sqlite3_bind_int64(first, 1, now);
    int rc = bus_step(store, first);
    bus_scheduled row = { 0 };
    bus_status status = BUS_OK;
    if (rc == SQLITE_DONE)
        status = bus_fail(err, BUS_MISSING, "%s: nothing scheduled is due", store->path);
    else if (rc != SQLITE_ROW)
        status = bus_store_fail(store, rc, "reading the schedule", err);
    else if (!copy(first, arena, &row))
        status = bus_fail_nomem(err);
    sqlite3_reset(first);
    if (status != BUS_OK)
        return status;
    if (!bus_note(store, &store->next_due, sizeof store->next_due))
        return bus_fail_nomem(err);
    sqlite3_bind_int64(delete, 1, row.id);
    if ((status = bus_run_statement(store, delete, "taking a scheduled event", err)) != BUS_OK || (status = find_next(store, err)) != BUS_OK)
        return status;
    *out = row;
    return BUS_OK;
}

bus_status bus_schedule_find(bus_store *store, const char *name, bus_arena *arena, bus_scheduled *out, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_SCHEDULE_FIND, err);
    if (!stmt)
        return err->status;
    bus_bind_text(stmt, 1, name);
    int rc = bus_step(store, stmt);
    bus_scheduled row = { 0 };
    bus_status status = BUS_OK;
    if (rc == SQLITE_DONE)
        status = bus_fail(err, BUS_MISSING, "%s: nothing is scheduled as '%.80s'", store->path, name);
    else if (rc != SQLITE_ROW)
        status = bus_store_fail(store, rc, "reading the schedule", err);
    else if (!copy(stmt, arena, &row))
        status = bus_fail_nomem(err);
    sqlite3_reset(stmt);
    if (status == BUS_OK)
        *out = row;
    return status;
}

const bus_group bus_group_schedule = { .load = find_next };
