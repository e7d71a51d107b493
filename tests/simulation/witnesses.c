/* SPDX-License-Identifier: MIT
 * Witnesses: scenarios that only a mutant asked for. Each kills one of tests/mutants that everything else let live. */
#include "support/scene.h"

#include "codec/envelope.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNTER(scene, name) ((int)bui_counter_read(&scene_metrics(scene)->name))

/* mutant stale-command: two operators, and the slower one's redrive is for a round that has failed since */
static void a_command_for_a_former_round_is_stale(void **state)
{
    scene *s = *state;
    scene_send(s, "held", "k", "a retry=99");
    scene_pass(s, 60000);
    scene_command(s, 0, "redrive", 1);
    scene_pass(s, 60000);
    assert_string_equal(scene_letters(s), "handler:open:1 redriven:1 handler:open:2");
    s->mended = true;
    scene_command(s, 0, "redrive", 1);
    scene_command(s, 0, "discard", 1);
    scene_pass(s, 60000);
    assert_int_equal(COUNTER(s, commands_stale), 2);
    assert_string_equal(scene_effects(s), "");
    scene_command(s, 0, "redrive", 2);
    scene_pass(s, 60000);
    assert_string_equal(scene_effects(s), "a");
}

static bui_memory_fate first_tier_twice(scene *s, const bui_row *row, bui_channel channel)
{
    (void)s;
    (void)channel;
    return strcmp(row->topic, "svc.retry.1s") == 0 ? BUI_FATE_DUPLICATE : BUI_FATE_ACK;
}

/* mutant stale-trigger: the copy of a retry record comes when its attempt has been made, and the next is not due */
static void a_copy_of_a_retry_record_burns_no_attempt(void **state)
{
    scene *s = *state;
    s->fate = first_tier_twice;
    scene_send(s, "in", "k", "a retry=2");
    scene_pass(s, 5000);
    assert_int_equal(s->runs, 2);
    scene_pass(s, 10000);
    assert_int_equal(s->runs, 3);
    assert_string_equal(scene_effects(s), "a");
}

static bui_memory_fate accused_in_company(scene *s, const bui_row *row, bui_channel channel)
{
    (void)s;
    return channel == BUI_MAIN && row->key && memcmp(row->key, "b", 1) == 0 ? BUI_FATE_RECORD : BUI_FATE_ACK;
}

/* mutant reject-in-company: a refused batch accuses all of its rows; only alone it tells */
static void a_row_refused_in_company_is_tried_alone(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "a", "a emit");
    scene_run(s);
    s->fate = accused_in_company;
    scene_send(s, "in", "b", "b emit");
    scene_send(s, "in", "c", "c emit");
    scene_pass(s, 60000);
    assert_string_equal(scene_topic(s, "svc.events"), "a1 b1 c1");
    assert_int_equal(COUNTER(s, rejected_rows), 0);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_outbox"), 0);
}

/* mutant one-death-more */
static void the_third_death_is_the_last(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a write die");
    scene_pass(s, 60000);
    assert_string_equal(scene_letters(s), "crash:open:1");
    assert_int_equal(s->runs, 3);
}

static int64_t committed_offset(scene *s)
{
    bui_offset committed = { .offset = -1 };
    return bui_memory_committed(s->cluster, "svc", "in", 0, &committed) ? committed.offset : -1;
}

/* mutant commit-offsets-early: a rebuild takes what lies below the committed offset for sent */
static void offsets_wait_for_the_rows_of_their_batch(void **state)
{
    scene *s = *state;
    s->fate = scene_hold_all;
    scene_send(s, "in", "k", "a emit");
    scene_pass(s, 60000);
    assert_string_equal(scene_effects(s), "a");
    assert_int_equal(committed_offset(s), 0);
    s->fate = NULL;
    bui_memory_deliver(bui_host_transport(s->host), BUI_FATE_ACK);
    scene_pass(s, 5000);
    assert_int_equal(committed_offset(s), 1);
}

static void id_at(scene *s, int64_t offset, char out[64])
{
    bui_record record;
    bui_envelope envelope;
    assert_true(bui_memory_read(s->cluster, "svc.events", 0, offset, &record));
    assert_int_equal(bui_envelope_read(record.headers, record.header_count, &envelope, NULL), BUS_OK);
    snprintf(out, 64, "%.*s", (int)envelope.id.len, envelope.id.at);
}

/* mutant ids-by-chance: an event that is delivered again, as an operator may ask for, emits what its readers know already */
static void an_event_run_again_emits_the_same_ids(void **state)
{
    scene *s = *state;
    char first[64], again[64];
    scene_send(s, "in", "k", "a emit");
    scene_pass(s, 5000);
    scene_stop(s);
    bui_memory_commit_foreign(s->cluster, "svc", "in", 0, 0);
    scene_start(s);
    scene_pass(s, 5000);
    assert_string_equal(scene_topic(s, "svc.events"), "a1 a1");
    id_at(s, 0, first);
    id_at(s, 1, again);
    assert_string_equal(first, again);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_set_up, scene_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_command_for_a_former_round_is_stale),    TEST(a_copy_of_a_retry_record_burns_no_attempt),
        TEST(a_row_refused_in_company_is_tried_alone),  TEST(the_third_death_is_the_last),
        TEST(offsets_wait_for_the_rows_of_their_batch), TEST(an_event_run_again_emits_the_same_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
