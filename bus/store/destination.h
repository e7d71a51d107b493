/* SPDX-License-Identifier: MIT
 * Destination, as the store's own files see it. */
#ifndef BUS_STORE_DESTINATION_H
#define BUS_STORE_DESTINATION_H

#include "store/store.h"

typedef struct bus_destination_entry {
    bus_destination pub;  /* first: callers hold a pointer to it */
    bool dirty, stored;
} bus_destination_entry;

/* Its next_seq differs from the table's: to be written by a commit that must. Call after noting next_seq. */
void bus_destination_dirty(bus_store *store, bus_destination *destination);
/* This commit must: rows of the outbox, which tell the same, are deleted by it. A page less for each of the others. */
void bus_destination_due(bus_store *store);

#endif
