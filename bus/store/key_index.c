/* SPDX-License-Identifier: MIT
 * Key index: waiting keys as a heap by due, keys that catch up as a list by id, and how many there are of each state. */
#include "store/key.h"

#include <stdlib.h>

bool bui_key_index_reserve(bui_store *store, size_t keys)
{
    bui_tables_key *table = &store->keys;
    return bui_list_reserve(&table->all, keys) && bui_list_reserve(&table->stale, keys) && bui_list_reserve(&table->due, keys) &&
           bui_list_reserve(&table->catching_up, keys);
}

void bui_key_index_stale(bui_store *store, bui_key_entry *entry)
{
    if (entry->stale)
        return;
    entry->stale = true;
    bui_list_add(&store->keys.stale, entry);
}

static bool before(const bui_key_entry *a, const bui_key_entry *b)
{
    return a->due_was < b->due_was || (a->due_was == b->due_was && a->pub.id < b->pub.id);
}

static void put(bui_list *heap, size_t at, bui_key_entry *entry)
{
    heap->at[at] = entry;
    entry->due_place = at;
}

static void sift(bui_list *heap, size_t at, bui_key_entry *entry)
{
    while (at > 0 && before(entry, heap->at[(at - 1) / 2])) {
        put(heap, at, heap->at[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    for (;;) {
        size_t child = at * 2 + 1;
        if (child >= heap->count)
            break;
        if (child + 1 < heap->count && before(heap->at[child + 1], heap->at[child]))
            child++;
        if (!before(heap->at[child], entry))
            break;
        put(heap, at, heap->at[child]);
        at = child;
    }
    put(heap, at, entry);
}

static void settle_due(bui_list *heap, bui_key_entry *entry)
{
    bool waits = entry->pub.state == BUI_KEY_WAITING, in = entry->due_place != BUI_KEY_NOWHERE;
    if (waits && !in) {
        entry->due_was = entry->pub.due;
        heap->count++;
        sift(heap, heap->count - 1, entry);
    } else if (waits && entry->due_was != entry->pub.due) {
        entry->due_was = entry->pub.due;
        sift(heap, entry->due_place, entry);
    } else if (!waits && in) {
        size_t at = entry->due_place;
        bui_key_entry *last = heap->at[--heap->count];
        entry->due_place = BUI_KEY_NOWHERE;
        if (last != entry)
            sift(heap, at, last);
    }
}

static int64_t *total(bui_key_totals *totals, bui_key_state state)
{
    switch (state) {
    case BUI_KEY_WAITING: return &totals->waiting;
    case BUI_KEY_HELD: return &totals->held;
    case BUI_KEY_CATCHING_UP: return &totals->catching_up;
    case BUI_KEY_FREE: break;
    }
    return NULL;
}

static void count(bui_key_totals *totals, bui_key_entry *entry)
{
    int64_t *from = total(totals, entry->counted), *to = total(totals, entry->pub.state);
    if (from)
        --*from;
    if (to)
        ++*to;
    entry->counted = entry->pub.state;
}

void bui_key_index_settle(bui_store *store)
{
    bui_tables_key *table = &store->keys;
    for (size_t i = 0; i < table->stale.count; i++) {
        bui_key_entry *entry = table->stale.at[i];
        entry->stale = false;
        settle_due(&table->due, entry);
        count(&table->totals, entry);
        if (entry->pub.state == BUI_KEY_CATCHING_UP && !entry->catching_up) {
            entry->catching_up = true;
            bui_list_add(&table->catching_up, entry);
        }
    }
    table->stale.count = 0;
}

static int by_id(const void *a, const void *b)
{
    const bui_key *x = *(bui_key *const *)a, *y = *(bui_key *const *)b;
    return (x->id > y->id) - (x->id < y->id);
}

/* Drops those that no longer catch up and sorts the rest. */
static void sort_catching_up(bui_tables_key *table)
{
    size_t kept = 0;
    for (size_t i = 0; i < table->catching_up.count; i++) {
        bui_key_entry *entry = table->catching_up.at[i];
        if (entry->pub.state == BUI_KEY_CATCHING_UP)
            table->catching_up.at[kept++] = entry;
        else
            entry->catching_up = false;
    }
    table->catching_up.count = table->catching_up_sorted = kept;
    if (kept > 1)
        qsort(table->catching_up.at, kept, sizeof *table->catching_up.at, by_id);
}

void bui_key_index_purge(bui_store *store)
{
    bui_key_index_settle(store);
    sort_catching_up(&store->keys);
}

bui_key *bui_key_next_due(bui_store *store)
{
    bui_key_index_settle(store);
    return store->keys.due.count ? store->keys.due.at[0] : NULL;
}

bui_key *bui_key_next_catching_up(bui_store *store, int64_t after_id)
{
    bui_tables_key *table = &store->keys;
    bui_key_index_settle(store);
    if (table->catching_up_sorted != table->catching_up.count)
        sort_catching_up(table);
    size_t lo = 0, hi = table->catching_up.count;
    while (lo < hi) {
        size_t middle = lo + (hi - lo) / 2;
        if (((const bui_key *)table->catching_up.at[middle])->id <= after_id)
            lo = middle + 1;
        else
            hi = middle;
    }
    for (; lo < table->catching_up.count; lo++) {
        bui_key *key = table->catching_up.at[lo];
        if (key->state == BUI_KEY_CATCHING_UP)
            return key;
    }
    return NULL;
}

bui_key_totals bui_key_totals_of(const bui_store *store)
{
    bui_key_index_settle((bui_store *)(uintptr_t)store); /* an index, not what it speaks of */
    return store->keys.totals;
}
