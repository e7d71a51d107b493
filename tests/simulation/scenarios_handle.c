/* SPDX-License-Identifier: MIT
 * The rules of the protocol, each with the scenario it exists for: handlers and time: errors, pauses, prepare steps, deaths, schedules, assignments.
 * See support/scene.h for what the service does. */
#include "support/scene.h"
#include <bus/log.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNTER(scene, name) ((int)bui_counter_read(&scene_metrics(scene)->name))

static void a_pause_burns_no_attempt_and_keeps_order(void **state)
{
    scene *s = *state;
    s->weather = true;
    scene_send(s, "slow", "k", "a write pause retry=2");
    scene_send(s, "slow", "k2", "b");
    scene_send(s, "in", "k", "beside");
    scene_pass(s, 300000);
    assert_string_equal(scene_effects(s), "beside");
    assert_true(s->runs > 5);
    assert_true(s->runs < 100);
    assert_int_equal(COUNTER(s, retried), 0);
    s->weather = false;
    scene_pass(s, 60000);
    assert_string_equal(scene_effects(s), "beside b a");
    assert_int_equal(COUNTER(s, dead_lettered), 0);
}

static void prepare_steps_run_before_their_events_and_again_after_a_pause(void **state)
{
    scene *s = *state;
    s->weather = true;
    scene_send(s, "steps", "k", "a unready retry=1");
    scene_send(s, "steps", "k", "b unready");
    scene_send(s, "steps", "other", "c");
    scene_pass(s, 20000);
    assert_int_equal(s->runs, 0);
    s->weather = false;
    scene_pass(s, 60000);
    assert_string_equal(scene_letters(s), "");
    assert_string_equal(scene_effects(s), "c a b");
    assert_int_equal(s->runs, 4);
}

static void a_key_catching_up_takes_its_prepare_step_up_again_after_a_pause(void **state)
{
    scene *s = *state;
    scene_send(s, "steps", "k", "a retry=1");
    scene_send(s, "steps", "k", "b unready");
    scene_run(s);
    s->weather = true;
    scene_pass(s, 5000);
    assert_string_equal(scene_effects(s), "a");
    s->weather = false;
    scene_pass(s, 60000);
    assert_string_equal(scene_effects(s), "a b");
}

static void a_redriven_event_is_prepared_too(void **state)
{
    scene *s = *state;
    scene_send(s, "steps", "k", "a reject");
    scene_run(s);
    assert_string_equal(scene_letters(s), "handler:open:1");
    s->mended = true;
    scene_command(s, 0, "redrive", 0);
    scene_pass(s, 20000);
    assert_string_equal(scene_effects(s), "a");
    assert_string_equal(scene_letters(s), "handler:open:1 redriven:1 resolved:1");
}

/* The second of three events of a key kills, and again when it is redriven before it is mended. */
static void is_dead_lettered_unrun(scene *s, const char *topic, const char *text)
{
    scene_send(s, topic, "k", "before");
    scene_send(s, topic, "k", text);
    scene_send(s, topic, "k", "after");
    scene_pass(s, 60000);
    assert_string_equal(scene_letters(s), "crash:open:1");
    assert_string_equal(scene_effects(s), "before after");
    scene_stop(s);
    scene_start(s);
    scene_command(s, 0, "redrive", 0);
    scene_pass(s, 1000);
    assert_int_equal(scene_ask(s, "SELECT round FROM bus_letter WHERE state = 1"), 2);
    s->mended = true;
    scene_command(s, 0, "redrive", 2);
    scene_pass(s, 1000);
    assert_string_equal(scene_effects(s), "before after a");
}

static void what_kills_three_times_is_dead_lettered_unrun(void **state)
{
    is_dead_lettered_unrun(*state, "in", "a write die");
}

static void what_kills_in_its_prepare_step_is_dead_lettered_unrun(void **state)
{
    is_dead_lettered_unrun(*state, "steps", "a die-preparing");
}

static void killers_that_take_turns_are_dead_lettered_all(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "a", "a die");
    scene_send(s, "steps", "b", "b die-preparing");
    scene_send(s, "slow", "c", "c die");
    scene_send(s, "held", "d", "d die");
    scene_send(s, "steps", "e", "e die");
    scene_pass(s, 60000);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_letter WHERE round = 1"), 5);
}

static void what_kills_twice_runs_the_third_time(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a write die");
    while (s->runs < 2) /* each death is one handler run */
        scene_iteration(s);
    s->mended = true;
    scene_run(s);
    assert_string_equal(scene_effects(s), "a");
    assert_string_equal(scene_letters(s), "");
}

