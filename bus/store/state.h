/* SPDX-License-Identifier: MIT
 * State: the rows of typed tables (bus/state.h) in memory, over the tables of the same transaction.
 *
 * A row is loaded once, changed in memory, and written by the commit. Since saves then reach the table late, they must be as if they
 * had not: what a delivery changed here is taken back with it (`back`), all is dropped with a transaction that does not commit, and
 * SQL that reads or writes one of the tables gets them as they should be: bui_store_sql writes first, and until the end of that
 * handler nothing is kept in memory. In a delivery with a real savepoint rows are written at once, so that a constraint that fails
 * is the failure of the handler that broke it. */
#ifndef BUI_STORE_STATE_H
#define BUI_STORE_STATE_H

#include "store/store.h"
#include <bus/state.h>

/* As bus_state_load, bus_state_save and bus_state_remove. */
bus_status bui_state_load(bui_store *store, const bus_state *state, void *row, bool *found, bus_error *err);
bus_status bui_state_save(bui_store *store, const bus_state *state, const void *row, bus_error *err);
bus_status bui_state_remove(bui_store *store, const bus_state *state, const void *row, bus_error *err);

/* Writes what changed in memory. An error may be the fault of any delivery since the last one: with savepoints it is found out whose. */
bus_status bui_state_write(bui_store *store, bus_error *err);
/* Between deliveries: writes, and forgets, if memory is over its bound. */
bus_status bui_state_trim(bui_store *store, bus_error *err);
bool bui_state_unwritten(const bui_store *store);  /* that failed in this transaction, or the same for a handler's SQL */
int64_t bui_state_changes(const bui_store *store); /* rows saved and removed since the store was opened */

typedef struct bui_state_figures {
    uint64_t read;    /* looked for in their table */
    uint64_t found;   /* loads that needed no look */
    uint64_t written; /* or removed */
    int64_t bytes;    /* of memory, now */
} bui_state_figures;
void bui_state_figures_of(const bui_store *store, bui_state_figures *out);

#endif
