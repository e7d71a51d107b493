/* SPDX-License-Identifier: MIT
 * Raise: a store that is opened again writes under a new incarnation, and keeps what must be known of the former ones. */
#include "base/error.h"
#include "base/id.h"
#include "store/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMER_KEPT 1000 /* incarnations whose last numbers are kept */

static bus_status raise_rows(bui_store *store, const char *store_id, int64_t opens, int64_t epoch, const char *incarnation,
                             bus_error *err)
{
    sqlite3_stmt *add = bui_statement_of(store, BUI_SQL_INCARNATION_ADD, err),
                 *raise = bui_statement_of(store, BUI_SQL_META_RAISE, err);
    sqlite3_stmt *restart = bui_statement_of(store, BUI_SQL_DESTINATION_RESTART, err);
    sqlite3_stmt *prune = bui_statement_of(store, BUI_SQL_INCARNATION_PRUNE, err);
    sqlite3_stmt *keep = bui_statement_of(store, BUI_SQL_FORMER_ADD, err),
                 *forget = bui_statement_of(store, BUI_SQL_FORMER_PRUNE, err);
    if (!add || !raise || !restart || !prune || !keep || !forget)
        return err->status;
    sqlite3_bind_int64(keep, 1, store->epoch);
    bui_bind_text(keep, 2, store->source);
    sqlite3_bind_int64(forget, 1, epoch - FORMER_KEPT);
    sqlite3_bind_int64(add, 1, epoch);
    bui_bind_text(add, 2, incarnation);
    bui_bind_text(raise, 1, store_id);
    sqlite3_bind_int64(raise, 2, opens);
    sqlite3_bind_int64(raise, 3, epoch);
    sqlite3_bind_int64(raise, 4, store->file);
    sqlite3_bind_int64(prune, 1, epoch);
    /* How far it had numbered is kept while it is still the one that runs. */
    sqlite3_stmt *const steps[] = { keep, add, raise, forget, restart, prune };
    bus_status status = BUS_OK;
    for (size_t i = 0; i < sizeof steps / sizeof *steps && status == BUS_OK; i++)
        status = bui_run_statement(store, steps[i], "raising the count of opens", err);
    return status;
}

/* Outbox rows of the incarnation that ends keep its source. It is right for its epoch whether or not the commit succeeds. */
static bool keep_source(bui_store *store, char **former)
{
    if (bui_map_get(&store->sources, &store->epoch, sizeof store->epoch))
        return true;
    if (!bui_map_put(&store->sources, &store->epoch, sizeof store->epoch, *former))
        return false;
    *former = NULL;
    return true;
}

bus_status bui_store_raise(bui_store *store, const char *store_id, int64_t opens, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    char id[sizeof store->meta.store_id], incarnation[17];
    if (store_id && strlen(store_id) >= sizeof id)
        return bui_fail(err, BUS_INVALID, "'%.60s' is not a store id: it has over 36 characters", store_id);
    snprintf(id, sizeof id, "%s", store_id ? store_id : store->meta.store_id);
    opens = opens > 0 ? opens : store->meta.opens + 1;
    bui_token_random(incarnation);
    /* All memory first: after the commit nothing may fail. */
    char *source = bui_source_text(store, incarnation);
    char *former = source ? strdup(store->source) : NULL;
    bus_status status = former ? bui_store_begin(store, err) : bui_fail_nomem(err);
    if (status == BUS_OK) {
        status = raise_rows(store, id, opens, store->epoch + 1, incarnation, err);
        if (status == BUS_OK && !keep_source(store, &former))
            status = bui_fail_nomem(err);
        if (status == BUS_OK)
            status = bui_store_commit(store, err);
        else
            bui_store_rollback(store);
    }
    free(former);
    if (status != BUS_OK) {
        free(source);
        return status;
    }
    memcpy(store->meta.store_id, id, sizeof id);
    memcpy(store->meta.incarnation, incarnation, sizeof incarnation);
    store->meta.opens = opens;
    store->epoch++;
    char *old = store->source;
    store->source = source;
    for (size_t i = 0; i < store->destinations.all.count; i++) {
        bui_destination *destination = store->destinations.all.at[i];
        destination->next_seq = 1;
        destination->source = source;
    }
    free(old);
    return BUS_OK;
}

bus_status bui_store_forget_former(bui_store *store, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_FORMER_PRUNE, err);
    if (!stmt)
        return err->status;
    bus_status status = bui_store_begin(store, err);
    if (status != BUS_OK)
        return status;
    sqlite3_bind_int64(stmt, 1, INT64_MAX);
    status = bui_run_statement(store, stmt, "forgetting former incarnations", err);
    if (status == BUS_OK)
        return bui_store_commit(store, err);
    bui_store_rollback(store);
    return status;
}
