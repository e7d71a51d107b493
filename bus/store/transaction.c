/* SPDX-License-Identifier: MIT
 * Transaction: SQLite and memory begin, go back and commit together (protocol rule R5). */
#include "base/error.h"
#include "base/failpoint.h"
#include "store/internal.h"

#include <string.h>

const bui_group *const bui_groups[] = {
    &bui_group_meta,
    &bui_group_destination,
    &bui_group_outbox,
    &bui_group_position,
    &bui_group_mark,
    &bui_group_seen,
    &bui_group_key,
    &bui_group_letter,
    &bui_group_body,
    &bui_group_schedule,
    &bui_group_answer,
    &bui_group_state,
    NULL,
};

static bus_status run(bui_store *store, bui_statement which, const char *doing, bus_error *err)
{
    sqlite3_stmt *stmt = bui_statement_of(store, which, err);
    return stmt ? bui_run_statement(store, stmt, doing, err) : err ? err->status : BUS_STORE;
}

static void each_saved(bui_store *store)
{
    for (const bui_group *const *group = bui_groups; *group; group++)
        if ((*group)->saved)
            (*group)->saved(store);
}

static void undo(bui_store *store, size_t mark)
{
    bui_undo_log_undo(&store->undo_log, mark);
    for (const bui_group *const *group = bui_groups; *group; group++)
        if ((*group)->back)
            (*group)->back(store, mark);
}

static void end(bui_store *store, bool committed)
{
    bui_undo_log_clear(&store->undo_log);
    store->active = store->saved = false;
    memset(&store->sticky, 0, sizeof store->sticky);
    for (const bui_group *const *group = bui_groups; *group; group++)
        if ((*group)->ended)
            (*group)->ended(store, committed);
}

bus_status bui_store_begin(bui_store *store, bus_error *err)
{
    if (store->active)
        return bui_fail(err, BUS_BUG, "%s: begin inside a transaction", store->path);
    bus_error local;
    bus_status status = run(store, BUI_SQL_BEGIN, "beginning a transaction", err ? err : &local);
    if (status != BUS_OK)
        return status;
    bui_undo_log_clear(&store->undo_log);
    bui_pending_begin(&store->pending);
    store->now_ms = store->clock->wall_ms(store->clock);
    store->active = true;
    bui_states_begun(store);
    each_saved(store);
    return BUS_OK;
}

void bui_store_rollback(bui_store *store)
{
    if (!store->active)
        return;
    /* After some errors SQLite has already rolled back; then there is nothing left to undo there. */
    if (!sqlite3_get_autocommit(store->db)) {
        bus_error err;
        if (run(store, BUI_SQL_ROLLBACK, "rolling back", &err) != BUS_OK && !sqlite3_get_autocommit(store->db))
            (void)bui_exec(store, "ROLLBACK", "rolling back", NULL);
    }
    store->saved = false;
    undo(store, 0);
    end(store, false);
}

static bus_status flush(bui_store *store, bus_error *err)
{
    for (const bui_group *const *group = bui_groups; *group; group++)
        if ((*group)->flush) {
            bus_status status = (*group)->flush(store, err);
            if (status != BUS_OK)
                return status;
        }
    return BUS_OK;
}

bus_status bui_store_commit(bui_store *store, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    if (!store->active)
        return bui_fail(err, BUS_BUG, "%s: commit outside a transaction", store->path);
    bus_status status = BUS_OK;
    if (store->sticky.status != BUS_OK) {
        *err = store->sticky;
        status = err->status;
    } else if (store->saved) {
        status = bui_fail(err, BUS_BUG, "%s: commit inside a savepoint", store->path);
    } else {
        status = bui_store_standing(store, err);
    }
    if (status == BUS_OK)
        status = flush(store, err);
    if (status == BUS_OK) {
        BUI_FAILPOINT("store_commit");
        store->committing = true;
        status = run(store, BUI_SQL_COMMIT, "committing", err);
        store->committing = false;
    }
    if (status != BUS_OK) {
        bui_store_rollback(store);
        return status;
    }
    BUI_FAILPOINT("store_committed");
    end(store, true);
    return BUS_OK;
}

bool bui_store_active(const bui_store *store)
{
    return store->active;
}

bus_status bui_store_save(bui_store *store, bool sql, bus_error *err)
{
    if (!store->active || store->saved)
        return bui_fail(err, BUS_BUG, "%s: save %s", store->path, store->saved ? "twice" : "outside a transaction");
    if (store->sticky.status != BUS_OK) {
        if (err)
            *err = store->sticky;
        return store->sticky.status;
    }
    if (sql) {
        bus_error local;
        bus_status status = run(store, BUI_SQL_SAVE, "setting a savepoint", err ? err : &local);
        if (status != BUS_OK)
            return status;
    }
    store->saved = true;
    store->saved_sql = sql;
    store->saved_mark = bui_undo_log_mark(&store->undo_log);
    store->saved_changes = sqlite3_total_changes64(store->db);
    each_saved(store);
    return BUS_OK;
}

bus_status bui_store_release(bui_store *store, bus_error *err)
{
    if (!store->saved)
        return bui_fail(err, BUS_BUG, "%s: release without save", store->path);
    if (store->saved_sql) {
        bus_error local;
        bus_status status = run(store, BUI_SQL_RELEASE, "releasing a savepoint", err ? err : &local);
        if (status != BUS_OK)
            return status;
    }
    store->saved = false;
    return BUS_OK;
}

bus_status bui_store_back(bui_store *store, bus_error *err)
{
    if (!store->saved)
        return bui_fail(err, BUS_BUG, "%s: back without save", store->path);
    bus_error local;
    err = err ? err : &local;
    bus_status status = BUS_OK;
    if (store->saved_sql) {
        status = run(store, BUI_SQL_BACK, "going back to a savepoint", err);
        if (status == BUS_OK)
            status = run(store, BUI_SQL_RELEASE, "going back to a savepoint", err);
        if (status != BUS_OK)
            return status;
    } else if (bui_store_changed(store)) {
        return bui_fail(err, BUS_BUG, "%s: rows were changed since a save of memory only: roll the batch back", store->path);
    }
    undo(store, store->saved_mark);
    store->saved = false;
    memset(&store->sticky, 0, sizeof store->sticky);
    return BUS_OK;
}

bool bui_store_changed(const bui_store *store)
{
    return sqlite3_total_changes64(store->db) != store->saved_changes;
}
