/* SPDX-License-Identifier: MIT
 * Body: the events of dead letters whose records are too small for them. What the store holds outlives the retention of the
 * topic that the event came from, and a rebuild, which opens the letter again, makes it again. */
#include "base/error.h"
#include "store/internal.h"

static bus_status count(bus_store *store, bus_error *err)
{
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_BODY_COUNT, err);
    if (!stmt)
        return err->status;
    int rc = bus_step(store, stmt);
    bus_status status = BUS_OK;
    if (rc == SQLITE_ROW)
        store->bodies = (bus_bodies){ sqlite3_column_int64(stmt, 0), sqlite3_column_int64(stmt, 1) };
    else
        status = bus_store_fail(store, rc, "counting letters' bodies", err);
    sqlite3_reset(stmt);
    return status;
}

bus_status bus_body_drop(bus_store *store, const char *letter, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    if (!store->bodies.count)
        return BUS_OK;
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_BODY_DELETE, err);
    if (!stmt)
        return err->status;
    if (!bus_note(store, &store->bodies, sizeof store->bodies))
        return bus_fail_nomem(err);
    bus_bind_text(stmt, 1, letter);
    int rc = bus_step(store, stmt);
    if (rc == SQLITE_ROW) {
        store->bodies.count--;
        store->bodies.bytes -= sqlite3_column_int64(stmt, 0);
        rc = bus_step(store, stmt);
    }
    bus_status status = rc == SQLITE_DONE ? BUS_OK : bus_store_fail(store, rc, "deleting a letter's body", err);
    sqlite3_reset(stmt);
    return status;
}

bus_status bus_body_keep(bus_store *store, const char *letter, const bus_body *body, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    int64_t size = (int64_t)(body->key_len + body->value_len + body->headers_len);
    bus_status status = bus_body_drop(store, letter, err);
    sqlite3_stmt *stmt = status == BUS_OK ? bus_statement_of(store, BUS_SQL_BODY_ADD, err) : NULL;
    if (!stmt)
        return err->status;
    if (!bus_note(store, &store->bodies, sizeof store->bodies))
        return bus_fail_nomem(err);
    bus_bind_text(stmt, 1, letter);
    sqlite3_bind_int64(stmt, 2, size);
    bus_bind_bytes(stmt, 3, body->key, body->key_len);
    bus_bind_bytes(stmt, 4, body->headers, body->headers_len);
    bus_bind_bytes(stmt, 5, body->value, body->value_len);
    status = bus_run_statement(store, stmt, "keeping a letter's body", err);
    if (status == BUS_OK) {
        store->bodies.count++;
        store->bodies.bytes += size;
    }
    return status;
}

bus_status bus_body_get(bus_store *store, const char *letter, bus_arena *arena, bus_body *out, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_BODY_GET, err);
    if (!stmt)
        return err->status;
    bus_bind_text(stmt, 1, letter);
    int rc = bus_step(store, stmt);
    bus_status status = BUS_OK;
    if (rc == SQLITE_DONE)
        status = bus_fail(err, BUS_MISSING, "%s: the body of letter %.40s is not kept here", store->path, letter);
    else if (rc != SQLITE_ROW)
        status = bus_store_fail(store, rc, "reading a letter's body", err);
    else if (!bus_column_copy(stmt, 0, arena, &out->key, &out->key_len) || !bus_column_copy(stmt, 1, arena, &out->headers, &out->headers_len) ||
             !bus_column_copy(stmt, 2, arena, &out->value, &out->value_len))
        status = bus_fail_nomem(err);
    sqlite3_reset(stmt);
    return status;
}

bus_bodies bus_bodies_of(const bus_store *store) { return store->bodies; }

const bus_group bus_group_body = { .load = count };
