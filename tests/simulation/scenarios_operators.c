/* SPDX-License-Identifier: MIT
 * The rules of the protocol, each with the scenario it exists for: what operators' tools and other people's records may not
 * do: copies that are replayed, dead letters whose event comes again, headers that claim something. See support/scene.h for
 * what the service does. */
#include "support/scene.h"

#include "base/id.h"
#include "codec/envelope.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNTER(scene, name) ((int)bui_counter_read(&scene_metrics(scene)->name))
#define HEADER(name, text) \
    { \
        name, text, sizeof(text) - 1 \
    }

static const char *const letter_of = "11111111-2222-3333-4444-555555555555 1";

/* How many headers of a record begin with a name's beginning. */
static int headers_named(scene *s, const char *topic, int64_t offset, const char *beginning)
{
    bui_record record;
    int count = 0;
    assert_true(bui_memory_read(s->cluster, topic, 0, offset, &record));
    for (size_t i = 0; i < record.header_count; i++)
        count += strncmp(record.headers[i].name, beginning, strlen(beginning)) == 0;
    return count;
}

/* ---- headers that claim something */

/* Each of these would make another event of it: one of a topic whose writers are trusted, a copy whose emits are dropped, a
 * dead letter's. */
static void headers_of_commands_say_nothing_on_an_input(void **state)
{
    scene *s = *state;
    const bus_header redriven[] = { HEADER("bus-orig", "held/0/0/1767225600000"), { "bus-command", NULL, 0 } };
    bus_header all[] = { redriven[0], redriven[1], HEADER("bus-letter", "x 1 open") };
    char command[80];
    int n = snprintf(command, sizeof command, "redrive %s", letter_of);
    all[1] = (bus_header){ "bus-command", command, (size_t)n };
    scene_send_with(s, "in", "k", "a emit", all, 2);
    scene_send_with(s, "in", "k", "b reject", all, 3); /* its dead letter says whose event it is */
    const bus_header replayed[] = { redriven[0], HEADER("bus-command", "replay run 0") };
    scene_send_with(s, "in", "k", "c emit retry=1", replayed, 2); /* waits as what it is, too */
    scene_send_with(s, "in", "k", "d emit", replayed, 2);         /* and parks */
    const bus_header broken[] = { HEADER("bus-orig", "nonsense"), HEADER("bus-command", "dance"), HEADER("bus-letter", "") };
    scene_send_with(s, "in", "other", "e emit", broken, 3);
    scene_send_with(s, "steps", "k", "f emit", replayed, 2); /* prepare steps read it, too */
    scene_pass(s, 15000);
    assert_string_equal(scene_effects(s), "a e f c d");
    assert_string_equal(scene_topic(s, "svc.events"), "a1 e1 f1 c1 d1");
    assert_string_equal(scene_letters(s), "handler:open:1");
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_letter WHERE scope = 'in' AND key_id = 0"), 1);
    assert_int_equal(s->replays, 0);
    assert_true(COUNTER(s, stray_headers) >= 6);
}

static void what_a_redriven_event_passes_on_is_no_command(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a reject pass");
    scene_run(s);
    s->mended = true;
    scene_command(s, 0, "redrive", 0);
    scene_run(s);
    assert_string_equal(scene_topic(s, "svc.events"), "passed");
    assert_int_equal(headers_named(s, "svc.events", 0, "bus-"), 1);
    assert_int_equal(headers_named(s, "svc.events", 0, "__dlq."), 0);
    assert_int_equal(headers_named(s, "svc.events", 0, "ce_"), 0);
    assert_true(COUNTER(s, reserved_headers) > 3);
    const bus_header own[] = { HEADER("tenant", "7"), HEADER("bus-reply-to", "x.replies/0"),
                               HEADER("content-type", "text/plain") };
    scene_send_with(s, "in", "k", "b pass", own, 3);
    scene_run(s);
    assert_int_equal(headers_named(s, "svc.events", 1, "tenant"), 1);
    assert_int_equal(headers_named(s, "svc.events", 1, "bus-"), 1);
    assert_int_equal(headers_named(s, "svc.events", 1, "content-type"), 0);
}

