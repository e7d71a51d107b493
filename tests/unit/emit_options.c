/* SPDX-License-Identifier: MIT
 * bus_emit_with and bus_schedule_with: what the options say is what stands on the topic, now or when it is due. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "inventory.events.h"
#include <bus/bus.h>
#include <bus/test.h>

#define KEY ((bus_string){ "a\0b", 3 })

static const bus_emits emits[] = { { &inventory_StockReserved_type, NULL },
                                   { &inventory_ReleaseStock_type, "shop.timers" },
                                   { 0 } };
static const bus_service service = { .name = "shop", .emits = emits };
static const inventory_StockReserved body = { .order_id = BUS_STR("o") };
static const bus_header own[] = { { "colour", "blue", 4 }, { "ce_id", "not mine to say", 15 } };
static const bus_emit_options all = {
    .topic = "shop.timers", .headers = own, .header_count = 2, .correlation = "talk", .has_partition = true, .partition = 1
};

static int set_up(void **state)
{
    bus_error err = { 0 };
    if (bus_test_open(&service, &(bus_test_options){ .shards = 2 }, (bus_test **)state, &err) != BUS_OK)
        fail_msg("%s", err.text);
    return 0;
}

static int tear_down(void **state)
{
    bus_test_close(*state);
    return 0;
}

static bus_status call(bus_test *test, bus_transaction fn, void *opaque, bus_error *err)
{
    return bus_test_transact(test, BUS_STR("k"), fn, opaque, err);
}

static bool has_header(const bus_event *event, const char *name, const char *value)
{
    for (size_t i = 0; i < event->header_count; i++)
        if (strcmp(event->headers[i].name, name) == 0)
            return event->headers[i].len == strlen(value) && memcmp(event->headers[i].value, value, strlen(value)) == 0;
    return false;
}

static void assert_all(const bus_event *event)
{
    assert_non_null(event);
    assert_int_equal(event->partition, 1);
    assert_true(bus_string_equal(event->key, KEY));
    assert_string_equal(event->correlation, "talk");
    assert_string_equal(event->type_name, "inventory.StockReserved");
    assert_true(has_header(event, "colour", "blue"));
    assert_false(has_header(event, "ce_id", "not mine to say"));
    assert_true(bus_string_is(inventory_StockReserved_of(event)->order_id, "o"));
}

/* ---- now */

static bus_verdict emit_all(bus_tx *tx, void *opaque)
{
    (void)opaque;
    bus_emit_with(tx, &inventory_StockReserved_type, KEY, &body, &all);
    bus_emit_with(tx, &inventory_StockReserved_type, KEY, &body, NULL);
    bus_emit(tx, &inventory_StockReserved_type, BUS_STR(""), &body);
    bus_emit(tx, &inventory_StockReserved_type, bus_str(NULL), &body);
    return BUS_DONE;
}

static void an_event_is_what_its_options_say(void **state)
{
    bus_test *test = *state;
    assert_int_equal(call(test, emit_all, NULL, NULL), BUS_OK);
    assert_all(bus_test_event(test, "shop.timers", 0));
    int whole = 0, empty = 0, none = 0; /* each goes to its own partition: in no order */
    for (size_t i = 0; i < 3; i++) {
        bus_string key = bus_test_event(test, "shop.events", i)->key;
        whole += bus_string_equal(key, KEY);
        empty += key.at && key.len == 0;
        none += !key.at;
    }
    assert_true(whole == 1 && empty == 1 && none == 1);
}

/* ---- later */

static bus_verdict plan_all(bus_tx *tx, void *opaque)
{
    (void)opaque;
    const char *names = "onetwo"; /* neither is terminated */
    bus_schedule_with(tx, bus_string_of(names, 3), bus_now(tx) + 1000, &inventory_StockReserved_type, KEY, &body, &all);
    bus_schedule(tx, bus_string_of(names + 3, 3), bus_now(tx) + 1000, &inventory_StockReserved_type, KEY, &body);
    return BUS_DONE;
}

static bus_verdict cancel_two(bus_tx *tx, void *opaque)
{
    *(bool *)opaque = bus_cancel(tx, BUS_STR("two")) && !bus_cancel(tx, BUS_STR("on"));
    return BUS_DONE;
}

