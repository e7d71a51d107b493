/* SPDX-License-Identifier: MIT
 * State: rows of a service's own tables as structs. bus-schemac makes the table and the struct of a schema that has "state", and
 * typed wrappers of the functions below:
 *
 *     inventory_Stock stock = { .sku = order->sku };
 *     if (!inventory_Stock_load(tx, &stock))
 *         return bus_reject(tx, "no such item");
 *     stock.reserved += order->quantity;
 *     inventory_Stock_save(tx, &stock);
 *
 * Rows are kept in memory, and each one that changed is written once, with the commit. A handler that fails leaves nothing of what it
 * saved. SQL on the same table sees what was saved before. docs/state.md has the rest. */
#ifndef BUS_STATE_H
#define BUS_STATE_H

#include <bus/tx.h>
#include <bus/type.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A table of a service, as bus-schemac describes it: one constant for each schema that has "state". */
typedef struct bus_state bus_state;

/* Loads the row whose key is in the key's fields of *row, a struct of the state's type. true: it is there, and the whole struct is
 * filled. false: it is not, or something failed; *row is untouched.
 * Thread: the handler's.
 * Errors, sticky: BUS_INVALID: the state is not in bus_service.states, a field of the key breaks its schema, or what the row holds
 * does; BUS_TOO_BIG: one handler loads more than 64 MiB; BUS_NOMEM; BUS_STORE.
 * Owner: strings and bytes in *row are borrowed until the handler returns. */
bool bus_state_load(bus_tx *tx, const bus_state *state, void *row);

/* Saves a row: instead of the one with the same key, if there is one. The handler's later loads see it, and its SQL does.
 * Thread: the handler's.
 * Errors, sticky: BUS_INVALID: the state is not in bus_service.states, or the struct breaks its schema (the text has the field);
 * BUS_STORE: a constraint that a migration gave the table; BUS_TOO_BIG; BUS_NOMEM.
 * Owner: copies everything. */
bus_status bus_state_save(bus_tx *tx, const bus_state *state, const void *row);

/* Removes the row with the key that is in *row. It is no error if there is none.
 * Thread: the handler's.
 * Errors, sticky: as bus_state_save.
 * Owner: keeps nothing. */
bus_status bus_state_remove(bus_tx *tx, const bus_state *state, const void *row);

/* ---- the descriptor: filled by generated code. Not for hand-made tables. */

/* The layout of the struct below: generated code for another one is refused when the shard is opened. */
#define BUS_STATE_LAYOUT 1

struct bus_state {
    uint32_t layout; /* BUS_STATE_LAYOUT */
    const bus_type *type;
    const char *table;
    const char *const *columns; /* their definitions in SQL, one for each field of the type, in its order */
    const uint32_t *key;        /* the places of the key's fields */
    uint32_t key_count;
};

#ifdef __cplusplus
}
#endif
#endif
