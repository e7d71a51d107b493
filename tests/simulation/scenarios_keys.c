/* SPDX-License-Identifier: MIT
 * The rules of the protocol, each with the scenario it exists for: keys that wait: retries, dead letters, redrives, what is parked behind them.
 * See support/scene.h for what the service does. */
#include "support/scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNTER(scene, name) ((int)bui_counter_read(&scene_metrics(scene)->name))
#define GAUGE(scene, name) ((int)bui_gauge_read(&scene_metrics(scene)->name))

static void a_failed_event_waits_and_its_followers_park_behind_it(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a retry=2");
    scene_send(s, "in", "k", "b");
    scene_send(s, "in", "else", "free");
    scene_send(s, "in", NULL, "keyless");
    scene_run(s);
    assert_string_equal(scene_effects(s), "free keyless");
    assert_int_equal(scene_ask(s, "SELECT state FROM bus_key"), BUI_KEY_WAITING);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_parked"), 2);
    scene_pass(s, 999);
    assert_int_equal(s->runs, 3);
    scene_pass(s, 100);
    assert_int_equal(s->runs, 4);
    scene_send(s, "in", "k", "c");
    scene_pass(s, 9500);
    assert_string_equal(scene_effects(s), "free keyless");
    scene_pass(s, 2000);
    assert_string_equal(scene_effects(s), "free keyless a b c");
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_key"), 0);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_parked"), 0);
    scene_send(s, "in", "k", "d");
    scene_run(s);
    assert_string_equal(scene_effects(s), "free keyless a b c d");
}

static void a_null_and_an_empty_key_differ(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "", "a retry=1");
    scene_send(s, "in", NULL, "b");
    scene_send(s, "in", "", "c");
    scene_run(s);
    assert_string_equal(scene_effects(s), "b");
    scene_pass(s, 2000);
    assert_string_equal(scene_effects(s), "b a c");
}

static void a_waiting_head_runs_without_its_retry_record_after_a_grace(void **state)
{
    scene *s = *state;
    s->fate = scene_hold_all;
    scene_send(s, "in", "k", "a retry=1");
    scene_pass(s, 1000 + s->options.limits.retry_grace_ms - 100);
    assert_string_equal(scene_effects(s), "");
    scene_pass(s, 200);
    assert_string_equal(scene_effects(s), "a");
    bui_memory_deliver(bui_host_transport(s->host), BUI_FATE_DUPLICATE);
    s->fate = NULL;
    scene_pass(s, 60000);
    assert_int_equal(s->runs, 2); /* late and doubled retry records do no harm */
}

static void waiting_goes_on_after_a_restart(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a retry=2");
    scene_send(s, "in", "k", "b");
    scene_run(s);
    scene_stop(s);
    scene_start(s);
    scene_send(s, "in", "k", "c");
    scene_pass(s, 30000);
    assert_string_equal(scene_effects(s), "a b c");
}

static void an_event_that_never_succeeds_dies_and_releases_its_key(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a retry=99");
    scene_send(s, "in", "k", "b");
    scene_pass(s, 60000);
    assert_int_equal(s->runs, 4);
    assert_string_equal(scene_effects(s), "b");
    assert_string_equal(scene_letters(s), "handler:open:1");
    assert_int_equal(GAUGE(s, letters_open), 1);
}

static void a_held_key_waits_for_its_letter(void **state)
{
    scene *s = *state;
    scene_send(s, "held", "k", "a reject");
    scene_send(s, "held", "k", "b");
    scene_send(s, "held", "other", "x");
    scene_pass(s, 60000);
    assert_string_equal(scene_effects(s), "x");
    assert_int_equal(scene_ask(s, "SELECT state FROM bus_key"), BUI_KEY_HELD);
    scene_command(s, 0, "redrive", 0);
    scene_pass(s, 1000);
    assert_string_equal(scene_letters(s), "handler:open:1 redriven:1 handler:open:2");
    assert_string_equal(scene_effects(s), "x");
    s->mended = true;
    scene_command(s, 0, "redrive", 2);
    scene_pass(s, 1000);
    assert_string_equal(scene_effects(s), "x a b");
    assert_string_equal(scene_letters(s), "handler:open:1 redriven:1 handler:open:2 redriven:2 resolved:2");
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_key"), 0);
}

