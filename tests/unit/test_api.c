/* SPDX-License-Identifier: MIT
 * bus_test_*, used as the author of a service would use it: a small stock service, from its own test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "codec/schema.h"
#include "inventory.events.h"
#include <avro.h>
#include <bus/bus.h>
#include <bus/test.h>
#include <bus/value.h>
#include <sqlite3.h>

/* ---- a service: receives stock, reserves it, and asks the warehouse again when a reservation is a minute old */

static const bus_migration migrations[] = {
    { "stock", "CREATE TABLE stock(sku TEXT PRIMARY KEY NOT NULL, quantity INTEGER NOT NULL CHECK (quantity >= 0)) WITHOUT ROWID" },
    { 0 }
};

static bool trouble; /* the service's code is at fault as long as it stands */

static bool change(bus_tx *tx, const char *sql, bus_string sku, int quantity)
{
    sqlite3_stmt *statement = bus_sql(tx, sql);
    if (!statement)
        return false;
    sqlite3_bind_text(statement, 1, sku.at, (int)sku.len, SQLITE_TRANSIENT);
    sqlite3_bind_int(statement, 2, quantity);
    return sqlite3_step(statement) == SQLITE_DONE && sqlite3_changes(bus_db(tx)) == 1;
}

static bool add(bus_tx *tx, bus_string sku, int quantity)
{
    return change(tx, "INSERT INTO stock VALUES (?1, ?2) ON CONFLICT (sku) DO UPDATE SET quantity = quantity + ?2", sku, quantity);
}

static bool take(bus_tx *tx, bus_string sku, int quantity)
{
    return change(tx, "UPDATE stock SET quantity = quantity - ?2 WHERE sku = ?1 AND quantity >= ?2", sku, quantity);
}

static bus_verdict on_received(bus_tx *tx, const bus_event *event, void *shard)
{
    const inventory_StockReceived *received = inventory_StockReceived_of(event);
    assert_ptr_equal(shard, &trouble);
    if (trouble)
        return bus_reject(tx, "no scales");
    add(tx, received->sku, received->quantity);
    return BUS_DONE;
}

static bus_verdict on_reserve(bus_tx *tx, const bus_event *event, void *shard)
{
    (void)shard;
    const inventory_ReserveStock *reserve = inventory_ReserveStock_of(event);
    char order[32], sku[32];
    snprintf(order, sizeof order, "%.*s", (int)reserve->order_id.len, reserve->order_id.at);
    snprintf(sku, sizeof sku, "%.*s", (int)reserve->sku.len, reserve->sku.at);
    if (!take(tx, reserve->sku, reserve->quantity))
        return bus_retry(tx, "none of it is there yet");
    bus_emit(tx, &inventory_StockReserved_type, order, &(inventory_StockReserved){ .order_id = reserve->order_id, .sku = reserve->sku,
                                                                                   .quantity = reserve->quantity });
    bus_schedule(tx, order, bus_now(tx) + 60000, &inventory_ReleaseStock_type, sku,
                 &(inventory_ReleaseStock){ .order_id = reserve->order_id, .sku = reserve->sku });
    return BUS_DONE;
}

static int opened, closed;

static bus_status on_open(sqlite3 *db, int shard, void *opaque, void **state, bus_error *err)
{
    assert_non_null(db);
    assert_in_range(shard, 0, 1);
    (void)err;
    opened++;
    *state = opaque;
    return BUS_OK;
}

static void on_close(void *state)
{
    assert_ptr_equal(state, &trouble);
    closed++;
}

static const bus_route routes[] = {
    { .topic = "stock.commands", .type = &inventory_StockReceived_type, .handler = on_received },
    { .topic = "stock.commands", .type = &inventory_ReserveStock_type, .handler = on_reserve },
    { 0 }
};
static const bus_emits emits[] = { { &inventory_StockReserved_type, NULL }, { &inventory_ReleaseStock_type, "stock.timers" }, { 0 } };
static const bus_service service = { .name = "stock", .routes = routes, .emits = emits, .migrations = migrations, .open = on_open,
                                     .close = on_close, .opaque = &trouble };