/* A tool copies a dead letter back: it is an event of that topic, and is told; the dead letter stays as it is. */
static void what_is_copied_back_from_the_dead_letters_is_told(void **state)
{
    scene *s = *state;
    bui_record letter;
    scene_send(s, "in", "k", "a reject");
    scene_run(s);
    assert_true(bui_memory_read(s->cluster, "svc.dlq", 0, 0, &letter));
    const bui_row row = { .key = letter.key,
                          .key_len = letter.key_len,
                          .value = letter.value,
                          .value_len = letter.value_len,
                          .headers = letter.headers,
                          .header_count = letter.header_count };
    bui_memory_append(s->cluster, "in", 0, &row);
    bui_memory_append(s->cluster, "svc.redrive", 0, &row);
    s->mended = true;
    scene_run(s);
    assert_string_equal(scene_letters(s), "handler:open:1");
    assert_int_equal(COUNTER(s, stray_headers), 1);
    assert_int_equal(COUNTER(s, ignored), 1);
    scene_command(s, 0, "redrive", 0);
    scene_run(s);
    assert_string_equal(scene_effects(s), "a"); /* its id was seen: once */
}

static void commands_about_letters_of_others_are_told(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a reject");
    scene_send(s, "in", "k", "b reject");
    scene_run(s);
    scene_meddle(s, "UPDATE bus_letter SET id = 'another' WHERE event_id = 'a'");
    s->mended = true;
    scene_command(s, 0, "redrive", 0);
    scene_run(s);
    assert_int_equal(COUNTER(s, commands_refused), 1);
    assert_string_equal(scene_effects(s), "");
    /* the bytes of another event */
    bui_record letter;
    char command[80];
    assert_true(bui_memory_read(s->cluster, "svc.dlq", 0, 1, &letter));
    bui_slice id = { 0 };
    for (size_t i = 0; i < letter.header_count; i++)
        if (strcmp(letter.headers[i].name, "bus-letter") == 0)
            id = (bui_slice){ letter.headers[i].value, letter.headers[i].len };
    snprintf(command, sizeof command, "redrive %.38s", id.at);
    const bus_header headers[] = { HEADER("ce_id", "z"),
                                   HEADER("ce_type", "test.Text"),
                                   HEADER("bus-orig", "in/0/1/1767225600000"),
                                   { "bus-command", command, strlen(command) } };
    bui_memory_append(s->cluster, "svc.redrive", 0,
                      &(bui_row){ .value = "z", .value_len = 1, .headers = headers, .header_count = 4 });
    scene_run(s);
    assert_int_equal(COUNTER(s, commands_refused), 2);
    assert_string_equal(scene_letters(s), "handler:open:1 handler:open:1");
}

/* ---- copies */

static void a_copy_runs_beside_its_event_and_emits_nothing(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a emit schedule=50");
    scene_send(s, "in", "k", "b");
    scene_pass(s, 100);
    scene_replay(s, "in", 0, "run", 1, 0);
    scene_replay(s, "in", 1, "run", 2, 0);
    scene_run(s);
    bui_record copy;
    assert_true(bui_memory_read(s->cluster, "svc.redrive", 0, 0, &copy));
    bui_memory_append(s->cluster, "svc.redrive", 0,
                      &(bui_row){ .key = copy.key,
                                  .key_len = copy.key_len,
                                  .value = copy.value,
                                  .value_len = copy.value_len,
                                  .headers = copy.headers,
                                  .header_count = copy.header_count });
    scene_pass(s, 100);
    assert_string_equal(scene_effects(s), "a b a b"); /* once per run */
    assert_string_equal(scene_topic(s, "svc.events"), "a1 a");
    assert_int_equal(s->replays, 2);
    assert_int_equal(COUNTER(s, replayed), 2);
}

