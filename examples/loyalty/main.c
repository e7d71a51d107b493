/* SPDX-License-Identifier: MIT
 * Loyalty: a whole service. A confirmed order of 100.00 or more earns its customer a voucher of a tenth. */
#include <bus/bus.h>
#include <loyalty.events.h> /* made by bus-schemac from loyalty.VoucherGranted.avsc */
#include <order.events.h>   /* and from schemas/order.*.avsc: the other service's events */
#include <sqlite3.h>

static const bus_migration migrations[] = {
    { "voucher", "CREATE TABLE voucher (order_id TEXT NOT NULL PRIMARY KEY, cents INTEGER NOT NULL)" }, { 0 }
};

/* Runs inside the shard's transaction: the row and the event are committed together, once, or not at all. */
static bus_verdict on_confirmed(bus_tx *tx, const bus_event *event, void *state)
{
    const order_OrderConfirmed *order = order_OrderConfirmed_of(event);
    (void)state;
    if (order->total_cents < 0)
        return bus_reject(tx, "the order's total is negative"); /* a dead letter: no retry would help */
    if (order->total_cents < 10000)
        return BUS_DONE;

    loyalty_VoucherGranted voucher = { .order_id = order->order_id,
                                       .customer = order->customer,
                                       .cents = order->total_cents / 10 };
    sqlite3_stmt *insert = bus_sql(tx, "INSERT INTO voucher (order_id, cents) VALUES (?1, ?2)");
    bus_bind_text(insert, 1, voucher.order_id);
    sqlite3_bind_int64(insert, 2, voucher.cents);
    if (sqlite3_step(insert) != SQLITE_DONE)
        return bus_retry(tx, "voucher: %s", sqlite3_errmsg(bus_db(tx)));

    loyalty_VoucherGranted_emit(tx, order->order_id, &voucher);
    return BUS_DONE;
}

static const bus_route routes[] = { { .topic = "order.events", .type = &order_OrderConfirmed_type, .handler = on_confirmed },
                                    { 0 } };
static const bus_emits emits[] = { { &loyalty_VoucherGranted_type, NULL }, { 0 } };
static const bus_service service = { .name = "loyalty", .routes = routes, .emits = emits, .migrations = migrations };

int main(int argc, char **argv)
{
    return bus_service_main(argc, argv, &service);
}
