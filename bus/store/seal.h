/* SPDX-License-Identifier: MIT
 * Seal: what ties a database to its write-ahead log. */
#ifndef BUI_STORE_SEAL_H
#define BUI_STORE_SEAL_H

#include "store/store.h"

/* Before anything is believed or written: BUS_REFUSED if the log does not go on from the database; a file that is another than the one that was
 * opened last is checked whole, BUS_CORRUPT. */
bus_status bui_seal_check(bui_store *store, bus_error *err);
/* Once the log is there: which file it is. */
void bui_seal_note(bui_store *store);
/* Between transactions: commits that a checkpoint has moved all, or that the store is written to again. Nothing, if the number says so. */
bus_status bui_seal_set(bui_store *store, bool sealed, bus_error *err);

#endif
