/* SPDX-License-Identifier: MIT
 * Letter: what this shard knows of its dead letters; their bytes are in the dead-letter topic. */
#include "base/error.h"
#include "store/internal.h"

#include <stdio.h>
#include <string.h>

static bool is_open(int state)
{
    return state == 1 || state == 2; /* open and redriven, of bus_letter_state */
}

static bus_status load(bus_store *store, bus_error *err)
{
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_LETTER_COUNT, err);
    if (!stmt)
        return err->status;
    int rc = bus_step(store, stmt);
    bus_status status = BUS_OK;
    if (rc == SQLITE_ROW)
        store->letters_open = sqlite3_column_int64(stmt, 0);
    else
        status = bus_store_fail(store, rc, "counting letters", err);
    sqlite3_reset(stmt);
    return status;
}

bus_status bus_letter_get(bus_store *store, const char *id, bus_letter *out, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_LETTER_GET, err);
    if (!stmt)
        return err->status;
    bus_bind_text(stmt, 1, id);
    int rc = bus_step(store, stmt);
    bus_status status = BUS_OK;
    const char *scope = NULL;
    if (rc == SQLITE_DONE)
        status = bus_fail(err, BUS_MISSING, "%s: there is no letter %.40s", store->path, id);
    else if (rc != SQLITE_ROW)
        status = bus_store_fail(store, rc, "reading a letter", err);
    else if (!(scope = bus_store_intern(store, bus_column_text(stmt, 1))))
        status = bus_fail_nomem(err);
    if (status == BUS_OK) {
        memset(out, 0, sizeof *out);
        snprintf(out->id, sizeof out->id, "%s", id);
        snprintf(out->event_id, sizeof out->event_id, "%s", bus_column_text(stmt, 0));
        out->scope = scope;
        out->key_id = sqlite3_column_int64(stmt, 2);
        out->round = sqlite3_column_int(stmt, 3);
        out->state = sqlite3_column_int(stmt, 4);
        out->first_failed = sqlite3_column_int64(stmt, 5);
    }
    sqlite3_reset(stmt);
    return status;
}

bus_status bus_letter_put(bus_store *store, const bus_letter *letter, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    bus_letter former;
    bus_status status = bus_letter_get(store, letter->id, &former, err);
    if (status != BUS_OK && status != BUS_MISSING)
        return status;
    int64_t change = is_open(letter->state) - (status == BUS_OK && is_open(former.state));
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_LETTER_PUT, err);
    if (!stmt)
        return err->status;
    if (!bus_note(store, &store->letters_open, sizeof store->letters_open))
        return bus_fail_nomem(err);
    bus_bind_text(stmt, 1, letter->id);
    bus_bind_text(stmt, 2, letter->event_id);
    bus_bind_text(stmt, 3, letter->scope ? letter->scope : "");
    sqlite3_bind_int64(stmt, 4, letter->key_id);
    sqlite3_bind_int(stmt, 5, letter->round);
    sqlite3_bind_int(stmt, 6, letter->state);
    sqlite3_bind_int64(stmt, 7, letter->first_failed);
    sqlite3_bind_int64(stmt, 8, store->now_ms);
    status = bus_run_statement(store, stmt, "writing a letter", err);
    if (status == BUS_OK)
        store->letters_open += change;
    return status;
}

int64_t bus_letter_open_count(const bus_store *store)
{
    return store->letters_open;
}

const bus_group bus_group_letter = { .load = load };
