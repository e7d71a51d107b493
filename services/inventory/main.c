/* SPDX-License-Identifier: MIT
 * Inventory: keeps stock for orders, never more than there is.
 *
 * Commands are keyed by sku, so an item lives in one shard and its commands keep their order; answers are keyed by
 * order_id, so they reach the shard of the order. */
#include "domain.h"
#include "store.h"

#include <bus/bus.h>
#include <inventory.events.h>
#include <string.h>

typedef struct text { char at[INVENTORY_TEXT_MAX]; } text;

/* Copies a string of the wire. False: it is empty, does not fit, or holds a zero byte. */
static bool take(bus_string from, text *out)
{
    if (from.len == 0 || from.len >= sizeof out->at || memchr(from.at, '\0', from.len) != NULL)
        return false;
    memcpy(out->at, from.at, from.len);
    out->at[from.len] = '\0';
    return true;
}

static bus_verdict bad_text(bus_tx *tx)
{
    return bus_reject(tx, "order_id, sku and delivery have 1 to %d bytes and no zero byte", INVENTORY_TEXT_MAX - 1);
}

/* An item's commands must meet in one shard: a record with another key would have come to the wrong one. */
static bool keyed_by(const bus_event *event, bus_string sku)
{
    return event->key != NULL && event->key_len == sku.len && memcmp(event->key, sku.at, sku.len) == 0;
}

static bus_verdict bad_key(bus_tx *tx)
{
    return bus_reject(tx, "the record's key is not its sku: publish inventory.commands keyed by sku");
}

static void tell(bus_tx *tx, const char *order_id, const char *sku, const stock_decision *d)
{
    bus_string id = bus_str(order_id), item = bus_str(sku);
    switch (d->answer) {
    case ANSWER_NONE: break;
    case ANSWER_RESERVED:
        bus_emit(tx, &inventory_StockReserved_type, order_id, &(inventory_StockReserved){
            .order_id = id, .sku = item, .quantity = d->quantity, .available = d->stock.available });
        break;
    case ANSWER_REJECTED:
        bus_emit(tx, &inventory_StockRejected_type, order_id, &(inventory_StockRejected){
            .order_id = id, .sku = item, .quantity = d->quantity, .available = d->stock.available });
        break;
    case ANSWER_RELEASED:
        bus_emit(tx, &inventory_StockReleased_type, order_id, &(inventory_StockReleased){
            .order_id = id, .sku = item, .quantity = d->quantity });
        break;
    }
}

static bus_verdict on_received(bus_tx *tx, const bus_event *event, void *shard)
{
    (void)shard;
    const inventory_StockReceived *command = inventory_StockReceived_of(event);
    text delivery, sku;
    stock item;
    bool first;
    if (!take(command->delivery, &delivery) || !take(command->sku, &sku))
        return bad_text(tx);
    if (!keyed_by(event, command->sku))
        return bad_key(tx);
    if (!stock_load(tx, sku.at, &item))
        return inventory_store_failed(tx);
    stock_decision d = stock_receive(item, command->quantity);
    if (d.refused != NULL)
        return bus_reject(tx, "%s of %d: %s", sku.at, command->quantity, d.refused);
    if (!delivery_note(tx, delivery.at, sku.at, command->quantity, &first))
        return inventory_store_failed(tx);
    if (first && !stock_save(tx, sku.at, d.stock))
        return inventory_store_failed(tx);
    return BUS_DONE;
}

/* Loads item and reservation, decides, saves what changed, and tells the order. */
static bus_verdict decide(bus_tx *tx, const char *order_id, const char *sku, const int32_t *reserve)
{
    stock item;
    reservation before;
    if (!stock_load(tx, sku, &item) || !reservation_load(tx, order_id, sku, &before))
        return inventory_store_failed(tx);
    stock_decision d = reserve != NULL ? stock_reserve(item, before, *reserve) : stock_release(item, before);
    if (d.refused != NULL)
        return bus_reject(tx, "order %s, item %s: %s", order_id, sku, d.refused);
    if (d.reservation.state != before.state && !reservation_save(tx, order_id, sku, d.reservation))
        return inventory_store_failed(tx);
    if (d.stock.available != item.available && !stock_save(tx, sku, d.stock))
        return inventory_store_failed(tx);
    tell(tx, order_id, sku, &d);
    return BUS_DONE;
}

static bus_verdict on_reserve(bus_tx *tx, const bus_event *event, void *shard)
{
    (void)shard;
    const inventory_ReserveStock *command = inventory_ReserveStock_of(event);
    text order_id, sku;
    if (!take(command->order_id, &order_id) || !take(command->sku, &sku))
        return bad_text(tx);
    if (!keyed_by(event, command->sku))
        return bad_key(tx);
    return decide(tx, order_id.at, sku.at, &command->quantity);
}

static bus_verdict on_release(bus_tx *tx, const bus_event *event, void *shard)
{
    (void)shard;
    const inventory_ReleaseStock *command = inventory_ReleaseStock_of(event);
    text order_id, sku;
    if (!take(command->order_id, &order_id) || !take(command->sku, &sku))
        return bad_text(tx);
    if (!keyed_by(event, command->sku))
        return bad_key(tx);
    return decide(tx, order_id.at, sku.at, NULL);
}

static const bus_route routes[] = {
    { .topic = "inventory.commands", .type = &inventory_StockReceived_type, .handler = on_received },
    { .topic = "inventory.commands", .type = &inventory_ReserveStock_type, .handler = on_reserve },
    { .topic = "inventory.commands", .type = &inventory_ReleaseStock_type, .handler = on_release },
    { 0 }
};

static const bus_emits emits[] = {
    { &inventory_StockReserved_type, NULL },
    { &inventory_StockRejected_type, NULL },
    { &inventory_StockReleased_type, NULL },
    { 0 }
};

static const bus_service service = {
    .name = "inventory", .routes = routes, .emits = emits, .migrations = inventory_migrations
};

int main(int argc, char **argv)
{
    return bus_service_main(argc, argv, &service);
}
