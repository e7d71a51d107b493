/* SPDX-License-Identifier: MIT
 * The rules of the protocol, each with the scenario it exists for: handlers and time: errors, pauses, prepare steps, deaths, schedules, assignments.
 * See support/scene.h for what the service does. */
#include "support/scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNTER(scene, name) ((int)bus_counter_read(&scene_metrics(scene)->name))

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

static void a_draining_key_takes_its_prepare_step_up_again_after_a_pause(void **state)
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
        scene_turn(s);
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
    bus_virtual_clock_advance(&s->clock, 20000000);
    scene_start(s);
    scene_pass(s, 100);
    assert_string_equal(scene_topic(s, "svc.events"), "b c a");
}

static void a_lost_assignment_stops_deliveries_only(void **state)
{
    scene *s = *state;
    bus_memory_lose(bus_host_transport(s->host));
    scene_send(s, "in", "k", "a");
    scene_pass(s, 5000);
    assert_non_null(bus_host_shard(s->host, 0));
    assert_string_equal(scene_effects(s), "");
    bus_memory_assign(bus_host_transport(s->host), (int32_t[]){ 0 }, 1);
    scene_run(s);
    assert_string_equal(scene_effects(s), "a");
}

static void a_shard_passes_from_process_to_process(void **state)
{
    scene *s = *state;
    bus_host *second = NULL;
    bus_error err = { 0 };
    scene_send(s, "in", "k", "a");
    scene_run(s);
    assert_int_equal(bus_host_open(&s->options, &second, &err), BUS_OK);
    bus_memory_assign(bus_host_transport(second), (int32_t[]){ 0 }, 1);
    bus_host_group(second);
    assert_null(bus_host_shard(second, 0));
    assert_int_equal(bus_host_failure(second, 0, &err), BUS_LOCKED);
    /* the first was stopped meanwhile; the group has given its shard away; it notices that someone waits */
    bus_memory_lose(bus_host_transport(s->host));
    bus_host_group(s->host);
    assert_null(bus_host_shard(s->host, 0));
    scene_send(s, "in", "k", "b");
    bus_virtual_clock_advance(&s->clock, 1000000);
    bus_host_group(second);
    while (bus_host_step(second, 0))
        ;
    assert_int_equal(bus_host_failure(second, 0, &err), BUS_OK);
    assert_string_equal(scene_effects(s), "a b");
    bus_host_close(second);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_set_up, scene_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_pause_burns_no_attempt_and_keeps_order),
        TEST(prepare_steps_run_before_their_events_and_again_after_a_pause),
        TEST(a_draining_key_takes_its_prepare_step_up_again_after_a_pause),
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
