/* SPDX-License-Identifier: MIT
 * What a careless or hostile writer of a topic can make grow, and what is made of it: numbers, sources, dead letters, headers.
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

static void count_lines(bus_level level, const char *line, size_t len, void *opaque)
{
    int *lines = opaque;
    (void)level;
    lines[0] += memmem(line, len, "\"gap\"", 5) != NULL;
    lines[1] += memmem(line, len, "\"uncounted\"", 11) != NULL;
    lines[2] += memmem(line, len, "\"command_ignored\"", 17) != NULL;
}

/* Each a gap: a hundred thousand lines would be as many as its writer likes. */
static void gaps_above_the_bound_are_settled_by_id(void **state)
{
    scene *s = *state;
    int lines[3] = { 0 };
    char text[24];
    bus_log_to(BUS_DEBUG, count_lines, lines);
    for (int i = 1; i <= 3000; i++) {
        snprintf(text, sizeof text, "e%d", i);
        scene_send_hop(s, "in", "far/0#1", 2 * i, NULL, text);
    }
    scene_run(s);
    assert_int_equal(s->runs, 3000);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_hole"), 1024);
    assert_int_equal(COUNTER(s, uncounted), 3000 - 1024);
    assert_int_equal(lines[0], 10);
    assert_int_equal(lines[1], 1);
    /* None of them takes effect twice, also when a gap was filled meanwhile and there is room to count one. */
    scene_send_hop(s, "in", "far/0#1", 3, NULL, "late");
    for (int i = 1000; i <= 1100; i++) {
        snprintf(text, sizeof text, "e%d", i);
        scene_send_hop(s, "in", "far/0#1", 2 * i, NULL, text);
    }
    scene_stop(s);
    scene_start(s);
    scene_run(s);
    assert_int_equal(s->runs, 3001);
    bus_log_to(BUS_ERROR, NULL, NULL);
}

static void count_letter_lines(bus_level level, const char *line, size_t len, void *opaque)
{
    (void)level;
    *(int *)opaque += memmem(line, len, "\"dead_letter\"", 13) != NULL;
}

/* What a handler rejects costs its writer nothing. */
static void rejected_records_cost_few_lines(void **state)
{
    scene *s = *state;
    int lines = 0;
    char text[24];
    bus_log_to(BUS_DEBUG, count_letter_lines, &lines);
    for (int i = 1; i <= 300; i++) {
        snprintf(text, sizeof text, "e%d reject", i);
        scene_send(s, "in", NULL, text);
    }
    scene_run(s);
    bus_log_to(BUS_ERROR, NULL, NULL);
    assert_int_equal(COUNTER(s, dead_lettered), 300);
    assert_int_equal(lines, 10);
}

static void invented_sources_above_the_bound_are_settled_by_id(void **state)
{
    scene *s = *state;
    char text[24], source[32];
    scene_stop(s);
    s->options.limits.marks_most = 1000;
    scene_start(s);
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 1; i <= 1500; i++) {
            snprintf(text, sizeof text, "e%d", i);
            snprintf(source, sizeof source, "made-up/%d#1", i);
            scene_send_hop(s, "in", source, 1, NULL, text);
        }
        scene_run(s);
    }
    assert_int_equal(s->runs, 1500);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_mark"), 1000);
    assert_int_equal(COUNTER(s, uncounted), 1000);
    /* When there is room again, what was settled by its id is known. */
    scene_stop(s);
    s->options.limits.marks_most = 2000;
    scene_start(s);
    for (int i = 1; i <= 1500; i++) {
        snprintf(text, sizeof text, "e%d", i);
        snprintf(source, sizeof source, "made-up/%d#1", i);
        scene_send_hop(s, "in", source, 1, NULL, text);
    }
    scene_run(s);
    assert_int_equal(s->runs, 1500);
}

