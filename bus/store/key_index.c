/* SPDX-License-Identifier: MIT
 * Key index: waiting keys as a heap by due, draining keys as a list by id, and how many there are of each state. */
#include "store/key.h"

#include <stdlib.h>

bool bus_key_index_reserve(bus_store *store, size_t keys)
{
    bus_tables_key *table = &store->keys;
    return bus_list_reserve(&table->all, keys) && bus_list_reserve(&table->stale, keys) && bus_list_reserve(&table->due, keys) &&
           bus_list_reserve(&table->draining, keys);
}

void bus_key_index_stale(bus_store *store, bus_key_entry *entry)
{
    if (entry->stale)
        return;
    entry->stale = true;
    bus_list_add(&store->keys.stale, entry);
}

static bool before(const bus_key_entry *a, const bus_key_entry *b)
{
    return a->due_was < b->due_was || (a->due_was == b->due_was && a->pub.id < b->pub.id);
}

static void put(bus_list *heap, size_t at, bus_key_entry *entry)
{
    heap->at[at] = entry;
    entry->due_place = at;
}

static void sift(bus_list *heap, size_t at, bus_key_entry *entry)
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

static void settle_due(bus_list *heap, bus_key_entry *entry)
{
    bool waits = entry->pub.state == BUS_KEY_WAITING, in = entry->due_place != BUS_KEY_NOWHERE;
    if (waits && !in) {
        entry->due_was = entry->pub.due;
        heap->count++;
        sift(heap, heap->count - 1, entry);
    } else if (waits && entry->due_was != entry->pub.due) {
        entry->due_was = entry->pub.due;
        sift(heap, entry->due_place, entry);
    } else if (!waits && in) {
        size_t at = entry->due_place;
        bus_key_entry *last = heap->at[--heap->count];
        entry->due_place = BUS_KEY_NOWHERE;
        if (last != entry)
            sift(heap, at, last);
    }
}

static int64_t *total(bus_key_totals *totals, bus_key_state state)
{
    switch (state) {
    case BUS_KEY_WAITING: return &totals->waiting;
    case BUS_KEY_HELD: return &totals->held;
    case BUS_KEY_DRAINING: return &totals->draining;
    case BUS_KEY_FREE: break;
    }
    return NULL;
}

static void count(bus_key_totals *totals, bus_key_entry *entry)
{
    int64_t *from = total(totals, entry->counted), *to = total(totals, entry->pub.state);
    if (from)
        --*from;
    if (to)
        ++*to;
    entry->counted = entry->pub.state;
}

void bus_key_index_settle(bus_store *store)
{
    bus_tables_key *table = &store->keys;
    for (size_t i = 0; i < table->stale.count; i++) {
        bus_key_entry *entry = table->stale.at[i];
        entry->stale = false;
        settle_due(&table->due, entry);
        count(&table->totals, entry);
        if (entry->pub.state == BUS_KEY_DRAINING && !entry->draining) {
            entry->draining = true;
            bus_list_add(&table->draining, entry);
        }
    }
    table->stale.count = 0;
}

static int by_id(const void *a, const void *b)
{
    const bus_key *x = *(bus_key *const *)a, *y = *(bus_key *const *)b;
    return (x->id > y->id) - (x->id < y->id);
}

/* Drops those that no longer drain and brings the rest in order. */
static void sort_draining(bus_tables_key *table)
{
    size_t kept = 0;
    for (size_t i = 0; i < table->draining.count; i++) {
        bus_key_entry *entry = table->draining.at[i];
        if (entry->pub.state == BUS_KEY_DRAINING)
            table->draining.at[kept++] = entry;
        else
            entry->draining = false;
    }
    table->draining.count = table->draining_sorted = kept;
    if (kept > 1)
        qsort(table->draining.at, kept, sizeof *table->draining.at, by_id);
}

void bus_key_index_purge(bus_store *store)
{
    bus_key_index_settle(store);
    sort_draining(&store->keys);
}

bus_key *bus_key_next_due(bus_store *store)
{
    bus_key_index_settle(store);
    return store->keys.due.count ? store->keys.due.at[0] : NULL;
}

bus_key *bus_key_next_draining(bus_store *store, int64_t after_id)
{
    bus_tables_key *table = &store->keys;
    bus_key_index_settle(store);
    if (table->draining_sorted != table->draining.count)
        sort_draining(table);
    size_t lo = 0, hi = table->draining.count;
    while (lo < hi) {
        size_t middle = lo + (hi - lo) / 2;
        if (((const bus_key *)table->draining.at[middle])->id <= after_id)
            lo = middle + 1;
        else
            hi = middle;
    }
    for (; lo < table->draining.count; lo++) {
        bus_key *key = table->draining.at[lo];
        if (key->state == BUS_KEY_DRAINING)
            return key;
    }
    return NULL;
}

bus_key_totals bus_key_totals_of(const bus_store *store)
{
    bus_key_index_settle((bus_store *)(uintptr_t)store); /* an index, not what it speaks of */
    return store->keys.totals;
}