static void a_scheduled_event_leaves_when_it_is_due(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a schedule=5000 name=one");
    scene_send(s, "in", "k", "b schedule=3000 name=two");
    scene_pass(s, 2900);
    assert_string_equal(scene_topic(s, "svc.events"), "");
    scene_pass(s, 200);
    assert_string_equal(scene_topic(s, "svc.events"), "b");
    scene_send(s, "in", "k", "c schedule=5000 name=one"); /* the same name: in its place */
    scene_pass(s, 4000);
    assert_string_equal(scene_topic(s, "svc.events"), "b");
    scene_pass(s, 2000);
    assert_string_equal(scene_topic(s, "svc.events"), "b c");
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_schedule"), 0);
}

static void a_cancelled_schedule_is_gone_and_a_late_cancel_says_so(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a schedule=5000 name=one");
    scene_send(s, "in", "k", "b cancel=one");
    scene_run(s);
    assert_true(s->cancelled);
    scene_send(s, "in", "k", "c schedule=1000 name=two");
    scene_pass(s, 10000);
    scene_send(s, "in", "k", "d cancel=two");
    scene_run(s);
    assert_false(s->cancelled);
    assert_string_equal(scene_topic(s, "svc.events"), "c");
}

static void a_cancel_in_a_delivery_that_fails_is_taken_back(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a schedule=500 name=one");
    scene_send(s, "in", "k2", "b cancel=one bad-sql");
    scene_pass(s, 900);
    assert_string_equal(scene_topic(s, "svc.events"), "a");
}

static void overdue_schedules_fire_in_due_order_at_open(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a due=9000 name=one");
    scene_send(s, "in", "k", "b due=3000 name=two");
    scene_send(s, "in", "k", "c due=6000 name=three");
    scene_run(s);
    scene_stop(s);
    bui_virtual_clock_advance(&s->clock, 20000000);
    scene_start(s);
    scene_pass(s, 100);
    assert_string_equal(scene_topic(s, "svc.events"), "b c a");
}

static void a_lost_assignment_stops_deliveries_only(void **state)
{
    scene *s = *state;
    bui_memory_lose(bui_host_transport(s->host));
    scene_send(s, "in", "k", "a");
    scene_pass(s, 5000);
    assert_non_null(bui_host_shard(s->host, 0));
    assert_string_equal(scene_effects(s), "");
    bui_memory_assign(bui_host_transport(s->host), (int32_t[]){ 0 }, 1);
    scene_run(s);
    assert_string_equal(scene_effects(s), "a");
}

static void a_shard_passes_from_process_to_process(void **state)
{
    scene *s = *state;
    bui_host *second = NULL;
    bus_error err = { 0 };
    scene_send(s, "in", "k", "a");
    scene_run(s);
    assert_int_equal(bui_host_open(&s->options, &second, &err), BUS_OK);
    bui_memory_assign(bui_host_transport(second), (int32_t[]){ 0 }, 1);
    bui_host_group(second);
    assert_null(bui_host_shard(second, 0));
    assert_int_equal(bui_host_failure(second, 0, &err), BUS_LOCKED);
    /* the first was stopped meanwhile; the group has given its shard away; it notices that someone waits */
    bui_memory_lose(bui_host_transport(s->host));
    bui_host_group(s->host);
    assert_null(bui_host_shard(s->host, 0));
    scene_send(s, "in", "k", "b");
    bui_virtual_clock_advance(&s->clock, 1000000);
    bui_host_group(second);
    while (bui_host_step(second, 0))
        ;
    assert_int_equal(bui_host_failure(second, 0, &err), BUS_OK);
    assert_string_equal(scene_effects(s), "a b");
    bui_host_close(second);
}

/* ---- what a handler is told of earlier runs */

static void told(const bus_event *event, int attempt, int attempts, int redriven, int64_t first_failed)
{
    assert_int_equal(event->attempt, attempt);
    assert_int_equal(event->attempts, attempts);
    assert_int_equal(event->redriven, redriven);
    assert_int_equal(event->first_failed_ms, first_failed);
}

static void a_handler_sees_how_often_its_event_failed(void **state)
{
    scene *s = *state;
    int64_t failed = s->clock.wall_us / 1000;
    scene_send(s, "in", "k", "a retry=9");
    scene_run(s);
    told(&s->last, 1, 3, 0, 0);
    scene_pass(s, 1500);
    told(&s->last, 2, 3, 0, failed);
    scene_pass(s, 20000);
    told(&s->last, 3, 3, 0, failed);
    assert_string_equal(scene_letters(s), "handler:open:1");
    scene_command(s, 0, "redrive", 0);
    scene_run(s);
    told(&s->last, 1, 3, 1, failed);
    scene_pass(s, 60000);
    told(&s->last, 3, 3, 1, failed);
    scene_command(s, 2, "redrive", 0);
    s->mended = true;
    scene_run(s);
    told(&s->last, 1, 3, 2, failed);
    assert_string_equal(scene_effects(s), "a");
}

