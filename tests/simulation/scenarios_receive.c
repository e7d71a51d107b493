/* SPDX-License-Identifier: MIT
 * The rules of the protocol, each with the scenario it exists for: what it makes of records: gaps, duplicates, what it cannot read.
 * See support/scene.h for what the service does. */
#include "support/scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNTER(scene, name) ((int)bui_counter_read(&scene_metrics(scene)->name))

static void a_gap_raises_the_alarm_and_a_late_event_fills_it(void **state)
{
    scene *s = *state;
    scene_send_hop(s, "in", "far/0#1", 1, "k", "a");
    scene_send_hop(s, "in", "far/0#1", 4, "k", "d");
    scene_run(s);
    assert_int_equal(COUNTER(s, gaps), 2);
    assert_string_equal(scene_effects(s), "a d");
    scene_send_hop(s, "in", "far/0#1", 3, "k", "c");
    scene_send_hop(s, "in", "far/0#1", 3, "k", "c");
    scene_send_hop(s, "in", "far/0#1", 2, "k", "b");
    scene_send_hop(s, "in", "far/0#1", 4, "k", "d");
    scene_run(s);
    assert_string_equal(scene_effects(s), "a d c b");
    assert_int_equal(COUNTER(s, duplicates), 2);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_hole"), 0);
    assert_int_equal(COUNTER(s, gaps), 2);
}

static void a_source_first_seen_in_its_middle_is_no_gap(void **state)
{
    scene *s = *state;
    scene_send_hop(s, "in", "far/0#1", 7, "k", "a");
    scene_run(s);
    assert_int_equal(COUNTER(s, gaps), 0);
    scene_send_hop(s, "in", "far/0#2", 2, "k", "b");
    scene_run(s);
    assert_int_equal(COUNTER(s, gaps), 1);
    assert_string_equal(scene_effects(s), "a b");
}

static void marks_of_silent_sources_expire_while_it_runs(void **state)
{
    scene *s = *state;
    scene_send_hop(s, "in", "far/0#1", 1, "k", "a");
    scene_send_hop(s, "in", "far/0#2", 1, "k", "b");
    scene_send_hop(s, "in", "still/0#1", 1, "k", "c");
    scene_run(s);
    scene_pass(s, INT64_C(91) * 24 * 3600 * 1000);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_mark WHERE source IN ('far/0#1', 'far/0#2', 'still/0#1')"), 3);
    scene_send_hop(s, "in", "far/0#2", 2, "k", "d");
    scene_run(s);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_mark WHERE source = 'far/0#1'"), 0);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_mark WHERE source IN ('far/0#2', 'still/0#1')"), 2);
    assert_string_equal(scene_effects(s), "a b c d");
}

static void duplicates_are_dropped_also_after_a_restart(void **state)
{
    scene *s = *state;
    scene_send_hop(s, "in", "far/0#1", 1, "k", "a");
    scene_send_hop(s, "in", "far/0#1", 2, "k", "b");
    scene_send_hop(s, "in", "far/0#1", 3, "k", "c");
    scene_send(s, "in", "k", "foreign");
    scene_run(s);
    scene_stop(s);
    scene_start(s);
    scene_send_hop(s, "in", "far/0#1", 1, "k", "a");
    scene_send_hop(s, "in", "far/0#1", 2, "k", "b");
    scene_send_hop(s, "in", "far/0#1", 3, "k", "c");
    scene_send(s, "in", "k", "foreign");
    scene_run(s);
    assert_string_equal(scene_effects(s), "a b c foreign");
    assert_int_equal(COUNTER(s, duplicates), 4);
}

static void a_hop_that_names_another_destination_is_foreign(void **state)
{
    scene *s = *state;
    scene_send_hop(s, "slow", "far/0#1", 1, "k", "a");
    bui_record record;
    assert_true(bui_memory_read(s->cluster, "slow", 0, 0, &record));
    /* mirrored to another topic, headers and all, twice */
    for (int i = 0; i < 2; i++)
        bui_memory_append(s->cluster, "in", 0,
                          &(bui_row){ .key = "k",
                                      .key_len = 1,
                                      .value = record.value,
                                      .value_len = record.value_len,
                                      .headers = record.headers,
                                      .header_count = record.header_count });
    scene_run(s);
    assert_int_equal(s->runs, 2);
    assert_int_equal(COUNTER(s, duplicates), 1);
}

static void offsets_that_no_reader_gets_do_not_leave_lag(void **state)
{
    scene *s = *state;
    bui_offset committed;
    scene_send(s, "in", "k", "a");
    bui_memory_append_control(s->cluster, "in", 0, 2);
    scene_pass(s, 5000);
    assert_true(bui_memory_committed(s->cluster, "svc", "in", 0, &committed));
    assert_int_equal(committed.offset, 3);
    scene_stop(s);
    scene_start(s);
    assert_int_equal(scene_failure(s), BUS_OK);
    scene_send(s, "in", "k", "b");
    scene_run(s);
    assert_string_equal(scene_effects(s), "a b");
}

