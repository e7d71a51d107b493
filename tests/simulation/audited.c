/* SPDX-License-Identifier: MIT
 * What the worst defects did, and the audit alone as the judge: each history is clean, and with the rule taken out that it exists for (the
 * mutants of `scripts/mutants --audit`) `bus audit` finds what is wrong. It reads the store and the topics when all is over. See
 * support/scene.h for what the service does, and docs/proof.md for the table. */
#include "support/scene_audit.h"
#include "support/scene_rebuild.h"

#include "base/id.h"
#include "codec/envelope.h"
#include "inventory.events.h"
#include <bus/bus.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HEADER(name, text) \
    { \
        name, text, sizeof(text) - 1 \
    }

/* Nothing is found but what is told of a decision of somebody's. */
static void finds(scene *s, const char *expected)
{
    const char *found = scene_audit(s);
    if (strcmp(found, expected) != 0)
        fail_msg("the audit finds: %s", found);
}

static void is_clean(scene *s)
{
    finds(s, "");
}

/* So many events that emit, and with which nothing goes wrong. */
static void others(scene *s, const char *topic, int count)
{
    for (int i = 0; i < count; i++) {
        char text[32], key[16];
        snprintf(text, sizeof text, "other%d emit", i);
        snprintf(key, sizeof key, "other%d", i);
        scene_send(s, topic, key, text);
    }
    scene_run(s);
}

/* ---- sizes */

static void a_letter_that_fits_nowhere(void **state)
{
    scene *s = *state;
    char text[600];
    memset(text, 'x', sizeof text);
    memcpy(text, "a reject ", 9);
    text[sizeof text - 1] = 0;
    bui_memory_topic_limit(s->cluster, "svc.dlq", 800);
    scene_rebalance(s);
    scene_send(s, "in", "k", text);
    scene_run(s);
    assert_string_equal(scene_letters(s), "handler:open:1");
    is_clean(s);
}

/* ---- replay and redrive */

static void a_copy_at_a_service_that_lags(void **state)
{
    scene *s = *state;
    others(s, "in", 5);
    s->weather = true;
    scene_send(s, "in", "k", "a pause emit");
    scene_send(s, "in", "k", "b emit");
    scene_run(s);
    scene_replay(s, "in", 5, "run", 1, 0);
    scene_replay(s, "in", 6, "run", 2, 0);
    scene_run(s);
    s->weather = false;
    scene_pass(s, 60000);
    is_clean(s);
}

static void a_copy_that_fails_and_is_redriven(void **state)
{
    scene *s = *state;
    s->mended = true;
    scene_send(s, "in", "k", "a emit reject");
    scene_run(s);
    s->mended = false;
    scene_replay(s, "in", 0, "run", 1, 0);
    scene_run(s);
    s->mended = true;
    scene_command(s, 0, "redrive", 0);
    scene_run(s);
    is_clean(s);
}

static void an_event_that_is_an_open_letter_comes_again(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a reject emit");
    scene_run(s);
    s->mended = true;
    scene_set_back(s, "in");
    is_clean(s);
}

static void an_event_that_is_an_open_letter_comes_behind_its_key(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a reject emit");
    scene_run(s);
    scene_send(s, "in", "k", "b retry=2");
    scene_run(s);
    scene_set_back(s, "in");
    s->mended = true;
    scene_pass(s, 20000);
    is_clean(s);
}

static void an_event_that_waits_comes_again(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a retry=1 emit");
    scene_send(s, "in", "k", "b emit");
    scene_run(s);
    scene_set_back(s, "in");
    scene_pass(s, 20000);
    is_clean(s);
}

static void events_come_twice(void **state)
{
    scene *s = *state;
    for (int i = 0; i < 2; i++) {
        scene_send(s, "in", "k", "a emit");
        scene_send_hop(s, "in", "far/0#1", 1, "k", "b emit");
    }
    scene_run(s);
    is_clean(s);
}

/* ---- logs that are others */

