/* SPDX-License-Identifier: MIT
 * The order service whole, on topics in memory and a virtual clock: the saga, its time-out, and what cannot be an order. */
int order_main(int argc, char **argv);
#define main order_main
#include "../../services/order/domain.c"
#include "../../services/order/store.c"
#include "../../services/order/main.c"
#undef main

#include "support/service_test.h"

static int set_up(void **state)
{
    return service_opened(state, &service);
}

static void place_one(bus_test *t, const char *id, int quantity, int deadline_s)
{
    order_OrderLine lines[] = {
        { .sku = BUS_STR("SKU-1"), .quantity = quantity, .unit_price_cents = 250 },
        { .sku = BUS_STR("SKU-2"), .quantity = 1, .unit_price_cents = 100 },
    };
    OK(bus_test_send(t, "order.commands", &order_PlaceOrder_type, bus_str(id),
                     &(order_PlaceOrder){ .order_id = bus_str(id),
                                          .customer = BUS_STR("ada"),
                                          .card = BUS_STR("tok_visa"),
                                          .lines = BUS_ARRAY(lines),
                                          .deadline_seconds = deadline_s },
                     ERR));
    OK(bus_test_run(t, ERR));
}

static void reserved(bus_test *t, const char *id, const char *sku)
{
    OK(bus_test_send(t, "inventory.events", &inventory_StockReserved_type, bus_str(id),
                     &(inventory_StockReserved){ .order_id = bus_str(id), .sku = bus_str(sku), .quantity = 1 }, ERR));
    OK(bus_test_run(t, ERR));
}

static void paid(bus_test *t, const char *id, int64_t amount)
{
    OK(bus_test_send(t, "payment.events", &payment_PaymentTaken_type, bus_str(id),
                     &(payment_PaymentTaken){ .order_id = bus_str(id), .amount_cents = amount, .reference = BUS_STR("ch_1") },
                     ERR));
    OK(bus_test_run(t, ERR));
}

static int64_t query(bus_test *t, const char *sql)
{
    int64_t n = -1;
    OK(bus_test_query(t, sql, &n, ERR));
    return n;
}

static void an_order_goes_through(void **state)
{
    bus_test *t = *state;
    place_one(t, "o-1", 2, 0);
    assert_int_equal(bus_test_count(t, "inventory.commands", &inventory_ReserveStock_type), 2);
    const bus_event *reserve = bus_test_event(t, "inventory.commands", 0);
    const inventory_ReserveStock *command = inventory_ReserveStock_of(reserve);
    assert_non_null(command);
    assert_true(bus_string_is(command->order_id, "o-1"));
    assert_int_equal(reserve->key.len, command->sku.len); /* commands go by sku ... */
    reserved(t, "o-1", "SKU-1");
    assert_int_equal(bus_test_count(t, "payment.commands", &payment_TakePayment_type), 0);
    reserved(t, "o-1", "SKU-2");
    assert_int_equal(bus_test_count(t, "payment.commands", &payment_TakePayment_type), 1);
    const payment_TakePayment *take_payment = payment_TakePayment_of(bus_test_event(t, "payment.commands", 0));
    assert_int_equal(take_payment->amount_cents, 600);
    paid(t, "o-1", 600);
    assert_int_equal(bus_test_count(t, "order.events", &order_OrderConfirmed_type), 1);
    assert_int_equal(query(t, "SELECT count(*) FROM orders WHERE state = 'confirmed' AND payment = 'taken'"), 1);
    OK(bus_test_advance(t, 3600000, ERR)); /* the timer was stopped */
    assert_int_equal(bus_test_count(t, "order.commands", &order_OrderOverdue_type), 0);
    assert_int_equal(bus_test_count(t, "order.events", &order_OrderCancelled_type), 0);
}

