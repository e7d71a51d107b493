/* SPDX-License-Identifier: MIT
 * Destination: a partition written to, and its next sequence number. */
#include "base/error.h"
#include "store/internal.h"
#include "store/destination.h"

#include <stdlib.h>
#include <string.h>

static bus_destination *make(bus_store *store, int64_t id, const char *topic, int32_t partition, int64_t next_seq, bus_error *err)
{
    bus_tables_destination *table = &store->destinations;
    const char *name = bus_store_intern(store, topic);
    bus_destination_entry *entry = calloc(1, sizeof *entry);
    if (!name || !entry || !bus_list_reserve(&table->all, (size_t)id) || !bus_list_reserve(&table->dirty, (size_t)id) ||
        !bus_store_compose(store, "", 0, name, partition) ||
        !bus_map_put(&table->by_name, store->scratch.data, store->scratch.len, entry)) {
        free(entry);
        bus_fail_nomem(err);
        return NULL;
    }
    entry->pub = (bus_destination){ .id = id, .topic = name, .partition = partition, .next_seq = next_seq, .source = store->source };
    bus_list_add(&table->all, entry);
    return &entry->pub;
}

static bus_status take(bus_store *store, sqlite3_stmt *row, bus_error *err)
{
    bus_destination *made = make(store, sqlite3_column_int64(row, 0), bus_column_text(row, 1), sqlite3_column_int(row, 2),
                                 sqlite3_column_int64(row, 3), err);
    if (!made)
        return err->status;
    ((bus_destination_entry *)made)->stored = true;
    if (sqlite3_column_int(row, 4))
        bus_destination_dirty(store, made);
    return BUS_OK;
}

static bus_status load(bus_store *store, bus_error *err)
{
    bus_tables_destination *table = &store->destinations;
    bus_map_init(&table->by_name);
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_DESTINATION_LOAD, err);
    if (!stmt)
        return err->status;
    bus_status status = BUS_OK;
    int rc;
    while (status == BUS_OK && (rc = bus_step(store, stmt)) != SQLITE_DONE) {
        if (rc != SQLITE_ROW)
            status = bus_store_fail(store, rc, "loading destinations", err);
        else if (sqlite3_column_int64(stmt, 0) != (int64_t)table->all.count + 1)
            status = bus_fail(err, BUS_CORRUPT, "%s: the ids of bus_destination have a gap before %lld; rebuild the store", store->path,
                              (long long)sqlite3_column_int64(stmt, 0));
        else
            status = take(store, stmt, err);
    }
    sqlite3_reset(stmt);
    return status;
}

bus_destination *bus_destination_of(bus_store *store, const char *topic, int32_t partition, bus_error *err)
{
    bus_tables_destination *table = &store->destinations;
    bus_destination *known = NULL;
    if (!bus_store_compose(store, "", 0, topic, partition)) {
        bus_fail_nomem(err);
        return NULL;
    }
    known = bus_map_get(&table->by_name, store->scratch.data, store->scratch.len);
    return known ? known : make(store, (int64_t)table->all.count + 1, topic, partition, 1, err);
}

bool bus_destination_known(bus_store *store, const char *topic, int32_t partition)
{
    return bus_store_compose(store, "", 0, topic, partition) &&
           bus_map_get(&store->destinations.by_name, store->scratch.data, store->scratch.len) != NULL;
}

size_t bus_destination_count(const bus_store *store) { return store->destinations.all.count; }

bus_destination *bus_destination_by_id(bus_store *store, int64_t id)
{
    bus_tables_destination *table = &store->destinations;
    return id >= 1 && (uint64_t)id <= table->all.count ? table->all.at[id - 1] : NULL;
}

void bus_destination_dirty(bus_store *store, bus_destination *destination)
{
    bus_destination_entry *entry = (bus_destination_entry *)destination;
    store->destinations.due |= !entry->stored;
    if (!entry->dirty) {
        entry->dirty = true;
        bus_list_add(&store->destinations.dirty, entry); /* has room for all */
    }
}

void bus_destination_due(bus_store *store) { store->destinations.due = true; }

static bus_status flush(bus_store *store, bus_error *err)
{
    bus_tables_destination *table = &store->destinations;
    table->due &= table->dirty.count > 0;
    if (!table->due)
        return BUS_OK;
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_DESTINATION_PUT, err);
    if (!stmt)
        return err->status;
    /* Ids are without gaps in the table too: those made before a written one, by transactions rolled back, come along. */
    for (int64_t id = 1; id <= (int64_t)table->all.count; id++) {
        bus_destination_entry *entry = table->all.at[id - 1];
        if (!entry->dirty && entry->stored)
            continue;
        sqlite3_bind_int64(stmt, 1, id);
        bus_bind_text(stmt, 2, entry->pub.topic);
        sqlite3_bind_int(stmt, 3, entry->pub.partition);
        sqlite3_bind_int64(stmt, 4, entry->pub.next_seq);
        bus_status status = bus_run_statement(store, stmt, "writing destinations", err);
        if (status != BUS_OK)
            return status;
    }
    return BUS_OK;
}

static void ended(bus_store *store, bool committed)
{
    bus_tables_destination *table = &store->destinations;
    if (committed && table->due) {
        for (size_t i = 0; i < table->all.count; i++)
            ((bus_destination_entry *)table->all.at[i])->stored = true;
        for (size_t i = 0; i < table->dirty.count; i++)
            ((bus_destination_entry *)table->dirty.at[i])->dirty = false;
        table->dirty.count = 0;
    }
    table->due = false;
}

static void release(bus_store *store)
{
    bus_tables_destination *table = &store->destinations;
    for (size_t i = 0; i < table->all.count; i++)
        free(table->all.at[i]);
    bus_list_free(&table->all);
    bus_list_free(&table->dirty);
    bus_map_free(&table->by_name, NULL);
}

const bus_group bus_group_destination = { .load = load, .flush = flush, .ended = ended, .free = release };
