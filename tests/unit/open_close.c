/* SPDX-License-Identifier: MIT
 * No memory: whichever single allocation fails while a service is opened, handles, publishes and closes, the call says so or the
 * loop tries again; nothing is lost, doubled, out of order or leaked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "inventory.events.h"
#include "support/alloc_fail.h"
#include "support/scene.h"
#include "support/temp_store.h"
#include <bus/bus.h>
#include <bus/test.h>

/* ---- bus_test_open, one run, bus_test_close: a service as its author tests it */

static bus_verdict on_receive(bus_tx *tx, const bus_event *event, void *shard)
{
    (void)event;
    (void)shard;
    bus_emit(tx, &inventory_ReleaseStock_type, BUS_STR("o"), &(inventory_ReleaseStock){ .order_id = BUS_STR("o") });
    return BUS_DONE;
}

static const bus_route routes[] = { { .topic = "in", .type = &inventory_StockReceived_type, .handler = on_receive }, { 0 } };
static const bus_emits emits[] = { { &inventory_ReleaseStock_type, NULL }, { 0 } };
static const bus_service service = { .name = "svc", .routes = routes, .emits = emits };

static void opening_says_that_there_is_no_memory(void **state)
{
    (void)state;
    for (long n = 1;; n++) {
        bus_test *test = NULL;
        bus_error err = { 0 };
        alloc_fail_at(n, false);
        bus_status status = bus_test_open(&service, NULL, &test, &err);
        bool hit = alloc_fail_off();
        if (status != BUS_OK) {
            assert_true(hit);
            assert_null(test);
            if (status != BUS_NOMEM)
                fail_msg("allocation %ld: %s: %s", n, bus_status_name(status), err.text);
            continue;
        }
        /* Open in spite of it, and then whole. */
        const inventory_StockReceived received = { .delivery = BUS_STR("d"), .sku = BUS_STR("lamp"), .quantity = 1 };
        assert_int_equal(bus_test_send(test, "in", &inventory_StockReceived_type, BUS_STR("lamp"), &received, &err), BUS_OK);
        assert_int_equal(bus_test_advance(test, 60000, &err), BUS_OK);
        assert_non_null(bus_test_event(test, "svc.events", 0));
        bus_test_close(test);
        if (!hit)
            break;
    }
}

static void closing_needs_no_memory(void **state)
{
    (void)state;
    for (long n = 1; n < 40; n++) {
        bus_test *test = NULL;
        bus_error err = { 0 };
        assert_int_equal(bus_test_open(&service, NULL, &test, &err), BUS_OK);
        alloc_fail_at(n, true);
        bus_test_close(test);
        if (!alloc_fail_off())
            break;
    }
}

/* ---- the loop: every rule at once, and one allocation that fails: the n-th of ours, or if n < 0 of SQLite */

static void play(scene *s, long n)
{
    s->options.limits.batch_records = 4;
    scene_send_hop(s, "in", "far/0#1", 1, "k", "a retry=1 emit=2");
    scene_send_hop(s, "in", "far/0#1", 2, "k", "b emit=1");
    scene_send(s, "in", "long-key-that-needs-room-of-its-own-in-every-buffer-that-a-key-goes-through", "c retry=1");
    scene_send(s, "in", "long-key-that-needs-room-of-its-own-in-every-buffer-that-a-key-goes-through", "d write");
    scene_send(s, "held", "h", "e reject");
    scene_send(s, "held", "h", "f other=1");
    scene_send_hop(s, "in", "far/0#1", 4, "k", "g schedule=500");
    scene_send_hop(s, "in", "far/0#1", 2, "k", "b emit=1");
    scene_send_hop(s, "in", "far/0#1", 3, "x", "h");
    scene_send(s, "steps", "p", "i");
    if (n > 0)
        alloc_fail_at(n, false);
    else
        sqlite_fail_at(-n);
    scene_run(s);
}

static void mend(scene *s)
{
    scene_pass(s, 60000);
    s->mended = true;
    scene_command(s, 0, "redrive", 0);
    scene_pass(s, 60000);
}

static void check(scene *s, long n)
{
    char events[100];
    assert_int_equal(scene_failure(s), BUS_OK);
    if (scene_ask(s, "SELECT count(*) FROM effect") != 9 || scene_ask(s, "SELECT count(DISTINCT name) FROM effect") != 9 ||
        scene_ask(s, "SELECT (SELECT n FROM effect WHERE name = 'a') < (SELECT n FROM effect WHERE name = 'b')"
                     " AND (SELECT n FROM effect WHERE name = 'b') < (SELECT n FROM effect WHERE name = 'g')"
                     " AND (SELECT n FROM effect WHERE name = 'c') < (SELECT n FROM effect WHERE name = 'd')"
                     " AND (SELECT n FROM effect WHERE name = 'e') < (SELECT n FROM effect WHERE name = 'f')") != 1)
        fail_msg("allocation %ld: effects are %s", n, scene_effects(s));
    snprintf(events, sizeof events, "%s", scene_topic(s, "svc.events"));
    if (strcmp(events, "a1 a2 b1 g") != 0 || strcmp(scene_topic(s, "svc.other"), "f1") != 0)
        fail_msg("allocation %ld: sent are %s and %s", n, events, scene_topic(s, "svc.other"));
    assert_string_equal(scene_letters(s), "handler:open:1 redriven:1 resolved:1");
    assert_int_equal(
        scene_ask(s,
                  "SELECT (SELECT count(*) FROM bus_key) + (SELECT count(*) FROM bus_parked) + (SELECT count(*) FROM bus_hole)"),
        0);
}

static bool play_whole(long n)
{
    void *stage = NULL;
    scene_set_up(&stage);
    scene *s = stage;
    play(s, n);
    bool hit = n > 0 ? alloc_fail_off() : sqlite_fail_off();
    assert_int_equal(scene_failure(s), BUS_OK);
    mend(s);
    check(s, n);
    scene_tear_down(&stage);
    return hit;
}

static void one_failed_allocation_changes_nothing(void **state)
{
    (void)state;
    for (long n = 1; play_whole(n); n++)
        continue;
}

static void one_failed_allocation_of_sqlite_changes_nothing(void **state)
{
    (void)state;
    for (long n = 1; play_whole(-n); n += 1 + n / 40) /* there are many alike */
        continue;
}

int main(void)
{
    sqlite_fail_install();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening_says_that_there_is_no_memory),
        cmocka_unit_test(closing_needs_no_memory),
        cmocka_unit_test(one_failed_allocation_changes_nothing),
        cmocka_unit_test(one_failed_allocation_of_sqlite_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