static void a_discarded_letter_frees_its_key_without_it(void **state)
{
    scene *s = *state;
    scene_send(s, "held", "k", "a reject");
    scene_send(s, "held", "k", "b reject");
    scene_send(s, "held", "k", "c");
    scene_run(s);
    scene_command(s, 0, "discard", 0);
    scene_pass(s, 1000);
    assert_string_equal(scene_letters(s), "handler:open:1 discarded:1 handler:open:1");
    assert_string_equal(scene_effects(s), "");
    scene_command(s, 2, "discard", 0);
    scene_pass(s, 1000);
    assert_string_equal(scene_effects(s), "c");
}

static void a_redrive_that_fails_goes_through_the_retries_again(void **state)
{
    scene *s = *state;
    scene_send(s, "held", "k", "a retry=99");
    scene_send(s, "held", "k", "b");
    scene_pass(s, 60000);
    int before = s->runs;
    scene_command(s, 0, "redrive", 0);
    scene_pass(s, 60000);
    assert_int_equal(s->runs, before + 3);
    assert_string_equal(scene_letters(s), "handler:open:1 redriven:1 handler:open:2");
    assert_string_equal(scene_effects(s), "");
}

static void a_released_letter_redriven_is_an_arrival_of_its_key(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a reject");
    scene_send(s, "in", "k", "b retry=1");
    scene_send(s, "in", "k", "c");
    scene_run(s);
    s->mended = true;
    scene_command(s, 0, "redrive", 0);
    scene_run(s);
    assert_string_equal(scene_effects(s), ""); /* it parks behind b */
    scene_pass(s, 5000);
    assert_string_equal(scene_effects(s), "b c a");
    assert_string_equal(scene_letters(s), "handler:open:1 redriven:1 resolved:1");
    assert_int_equal(GAUGE(s, letters_open), 0);
}

static void a_stale_command_is_answered_already(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a reject");
    scene_run(s);
    scene_command(s, 0, "redrive", 7);
    scene_run(s);
    assert_int_equal(COUNTER(s, commands_stale), 1);
    s->mended = true;
    scene_command(s, 0, "redrive", 0);
    scene_command(s, 0, "redrive", 0);
    scene_command(s, 0, "discard", 0);
    scene_pass(s, 1000);
    assert_int_equal(COUNTER(s, commands_stale), 3);
    assert_string_equal(scene_effects(s), "a");
    assert_string_equal(scene_letters(s), "handler:open:1 redriven:1 resolved:1");
}

static void a_redelivery_of_what_is_parked_or_open_is_skipped(void **state)
{
    scene *s = *state;
    scene_send(s, "held", "k", "a reject");
    scene_send(s, "held", "k", "b");
    scene_send(s, "in", "k", "dead reject");
    scene_pass(s, 5000);
    scene_stop(s);
    /* delivered again by an offset set back: `seen` may still know them, the key and the dead letter do in any case */
    bui_memory_commit_foreign(s->cluster, "svc", "held", 0, 0);
    bui_memory_commit_foreign(s->cluster, "svc", "in", 0, 0);
    scene_start(s);
    scene_pass(s, 1000);
    assert_string_equal(scene_letters(s), "handler:open:1 handler:open:1");
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_parked"), 2);
}

static void a_redrive_that_meets_a_pause_is_not_forgotten(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a reject pause");
    scene_run(s);
    s->mended = s->weather = true;
    scene_command(s, 0, "redrive", 0);
    scene_pass(s, 10000);
    assert_string_equal(scene_effects(s), "");
    s->weather = false;
    scene_pass(s, 120000);
    assert_string_equal(scene_effects(s), "a");
    assert_string_equal(scene_letters(s), "handler:open:1 redriven:1 resolved:1");
}

static void parking_is_bounded_per_key(void **state)
{
    scene *s = *state;
    scene_stop(s);
    s->options.limits.parked_per_key = 2;
    scene_start(s);
    scene_send(s, "in", "k", "a retry=1");
    scene_send(s, "in", "k", "b");
    scene_send(s, "in", "k", "c");
    scene_send(s, "in", "k2", "d");
    scene_pass(s, 5000);
    assert_string_equal(scene_effects(s), "d a b");
    assert_string_equal(scene_letters(s), "behind:open:1");
}

