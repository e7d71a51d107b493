/* SPDX-License-Identifier: MIT
 * Meta: which store this is, how often it was opened, under which incarnation it writes, and ids that are never reused. */
#include "base/error.h"
#include "base/id.h"
#include "store/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEASE 65536 /* ids recorded ahead, so that one batch in many pays for it; the rest is skipped at the next open */

char *bus_source_text(const bus_store *store, const char *incarnation)
{
    size_t cap = strlen(store->service) + strlen(incarnation) + 16;
    char *text = malloc(cap);
    if (text)
        snprintf(text, cap, "%s/%d#%s", store->service, store->shard, incarnation);
    return text;
}

static bus_status wrong_owner(const bus_store *store, const char *service, int shard, int shards, bus_error *err)
{
    if (strcmp(service, store->service) != 0)
        return bus_fail(err, BUS_REFUSED, "%s is a store of service '%.100s', not of '%s'; set the right data directory", store->path,
                        service, store->service);
    if (shard != store->shard)
        return bus_fail(err, BUS_REFUSED, "%s is the store of shard %d, not of shard %d; put the file back under its name", store->path,
                        shard, store->shard);
    if (shards != store->shards)
        return bus_fail(err, BUS_REFUSED, "%s was made for %d shards, the service now has %d; the number of shards is fixed at creation:"
                        " set shards=%d (unset, it is the number of partitions of %s.redrive), or make a new service and replay into it",
                        store->path, shards, store->shards, shards, store->service);
    return BUS_OK;
}

static bus_status take_row(bus_store *store, sqlite3_stmt *row, bus_error *err)
{
    bus_meta *meta = &store->meta;
    bus_status status = wrong_owner(store, bus_column_text(row, 0), sqlite3_column_int(row, 1), sqlite3_column_int(row, 2), err);
    if (status != BUS_OK)
        return status;
    snprintf(meta->store_id, sizeof meta->store_id, "%s", bus_column_text(row, 3));
    meta->opens = sqlite3_column_int64(row, 4);
    meta->shards = store->shards;
    snprintf(meta->incarnation, sizeof meta->incarnation, "%s", bus_column_text(row, 6));
    meta->transacted = sqlite3_column_int(row, 7) != 0;
    store->epoch = sqlite3_column_int64(row, 5);
    store->outbox_ids.next = store->outbox_ids.bound = sqlite3_column_int64(row, 8);
    store->serial.next = store->serial.bound = sqlite3_column_int64(row, 9);
    meta->age = sqlite3_column_int64(row, 10);
    store->seal = sqlite3_column_int64(row, 11);
    free(store->source);
    store->source = bus_source_text(store, meta->incarnation);
    return store->source ? BUS_OK : bus_fail_nomem(err);
}

bus_status bus_meta_load(bus_store *store, bus_error *err)
{
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_META_LOAD, err);
    if (!stmt)
        return err->status;
    int rc = bus_step(store, stmt);
    bus_status status;
    if (rc == SQLITE_ROW)
        status = take_row(store, stmt, err);
    else
        status = rc == SQLITE_DONE ? bus_fail(err, BUS_CORRUPT, "%s has no bus_meta row; rebuild the store from its topics", store->path)
                                   : bus_store_fail(store, rc, "reading the store's identity", err);
    sqlite3_reset(stmt);
    return status;
}

const bus_meta *bus_store_meta(const bus_store *store)
{
    return &store->meta;
}

bool bus_lease_take(bus_store *store, bus_lease *lease, int64_t *id)
{
    if (!bus_note(store, &lease->next, sizeof lease->next))
        return false;
    *id = lease->next++;
    return true;
}

/* Odd while it is written to, even by the commit that follows a checkpoint of all: see seal.c. */
static bus_status flush_seal(bus_store *store, bus_error *err)
{
    bool written_to = store->seal & 1;
    if (written_to != store->sealing)
        return BUS_OK;
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_META_SEAL, err);
    if (!stmt)
        return err->status;
    if (!bus_note(store, &store->seal, sizeof store->seal))
        return bus_fail_nomem(err);
    sqlite3_bind_int64(stmt, 1, ++store->seal);
    return bus_run_statement(store, stmt, "noting a checkpoint", err);
}

static bus_status flush_leases(bus_store *store, bus_error *err)
{
    bus_lease *a = &store->outbox_ids, *b = &store->serial;
    if (a->next <= a->bound && b->next <= b->bound)
        return BUS_OK;
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_META_LEASE, err);
    if (!stmt)
        return err->status;
    if (!bus_note(store, a, sizeof *a) || !bus_note(store, b, sizeof *b))
        return bus_fail_nomem(err);
    if (a->next > a->bound)
        a->bound = a->next + LEASE;
    if (b->next > b->bound)
        b->bound = b->next + LEASE;
    sqlite3_bind_int64(stmt, 1, a->bound);
    sqlite3_bind_int64(stmt, 2, b->bound);
    return bus_run_statement(store, stmt, "reserving ids", err);
}

static bus_status flush(bus_store *store, bus_error *err)
{
    bus_status status = flush_seal(store, err);
    return status == BUS_OK ? flush_leases(store, err) : status;
}

bus_status bus_store_grow(bus_store *store, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_META_AGE, err);
    if (!stmt)
        return err->status;
    if (!bus_note(store, &store->meta.age, sizeof store->meta.age))
        return bus_fail_nomem(err);
    sqlite3_bind_int64(stmt, 1, store->meta.age + 1);
    bus_status status = bus_run_statement(store, stmt, "noting the store's age", err);
    if (status == BUS_OK)
        store->meta.age++;
    return status;
}

bus_status bus_store_set_transacted(bus_store *store, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    if (store->meta.transacted)
        return BUS_OK;
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_META_TRANSACTED, err);
    if (!stmt)
        return err->status;
    if (!bus_note(store, &store->meta.transacted, sizeof store->meta.transacted))
        return bus_fail_nomem(err);
    bus_status status = bus_run_statement(store, stmt, "noting a transaction from outside", err);
    if (status == BUS_OK)
        store->meta.transacted = true;
    return status;
}

const char *bus_source_of(bus_store *store, int64_t epoch, bus_error *err)
{
    if (epoch == store->epoch)
        return store->source;
    char *known = bus_map_get(&store->sources, &epoch, sizeof epoch);
    if (known)
        return known;
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_INCARNATION_GET, err);
    if (!stmt)
        return NULL;
    sqlite3_bind_int64(stmt, 1, epoch);
    int rc = bus_step(store, stmt);
    char *text = NULL;
    if (rc == SQLITE_ROW) {
        text = bus_source_text(store, bus_column_text(stmt, 0));
        if (!text || !bus_map_put(&store->sources, &epoch, sizeof epoch, text)) {
            free(text);
            text = NULL;
            bus_fail_nomem(err);
        }
    } else if (rc == SQLITE_DONE) {
        bus_fail(err, BUS_CORRUPT, "%s: outbox rows name incarnation %lld, which is not recorded", store->path, (long long)epoch);
    } else {
        bus_store_fail(store, rc, "reading an incarnation", err);
    }
    sqlite3_reset(stmt);
    return text;
}

const bus_group bus_group_meta = { .flush = flush };
