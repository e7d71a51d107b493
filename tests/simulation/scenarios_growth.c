/* SPDX-License-Identifier: MIT
 * What grows must not make one event dearer: counted, not timed. See support/scene.h for what the service does. */
#include "support/scene.h"
#include "shard/internal.h"
#include "store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SENT 100
#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_set_up, scene_tear_down)

static void send_each(scene *s, int count, bool together)
{
    static int sent;
    for (int i = 0; i < count; i++) {
        char key[16], text[32];
        snprintf(key, sizeof key, "k%d", i);
        snprintf(text, sizeof text, "a%d emit", ++sent);
        scene_send(s, "in", key, text);
        if (!together)
            scene_pass(s, 30);
    }
    scene_pass(s, 5000);
}

/* How many destinations were looked at for SENT rows, when each of so many has been sent to before. */
static uint64_t looks_with(scene *s, int partitions, bool together)
{
    bui_memory_topic_delete(s->cluster, "svc.events");
    bui_memory_topic(s->cluster, "svc.events", partitions);
    scene_stop(s);
    scene_lose_store(s);
    s->options.init = true;
    scene_start(s);
    scene_run(s);
    send_each(s, partitions * 8, true);
    assert_in_range(scene_ask(s, "SELECT count(*) FROM bus_destination WHERE topic = 'svc.events'"), partitions * 9 / 10,
                    partitions);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_outbox"), 0);
    const bui_relay *relay = &bui_host_shard(s->host, 0)->relay;
    uint64_t before = relay->looks;
    send_each(s, SENT, together);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_outbox"), 0);
    assert_int_equal(relay->odd_count, 0);
    return relay->looks - before;
}

/* Offsets are committed a few times meanwhile, and each time all destinations are looked at once. */
static void many_destinations_cost_no_more_than_few(void **state)
{
    scene *s = *state;
    for (int together = 0; together < 2; together++) {
        uint64_t few = looks_with(s, 10, together), many = looks_with(s, 1000, together);
        printf("destinations looked at: %d with 10, %d with 1,000\n", (int)few, (int)many);
        assert_true(many < few + SENT * 100);
    }
}

/* How many lanes were looked at for SENT events that came one by one, when the topic has so many partitions. */
static uint64_t lanes_with(scene *s, int partitions)
{
    bui_memory_topic_delete(s->cluster, "in");
    bui_memory_topic(s->cluster, "in", partitions);
    scene_stop(s);
    scene_lose_store(s);
    s->options.init = true;
    scene_start(s);
    scene_run(s);
    send_each(s, partitions, true);
    uint64_t before = bui_host_shard(s->host, 0)->lanes.looks;
    send_each(s, SENT, false);
    return bui_host_shard(s->host, 0)->lanes.looks - before;
}

/* Eight seconds pass meanwhile: once a second all are counted, and their logs looked after. */
static void many_lanes_cost_no_more_than_few(void **state)
{
    scene *s = *state;
    uint64_t few = lanes_with(s, 10), many = lanes_with(s, 1000);
    printf("lanes looked at: %d with 10, %d with 1,000\n", (int)few, (int)many);
    assert_true(many < few + SENT * 200);
}

/* One event to each partition, whatever its key. */
static void send_everywhere(scene *s, int partitions, const char *prefix)
{
    for (int p = 0; p < partitions; p++) {
        char key[16], text[32];
        int len = snprintf(text, sizeof text, "%s%d", prefix, p), key_len = snprintf(key, sizeof key, "%s%d", prefix, p);
        const bus_header headers[] = { { "ce_specversion", "1.0", 3 },
                                       { "ce_source", "test", 4 },
                                       { "ce_id", text, (size_t)len },
                                       { "ce_type", "test.Text", 9 } };
        const bui_row row = {
            .key = key, .key_len = (size_t)key_len, .value = text, .value_len = (size_t)len, .headers = headers, .header_count = 4
        };
        assert_true(bui_memory_append(s->cluster, "in", p, &row) >= 0);
    }
    scene_pass(s, 5000);
}

/* A look at all at once would not end in its time. A retry topic that is made again is a sign that any log may be another. */
static void many_lanes_are_looked_at_a_few_hundred_at_once(void **state)
{
    scene *s = *state;
    lanes_with(s, 1000);
    int64_t effects = scene_ask(s, "SELECT count(*) FROM effect");
    send_everywhere(s, 1000, "x");
    uint64_t looks = bui_counter_read(&scene_metrics(s)->log_looks);
    bui_memory_topic_delete(s->cluster, "svc.retry.1s");
    bui_memory_topic(s->cluster, "svc.retry.1s", 1);
    send_everywhere(s, 1000, "y");
    looks = bui_counter_read(&scene_metrics(s)->log_looks) - looks;
    printf("looks at 1,000 lanes: %d\n", (int)looks);
    assert_in_range(looks, 4, 20);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM effect") - effects, 2000);
}

