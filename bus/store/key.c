/* SPDX-License-Identifier: MIT
 * Key: the keys that are not free, all in memory, and their head's state. */
#include "store/key.h"
#include "base/array.h"
#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* scope, 0, is there a key, the key: NULL and empty differ. */
static bool compose(bui_store *store, const char *scope, const void *key, size_t key_len)
{
    size_t len = strlen(scope);
    bui_buf_clear(&store->scratch);
    uint8_t *at = bui_buf_grow(&store->scratch, len + 2 + key_len);
    if (!at)
        return false;
    memcpy(at, scope, len + 1);
    at[len + 1] = key != NULL;
    if (key_len)
        memcpy(at + len + 2, key, key_len);
    return true;
}

static bui_key_entry *entry_of(bui_key *key)
{
    return (bui_key_entry *)key;
}

static bui_key_entry *entry_find(bui_store *store, const char *scope, const void *key, size_t key_len)
{
    return compose(store, scope, key, key_len) ? bui_map_get(&store->keys.by_name, store->scratch.data, store->scratch.len)
                                               : NULL;
}

static void entry_free(bui_key_entry *entry)
{
    free((void *)(uintptr_t)entry->pub.key);
    free(entry);
}

/* In memory, free, without an id. */
static bui_key_entry *entry_new(bui_store *store, const char *scope, const void *key, size_t key_len)
{
    bui_tables_key *table = &store->keys;
    bui_key_entry *entry = calloc(1, sizeof *entry);
    if (!entry)
        return NULL;
    entry->due_place = BUI_KEY_NOWHERE;
    entry->pub.scope = bui_store_intern(store, scope);
    entry->pub.key_len = key_len;
    if (key) {
        char *copy = malloc(key_len + 1);
        if (copy && key_len)
            memcpy(copy, key, key_len);
        entry->pub.key = copy;
    }
    if (!entry->pub.scope || (key && !entry->pub.key) || !bui_key_index_reserve(store, table->all.count + 1) ||
        !compose(store, scope, key, key_len) || !bui_map_put(&table->by_name, store->scratch.data, store->scratch.len, entry)) {
        entry_free(entry);
        return NULL;
    }
    entry->place = table->all.count;
    bui_list_add(&table->all, entry);
    return entry;
}

bus_status bui_key_look(bui_store *store, const char *scope, const void *key, size_t key_len, bui_key **out, bus_error *err)
{
    bui_key_entry *entry = NULL;
    if (store->keys.all.count) { /* else nothing waits: the common case, and the loop's every event asks */
        if (!compose(store, scope, key, key_len))
            return bui_fail_nomem(err);
        entry = bui_map_get(&store->keys.by_name, store->scratch.data, store->scratch.len);
    }
    *out = entry && entry->pub.state != BUI_KEY_FREE ? &entry->pub : NULL;
    return BUS_OK;
}

bui_key *bui_key_find(bui_store *store, const char *scope, const void *key, size_t key_len)
{
    bui_key *found = NULL;
    return bui_key_look(store, scope, key, key_len, &found, NULL) == BUS_OK ? found : NULL;
}

bui_key *bui_key_by_id(bui_store *store, int64_t id)
{
    bui_key_entry *entry = bui_map_get(&store->keys.by_id, &id, sizeof id);
    return entry && entry->pub.id == id && entry->pub.state != BUI_KEY_FREE ? &entry->pub : NULL;
}

bui_key *bui_key_at(bui_store *store, size_t place)
{
    bui_key_entry *entry = place < store->keys.all.count ? store->keys.all.at[place] : NULL;
    return entry && entry->pub.state != BUI_KEY_FREE ? &entry->pub : NULL;
}

/* From id on the undo log can bring back everything but what a key is called. */
static bool note(bui_store *store, bui_key_entry *entry)
{
    bui_tables_key *table = &store->keys;
    bui_key *key = &entry->pub;
    if (!bui_list_reserve(&table->touched, table->touched.count + 1) || !bui_note(store, &key->id, sizeof key->id) ||
        !bui_note(store, &key->state, offsetof(bui_key, dirty) - offsetof(bui_key, state)))
        return false;
    if (entry->serial != table->serial) {
        entry->serial = table->serial;
        bui_list_add(&table->touched, entry);
    }
    key->dirty = true;
    bui_key_index_stale(store, entry);
    return true;
}

bool bui_key_touch(bui_store *store, bui_key *key)
{
    return note(store, entry_of(key));
}

