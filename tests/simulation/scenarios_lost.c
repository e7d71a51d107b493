/* SPDX-License-Identifier: MIT
 * The rules of the protocol, each with the scenario it exists for: what becomes of open dead letters whose records their topic
 * has lost. See support/scene.h for what the service does. */
#include "support/scene.h"

#include "codec/envelope.h"
#include "support/alloc_fail.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNTER(scene, name) ((int)bui_counter_read(&scene_metrics(scene)->name))
#define LOOK_MS 31000

static const char *header_of(scene *s, int64_t offset, const char *name)
{
    static char text[1024];
    bui_record record;
    assert_true(bui_memory_read(s->cluster, "svc.dlq", 0, offset, &record));
    snprintf(text, sizeof text, "none");
    for (size_t i = 0; i < record.header_count; i++)
        if (strcmp(record.headers[i].name, name) == 0)
            snprintf(text, sizeof text, "%.*s", (int)record.headers[i].len, (const char *)record.headers[i].value);
    return text;
}

/* The dead letter holds its key: its event is parked, and its record whole again. */
static void a_held_letter_that_its_topic_lost_is_published_again(void **state)
{
    scene *s = *state;
    bui_record record;
    scene_send(s, "held", "k", "a reject");
    scene_send(s, "held", "k", "b");
    scene_pass(s, 2 * LOOK_MS);
    assert_int_equal(COUNTER(s, letters_again), 0);
    bui_memory_truncate_before(s->cluster, "svc.dlq", 0, 1);
    scene_pass(s, LOOK_MS);
    assert_int_equal(COUNTER(s, letters_again), 1);
    assert_true(bui_memory_read(s->cluster, "svc.dlq", 0, 1, &record));
    assert_int_equal(record.value_len, strlen("a reject"));
    assert_string_equal(header_of(s, 1, "__dlq.errors.class"), "handler");
    assert_string_not_equal(header_of(s, 1, "__dlq.errors.message"), "");
    assert_string_equal(header_of(s, 1, "__dlq.errors.topic"), "held");
    assert_string_equal(header_of(s, 1, "bus-held"), "yes");
    assert_string_equal(header_of(s, 1, "ce_id"), "a");
    scene_pass(s, 4 * LOOK_MS); /* once */
    assert_int_equal(COUNTER(s, letters_again), 1);
    s->mended = true;
    scene_command(s, 1, "redrive", 0);
    scene_pass(s, 1000);
    assert_string_equal(scene_effects(s), "a b");
}

/* It does not hold its key: its record says where its event is. */
static void a_released_letter_that_its_topic_lost_says_where_its_event_is(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "x");
    scene_send(s, "in", "k", "a reject");
    scene_pass(s, LOOK_MS);
    bui_memory_truncate_before(s->cluster, "svc.dlq", 0, 1);
    scene_stop(s);
    scene_start(s);
    scene_pass(s, 1000); /* at the open, too */
    assert_int_equal(COUNTER(s, letters_again), 1);
    assert_string_equal(header_of(s, 1, "bus-body"), "at in/0/1");
    assert_string_equal(header_of(s, 1, "__dlq.errors.offset"), "1");
    assert_string_equal(header_of(s, 1, "ce_id"), "a");
    assert_int_equal(scene_headers_of(s, "svc.dlq", 1, "bus-orig"), 1);
    scene_command(s, 1, "discard", 0);
    scene_run(s);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_letter WHERE state = 4"), 1);
}

/* The topic was made again: what it had is gone, and offsets begin again. */
static void letters_of_a_topic_that_was_made_again_are_published_again(void **state)
{
    scene *s = *state;
    for (int i = 0; i < 150; i++) {
        char key[16], text[32];
        snprintf(key, sizeof key, "k%d", i);
        snprintf(text, sizeof text, "e%d reject", i);
        scene_send(s, "held", key, text);
    }
    scene_pass(s, LOOK_MS);
    int open = (int)scene_ask(s, "SELECT count(*) FROM bus_letter WHERE state = 1");
    assert_true(open > 100);
    bui_memory_topic_delete(s->cluster, "svc.dlq");
    assert_int_equal(bui_memory_topic(s->cluster, "svc.dlq", 1), BUS_OK);
    scene_pass(s, 2 * LOOK_MS);
    assert_int_equal(COUNTER(s, letters_again), open);
}

