/* SPDX-License-Identifier: MIT
 * Order, the SQL: orders and their lines in the shard's store. */
#ifndef SHOP_ORDER_STORE_H
#define SHOP_ORDER_STORE_H

#include "domain.h"

#include <bus/bus.h>

extern const bus_migration order_migrations[];

/* Reads an order; state ORDER_NONE if there is none. False: the store failed, order_store_failed says the verdict. */
bool order_load(bus_tx *tx, const char *id, order *out);

/* Writes what differs between the two. False as above. */
bool order_save(bus_tx *tx, const order *before, const order *after);

/* The verdict after a false: try again later, with SQLite's reason. */
bus_verdict order_store_failed(bus_tx *tx);

#endif