/* Gives a key its id. An id may be taken back, and then be given to another key: the end of the transaction looks at all. */
static bool name(bui_store *store, bui_key_entry *entry, int64_t id)
{
    bui_tables_key *table = &store->keys;
    if (!bui_array_room(&table->alias, &table->alias_cap, table->aliases + 2, sizeof *table->alias, 16))
        return false;
    if (!bui_map_put(&table->by_id, &id, sizeof id, entry))
        return false;
    if (entry->pub.id)
        table->alias[table->aliases++] = entry->pub.id;
    table->alias[table->aliases++] = id;
    entry->pub.id = id;
    table->catching_up_sorted = BUI_KEY_NOWHERE; /* it may stand there under its former id */
    return true;
}

static bus_status delete_row(bui_store *store, int64_t id, bus_error *err)
{
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_KEY_DELETE, err);
    if (!stmt)
        return err->status;
    sqlite3_bind_int64(stmt, 1, id);
    return bui_run_statement(store, stmt, "freeing a key", err);
}

bui_key *bui_key_make(bui_store *store, const char *scope, const void *key, size_t key_len, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    bui_key_entry *entry = entry_find(store, scope, key, key_len);
    if (entry && entry->pub.state != BUI_KEY_FREE) {
        bui_fail(err, BUS_BUG, "%s: a key of %s waits already", store->path, scope);
        return NULL;
    }
    /* Freed earlier in this transaction: its memory serves again, its id does not. */
    if (entry && entry->pub.id && delete_row(store, entry->pub.id, err) != BUS_OK)
        return NULL;
    int64_t id;
    if ((!entry && !(entry = entry_new(store, scope, key, key_len))) || !note(store, entry) ||
        !bui_lease_take(store, &store->serial, &id) || !name(store, entry, id)) {
        bui_fail_nomem(err);
        return NULL;
    }
    bui_key *made = &entry->pub;
    made->state = BUI_KEY_WAITING;
    made->event_id[0] = 0;
    made->attempt = made->round = 0;
    made->due = made->first_failed = made->parked = made->parked_bytes = 0;
    return made;
}

bus_status bui_key_free(bui_store *store, bui_key *key, bus_error *err)
{
    if (key->parked)
        return bui_fail(err, BUS_BUG, "%s: key %lld of %s cannot be freed, %lld events are parked", store->path,
                        (long long)key->id, key->scope, (long long)key->parked);
    if (!bui_key_touch(store, key))
        return bui_fail_nomem(err);
    key->state = BUI_KEY_FREE;
    return BUS_OK;
}

static bus_status take_row(bui_store *store, sqlite3_stmt *row, bus_error *err)
{
    size_t key_len;
    const void *bytes = bui_column_bytes(row, 2, &key_len);
    bui_key_entry *entry = entry_new(store, bui_column_text(row, 1), bytes, key_len);
    int64_t id = sqlite3_column_int64(row, 0);
    if (!entry || !name(store, entry, id))
        return bui_fail_nomem(err);
    bui_key *key = &entry->pub;
    key->state = (bui_key_state)sqlite3_column_int(row, 3);
    if (key->state < BUI_KEY_WAITING || key->state > BUI_KEY_CATCHING_UP)
        return bui_fail(err, BUS_CORRUPT, "%s: key %lld has state %d; rebuild the store from its topics", store->path,
                        (long long)id, (int)key->state);
    snprintf(key->event_id, sizeof key->event_id, "%s", bui_column_text(row, 4));
    key->attempt = sqlite3_column_int(row, 5);
    key->round = sqlite3_column_int(row, 6);
    key->due = sqlite3_column_int64(row, 7);
    key->first_failed = sqlite3_column_int64(row, 8);
    key->parked = sqlite3_column_int64(row, 9);
    key->parked_bytes = sqlite3_column_int64(row, 10);
    store->keys.totals.parked += key->parked;
    store->keys.totals.parked_bytes += key->parked_bytes;
    bui_key_index_stale(store, entry);
    return BUS_OK;
}

static bus_status load(bui_store *store, bus_error *err)
{
    bui_tables_key *table = &store->keys;
    bui_map_init(&table->by_name);
    bui_map_init(&table->by_id);
    table->serial = 1;
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_KEY_LOAD, err);
    if (!stmt)
        return err->status;
    bus_status status = BUS_OK;
    int rc;
    while (status == BUS_OK && (rc = bui_step(store, stmt)) != SQLITE_DONE)
        status = rc == SQLITE_ROW ? take_row(store, stmt, err) : bui_store_fail(store, rc, "loading keys", err);
    sqlite3_reset(stmt);
    table->aliases = 0;
    return status;
}

