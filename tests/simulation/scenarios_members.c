/* SPDX-License-Identifier: MIT
 * The rules of the protocol, each with the scenario it exists for: strangers in the consumer group, and copies of a store that were taken
 * while it ran. See support/scene.h for what the service does. */
#include "support/scene.h"

#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNTER(scene, name) ((int)bui_counter_read(&scene_metrics(scene)->name))
#define GAUGE(scene, name) ((int)bui_gauge_read(&scene_metrics(scene)->name))

/* ---- offsets that others commit */

static void send_three(scene *s)
{
    scene_send(s, "in", "k", "a");
    scene_send(s, "in", "k", "b");
    scene_send(s, "in", "k", "c");
}

/* As a broker does when a foreign member comes or goes. */
static void strangers(scene *s, int count)
{
    bui_memory_strangers(s->cluster, count);
    scene_rebalance(s);
}

static void an_offset_set_while_it_runs_does_not_count(void **state)
{
    scene *s = *state;
    send_three(s);
    scene_pass(s, 5000);
    bui_memory_commit_foreign(s->cluster, "svc", "in", 0, 0);
    scene_rebalance(s);
    assert_string_equal(scene_effects(s), "a b c");
    assert_int_equal(COUNTER(s, offsets_ignored), 1);
    bui_offset now;
    assert_true(bui_memory_committed(s->cluster, "svc", "in", 0, &now));
    assert_int_equal(now.offset, 3); /* and is ours again */
}

static void an_offset_set_while_the_group_had_forgotten_it_counts(void **state)
{
    scene *s = *state;
    send_three(s);
    scene_pass(s, 5000);
    bui_memory_lose(bui_host_transport(s->host));
    scene_run(s);
    bui_memory_commit_foreign(s->cluster, "svc", "in", 0, 1);
    bui_memory_assign(bui_host_transport(s->host), (int32_t[]){ 0 }, 1);
    scene_run(s);
    assert_string_equal(scene_effects(s), "a b c b c");
}

static void a_stranger_in_the_group_has_nothing_skipped_or_repeated(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a");
    scene_pass(s, 5000);
    strangers(s, 1);
    assert_int_equal(GAUGE(s, strangers), 1);
    bui_memory_lose(bui_host_transport(s->host)); /* so that it delivers nothing meanwhile */
    scene_run(s);
    scene_send(s, "in", "k", "b");
    scene_send(s, "in", "k", "c");
    bui_memory_commit_foreign(s->cluster, "svc", "in", 0, 3);
    bui_memory_assign(bui_host_transport(s->host), (int32_t[]){ 0 }, 1); /* with the stranger */
    scene_run(s);
    assert_string_equal(scene_effects(s), "a b c");
    bui_memory_commit_foreign(s->cluster, "svc", "in", 0, 1);
    strangers(s, 0);
    assert_string_equal(scene_effects(s), "a b c");
    assert_int_equal(GAUGE(s, strangers), 0);
    scene_stop(s);
    bui_memory_commit_foreign(s->cluster, "svc", "in", 0, 2); /* Kafka's tool, on a stopped service: obeyed as ever */
    scene_start(s);
    assert_string_equal(scene_effects(s), "a b c c");
}

/* It died with a stranger in the group, who has left since: whose offset is this? */
static void stopped_with_a_stranger(scene *s)
{
    scene_send(s, "in", "k", "a");
    strangers(s, 1);
    scene_pass(s, 5000);
    scene_stop(s);
    scene_send(s, "in", "k", "b");
    scene_send(s, "in", "k", "c");
    bui_memory_commit_foreign(s->cluster, "svc", "in", 0, 2);
}

