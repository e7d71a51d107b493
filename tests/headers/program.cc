/* SPDX-License-Identifier: MIT
 * A service in C++20, with every struct that a program fills in by designated initialisers: they must stand in the order of the
 * declaration, which C does not ask for. scripts/check-headers compiles, links and runs it. */
#include <bus/bus.h>
#include <bus/test.h>
#include <cstdio>
#include <loyalty.events.h>
#include <order.events.h>
#include <payment.events.h>

/* Typed state: the row is there from the second time on, and only then. */
static bus_verdict keep(bus_tx *tx, bus_string order_id, int64_t cents)
{
    payment_OrderPayment row = { .order_id = order_id };
    const bool known = payment_OrderPayment_load(tx, &row);
    row.state = known ? payment_PaymentState_refunded : payment_PaymentState_taken;
    row.amount_cents += cents;
    row.text = BUS_STR("text");
    if (payment_OrderPayment_save(tx, &row) != BUS_OK)
        return BUS_RETRY;
    const payment_OrderPayment other = { .order_id = BUS_STR("another") };
    return payment_OrderPayment_remove(tx, &other) == BUS_OK ? BUS_DONE : BUS_RETRY;
}

static bus_verdict on_confirmed(bus_tx *tx, const bus_event *event, void *)
{
    const order_OrderConfirmed *order = order_OrderConfirmed_of(event);
    if (keep(tx, order->order_id, order->total_cents) != BUS_DONE)
        return BUS_RETRY;
    const loyalty_VoucherGranted voucher = { .order_id = order->order_id, .customer = bus_str("ada"), .cents = 10 };
    const bus_header header = { .name = "reason", .value = "tenth", .len = 5 };
    const bus_emit_options options = { .topic = nullptr, .headers = &header, .header_count = 1, .correlation = "c-1",
                                       .has_partition = true, .partition = 1 };
    bus_emit_with(tx, &loyalty_VoucherGranted_type, order->order_id, &voucher, &options);
    loyalty_VoucherGranted_emit(tx, order->order_id, &voucher);
    loyalty_VoucherGranted_emit_with(tx, order->order_id, &voucher, &options);
    return BUS_DONE;
}

static const bus_route routes[] = {
    { .topic = "order.events", .type = &order_OrderConfirmed_type, .handler = on_confirmed, .on_dead = BUS_HOLD_KEY,
      .attempts = 3, .replay = BUS_REPLAY_SKIP },
    {},
};
static const bus_emits emits[] = { { .type = &loyalty_VoucherGranted_type, .topic = nullptr }, {} };
static const bus_migration migrations[] = { { .name = "t", .sql = "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY)" }, {} };
static const bus_state *const states[] = { &payment_OrderPayment_state, nullptr };
static const bus_service service = { .name = "loyalty", .routes = routes, .emits = emits, .migrations = migrations, .states = states };

#define MUST(call) do if (!(call)) { std::fprintf(stderr, "%s: %s\n", #call, err.text); return 1; } while (0)

int main()
{
    bus_error err = {};
    bus_test *test = nullptr;
    const bus_test_options options = { .shards = 2, .start_ms = 1 };
    const order_OrderConfirmed confirmed = { .order_id = BUS_STR("o-1"), .customer = BUS_STR("ada"), .total_cents = 100,
                                             .payment_reference = BUS_STR("p") };
    MUST(bus_test_open(&service, &options, &test, &err) == BUS_OK);
    const bus_publication publication = order_OrderConfirmed_publication("order.events", BUS_STR("o-1"), &confirmed);
    MUST(bus_test_publish(test, &publication, &err) == BUS_OK);
    MUST(bus_test_run(test, &err) == BUS_OK);
    const bus_event *event = bus_test_event(test, "loyalty.events", 0);
    MUST(event && bus_string_is(loyalty_VoucherGranted_of(event)->order_id, "o-1"));
    MUST(bus_test_count(test, "loyalty.events", &loyalty_VoucherGranted_type) == 3);
    MUST(bus_test_publish(test, &publication, &err) == BUS_OK);
    MUST(bus_test_run(test, &err) == BUS_OK);
    int64_t cents = 0;
    MUST(bus_test_query(test, "SELECT sum(amount_cents) FROM order_payment WHERE state = 'refunded' AND text = 'text'", &cents, &err) == BUS_OK);
    MUST(cents == 200);
    const bus_publication tombstone = { .topic = "order.events", .key = BUS_STR("k"), .tombstone = true, .has_partition = true, .partition = 1 };
    MUST(bus_test_publish(test, &tombstone, &err) == BUS_OK);
    bus_test_close(test);
    MUST(bus_version_number() == BUS_VERSION_NUMBER);
    return 0;
}
