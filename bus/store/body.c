/* SPDX-License-Identifier: MIT
 * Body: the events of dead letters whose records are too small for them. What the store holds outlives the retention of the
 * topic that the event came from, and a rebuild, which opens the dead letter again, makes it again. */
#include "base/error.h"
#include "store/internal.h"

static bus_status count(bui_store *store, bus_error *err)
{
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_BODY_COUNT, err);
    if (!stmt)
        return err->status;
    int rc = bui_step(store, stmt);
    bus_status status = BUS_OK;
    if (rc == SQLITE_ROW)
        store->bodies = (bui_bodies){ sqlite3_column_int64(stmt, 0), sqlite3_column_int64(stmt, 1) };
    else
        status = bui_store_fail(store, rc, "counting the events of dead letters", err);
    sqlite3_reset(stmt);
    return status;
}

bus_status bui_body_drop(bui_store *store, const char *letter, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    if (!store->bodies.count)
        return BUS_OK;
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_BODY_DELETE, err);
    if (!stmt)
        return err->status;
    if (!bui_note(store, &store->bodies, sizeof store->bodies))
        return bui_fail_nomem(err);
    bui_bind_text(stmt, 1, letter);
    int rc = bui_step(store, stmt);
    if (rc == SQLITE_ROW) {
        store->bodies.count--;
        store->bodies.bytes -= sqlite3_column_int64(stmt, 0);
        rc = bui_step(store, stmt);
    }
    bus_status status = rc == SQLITE_DONE ? BUS_OK : bui_store_fail(store, rc, "deleting the event of a dead letter", err);
    sqlite3_reset(stmt);
    return status;
}

bus_status bui_body_keep(bui_store *store, const char *letter, const bui_body *body, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    int64_t size = (int64_t)(body->key_len + body->value_len + body->headers_len);
    bus_status status = bui_body_drop(store, letter, err);
    sqlite3_stmt *stmt = status == BUS_OK ? bui_statement_of(store, BUI_SQL_BODY_ADD, err) : NULL;
    if (!stmt)
        return err->status;
    if (!bui_note(store, &store->bodies, sizeof store->bodies))
        return bui_fail_nomem(err);
    bui_bind_text(stmt, 1, letter);
    sqlite3_bind_int64(stmt, 2, size);
    bui_bind_bytes(stmt, 3, body->key, body->key_len);
    bui_bind_bytes(stmt, 4, body->headers, body->headers_len);
    bui_bind_bytes(stmt, 5, body->value, body->value_len);
    status = bui_run_statement(store, stmt, "keeping the event of a dead letter", err);
    if (status == BUS_OK) {
        store->bodies.count++;
        store->bodies.bytes += size;
    }
    return status;
}

bus_status bui_body_get(bui_store *store, const char *letter, bui_arena *arena, bui_body *out, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_BODY_GET, err);
    if (!stmt)
        return err->status;
    bui_bind_text(stmt, 1, letter);
    int rc = bui_step(store, stmt);
    bus_status status = BUS_OK;
    if (rc == SQLITE_DONE)
        status = bui_fail(err, BUS_MISSING, "%s: the event of dead letter %.40s is not kept here", store->path, letter);
    else if (rc != SQLITE_ROW)
        status = bui_store_fail(store, rc, "reading the event of a dead letter", err);
    else if (!bui_column_copy(stmt, 0, arena, &out->key, &out->key_len) ||
             !bui_column_copy(stmt, 1, arena, &out->headers, &out->headers_len) ||
             !bui_column_copy(stmt, 2, arena, &out->value, &out->value_len))
        status = bui_fail_nomem(err);
    sqlite3_reset(stmt);
    return status;
}

bui_bodies bui_bodies_of(const bui_store *store)
{
    return store->bodies;
}

const bui_group bui_group_body = { .load = count };