static void a_route_says_what_a_copy_does(void **state)
{
    scene *s = *state;
    const char *const topics[] = { "slow", "typed", "steps", "pair" };
    for (int i = 0; i < 4; i++)
        scene_send(s, topics[i], "k", "a emit");
    scene_run(s);
    assert_string_equal(scene_topic(s, "svc.events"), "a1 a1 a1 a1");
    for (int i = 0; i < 4; i++)
        scene_replay(s, topics[i], 0, "run", i + 1, 0);
    scene_run(s);
    assert_int_equal(COUNTER(s, replays_skipped), 1);
    assert_int_equal(COUNTER(s, replays_refused), 1);
    assert_int_equal(s->replays, 2);
    assert_string_equal(scene_topic(s, "svc.events"), "a1 a1 a1 a1 a1"); /* of `pair`, which asks for it */
}

/* A service that lags: the copy would come before its event, and the event be dropped as its duplicate. */
static void a_copy_of_what_was_not_handled_yet_is_refused(void **state)
{
    scene *s = *state;
    s->weather = true;
    scene_send(s, "in", "k", "a pause emit");
    scene_send(s, "in", "k", "b emit");
    scene_run(s);
    scene_replay(s, "in", 0, "run", 1, 0);
    scene_replay(s, "in", 1, "run", 2, 0);
    scene_run(s);
    assert_int_equal(COUNTER(s, replays_refused), 2);
    s->weather = false;
    scene_pass(s, 60000);
    assert_string_equal(scene_effects(s), "a b");
    assert_string_equal(scene_topic(s, "svc.events"), "a1 b1");
    assert_int_equal(s->replays, 0);
}

static void a_copy_of_what_waits_or_is_a_letter_is_refused(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a retry=2 emit");
    scene_send(s, "in", "k", "b emit");
    scene_send(s, "in", "other", "c reject emit");
    scene_send(s, "in", "k", "d");
    scene_run(s);
    for (int i = 0; i < 3; i++)
        scene_replay(s, "in", i, "run", i + 1, 0);
    scene_run(s);
    assert_int_equal(COUNTER(s, replays_refused), 3);
    scene_pass(s, 15000);
    s->mended = true;
    scene_command(s, 0, "redrive", 0);
    scene_run(s);
    assert_string_equal(scene_effects(s), "a b d c");
    assert_string_equal(scene_topic(s, "svc.events"), "a1 b1 c1");
    scene_replay(s, "in", 2, "run", 4, 0); /* resolved: handled like any other */
    scene_run(s);
    assert_string_equal(scene_effects(s), "a b d c c");
}

/* And not the other way round either: offsets set back while a copy waits for the weather. */
static void a_copy_that_waits_does_not_stand_for_its_event(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a pause emit");
    scene_run(s);
    s->weather = true;
    scene_replay(s, "in", 0, "run", 1, 0);
    scene_run(s);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_parked WHERE command = 3"), 1);
    scene_set_back(s, "in");
    s->weather = false;
    scene_pass(s, 60000);
    assert_string_equal(scene_topic(s, "svc.events"), "a1 a1"); /* what was set back runs whole */
    assert_string_equal(scene_effects(s), "a a a");
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_key"), 0);
}

static void a_copy_that_fails_is_a_letter_of_its_own_at_once(void **state)
{
    scene *s = *state;
    scene_send(s, "held", "k", "a emit reject");
    scene_run(s);
    s->mended = true;
    scene_command(s, 0, "redrive", 0);
    scene_run(s);
    s->mended = false;
    scene_replay(s, "held", 0, "run", 1, 0);
    scene_send(s, "held", "k", "b");
    scene_run(s); /* no retry, no held key: the next event of the key goes on */
    assert_string_equal(scene_effects(s), "a b");
    assert_string_equal(scene_letters(s), "handler:open:1 redriven:1 resolved:1 replay:open:1");
    assert_int_equal(headers_named(s, "svc.dlq", 3, "bus-replay"), 1);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_key"), 0);
    scene_command(s, 3, "redrive", 0); /* fails again: what it is travels with it */
    scene_run(s);
    s->mended = true;
    scene_command(s, 3, "redrive", 2);
    scene_run(s);
    assert_string_equal(scene_letters(s),
                        "handler:open:1 redriven:1 resolved:1 replay:open:1 redriven:1 replay:open:2 redriven:2 resolved:2");
    assert_string_equal(scene_effects(s), "a b a");
    assert_string_equal(scene_topic(s, "svc.events"), "a1"); /* the event's, and none of its copy's */
    assert_int_equal(s->replays, 3);
}

