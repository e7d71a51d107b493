/* SPDX-License-Identifier: MIT
 * Key: the keys that are not free, all in memory, and their head's state. */
#include "store/key.h"
#include "base/array.h"
#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* scope, 0, is there a key, the key: NULL and empty differ. */
static bool compose(bus_store *store, const char *scope, const void *key, size_t key_len)
{
    size_t len = strlen(scope);
    bus_buf_clear(&store->scratch);
    uint8_t *at = bus_buf_grow(&store->scratch, len + 2 + key_len);
    if (!at)
        return false;
    memcpy(at, scope, len + 1);
    at[len + 1] = key != NULL;
    if (key_len)
        memcpy(at + len + 2, key, key_len);
    return true;
}

static bus_key_entry *entry_of(bus_key *key)
{
    return (bus_key_entry *)key;
}

static bus_key_entry *entry_find(bus_store *store, const char *scope, const void *key, size_t key_len)
{
    return compose(store, scope, key, key_len) ? bus_map_get(&store->keys.by_name, store->scratch.data, store->scratch.len) : NULL;
}

static void entry_free(bus_key_entry *entry)
{
    free((void *)(uintptr_t)entry->pub.key);
    free(entry);
}

/* In memory, free, without an id. */
static bus_key_entry *entry_new(bus_store *store, const char *scope, const void *key, size_t key_len)
{
    bus_tables_key *table = &store->keys;
    bus_key_entry *entry = calloc(1, sizeof *entry);
    if (!entry)
        return NULL;
    entry->due_place = BUS_KEY_NOWHERE;
    entry->pub.scope = bus_store_intern(store, scope);
    entry->pub.key_len = key_len;
    if (key) {
        char *copy = malloc(key_len + 1);
        if (copy && key_len)
            memcpy(copy, key, key_len);
        entry->pub.key = copy;
    }
    if (!entry->pub.scope || (key && !entry->pub.key) || !bus_key_index_reserve(store, table->all.count + 1) ||
        !compose(store, scope, key, key_len) || !bus_map_put(&table->by_name, store->scratch.data, store->scratch.len, entry)) {
        entry_free(entry);
        return NULL;
    }
    entry->place = table->all.count;
    bus_list_add(&table->all, entry);
    return entry;
}

bus_status bus_key_look(bus_store *store, const char *scope, const void *key, size_t key_len, bus_key **out, bus_error *err)
{
    bus_key_entry *entry = NULL;
    if (store->keys.all.count) { /* else nothing waits: the common case, and the loop's every event asks */
        if (!compose(store, scope, key, key_len))
            return bus_fail_nomem(err);
        entry = bus_map_get(&store->keys.by_name, store->scratch.data, store->scratch.len);
    }
    *out = entry && entry->pub.state != BUS_KEY_FREE ? &entry->pub : NULL;
    return BUS_OK;
}

bus_key *bus_key_find(bus_store *store, const char *scope, const void *key, size_t key_len)
{
    bus_key *found = NULL;
    return bus_key_look(store, scope, key, key_len, &found, NULL) == BUS_OK ? found : NULL;
}

bus_key *bus_key_by_id(bus_store *store, int64_t id)
{
    bus_key_entry *entry = bus_map_get(&store->keys.by_id, &id, sizeof id);
    return entry && entry->pub.id == id && entry->pub.state != BUS_KEY_FREE ? &entry->pub : NULL;
}

bus_key *bus_key_at(bus_store *store, size_t place)
{
    bus_key_entry *entry = place < store->keys.all.count ? store->keys.all.at[place] : NULL;
    return entry && entry->pub.state != BUS_KEY_FREE ? &entry->pub : NULL;
}

/* From id on the stage can bring back everything but what a key is called. */
static bool note(bus_store *store, bus_key_entry *entry)
{
    bus_tables_key *table = &store->keys;
    bus_key *key = &entry->pub;
    if (!bus_list_reserve(&table->touched, table->touched.count + 1) || !bus_note(store, &key->id, sizeof key->id) ||
        !bus_note(store, &key->state, offsetof(bus_key, dirty) - offsetof(bus_key, state)))
        return false;
    if (entry->serial != table->serial) {
        entry->serial = table->serial;
        bus_list_add(&table->touched, entry);
    }
    key->dirty = true;
    bus_key_index_stale(store, entry);
    return true;
}

bool bus_key_touch(bus_store *store, bus_key *key)
{
    return note(store, entry_of(key));
}

