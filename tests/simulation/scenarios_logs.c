/* SPDX-License-Identifier: MIT
 * The rules of the protocol, each with the scenario it exists for: logs that are not the ones that were read before, while the shard runs
 * and when it opens. See support/scene.h for what the service does. */
#include "support/scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#define COUNTER(scene, name) ((int)bui_counter_read(&scene_metrics(scene)->name))

static void send_all(scene *s, const char *topic, const char *words)
{
    char word[2] = "";
    for (; *words; words++) {
        word[0] = *words;
        scene_send(s, topic, "k", word);
    }
}

static void recreate(scene *s, const char *topic, const char *words)
{
    bui_memory_topic_delete(s->cluster, topic);
    bui_memory_topic(s->cluster, topic, 1);
    send_all(s, topic, words);
}

/* Halted at the log, and again at the next start. */
static void halts(scene *s, const char *effects)
{
    assert_int_equal(scene_failure(s), BUS_REFUSED);
    assert_non_null(strstr(s->text, "in/0"));
    assert_string_equal(scene_effects(s), effects);
    scene_stop(s);
    scene_start(s);
    assert_int_equal(scene_failure(s), BUS_REFUSED);
    assert_string_equal(scene_effects(s), effects);
    scene_stop(s);
}

static void goes_on_from(scene *s, int64_t offset, const char *effects)
{
    bui_memory_commit_foreign(s->cluster, "svc", "in", 0, offset);
    scene_start(s);
    scene_pass(s, 30000);
    assert_int_equal(scene_failure(s), BUS_OK);
    assert_string_equal(scene_effects(s), effects);
}

static void a_topic_recreated_while_it_runs_halts_before_any_of_it_is_taken(void **state)
{
    scene *s = *state;
    send_all(s, "in", "abc");
    scene_pass(s, 1000);
    recreate(s, "in", "pqrst");
    scene_run(s);
    halts(s, "a b c");
    goes_on_from(s, 0, "a b c p q r s t");
}

static void records_in_hand_from_the_former_log_are_not_taken_for_the_new_ones(void **state)
{
    scene *s = *state;
    s->options.limits.batch_records = 1;
    scene_stop(s);
    scene_start(s);
    send_all(s, "in", "abcd");
    scene_iteration(s);
    scene_iteration(s);
    recreate(s, "in", "pqrst");
    scene_run(s);
    assert_int_equal(scene_failure(s), BUS_REFUSED);
    assert_non_null(strstr(s->text, "another record"));
}

/* The answer to a look may take its time. */
static void records_wait_for_the_look_after_a_sign(void **state)
{
    scene *s = *state;
    send_all(s, "in", "abc");
    scene_pass(s, 1000);
    bui_memory_rechecks_wait(s->cluster, true);
    recreate(s, "in", "pqrst");
    scene_pass(s, 60000);
    assert_int_equal(scene_failure(s), BUS_OK);
    assert_string_equal(scene_effects(s), "a b c");
    bui_memory_rechecks_wait(s->cluster, false);
    scene_run(s);
    halts(s, "a b c");
}

static void equal_payloads_at_the_same_places_are_told_by_their_time(void **state)
{
    scene *s = *state;
    send_all(s, "in", "abc");
    scene_pass(s, 1000);
    recreate(s, "in", "abcde");
    scene_run(s);
    halts(s, "a b c");
    goes_on_from(s, 0, "a b c a b c d e");
}

static void a_topic_recreated_without_any_sign_is_noticed_after_a_while(void **state)
{
    scene *s = *state;
    send_all(s, "in", "abc");
    scene_pass(s, 1000);
    bui_memory_no_signs(s->cluster, true);
    recreate(s, "in", "pqrst");
    scene_run(s); /* it cannot know yet */
    assert_string_equal(scene_effects(s), "a b c s t");
    scene_pass(s, s->options.limits.log_check_ms);
    halts(s, "a b c s t");
}

/* What it took of the new log is no proof of it: the store knows the last record that was found in the former one. */
static void what_was_taken_without_a_sign_is_noticed_after_a_restart(void **state)
{
    scene *s = *state;
    send_all(s, "in", "abc");
    scene_pass(s, 1000);
    bui_memory_no_signs(s->cluster, true);
    recreate(s, "in", "pqrst");
    scene_run(s);
    scene_stop(s);
    scene_start(s);
    halts(s, "a b c s t");
}

static void a_lane_that_was_idle_is_looked_at_before_it_goes_on(void **state)
{
    scene *s = *state;
    send_all(s, "in", "abc");
    scene_pass(s, 2 * s->options.limits.log_check_ms);
    bui_memory_no_signs(s->cluster, true);
    recreate(s, "in", "pqrst");
    scene_run(s);
    halts(s, "a b c");
}