/* A dead letter that is closed, or whose record is on its way, is not lost. */
static void what_is_not_open_or_not_yet_there_is_not_published_again(void **state)
{
    scene *s = *state;
    scene_send(s, "held", "k", "a reject");
    scene_send(s, "held", "l", "b reject");
    scene_pass(s, LOOK_MS);
    scene_command(s, 0, "discard", 0);
    scene_run(s);
    bui_memory_truncate_before(s->cluster, "svc.dlq", 0, 3);
    s->fate = scene_hold_all;
    scene_send(s, "held", "m", "c reject");
    scene_pass(s, LOOK_MS);
    assert_int_equal(COUNTER(s, letters_again), 0);
    s->fate = NULL;
    scene_stop(s);
    scene_start(s);
    scene_pass(s, LOOK_MS);
    assert_int_equal(COUNTER(s, letters_again), 1);
    assert_string_equal(header_of(s, 4, "ce_id"), "b");
}

/* A store of an older version knows less: what it parks it can tell, of the rest it says so. */
static void letters_of_older_versions_are_published_as_far_as_they_are_known(void **state)
{
    scene *s = *state;
    scene_send(s, "held", "k", "a reject");
    scene_send(s, "in", "k", "b reject");
    scene_pass(s, LOOK_MS); /* nothing of it is in the outbox */
    scene_stop(s);
    scene_meddle(s, "UPDATE bus_letter SET orig = '', class = '', reason = ''");
    bui_memory_truncate_before(s->cluster, "svc.dlq", 0, 2);
    scene_start(s);
    scene_pass(s, 1000);
    assert_int_equal(COUNTER(s, letters_again), 1);
    assert_string_equal(header_of(s, 2, "__dlq.errors.class"), "lost");
    assert_string_equal(header_of(s, 2, "ce_id"), "a");
}

static void ask(scene *s)
{
    bui_virtual_clock_advance(&s->clock, LOOK_MS * INT64_C(1000));
    while (!bui_shard_wants_letters(bui_host_shard(s->host, 0)))
        assert_true(scene_iteration(s));
}

static int lost_with_key(scene *s, const char *key)
{
    char text[32];
    snprintf(text, sizeof text, "%s1 reject", key);
    scene_send(s, "held", key, text);
    scene_pass(s, LOOK_MS);
    bui_memory_truncate_before(s->cluster, "svc.dlq", 0, bui_memory_end(s->cluster, "svc.dlq", 0));
    ask(s);
    bui_host_group(s->host); /* the answer is there, and not yet taken */
    return COUNTER(s, letters_again);
}

/* The store, or memory, fails just when the answer is taken: the log's ends tell nothing new after that. */
static void what_could_not_be_listed_is_looked_for_again(void **state)
{
    scene *s = *state;
    int before = lost_with_key(s, "k");
    scene_meddle(s, "ALTER TABLE bus_letter RENAME TO away");
    bui_host_step(s->host, 0);
    scene_meddle(s, "ALTER TABLE away RENAME TO bus_letter");
    scene_pass(s, 2 * LOOK_MS);
    assert_int_equal(COUNTER(s, letters_again), before + 1);
}

static void what_memory_did_not_hold_is_looked_for_again(void **state)
{
    scene *s = *state;
    bool hit = true;
    for (int n = 1; hit; n++) {
        char key[16];
        snprintf(key, sizeof key, "m%d", n);
        int before = lost_with_key(s, key);
        alloc_fail_at(n, false);
        bui_host_step(s->host, 0);
        hit = alloc_fail_off();
        scene_pass(s, 2 * LOOK_MS);
        assert_int_equal(COUNTER(s, letters_again), before + n);
    }
}

