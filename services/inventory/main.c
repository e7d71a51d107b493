/* SPDX-License-Identifier: MIT
 * Inventory: keeps stock for orders, never more than there is.
 *
 * Commands are keyed by sku, so an item lives in one shard and its commands keep their order; answers are keyed by
 * order_id, so they reach the shard of the order. */
#include "domain.h"
#include "store.h"

#include <bus/bus.h>
#include <inventory.events.h>
#include <stdlib.h>

/* What handlers get: made once for each shard, by open_desk. */
typedef struct desk {
    int64_t low_water; /* of its property */
    bus_metric *answers[ANSWER_RELEASED + 1];
} desk;

typedef struct text {
    char at[INVENTORY_TEXT_MAX];
} text;

/* Copies a string of the wire. False: it is empty, does not fit, or holds a zero byte. */
static bool take(bus_string from, text *out)
{
    return from.len > 0 && bus_string_copy(from, out->at, sizeof out->at);
}

static bus_verdict bad_text(bus_tx *tx)
{
    return bus_reject(tx, "order_id, sku and delivery have 1 to %d bytes and no zero byte", INVENTORY_TEXT_MAX - 1);
}

/* An item's commands must meet in one shard: a record with another key would have come to the wrong one. */
static bool keyed_by(const bus_event *event, bus_string sku)
{
    return bus_string_equal(event->key, sku);
}

static bus_verdict bad_key(bus_tx *tx)
{
    return bus_reject(tx, "the record's key is not its sku: publish inventory.commands keyed by sku");
}

/* People are told once, when the stock falls below the mark: not by each order that follows. */
static void warn_if_low(const desk *own, const char *sku, const stock *before, const stock *after)
{
    if (after->available < own->low_water && before->available >= own->low_water)
        bus_log_line(BUS_WARN, "stock_low", "an item runs low: order more of it",
                     BUS_FIELDS(bus_log_text("sku", bus_str(sku)), bus_log_int("available", after->available)), NULL);
}

static void tell(bus_tx *tx, const char *order_id, const char *sku, const stock_decision *d)
{
    bus_string id = bus_str(order_id), item = bus_str(sku);
    switch (d->answer) {
    case ANSWER_NONE: break;
    case ANSWER_RESERVED:
        inventory_StockReserved_emit(
            tx, bus_str(order_id),
            &(inventory_StockReserved){ .order_id = id, .sku = item, .quantity = d->quantity, .available = d->stock.available });
        break;
    case ANSWER_REJECTED:
        inventory_StockRejected_emit(
            tx, bus_str(order_id),
            &(inventory_StockRejected){ .order_id = id, .sku = item, .quantity = d->quantity, .available = d->stock.available });
        break;
    case ANSWER_RELEASED:
        inventory_StockReleased_emit(tx, bus_str(order_id),
                                     &(inventory_StockReleased){ .order_id = id, .sku = item, .quantity = d->quantity });
        break;
    }
}

static bus_verdict on_received(bus_tx *tx, const bus_event *event, void *state)
{
    (void)state;
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
static bus_verdict decide(bus_tx *tx, const bus_event *event, const desk *own, const char *order_id, const char *sku,
                          const int32_t *reserve)
{
    stock item;
    reservation before;
    if (!stock_load(tx, sku, &item) || !reservation_load(tx, order_id, sku, &before))
        return inventory_store_failed(tx);
    stock_decision d = reserve != NULL ? stock_reserve(item, before, *reserve) : stock_release(item, before);
    if (d.refused != NULL)
        return bus_reject(tx, "order %s, item %s: %s%s", order_id, sku, event->redriven ? "still, " : "", d.refused);
    if (d.reservation.state != before.state && !reservation_save(tx, order_id, sku, d.reservation))
        return inventory_store_failed(tx);
    if (d.stock.available != item.available && !stock_save(tx, sku, d.stock))
        return inventory_store_failed(tx);
    tell(tx, order_id, sku, &d);
    bus_metric_count(own->answers[d.answer], 1);
    warn_if_low(own, sku, &item, &d.stock);
    return BUS_DONE;
}

static bus_verdict on_reserve(bus_tx *tx, const bus_event *event, void *state)
{
    const inventory_ReserveStock *command = inventory_ReserveStock_of(event);
    text order_id, sku;
    if (!take(command->order_id, &order_id) || !take(command->sku, &sku))
        return bad_text(tx);
    if (!keyed_by(event, command->sku))
        return bad_key(tx);
    return decide(tx, event, state, order_id.at, sku.at, &command->quantity);
}

static bus_verdict on_release(bus_tx *tx, const bus_event *event, void *state)
{
    const inventory_ReleaseStock *command = inventory_ReleaseStock_of(event);
    text order_id, sku;
    if (!take(command->order_id, &order_id) || !take(command->sku, &sku))
        return bad_text(tx);
    if (!keyed_by(event, command->sku))
        return bad_key(tx);
    return decide(tx, event, state, order_id.at, sku.at, NULL);
}

/* ---- the service */

static const bus_property properties[] = { { .name = "service.inventory.low.water",
                                             .kind = BUS_PROPERTY_INT,
                                             .value = "0",
                                             .most = INVENTORY_QUANTITY_MAX,
                                             .help = "When less than this of an item is left, the log says so, once; 0: never." },
                                           { 0 } };

static const bus_metric_options answers = { .name = "inventory_answers_total",
                                            .help = "What orders were told.",
                                            .label = "answer" };

static bus_status open_desk(struct sqlite3 *db, int shard, void *opaque, void **state, bus_error *err)
{
    (void)db;
    (void)shard;
    (void)opaque;
    static const char *const words[] = {
        [ANSWER_NONE] = "none", [ANSWER_RESERVED] = "reserved", [ANSWER_REJECTED] = "rejected", [ANSWER_RELEASED] = "released"
    };
    bus_metric *metric;
    bus_status status = bus_metric_register(&answers, &metric, err);
    desk *made = status == BUS_OK ? calloc(1, sizeof *made) : NULL;
    if (made == NULL)
        return status == BUS_OK ? BUS_NOMEM : status;
    made->low_water = bus_config_int(bus_config_here(), "service.inventory.low.water");
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        made->answers[i] = bus_metric_series(metric, bus_str(words[i]));
    *state = made;
    return BUS_OK;
}

static const bus_route routes[] = {
    { .topic = "inventory.commands", .type = &inventory_StockReceived_type, .handler = on_received },
    { .topic = "inventory.commands", .type = &inventory_ReserveStock_type, .handler = on_reserve },
    { .topic = "inventory.commands", .type = &inventory_ReleaseStock_type, .handler = on_release },
    { 0 }
};

static const bus_emits emits[] = { { &inventory_StockReserved_type, NULL },
                                   { &inventory_StockRejected_type, NULL },
                                   { &inventory_StockReleased_type, NULL },
                                   { 0 } };

static const bus_service service = { .name = "inventory",
                                     .version = "1.1.0",
                                     .routes = routes,
                                     .emits = emits,
                                     .migrations = inventory_migrations,
                                     .properties = properties,
                                     .open = open_desk,
                                     .close = free };

int main(int argc, char **argv)
{
    return bus_service_main(argc, argv, &service);
}