static void each_batch_is_looked_at_where_that_is_wanted(void **state)
{
    scene *s = *state;
    s->options.limits.log_check_ms = 0;
    scene_stop(s);
    scene_start(s);
    send_all(s, "in", "abc");
    scene_run(s);
    bui_memory_no_signs(s->cluster, true);
    recreate(s, "in", "pqrst");
    scene_run(s);
    halts(s, "a b c");
}

static void a_busy_lane_does_not_wait_for_looks(void **state)
{
    scene *s = *state;
    for (int i = 0; i < 60; i++) {
        send_all(s, "in", "a");
        scene_pass(s, s->options.limits.log_check_ms / 10);
    }
    assert_in_range(COUNTER(s, log_looks), 5, 15);
}

/* The fetch may fail before any look finds out why: what is said then must name the way on, too. */
static void an_offset_outside_of_the_log_is_refused_with_the_way_on(void **state)
{
    scene *s = *state;
    send_all(s, "in", "abc");
    scene_pass(s, 1000);
    bui_memory_no_signs(s->cluster, true);
    recreate(s, "in", "p");
    scene_run(s);
    assert_int_equal(scene_failure(s), BUS_REFUSED);
    assert_non_null(strstr(s->text, "all before offset 3 was read"));
    assert_non_null(strstr(s->text, "outside its log"));
    assert_non_null(strstr(s->text, "--to-earliest"));
    assert_string_equal(scene_effects(s), "a b c");
}

static void a_log_that_lost_its_end_halts_though_nothing_new_comes(void **state)
{
    scene *s = *state;
    send_all(s, "in", "abc");
    scene_pass(s, 1000);
    bui_memory_truncate_after(s->cluster, "in", 0, 1);
    scene_run(s);
    halts(s, "a b c");
    goes_on_from(s, 1, "a b c");
}

static void a_log_cut_and_filled_again_halts(void **state)
{
    scene *s = *state;
    send_all(s, "in", "abcd");
    scene_pass(s, 1000);
    bui_memory_truncate_after(s->cluster, "in", 0, 2);
    send_all(s, "in", "vwxyz");
    scene_run(s);
    halts(s, "a b c d");
    goes_on_from(s, 2, "a b c d v w x y z");
}

/* What was cut had been fetched and not handled: it is read again, as it is now. */
static void a_log_cut_above_what_was_read_goes_on(void **state)
{
    scene *s = *state;
    send_all(s, "in", "ab");
    scene_pass(s, 1000);
    s->weather = true;
    scene_send(s, "in", "k", "c pause");
    scene_run(s);
    bui_memory_truncate_after(s->cluster, "in", 0, 2);
    send_all(s, "in", "vw");
    s->weather = false;
    scene_pass(s, 60000);
    assert_int_equal(scene_failure(s), BUS_OK);
    assert_string_equal(scene_effects(s), "a b v w");
}

static void a_recreated_retry_topic_halts_nobody(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a retry=1");
    scene_pass(s, 5000);
    scene_stop(s);
    bui_memory_topic_delete(s->cluster, "svc.retry.1s");
    bui_memory_topic(s->cluster, "svc.retry.1s", 1);
    scene_start(s);
    scene_send(s, "in", "k", "b retry=1");
    scene_pass(s, 20000);
    bui_memory_topic_delete(s->cluster, "svc.retry.1s");
    bui_memory_topic(s->cluster, "svc.retry.1s", 1);
    for (int i = 0; i < 3; i++)
        scene_send_raw(s, "svc.retry.1s", "k", "none", "x", 1);
    scene_send(s, "in", "k", "c retry=1");
    scene_pass(s, 60000);
    assert_int_equal(scene_failure(s), BUS_OK);
    assert_string_equal(scene_effects(s), "a b c");
    scene_stop(s);
    bui_memory_topic_delete(s->cluster, "svc.retry.1s");
    bui_memory_topic(s->cluster, "svc.retry.1s", 1);
    for (int i = 0; i < 9; i++)
        scene_send_raw(s, "svc.retry.1s", "k", "none", "x", 1);
    scene_start(s);
    scene_send(s, "in", "k", "d retry=1");
    scene_pass(s, 60000);
    assert_int_equal(scene_failure(s), BUS_OK);
    assert_string_equal(scene_effects(s), "a b c d");
}

