/* SPDX-License-Identifier: MIT
 * Random histories of one service, rebuilt: whatever mix they come to, at each quiet point the rebuilt store is the live one; and after
 * deaths with rows under way and lost stores each event has one effect and one number on its topic. $SEEDS (of
 * many the first fortieth), or 1:60. */
#include "support/scene_rebuild.h"

#include "base/map.h"
#include "codec/envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct history {
    scene *s;
    uint64_t random;
    int sent, letters;
} history;

static int below(history *h, int n)
{
    h->random = h->random * 6364136223846793005u + 1442695040888963407u;
    return (int)((h->random >> 33) % (uint64_t)n);
}

static void send_something(history *h)
{
    static const char *const topics[] = { "in", "slow", "held", "steps", "typed" };
    static const char *const words[] = { "",
                                         "emit",
                                         "emit=2",
                                         "retry=1 emit",
                                         "retry=2 emit",
                                         "retry=9 emit",
                                         "reject emit",
                                         "write retry=1 other",
                                         "other emit",
                                         "bad-sql emit" };
    const char *topic = topics[below(h, 5)];
    char text[120], key[16];
    snprintf(key, sizeof key, "k%d", below(h, 3));
    int n = snprintf(text, sizeof text, "e%d %s", h->sent++, words[below(h, 10)]);
    int plan = below(h, 8); /* a name belongs to a topic and key: who comes first is told by their order */
    if (plan == 0)
        snprintf(text + n, sizeof text - (size_t)n, " schedule=%d name=%s-%s", 1 + below(h, 20000), topic, key);
    else if (plan == 1)
        snprintf(text + n, sizeof text - (size_t)n, " cancel=%s-%s", topic, key);
    scene_send(h->s, topic, below(h, 8) ? key : NULL, text);
}

/* While it was down a plan fell due; what it handles first when it is back may be a cancel of it, or another plan of its name. */
static void plan_while_it_is_away(history *h)
{
    scene *s = h->s;
    char text[80];
    snprintf(text, sizeof text, "e%d schedule=%d name=in-away", h->sent++, 1 + below(h, 3000));
    scene_send(s, "in", "away", text);
    bui_virtual_clock_advance(&s->clock, (1 + below(h, 5000)) * INT64_C(1000));
    if (below(h, 3))
        snprintf(text, sizeof text, "e%d cancel=in-away", h->sent++);
    else
        snprintf(text, sizeof text, "e%d schedule=%d name=in-away", h->sent++, 1 + below(h, 3000));
    scene_send(s, "in", "away", text);
}

static void discard_something(history *h)
{
    scene *s = h->s;
    char text[40];
    bui_memory_topic_limit(s->cluster, "svc.events", 500);
    snprintf(text, sizeof text, "e%d big=1000 emit", h->sent++);
    scene_send(s, "in", below(h, 2) ? "k0" : "big", text);
    scene_pass(s, 1000);
    if (scene_discard_refused(s))
        scene_pass(s, 1000);
    bui_memory_topic_limit(s->cluster, "svc.events", 5000);
}

static void command_something(history *h)
{
    int64_t end = bui_memory_end(h->s->cluster, "svc.dlq", 0), at;
    bui_record record;
    if (end == 0 || !bui_memory_read(h->s->cluster, "svc.dlq", 0, at = below(h, (int)end), &record))
        return;
    for (size_t i = 0; i < record.header_count; i++)
        if (strcmp(record.headers[i].name, "bus-orig") == 0) {
            scene_command(h->s, at, below(h, 4) ? "redrive" : "discard", 0);
            return;
        }
}

/* A topic stands still, and what waits there is handled late: after commands that were sent later. */
static void lag(history *h)
{
    scene *s = h->s;
    char text[80], key[16];
    s->weather = true;
    snprintf(text, sizeof text, "e%d pause", h->sent++);
    scene_send(s, "slow", "still", text);
    scene_pass(s, 1);
    for (int i = below(h, 3); i >= 0; i--) {
        snprintf(key, sizeof key, "k%d", below(h, 3));
        snprintf(text, sizeof text, "e%d %s", h->sent++, below(h, 2) ? "retry=1 emit" : "emit");
        scene_send(s, "slow", key, text);
        scene_pass(s, 1);
    }
    for (int i = below(h, 4); i > 0; i--) {
        command_something(h);
        s->mended = below(h, 2);
        scene_pass(s, 1 + below(h, 300));
    }
    s->weather = false;
    scene_pass(s, 2000);
}