static void a_missing_item_cancels(void **state)
{
    bus_test *t = *state;
    place_one(t, "o-1", 2, 0);
    reserved(t, "o-1", "SKU-1");
    OK(bus_test_send(t, "inventory.events", &inventory_StockRejected_type, BUS_STR("o-1"),
                     &(inventory_StockRejected){ .order_id = BUS_STR("o-1"), .sku = BUS_STR("SKU-2"), .quantity = 1 }, ERR));
    OK(bus_test_run(t, ERR));
    assert_int_equal(bus_test_count(t, "inventory.commands", &inventory_ReleaseStock_type), 1);
    const order_OrderCancelled *cancelled = order_OrderCancelled_of(bus_test_event(t, "order.events", 1));
    assert_non_null(cancelled);
    assert_int_equal(cancelled->reason, order_CancelReason_OUT_OF_STOCK);
    assert_true(cancelled->sku.present && bus_string_is(cancelled->sku.value, "SKU-2"));
}

static void the_deadline_cancels_and_late_money_goes_back(void **state)
{
    bus_test *t = *state;
    place_one(t, "o-1", 2, 5);
    reserved(t, "o-1", "SKU-1");
    reserved(t, "o-1", "SKU-2");
    OK(bus_test_advance(t, 4000, ERR));
    assert_int_equal(bus_test_count(t, "order.events", &order_OrderCancelled_type), 0);
    OK(bus_test_restart(t, ERR)); /* the timer is in the store */
    OK(bus_test_advance(t, 2000, ERR));
    assert_int_equal(bus_test_count(t, "order.events", &order_OrderCancelled_type), 1);
    assert_int_equal(bus_test_count(t, "inventory.commands", &inventory_ReleaseStock_type), 2);
    paid(t, "o-1", 600);
    paid(t, "o-1", 600);
    assert_int_equal(bus_test_count(t, "payment.commands", &payment_RefundPayment_type), 1);
    assert_int_equal(bus_test_count(t, "order.events", &order_OrderConfirmed_type), 0);
    assert_int_equal(query(t, "SELECT count(*) FROM orders WHERE state = 'cancelled' AND payment = 'refunding'"), 1);
}

static void what_cannot_be_an_order_is_a_dead_letter(void **state)
{
    bus_test *t = *state;
    bus_test_figures figures;
    place_one(t, "o-1", -1, 0);
    place_one(t, "o-2", 1, -1);
    paid(t, "o-9", 600); /* no such order */
    OK(bus_test_publish(
        t, &(bus_publication){ .topic = "order.commands", .key = BUS_STR("o-3"), .value = { "{\"oops\"", 7 }, .partition = -1 },
        ERR));
    OK(bus_test_run(t, ERR));
    bus_test_figures_of(t, &figures);
    assert_int_equal(figures.dead_lettered, 4);
    assert_int_equal(query(t, "SELECT count(*) FROM orders"), 0);
    place_one(t, "o-1", 1, 0); /* their keys are free */
    assert_int_equal(query(t, "SELECT count(*) FROM orders WHERE state = 'reserving'"), 1);
}

static void the_same_order_twice_is_one(void **state)
{
    bus_test *t = *state;
    place_one(t, "o-1", 2, 0);
    place_one(t, "o-1", 2, 0);
    assert_int_equal(bus_test_count(t, "inventory.commands", &inventory_ReserveStock_type), 2);
    assert_int_equal(bus_test_count(t, "order.events", &order_OrderPlaced_type), 1);
    place_one(t, "o-1", 3, 0); /* another one under its name */
    bus_test_figures figures;
    bus_test_figures_of(t, &figures);
    assert_int_equal(figures.dead_lettered, 1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, service_closed)
    const struct CMUnitTest tests[] = {
        TEST(an_order_goes_through),
        TEST(a_missing_item_cancels),
        TEST(the_deadline_cancels_and_late_money_goes_back),
        TEST(what_cannot_be_an_order_is_a_dead_letter),
        TEST(the_same_order_twice_is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
