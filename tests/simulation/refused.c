/* SPDX-License-Identifier: MIT
 * Rows that Kafka refuses: they stay, their destination waits or passes them by, and an operator's retry or discard lets it go on with
 * nothing lost, doubled or out of order. */
#include "support/scene.h"

#include "codec/size.h"
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNTER(scene, name) ((int)bui_counter_read(&scene_metrics(scene)->name))
#define ROWS(scene, state) ((int)scene_ask(scene, "SELECT count(*) FROM bus_outbox WHERE state " state))

/* The n-th refused row's name, as `bus outbox list` tells it without the shard. */
static void row_name(scene *s, int n, char out[64])
{
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;
    assert_int_equal(bui_store_reader(bui_shard_store_path(bui_host_shard(s->host, 0)), &db, NULL), BUS_OK);
    assert_int_equal(
        sqlite3_prepare_v2(db,
                           "SELECT o.id || '@' || i.name FROM bus_outbox o JOIN bus_incarnation i ON i.epoch = o.epoch"
                           " WHERE state <> 0 ORDER BY o.id LIMIT 1 OFFSET ?1",
                           -1, &stmt, NULL),
        SQLITE_OK);
    sqlite3_bind_int(stmt, 1, n);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    snprintf(out, 64, "%s", (const char *)sqlite3_column_text(stmt, 0));
    sqlite3_finalize(stmt);
    sqlite3_close(db);
}

static void decide(scene *s, const char *word, const char *name)
{
    char text[100];
    snprintf(text, sizeof text, "%s %s 0", word, name);
    bus_header headers[] = { { "bus-command", text, strlen(text) },
                             { "bus-reason", "why", 3 },
                             { "bus-operator", "ann@host", 8 } };
    bui_memory_append(s->cluster, "svc.redrive", 0, &(bui_row){ .headers = headers, .header_count = 3 });
}

static void decide_first(scene *s, const char *word)
{
    char name[64];
    row_name(s, 0, name);
    decide(s, word, name);
    scene_pass(s, 20000);
}

/* What /readyz says. */
static bool is_told(scene *s)
{
    char why[400] = "";
    return !bui_shard_well(bui_host_shard(s->host, 0), why, sizeof why) && strstr(why, "for svc.events/0") &&
           strstr(why, "bus outbox list svc");
}

/* a1, then one that is too big by now, then c1 and d1; and something for another topic. */
static void one_is_refused(scene *s)
{
    scene_send(s, "in", "k", "a emit");
    scene_run(s);
    bui_memory_topic_limit(s->cluster, "svc.events", 500);
    scene_send(s, "in", "k", "b big=1000");
    scene_run(s);
    scene_send(s, "in", "k", "c emit other");
    scene_send(s, "in", "k", "d emit");
    scene_pass(s, 20000);
}

static const char *events(scene *s)
{
    static char text[100];
    *text = 0;
    for (int64_t at = 0; at < bui_memory_end(s->cluster, "svc.events", 0); at++) {
        bui_record record;
        size_t len = strlen(text);
        assert_true(bui_memory_read(s->cluster, "svc.events", 0, at, &record));
        if (record.value_len > 500)
            snprintf(text + len, sizeof text - len, "%sbig", len ? " " : "");
        else
            snprintf(text + len, sizeof text - len, "%s%.*s", len ? " " : "", 2,
                     (const char *)record.value + 11); /* after the frame and its length */
    }
    return text;
}

static void a_refused_row_holds_its_destination_alone(void **state)
{
    scene *s = *state;
    one_is_refused(s);
    assert_string_equal(events(s), "a1");
    assert_string_equal(scene_topic(s, "svc.other"), "c1");
    assert_int_equal(ROWS(s, "= 2"), 1);
    assert_int_equal(ROWS(s, "= 0"), 2);
    assert_int_equal(bui_gauge_read(&scene_metrics(s)->refused_rows), 1);
    assert_int_equal(bui_gauge_read(&scene_metrics(s)->refused_destinations), 1);
    assert_true(is_told(s));
    int asked = s->asked;
    scene_pass(s, 600000);
    assert_int_equal(s->asked, asked); /* nothing is tried in the meantime */
}

static void after_the_limit_is_raised_a_retry_sends_all_in_order(void **state)
{
    scene *s = *state;
    one_is_refused(s);
    decide_first(s, "row-retry"); /* too early */
    assert_string_equal(events(s), "a1");
    assert_int_equal(COUNTER(s, rejected_rows), 2);
    bui_memory_topic_limit(s->cluster, "svc.events", 5000);
    scene_pass(s, 60000);
    assert_string_equal(events(s), "a1");
    decide_first(s, "row-retry");
    assert_string_equal(events(s), "a1 big c1 d1");
    assert_int_equal(ROWS(s, ">= 0"), 0);
    assert_false(is_told(s));
    assert_int_equal(COUNTER(s, retried_rows), 2);
    scene_send(s, "in", "k", "e emit");
    scene_pass(s, 5000);
    assert_string_equal(events(s), "a1 big c1 d1 e1");
}