static void a_held_event_and_its_prepare_step_see_it_too(void **state)
{
    scene *s = *state;
    int64_t failed = s->clock.wall_us / 1000;
    scene_send(s, "held", "k", "a reject");
    scene_send(s, "steps", "k", "b reject");
    scene_run(s);
    told(&s->last, 1, 3, 0, 0);
    told(&s->last_prepared, 1, 3, 0, 0);
    scene_pass(s, 3000);
    s->mended = true;
    scene_command(s, 0, "redrive", 0);
    scene_run(s);
    told(&s->last, 1, 3, 1, failed);
    scene_command(s, 1, "redrive", 0);
    scene_run(s);
    told(&s->last, 1, 3, 1, failed);
    told(&s->last_prepared, 1, 3, 1, failed);
}

static void a_copy_that_is_replayed_has_one_attempt(void **state)
{
    scene *s = *state;
    int64_t at = scene_send(s, "in", "k", "a");
    scene_run(s);
    scene_replay(s, "in", at, "run", 1, 0);
    scene_run(s);
    assert_true(s->last.replay);
    told(&s->last, 1, 1, 0, 0);
}

/* ---- the log */

static char failure[600]; /* the last line of a first failure */
static int failures;

static void keep_failure(bus_level level, const char *line, size_t len, void *opaque)
{
    (void)opaque;
    if (!memmem(line, len, "\"handler_failed\"", 16))
        return;
    assert_int_equal(level, BUS_WARN);
    failures++;
    snprintf(failure, sizeof failure, "%.*s", (int)len, line);
}

static void the_first_failure_is_logged_with_its_reason(void **state)
{
    scene *s = *state;
    failures = 0;
    bus_log_to(BUS_INFO, keep_failure, NULL);
    scene_send(s, "in", "k", "a retry=2");
    scene_pass(s, 60000);
    assert_string_equal(scene_effects(s), "a");
    bus_log_to(BUS_ERROR, NULL, NULL);
    assert_int_equal(failures, 1);
    assert_non_null(strstr(
        failure,
        "in/0 offset 0 (test.Text) failed in its handler, attempt 1 of 3, and runs again at 2026-01-01T00:00:01.000Z: attempt 1\""));
}

/* A record that fails costs its writer nothing, and one route's lines do not hide another's. */
static void many_first_failures_cost_few_lines_of_each_route(void **state)
{
    scene *s = *state;
    failures = 0;
    bus_log_to(BUS_INFO, keep_failure, NULL);
    for (int i = 0; i < 300; i++) {
        char text[32];
        snprintf(text, sizeof text, "e%d retry=1", i);
        scene_send(s, "in", NULL, text);
    }
    scene_run(s);
    assert_int_equal(failures, 10);
    scene_send(s, "pair", "k", "b retry=1");
    scene_run(s);
    assert_int_equal(failures, 11);
    assert_non_null(strstr(failure, "pair/0 offset 0"));
    scene_pass(s, 61000);
    scene_send(s, "in", "k", "c retry=1");
    scene_run(s);
    bus_log_to(BUS_ERROR, NULL, NULL);
    assert_int_equal(failures, 12);
    assert_non_null(strstr(failure, "; before it 290 more were not written"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_set_up, scene_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_pause_burns_no_attempt_and_keeps_order),
        TEST(prepare_steps_run_before_their_events_and_again_after_a_pause),
        TEST(a_key_catching_up_takes_its_prepare_step_up_again_after_a_pause),
        TEST(a_redriven_event_is_prepared_too),
        TEST(what_kills_three_times_is_dead_lettered_unrun),
        TEST(what_kills_in_its_prepare_step_is_dead_lettered_unrun),
        TEST(killers_that_take_turns_are_dead_lettered_all),
        TEST(what_kills_twice_runs_the_third_time),
        TEST(a_scheduled_event_leaves_when_it_is_due),
        TEST(a_cancelled_schedule_is_gone_and_a_late_cancel_says_so),
        TEST(a_cancel_in_a_delivery_that_fails_is_taken_back),
        TEST(overdue_schedules_fire_in_due_order_at_open),
        TEST(a_lost_assignment_stops_deliveries_only),
        TEST(a_shard_passes_from_process_to_process),
        TEST(a_handler_sees_how_often_its_event_failed),
        TEST(a_held_event_and_its_prepare_step_see_it_too),
        TEST(a_copy_that_is_replayed_has_one_attempt),
        TEST(the_first_failure_is_logged_with_its_reason),
        TEST(many_first_failures_cost_few_lines_of_each_route),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
