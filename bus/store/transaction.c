/* SPDX-License-Identifier: MIT
 * Transaction: SQLite and memory begin, go back and commit together (protocol rule R5). */
#include "base/error.h"
#include "base/failpoint.h"
#include "store/internal.h"

#include <string.h>

const bus_group *const bus_groups[] = {
    &bus_group_meta, &bus_group_destination, &bus_group_outbox, &bus_group_position, &bus_group_mark,
    &bus_group_seen, &bus_group_key, &bus_group_letter, &bus_group_body, &bus_group_schedule, &bus_group_answer, NULL,
};

static bus_status run(bus_store *store, bus_statement which, const char *doing, bus_error *err)
{
    sqlite3_stmt *stmt = bus_statement_of(store, which, err);
    return stmt ? bus_run_statement(store, stmt, doing, err) : err ? err->status : BUS_STORE;
}

static void each_saved(bus_store *store)
{
    for (const bus_group *const *group = bus_groups; *group; group++)
        if ((*group)->saved)
            (*group)->saved(store);
}

static void undo(bus_store *store, size_t mark)
{
    bus_stage_undo(&store->stage, mark);
    for (const bus_group *const *group = bus_groups; *group; group++)
        if ((*group)->back)
            (*group)->back(store, mark);
}

static void end(bus_store *store, bool committed)
{
    bus_stage_clear(&store->stage);
    store->active = store->saved = false;
    memset(&store->sticky, 0, sizeof store->sticky);
    for (const bus_group *const *group = bus_groups; *group; group++)
        if ((*group)->ended)
            (*group)->ended(store, committed);
}

bus_status bus_store_begin(bus_store *store, bus_error *err)
{
    if (store->active)
        return bus_fail(err, BUS_BUG, "%s: begin inside a transaction", store->path);
    bus_error local;
    bus_status status = run(store, BUS_SQL_BEGIN, "beginning a transaction", err ? err : &local);
    if (status != BUS_OK)
        return status;
    bus_stage_clear(&store->stage);
    bus_fresh_begin(&store->fresh);
    store->now_ms = store->clock->wall_ms(store->clock);
    store->active = true;
    each_saved(store);
    return BUS_OK;
}

void bus_store_rollback(bus_store *store)
{
    if (!store->active)
        return;
    /* SQLite has rolled back by itself after some errors; then there is nothing left to undo there. */
    if (!sqlite3_get_autocommit(store->db)) {
        bus_error err;
        if (run(store, BUS_SQL_ROLLBACK, "rolling back", &err) != BUS_OK && !sqlite3_get_autocommit(store->db))
            (void)bus_exec(store, "ROLLBACK", "rolling back", NULL);
    }
    store->saved = false;
    undo(store, 0);
    end(store, false);
}

static bus_status flush(bus_store *store, bus_error *err)
{
    for (const bus_group *const *group = bus_groups; *group; group++)
        if ((*group)->flush) {
            bus_status status = (*group)->flush(store, err);
            if (status != BUS_OK)
                return status;
        }
    return BUS_OK;
}

bus_status bus_store_commit(bus_store *store, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    if (!store->active)
        return bus_fail(err, BUS_BUG, "%s: commit outside a transaction", store->path);
    bus_status status = BUS_OK;
    if (store->sticky.status != BUS_OK) {
        *err = store->sticky;
        status = err->status;
    } else if (store->saved) {
        status = bus_fail(err, BUS_BUG, "%s: commit inside a savepoint", store->path);
    } else {
        status = bus_store_standing(store, err);
    }
    if (status == BUS_OK)
        status = flush(store, err);
    if (status == BUS_OK) {
        BUS_FAILPOINT("store_commit");
        store->committing = true;
        status = run(store, BUS_SQL_COMMIT, "committing", err);
        store->committing = false;
    }
    if (status != BUS_OK) {
        bus_store_rollback(store);
        return status;
    }
    BUS_FAILPOINT("store_committed");
    end(store, true);
    return BUS_OK;
}

bool bus_store_active(const bus_store *store)
{
    return store->active;
}

bus_status bus_store_save(bus_store *store, bool sql, bus_error *err)
{
    if (!store->active || store->saved)
        return bus_fail(err, BUS_BUG, "%s: save %s", store->path, store->saved ? "twice" : "outside a transaction");
    if (store->sticky.status != BUS_OK) {
        if (err)
            *err = store->sticky;
        return store->sticky.status;
    }
    if (sql) {
        bus_error local;
        bus_status status = run(store, BUS_SQL_SAVE, "setting a savepoint", err ? err : &local);
        if (status != BUS_OK)
            return status;
    }
    store->saved = true;
    store->saved_sql = sql;
    store->saved_mark = bus_stage_mark(&store->stage);
    store->saved_changes = sqlite3_total_changes64(store->db);
    each_saved(store);
    return BUS_OK;
}

bus_status bus_store_release(bus_store *store, bus_error *err)
{
    if (!store->saved)
        return bus_fail(err, BUS_BUG, "%s: release without save", store->path);
    if (store->saved_sql) {
        bus_error local;
        bus_status status = run(store, BUS_SQL_RELEASE, "releasing a savepoint", err ? err : &local);
        if (status != BUS_OK)
            return status;
    }
    store->saved = false;
    return BUS_OK;
}

bus_status bus_store_back(bus_store *store, bus_error *err)
{
    if (!store->saved)
        return bus_fail(err, BUS_BUG, "%s: back without save", store->path);
    bus_error local;
    err = err ? err : &local;
    bus_status status = BUS_OK;
    if (store->saved_sql) {
        if ((status = run(store, BUS_SQL_BACK, "going back to a savepoint", err)) != BUS_OK ||
            (status = run(store, BUS_SQL_RELEASE, "going back to a savepoint", err)) != BUS_OK)
            return status;
    } else if (bus_store_changed(store)) {
        return bus_fail(err, BUS_BUG, "%s: rows were changed since a save of memory only: roll the batch back", store->path);
    }
    undo(store, store->saved_mark);
    store->saved = false;
    memset(&store->sticky, 0, sizeof store->sticky);
    return BUS_OK;
}

bool bus_store_changed(const bus_store *store)
{
    return sqlite3_total_changes64(store->db) != store->saved_changes;
}