static void an_offset_that_may_be_a_strangers_is_asked_about(void **state)
{
    scene *s = *state;
    stopped_with_a_stranger(s);
    bui_memory_strangers(s->cluster, 0);
    for (int i = 0; i < 2; i++) {
        scene_start(s);
        assert_int_equal(scene_failure(s), BUS_REFUSED);
        assert_non_null(strstr(s->text, "--accept=group-offsets"));
        assert_non_null(strstr(s->text, "--accept=store-offsets"));
        scene_stop(s);
    }
    s->options.accept = BUI_ACCEPT_STORE_OFFSETS;
    scene_start(s);
    assert_string_equal(scene_effects(s), "a b c");
    scene_stop(s);
    s->options.accept = BUI_ACCEPT_NOTHING;
    scene_start(s);
    assert_int_equal(scene_failure(s), BUS_OK);
}

static void an_offset_that_an_operator_confirms_counts(void **state)
{
    scene *s = *state;
    stopped_with_a_stranger(s);
    bui_memory_strangers(s->cluster, 0);
    s->options.accept = BUI_ACCEPT_GROUP_OFFSETS;
    scene_start(s);
    assert_string_equal(scene_effects(s), "a c");
    bui_memory_commit_foreign(s->cluster, "svc", "in", 0, 0);
    scene_rebalance(s); /* it was said of the start alone */
    assert_string_equal(scene_effects(s), "a c");
}

static void a_stranger_who_is_still_there_does_not_count(void **state)
{
    scene *s = *state;
    stopped_with_a_stranger(s);
    scene_start(s);
    assert_string_equal(scene_effects(s), "a b c");
}

/* A newer version reads one topic more, in which a stranger of the group has set an offset. */
static void upgrade_beside_a_stranger(scene *s, bus_route routes[12])
{
    size_t count = 0;
    while (s->service.routes[count].topic)
        count++;
    assert_true(count < 11);
    memcpy(routes, s->service.routes, count * sizeof *routes);
    routes[count] = routes[0];
    routes[count].topic = "late";
    routes[count + 1] = (bus_route){ 0 };
    strangers(s, 1);
    assert_int_equal(bui_memory_topic(s->cluster, "late", 1), BUS_OK);
    scene_send(s, "late", "k", "a");
    bui_memory_commit_foreign(s->cluster, "svc", "late", 0, 1);
    scene_stop(s);
    s->service.routes = routes;
}

static void a_strangers_offset_of_a_topic_never_read_does_not_count(void **state)
{
    scene *s = *state;
    bus_route routes[12];
    upgrade_beside_a_stranger(s, routes);
    scene_start(s);
    assert_string_equal(scene_effects(s), "a");
    scene_stop(s);
}

static void a_strangers_offset_of_a_topic_never_read_is_asked_about(void **state)
{
    scene *s = *state;
    bus_route routes[12];
    upgrade_beside_a_stranger(s, routes);
    bui_memory_strangers(s->cluster, 0);
    scene_start(s);
    assert_int_equal(scene_failure(s), BUS_REFUSED);
    assert_non_null(strstr(s->text, "it has never read there"));
    scene_stop(s);
    s->options.accept = BUI_ACCEPT_STORE_OFFSETS;
    scene_start(s);
    assert_string_equal(scene_effects(s), "a");
    scene_stop(s);
}

/* ---- copies taken while it runs */

static snapshot *copy_store(scene *s)
{
    char directory[80];
    snprintf(directory, sizeof directory, "%s/svc", s->data);
    return snapshot_take(directory, 0);
}

static bus_status call_end;

static bus_verdict write_only(bus_tx *tx, void *opaque)
{
    (void)opaque;
    return sqlite3_step(bus_sql(tx, "INSERT INTO effect(name) VALUES ('call')")) == SQLITE_DONE ? BUS_DONE : BUS_RETRY;
}

static void call_done(bui_call *call, bus_status status, const bus_error *err)
{
    (void)call;
    (void)err;
    call_end = status;
}

static void transact(scene *s)
{
    bui_call call = { .fn = write_only, .done = call_done };
    call_end = BUS_BUG;
    assert_int_equal(bui_shard_call(bui_host_shard(s->host, 0), &call, NULL), BUS_OK);
    scene_run(s);
    assert_int_equal(call_end, BUS_OK);
}

