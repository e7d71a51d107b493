/* SPDX-License-Identifier: MIT
 * The rules of the protocol, each with the scenario it exists for: what dead letters cost the events that have none, the store and the
 * log. By counts, which do not depend on the machine. See support/scene.h for what the service does. */
#include "support/scene.h"

#include "shard/internal.h"
#include "support/statement_counts.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNTER(scene, name) ((int)bui_counter_read(&scene_metrics(scene)->name))

/* How often the shard has asked its table for a dead letter, since it was opened. */
static int64_t asked(scene *s)
{
    return statement_count(bui_store_db(bui_host_shard(s->host, 0)->store), "FROM bus_letter WHERE id = ?1",
                           SQLITE_STMTSTATUS_RUN);
}

static void send_many(scene *s, const char *name, const char *rest, int count)
{
    char key[16], text[64];
    for (int i = 0; i < count; i++) {
        snprintf(key, sizeof key, "k%d", i);
        snprintf(text, sizeof text, "%s%d%s", name, i, rest);
        scene_send(s, "in", key, text);
    }
    scene_run(s);
}

static void events_without_a_letter_ask_for_none(void **state)
{
    scene *s = *state;
    send_many(s, "bad", " reject", 500);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_letter WHERE state = 1"), 500);
    for (int opened = 0; opened < 2; opened++) { /* as they were opened, and as they are read at the open */
        int64_t before = asked(s);
        send_many(s, opened ? "other" : "good", "", 1000);
        assert_int_equal(s->runs, 1500 + 1000 * opened);
        assert_in_range(asked(s) - before, 0, 30);
        scene_stop(s);
        scene_start(s);
    }
    /* An offset that is set back runs all again, but those that have one. */
    scene_set_back(s, "in");
    assert_int_equal(COUNTER(s, duplicates), 500);
    assert_int_equal(s->runs, 2500 + 2000);
}

/* A redrive of very many must not wait for tomorrow's look. */
static void settled_letters_are_forgotten_while_it_runs(void **state)
{
    scene *s = *state;
    char sql[400];
    int64_t now_ms = s->clock.clock.wall_ms(&s->clock.clock);
    scene_stop(s);
    snprintf(
        sql, sizeof sql,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 104990) INSERT INTO bus_letter(id, event_id,"
        " scope, key_id, round, state, first_failed, at) SELECT 'settled-' || i, 'e' || i, 'in', 0, 3, 3, 1, %lld + i FROM n",
        (long long)now_ms - 200000);
    scene_meddle(s, sql);
    scene_start(s);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_letter"), 100000);
    enum { MANY = 5000 };
    send_many(s, "bad", " reject", MANY);
    assert_int_equal(COUNTER(s, letters_forgotten), 4990);
    for (int i = 0; i < MANY; i++)
        scene_command(s, i, "discard", 0);
    scene_run(s);
    assert_int_equal(COUNTER(s, letters_forgotten), 4990 + MANY);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_letter"), 100000);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_letter WHERE state = 4"), MANY);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_set_up, scene_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(events_without_a_letter_ask_for_none),
        TEST(settled_letters_are_forgotten_while_it_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
