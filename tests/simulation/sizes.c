/* SPDX-License-Identifier: MIT
 * Sizes: events from nothing to the limit of every topic and 64 KiB more, in steps, and byte by byte around each limit: emitted, scheduled,
 * retried, dead, redriven. Whatever its size an event keeps its bytes, and a row that our check let pass is taken by the broker. The model
 * counts as Kafka does: tests/integration/test_e_sizes. */
#include "support/scene.h"

#include "base/id.h"
#include "codec/envelope.h"
#include "codec/size.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LIMIT 6000
#define MORE (LIMIT + 65536)
#define STEP 1021
#define COUNTER(scene, name) ((int)bui_counter_read(&scene_metrics(scene)->name))
#define REJECTED(scene) scene_ask(scene, "SELECT count(*) FROM bus_outbox WHERE state <> 0")

/* Steps, and every size of a record of which ours fills up the rest to about the limit. */
static size_t next_size(size_t size)
{
    size_t next = size + STEP;
    if (size >= LIMIT - 1200 && size < LIMIT + 100)
        return size + 1;
    return size < LIMIT - 1200 && next > LIMIT - 1200 ? LIMIT - 1200 : next;
}

static void limit_all(scene *s, int64_t most)
{
    static const char *const topics[] = { "svc.events", "svc.redrive", "svc.dlq", "svc.retry.1s", "svc.retry.10s" };
    for (size_t i = 0; i < sizeof topics / sizeof *topics; i++)
        bui_memory_topic_limit(s->cluster, topics[i], most);
    scene_rebalance(s);
}

static char padded[MORE + 100];

/* The text, then blanks and the event's number, so that no two have the same bytes. */
static uint64_t send_padded(scene *s, const char *topic, const char *key, const char *text, size_t size, int number)
{
    size_t len = strlen(text);
    memcpy(padded, text, len);
    memset(padded + len, ' ', sizeof padded - len);
    len = size > len + 2 ? size : len + 2;
    memcpy(padded + len - 1, &number, 1);
    scene_send_raw(s, topic, key, "", padded, len);
    return bui_hash(padded, len, 1);
}

static int64_t end_of(scene *s, const char *topic)
{
    return bui_memory_end(s->cluster, topic, 0);
}

static void an_emitted_event_leaves_or_fails_its_handler(void **state)
{
    scene *s = *state;
    char text[64];
    int left = 0, failed = 0;
    limit_all(s, LIMIT);
    for (size_t size = 1; size < MORE; size = next_size(size)) {
        int64_t before = end_of(s, "svc.events");
        int retried = COUNTER(s, retried);
        snprintf(text, sizeof text, "e%zu big=%zu", size, size);
        scene_send(s, "in", NULL, text);
        scene_run(s);
        left += (int)(end_of(s, "svc.events") - before);
        failed += COUNTER(s, retried) - retried;
        bui_record record;
        if (end_of(s, "svc.events") > before) {
            assert_true(bui_memory_read(s->cluster, "svc.events", 0, before, &record));
            assert_true(record.value_len > size);
        } else {
            assert_int_equal(COUNTER(s, retried), retried + 1);
        }
    }
    assert_int_equal(REJECTED(s), 0);
    assert_true(left > 500 && failed > 100);
}

static void a_scheduled_event_leaves_or_is_not_planned(void **state)
{
    scene *s = *state;
    char text[80];
    int planned = 0, number = 0;
    limit_all(s, LIMIT);
    for (size_t size = 1; size < MORE; size = next_size(size), number++) {
        int64_t before = end_of(s, "svc.events");
        snprintf(text, sizeof text, "e%zu schedule=1 later-big=%zu", size, size);
        scene_send(s, "in", NULL, text);
        scene_run(s);
        int64_t waits = scene_ask(s, "SELECT count(*) FROM bus_schedule");
        scene_pass(s, 2);
        assert_int_equal(end_of(s, "svc.events") - before, waits);
        planned += (int)waits;
    }
    assert_int_equal(REJECTED(s), 0);
    assert_true(planned > 300 && planned < number - 100);
}

