/* SPDX-License-Identifier: MIT
 * Destination, as the store's own files see it. */
#ifndef BUS_STORE_DESTINATION_H
#define BUS_STORE_DESTINATION_H

#include "store/store.h"

typedef struct bus_destination_entry {
    bus_destination pub;  /* first: callers hold a pointer to it */
    bool dirty, stored;
} bus_destination_entry;

/* To be written by the commit. Call after noting next_seq. */
void bus_destination_dirty(bus_store *store, bus_destination *destination);

#endif