static void letters_settled_long_ago_are_forgotten_and_their_rounds_are_not_used_again(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a reject");
    scene_send(s, "in", "l", "open reject");
    scene_run(s);
    scene_command(s, 0, "redrive", 0);
    scene_run(s);
    s->mended = true;
    scene_command(s, 3, "redrive", 0); /* after open 1 of both and redriven 1 comes open 2 */
    scene_run(s);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_letter WHERE state = 3 AND round = 2"), 1);
    scene_pass(s, INT64_C(92) * 24 * 3600 * 1000);
    scene_send(s, "in", "m", "c");
    scene_run(s);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_letter"), 1); /* what is open stays */
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_letter WHERE state = 1"), 1);
    assert_int_equal(COUNTER(s, letters_forgotten), 1);
    /* A command that comes so late does nothing. */
    scene_command(s, 3, "redrive", 0);
    scene_run(s);
    assert_string_equal(scene_effects(s), "a c");
    /* Given up on again, the same event: its dead letter goes on where it was, else nobody who reads the topic would see it. */
    s->mended = false;
    scene_send(s, "in", "k", "b reject");
    scene_run(s);
    assert_int_equal(scene_ask(s, "SELECT round FROM bus_letter WHERE event_id = 'b'"), 3);
}

static void ignored_records_cost_few_lines(void **state)
{
    scene *s = *state;
    int lines[3] = { 0 };
    bus_log_to(BUS_DEBUG, count_lines, lines);
    for (int i = 0; i < 500; i++)
        scene_send_raw(s, "svc.redrive", NULL, NULL, "x", 1);
    scene_run(s);
    bus_log_to(BUS_ERROR, NULL, NULL);
    assert_int_equal(lines[2], 10);
    assert_int_equal(COUNTER(s, ignored), 500);
}

/* More headers than the bus itself would send: the last ones decide what the event is. */
static void every_header_is_kept(void **state)
{
    scene *s = *state;
    enum { MANY = 200 };
    bus_header headers[MANY + 3];
    char names[MANY][16];
    size_t count = 0;
    for (int i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "x-%d", i);
        headers[count++] = (bus_header){ names[i], names[i], strlen(names[i]) };
    }
    headers[count++] = (bus_header){ "ce_type", "raw", 3 };
    headers[count++] = (bus_header){ "ce_source", "test", 4 };
    headers[count++] = (bus_header){ "ce_id", "many", 4 };
    scene_send_headers(s, "in", "k", headers, count, "many retry=9");
    scene_send(s, "in", "k", "behind");
    scene_pass(s, 60000);
    /* It waited, was retried, and became a dead letter: each has them all. */
    assert_int_equal(scene_headers_of(s, "svc.retry.1s", 0, "x-"), MANY);
    assert_int_equal(scene_headers_of(s, "svc.dlq", 0, "x-"), MANY);
    assert_int_equal(scene_headers_of(s, "svc.dlq", 0, "ce_id"), 1);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_letter WHERE event_id = 'many'"), 1);
    scene_command(s, 0, "redrive", 0);
    scene_pass(s, 60000);
    assert_int_equal(scene_headers_of(s, "svc.dlq", 2, "x-"), MANY);
    assert_int_equal(scene_ask(s, "SELECT round FROM bus_letter WHERE event_id = 'many'"), 2);
}

/* A hop may have letters that nobody knows, as many as a header holds: its dead letter still says where the event is from. */
static void letters_without_end_leave_a_letter_its_place(void **state)
{
    scene *s = *state;
    char hop[4000];
    int len = snprintf(hop, sizeof hop, "far/0#1 in/0/1 s=1");
    for (int i = 0; i < 12; i++)
        len += snprintf(hop + len, sizeof hop - (size_t)len, " z=%0250d", i);
    const bus_header headers[] = { { "ce_id", "e", 1 }, { "ce_source", "far", 3 }, { "bus-hop", hop, (size_t)len } };
    scene_send_headers(s, "in", "k", headers, 3, "e retry=9");
    scene_pass(s, 60000);
    assert_int_equal(scene_headers_of(s, "svc.retry.1s", 0, "bus-orig"), 1);
    assert_int_equal(scene_headers_of(s, "svc.dlq", 0, "bus-orig"), 1);
    s->mended = true;
    scene_command(s, 0, "redrive", 0);
    scene_pass(s, 1000);
    assert_int_equal(scene_ask(s, "SELECT state FROM bus_letter WHERE event_id = 'e'"), BUI_DEADLETTER_RESOLVED);
    assert_string_equal(scene_effects(s), "e");
    assert_string_equal(s->last.topic, "in");
    assert_true(s->last.scheduled);
}