/* Without ce_id an event is named by its place: in another log it is another event. */
static void places_of_an_accepted_log_are_other_events(void **state)
{
    scene *s = *state;
    scene_send_raw(s, "in", "k", "test.Text", "a reject", 8);
    scene_send_raw(s, "in", "k", "test.Text", "b", 1);
    scene_pass(s, 1000);
    assert_string_equal(scene_letters(s), "handler:open:1");
    scene_stop(s);
    recreate(s, "in", "");
    scene_send_raw(s, "in", "k", "test.Text", "c", 1);
    scene_send_raw(s, "in", "k", "test.Text", "d", 1);
    goes_on_from(s, 0, "b c d");
    assert_int_equal(scene_ask(s, "SELECT life FROM bus_position WHERE topic = 'in'"), 1);
    s->mended = true;
    scene_command(s, 0, "redrive", 0);
    scene_pass(s, 1000);
    assert_string_equal(scene_effects(s), "b c d a");
}

static void what_waits_keeps_the_name_of_its_place_over_an_accepted_log(void **state)
{
    scene *s = *state;
    scene_send_raw(s, "held", "k", "test.Text", "a reject", 8);
    scene_pass(s, 1000);
    scene_stop(s);
    bui_memory_topic_delete(s->cluster, "held");
    bui_memory_topic(s->cluster, "held", 1);
    scene_send_raw(s, "held", "k", "test.Text", "b", 1);
    bui_memory_commit_foreign(s->cluster, "svc", "held", 0, 0);
    scene_start(s);
    s->mended = true;
    scene_command(s, 0, "redrive", 0);
    scene_pass(s, 1000);
    assert_string_equal(scene_effects(s), "a b");
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_letter WHERE state = 3"), 1);
}

static void an_offset_set_on_the_same_log_does_not_begin_another_life(void **state)
{
    scene *s = *state;
    scene_send_raw(s, "in", "k", "test.Text", "a reject", 8);
    scene_send_raw(s, "in", "k", "test.Text", "b", 1);
    scene_pass(s, 1000);
    scene_stop(s);
    goes_on_from(s, 0, "b b");
    assert_int_equal(scene_ask(s, "SELECT life FROM bus_position WHERE topic = 'in'"), 0);
    assert_int_equal(scene_ask(s, "SELECT judging FROM bus_position WHERE topic = 'in'"), 0);
    assert_string_equal(scene_letters(s), "handler:open:1");
}

/* As the former version left it: a hash of key and value, and no proof. */
static void as_formerly(scene *s, uint64_t hash)
{
    char sql[160];
    snprintf(sql, sizeof sql, "UPDATE bus_position SET anchor_kind = 0, anchor_hash = %lld, proof = -1 WHERE topic = 'in'",
             (long long)hash);
    scene_meddle(s, sql);
}

static void a_hash_of_the_former_kind_is_compared_as_such(void **state)
{
    scene *s = *state;
    bui_record last;
    send_all(s, "in", "abc");
    scene_pass(s, 1000);
    scene_stop(s);
    assert_true(bui_memory_read(s->cluster, "in", 0, 2, &last));
    as_formerly(s, bui_record_hash(&last, 0));
    scene_start(s);
    send_all(s, "in", "d");
    scene_pass(s, 30000);
    assert_int_equal(scene_failure(s), BUS_OK);
    assert_string_equal(scene_effects(s), "a b c d");
    scene_stop(s);
    as_formerly(s, 4711);
    scene_start(s);
    halts(s, "a b c d");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_set_up, scene_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_topic_recreated_while_it_runs_halts_before_any_of_it_is_taken),
        TEST(records_in_hand_from_the_former_log_are_not_taken_for_the_new_ones),
        TEST(records_wait_for_the_look_after_a_sign),
        TEST(equal_payloads_at_the_same_places_are_told_by_their_time),
        TEST(a_topic_recreated_without_any_sign_is_noticed_after_a_while),
        TEST(what_was_taken_without_a_sign_is_noticed_after_a_restart),
        TEST(a_lane_that_was_idle_is_looked_at_before_it_goes_on),
        TEST(each_batch_is_looked_at_where_that_is_wanted),
        TEST(a_busy_lane_does_not_wait_for_looks),
        TEST(an_offset_outside_of_the_log_is_refused_with_the_way_on),
        TEST(a_log_that_lost_its_end_halts_though_nothing_new_comes),
        TEST(a_log_cut_and_filled_again_halts),
        TEST(a_log_cut_above_what_was_read_goes_on),
        TEST(a_recreated_retry_topic_halts_nobody),
        TEST(places_of_an_accepted_log_are_other_events),
        TEST(what_waits_keeps_the_name_of_its_place_over_an_accepted_log),
        TEST(an_offset_set_on_the_same_log_does_not_begin_another_life),
        TEST(a_hash_of_the_former_kind_is_compared_as_such),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
