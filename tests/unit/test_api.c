/* SPDX-License-Identifier: MIT
 * bus_test_*, used as the author of a service would use it. */
#include "support/stockroom.h"

#include <bus/bus.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void handles_what_was_sent_and_shows_what_came_of_it(void **state)
{
    bus_test *test = *state;
    stockroom_receive(test, "tea", 5);
    assert_int_equal(stockroom_total(test), 0);
    assert_int_equal(bus_test_run(test, NULL), BUS_OK);
    assert_int_equal(stockroom_total(test), 5);
    stockroom_reserve(test, "o1", "tea", 2);
    stockroom_reserve(test, "o2", "tea", 3);
    assert_int_equal(bus_test_run(test, NULL), BUS_OK);
    assert_int_equal(stockroom_total(test), 0);
    const bus_event *first = bus_test_event(test, "stock.events", 0), *second = bus_test_event(test, "stock.events", 1);
    assert_true(bus_string_is(inventory_StockReserved_of(first)->order_id, "o1"));
    assert_int_equal(inventory_StockReserved_of(second)->quantity, 3);
    assert_string_equal(first->type_name, "inventory.StockReserved");
    assert_string_equal(first->causation, bus_test_event(test, "stock.commands", 1)->id);
    assert_memory_equal(first->key.at, "o1", 2);
    assert_null(bus_test_event(test, "stock.events", 2));
    assert_null(bus_test_event(test, "no.such", 0));
    assert_int_equal(stockroom_figures(test).handled, 3);
    assert_int_equal(bus_test_advance(test, 1000, NULL), BUS_OK);
    assert_int_equal(stockroom_figures(test).outbox, 0);
}

static void events_are_in_the_order_they_were_written_over_all_partitions(void **state)
{
    bus_test *test = *state;
    char name[8];
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "s%d", i);
        stockroom_receive(test, name, i);
    }
    assert_int_equal(bus_test_run(test, NULL), BUS_OK);
    for (int i = 0; i < 20; i++)
        assert_int_equal(inventory_StockReceived_of(bus_test_event(test, "stock.commands", (size_t)i))->quantity, i);
    assert_int_equal(stockroom_total(test), 190);
}

static void time_passes_only_when_told(void **state)
{
    bus_test *test = *state;
    int64_t began = stockroom_figures(test).now_ms;
    stockroom_reserve(test, "o1", "tea", 2);
    assert_int_equal(bus_test_run(test, NULL), BUS_OK);
    assert_int_equal(stockroom_figures(test).retried, 1);
    assert_int_equal(stockroom_figures(test).events_parked, 1);
    stockroom_receive(test, "tea", 5); /* the same key: behind it */
    assert_int_equal(bus_test_run(test, NULL), BUS_OK);
    assert_int_equal(stockroom_figures(test).events_parked, 2);
    assert_int_equal(stockroom_figures(test).keys_waiting, 1);
    assert_int_equal(stockroom_total(test), 0);
    assert_int_equal(stockroom_figures(test).now_ms, began);
    assert_int_equal(bus_test_advance(test, 999, NULL), BUS_OK);
    assert_int_equal(stockroom_figures(test).retried, 1);
    assert_int_equal(bus_test_advance(test, 2, NULL), BUS_OK);
    assert_int_equal(stockroom_figures(test).retried, 2);
    assert_int_equal(stockroom_figures(test).now_ms, began + 1001);
    assert_int_equal(bus_test_advance(test, -1, NULL), BUS_INVALID);
}

static void what_is_scheduled_leaves_when_it_is_due_also_after_a_restart(void **state)
{
    bus_test *test = *state;
    stockroom_receive(test, "tea", 5);
    stockroom_reserve(test, "o1", "tea", 2);
    assert_int_equal(bus_test_advance(test, 59000, NULL), BUS_OK);
    assert_null(bus_test_event(test, "stock.timers", 0));
    int before = stockroom_opened;
    assert_int_equal(bus_test_restart(test, NULL), BUS_OK);
    assert_int_equal(stockroom_opened, before + 2);
    assert_int_equal(stockroom_closed, 2);
    assert_int_equal(bus_test_advance(test, 1100, NULL), BUS_OK);
    assert_non_null(inventory_ReleaseStock_of(bus_test_event(test, "stock.timers", 0)));
    assert_int_equal(stockroom_total(test), 3);
}