/* ---- with keys */

#define KEY "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER "f123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static bui_keys *keys_of(const char *text, const char *verify)
{
    bui_keys *keys = NULL;
    bus_error err = { 0 };
    if (bui_keys_new(text, strlen(text), "keys", verify, &keys, &err) != BUS_OK)
        fail_msg("%s", err.text);
    return keys;
}

static void restart_with(scene *s, const bui_keys *keys)
{
    scene_stop(s);
    s->options.limits.keys = keys;
    scene_start(s);
}

static void what_is_not_signed_becomes_a_letter_and_counts_nothing(void **state)
{
    scene *s = *state;
    bui_keys *keys = keys_of("k " KEY " write", "in"), *stranger = keys_of("k " OTHER " write", "");
    restart_with(s, keys);
    /* A made-up number would swallow the real event. */
    scene_send_hop(s, "in", "far/0#1", 1, "k", "a");
    s->signs = stranger;
    scene_send_hop(s, "in", "far/0#1", 1, "k", "a");
    s->signs = keys;
    scene_send_hop(s, "in", "far/0#1", 1, "k", "a");
    scene_run(s);
    assert_string_equal(scene_effects(s), "a");
    assert_string_equal(scene_letters(s), "forged:open:1 forged:open:1");
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_letter WHERE event_id = 'a'"), 0);
    assert_int_equal(COUNTER(s, forged), 2);
    /* A signed record that is copied to another topic is none. What is not to be verified is taken as ever. */
    bui_record record;
    assert_true(bui_memory_read(s->cluster, "in", 0, 2, &record));
    bui_memory_append(s->cluster, "in", 0,
                      &(bui_row){ .key = record.key,
                                  .key_len = record.key_len,
                                  .value = record.value,
                                  .value_len = record.value_len,
                                  .headers = record.headers,
                                  .header_count = record.header_count });
    s->signs = NULL;
    scene_send(s, "slow", "k", "b");
    scene_run(s);
    assert_string_equal(scene_effects(s), "a b");
    assert_int_equal(COUNTER(s, duplicates), 1);
    assert_int_equal(COUNTER(s, forged), 2);
    bui_keys_free(stranger);
    restart_with(s, NULL);
    bui_keys_free(keys);
}

static void a_copy_in_another_topic_is_forged(void **state)
{
    scene *s = *state;
    bui_keys *keys = keys_of("k " KEY " write", "*");
    bui_record record;
    restart_with(s, keys);
    s->signs = keys;
    scene_send(s, "in", "k", "a");
    scene_run(s);
    assert_true(bui_memory_read(s->cluster, "in", 0, 0, &record));
    bui_memory_append(s->cluster, "steps", 0,
                      &(bui_row){ .key = record.key,
                                  .key_len = record.key_len,
                                  .value = record.value,
                                  .value_len = record.value_len,
                                  .headers = record.headers,
                                  .header_count = record.header_count });
    scene_run(s);
    assert_string_equal(scene_effects(s), "a");
    assert_string_equal(scene_letters(s), "forged:open:1");
    s->signs = NULL;
    restart_with(s, NULL);
    bui_keys_free(keys);
}