static void a_planned_event_is_what_its_options_say(void **state)
{
    bus_test *test = *state;
    bool cancelled = false;
    assert_int_equal(call(test, plan_all, NULL, NULL), BUS_OK);
    assert_int_equal(call(test, cancel_two, &cancelled, NULL), BUS_OK);
    assert_true(cancelled);
    assert_int_equal(bus_test_restart(test, NULL), BUS_OK); /* it is in the store, all of it */
    assert_null(bus_test_event(test, "shop.timers", 0));
    assert_int_equal(bus_test_advance(test, 1000, NULL), BUS_OK);
    assert_all(bus_test_event(test, "shop.timers", 0));
    assert_null(bus_test_event(test, "shop.timers", 1));
    assert_null(bus_test_event(test, "shop.events", 0));
}

/* ---- the generated functions */

static bus_verdict emit_typed(bus_tx *tx, void *opaque)
{
    (void)opaque;
    inventory_StockReserved_emit_with(tx, KEY, &body, &all);
    inventory_StockReserved_emit(tx, KEY, &body);
    inventory_StockReserved_schedule(tx, BUS_STR("one"), bus_now(tx) + 1000, KEY, &body);
    inventory_StockReserved_schedule_with(tx, BUS_STR("two"), bus_now(tx) + 1000, KEY, &body, &all);
    return BUS_DONE;
}

static void generated_functions_do_as_those_they_wrap(void **state)
{
    bus_test *test = *state;
    assert_int_equal(call(test, emit_typed, NULL, NULL), BUS_OK);
    assert_all(bus_test_event(test, "shop.timers", 0));
    assert_null(bus_test_event(test, "shop.timers", 1));
    assert_true(bus_string_equal(bus_test_event(test, "shop.events", 0)->key, KEY));
    assert_null(bus_test_event(test, "shop.events", 1));
    assert_int_equal(bus_test_advance(test, 1000, NULL), BUS_OK);
    assert_all(bus_test_event(test, "shop.timers", 1));
    assert_non_null(inventory_StockReserved_of(bus_test_event(test, "shop.events", 1)));
    bus_publication sent = inventory_StockReserved_publication("shop.events", KEY, &body);
    assert_true(sent.type == &inventory_StockReserved_type && sent.body == &body && !sent.tombstone && !sent.has_partition);
    sent.headers = own;
    sent.header_count = 1;
    assert_int_equal(bus_test_publish(test, &sent, NULL), BUS_OK);
    assert_true(has_header(bus_test_event(test, "shop.events", 2), "colour", "blue"));
}

/* ---- mistakes */

static bus_verdict emit_nowhere(bus_tx *tx, void *opaque)
{
    (void)opaque;
    bus_emit_with(tx, &inventory_StockReserved_type, KEY, &body, &(bus_emit_options){ .has_partition = true, .partition = -1 });
    return BUS_DONE;
}

static bus_verdict plan_as(bus_tx *tx, void *opaque)
{
    bus_schedule(tx, *(bus_string *)opaque, 0, &inventory_StockReserved_type, KEY, &body);
    return BUS_DONE;
}

static bus_verdict cancel_as(bus_tx *tx, void *opaque)
{
    assert_false(bus_cancel(tx, *(bus_string *)opaque));
    return BUS_DONE;
}

static void mistakes_are_told_and_stick(void **state)
{
    bus_test *test = *state;
    bus_error err = { 0 };
    assert_int_equal(call(test, emit_nowhere, NULL, &err), BUS_INVALID);
    assert_non_null(strstr(err.text, "partition -1"));
    bus_string bad[] = { { NULL, 0 }, { "", 0 }, { "a\0b", 3 } };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(call(test, plan_as, &bad[i], &err), BUS_INVALID);
        assert_non_null(strstr(err.text, "the name of a scheduled event"));
        assert_int_equal(call(test, cancel_as, &bad[i], &err), BUS_INVALID);
    }
    assert_null(bus_test_event(test, "shop.events", 0));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_event_is_what_its_options_say),
        TEST(generated_functions_do_as_those_they_wrap),
        TEST(a_planned_event_is_what_its_options_say),
        TEST(mistakes_are_told_and_stick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