static void make_again(scene *s, const char *topic)
{
    bui_memory_topic_delete(s->cluster, topic);
    bui_memory_topic(s->cluster, topic, 1);
}

/* The operator sets the offset, and the service goes on in the new log. */
static void accept_if_halted(scene *s, const char *topic, int64_t offset)
{
    if (scene_failure(s) == BUS_OK)
        return;
    scene_stop(s);
    bui_memory_commit_foreign(s->cluster, "svc", topic, 0, offset);
    scene_start(s);
    scene_pass(s, 1000);
}

static void a_topic_is_made_again_while_it_runs(void **state)
{
    scene *s = *state;
    for (int i = 0; i < 3; i++)
        scene_send(s, "in", "k", (const char *[]){ "a emit", "b emit", "c emit" }[i]);
    scene_pass(s, 1000);
    make_again(s, "in");
    for (int i = 0; i < 5; i++)
        scene_send(s, "in", "k", (const char *[]){ "p emit", "q emit", "r emit", "s emit", "t emit" }[i]);
    scene_run(s);
    accept_if_halted(s, "in", 0);
    is_clean(s);
}

/* The answer to a look takes its time. */
static void a_topic_is_made_again_and_looked_at_late(void **state)
{
    scene *s = *state;
    for (int i = 0; i < 3; i++)
        scene_send(s, "in", "k", (const char *[]){ "a emit", "b emit", "c emit" }[i]);
    scene_pass(s, 1000);
    bui_memory_rechecks_wait(s->cluster, true);
    make_again(s, "in");
    for (int i = 0; i < 5; i++)
        scene_send(s, "in", "k", (const char *[]){ "p emit", "q emit", "r emit", "s emit", "t emit" }[i]);
    scene_pass(s, 60000);
    bui_memory_rechecks_wait(s->cluster, false);
    scene_run(s);
    accept_if_halted(s, "in", 0);
    is_clean(s);
}

/* Nothing tells of it: what it took of the new log is handled again once the offset is set, and the audit says so. */
static void a_topic_is_made_again_without_a_sign(void **state)
{
    scene *s = *state;
    for (int i = 0; i < 3; i++)
        scene_send(s, "in", "k", (const char *[]){ "a emit", "b emit", "c emit" }[i]);
    scene_pass(s, 1000);
    bui_memory_no_signs(s->cluster, true);
    make_again(s, "in");
    for (int i = 0; i < 5; i++)
        scene_send(s, "in", "k", (const char *[]){ "p emit", "q emit", "r emit", "s emit", "t emit" }[i]);
    scene_run(s);
    scene_stop(s);
    scene_start(s);
    accept_if_halted(s, "in", 0);
    finds(s, "doubled");
}

static void a_topic_is_made_again_while_it_stands(void **state)
{
    scene *s = *state;
    for (int i = 0; i < 3; i++)
        scene_send_hop(s, "in", "far/0#1", i + 1, "k", (const char *[]){ "a emit", "b emit", "c emit" }[i]);
    scene_pass(s, 1000);
    scene_stop(s);
    make_again(s, "in");
    for (int i = 0; i < 5; i++)
        scene_send_hop(s, "in", "far/0#1", i + 4, "k", (const char *[]){ "p emit", "q emit", "r emit", "s emit", "t emit" }[i]);
    scene_start(s);
    accept_if_halted(s, "in", 0);
    is_clean(s);
}

static void a_log_loses_its_end(void **state)
{
    scene *s = *state;
    for (int i = 0; i < 4; i++)
        scene_send(s, "in", "k", (const char *[]){ "a emit", "b emit", "c emit", "d emit" }[i]);
    scene_pass(s, 1000);
    bui_memory_truncate_after(s->cluster, "in", 0, 2);
    for (int i = 0; i < 5; i++)
        scene_send(s, "in", "k", (const char *[]){ "p emit", "q emit", "r emit", "s emit", "t emit" }[i]);
    scene_run(s);
    accept_if_halted(s, "in", 2);
    finds(s, "(unread)"); /* what is before the offset that was set */
}

