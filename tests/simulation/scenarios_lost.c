/* SPDX-License-Identifier: MIT
 * The rules of the protocol, each with the scenario it exists for: what becomes of open letters whose records their topic has lost. See
 * support/scene.h for what the service does. */
#include "support/scene.h"

#include "codec/envelope.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNTER(scene, name) ((int)bus_counter_read(&scene_metrics(scene)->name))
#define LOOK_MS 31000

static const char *header_of(scene *s, int64_t offset, const char *name)
{
    static char text[1024];
    bus_record record;
    assert_true(bus_memory_read(s->cluster, "svc.dlq", 0, offset, &record));
    snprintf(text, sizeof text, "none");
    for (size_t i = 0; i < record.header_count; i++)
        if (strcmp(record.headers[i].name, name) == 0)
            snprintf(text, sizeof text, "%.*s", (int)record.headers[i].len, (const char *)record.headers[i].value);
    return text;
}

/* The letter holds its key: its event is parked, and its record whole again. */
static void a_held_letter_that_its_topic_lost_is_published_again(void **state)
{
    scene *s = *state;
    bus_record record;
    scene_send(s, "held", "k", "a reject");
    scene_send(s, "held", "k", "b");
    scene_pass(s, 2 * LOOK_MS);
    assert_int_equal(COUNTER(s, letters_again), 0);
    bus_memory_truncate_before(s->cluster, "svc.dlq", 0, 1);
    scene_pass(s, LOOK_MS);
    assert_int_equal(COUNTER(s, letters_again), 1);
    assert_true(bus_memory_read(s->cluster, "svc.dlq", 0, 1, &record));
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
    bus_memory_truncate_before(s->cluster, "svc.dlq", 0, 1);
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
    bus_memory_topic_delete(s->cluster, "svc.dlq");
    assert_int_equal(bus_memory_topic(s->cluster, "svc.dlq", 1), BUS_OK);
    scene_pass(s, 2 * LOOK_MS);
    assert_int_equal(COUNTER(s, letters_again), open);
}

/* A letter that is closed, or whose record is on its way, is not lost. */
static void what_is_not_open_or_not_yet_there_is_not_published_again(void **state)
{
    scene *s = *state;
    scene_send(s, "held", "k", "a reject");
    scene_send(s, "held", "l", "b reject");
    scene_pass(s, LOOK_MS);
    scene_command(s, 0, "discard", 0);
    scene_run(s);
    bus_memory_truncate_before(s->cluster, "svc.dlq", 0, 3);
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
    bus_memory_truncate_before(s->cluster, "svc.dlq", 0, 2);
    scene_start(s);
    scene_pass(s, 1000);
    assert_int_equal(COUNTER(s, letters_again), 1);
    assert_string_equal(header_of(s, 2, "__dlq.errors.class"), "lost");
    assert_string_equal(header_of(s, 2, "ce_id"), "a");
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
