/* SPDX-License-Identifier: MIT
 * The example of the README, run as its reader would test a service: topics in memory, a clock that moves when told. */
int loyalty_main(int argc, char **argv);
#define main loyalty_main
#include "../../examples/loyalty/main.c"
#undef main

#include "support/service_test.h"

static int set_up(void **state)
{
    return service_opened(state, &service);
}

static void confirm(bus_test *t, const char *order_id, int64_t cents)
{
    OK(bus_test_send(t, "order.events", &order_OrderConfirmed_type, bus_str(order_id),
                     &(order_OrderConfirmed){ .order_id = bus_str(order_id), .customer = BUS_STR("ada"), .total_cents = cents },
                     ERR));
    OK(bus_test_run(t, ERR));
}

static int64_t query(bus_test *t, const char *sql)
{
    int64_t n = -1;
    OK(bus_test_query(t, sql, &n, ERR));
    return n;
}

static void large_orders_earn_a_voucher(void **state)
{
    bus_test *t = *state;
    confirm(t, "o-1", 9999);
    confirm(t, "o-2", 10000);
    assert_int_equal(query(t, "SELECT count(*) FROM voucher"), 1);
    const bus_event *event = bus_test_event(t, "loyalty.events", 0);
    assert_non_null(event);
    const loyalty_VoucherGranted *granted = loyalty_VoucherGranted_of(event);
    assert_non_null(granted);
    assert_true(bus_string_is(granted->order_id, "o-2"));
    assert_true(bus_string_is(granted->customer, "ada"));
    assert_int_equal(granted->cents, 1000);
    assert_int_equal(event->key.len, 3);
    assert_memory_equal(event->key.at, "o-2", 3);
    assert_null(bus_test_event(t, "loyalty.events", 1));
}

static void a_restart_doubles_nothing(void **state)
{
    bus_test *t = *state;
    confirm(t, "o-3", 50000);
    OK(bus_test_restart(t, ERR));
    confirm(t, "o-4", 50000);
    assert_int_equal(query(t, "SELECT sum(cents) FROM voucher"), 10000);
    assert_int_equal(query(t, "SELECT count(*) FROM voucher"), 2);
}

static void a_negative_total_is_a_dead_letter(void **state)
{
    bus_test *t = *state;
    bus_test_figures figures;
    confirm(t, "o-5", -1);
    bus_test_figures_of(t, &figures);
    assert_int_equal(figures.dead_lettered, 1);
    assert_int_equal(figures.retried, 0);
    assert_non_null(bus_test_event(t, "loyalty.dlq", 0));
    assert_int_equal(query(t, "SELECT count(*) FROM voucher"), 0);
}

/* A second grant for one order breaks the table's key: undone, tried again, given up in the end, and nothing is emitted. */
static void a_failing_statement_undoes_the_delivery(void **state)
{
    bus_test *t = *state;
    bus_test_figures figures;
    confirm(t, "o-6", 20000);
    confirm(t, "o-6", 20000);
    bus_test_figures_of(t, &figures);
    assert_int_equal(figures.retried, 1);
    OK(bus_test_advance(t, 24 * 3600 * 1000, ERR));
    bus_test_figures_of(t, &figures);
    assert_int_equal(figures.dead_lettered, 1);
    assert_int_equal(query(t, "SELECT count(*) FROM voucher"), 1);
    assert_null(bus_test_event(t, "loyalty.events", 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(large_orders_earn_a_voucher, set_up, service_closed),
        cmocka_unit_test_setup_teardown(a_restart_doubles_nothing, set_up, service_closed),
        cmocka_unit_test_setup_teardown(a_negative_total_is_a_dead_letter, set_up, service_closed),
        cmocka_unit_test_setup_teardown(a_failing_statement_undoes_the_delivery, set_up, service_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