static void an_event_has_the_place_of_an_old_letter(void **state)
{
    scene *s = *state;
    scene_send_raw(s, "in", "k", "test.Text", "a reject", 8);
    scene_pass(s, 1000);
    scene_stop(s);
    make_again(s, "in");
    bui_virtual_clock_advance(&s->clock, 1000);
    scene_send_raw(s, "in", "k", "test.Text", "c", 1);
    bui_memory_commit_foreign(s->cluster, "svc", "in", 0, 0);
    scene_start(s);
    scene_pass(s, 1000);
    is_clean(s);
}

/* ---- copies of stores, rebuilds, strangers */

static snapshot *copy_store(scene *s)
{
    char directory[80];
    snprintf(directory, sizeof directory, "%s/svc", s->data);
    return snapshot_take(directory, 0);
}

/* The copy is put back; told that it is old, the operator puts the newest back. */
static void put_back(scene *s, snapshot *old)
{
    scene_stop(s);
    snapshot *newest = copy_store(s);
    assert_true(snapshot_restore(old));
    scene_start(s);
    if (scene_failure(s) != BUS_OK) {
        scene_stop(s);
        assert_true(snapshot_restore(newest));
        scene_start(s);
    }
    assert_int_equal(scene_failure(s), BUS_OK);
    scene_pass(s, 40000);
}

static void a_copy_from_before_a_schedule_fired(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a schedule=20000");
    scene_pass(s, 10000);
    snapshot *old = copy_store(s);
    scene_pass(s, 20000);
    put_back(s, old);
    is_clean(s);
}

static bus_verdict emit_only(bus_tx *tx, void *opaque)
{
    (void)opaque;
    return bus_emit(tx, &inventory_ReleaseStock_type, BUS_STR("k"), &(inventory_ReleaseStock){ .order_id = BUS_STR("call") }) ==
                   BUS_OK
               ? BUS_DONE
               : BUS_RETRY;
}

static void call_done(bui_call *call, bus_status status, const bus_error *err)
{
    (void)call;
    (void)err;
    assert_int_equal(status, BUS_OK);
}

static void a_copy_from_before_an_answered_transaction(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a emit");
    scene_pass(s, 5000);
    snapshot *old = copy_store(s);
    bui_call call = { .fn = emit_only, .done = call_done };
    assert_int_equal(bui_shard_call(bui_host_shard(s->host, 0), &call, NULL), BUS_OK);
    scene_pass(s, 5000);
    put_back(s, old);
    is_clean(s);
}

static void a_copy_from_before_an_opening(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a emit");
    scene_pass(s, 5000);
    snapshot *old = copy_store(s);
    scene_stop(s);
    scene_start(s);
    scene_send(s, "in", "k", "b emit");
    scene_pass(s, 5000);
    put_back(s, old);
    is_clean(s);
}

static void a_stranger_commits(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a emit");
    scene_pass(s, 5000);
    bui_memory_revoke(bui_host_transport(s->host)); /* the group is never empty */
    scene_run(s);
    for (int i = 0; i < 3; i++)
        scene_send(s, "in", "k", (const char *[]){ "b emit", "c emit", "d emit" }[i]);
    bui_memory_commit_foreign(s->cluster, "svc", "in", 0, 2);
    bui_memory_assign(bui_host_transport(s->host), (int32_t[]){ 0 }, 1);
    scene_run(s);
    is_clean(s);
}

static void a_version_without_the_route(void **state)
{
    scene *s = *state;
    static bus_route fewer[8];
    const bus_route *routes = s->service.routes;
    size_t n = 0;
    others(s, "in", 5);
    scene_send(s, "in", "k", "a retry=1 emit");
    scene_run(s);
    scene_stop(s);
    for (const bus_route *route = routes; route->topic; route++, n++) {
        fewer[n] = *route;
        if (strcmp(route->topic, "in") == 0)
            fewer[n].type = s->service.emits->type;
    }
    memset(&fewer[n], 0, sizeof fewer[n]);
    s->service.routes = fewer;
    scene_start(s);
    scene_pass(s, 12000);
    scene_stop(s);
    s->service.routes = routes;
    scene_start(s);
    scene_pass(s, 60000);
    is_clean(s);
}