/* ---- its tests */

static int set_up(void **state)
{
    bus_test *test = NULL;
    bus_error err = { 0 };
    trouble = false;
    opened = closed = 0;
    if (bus_test_open(&service, &(bus_test_options){ .shards = 2 }, &test, &err))
        fail_msg("%s", err.text);
    *state = test;
    return 0;
}

static int tear_down(void **state)
{
    int before = closed;
    bus_test_close(*state);
    assert_int_equal(closed, before + 2);
    return 0;
}

static void receive(bus_test *test, const char *sku, int quantity)
{
    const inventory_StockReceived body = { .delivery = BUS_STR("d"), .sku = bus_str(sku), .quantity = quantity };
    assert_int_equal(bus_test_send(test, "stock.commands", &inventory_StockReceived_type, sku, &body, NULL), BUS_OK);
}

static void reserve(bus_test *test, const char *order, const char *sku, int quantity)
{
    const inventory_ReserveStock body = { .order_id = bus_str(order), .sku = bus_str(sku), .quantity = quantity };
    assert_int_equal(bus_test_send(test, "stock.commands", &inventory_ReserveStock_type, sku, &body, NULL), BUS_OK);
}

static int64_t stock(bus_test *test)
{
    int64_t sum = -1;
    assert_int_equal(bus_test_query(test, "SELECT total(quantity) FROM stock", &sum, NULL), BUS_OK);
    return sum;
}

static bus_test_figures figures(bus_test *test)
{
    bus_test_figures out;
    bus_test_figures_of(test, &out);
    return out;
}

static void handles_what_was_sent_and_shows_what_came_of_it(void **state)
{
    bus_test *test = *state;
    receive(test, "tea", 5);
    assert_int_equal(stock(test), 0);
    assert_int_equal(bus_test_run(test, NULL), BUS_OK);
    assert_int_equal(stock(test), 5);
    reserve(test, "o1", "tea", 2);
    reserve(test, "o2", "tea", 3);
    assert_int_equal(bus_test_run(test, NULL), BUS_OK);
    assert_int_equal(stock(test), 0);
    const bus_event *first = bus_test_event(test, "stock.events", 0), *second = bus_test_event(test, "stock.events", 1);
    assert_true(bus_string_is(inventory_StockReserved_of(first)->order_id, "o1"));
    assert_int_equal(inventory_StockReserved_of(second)->quantity, 3);
    assert_string_equal(first->type_name, "inventory.StockReserved");
    assert_string_equal(first->causation, bus_test_event(test, "stock.commands", 1)->id);
    assert_memory_equal(first->key, "o1", 2);
    assert_null(bus_test_event(test, "stock.events", 2));
    assert_null(bus_test_event(test, "no.such", 0));
    assert_int_equal(figures(test).handled, 3);
    assert_int_equal(bus_test_advance(test, 1000, NULL), BUS_OK);
    assert_int_equal(figures(test).outbox, 0);
}

static void events_are_in_the_order_they_were_written_over_all_partitions(void **state)
{
    bus_test *test = *state;
    char name[8];
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "s%d", i);
        receive(test, name, i);
    }
    assert_int_equal(bus_test_run(test, NULL), BUS_OK);
    for (int i = 0; i < 20; i++)
        assert_int_equal(inventory_StockReceived_of(bus_test_event(test, "stock.commands", (size_t)i))->quantity, i);
    assert_int_equal(stock(test), 190);
}