/* Gives a key its id. An id may be taken back, and then be given to another key: the end of the transaction looks at all. */
static bool name(bus_store *store, bus_key_entry *entry, int64_t id)
{
    bus_tables_key *table = &store->keys;
    if (!bus_array_room(&table->alias, &table->alias_cap, table->aliases + 2, sizeof *table->alias, 16))
        return false;
    if (!bus_map_put(&table->by_id, &id, sizeof id, entry))
        return false;
    if (entry->pub.id)
        table->alias[table->aliases++] = entry->pub.id;
    table->alias[table->aliases++] = id;
    entry->pub.id = id;
    table->draining_sorted = BUS_KEY_NOWHERE; /* it may stand there under its former id */
    return true;
}

static bus_status delete_row(bus_store *store, int64_t id, bus_error *err)
{
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_KEY_DELETE, err);
    if (!stmt)
        return err->status;
    sqlite3_bind_int64(stmt, 1, id);
    return bus_run_statement(store, stmt, "freeing a key", err);
}

bus_key *bus_key_make(bus_store *store, const char *scope, const void *key, size_t key_len, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    bus_key_entry *entry = entry_find(store, scope, key, key_len);
    if (entry && entry->pub.state != BUS_KEY_FREE) {
        bus_fail(err, BUS_BUG, "%s: a key of %s waits already", store->path, scope);
        return NULL;
    }
    /* Freed earlier in this transaction: its memory serves again, its id does not. */
    if (entry && entry->pub.id && delete_row(store, entry->pub.id, err) != BUS_OK)
        return NULL;
    int64_t id;
    if ((!entry && !(entry = entry_new(store, scope, key, key_len))) || !note(store, entry) ||
        !bus_lease_take(store, &store->serial, &id) || !name(store, entry, id)) {
        bus_fail_nomem(err);
        return NULL;
    }
    bus_key *made = &entry->pub;
    made->state = BUS_KEY_WAITING;
    made->event_id[0] = 0;
    made->attempt = made->round = 0;
    made->due = made->first_failed = made->parked = made->parked_bytes = 0;
    return made;
}

bus_status bus_key_free(bus_store *store, bus_key *key, bus_error *err)
{
    if (key->parked)
        return bus_fail(err, BUS_BUG, "%s: key %lld of %s cannot be freed, %lld events are parked", store->path, (long long)key->id,
                        key->scope, (long long)key->parked);
    if (!bus_key_touch(store, key))
        return bus_fail_nomem(err);
    key->state = BUS_KEY_FREE;
    return BUS_OK;
}

static bus_status take_row(bus_store *store, sqlite3_stmt *row, bus_error *err)
{
    size_t key_len;
    const void *bytes = bus_column_bytes(row, 2, &key_len);
    bus_key_entry *entry = entry_new(store, bus_column_text(row, 1), bytes, key_len);
    int64_t id = sqlite3_column_int64(row, 0);
    if (!entry || !name(store, entry, id))
        return bus_fail_nomem(err);
    bus_key *key = &entry->pub;
    key->state = (bus_key_state)sqlite3_column_int(row, 3);
    if (key->state < BUS_KEY_WAITING || key->state > BUS_KEY_DRAINING)
        return bus_fail(err, BUS_CORRUPT, "%s: key %lld has state %d; rebuild the store from its topics", store->path, (long long)id, (int)key->state);
    snprintf(key->event_id, sizeof key->event_id, "%s", bus_column_text(row, 4));
    key->attempt = sqlite3_column_int(row, 5);
    key->round = sqlite3_column_int(row, 6);
    key->due = sqlite3_column_int64(row, 7);
    key->first_failed = sqlite3_column_int64(row, 8);
    key->parked = sqlite3_column_int64(row, 9);
    key->parked_bytes = sqlite3_column_int64(row, 10);
    store->keys.totals.parked += key->parked;
    store->keys.totals.parked_bytes += key->parked_bytes;
    bus_key_index_stale(store, entry);
    return BUS_OK;
}

static bus_status load(bus_store *store, bus_error *err)
{
    bus_tables_key *table = &store->keys;
    bus_map_init(&table->by_name);
    bus_map_init(&table->by_id);
    table->serial = 1;
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_KEY_LOAD, err);
    if (!stmt)
        return err->status;
    bus_status status = BUS_OK;
    int rc;
    while (status == BUS_OK && (rc = bus_step(store, stmt)) != SQLITE_DONE)
        status = rc == SQLITE_ROW ? take_row(store, stmt, err) : bus_store_fail(store, rc, "loading keys", err);
    sqlite3_reset(stmt);
    table->aliases = 0;
    return status;
}

