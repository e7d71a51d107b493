/* SPDX-License-Identifier: MIT
 * Mark, as the store's own files see it. */
#ifndef BUS_STORE_MARK_H
#define BUS_STORE_MARK_H

#include "store/store.h"

/* Forgets every mark and hole of one destination partition. Staged. */
bus_status bus_mark_forget(bus_store *store, const char *topic, int32_t partition, bus_error *err);

#endif