static bus_status put_row(bui_store *store, const bui_key *key, bus_error *err)
{
    sqlite3_stmt *stmt = bui_statement_of(store, BUI_SQL_KEY_PUT, err);
    if (!stmt)
        return err->status;
    sqlite3_bind_int64(stmt, 1, key->id);
    bui_bind_text(stmt, 2, key->scope);
    bui_bind_bytes(stmt, 3, key->key, key->key_len);
    sqlite3_bind_int(stmt, 4, (int)key->state);
    bui_bind_text(stmt, 5, key->event_id);
    sqlite3_bind_int(stmt, 6, key->attempt);
    sqlite3_bind_int(stmt, 7, key->round);
    sqlite3_bind_int64(stmt, 8, key->due);
    sqlite3_bind_int64(stmt, 9, key->first_failed);
    sqlite3_bind_int64(stmt, 10, key->parked);
    sqlite3_bind_int64(stmt, 11, key->parked_bytes);
    return bui_run_statement(store, stmt, "writing keys", err);
}

static bus_status flush(bui_store *store, bus_error *err)
{
    bui_list *touched = &store->keys.touched;
    bus_status status = BUS_OK;
    for (size_t i = 0; i < touched->count && status == BUS_OK; i++) {
        bui_key *key = touched->at[i];
        if (!key->dirty)
            continue;
        key->dirty = false;
        status = key->state == BUI_KEY_FREE ? delete_row(store, key->id, err) : put_row(store, key, err);
    }
    return status;
}

static void saved(bui_store *store)
{
    store->keys.saved_touched = store->keys.touched.count;
    store->keys.serial++;
}

static void back(bui_store *store, size_t mark)
{
    (void)mark;
    bui_tables_key *table = &store->keys;
    for (size_t i = store->saved ? table->saved_touched : 0; i < table->touched.count; i++)
        bui_key_index_stale(store, table->touched.at[i]);
    table->serial++; /* the next touch is listed again, so that a later save sees it */
    if (table->aliases)
        table->catching_up_sorted = BUI_KEY_NOWHERE; /* ids may have been taken back */
}

static void forget_aliases(bui_store *store)
{
    bui_tables_key *table = &store->keys;
    for (size_t i = 0; i < table->aliases; i++) {
        int64_t id = table->alias[i];
        const bui_key_entry *entry = bui_map_get(&table->by_id, &id, sizeof id);
        if (entry && (entry->pub.id != id || entry->pub.state == BUI_KEY_FREE))
            bui_map_remove(&table->by_id, &id, sizeof id);
    }
    table->aliases = 0;
}

/* Removes from memory the keys that are free now, by the commit or because what made them was rolled back. */
static void forget_free(bui_store *store, size_t free_ones)
{
    bui_tables_key *table = &store->keys;
    bui_key_index_purge(store);
    for (size_t i = 0; i < table->touched.count && free_ones; i++) {
        bui_key_entry *entry = table->touched.at[i];
        bui_key *key = &entry->pub;
        bui_key_entry *last = table->all.at[--table->all.count];
        table->all.at[entry->place] = last;
        last->place = entry->place;
        bui_map_remove(&table->by_id, &key->id, sizeof key->id);
        if (compose(store, key->scope, key->key, key->key_len)) /* never fails: the buffer has held this name before */
            bui_map_remove(&table->by_name, store->scratch.data, store->scratch.len);
        entry_free(entry);
        free_ones--;
    }
}

static void ended(bui_store *store, bool committed)
{
    (void)committed;
    bui_tables_key *table = &store->keys;
    size_t free_ones = 0;
    forget_aliases(store);
    /* `touched` may name a key twice: dirty serves as the sign that it was counted. Free ones come first. */
    for (size_t i = 0; i < table->touched.count; i++)
        ((bui_key *)table->touched.at[i])->dirty = true;
    for (size_t i = 0; i < table->touched.count; i++) {
        bui_key *key = table->touched.at[i];
        if (key->dirty && key->state == BUI_KEY_FREE)
            table->touched.at[free_ones++] = key;
        key->dirty = false;
    }
    if (free_ones)
        forget_free(store, free_ones);
    table->touched.count = 0;
}

static void release(bui_store *store)
{
    bui_tables_key *table = &store->keys;
    for (size_t i = 0; i < table->all.count; i++)
        entry_free(table->all.at[i]);
    bui_list_free(&table->all);
    bui_list_free(&table->touched);
    bui_list_free(&table->stale);
    bui_list_free(&table->due);
    bui_list_free(&table->catching_up);
    bui_map_free(&table->by_name, NULL);
    bui_map_free(&table->by_id, NULL);
    free(table->alias);
}

const bui_group bui_group_key = { .load = load, .flush = flush, .saved = saved, .back = back, .ended = ended, .free = release };
