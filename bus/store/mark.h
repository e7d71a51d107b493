/* SPDX-License-Identifier: MIT
 * Mark, as the store's own files see it. */
#ifndef BUI_STORE_MARK_H
#define BUI_STORE_MARK_H

#include "store/store.h"

/* Forgets every mark and gap of one destination partition. Staged. */
bus_status bui_mark_forget(bui_store *store, const char *topic, int32_t partition, bus_error *err);

#endif