static void raw_records_go_as_they_are(void **state)
{
    bus_test *test = *state;
    const bus_header headers[] = { { "ce_type", "inventory.StockReceived", 23 } };
    bus_publication record = {
        .topic = "stock.commands", .key = BUS_STR("tea"), .value = { "rubbish", 7 }, .headers = headers, .header_count = 1
    };
    assert_int_equal(bus_test_publish(test, &record, NULL), BUS_OK);
    record.headers = &(bus_header){ "ce_type", "some.Other", 10 };
    assert_int_equal(bus_test_publish(test, &record, NULL), BUS_OK);
    assert_int_equal(bus_test_run(test, NULL), BUS_OK);
    assert_int_equal(stockroom_figures(test).letters_open, 1);
    assert_int_equal(stockroom_figures(test).unrouted, 1);
    assert_null(bus_test_event(test, "stock.commands", 0)->body);
    record.partition = 7;
    record.has_partition = true;
    assert_int_equal(bus_test_publish(test, &record, NULL), BUS_INVALID);
    record.topic = "no.such";
    assert_int_equal(bus_test_publish(test, &record, NULL), BUS_MISSING);
}

static bus_verdict stock_up(bus_tx *tx, void *opaque)
{
    assert_int_equal(bus_test_transact(opaque, bus_str(NULL), stock_up, opaque, NULL), BUS_INVALID);
    stockroom_add(tx, BUS_STR("tea"), 7);
    bus_emit(tx, &inventory_StockReserved_type, BUS_STR("o9"), &(inventory_StockReserved){ .order_id = BUS_STR("o9") });
    return stockroom_trouble ? bus_reject(tx, "not today") : BUS_DONE;
}

static void transactions_commit_or_leave_nothing(void **state)
{
    bus_test *test = *state;
    bus_error err = { 0 };
    assert_int_equal(bus_test_transact(test, BUS_STR("tea"), stock_up, test, &err), BUS_OK);
    assert_int_equal(stockroom_total(test), 7);
    assert_non_null(bus_test_event(test, "stock.events", 0));
    stockroom_trouble = true;
    assert_int_equal(bus_test_transact(test, BUS_STR("tea"), stock_up, test, &err), BUS_REFUSED);
    assert_non_null(strstr(err.text, "not today"));
    assert_int_equal(stockroom_total(test), 7);
    assert_null(bus_test_event(test, "stock.events", 1));
}

static void mistakes_are_told(void **state)
{
    bus_test *test = *state, *other = NULL;
    bus_error err = { 0 };
    int64_t sum = 42;
    assert_int_equal(bus_test_query(test, "SELECT nonsense", &sum, &err), BUS_INVALID);
    assert_int_not_equal(bus_test_query(test, "DELETE FROM stock", &sum, &err), BUS_OK);
    assert_int_equal(sum, 42);
    const inventory_StockReceived body = { .sku = { NULL, 5 } };
    assert_int_equal(bus_test_send(test, "stock.commands", &inventory_StockReceived_type, bus_str(NULL), &body, &err),
                     BUS_INVALID);
    assert_int_equal(bus_test_open(&stockroom_service, &(bus_test_options){ .shards = -1 }, &other, &err), BUS_INVALID);
    const bus_service nameless = { .name = "Bad Name", .routes = stockroom_service.routes };
    assert_int_equal(bus_test_open(&nameless, NULL, &other, &err), BUS_INVALID);
    assert_null(other);
    bus_test_close(NULL);
}