static void a_refused_row_outlives_a_restart(void **state)
{
    scene *s = *state;
    one_is_refused(s);
    scene_stop(s);
    scene_start(s);
    scene_send(s, "in", "k", "e emit");
    scene_pass(s, 60000);
    assert_string_equal(events(s), "a1");
    assert_true(is_told(s));
    bui_memory_topic_limit(s->cluster, "svc.events", 5000);
    char name[64];
    row_name(s, 0, name);
    decide(s, "row-retry", name);
    scene_pass(s, 20000);
    assert_string_equal(events(s), "a1 big c1 d1 e1");
    assert_int_equal(ROWS(s, ">= 0"), 0);
}

static void a_discarded_row_is_recorded_and_the_rest_goes_on(void **state)
{
    scene *s = *state;
    one_is_refused(s);
    decide_first(s, "row-discard");
    assert_string_equal(events(s), "a1 c1 d1");
    assert_int_equal(ROWS(s, ">= 0"), 0);
    assert_int_equal(COUNTER(s, discarded_rows), 1);
    assert_int_equal(
        scene_ask(
            s,
            "SELECT count(*) FROM bus_discarded WHERE operator = 'ann@host' AND reason = 'why' AND seq = 2 AND topic = 'svc.events'"),
        1);
}

static void a_decision_that_comes_late_is_stale(void **state)
{
    scene *s = *state;
    char name[64];
    one_is_refused(s);
    bui_memory_topic_limit(s->cluster, "svc.events", 5000);
    row_name(s, 0, name);
    decide(s, "row-retry", name);
    decide(s, "row-discard", name); /* in the same batch: the first counts */
    decide(s, "row-retry", "1@0000000000000000");
    decide(s, "row-retry", "x");
    scene_pass(s, 20000);
    assert_string_equal(events(s), "a1 big c1 d1");
    assert_int_equal(COUNTER(s, commands_stale), 3);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_discarded"), 0);
}

static void with_pass_a_refused_row_leaves_later(void **state)
{
    scene *s = *state;
    scene_stop(s);
    s->options.limits.refused_waits = false;
    scene_start(s);
    one_is_refused(s);
    assert_string_equal(events(s), "a1 c1 d1");
    assert_int_equal(ROWS(s, "= 1"), 1);
    assert_false(is_told(s));
    bui_memory_topic_limit(s->cluster, "svc.events", 5000);
    scene_send(s, "in", "k", "e emit");
    scene_run(s);
    s->fate = scene_hold_all; /* rows are out while it is decided */
    scene_send(s, "in", "k", "f emit");
    scene_run(s);
    scene_send(s, "in", "k", "g emit");
    scene_run(s);
    char name[64];
    row_name(s, 0, name);
    decide(s, "row-retry", name);
    scene_pass(s, 1000);
    assert_int_equal(bui_memory_withheld(bui_host_transport(s->host)), 2);
    s->fate = NULL;
    bui_memory_deliver(bui_host_transport(s->host), BUI_FATE_ACK);
    scene_pass(s, 20000);
    assert_string_equal(events(s), "a1 c1 d1 e1 f1 g1 big");
    assert_int_equal(ROWS(s, ">= 0"), 0);
}

static void a_full_outbox_still_hears_decisions(void **state)
{
    scene *s = *state;
    scene_stop(s);
    s->options.limits.outbox_bytes = 4000;
    s->options.limits.compact_envelope = false; /* so that fewer than 20 fill it */
    scene_start(s);
    one_is_refused(s);
    for (int i = 0; i < 20; i++) {
        char text[20];
        snprintf(text, sizeof text, "x%d emit", i);
        scene_send(s, "in", "k", text);
        scene_run(s);
    }
    int64_t waiting = ROWS(s, "= 0");
    assert_true(waiting < 20);
    bui_memory_topic_limit(s->cluster, "svc.events", 5000);
    decide_first(s, "row-retry");
    assert_int_equal(ROWS(s, ">= 0"), 0);
    assert_int_equal(bui_memory_end(s->cluster, "svc.events", 0), 24);
}

static void a_shard_with_a_refused_row_drains(void **state)
{
    scene *s = *state;
    one_is_refused(s);
    bui_shard *shard = bui_host_shard(s->host, 0);
    bui_shard_drain(shard);
    for (int i = 0; i < 20; i++)
        scene_pass(s, 100);
    assert_true(bui_shard_drained(shard));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_set_up, scene_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_refused_row_holds_its_destination_alone), TEST(after_the_limit_is_raised_a_retry_sends_all_in_order),
        TEST(a_refused_row_outlives_a_restart),          TEST(a_discarded_row_is_recorded_and_the_rest_goes_on),
        TEST(a_decision_that_comes_late_is_stale),       TEST(with_pass_a_refused_row_leaves_later),
        TEST(a_full_outbox_still_hears_decisions),       TEST(a_shard_with_a_refused_row_drains),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
