/* SPDX-License-Identifier: MIT
 * Shrink: SQLite keeps the pages of what was deleted, for what will be written. After an outbox was deep they may be most of the file. A store
 * that is opened gives them back, by a copy of what is in use that takes the file's place. */
#ifndef BUI_STORE_SHRINK_H
#define BUI_STORE_SHRINK_H

#include "store/store.h"

/* How much of an open store's file is unused; *live is the rest, in bytes. -1: not known. */
int64_t bui_store_unused(bui_store *store, int64_t *live);

/* Of a store that nobody has open, under its shard's lock: *given is what its file has lost. Either all is done, or the file is as it was, and
 * has all: at each moment its name leads to one of the two, whole, without a log. BUS_LOCKED: a tool has it open; BUS_FULL, BUS_IO, BUS_STORE. */
bus_status bui_store_shrink(const char *path, int64_t *given, bus_error *err);

#endif
