/* SPDX-License-Identifier: MIT
 * Key, as the store's own files see it: the public part and its places in the indexes. */
#ifndef BUS_STORE_KEY_H
#define BUS_STORE_KEY_H

#include "store/internal.h"

#define BUS_KEY_NOWHERE SIZE_MAX

typedef struct bus_key_entry {
    bus_key pub;                 /* first: callers hold a pointer to it */
    size_t place;                /* in all */
    size_t due_place;            /* in the heap, or NOWHERE */
    int64_t due_was;             /* what the heap sorted it by */
    bus_key_state counted;       /* the state that totals count it under */
    bool stale;                  /* in the stale list */
    bool draining;               /* in the draining list */
    uint64_t serial;             /* save level it was last touched in */
} bus_key_entry;

/* ---- key_index.c: the orders that timers ask for. They follow the entries' words lazily: whoever changes or takes back a
 * word makes the entry stale, and the next question settles all stale ones. None of these fails; room was reserved. */
bool bus_key_index_reserve(bus_store *store, size_t keys);
void bus_key_index_stale(bus_store *store, bus_key_entry *entry);
void bus_key_index_settle(bus_store *store);
/* Takes out entries that are about to be freed; all are BUS_KEY_FREE. */
void bus_key_index_purge(bus_store *store);

#endif