/* What is there at once is told once. */
static void a_lane_is_read_until_nothing_is_left(void **state)
{
    scene *s = *state;
    scene_stop(s);
    s->options.limits.batch_records = 1;
    scene_start(s);
    scene_run(s);
    bui_memory_down(s->cluster, true);
    char expected[400] = "", text[8];
    for (int i = 0; i < 50; i++) {
        snprintf(text, sizeof text, "e%d", i);
        scene_send(s, "in", "k", text);
        snprintf(expected + strlen(expected), sizeof expected - strlen(expected), "%s%s", i ? " " : "", text);
    }
    bui_memory_down(s->cluster, false);
    scene_pass(s, 1);
    assert_string_equal(scene_effects(s), expected);
}

#define COUNTER(scene, name) ((int)bui_counter_read(&scene_metrics(scene)->name))

static void ids_beyond_the_bound_are_told(void **state)
{
    scene *s = *state;
    scene_stop(s);
    s->options.limits.dedup_most = 80;
    scene_start(s);
    send_each(s, 80, true);
    assert_int_equal(COUNTER(s, ids_forgotten), 0);
    send_each(s, 1, true);
    assert_int_equal(COUNTER(s, ids_forgotten), 11);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_seen"), 70);
}

/* A row of bus_seen is "<topic>/<partition> <source>" and the id: here of what scene_send sends. */
static void events_wait_until_the_ids_seen_are_there(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a");
    scene_run(s);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_seen WHERE id = CAST('a' AS BLOB)"), 1);
    scene_stop(s);
    scene_meddle(s, "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 120000)"
                    " INSERT INTO bus_seen SELECT n + i, source, CAST(i AS BLOB), at FROM bus_seen, c WHERE n = 1");
    scene_send(s, "in", "k", "a");
    scene_send(s, "in", "k", "b");
    scene_send(s, "in", "k", "120000");
    scene_send_hop(s, "in", "far/0#1", 1, "k2", "c");
    scene_start(s);
    for (int i = 0; i < 1000 && strcmp(scene_effects(s), "a b c") != 0; i++) {
        scene_pass(s, 50);
        usleep(10000);
    }
    assert_string_equal(scene_effects(s), "a b c");
    assert_int_equal(COUNTER(s, duplicates), 2);
}

static void count_held(bus_level level, const char *line, size_t len, void *opaque)
{
    int *said = opaque;
    said[0] += level == BUS_WARN && memmem(line, len, "wal_held", 8) != NULL;
    said[1] += level == BUS_INFO && memmem(line, len, "wal_moved", 9) != NULL;
}

static void write_much(scene *s, int count)
{
    static int sent;
    for (int i = 0; i < count; i++) {
        char text[32];
        snprintf(text, sizeof text, "w%d big=9000", ++sent);
        scene_send(s, "in", "k", text);
        scene_pass(s, 30);
    }
}

static void a_log_that_a_reader_holds_is_told_once(void **state)
{
    scene *s = *state;
    char path[sizeof s->data + 16];
    sqlite3 *reader = NULL;
    int said[2] = { 0 };
    scene_stop(s);
    s->options.limits.wal_bytes = 65536;
    scene_start(s);
    snprintf(path, sizeof path, "%s/svc/0.db", s->data);
    bus_log_to(BUS_DEBUG, count_held, said);
    write_much(s, 60);
    assert_int_equal(said[0], 0);
    assert_int_equal(sqlite3_open(path, &reader), SQLITE_OK);
    assert_int_equal(sqlite3_exec(reader, "BEGIN; SELECT count(*) FROM bus_meta", NULL, NULL, NULL), SQLITE_OK);
    write_much(s, 120);
    assert_int_equal(said[0], 1);
    assert_true(bui_store_wal_bytes(bui_host_shard(s->host, 0)->store) > 8 * 65536);
    assert_int_equal(said[1], 0);
    assert_int_equal(sqlite3_close_v2(reader), SQLITE_OK);
    write_much(s, 60);
    assert_int_equal(said[1], 1);
    assert_int_equal(said[0], 1);
    bus_log_to(BUS_ERROR, NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(many_destinations_cost_no_more_than_few),
        TEST(many_lanes_cost_no_more_than_few),
        TEST(many_lanes_are_looked_at_a_few_hundred_at_once),
        TEST(a_lane_is_read_until_nothing_is_left),
        TEST(ids_beyond_the_bound_are_told),
        TEST(events_wait_until_the_ids_seen_are_there),
        TEST(a_log_that_a_reader_holds_is_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