static void properties_are_read_by_open_and_handlers(void **state)
{
    bus_test *test = NULL;
    bus_error err = { 0 };
    (void)state;
    bus_config *config = bus_config_new();
    assert_int_equal(bus_config_set(config, "service.stock.most", "7", &err), BUS_OK);
    assert_int_equal(bus_test_open(&stockroom_service, &(bus_test_options){ .config = config }, &test, &err), BUS_OK);
    assert_int_equal(stockroom_most, 7);
    stockroom_most = 0;
    stockroom_receive(test, "tea", 3);
    assert_int_equal(bus_test_run(test, NULL), BUS_OK);
    assert_int_equal(stockroom_most, 7);
    bus_test_close(test);
    assert_int_equal(bus_config_set(config, "service.stock.most", "none", &err), BUS_OK); /* whose it is is not known yet */
    assert_int_equal(bus_test_open(&stockroom_service, &(bus_test_options){ .config = config }, &test, &err), BUS_CONFIG);
    bus_config_free(config);
}

static char line_of_short[500];

static void keep_short(bus_level level, const char *line, size_t len, void *opaque)
{
    (void)opaque;
    (void)level;
    if (memmem(line, len, "\"short\"", 7))
        snprintf(line_of_short, sizeof line_of_short, "%.*s", (int)len, line);
}

static void lines_of_handlers_say_whose_they_are(void **state)
{
    bus_log_to(BUS_INFO, keep_short, NULL);
    stockroom_reserve(*state, "o-1", "tea", 2);
    assert_int_equal(bus_test_run(*state, NULL), BUS_OK);
    bus_log_to(BUS_INFO, NULL, NULL);
    assert_non_null(strstr(line_of_short, "\"where\":\"stock/"));
    assert_non_null(strstr(line_of_short, "\"sku\":\"tea\",\"wanted\":2}"));
}

static void stores_stay_where_they_were_asked_to_be(void **state)
{
    bus_test *test = NULL;
    char data[] = "/tmp/bus-test-api-XXXXXX", path[64], command[80];
    (void)state;
    assert_non_null(mkdtemp(data));
    const bus_test_options options = { .data = data, .start_ms = 1000 };
    assert_int_equal(bus_test_open(&stockroom_service, &options, &test, NULL), BUS_OK);
    assert_int_equal(stockroom_figures(test).now_ms, 1000);
    bus_test_close(test);
    snprintf(path, sizeof path, "%s/stock/0.db", data);
    assert_int_equal(access(path, F_OK), 0);
    snprintf(command, sizeof command, "rm -r %s", data);
    assert_int_equal(system(command), 0);
}

static void records_are_found_by_their_type(void **state)
{
    bus_test *test = *state;
    stockroom_receive(test, "tea", 5);
    stockroom_reserve(test, "o1", "tea", 2);
    stockroom_receive(test, "salt", 6);
    assert_int_equal(bus_test_run(test, NULL), BUS_OK);
    assert_int_equal(bus_test_count(test, "stock.commands", NULL), 3);
    assert_int_equal(bus_test_count(test, "stock.commands", &inventory_StockReceived_type), 2);
    assert_int_equal(bus_test_count(test, "stock.commands", &inventory_StockReserved_type), 0);
    assert_int_equal(bus_test_count(test, "no.such", NULL), 0);
    assert_int_equal(
        inventory_StockReceived_of(bus_test_find(test, "stock.commands", &inventory_StockReceived_type, 1))->quantity, 6);
    assert_null(bus_test_find(test, "stock.commands", &inventory_StockReceived_type, 2));
    assert_null(bus_test_find(test, "no.such", NULL, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STOCKROOM_TEST(handles_what_was_sent_and_shows_what_came_of_it),
        STOCKROOM_TEST(events_are_in_the_order_they_were_written_over_all_partitions),
        STOCKROOM_TEST(time_passes_only_when_told),
        STOCKROOM_TEST(what_is_scheduled_leaves_when_it_is_due_also_after_a_restart),
        STOCKROOM_TEST(raw_records_go_as_they_are),
        STOCKROOM_TEST(transactions_commit_or_leave_nothing),
        STOCKROOM_TEST(mistakes_are_told),
        STOCKROOM_TEST(lines_of_handlers_say_whose_they_are),
        cmocka_unit_test(properties_are_read_by_open_and_handlers),
        STOCKROOM_TEST(records_are_found_by_their_type),
        cmocka_unit_test(stores_stay_where_they_were_asked_to_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
