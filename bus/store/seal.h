/* SPDX-License-Identifier: MIT
 * Seal: what ties a database to its write-ahead log. */
#ifndef BUS_STORE_SEAL_H
#define BUS_STORE_SEAL_H

#include "store/store.h"

/* Before anything is believed or written: BUS_REFUSED if the log does not go on from the database; a file that is another than the one that was
 * opened last is checked whole, BUS_CORRUPT. */
bus_status bus_seal_check(bus_store *store, bus_error *err);
/* Once the log is there: which file it is. */
void bus_seal_note(bus_store *store);
/* Between transactions: commits that a checkpoint has moved all, or that the store is written to again. Nothing, if the number says so. */
bus_status bus_seal_set(bus_store *store, bool sealed, bus_error *err);

#endif