static void put_back(scene *s, snapshot *old)
{
    scene_stop(s);
    assert_true(snapshot_restore(old));
    scene_start(s);
}

static void a_copy_from_before_an_answered_transaction_is_refused(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a");
    scene_pass(s, 5000);
    snapshot *old = copy_store(s);
    transact(s); /* alone: Kafka hears of it at once */
    put_back(s, old);
    assert_int_equal(scene_failure(s), BUS_REFUSED);
    assert_non_null(strstr(s->text, "--accept=copy"));
    assert_non_null(strstr(s->text, "bus rebuild"));
    scene_stop(s);
    s->options.accept = BUI_ACCEPT_COPY; /* a way that always works, and says what it costs */
    scene_start(s);
    assert_int_equal(scene_failure(s), BUS_OK);
    assert_string_equal(scene_effects(s), "a");
    scene_stop(s);
    s->options.accept = BUI_ACCEPT_NOTHING;
    scene_start(s);
    assert_int_equal(scene_failure(s), BUS_OK);
}

static void a_copy_from_among_many_transactions_is_refused(void **state)
{
    scene *s = *state;
    transact(s);
    transact(s);
    snapshot *old = copy_store(s);
    transact(s); /* of the same interval: told when that is over, by a commit of its own if no other comes */
    scene_pass(s, 5000);
    int commits = COUNTER(s, commits);
    scene_pass(s, 60000);
    assert_int_equal(COUNTER(s, commits), commits); /* and then it is quiet */
    put_back(s, old);
    assert_int_equal(scene_failure(s), BUS_REFUSED);
}

static void a_copy_from_before_a_schedule_fired_is_refused(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a schedule=20000");
    scene_pass(s, 10000);
    snapshot *old = copy_store(s);
    scene_pass(s, 20000);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_schedule"), 0);
    put_back(s, old);
    assert_int_equal(scene_failure(s), BUS_REFUSED);
}

static void a_copy_accepted_handles_again_what_it_has_not_seen(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a");
    scene_pass(s, 5000);
    snapshot *old = copy_store(s);
    scene_send(s, "in", "k", "b");
    scene_pass(s, 5000);
    s->options.accept = BUI_ACCEPT_COPY;
    put_back(s, old);
    assert_int_equal(scene_failure(s), BUS_OK);
    assert_string_equal(scene_effects(s), "a b");
}

static void kafka_hears_of_a_transaction_though_its_rows_are_stuck(void **state)
{
    scene *s = *state;
    scene_pass(s, 5000);
    s->fate = scene_hold_all;
    scene_send(s, "in", "k", "a emit"); /* holds back the offsets */
    scene_pass(s, 5000);
    snapshot *old = copy_store(s);
    transact(s);
    s->fate = NULL;
    put_back(s, old);
    assert_int_equal(scene_failure(s), BUS_REFUSED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_set_up, scene_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_offset_set_while_it_runs_does_not_count),
        TEST(an_offset_set_while_the_group_had_forgotten_it_counts),
        TEST(a_stranger_in_the_group_has_nothing_skipped_or_repeated),
        TEST(an_offset_that_may_be_a_strangers_is_asked_about),
        TEST(an_offset_that_an_operator_confirms_counts),
        TEST(a_stranger_who_is_still_there_does_not_count),
        TEST(a_strangers_offset_of_a_topic_never_read_does_not_count),
        TEST(a_strangers_offset_of_a_topic_never_read_is_asked_about),
        TEST(a_copy_from_before_an_answered_transaction_is_refused),
        TEST(a_copy_from_among_many_transactions_is_refused),
        TEST(a_copy_from_before_a_schedule_fired_is_refused),
        TEST(a_copy_accepted_handles_again_what_it_has_not_seen),
        TEST(kafka_hears_of_a_transaction_though_its_rows_are_stuck),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