static void time_passes_only_when_told(void **state)
{
    bus_test *test = *state;
    int64_t began = figures(test).now_ms;
    reserve(test, "o1", "tea", 2);
    assert_int_equal(bus_test_run(test, NULL), BUS_OK);
    assert_int_equal(figures(test).retried, 1);
    assert_int_equal(figures(test).events_parked, 1);
    receive(test, "tea", 5); /* the same key: behind it */
    assert_int_equal(bus_test_run(test, NULL), BUS_OK);
    assert_int_equal(figures(test).events_parked, 2);
    assert_int_equal(figures(test).keys_waiting, 1);
    assert_int_equal(stock(test), 0);
    assert_int_equal(figures(test).now_ms, began);
    assert_int_equal(bus_test_advance(test, 999, NULL), BUS_OK);
    assert_int_equal(figures(test).retried, 1);
    assert_int_equal(bus_test_advance(test, 2, NULL), BUS_OK);
    assert_int_equal(figures(test).retried, 2);
    assert_int_equal(figures(test).now_ms, began + 1001);
    assert_int_equal(bus_test_advance(test, -1, NULL), BUS_INVALID);
}

static void what_is_scheduled_leaves_when_it_is_due_also_after_a_restart(void **state)
{
    bus_test *test = *state;
    receive(test, "tea", 5);
    reserve(test, "o1", "tea", 2);
    assert_int_equal(bus_test_advance(test, 59000, NULL), BUS_OK);
    assert_null(bus_test_event(test, "stock.timers", 0));
    int before = opened;
    assert_int_equal(bus_test_restart(test, NULL), BUS_OK);
    assert_int_equal(opened, before + 2);
    assert_int_equal(closed, 2);
    assert_int_equal(bus_test_advance(test, 1100, NULL), BUS_OK);
    assert_non_null(inventory_ReleaseStock_of(bus_test_event(test, "stock.timers", 0)));
    assert_int_equal(stock(test), 3);
}

static void dead_letters_are_counted_and_can_be_read(void **state)
{
    bus_test *test = *state;
    trouble = true;
    receive(test, "tea", 5);
    assert_int_equal(bus_test_run(test, NULL), BUS_OK);
    assert_int_equal(figures(test).dead_lettered, 1);
    assert_int_equal(figures(test).letters_open, 1);
    const bus_event *letter = bus_test_event(test, "stock.dlq", 0);
    assert_int_equal(inventory_StockReceived_of(letter)->quantity, 5);
    bool told = false;
    for (size_t i = 0; i < letter->header_count; i++)
        told = told || (strcmp(letter->headers[i].name, "__dlq.errors.message") == 0 && letter->headers[i].len == 9 &&
                        memcmp(letter->headers[i].value, "no scales", 9) == 0);
    assert_true(told);
}

static void raw_records_go_as_they_are(void **state)
{
    bus_test *test = *state;
    const bus_header headers[] = { { "ce_type", "inventory.StockReceived", 23 } };
    bus_raw record = { .topic = "stock.commands", .key = "tea", .key_len = 3, .value = "rubbish", .value_len = 7, .headers = headers,
                       .header_count = 1 };
    assert_int_equal(bus_test_send_raw(test, &record, NULL), BUS_OK);
    record.headers = &(bus_header){ "ce_type", "some.Other", 10 };
    assert_int_equal(bus_test_send_raw(test, &record, NULL), BUS_OK);
    assert_int_equal(bus_test_run(test, NULL), BUS_OK);
    assert_int_equal(figures(test).letters_open, 1);
    assert_int_equal(figures(test).unrouted, 1);
    assert_null(bus_test_event(test, "stock.commands", 0)->body);
    record.partition = 7;
    record.keep_partition = true;
    assert_int_equal(bus_test_send_raw(test, &record, NULL), BUS_INVALID);
    record.topic = "no.such";
    assert_int_equal(bus_test_send_raw(test, &record, NULL), BUS_MISSING);
}

static bus_verdict stock_up(bus_tx *tx, void *opaque)
{
    assert_int_equal(bus_test_transact(opaque, NULL, 0, stock_up, opaque, NULL), BUS_INVALID);
    add(tx, BUS_STR("tea"), 7);
    bus_emit(tx, &inventory_StockReserved_type, "o9", &(inventory_StockReserved){ .order_id = BUS_STR("o9") });
    return trouble ? bus_reject(tx, "not today") : BUS_DONE;
}

