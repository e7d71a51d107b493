/* SPDX-License-Identifier: MIT
 * Key, as the store's own files see it: the public part and its places in the indexes. */
#ifndef BUI_STORE_KEY_H
#define BUI_STORE_KEY_H

#include "store/internal.h"

#define BUI_KEY_NOWHERE SIZE_MAX

typedef struct bui_key_entry {
    bui_key pub;           /* first: callers hold a pointer to it */
    size_t place;          /* in all */
    size_t due_place;      /* in the heap, or NOWHERE */
    int64_t due_was;       /* what the heap sorted it by */
    bui_key_state counted; /* the state that totals count it under */
    bool stale;            /* in the stale list */
    bool catching_up;      /* in the catching-up list */
    uint64_t serial;       /* save level it was last touched in */
} bui_key_entry;

/* ---- key_index.c: the orders that timers ask for. They follow the entries' words lazily: code that changes or takes back a
 * word makes the entry stale, and the next question settles all stale ones. None of these fails; room was reserved. */
bool bui_key_index_reserve(bui_store *store, size_t keys);
void bui_key_index_stale(bui_store *store, bui_key_entry *entry);
void bui_key_index_settle(bui_store *store);
/* Takes out entries that are about to be freed; all are BUI_KEY_FREE. */
void bui_key_index_purge(bui_store *store);

#endif