static void a_retried_event_keeps_its_bytes(void **state)
{
    scene *s = *state;
    int number = 0;
    limit_all(s, LIMIT);
    for (size_t size = 0; size < MORE; size = next_size(size), number++) {
        char text[64];
        snprintf(text, sizeof text, "r%zu retry=1", size);
        uint64_t hash = send_padded(s, "in", "k", text, size, number);
        scene_pass(s, 1500);
        assert_int_equal(s->value_hash, hash);
        assert_int_equal(COUNTER(s, retried), number + 1);
        assert_int_equal(COUNTER(s, handled), number + 1);
    }
    assert_int_equal(REJECTED(s), 0);
    bui_record record; /* the last one did not fit, and says so */
    bui_envelope envelope;
    assert_true(bui_memory_read(s->cluster, "svc.retry.1s", 0, end_of(s, "svc.retry.1s") - 1, &record));
    assert_int_equal(bui_envelope_read(record.headers, record.header_count, &envelope, NULL), BUS_OK);
    assert_null(record.value);
    assert_int_equal(envelope.body.kind, BUI_BODY_AT);
}

/* What `bus dlq redrive` sends: the dead letter's event if that fits the topic of commands, else a word of where it is. */
static void redrive(scene *s, int64_t at, int64_t most)
{
    bui_record letter;
    bui_envelope envelope;
    bus_header headers[40];
    char command[80], place[80];
    size_t count = 0;
    assert_true(bui_memory_read(s->cluster, "svc.dlq", 0, at, &letter));
    assert_int_equal(bui_envelope_read(letter.headers, letter.header_count, &envelope, NULL), BUS_OK);
    for (size_t i = 0; i < letter.header_count; i++)
        if (bui_header_travels(letter.headers[i].name) || strcmp(letter.headers[i].name, "bus-orig") == 0 ||
            (!letter.value && strcmp(letter.headers[i].name, "bus-body") == 0))
            headers[count++] = letter.headers[i];
    int n = snprintf(command, sizeof command, "redrive %.*s %d", (int)envelope.letter_id.len, envelope.letter_id.at,
                     envelope.letter_round);
    headers[count++] = (bus_header){ "bus-command", command, (size_t)n };
    bui_row row = { .key = letter.key,
                    .key_len = letter.key_len,
                    .value = letter.value,
                    .value_len = letter.value_len,
                    .headers = headers,
                    .header_count = count };
    if (bui_record_size(row.key, row.key_len, row.value, row.value_len, headers, count) > most) {
        n = snprintf(place, sizeof place, "at svc.dlq/0/%lld", (long long)at);
        headers[row.header_count++] = (bus_header){ "bus-body", place, (size_t)n };
        row.value = NULL;
        row.value_len = 0;
    }
    bui_memory_append(s->cluster, "svc.redrive", 0, &row);
}

static void letters_of_every_size(scene *s, const char *topic, int64_t dlq, int64_t commands)
{
    int carried = 0, kept = 0, number = 0;
    limit_all(s, LIMIT);
    bui_memory_topic_limit(s->cluster, "svc.dlq", dlq);
    bui_memory_topic_limit(s->cluster, "svc.redrive", commands);
    scene_rebalance(s);
    for (size_t size = 0; size < MORE; size = next_size(size), number++) {
        char text[64];
        bui_record letter;
        bui_envelope envelope;
        int64_t at = end_of(s, "svc.dlq");
        snprintf(text, sizeof text, "d%zu reject", size);
        s->mended = false;
        uint64_t hash = send_padded(s, topic, "k", text, size, number);
        scene_run(s);
        assert_int_equal(end_of(s, "svc.dlq"), at + 1);
        assert_true(bui_memory_read(s->cluster, "svc.dlq", 0, at, &letter));
        assert_int_equal(bui_envelope_read(letter.headers, letter.header_count, &envelope, NULL), BUS_OK);
        assert_int_equal(envelope.body.kind, letter.value ? BUI_BODY_UNSAID : BUI_BODY_AT);
        carried += letter.value != NULL;
        kept += (int)scene_ask(s, "SELECT count(*) FROM bus_body");
        s->mended = true;
        s->value_hash = 0;
        redrive(s, at, commands);
        scene_run(s);
        assert_int_equal(s->value_hash, hash);
        assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_letter WHERE state = 3"), number + 1);
        assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_body"), 0);
    }
    assert_int_equal(REJECTED(s), 0);
    assert_int_equal(COUNTER(s, handled), number);
    assert_true(carried > 10 && carried < number && (strcmp(topic, "held") == 0 ? kept == 0 : kept > 10));
}

