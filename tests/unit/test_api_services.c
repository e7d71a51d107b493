/* SPDX-License-Identifier: MIT
 * bus_test_*: requests, and services beside each other. */
#include "support/stockroom.h"

#include <bus/bus.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <sqlite3.h>

/* Says how much there is, once there is any. */
static bus_verdict on_ask(bus_tx *tx, const bus_event *event, void *shard)
{
    (void)shard;
    const inventory_ReserveStock *ask = inventory_ReserveStock_of(event);
    sqlite3_stmt *find = bus_sql(tx, "SELECT quantity FROM stock WHERE sku = ?1");
    bus_bind_text(find, 1, ask->sku);
    if (sqlite3_step(find) != SQLITE_ROW)
        return bus_retry(tx, "none of it is there yet");
    inventory_StockReserved_reply(
        tx, &(inventory_StockReserved){ .order_id = ask->order_id, .quantity = sqlite3_column_int(find, 0) });
    return BUS_DONE;
}

static bus_verdict on_arrived(bus_tx *tx, const bus_event *event, void *shard)
{
    (void)shard;
    const inventory_StockReceived *received = inventory_StockReceived_of(event);
    stockroom_add(tx, received->sku, received->quantity);
    return BUS_DONE;
}

static const bus_route counter_routes[] = {
    { .topic = "stock.commands", .type = &inventory_StockReceived_type, .handler = on_arrived },
    { .topic = "counter.commands", .type = &inventory_ReserveStock_type, .handler = on_ask },
    { 0 }
};
static const bus_emits counter_emits[] = { { &inventory_StockReserved_type, NULL }, { 0 } };
static const bus_service counter = {
    .name = "counter", .routes = counter_routes, .emits = counter_emits, .migrations = stockroom_migrations
};

static bus_status ask(bus_test *test, const char *sku, const bus_event **reply, bus_error *err)
{
    const inventory_ReserveStock body = { .order_id = BUS_STR("o1"), .sku = bus_str(sku) };
    return bus_test_request(
        test,
        &(bus_publication){
            .topic = "counter.commands", .type = &inventory_ReserveStock_type, .key = bus_str(sku), .body = &body },
        reply, err);
}

static void requests_are_answered(void **state)
{
    bus_test *test = NULL;
    bus_error err = { 0 };
    const bus_event *reply = NULL, *second = NULL;
    (void)state;
    assert_int_equal(bus_test_open(&counter, NULL, &test, NULL), BUS_OK);
    stockroom_receive(test, "tea", 5);
    assert_int_equal(ask(test, "tea", &reply, &err), BUS_OK);
    assert_int_equal(inventory_StockReserved_of(reply)->quantity, 5);
    stockroom_receive(test, "tea", 2);
    assert_int_equal(ask(test, "tea", &second, &err), BUS_OK);
    assert_int_equal(inventory_StockReserved_of(second)->quantity, 7);
    assert_string_not_equal(second->correlation, reply->correlation);
    assert_int_equal(ask(test, "salt", &reply, &err), BUS_TIMEOUT); /* it waits to be tried again ... */
    assert_int_equal(bus_test_count(test, "test.replies", NULL), 2);
    stockroom_receive(test, "salt", 1);
    assert_int_equal(bus_test_advance(test, 1000, NULL), BUS_OK);
    assert_int_equal(inventory_StockReserved_of(bus_test_event(test, "test.replies", 2))->quantity,
                     1); /* ... and is answered then */
    bus_test_close(test);
}

static void two_services_share_a_broker_and_a_clock(void **state)
{
    bus_test *test = *state, *beside = NULL, *none = NULL;
    bus_error err = { 0 };
    int64_t sum = 0;
    stockroom_receive(test, "tea", 5);
    assert_int_equal(bus_test_run(test, NULL), BUS_OK);
    assert_int_equal(bus_test_open(&counter, &(bus_test_options){ .beside = test }, &beside, &err), BUS_OK);
    /* It starts with what was there before it; each has a store of its own. */
    assert_int_equal(bus_test_query(beside, "SELECT total(quantity) FROM stock", &sum, NULL), BUS_OK);
    assert_int_equal(sum, 5);
    stockroom_reserve(beside, "o1", "tea", 2); /* for stock alone */
    assert_int_equal(bus_test_run(beside, NULL), BUS_OK);
    assert_int_equal(stockroom_total(test), 3);
    assert_int_equal(stockroom_total(beside), 5);
    assert_int_equal(stockroom_figures(test).handled, 2);
    assert_int_equal(stockroom_figures(beside).handled, 1);
    assert_int_equal(bus_test_advance(beside, 60000, NULL), BUS_OK);
    assert_int_equal(stockroom_figures(test).now_ms, stockroom_figures(beside).now_ms);
    assert_int_equal(bus_test_count(beside, "stock.timers", NULL), 1);
    assert_non_null(inventory_ReleaseStock_of(bus_test_event(beside, "stock.timers", 0))); /* a type that only the other has */
    /* Letters and restarts are of one of them. */
    stockroom_trouble = true;
    stockroom_receive(test, "salt", 1);
    assert_int_equal(bus_test_run(test, NULL), BUS_OK);
    assert_non_null(bus_test_letter_at(test, 0));
    assert_null(bus_test_letter_at(beside, 0));
    int before = stockroom_closed;
    assert_int_equal(bus_test_restart(beside, NULL), BUS_OK);
    assert_int_equal(stockroom_closed, before);
    assert_int_equal(stockroom_total(beside), 6);
    assert_int_equal(bus_test_open(&counter, &(bus_test_options){ .beside = test }, &none, &err), BUS_INVALID);
    assert_string_equal(err.text, "service counter runs in this test already");
    bus_test_close(beside);
    stockroom_trouble = false;
    stockroom_receive(test, "milk", 1);
    assert_int_equal(bus_test_run(test, NULL), BUS_OK);
    assert_int_equal(stockroom_total(test), 4);
}

/* The first one ends before the second: what they share lives on. */
static void the_last_service_takes_the_broker_with_it(void **state)
{
    bus_test *first = NULL, *second = NULL;
    (void)state;
    stockroom_trouble = false;
    assert_int_equal(bus_test_open(&counter, NULL, &first, NULL), BUS_OK);
    assert_int_equal(bus_test_open(&stockroom_service, &(bus_test_options){ .beside = first }, &second, NULL), BUS_OK);
    stockroom_receive(first, "tea", 5);
    bus_test_close(first);
    assert_int_equal(bus_test_run(second, NULL), BUS_OK);
    assert_int_equal(stockroom_total(second), 5);
    bus_test_close(second);
}

/* One that cannot start leaves the other as it was; one that halts is named. */
static void a_service_that_cannot_start_leaves_the_others_alone(void **state)
{
    bus_test *test = *state, *none = NULL;
    bus_error err = { 0 };
    static const bus_migration broken[] = { { "broken", "CREATE nonsense" }, { 0 } };
    const bus_service bad = { .name = "bad", .routes = counter_routes, .emits = counter_emits, .migrations = broken };
    assert_int_not_equal(bus_test_open(&bad, &(bus_test_options){ .beside = test }, &none, &err), BUS_OK);
    assert_null(none);
    stockroom_receive(test, "tea", 5);
    assert_int_equal(bus_test_run(test, NULL), BUS_OK);
    assert_int_equal(stockroom_total(test), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_answered),
        STOCKROOM_TEST(two_services_share_a_broker_and_a_clock),
        cmocka_unit_test(the_last_service_takes_the_broker_with_it),
        STOCKROOM_TEST(a_service_that_cannot_start_leaves_the_others_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