/* The shard went and came while its question was open: what the ends were before that tells nothing. */
static void a_claim_looks_whatever_was_asked_before(void **state)
{
    scene *s = *state;
    scene_send(s, "held", "k", "a reject");
    scene_pass(s, LOOK_MS);
    ask(s);
    bui_memory_topic_delete(s->cluster, "svc.dlq");
    assert_int_equal(bui_memory_topic(s->cluster, "svc.dlq", 1), BUS_OK);
    scene_send(s, "svc.dlq", "k", "foreign");
    scene_rebalance(s);
    scene_pass(s, LOOK_MS);
    assert_int_equal(COUNTER(s, letters_again), 1);
}

/* The wall clock is set back while the answer is on its way: what opens after the question seems older than it. */
static void a_clock_that_is_set_back_makes_no_letter_lost(void **state)
{
    scene *s = *state;
    scene_send(s, "held", "k", "a reject");
    scene_pass(s, LOOK_MS);
    bui_memory_truncate_before(s->cluster, "svc.dlq", 0, 1);
    ask(s);
    bui_host_group(s->host);
    bui_virtual_clock_step(&s->clock, -3600000);
    scene_send(s, "held", "l", "b reject");
    scene_pass(s, 2 * LOOK_MS);
    assert_int_equal(COUNTER(s, dead_lettered), 2);
    bui_virtual_clock_step(&s->clock, 3600000);
    scene_pass(s, 2 * LOOK_MS);
    assert_int_equal(COUNTER(s, letters_again), 1);
    assert_int_equal(bui_memory_end(s->cluster, "svc.dlq", 0), 3);
}

/* What stands still at the bound stands still here, too; and nobody spins meanwhile. */
static void the_outbox_bound_holds_for_letters_that_are_published_again(void **state)
{
    scene *s = *state;
    enum { LETTERS = 40, BOUND = 6000 };
    scene_stop(s);
    s->options.limits.outbox_bytes = BOUND;
    scene_start(s);
    for (int i = 0; i < LETTERS; i++) {
        char key[16], text[32];
        snprintf(key, sizeof key, "k%d", i);
        snprintf(text, sizeof text, "e%d reject", i);
        scene_send(s, "held", key, text);
        scene_run(s);
    }
    scene_pass(s, LOOK_MS);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_letter WHERE state = 1"), LETTERS);
    bui_memory_truncate_before(s->cluster, "svc.dlq", 0, LETTERS);
    s->fate = scene_hold_all;
    scene_pass(s, 2 * LOOK_MS);
    assert_in_range(COUNTER(s, letters_again), 1, LETTERS * 3 / 4);
    assert_in_range(bui_gauge_read(&scene_metrics(s)->outbox_bytes), BOUND, 2 * BOUND);
    s->fate = NULL;
    scene_stop(s);
    scene_start(s);
    scene_pass(s, 2 * LOOK_MS);
    assert_int_equal(bui_memory_end(s->cluster, "svc.dlq", 0), 2 * LETTERS);
    scene_pass(s, 4 * LOOK_MS);
    assert_int_equal(bui_memory_end(s->cluster, "svc.dlq", 0), 2 * LETTERS);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_set_up, scene_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_held_letter_that_its_topic_lost_is_published_again),
        TEST(a_released_letter_that_its_topic_lost_says_where_its_event_is),
        TEST(letters_of_a_topic_that_was_made_again_are_published_again),
        TEST(what_is_not_open_or_not_yet_there_is_not_published_again),
        TEST(letters_of_older_versions_are_published_as_far_as_they_are_known),
        TEST(what_could_not_be_listed_is_looked_for_again),
        TEST(what_memory_did_not_hold_is_looked_for_again),
        TEST(a_claim_looks_whatever_was_asked_before),
        TEST(a_clock_that_is_set_back_makes_no_letter_lost),
        TEST(the_outbox_bound_holds_for_letters_that_are_published_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