static void transactions_commit_or_leave_nothing(void **state)
{
    bus_test *test = *state;
    bus_error err = { 0 };
    assert_int_equal(bus_test_transact(test, "tea", 3, stock_up, test, &err), BUS_OK);
    assert_int_equal(stock(test), 7);
    assert_non_null(bus_test_event(test, "stock.events", 0));
    trouble = true;
    assert_int_equal(bus_test_transact(test, "tea", 3, stock_up, test, &err), BUS_REFUSED);
    assert_non_null(strstr(err.text, "not today"));
    assert_int_equal(stock(test), 7);
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
    assert_int_equal(bus_test_send(test, "stock.commands", &inventory_StockReceived_type, NULL, &body, &err), BUS_INVALID);
    assert_int_equal(bus_test_open(&service, &(bus_test_options){ .shards = -1 }, &other, &err), BUS_INVALID);
    const bus_service nameless = { .name = "Bad Name", .routes = routes };
    assert_int_equal(bus_test_open(&nameless, NULL, &other, &err), BUS_INVALID);
    assert_null(other);
    bus_test_close(NULL);
}

static void stores_stay_where_they_were_asked_to_be(void **state)
{
    bus_test *test = NULL;
    char data[] = "/tmp/bus-test-api-XXXXXX", path[64], command[80];
    (void)state;
    assert_non_null(mkdtemp(data));
    const bus_test_options options = { .data = data, .start_ms = 1000 };
    assert_int_equal(bus_test_open(&service, &options, &test, NULL), BUS_OK);
    assert_int_equal(figures(test).now_ms, 1000);
    bus_test_close(test);
    snprintf(path, sizeof path, "%s/stock/0.db", data);
    assert_int_equal(access(path, F_OK), 0);
    snprintf(command, sizeof command, "rm -r %s", data);
    assert_int_equal(system(command), 0);
}

/* ---- events of another version, and a service that has no compiled type */

typedef struct old_received { bus_string sku; int32_t quantity; bus_string delivery, remark; } old_received;
#define TEXT "\"type\":\"string\""
static const char old_json[] = "{\"type\":\"record\",\"name\":\"inventory.StockReceived\",\"fields\":[{\"name\":\"sku\"," TEXT "},"
    "{\"name\":\"quantity\",\"type\":\"int\"},{\"name\":\"delivery\"," TEXT "},{\"name\":\"remark\"," TEXT "}]}";
static const bus_shape text_shape = { .kind = BUS_KIND_STRING, .wire = BUS_KIND_STRING, .size = sizeof(bus_string), .least = 1 };
static const bus_shape int_shape = { .kind = BUS_KIND_INT, .wire = BUS_KIND_INT, .size = sizeof(int32_t), .least = 1 };
static const bus_field old_fields[] = {
    { "sku", &text_shape, offsetof(old_received, sku) }, { "quantity", &int_shape, offsetof(old_received, quantity) },
    { "delivery", &text_shape, offsetof(old_received, delivery) }, { "remark", &text_shape, offsetof(old_received, remark) },
};
static const bus_shape old_shape = { .kind = BUS_KIND_RECORD, .wire = BUS_KIND_RECORD, .size = sizeof(old_received), .least = 4, .count = 4,
                                     .name = "inventory.StockReceived", .fields = old_fields };

