/* SPDX-License-Identifier: MIT
 * Starts: what a shard makes of a store, commits and topics that are not as it left them, or that are of an odd kind. */
#include "support/scene.h"

#include "base/id.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNTER(scene, name) ((int)bui_counter_read(&scene_metrics(scene)->name))
#define ROUTES_MOST 8

/* The scene's service, started with its routes of `in` changed. */
static bus_route routes[ROUTES_MOST];

static bus_route *own_routes(scene *s)
{
    size_t n = 0;
    memset(routes, 0, sizeof routes);
    for (const bus_route *route = s->service.routes; route->topic; route++) {
        assert_true(n + 1 < ROUTES_MOST);
        routes[n++] = *route;
    }
    s->service.routes = routes;
    assert_string_equal(routes[0].topic, "in");
    return routes;
}

/* As when the group's offsets have expired: no topic of the service has a commit. */
static void lose_commits(scene *s)
{
    const char *topic;
    int32_t partitions;
    for (size_t i = 0; (topic = bui_memory_topic_at(s->cluster, i, &partitions)); i++)
        for (int32_t p = 0; p < partitions; p++)
            bui_memory_commit_foreign(s->cluster, "svc", topic, p, BUI_OFFSET_NONE);
}

static void a_vanished_commit_is_no_reset(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a");
    scene_pass(s, 6000);
    bui_offset commit;
    assert_true(bui_memory_committed(s->cluster, "svc", "in", 0, &commit));
    assert_int_equal(commit.offset, 1);
    scene_stop(s);
    lose_commits(s);
    scene_send(s, "in", "k", "b");
    scene_start(s);
    assert_int_equal(scene_failure(s), BUS_OK);
    assert_string_equal(scene_effects(s), "a b"); /* neither from the start again nor from the end */
    assert_int_equal(COUNTER(s, duplicates), 0);
}

static void a_service_that_ran_before_does_not_begin_anew_without_being_told(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a retry=1");
    scene_pass(s, 6000);
    assert_string_equal(scene_effects(s), "a");
    scene_stop(s);
    scene_lose_store(s);
    lose_commits(s);
    scene_start(s);
    assert_int_equal(scene_failure(s), BUS_REFUSED);
    assert_non_null(strstr(s->text, "svc.retry.1s holds records"));
    scene_stop(s);
    s->options.init = true;
    scene_start(s);
    assert_int_equal(scene_failure(s), BUS_OK);
    scene_pass(s, 6000);
    assert_string_equal(scene_effects(s), "a");
}

static void nothing_of_its_own_means_it_never_ran(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a");
    scene_run(s);
    scene_stop(s);
    scene_lose_store(s);
    lose_commits(s);
    scene_start(s);
    assert_int_equal(scene_failure(s), BUS_OK);
    assert_string_equal(scene_effects(s), "a");
}

static void a_route_may_begin_at_the_end(void **state)
{
    scene *s = *state;
    scene_stop(s);
    scene_lose_store(s);
    lose_commits(s);
    own_routes(s)[0].start = BUS_FROM_END;
    scene_send(s, "in", "k", "of-old");
    scene_start(s);
    scene_send(s, "in", "k", "a");
    scene_run(s);
    assert_string_equal(scene_effects(s), "a");
    scene_stop(s);
    scene_send(s, "in", "k", "b"); /* the end is for the first time only */
    scene_start(s);
    assert_string_equal(scene_effects(s), "a b");
}

static void a_misplaced_key_is_handled_where_it_is_and_counted(void **state)
{
    scene *s = *state;
    scene_stop(s);
    own_routes(s)[0].topic = "wide";
    assert_int_equal(bui_memory_topic(s->cluster, "wide", 2), BUS_OK);
    scene_start(s);
    bui_row row = { .key = "k", .key_len = 1 };
    int32_t home = bui_partition_of("k", 1, 2);
    for (int32_t p = 0; p < 2; p++) {
        row.value = p == home ? "home" : "astray";
        row.value_len = strlen(row.value);
        const bus_header headers[] = { { "ce_specversion", "1.0", 3 },
                                       { "ce_source", "far", 3 },
                                       { "ce_id", row.value, row.value_len } };
        row.headers = headers;
        row.header_count = 3;
        assert_true(bui_memory_append(s->cluster, "wide", p, &row) >= 0);
    }
    scene_run(s);
    assert_int_equal(scene_ask(s, "SELECT count(DISTINCT name) FROM effect WHERE name IN ('home', 'astray')"), 2);
    assert_int_equal(COUNTER(s, misplaced), 1);
}

static void a_compacted_topic_may_have_gaps(void **state)
{
    scene *s = *state;
    scene_stop(s);
    own_routes(s)[0].compacted = true;
    scene_start(s);
    scene_send_hop(s, "in", "far/0#1", 1, "k", "a");
    scene_send_hop(s, "in", "far/0#1", 4, "k", "b");
    scene_run(s);
    assert_string_equal(scene_effects(s), "a b");
    assert_int_equal(COUNTER(s, gaps), 0);
    scene_send_hop(s, "held", "far/0#1", 1, "k", "c");
    scene_send_hop(s, "held", "far/0#1", 4, "k", "d");
    scene_run(s);
    assert_int_equal(COUNTER(s, gaps), 2); /* of any other topic they are told: 2 and 3 are missing */
}

static void what_compaction_feeds_emits_with_a_key_only(void **state)
{
    scene *s = *state;
    scene_stop(s);
    own_routes(s)[0].compacted = true;
    scene_start(s);
    scene_send(s, "in", "k", "a emit");
    scene_send(s, "in", NULL, "b emit");
    scene_pass(s, 60000);
    assert_string_equal(scene_topic(s, "svc.events"), "a1");
    assert_string_equal(scene_effects(s), "a");
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_letter WHERE state = 1"), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_set_up, scene_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_vanished_commit_is_no_reset),
        TEST(a_service_that_ran_before_does_not_begin_anew_without_being_told),
        TEST(nothing_of_its_own_means_it_never_ran),
        TEST(a_route_may_begin_at_the_end),
        TEST(a_misplaced_key_is_handled_where_it_is_and_counted),
        TEST(a_compacted_topic_may_have_gaps),
        TEST(what_compaction_feeds_emits_with_a_key_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
