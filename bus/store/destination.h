/* SPDX-License-Identifier: MIT
 * Destination, as the store's own files see it. */
#ifndef BUI_STORE_DESTINATION_H
#define BUI_STORE_DESTINATION_H

#include "store/store.h"

typedef struct bui_destination_entry {
    bui_destination pub; /* first: callers hold a pointer to it */
    bool dirty;
} bui_destination_entry;

/* Its next_seq differs from the table's: to be written by a commit that must. Call after noting next_seq. */
void bui_destination_dirty(bui_store *store, bui_destination *destination);
/* This commit must: rows of the outbox, which tell the same, are deleted by it. A page less for each of the others. */
void bui_destination_due(bui_store *store);

#endif