static void redrive_open(history *h, int64_t at)
{
    bui_record record;
    bui_envelope envelope;
    char sql[200];
    if (!bui_memory_read(h->s->cluster, "svc.dlq", 0, at, &record) ||
        bui_envelope_read(record.headers, record.header_count, &envelope, NULL) != BUS_OK ||
        envelope.letter != BUI_DEADLETTER_OPEN)
        return;
    snprintf(sql, sizeof sql, "SELECT count(*) FROM bus_letter WHERE id = '%.*s' AND state = 1 AND round = %d",
             (int)envelope.letter_id.len, envelope.letter_id.at, envelope.letter_round);
    if (scene_ask(h->s, sql))
        scene_command(h->s, at, "redrive", 0);
}

static bool same_effects(scene *s, const bui_rebuilt *rebuilt, char *out, size_t cap)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *ask = NULL;
    char sql[700];
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    (void)s;
    snprintf(sql, sizeof sql, "ATTACH '%s' AS old; ATTACH '%s' AS new", rebuilt->place, rebuilt->store);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(
            db,
            "SELECT group_concat(name || ':' || d) FROM (SELECT name, sum(d) AS d FROM (SELECT name, 1 AS d FROM old.effect"
            " UNION ALL SELECT name, -1 FROM new.effect) GROUP BY name HAVING sum(d) != 0)",
            -1, &ask, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_step(ask), SQLITE_ROW);
    const char *text = (const char *)sqlite3_column_text(ask, 0);
    snprintf(out, cap, "%s", text ? text : "");
    sqlite3_finalize(ask);
    sqlite3_close(db);
    return !*out;
}

/* The order of effects of different keys is not promised: they are compared as a set. */
static bool rebuilds(history *h, int seed, int step)
{
    scene *s = h->s;
    char effects[400], *differences;
    bool mended = s->mended;
    s->mended = true; /* what had failed is told by the topics alone */
    bui_rebuilt rebuilt = scene_rebuild(s);
    s->mended = mended;
    bool same = same_effects(s, &rebuilt, effects, sizeof effects);
    differences = (char *)(uintptr_t)scene_differences(s, &rebuilt);
    char *at = strstr(differences, "effect: ");
    if (at == differences && strstr(at, "; "))
        differences = strstr(at, "; ") + 2;
    if (!same || *differences || rebuilt.letters)
        print_error("seed %d, step %d: effects [%s], tables [%s], %d letters\n", seed, step, effects, differences,
                    (int)rebuilt.letters);
    bool fine = same && !*differences && !rebuilt.letters;
    if (fine && below(h, 2))
        scene_take_rebuilt(s, &rebuilt);
    else
        unlink(rebuilt.store);
    return fine;
}

/* The process dies with rows on their way, some of which have arrived; or its store is lost, too. */
static void loses(history *h)
{
    scene *s = h->s;
    bool mended = s->mended;
    s->fate = scene_hold_all;
    send_something(h);
    send_something(h);
    scene_pass(s, below(h, 3000));
    s->fate = scene_lose_ack;
    bui_memory_deliver_some(bui_host_transport(s->host), (size_t)below(h, 4));
    scene_stop(s);
    s->fate = NULL;
    if (below(h, 2))
        send_something(h);
    if (below(h, 2))
        scene_lose_store(s);
    bui_virtual_clock_advance(&s->clock, below(h, 30000) * INT64_C(1000));
    s->mended = true;
    bui_rebuilt rebuilt = scene_rebuild(s);
    s->mended = mended;
    assert_int_equal(rebuilt.letters, 0);
    scene_take_rebuilt(s, &rebuilt);
    scene_start(s);
}

/* Once all is redriven: each event has its effect once, but those discarded, and each emitted event is on its topic under
 * one number (a row sent again keeps it, and readers drop it). */
