/* SPDX-License-Identifier: MIT
 * The rules of the protocol, each with the scenario it exists for: what a shard finds when it opens: stores, offsets and topics that are not as it left them.
 * See support/scene.h for what the service does. */
#include "support/scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNTER(scene, name) ((int)bui_counter_read(&scene_metrics(scene)->name))

static snapshot *copy_store(scene *s)
{
    char directory[80];
    snprintf(directory, sizeof directory, "%s/svc", s->data);
    return snapshot_take(directory, 0);
}

static void an_older_copy_of_the_store_is_refused(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a");
    scene_run(s);
    scene_stop(s);
    snapshot *old = copy_store(s);
    scene_start(s);
    scene_send(s, "in", "k", "b");
    scene_run(s);
    assert_int_equal(scene_failure(s), BUS_OK);
    scene_stop(s);
    assert_true(snapshot_restore(old));
    scene_start(s);
    assert_int_equal(scene_failure(s), BUS_REFUSED);
    scene_send(s, "in", "k", "c");
    scene_pass(s, 60000);
    assert_string_equal(scene_effects(s), "a");
}

static void a_store_copied_at_its_last_opening_is_refused_by_its_position(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a");
    scene_run(s);
    snapshot *old = copy_store(s);
    scene_send(s, "in", "k", "b");
    scene_pass(s, 5000);
    scene_stop(s);
    assert_true(snapshot_restore(old));
    scene_start(s);
    assert_int_equal(scene_failure(s), BUS_REFUSED);
}

static void another_store_is_refused_and_none_is_made_beside_it(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a");
    scene_pass(s, 5000);
    scene_stop(s);
    scene_lose_store(s);
    scene_start(s);
    assert_int_equal(scene_failure(s), BUS_REFUSED);
    assert_non_null(strstr(s->text, "init"));
    scene_stop(s);
    s->options.init = true;
    scene_start(s);
    assert_int_equal(scene_failure(s), BUS_OK);
}

static void send_three(scene *s)
{
    scene_send_hop(s, "in", "far/0#1", 1, "k", "a");
    scene_send_hop(s, "in", "far/0#1", 2, "k", "b");
    scene_send_hop(s, "in", "far/0#1", 3, "k", "c");
}

static void stop_after_three(scene *s)
{
    send_three(s);
    scene_pass(s, 5000);
    scene_stop(s);
}

static void an_offset_set_back_by_kafkas_tool_delivers_again(void **state)
{
    scene *s = *state;
    bui_offset committed;
    stop_after_three(s);
    bui_memory_commit_foreign(s->cluster, "svc", "in", 0, 1);
    scene_start(s);
    assert_string_equal(scene_effects(s), "a b c b c");
    scene_pass(s, 5000);
    assert_true(bui_memory_committed(s->cluster, "svc", "in", 0, &committed));
    assert_int_equal(committed.offset, 3);
    assert_true(committed.metadata[0]);
    scene_rebalance(s);
    assert_string_equal(scene_effects(s), "a b c b c");
    assert_int_equal(COUNTER(s, gaps), 0);
}

static void an_offset_set_back_delivers_foreign_events_again_too(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a");
    scene_send(s, "in", "k", "b");
    scene_send(s, "slow", "k", "c");
    scene_pass(s, 5000);
    scene_stop(s);
    bui_memory_commit_foreign(s->cluster, "svc", "in", 0, 1);
    scene_start(s);
    assert_string_equal(scene_effects(s), "a b c b");
}

static void an_offset_set_forward_by_kafkas_tool_skips(void **state)
{
    scene *s = *state;
    scene_send_hop(s, "in", "far/0#1", 1, "k", "a");
    scene_pass(s, 5000);
    scene_stop(s);
    scene_send_hop(s, "in", "far/0#1", 2, "k", "b");
    scene_send_hop(s, "in", "far/0#1", 3, "k", "c");
    bui_memory_commit_foreign(s->cluster, "svc", "in", 0, 2);
    scene_start(s);
    assert_string_equal(scene_effects(s), "a c");
}

static void recreate(scene *s)
{
    bui_memory_topic_delete(s->cluster, "in");
    bui_memory_topic(s->cluster, "in", 1);
    for (int i = 0; i < 5; i++)
        scene_send(s, "in", "k", (const char *const[]){ "p", "q", "r", "s", "t" }[i]);
}

static void a_recreated_topic_halts_by_its_anchor(void **state)
{
    scene *s = *state;
    stop_after_three(s);
    recreate(s);
    scene_start(s);
    assert_int_equal(scene_failure(s), BUS_REFUSED);
    assert_non_null(strstr(s->text, "in/0"));
    assert_string_equal(scene_effects(s), "a b c");
}

static void an_offset_set_where_it_stands_accepts_the_recreated_topic(void **state)
{
    scene *s = *state;
    stop_after_three(s);
    recreate(s);
    scene_start(s);
    assert_int_equal(scene_failure(s), BUS_REFUSED);
    scene_stop(s);
    bui_memory_commit_foreign(s->cluster, "svc", "in", 0, 3);
    scene_start(s);
    assert_int_equal(scene_failure(s), BUS_OK);
    assert_string_equal(scene_effects(s), "a b c s t");
}

static void a_position_past_the_end_halts(void **state)
{
    scene *s = *state;
    stop_after_three(s);
    bui_memory_truncate_after(s->cluster, "in", 0, 1);
    scene_start(s);
    assert_int_not_equal(scene_failure(s), BUS_OK);
    assert_string_equal(scene_effects(s), "a b c");
}

static void a_position_below_the_start_halts(void **state)
{
    scene *s = *state;
    stop_after_three(s);
    send_three(s);
    bui_memory_truncate_before(s->cluster, "in", 0, 5);
    scene_start(s);
    assert_int_not_equal(scene_failure(s), BUS_OK);
    assert_string_equal(scene_effects(s), "a b c");
}

static void an_anchor_that_expired_is_not_missed(void **state)
{
    scene *s = *state;
    stop_after_three(s);
    scene_send_hop(s, "in", "far/0#1", 4, "k", "d");
    bui_memory_truncate_before(s->cluster, "in", 0, 3);
    scene_start(s);
    assert_int_equal(scene_failure(s), BUS_OK);
    assert_string_equal(scene_effects(s), "a b c d");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_set_up, scene_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_older_copy_of_the_store_is_refused),
        TEST(a_store_copied_at_its_last_opening_is_refused_by_its_position),
        TEST(another_store_is_refused_and_none_is_made_beside_it),
        TEST(an_offset_set_back_by_kafkas_tool_delivers_again),
        TEST(an_offset_set_back_delivers_foreign_events_again_too),
        TEST(an_offset_set_forward_by_kafkas_tool_skips),
        TEST(a_recreated_topic_halts_by_its_anchor),
        TEST(an_offset_set_where_it_stands_accepts_the_recreated_topic),
        TEST(a_position_past_the_end_halts),
        TEST(a_position_below_the_start_halts),
        TEST(an_anchor_that_expired_is_not_missed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
