/* SPDX-License-Identifier: MIT
 * Payment, the SQL: one row an order in the shard's store. */
#ifndef SHOP_PAYMENT_STORE_H
#define SHOP_PAYMENT_STORE_H

#include "domain.h"

#include <bus/bus.h>

extern const bus_migration payment_migrations[];

/* Both return false if the store failed; payment_store_failed says the verdict then. An absent row reads as PAYMENT_NONE. */
bool payment_load(bus_tx *tx, const char *order_id, payment *out);
bool payment_save(bus_tx *tx, const char *order_id, const payment *value);

bus_verdict payment_store_failed(bus_tx *tx);

#endif