static void a_letter_of_any_size_is_redriven_whole(void **state)
{
    letters_of_every_size(*state, "in", LIMIT, LIMIT);
}
static void a_command_may_take_less_than_its_letter(void **state)
{
    letters_of_every_size(*state, "in", LIMIT, LIMIT - 900);
}
static void a_letter_may_take_less_than_its_command(void **state)
{
    letters_of_every_size(*state, "in", LIMIT - 300, LIMIT);
}
static void a_held_letter_of_any_size_is_redriven_whole(void **state)
{
    letters_of_every_size(*state, "held", LIMIT, LIMIT - 900);
}

/* ---- no event is no tombstone */

static void a_tombstone_says_that_it_is_one(void **state)
{
    scene *s = *state;
    bui_record letter;
    bui_envelope envelope;
    bui_memory_append(s->cluster, "typed", 0, &(bui_row){ .key = "reject", .key_len = 6 });
    scene_run(s);
    assert_true(bui_memory_read(s->cluster, "svc.dlq", 0, 0, &letter));
    assert_int_equal(bui_envelope_read(letter.headers, letter.header_count, &envelope, NULL), BUS_OK);
    assert_null(letter.value);
    assert_int_equal(envelope.body.kind, BUI_BODY_NONE);
    s->mended = true;
    redrive(s, 0, LIMIT);
    scene_run(s);
    assert_string_equal(scene_effects(s), "tombstone");
}

/* A dead letter of which neither the store nor the command has the bytes is open again, and says so; nothing is run as a
 * tombstone. */
static void a_command_without_bytes_runs_nothing(void **state)
{
    scene *s = *state;
    bui_record letter;
    bui_envelope envelope;
    scene_send(s, "in", "k", "a reject");
    scene_run(s);
    limit_all(s, 700);
    s->mended = true;
    redrive(s, 0, 100);
    scene_run(s);
    assert_string_equal(scene_effects(s), "");
    assert_string_equal(scene_letters(s), "handler:open:1 redriven:1 body:open:2");
    assert_true(bui_memory_read(s->cluster, "svc.dlq", 0, 2, &letter));
    assert_int_equal(bui_envelope_read(letter.headers, letter.header_count, &envelope, NULL), BUS_OK);
    assert_int_equal(envelope.body.kind, BUI_BODY_AT);
    assert_string_equal(scene_topic(s, "svc.events"), "");
    limit_all(s, LIMIT);
    scene_command(s, 0, "redrive", 2); /* with the bytes of the dead letter that had them */
    scene_run(s);
    assert_string_equal(scene_effects(s), "a");
}

/* What is kept counts with what is parked: dead letters that nobody answers end deliveries at the bound, and commands go on. */
static void kept_bodies_are_bounded(void **state)
{
    scene *s = *state;
    scene_stop(s);
    s->options.limits.parked_bytes = 20000;
    scene_start(s);
    limit_all(s, LIMIT);
    for (int i = 0; i < 4; i++) {
        send_padded(s, "in", NULL, "d reject", 8000, i);
        scene_run(s);
    }
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_letter"), 3);
    s->mended = true;
    redrive(s, 0, LIMIT);
    scene_run(s);
    assert_int_equal(COUNTER(s, handled), 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_set_up, scene_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_emitted_event_leaves_or_fails_its_handler),
        TEST(a_scheduled_event_leaves_or_is_not_planned),
        TEST(a_retried_event_keeps_its_bytes),
        TEST(a_letter_of_any_size_is_redriven_whole),
        TEST(a_command_may_take_less_than_its_letter),
        TEST(a_letter_may_take_less_than_its_command),
        TEST(a_held_letter_of_any_size_is_redriven_whole),
        TEST(a_tombstone_says_that_it_is_one),
        TEST(a_command_without_bytes_runs_nothing),
        TEST(kept_bodies_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