static void send_old(bus_test *test, int quantity)
{
    bus_schema *schema = NULL;
    bus_error err = { 0 };
    if (bus_schema_parse(old_json, strlen(old_json), &schema, &err))
        fail_msg("%s", err.text);
    const bus_type old = { .layout = BUS_TYPE_LAYOUT, .name = "inventory.StockReceived", .json = old_json,
                           .canonical = bus_schema_canonical(schema), .fingerprint = bus_schema_fingerprint(schema), .shape = &old_shape };
    const old_received body = { BUS_STR("tea"), quantity, BUS_STR("d"), BUS_STR("by ship") };
    if (bus_test_send(test, "stock.commands", &old, "tea", &body, &err))
        fail_msg("%s", err.text);
    bus_schema_free(schema);
}

static void events_of_another_version_are_handled_and_shown(void **state)
{
    bus_test *test = *state;
    send_old(test, 5);
    receive(test, "tea", 2);
    assert_int_equal(bus_test_run(test, NULL), BUS_OK);
    assert_int_equal(stock(test), 7);
    const bus_event *old = bus_test_event(test, "stock.commands", 0);
    assert_int_equal(inventory_StockReceived_of(old)->quantity, 5);
    assert_true(bus_string_is(inventory_StockReceived_of(old)->delivery, "d"));
}

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
    add(tx, bus_str(sku), quantity);
    avro_value_decref(&value);
    return BUS_DONE;
}

static void a_service_without_types_reads_values(void **state)
{
    static const bus_route any[] = { { .topic = "stock.commands", .handler = on_anything }, { 0 } };
    static const bus_service watcher = { .name = "watcher", .routes = any, .migrations = migrations };
    bus_test *test = NULL;
    bus_error err = { 0 };
    (void)state;
    if (bus_test_open(&watcher, NULL, &test, &err))
        fail_msg("%s", err.text);
    receive(test, "tea", 2);
    send_old(test, 5);
    assert_int_equal(bus_test_run(test, NULL), BUS_OK);
    assert_int_equal(stock(test), 7);
    /* Bytes that break their schema never reach avro-c: the letter tells where they do. */
    const bus_event *good = bus_test_event(test, "stock.commands", 0);
    char bytes[64];
    memcpy(bytes, good->value, good->value_len);
    const bus_header own[] = { { "ce_specversion", "1.0", 3 }, { "ce_id", "broken", 6 }, { "ce_source", "test", 4 }, { "ce_type", "x.Y", 3 } };
    bus_raw record = { .topic = "stock.commands", .key = "tea", .key_len = 3, .value = bytes, .value_len = good->value_len - 1,
                       .headers = own, .header_count = 4 };
    assert_int_equal(bus_test_send_raw(test, &record, NULL), BUS_OK);
    assert_int_equal(bus_test_run(test, NULL), BUS_OK);
    assert_int_equal(seen_status, BUS_CORRUPT);
    assert_non_null(strstr(seen_error, "inventory.StockReceived.quantity: at byte 16"));
    assert_int_equal(figures(test).letters_open, 1);
    /* A schema that nobody has announced. */
    memset(bytes + 2, 7, 8);
    record.headers = (const bus_header[]){ own[0], { "ce_id", "strange", 7 }, own[2], own[3] };
    assert_int_equal(bus_test_send_raw(test, &record, NULL), BUS_OK);
    assert_int_equal(bus_test_run(test, NULL), BUS_OK);
    assert_int_equal(seen_status, BUS_MISSING);
    assert_string_equal(seen_error, "written with schema 0707070707070707, which nobody has announced");
    bus_test_close(test);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(handles_what_was_sent_and_shows_what_came_of_it),
        TEST(events_are_in_the_order_they_were_written_over_all_partitions),
        TEST(time_passes_only_when_told),
        TEST(what_is_scheduled_leaves_when_it_is_due_also_after_a_restart),
        TEST(dead_letters_are_counted_and_can_be_read),
        TEST(raw_records_go_as_they_are),
        TEST(transactions_commit_or_leave_nothing),
        TEST(mistakes_are_told),
        TEST(events_of_another_version_are_handled_and_shown),
        cmocka_unit_test(a_service_without_types_reads_values),
        cmocka_unit_test(stores_stay_where_they_were_asked_to_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