/* Retries, dead letters and redrives of a service with keys are its own, and pass; what others send of them does not. */
static void commands_and_letters_are_signed(void **state)
{
    scene *s = *state;
    bui_keys *keys = keys_of("k " KEY " write", "*");
    restart_with(s, keys);
    s->signs = keys;
    scene_send(s, "in", "k", "a retry=1 emit");
    scene_send(s, "in", "l", "b reject");
    scene_pass(s, 5000);
    assert_string_equal(scene_effects(s), "a");
    assert_string_equal(scene_letters(s), "handler:open:1");
    assert_int_equal(scene_headers_of(s, "svc.dlq", 0, "bus-mac"), 1);
    assert_int_equal(scene_headers_of(s, "svc.retry.1s", 0, "bus-mac"), 1);
    assert_int_equal(scene_headers_of(s, "svc.events", 0, "bus-mac"), 1);
    assert_int_equal(COUNTER(s, forged), 0);
    s->mended = true;
    s->signs = NULL;
    scene_command(s, 0, "redrive", 0);
    scene_command(s, 0, "discard", 0);
    scene_run(s);
    assert_int_equal(COUNTER(s, forged), 2);
    assert_string_equal(scene_letters(s), "handler:open:1");
    s->signs = keys;
    scene_command(s, 0, "redrive", 0);
    scene_run(s);
    assert_string_equal(scene_effects(s), "a b");
    restart_with(s, NULL);
    bui_keys_free(keys);
}

/* The operator looks at it and has it run all the same. */
static void a_forged_record_is_redriven_by_command_only(void **state)
{
    scene *s = *state;
    bui_keys *keys = keys_of("k " KEY " write", "*");
    restart_with(s, keys);
    scene_send_hop(s, "in", "far/0#1", 1, "k", "a");
    scene_run(s);
    assert_string_equal(scene_effects(s), "");
    s->signs = keys;
    scene_command(s, 0, "redrive", 0);
    scene_run(s);
    assert_string_equal(scene_effects(s), "a");
    assert_string_equal(scene_letters(s), "forged:open:1 redriven:1 resolved:1");
    restart_with(s, NULL);
    bui_keys_free(keys);
}

static void very_many_forged_records_make_a_bounded_number_of_letters(void **state)
{
    scene *s = *state;
    bui_keys *keys = keys_of("k " KEY " write", "in");
    restart_with(s, keys);
    for (int i = 0; i < 1500; i++)
        scene_send_raw(s, "in", NULL, "test.Text", "x", 1);
    scene_run(s);
    assert_int_equal(s->runs, 0);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_letter"), 1000);
    assert_int_equal(COUNTER(s, forged), 1500);
    restart_with(s, NULL);
    bui_keys_free(keys);
}

/* Headers that nobody can read would make a dead letter that nobody can read. */
static void a_letter_of_an_unreadable_record_can_be_read(void **state)
{
    scene *s = *state;
    char id[300];
    memset(id, 'i', sizeof id);
    const bus_header headers[] = {
        { "ce_id", id, sizeof id }, { "bus-hop", "nonsense", 8 }, { "ce_type", "test.Text", 9 }, { "x", "y", 1 }
    };
    scene_send_headers(s, "in", "k", headers, 4, "text");
    scene_run(s);
    assert_string_equal(scene_letters(s), "undecodable:open:1");
    assert_int_equal(scene_headers_of(s, "svc.dlq", 0, "x"), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_set_up, scene_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(gaps_above_the_bound_are_settled_by_id),
        TEST(invented_sources_above_the_bound_are_settled_by_id),
        TEST(letters_settled_long_ago_are_forgotten_and_their_rounds_are_not_used_again),
        TEST(ignored_records_cost_few_lines),
        TEST(rejected_records_cost_few_lines),
        TEST(every_header_is_kept),
        TEST(letters_without_end_leave_a_letter_its_place),
        TEST(what_is_not_signed_becomes_a_letter_and_counts_nothing),
        TEST(a_copy_in_another_topic_is_forged),
        TEST(commands_and_letters_are_signed),
        TEST(a_forged_record_is_redriven_by_command_only),
        TEST(very_many_forged_records_make_a_bounded_number_of_letters),
        TEST(a_letter_of_an_unreadable_record_can_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