static bool ends_well(history *h, int seed)
{
    static const char *const outputs[] = { "svc.events", "svc.other" };
    scene *s = h->s;
    s->mended = true;
    for (int round = 0; round < 4; round++) {
        for (int64_t at = 0, end = bui_memory_end(s->cluster, "svc.dlq", 0); at < end; at++)
            redrive_open(h, at);
        scene_pass(s, 30000);
    }
    bui_map ids, hops;
    bui_map_init(&ids);
    bui_map_init(&hops);
    int64_t twice = scene_ask(s, "SELECT count(*) FROM (SELECT 1 FROM effect GROUP BY name HAVING count(*) > 1)");
    int64_t there = scene_ask(s, "SELECT count(DISTINCT name) FROM effect"),
            open = scene_ask(s, "SELECT count(*) FROM bus_letter WHERE state IN (1, 2)");
    int64_t given_up = scene_ask(s, "SELECT count(*) FROM bus_letter WHERE state = 4");
    for (int t = 0; t < 2; t++)
        for (int64_t at = 0; at < bui_memory_end(s->cluster, outputs[t], 0); at++) {
            bui_record record;
            if (!bui_memory_read(s->cluster, outputs[t], 0, at, &record))
                continue;
            bui_envelope envelope;
            char number[250];
            if (bui_envelope_read(record.headers, record.header_count, &envelope, NULL) != BUS_OK)
                continue;
            int len = snprintf(number, sizeof number, "%.*s/%d/%lld", (int)envelope.hop.source.len, envelope.hop.source.at, t,
                               (long long)envelope.hop.seq);
            bui_map_put(&ids, envelope.id.at, envelope.id.len, s);
            bui_map_put(&hops, number, (size_t)len, s);
        }
    bool fine = !twice && !open && there + given_up == h->sent && ids.count == hops.count;
    if (!fine)
        print_error("seed %d: %d sent, %d with effects, %d twice, %d discarded, %d letters open, %zu numbers for %zu events\n",
                    seed, h->sent, (int)there, (int)twice, (int)given_up, (int)open, hops.count, ids.count);
    bui_map_free(&ids, NULL);
    bui_map_free(&hops, NULL);
    return fine;
}

static bool play(scene *s, int seed, bool lossy)
{
    history h = { .s = s, .random = (uint64_t)seed * 7919 };
    for (int step = 0; step < 60; step++) {
        int what = below(&h, 22);
        if (what < 10)
            send_something(&h);
        else if (what < 12)
            command_something(&h);
        else if (what == 12)
            s->mended = !s->mended;
        else if (what == 13) { /* it is away for a while, and events come */
            scene_stop(s);
            if (below(&h, 2))
                plan_while_it_is_away(&h);
            for (int i = below(&h, 4); i > 0; i--) {
                bui_virtual_clock_advance(&s->clock, below(&h, 5000) * INT64_C(1000));
                send_something(&h);
            }
            bui_virtual_clock_advance(&s->clock, below(&h, 20000) * INT64_C(1000));
            scene_start(s);
        } else if (what == 14 && lossy) {
            loses(&h);
        } else if (what == 14) {
            scene_pass(s, 200); /* a key that drains looks for its prepare step again */
            if (!rebuilds(&h, seed, step))
                return false;
            scene_start(s);
        } else if (what == 20) {
            discard_something(&h);
        } else if (
            what == 21 &&
            lossy) { /* else an event that ran may be one that is parked in the old store: that is told by the comparison */
            lag(&h);
        } else {
            scene_pass(s, 1 + below(&h, 4000));
        }
        if (what < 12)
            scene_pass(s, 1); /* records of one time have no order among topics */
        if (scene_failure(s) != BUS_OK) {
            print_error("seed %d, step %d: %s\n", seed, step, s->text);
            return false;
        }
    }
    scene_pass(s, 1000);
    return lossy ? ends_well(&h, seed) : rebuilds(&h, seed, 60);
}

static void histories(void **state, bool lossy)
{
    const char *seeds = getenv("SEEDS");
    int first = 1, last = 60, failed = 0;
    if (seeds && sscanf(seeds, "%d:%d", &first, &last) == 2 && last - first > 600)
        last = first + (last - first) / 40; /* each is rebuilt several times */
    for (int seed = first; seed <= last; seed++) {
        failed += !play(*state, seed, lossy);
        scene_tear_down(state);
        scene_set_up(state);
    }
    assert_int_equal(failed, 0);
}

static void random_histories(void **state)
{
    histories(state, false);
}

static void random_histories_with_losses(void **state)
{
    histories(state, true);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_set_up, scene_tear_down)
    const struct CMUnitTest tests[] = { TEST(random_histories), TEST(random_histories_with_losses) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