static void parking_is_bounded_per_store(void **state)
{
    scene *s = *state;
    scene_stop(s);
    s->options.limits.parked_bytes = 2000;
    s->options.limits.batch_records = 1;
    scene_start(s);
    char text[48];
    scene_send(s, "in", "k", "a retry=1");
    for (int i = 0; i < 100; i++) {
        snprintf(text, sizeof text, "b%02d-----------------------------", i);
        scene_send(s, "in", "k", text);
    }
    scene_run(s);
    assert_in_range(scene_ask(s, "SELECT count(*) FROM bus_parked"), 5, 60);
    scene_pass(s, 20000);
    assert_int_equal(s->runs, 102);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_parked"), 0);
}

static void sticky_errors_undo_the_whole_delivery(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a write bad-sql emit");
    scene_send(s, "in", "k2", "b");
    scene_run(s);
    assert_string_equal(scene_effects(s), "b");
    assert_string_equal(scene_topic(s, "svc.events"), "");
    s->mended = true;
    scene_pass(s, 5000);
    assert_string_equal(scene_effects(s), "b a");
    assert_string_equal(scene_topic(s, "svc.events"), "a1");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_set_up, scene_tear_down)

/* The other version: it has no route for events of `in` that are no ReleaseStock. */
static void start_without_the_route(scene *s)
{
    static bus_route fewer[8];
    size_t n = 0;
    for (const bus_route *route = s->service.routes; route->topic; route++, n++) {
        fewer[n] = *route;
        if (strcmp(route->topic, "in") == 0)
            fewer[n].type = s->service.emits->type;
    }
    memset(&fewer[n], 0, sizeof fewer[n]);
    s->service.routes = fewer;
    scene_start(s);
}

static void what_waits_outlives_a_version_without_its_route(void **state)
{
    scene *s = *state;
    const bus_route *routes = s->service.routes;
    scene_send(s, "in", "k", "a retry=1");
    scene_send(s, "in", "k", "b");
    scene_send(s, "in", "k2", "c retry=2");
    scene_run(s);
    scene_stop(s);
    start_without_the_route(s);
    scene_pass(s, 12000);
    assert_string_equal(scene_letters(s), "unrouted:open:1 unrouted:open:1");
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_parked"), 3);
    scene_command(s, 0, "redrive", 0); /* in vain, and told so */
    scene_pass(s, 1000);
    assert_string_equal(scene_effects(s), "");
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_letter WHERE state = 1 AND round = 2"), 1);
    scene_stop(s);
    scene_start(s); /* once more: nothing new of it */
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_letter WHERE state = 1"), 2);
    scene_stop(s);
    s->service.routes = routes;
    scene_start(s);
    scene_pass(s, 60000);
    assert_string_equal(scene_effects(s), "a b c");
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_parked"), 0);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_letter WHERE state = 1"), 0);
}

static void what_waits_without_a_route_is_discarded_by_an_operator(void **state)
{
    scene *s = *state;
    const bus_route *routes = s->service.routes;
    scene_send(s, "in", "k", "a retry=1");
    scene_send(s, "in", "k", "b");
    scene_run(s);
    scene_stop(s);
    start_without_the_route(s);
    scene_pass(s, 12000);
    scene_command(s, 0, "discard", 0);
    scene_pass(s, 1000);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_parked"), 1); /* the next has none either */
    scene_stop(s);
    s->service.routes = routes;
    scene_start(s);
    scene_pass(s, 60000);
    assert_string_equal(scene_effects(s), "b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_failed_event_waits_and_its_followers_park_behind_it),
        TEST(a_null_and_an_empty_key_differ),
        TEST(a_waiting_head_runs_without_its_retry_record_after_a_grace),
        TEST(waiting_goes_on_after_a_restart),
        TEST(an_event_that_never_succeeds_dies_and_releases_its_key),
        TEST(a_held_key_waits_for_its_letter),
        TEST(a_discarded_letter_frees_its_key_without_it),
        TEST(a_redrive_that_fails_goes_through_the_retries_again),
        TEST(a_released_letter_redriven_is_an_arrival_of_its_key),
        TEST(a_stale_command_is_answered_already),
        TEST(a_redelivery_of_what_is_parked_or_open_is_skipped),
        TEST(a_redrive_that_meets_a_pause_is_not_forgotten),
        TEST(parking_is_bounded_per_key),
        TEST(parking_is_bounded_per_store),
        TEST(sticky_errors_undo_the_whole_delivery),
        TEST(what_waits_outlives_a_version_without_its_route),
        TEST(what_waits_without_a_route_is_discarded_by_an_operator),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
