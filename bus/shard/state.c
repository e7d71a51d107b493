/* SPDX-License-Identifier: MIT
 * State: what a handler loads and saves as structs. The store keeps the rows; here an error becomes the delivery's. */
#include "shard/internal.h"

#include "store/state.h"

bool bus_state_load(bus_tx *tx, const bus_state *state, void *row)
{
    bool found = false;
    return !tx->error.status && bui_tx_stick(tx, bui_state_load(tx->shard->store, state, row, &found, &tx->error)) == BUS_OK &&
           found;
}

bus_status bus_state_save(bus_tx *tx, const bus_state *state, const void *row)
{
    return tx->error.status ? tx->error.status : bui_tx_stick(tx, bui_state_save(tx->shard->store, state, row, &tx->error));
}

bus_status bus_state_remove(bus_tx *tx, const bus_state *state, const void *row)
{
    return tx->error.status ? tx->error.status : bui_tx_stick(tx, bui_state_remove(tx->shard->store, state, row, &tx->error));
}