static void unrouted_tombstone_undecodable_and_unknown(void **state)
{
    scene *s = *state;
    scene_send_raw(s, "typed", "k", "some.Other", "x", 1);              /* unrouted: settled and counted */
    scene_send_raw(s, "typed", "k", "inventory.ReleaseStock", NULL, 0); /* a tombstone, and a route for it */
    scene_send_raw(s, "in", "k", "some.Other", NULL, 0);                /* a tombstone, and none */
    scene_send_raw(s, "typed", "k", "inventory.ReleaseStock", "\xC3\x01garbage", 9);
    scene_run(s);
    assert_string_equal(scene_effects(s), "tombstone");
    assert_int_equal(COUNTER(s, unrouted), 1);
    assert_int_equal(COUNTER(s, tombstones_skipped), 1);
}

static void an_undecodable_event_is_a_dead_letter_with_its_bytes(void **state)
{
    scene *s = *state;
    void *bytes = NULL;
    size_t len = 0;
    bui_record letter;
    /* our own framing, and then nonsense */
    scene_send(s, "typed", "k", "a");
    bui_record good;
    assert_true(bui_memory_read(s->cluster, "typed", 0, 0, &good));
    bytes = malloc(11);
    memcpy(bytes, good.value, 10);
    ((char *)bytes)[10] = 0x7f;
    len = 11;
    scene_send_raw(s, "typed", "k", "inventory.ReleaseStock", bytes, len);
    scene_send(s, "typed", "k", "b");
    scene_run(s);
    assert_string_equal(scene_effects(s), "a b");
    assert_string_equal(scene_letters(s), "undecodable:open:1");
    assert_true(bui_memory_read(s->cluster, "svc.dlq", 0, 0, &letter));
    assert_int_equal(letter.value_len, 11);
    assert_memory_equal(letter.value, bytes, 11);
    free(bytes);
}

static void an_unknown_schema_waits_until_it_is_announced(void **state)
{
    scene *s = *state;
    static const char schema[] = "{\"type\":\"record\",\"name\":\"ReleaseStock\",\"namespace\":\"inventory\",\"fields\":[]}";
    uint64_t fingerprint = 0;
    bui_catalog *other = bui_catalog_new();
    assert_int_equal(bui_catalog_add(other, schema, strlen(schema), NULL), BUS_OK);
    fingerprint = bui_schema_fingerprint(bui_catalog_at(other, 0));
    bui_catalog_free(other);
    unsigned char bytes[10] = { 0xC3, 0x01 };
    for (int i = 0; i < 8; i++)
        bytes[2 + i] = (unsigned char)(fingerprint >> (8 * i));
    scene_send_raw(s, "typed", "k", "inventory.ReleaseStock", bytes, sizeof bytes);
    scene_send(s, "typed", "k", "after");
    scene_send(s, "in", "k", "beside");
    scene_pass(s, 120000);
    assert_string_equal(scene_effects(s), "beside");
    assert_int_equal(COUNTER(s, dead_lettered), 0);
    assert_int_equal(bui_catalog_add(s->catalog, schema, strlen(schema), NULL), BUS_OK);
    scene_pass(s, 60000);
    assert_string_equal(scene_effects(s), "beside after"); /* another version than ours: given up on, now that it is known */
    assert_string_equal(scene_letters(s), "undecodable:open:1");
}

static void send_unknown(scene *s, unsigned char which, const char *key)
{
    const unsigned char bytes[10] = { 0xC3, 0x01, which, 1, 2, 3, 4, 5, 6, 7 };
    scene_send_raw(s, "typed", key, "inventory.ReleaseStock", bytes, sizeof bytes);
}

static void an_unknown_schema_does_not_stop_its_topic_without_end(void **state)
{
    scene *s = *state;
    scene_stop(s);
    s->options.limits.schema_wait_ms = 60000;
    scene_start(s);
    send_unknown(s, 1, "k");
    scene_send(s, "typed", "k", "after");
    scene_pass(s, 40000);
    assert_string_equal(scene_letters(s), "");
    assert_int_equal(bui_gauge_read(&scene_metrics(s)->schema_waiting), 1); /* /readyz says so */
    scene_pass(s, 60000);
    assert_string_equal(scene_letters(s), "undecodable:open:1");
    assert_string_equal(scene_effects(s), "after");
    assert_int_equal(bui_gauge_read(&scene_metrics(s)->schema_waiting), 0);
    /* A sender of one after the other does not stop it each time for as long. */
    for (unsigned char i = 2; i < 12; i++)
        send_unknown(s, i, "k");
    scene_send(s, "typed", "k", "last");
    scene_pass(s, 60000);
    assert_string_equal(scene_effects(s), "after last");
    assert_int_equal(COUNTER(s, schemas_missed), 11);
    /* After a long while it waits again. */
    scene_pass(s, 3600000);
    send_unknown(s, 20, "k");
    scene_pass(s, 30000);
    assert_int_equal(COUNTER(s, schemas_missed), 11);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_set_up, scene_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_gap_raises_the_alarm_and_a_late_event_fills_it), TEST(a_source_first_seen_in_its_middle_is_no_gap),
        TEST(marks_of_silent_sources_expire_while_it_runs),     TEST(duplicates_are_dropped_also_after_a_restart),
        TEST(a_hop_that_names_another_destination_is_foreign),  TEST(offsets_that_no_reader_gets_do_not_leave_lag),
        TEST(unrouted_tombstone_undecodable_and_unknown),       TEST(an_undecodable_event_is_a_dead_letter_with_its_bytes),
        TEST(an_unknown_schema_waits_until_it_is_announced),    TEST(an_unknown_schema_does_not_stop_its_topic_without_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