static bus_status put_row(bus_store *store, const bus_key *key, bus_error *err)
{
    sqlite3_stmt *stmt = bus_statement_of(store, BUS_SQL_KEY_PUT, err);
    if (!stmt)
        return err->status;
    sqlite3_bind_int64(stmt, 1, key->id);
    bus_bind_text(stmt, 2, key->scope);
    bus_bind_bytes(stmt, 3, key->key, key->key_len);
    sqlite3_bind_int(stmt, 4, (int)key->state);
    bus_bind_text(stmt, 5, key->event_id);
    sqlite3_bind_int(stmt, 6, key->attempt);
    sqlite3_bind_int(stmt, 7, key->round);
    sqlite3_bind_int64(stmt, 8, key->due);
    sqlite3_bind_int64(stmt, 9, key->first_failed);
    sqlite3_bind_int64(stmt, 10, key->parked);
    sqlite3_bind_int64(stmt, 11, key->parked_bytes);
    return bus_run_statement(store, stmt, "writing keys", err);
}

static bus_status flush(bus_store *store, bus_error *err)
{
    bus_list *touched = &store->keys.touched;
    bus_status status = BUS_OK;
    for (size_t i = 0; i < touched->count && status == BUS_OK; i++) {
        bus_key *key = touched->at[i];
        if (!key->dirty)
            continue;
        key->dirty = false;
        status = key->state == BUS_KEY_FREE ? delete_row(store, key->id, err) : put_row(store, key, err);
    }
    return status;
}

static void saved(bus_store *store)
{
    store->keys.saved_touched = store->keys.touched.count;
    store->keys.serial++;
}

static void back(bus_store *store, size_t mark)
{
    (void)mark;
    bus_tables_key *table = &store->keys;
    for (size_t i = store->saved ? table->saved_touched : 0; i < table->touched.count; i++)
        bus_key_index_stale(store, table->touched.at[i]);
    table->serial++; /* the next touch is listed anew, so that a later save sees it */
    if (table->aliases)
        table->draining_sorted = BUS_KEY_NOWHERE; /* ids may have been taken back */
}

static void forget_aliases(bus_store *store)
{
    bus_tables_key *table = &store->keys;
    for (size_t i = 0; i < table->aliases; i++) {
        int64_t id = table->alias[i];
        const bus_key_entry *entry = bus_map_get(&table->by_id, &id, sizeof id);
        if (entry && (entry->pub.id != id || entry->pub.state == BUS_KEY_FREE))
            bus_map_remove(&table->by_id, &id, sizeof id);
    }
    table->aliases = 0;
}

/* Takes the keys that are free now, by the commit or because they were made in what was rolled back, out of memory. */
static void forget_free(bus_store *store, size_t free_ones)
{
    bus_tables_key *table = &store->keys;
    bus_key_index_purge(store);
    for (size_t i = 0; i < table->touched.count && free_ones; i++) {
        bus_key_entry *entry = table->touched.at[i];
        bus_key *key = &entry->pub;
        bus_key_entry *last = table->all.at[--table->all.count];
        table->all.at[entry->place] = last;
        last->place = entry->place;
        bus_map_remove(&table->by_id, &key->id, sizeof key->id);
        if (compose(store, key->scope, key->key, key->key_len)) /* never fails: the buffer has held this name before */
            bus_map_remove(&table->by_name, store->scratch.data, store->scratch.len);
        entry_free(entry);
        free_ones--;
    }
}

static void ended(bus_store *store, bool committed)
{
    (void)committed;
    bus_tables_key *table = &store->keys;
    size_t free_ones = 0;
    forget_aliases(store);
    /* `touched` may name a key twice: dirty serves as the sign that it was counted. Free ones come first. */
    for (size_t i = 0; i < table->touched.count; i++)
        ((bus_key *)table->touched.at[i])->dirty = true;
    for (size_t i = 0; i < table->touched.count; i++) {
        bus_key *key = table->touched.at[i];
        if (key->dirty && key->state == BUS_KEY_FREE)
            table->touched.at[free_ones++] = key;
        key->dirty = false;
    }
    if (free_ones)
        forget_free(store, free_ones);
    table->touched.count = 0;
}

static void release(bus_store *store)
{
    bus_tables_key *table = &store->keys;
    for (size_t i = 0; i < table->all.count; i++)
        entry_free(table->all.at[i]);
    bus_list_free(&table->all);
    bus_list_free(&table->touched);
    bus_list_free(&table->stale);
    bus_list_free(&table->due);
    bus_list_free(&table->draining);
    bus_map_free(&table->by_name, NULL);
    bus_map_free(&table->by_id, NULL);
    free(table->alias);
}

const bus_group bus_group_key = { .load = load, .flush = flush, .saved = saved, .back = back, .ended = ended, .free = release };
