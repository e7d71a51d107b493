/* SPDX-License-Identifier: MIT
 * Inventory, the SQL: stock, reservations and deliveries in the shard's store. */
#ifndef SHOP_INVENTORY_STORE_H
#define SHOP_INVENTORY_STORE_H

#include "domain.h"

#include <bus/bus.h>

extern const bus_migration inventory_migrations[];

/* All return false if the store failed; inventory_store_failed says the verdict then. An absent row reads as zeros. */
bool stock_load(bus_tx *tx, const char *sku, stock *out);
bool stock_save(bus_tx *tx, const char *sku, stock item);
bool reservation_load(bus_tx *tx, const char *order_id, const char *sku, reservation *out);
bool reservation_save(bus_tx *tx, const char *order_id, const char *sku, reservation value);
/* Notes a delivery of an item; *first is false if it was noted before. */
bool delivery_note(bus_tx *tx, const char *delivery, const char *sku, int32_t quantity, bool *first);

bus_verdict inventory_store_failed(bus_tx *tx);

#endif
