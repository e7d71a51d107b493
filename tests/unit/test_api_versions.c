/* SPDX-License-Identifier: MIT
 * bus_test_*: events of another version, and a service that has no compiled type. */
#include "support/stockroom.h"

#include <bus/bus.h>
#include <bus/value.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <avro.h>
#include "inventory_v2.events.h"

/* ---- events of another version */

static void send_other(bus_test *test, int quantity)
{
    const inventory_v2_StockReceived body = {
        .delivery = BUS_STR("d"), .sku = BUS_STR("tea"), .quantity = quantity, .quality = inventory_v2_Quality_DAMAGED
    };
    assert_int_equal(bus_test_send(test, "stock.commands", &inventory_v2_StockReceived_type, BUS_STR("tea"), &body, NULL),
                     BUS_OK);
}

static void events_of_another_version_are_handled_and_shown(void **state)
{
    bus_test *test = *state;
    send_other(test, 5);
    stockroom_receive(test, "tea", 2);
    assert_int_equal(bus_test_run(test, NULL), BUS_OK);
    assert_int_equal(stockroom_total(test), 7);
    const bus_event *other = bus_test_event(test, "stock.commands", 0);
    assert_int_equal(inventory_StockReceived_of(other)->quantity, 5);
    assert_true(bus_string_is(inventory_StockReceived_of(other)->delivery, "d"));
    assert_null(inventory_v2_StockReceived_of(other));
}

/* What a program of another version reads in it; and what that cannot read. */
static void records_are_read_as_another_version(void **state)
{
    bus_test *test = *state;
    bus_error err = { 0 };
    stockroom_receive(test, "tea", 5);
    stockroom_reserve(test, "o1", "tea", 2);
    assert_int_equal(bus_test_run(test, NULL), BUS_OK);
    const inventory_v2_StockReceived *received =
        bus_test_body(test, bus_test_event(test, "stock.commands", 0), &inventory_v2_StockReceived_type, &err);
    assert_non_null(received);
    assert_int_equal(received->quantity, 5);
    assert_int_equal(received->quality, inventory_v2_Quality_GOOD);                                     /* its default */
    const bus_event *answer = bus_test_find(test, "stock.events", &inventory_v2_StockReserved_type, 0); /* by the name alone */
    const inventory_v2_StockReserved *reserved = bus_test_body(test, answer, &inventory_v2_StockReserved_type, &err);
    assert_non_null(reserved);
    assert_true(bus_string_is(reserved->order_id, "o1"));
    assert_null(bus_test_body(test, answer, &inventory_StockReceived_type, &err));
    assert_non_null(strstr(err.text, "StockReserved"));
    bus_publication tombstone = { .topic = "stock.commands", .key = BUS_STR("tea"), .tombstone = true };
    assert_int_equal(bus_test_publish(test, &tombstone, NULL), BUS_OK);
    assert_null(bus_test_body(test, bus_test_event(test, "stock.commands", 2), &inventory_StockReceived_type, &err));
    assert_int_equal(err.status, BUS_INVALID);
}

/* ---- a service that has no compiled type */

static bus_status seen_status;
static char seen_error[200];

/* Knows no type: it looks for a field by its name, whatever the event is. */
static bus_verdict on_anything(bus_tx *tx, const bus_event *event, void *shard)
{
    bus_error err = { 0 };
    avro_value_t value, field;
    int32_t quantity = 0;
    const char *sku = NULL;
    size_t len;
    (void)shard;
    assert_null(event->body);
    seen_status = bus_event_value(tx, event, &value, &err);
    if (seen_status != BUS_OK) {
        snprintf(seen_error, sizeof seen_error, "%s", err.text);
        return bus_reject(tx, "%s", err.text);
    }
    assert_int_equal(avro_value_get_by_name(&value, "quantity", &field, NULL) || avro_value_get_int(&field, &quantity), 0);
    assert_int_equal(avro_value_get_by_name(&value, "sku", &field, NULL) || avro_value_get_string(&field, &sku, &len), 0);
    stockroom_add(tx, bus_str(sku), quantity);
    avro_value_decref(&value);
    return BUS_DONE;
}

static void a_service_without_types_reads_values(void **state)
{
    static const bus_route any[] = { { .topic = "stock.commands", .handler = on_anything }, { 0 } };
    static const bus_service watcher = { .name = "watcher", .routes = any, .migrations = stockroom_migrations };
    bus_test *test = NULL;
    bus_error err = { 0 };
    (void)state;
    if (bus_test_open(&watcher, NULL, &test, &err) != BUS_OK)
        fail_msg("%s", err.text);
    stockroom_receive(test, "tea", 2);
    send_other(test, 5);
    assert_int_equal(bus_test_run(test, NULL), BUS_OK);
    assert_int_equal(stockroom_total(test), 7);
    /* Bytes that break their schema never reach avro-c: the dead letter tells where they do. */
    const bus_event *good = bus_test_event(test, "stock.commands", 0);
    char bytes[64];
    memcpy(bytes, good->value.at, good->value.len);
    const bus_header own[] = {
        { "ce_specversion", "1.0", 3 }, { "ce_id", "broken", 6 }, { "ce_source", "test", 4 }, { "ce_type", "x.Y", 3 }
    };
    bus_publication record = { .topic = "stock.commands",
                               .key = BUS_STR("tea"),
                               .value = { bytes, good->value.len - 1 },
                               .headers = own,
                               .header_count = 4 };
    assert_int_equal(bus_test_publish(test, &record, NULL), BUS_OK);
    assert_int_equal(bus_test_run(test, NULL), BUS_OK);
    assert_int_equal(seen_status, BUS_CORRUPT);
    assert_non_null(strstr(seen_error, "inventory.StockReceived.quantity: at byte 16"));
    assert_int_equal(stockroom_figures(test).letters_open, 1);
    /* A schema that nobody has announced. */
    memset(bytes + 2, 7, 8);
    record.headers = (const bus_header[]){ own[0], { "ce_id", "strange", 7 }, own[2], own[3] };
    assert_int_equal(bus_test_publish(test, &record, NULL), BUS_OK);
    assert_int_equal(bus_test_run(test, NULL), BUS_OK);
    assert_int_equal(seen_status, BUS_MISSING);
    assert_string_equal(seen_error, "written with schema 0707070707070707, which nobody has announced");
    bus_test_close(test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STOCKROOM_TEST(records_are_read_as_another_version),
        STOCKROOM_TEST(events_of_another_version_are_handled_and_shown),
        cmocka_unit_test(a_service_without_types_reads_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