/* It is not tried again either: a retry of it would wait, and what comes behind would wait for that. */
static void a_copy_that_would_be_retried_is_a_letter_at_once(void **state)
{
    scene *s = *state;
    s->mended = true;
    scene_send(s, "in", "k", "a retry=9");
    scene_run(s);
    s->mended = false;
    scene_replay(s, "in", 0, "run", 1, 0);
    scene_send(s, "in", "k", "b");
    scene_run(s);
    assert_string_equal(scene_letters(s), "replay:open:1");
    assert_string_equal(scene_effects(s), "a b");
    assert_int_equal(COUNTER(s, retried), 0);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_key"), 0);
}

/* A redriven copy that meets bad weather waits in the store: there, too, it stays a copy. */
static void a_copy_s_letter_redriven_into_a_pause_stays_a_copy(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a emit");
    scene_run(s);
    scene_send(s, "in", "k", "b emit reject pause");
    s->mended = true;
    scene_run(s);
    s->mended = false;
    scene_replay(s, "in", 1, "run", 1, 0);
    scene_run(s);
    s->weather = true;
    scene_command(s, 0, "redrive", 0);
    scene_run(s);
    s->weather = false;
    s->mended = true;
    scene_pass(s, 60000);
    assert_string_equal(scene_letters(s), "replay:open:1 redriven:1 resolved:1");
    assert_string_equal(scene_topic(s, "svc.events"), "a1 b1");
}

static void a_run_ends_at_its_failures(void **state)
{
    scene *s = *state;
    s->mended = true;
    for (int i = 0; i < 5; i++)
        scene_send(s, "in", "k", (const char *[]){ "a reject", "b", "c reject", "d", "e" }[i]);
    scene_run(s);
    s->mended = false;
    for (int i = 0; i < 5; i++)
        scene_replay(s, "in", i, "run", i + 1, 2);
    scene_run(s);
    assert_string_equal(scene_effects(s), "a b c d e b");
    assert_int_equal(COUNTER(s, replays_refused), 2);
    scene_replay(s, "in", 4, "next", 1, 2); /* another run begins at none */
    scene_run(s);
    assert_string_equal(scene_effects(s), "a b c d e b e");
}

/* ---- dead letters, and their events once more */

/* The key waits for something else when the event comes again: behind it the event would run, and its dead letter be redriven
 * too. */
static void an_event_that_is_an_open_letter_does_not_park(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a reject emit");
    scene_send(s, "slow", "k", "x");
    scene_run(s);
    scene_send(s, "in", "k", "b retry=2");
    scene_run(s);
    scene_set_back(s, "in");
    s->mended = true;
    scene_pass(s, 20000);
    assert_string_equal(scene_effects(s), "x b");
    scene_command(s, 0, "redrive", 0);
    scene_run(s);
    assert_string_equal(scene_effects(s), "x b a");
    assert_string_equal(scene_topic(s, "svc.events"), "a1");
}

/* Redriven and not through yet: it waits behind its key, and the event comes again. */
static void an_event_whose_letter_is_on_its_way_does_not_run_beside_it(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a reject emit");
    scene_run(s);
    scene_send(s, "in", "k", "b retry=2");
    scene_run(s);
    scene_command(s, 0, "redrive", 0);
    scene_run(s);
    scene_set_back(s, "in");
    s->mended = true;
    scene_pass(s, 20000);
    assert_string_equal(scene_effects(s), "b a");
    assert_string_equal(scene_topic(s, "svc.events"), "a1");
    assert_string_equal(scene_letters(s), "handler:open:1 redriven:1 resolved:1");
}

/* Resolved or discarded its event is like any that was handled: offsets set back run it once more. */
static void a_letter_that_is_closed_does_not_hold_its_event_back(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a reject");
    scene_send(s, "in", "k", "b reject");
    scene_run(s);
    scene_command(s, 0, "discard", 0);
    s->mended = true;
    scene_command(s, 1, "redrive", 0);
    scene_run(s);
    assert_string_equal(scene_effects(s), "b");
    scene_set_back(s, "in");
    scene_run(s);
    assert_string_equal(scene_effects(s), "b a b");
    s->mended = false;
    scene_set_back(s, "in"); /* and a dead letter opens at its next round, so that commands of the former come too late */
    scene_run(s);
    assert_int_equal(scene_ask(s, "SELECT min(round) FROM bus_letter WHERE state = 1"), 2);
}

