/* SPDX-License-Identifier: MIT
 * Destination: a partition written to, and its next sequence number. */
#include "base/error.h"
#include "store/internal.h"
#include "store/destination.h"

#include <stdlib.h>
#include <string.h>

static bui_destination *make(bui_store *store, int64_t id, const char *topic, int32_t partition, int64_t next_seq, bus_error *err)
{
    bui_tables_destination *table = &store->destinations;
    const char *name = bui_store_intern(store, topic);
    bui_destination_entry *entry = calloc(1, sizeof *entry);
    if (!name || !entry || !bui_list_reserve(&table->all, (size_t)id) || !bui_list_reserve(&table->dirty, (size_t)id) ||
        !bui_store_compose(store, "", 0, name, partition) ||
        !bui_map_put(&table->by_name, store->scratch.data, store->scratch.len, entry)) {
        free(entry);
        bui_fail_nomem(err);
        return NULL;
    }
    entry->pub =
        (bui_destination){ .id = id, .topic = name, .partition = partition, .next_seq = next_seq, .source = store->source };
    bui_list_add(&table->all, entry);
    return &entry->pub;
}

static bus_status take(bui_store *store, sqlite3_stmt *row, bus_error *err)
{
    bui_destination *made = make(store, sqlite3_column_int64(row, 0), bui_column_text(row, 1), sqlite3_column_int(row, 2),
                                 sqlite3_column_int64(row, 3), err);
    if (!made)
        return err->status;
    store->destinations.stored = store->destinations.all.count;
    if (sqlite3_column_int(row, 4))
        bui_destination_dirty(store, made);
    return BUS_OK;
}

static bus_status load(bui_store *store, bus_error *err)
{
    bui_tables_destination *table = &store->destinations;
    bui_map_init(&table->by_name);
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_DESTINATION_LOAD, err);
    if (!stmt)
        return err->status;
    bus_status status = BUS_OK;
    int rc;
    while (status == BUS_OK && (rc = bui_step(store, stmt)) != SQLITE_DONE) {
        if (rc != SQLITE_ROW)
            status = bui_store_fail(store, rc, "loading destinations", err);
        else if (sqlite3_column_int64(stmt, 0) != (int64_t)table->all.count + 1)
            status = bui_fail(err, BUS_CORRUPT, "%s: the ids of bus_destination have a gap before %lld; rebuild the store",
                              store->path, (long long)sqlite3_column_int64(stmt, 0));
        else
            status = take(store, stmt, err);
    }
    sqlite3_reset(stmt);
    return status;
}

bui_destination *bui_destination_of(bui_store *store, const char *topic, int32_t partition, bus_error *err)
{
    bui_tables_destination *table = &store->destinations;
    bui_destination **recent = &table->recent[(uint32_t)partition % BUI_RECENT_DESTINATIONS];
    if (*recent && (*recent)->partition == partition && strcmp((*recent)->topic, topic) == 0)
        return *recent;
    if (!bui_store_compose(store, "", 0, topic, partition)) {
        bui_fail_nomem(err);
        return NULL;
    }
    bui_destination *known = bui_map_get(&table->by_name, store->scratch.data, store->scratch.len);
    if (!known)
        known = make(store, (int64_t)table->all.count + 1, topic, partition, 1, err);
    if (known)
        *recent = known;
    return known;
}

bool bui_destination_known(bui_store *store, const char *topic, int32_t partition)
{
    return bui_store_compose(store, "", 0, topic, partition) &&
           bui_map_get(&store->destinations.by_name, store->scratch.data, store->scratch.len) != NULL;
}

size_t bui_destination_count(const bui_store *store)
{
    return store->destinations.all.count;
}

bui_destination *bui_destination_by_id(bui_store *store, int64_t id)
{
    bui_tables_destination *table = &store->destinations;
    return id >= 1 && (uint64_t)id <= table->all.count ? table->all.at[id - 1] : NULL;
}

void bui_destination_dirty(bui_store *store, bui_destination *destination)
{
    bui_destination_entry *entry = (bui_destination_entry *)destination;
    store->destinations.due |= (size_t)entry->pub.id > store->destinations.stored;
    if (!entry->dirty) {
        entry->dirty = true;
        bui_list_add(&store->destinations.dirty, entry); /* has room for all */
    }
}

void bui_destination_due(bui_store *store)
{
    store->destinations.due = true;
}

static bus_status put(bui_store *store, sqlite3_stmt *stmt, const bui_destination_entry *entry, bus_error *err)
{
    sqlite3_bind_int64(stmt, 1, entry->pub.id);
    bui_bind_text(stmt, 2, entry->pub.topic);
    sqlite3_bind_int(stmt, 3, entry->pub.partition);
    sqlite3_bind_int64(stmt, 4, entry->pub.next_seq);
    return bui_run_statement(store, stmt, "writing destinations", err);
}

static bus_status flush(bui_store *store, bus_error *err)
{
    bui_tables_destination *table = &store->destinations;
    bus_status status = BUS_OK;
    table->due &= table->dirty.count > 0;
    if (!table->due)
        return BUS_OK;
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_DESTINATION_PUT, err);
    if (!stmt)
        return err->status;
    for (size_t i = 0; i < table->dirty.count && status == BUS_OK; i++) {
        const bui_destination_entry *entry = table->dirty.at[i];
        if ((size_t)entry->pub.id <= table->stored)
            status = put(store, stmt, entry, err);
    }
    /* Ids have no gaps in the table either: those made before a written one, by transactions rolled back, are written too. */
    for (size_t i = table->stored; i < table->all.count && status == BUS_OK; i++)
        status = put(store, stmt, table->all.at[i], err);
    return status;
}

static void ended(bui_store *store, bool committed)
{
    bui_tables_destination *table = &store->destinations;
    if (committed && table->due) {
        table->stored = table->all.count;
        for (size_t i = 0; i < table->dirty.count; i++)
            ((bui_destination_entry *)table->dirty.at[i])->dirty = false;
        table->dirty.count = 0;
    }
    table->due = false;
}

static void release(bui_store *store)
{
    bui_tables_destination *table = &store->destinations;
    for (size_t i = 0; i < table->all.count; i++)
        free(table->all.at[i]);
    bui_list_free(&table->all);
    bui_list_free(&table->dirty);
    bui_map_free(&table->by_name, NULL);
}

const bui_group bui_group_destination = { .load = load, .flush = flush, .ended = ended, .free = release };
