/* SPDX-License-Identifier: MIT
 * Meta: which store this is, how often it was opened, under which incarnation it writes, and ids that are never reused. */
#include "base/error.h"
#include "base/id.h"
#include "store/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEASE 65536 /* ids recorded ahead, so that one batch in many pays for it; the rest is skipped at the next open */

char *bui_source_text(const bui_store *store, const char *incarnation)
{
    size_t cap = strlen(store->service) + strlen(incarnation) + 16;
    char *text = malloc(cap);
    if (text)
        snprintf(text, cap, "%s/%d#%s", store->service, store->shard, incarnation);
    return text;
}

static bus_status wrong_owner(const bui_store *store, const char *service, int shard, int shards, bus_error *err)
{
    if (strcmp(service, store->service) != 0)
        return bui_fail(err, BUS_REFUSED, "%s is a store of service '%.100s', not of '%s'; set the right data directory",
                        store->path, service, store->service);
    if (shard != store->shard)
        return bui_fail(err, BUS_REFUSED, "%s is the store of shard %d, not of shard %d; put the file back under its name",
                        store->path, shard, store->shard);
    if (shards != store->shards)
        return bui_fail(
            err, BUS_REFUSED,
            "%s was made for %d shards, the service now has %d; the number of shards is fixed at creation:"
            " set shards=%d (unset, it is the number of partitions of %s.redrive), or make a new service and replay into it",
            store->path, shards, store->shards, shards, store->service);
    return BUS_OK;
}

static bus_status take_row(bui_store *store, sqlite3_stmt *row, bus_error *err)
{
    bui_meta *meta = &store->meta;
    bus_status status = wrong_owner(store, bui_column_text(row, 0), sqlite3_column_int(row, 1), sqlite3_column_int(row, 2), err);
    if (status != BUS_OK)
        return status;
    snprintf(meta->store_id, sizeof meta->store_id, "%s", bui_column_text(row, 3));
    meta->opens = sqlite3_column_int64(row, 4);
    meta->shards = store->shards;
    snprintf(meta->incarnation, sizeof meta->incarnation, "%s", bui_column_text(row, 6));
    meta->transacted = sqlite3_column_int(row, 7) != 0;
    store->epoch = sqlite3_column_int64(row, 5);
    store->outbox_ids.next = store->outbox_ids.bound = sqlite3_column_int64(row, 8);
    store->serial.next = store->serial.bound = sqlite3_column_int64(row, 9);
    meta->age = sqlite3_column_int64(row, 10);
    store->seal = sqlite3_column_int64(row, 11);
    free(store->source);
    store->source = bui_source_text(store, meta->incarnation);
    return store->source ? BUS_OK : bui_fail_nomem(err);
}

bus_status bui_meta_load(bui_store *store, bus_error *err)
{
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_META_LOAD, err);
    if (!stmt)
        return err->status;
    int rc = bui_step(store, stmt);
    bus_status status;
    if (rc == SQLITE_ROW)
        status = take_row(store, stmt, err);
    else
        status = rc == SQLITE_DONE
                     ? bui_fail(err, BUS_CORRUPT, "%s has no bus_meta row; rebuild the store from its topics", store->path)
                     : bui_store_fail(store, rc, "reading the store's identity", err);
    sqlite3_reset(stmt);
    return status;
}

const bui_meta *bui_store_meta(const bui_store *store)
{
    return &store->meta;
}

bool bui_lease_take(bui_store *store, bui_lease *lease, int64_t *id)
{
    if (!bui_note(store, &lease->next, sizeof lease->next))
        return false;
    *id = lease->next++;
    return true;
}

/* Odd while it is written to, even by the commit that follows a checkpoint of all: see seal.c. */
static bus_status flush_seal(bui_store *store, bus_error *err)
{
    bool written_to = store->seal & 1;
    if (written_to != store->sealing)
        return BUS_OK;
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_META_SEAL, err);
    if (!stmt)
        return err->status;
    if (!bui_note(store, &store->seal, sizeof store->seal))
        return bui_fail_nomem(err);
    sqlite3_bind_int64(stmt, 1, ++store->seal);
    return bui_run_statement(store, stmt, "noting a checkpoint", err);
}

static bus_status flush_leases(bui_store *store, bus_error *err)
{
    bui_lease *a = &store->outbox_ids, *b = &store->serial;
    if (a->next <= a->bound && b->next <= b->bound)
        return BUS_OK;
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_META_LEASE, err);
    if (!stmt)
        return err->status;
    if (!bui_note(store, a, sizeof *a) || !bui_note(store, b, sizeof *b))
        return bui_fail_nomem(err);
    if (a->next > a->bound)
        a->bound = a->next + LEASE;
    if (b->next > b->bound)
        b->bound = b->next + LEASE;
    sqlite3_bind_int64(stmt, 1, a->bound);
    sqlite3_bind_int64(stmt, 2, b->bound);
    return bui_run_statement(store, stmt, "reserving ids", err);
}

static bus_status flush(bui_store *store, bus_error *err)
{
    bus_status status = flush_seal(store, err);
    return status == BUS_OK ? flush_leases(store, err) : status;
}

bus_status bui_store_grow(bui_store *store, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_META_AGE, err);
    if (!stmt)
        return err->status;
    if (!bui_note(store, &store->meta.age, sizeof store->meta.age))
        return bui_fail_nomem(err);
    sqlite3_bind_int64(stmt, 1, store->meta.age + 1);
    bus_status status = bui_run_statement(store, stmt, "noting the store's age", err);
    if (status == BUS_OK)
        store->meta.age++;
    return status;
}

bus_status bui_store_set_transacted(bui_store *store, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    if (store->meta.transacted)
        return BUS_OK;
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_META_TRANSACTED, err);
    if (!stmt)
        return err->status;
    if (!bui_note(store, &store->meta.transacted, sizeof store->meta.transacted))
        return bui_fail_nomem(err);
    bus_status status = bui_run_statement(store, stmt, "noting a transaction from outside", err);
    if (status == BUS_OK)
        store->meta.transacted = true;
    return status;
}

const char *bui_source_of(bui_store *store, int64_t epoch, bus_error *err)
{
    if (epoch == store->epoch)
        return store->source;
    char *known = bui_map_get(&store->sources, &epoch, sizeof epoch);
    if (known)
        return known;
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_INCARNATION_GET, err);
    if (!stmt)
        return NULL;
    sqlite3_bind_int64(stmt, 1, epoch);
    int rc = bui_step(store, stmt);
    char *text = NULL;
    if (rc == SQLITE_ROW) {
        text = bui_source_text(store, bui_column_text(stmt, 0));
        if (!text || !bui_map_put(&store->sources, &epoch, sizeof epoch, text)) {
            free(text);
            text = NULL;
            bui_fail_nomem(err);
        }
    } else if (rc == SQLITE_DONE) {
        bui_fail(err, BUS_CORRUPT, "%s: outbox rows name incarnation %lld, which is not recorded", store->path, (long long)epoch);
    } else {
        bui_store_fail(store, rc, "reading an incarnation", err);
    }
    sqlite3_reset(stmt);
    return text;
}

const bui_group bui_group_meta = { .flush = flush };