/* A store of an older version: its dead letters' ids leave the partition out. */
static void letters_of_older_versions_are_found(void **state)
{
    scene *s = *state;
    char id[BUI_ID_TEXT], sql[200];
    const bui_part parts[] = { { "letter", 6 }, { "svc", 3 }, { "in", 2 }, { "a", 1 }, { "test", 4 } };
    scene_send(s, "in", "k", "a reject");
    scene_run(s);
    scene_stop(s);
    bui_id_of(parts, 5, id);
    snprintf(sql, sizeof sql, "UPDATE bus_letter SET id = '%s', partition = -1", id);
    scene_meddle(s, sql);
    bui_memory_commit_foreign(s->cluster, "svc", "in", 0, 0);
    s->mended = true;
    scene_start(s);
    scene_run(s);
    assert_string_equal(scene_effects(s), "");
    scene_send(s, "in", "k", "b");
    scene_run(s);
    assert_string_equal(scene_effects(s), "b");
}

/* ---- one id twice */

/* On two topics of one scope, both wait: neither is confused with the other. */
static void one_id_on_two_topics_of_a_scope_is_two_events(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a retry=1");
    scene_send(s, "pair", "k", "a retry=1");
    scene_run(s);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_parked"), 2);
    scene_pass(s, 20000);
    assert_string_equal(scene_effects(s), "a a");
}

static void one_id_on_two_partitions_is_two_events(void **state)
{
    scene *s = *state;
    scene_stop(s);
    bui_memory_topic_delete(s->cluster, "pair");
    assert_int_equal(bui_memory_topic(s->cluster, "pair", 2), BUS_OK);
    scene_start(s);
    const bus_header headers[] = { HEADER("ce_id", "a"), HEADER("ce_source", "test"), HEADER("ce_type", "test.Text") };
    const bui_row row = { .key = "k", .key_len = 1, .value = "a reject", .value_len = 8, .headers = headers, .header_count = 3 };
    for (int32_t p = 0; p < 2; p++)
        bui_memory_append(s->cluster, "pair", p, &row);
    bui_memory_append(s->cluster, "pair", 1, &row); /* the same once more: a repeat of the second */
    scene_run(s);
    assert_string_equal(scene_letters(s), "handler:open:1 handler:open:1");
    s->mended = true;
    scene_command(s, 0, "redrive", 0);
    scene_command(s, 1, "redrive", 0);
    scene_run(s);
    assert_string_equal(scene_effects(s), "a a");
    assert_int_equal(COUNTER(s, duplicates), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_set_up, scene_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(headers_of_commands_say_nothing_on_an_input),
        TEST(what_a_redriven_event_passes_on_is_no_command),
        TEST(what_is_copied_back_from_the_dead_letters_is_told),
        TEST(commands_about_letters_of_others_are_told),
        TEST(a_copy_runs_beside_its_event_and_emits_nothing),
        TEST(a_route_says_what_a_copy_does),
        TEST(a_copy_of_what_was_not_handled_yet_is_refused),
        TEST(a_copy_of_what_waits_or_is_a_letter_is_refused),
        TEST(a_copy_that_waits_does_not_stand_for_its_event),
        TEST(a_copy_that_fails_is_a_letter_of_its_own_at_once),
        TEST(a_copy_that_would_be_retried_is_a_letter_at_once),
        TEST(a_copy_s_letter_redriven_into_a_pause_stays_a_copy),
        TEST(a_run_ends_at_its_failures),
        TEST(an_event_that_is_an_open_letter_does_not_park),
        TEST(an_event_whose_letter_is_on_its_way_does_not_run_beside_it),
        TEST(a_letter_that_is_closed_does_not_hold_its_event_back),
        TEST(letters_of_older_versions_are_found),
        TEST(one_id_on_two_topics_of_a_scope_is_two_events),
        TEST(one_id_on_two_partitions_is_two_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
