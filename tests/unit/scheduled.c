/* SPDX-License-Identifier: MIT
 * bus_event.scheduled: true of what bus_schedule made, in whatever way it reaches its handler and prepare step; false of what any
 * producer emits or publishes, also if it says otherwise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "inventory.events.h"
#include <bus/bus.h>
#include <bus/test.h>

#define KEY BUS_STR("k")

static const inventory_ReleaseStock release = { .order_id = BUS_STR("o"), .sku = BUS_STR("tea") };
static const inventory_StockReceived received = { .delivery = BUS_STR("d"), .sku = BUS_STR("tea"), .quantity = 1 };

static struct {
    int runs, marked;         /* of the handler; of them with `scheduled` */
    int prepared, marked_too; /* of the prepare step */
    bool mended;
} seen;

/* Plans an event. */
static bus_verdict on_received(bus_tx *tx, const bus_event *event, void *state)
{
    (void)state;
    assert_false(event->scheduled);
    inventory_ReleaseStock_schedule(tx, BUS_STR("later"), bus_now(tx) + 1000, event->key, &release);
    return BUS_DONE;
}

static bus_verdict before_release(bus_prepare *prepare, const bus_event *event, void *state)
{
    (void)prepare;
    (void)state;
    seen.prepared++;
    seen.marked_too += event->scheduled;
    return BUS_DONE;
}

static bus_verdict on_release(bus_tx *tx, const bus_event *event, void *state)
{
    (void)state;
    seen.runs++;
    seen.marked += event->scheduled;
    return seen.mended ? BUS_DONE : bus_retry(tx, "not yet");
}

static const bus_route routes[] = {
    { .topic = "in", .type = &inventory_StockReceived_type, .handler = on_received },
    { .topic = "plain", .type = &inventory_ReleaseStock_type, .handler = on_release, .attempts = 2, .on_dead = BUS_HOLD_KEY },
    { .topic = "steps", .type = &inventory_ReleaseStock_type, .handler = on_release, .prepare = before_release, .attempts = 2 },
    { 0 }
};
static const bus_emits to_plain[] = { { &inventory_ReleaseStock_type, "plain" }, { 0 } };
static const bus_emits to_steps[] = { { &inventory_ReleaseStock_type, "steps" }, { 0 } };

static bus_test *begin(bus_service *service, const bus_emits *emits)
{
    bus_test *test;
    bus_error err = { 0 };
    *service = (bus_service){ .name = "planner", .routes = routes, .emits = emits };
    memset(&seen, 0, sizeof seen);
    if (bus_test_open(service, NULL, &test, &err) != BUS_OK)
        fail_msg("%s", err.text);
    return test;
}

/* Fails twice, is given up, and is redriven: scheduled all the time. */
static void through_its_life(const bus_emits *emits)
{
    bus_service service;
    bus_test *test = begin(&service, emits);
    assert_int_equal(bus_test_send(test, "in", &inventory_StockReceived_type, KEY, &received, NULL), BUS_OK);
    assert_int_equal(bus_test_run(test, NULL), BUS_OK);
    assert_int_equal(seen.runs, 0);
    assert_int_equal(bus_test_advance(test, 1000, NULL), BUS_OK);
    assert_int_equal(seen.runs, 1);
    assert_true(bus_test_event(test, emits->topic, 0)->scheduled);
    assert_int_equal(bus_test_restart(test, NULL), BUS_OK);
    assert_int_equal(bus_test_advance(test, 60000, NULL), BUS_OK);
    const bus_test_letter *letter = bus_test_letter_at(test, 0);
    assert_non_null(letter);
    assert_true(letter->event->scheduled);
    seen.mended = true;
    assert_int_equal(bus_test_redrive(test, NULL, NULL), BUS_OK);
    assert_int_equal(bus_test_run(test, NULL), BUS_OK);
    assert_string_equal(bus_test_letter_at(test, 0)->state, "resolved");
    assert_int_equal(seen.runs, 3);
    assert_int_equal(seen.marked, 3);
    assert_int_equal(seen.marked_too, seen.prepared);
    assert_int_equal(seen.prepared > 0, emits == to_steps);
    bus_test_close(test);
}

static void a_scheduled_event_is_one_all_its_life(void **state)
{
    (void)state;
    through_its_life(to_plain);
}

static void its_prepare_step_sees_it_too(void **state)
{
    (void)state;
    through_its_life(to_steps);
}

static bus_verdict emit(bus_tx *tx, void *opaque)
{
    (void)opaque;
    inventory_ReleaseStock_emit(tx, KEY, &release);
    return BUS_DONE;
}

/* Emitted, published, and published with a hop that was copied from another place. */
static void what_others_send_is_not(void **state)
{
    (void)state;
    static const char copied[] = "planner/0#a elsewhere/0/1 s=1";
    const bus_header hop = { "bus-hop", copied, sizeof copied - 1 };
    bus_service service;
    bus_test *test = begin(&service, to_plain);
    seen.mended = true;
    assert_int_equal(bus_test_transact(test, KEY, emit, NULL, NULL), BUS_OK);
    bus_publication sent = inventory_ReleaseStock_publication("plain", KEY, &release);
    assert_int_equal(bus_test_publish(test, &sent, NULL), BUS_OK);
    sent.headers = &hop;
    sent.header_count = 1;
    assert_int_equal(bus_test_publish(test, &sent, NULL), BUS_OK);
    assert_int_equal(bus_test_run(test, NULL), BUS_OK);
    assert_int_equal(seen.runs, 3);
    assert_int_equal(seen.marked, 0);
    for (size_t i = 0; i < 3; i++)
        assert_false(bus_test_event(test, "plain", i)->scheduled);
    bus_test_close(test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_scheduled_event_is_one_all_its_life),
        cmocka_unit_test(its_prepare_step_sees_it_too),
        cmocka_unit_test(what_others_send_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