/* The store is made again; what it cannot know of the incarnations before is noted. */
static void rebuild(scene *s)
{
    bui_rebuilt rebuilt = scene_rebuild(s);
    scene_take_rebuilt(s, &rebuilt);
    scene_start(s);
    assert_int_equal(scene_failure(s), BUS_OK);
    scene_pass(s, 30000);
    finds(s, "(unknown)");
}

static void a_rebuild_after_an_event_waited(void **state)
{
    scene *s = *state;
    others(s, "in", 5);
    scene_send(s, "in", "k", "a retry=1 emit");
    scene_run(s);
    scene_stop(s);
    scene_lose_store(s);
    bui_virtual_clock_advance(&s->clock, INT64_C(60000000));
    rebuild(s);
}

static void a_rebuild_while_a_letter_is_open(void **state)
{
    scene *s = *state;
    scene_send(s, "held", "k", "a reject emit");
    scene_send(s, "held", "k", "b emit");
    scene_pass(s, 60000);
    s->mended = true;
    rebuild(s);
}

/* ---- hostile or careless writers */

static void a_record_claims_to_be_a_command(void **state)
{
    scene *s = *state;
    const bus_header redriven[] = { HEADER("bus-orig", "held/0/0/1767225600000"),
                                    HEADER("bus-command", "redrive 11111111-2222-3333-4444-555555555555 1") };
    scene_send_with(s, "in", "k", "a emit", redriven, 2);
    scene_run(s);
    is_clean(s);
}

/* ---- the loop itself */

static bui_memory_fate lose_acks(scene *s, const bui_row *row, bui_channel channel)
{
    (void)row;
    (void)channel;
    return s->asked % 5 == 3 ? BUI_FATE_LOST_ACK : s->asked % 7 == 4 ? BUI_FATE_FAILED : BUI_FATE_ACK;
}

static void rows_are_refused_and_answers_lost(void **state)
{
    scene *s = *state;
    s->fate = lose_acks;
    for (int i = 0; i < 60; i++) {
        char text[48], key[8];
        snprintf(text, sizeof text, "e%d emit=3 %s", i,
                 i % 9 == 5    ? "retry=1"
                 : i % 13 == 7 ? "reject"
                 : i % 17 == 3 ? "schedule=500"
                               : "");
        snprintf(key, sizeof key, "k%d", i % 4);
        scene_send(s, i % 2 ? "in" : "held", key, text);
        scene_pass(s, i % 3 ? 0 : 100);
        if (i % 20 == 11) {
            scene_stop(s);
            scene_start(s);
        }
    }
    scene_pass(s, 60000);
    is_clean(s);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_set_up, scene_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_letter_that_fits_nowhere),
        TEST(a_copy_at_a_service_that_lags),
        TEST(a_copy_that_fails_and_is_redriven),
        TEST(an_event_that_is_an_open_letter_comes_again),
        TEST(an_event_that_is_an_open_letter_comes_behind_its_key),
        TEST(an_event_that_waits_comes_again),
        TEST(events_come_twice),
        TEST(a_topic_is_made_again_while_it_runs),
        TEST(a_topic_is_made_again_and_looked_at_late),
        TEST(a_topic_is_made_again_without_a_sign),
        TEST(a_topic_is_made_again_while_it_stands),
        TEST(a_log_loses_its_end),
        TEST(an_event_has_the_place_of_an_old_letter),
        TEST(a_copy_from_before_a_schedule_fired),
        TEST(a_copy_from_before_an_answered_transaction),
        TEST(a_copy_from_before_an_opening),
        TEST(a_stranger_commits),
        TEST(a_version_without_the_route),
        TEST(a_rebuild_after_an_event_waited),
        TEST(a_rebuild_while_a_letter_is_open),
        TEST(a_record_claims_to_be_a_command),
        TEST(rows_are_refused_and_answers_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
