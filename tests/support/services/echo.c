/* SPDX-License-Identifier: MIT
 * Echo: the service that integration tests run. Reads plain text from its topics, writes what it saw into tables that show
 * lost, doubled and reordered events, and emits one event for each.
 *
 * A value is "<number>[ <directive>]". Directives: retry:<k> (fails the first k times), always (always fails), broken (rejected
 * until ECHO_FIXED=1), needs:<n> (rejected until the store has seen number n), reject, pause:<k> (the first k times), crash
 * (kills the process in the handler), sleep:<ms>, gate (until the file ECHO_GATE is there), sql (breaks a constraint), schedule:<ms> (emits later as well),
 * plan:<ms> (the same under a name that its key has one of), cancel (what the key has planned), big:<bytes> (emits that many),
 * silent (emits nothing).
 * Environment: ECHO_NAME (default echo), ECHO_INPUTS (topics, comma separated; default <name>.commands), ECHO_HOLD=1 (a dead event
 * holds its key), ECHO_TYPED (a topic on which it takes echo.Said, and no other type).
 *
 *   effect(event_id, times, key, number, topic, part, pos)   times > 1: applied more than once
 *   last(key, number, count, disorder)                        disorder: numbers of a key that did not rise */
#include "said.h"
#include <bus/bus.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the handler */

static const bus_migration migrations[] = {
    { "effects", "CREATE TABLE effect(event_id TEXT NOT NULL PRIMARY KEY, times INTEGER NOT NULL, key TEXT NOT NULL, "
                 "number INTEGER NOT NULL, topic TEXT NOT NULL, part INTEGER NOT NULL, pos INTEGER NOT NULL) WITHOUT ROWID;"
                 "CREATE TABLE last(key TEXT NOT NULL PRIMARY KEY, number INTEGER NOT NULL, count INTEGER NOT NULL, "
                 "disorder INTEGER NOT NULL) WITHOUT ROWID;" },
    { 0 }
};

static void run(bus_tx *tx, sqlite3_stmt *statement)
{
    if (statement && sqlite3_step(statement) != SQLITE_DONE)
        bus_sql(tx, "SELECT failed FROM nowhere"); /* sticky, as a failed bus_sql is */
}

static void note(bus_tx *tx, const bus_event *event, long long number)
{
    sqlite3_stmt *effect = bus_sql(tx, "INSERT INTO effect VALUES(?1, 1, ?2, ?3, ?4, ?5, ?6) "
                                       "ON CONFLICT(event_id) DO UPDATE SET times = times + 1");
    sqlite3_stmt *last =
        bus_sql(tx, "INSERT INTO last VALUES(?1, ?2, 1, 0) ON CONFLICT(key) DO UPDATE SET number = max(number, ?2), "
                    "count = count + 1, disorder = disorder + (number >= ?2)");
    if (!effect || !last)
        return;
    bus_bind_text(effect, 1, bus_str(event->id));
    bus_bind_text(effect, 2, event->key);
    sqlite3_bind_int64(effect, 3, number);
    bus_bind_text(effect, 4, bus_str(event->topic));
    sqlite3_bind_int(effect, 5, event->partition);
    sqlite3_bind_int64(effect, 6, event->offset);
    run(tx, effect);
    bus_bind_text(last, 1, event->key);
    sqlite3_bind_int64(last, 2, number);
    run(tx, last);
}

static bool has_seen(bus_tx *tx, long long number)
{
    sqlite3_stmt *ask = bus_sql(tx, "SELECT 1 FROM effect WHERE number = ?1");
    return ask && sqlite3_bind_int64(ask, 1, number) == SQLITE_OK && sqlite3_step(ask) == SQLITE_ROW;
}

static bus_verdict obey(bus_tx *tx, const bus_event *event, const char *word, long long amount)
{
    if (strcmp(word, "retry") == 0 && event->attempt <= amount)
        return bus_retry(tx, "told to fail %lld times, this was attempt %d", amount, event->attempt);
    if (strcmp(word, "fresh") == 0 && event->replay)
        return bus_retry(tx, "a copy, and its event is here already");
    if (strcmp(word, "always") == 0)
        return bus_retry(tx, "told to fail always");
    const char *fixed = getenv("ECHO_FIXED"), *gate = getenv("ECHO_GATE");
    if (strcmp(word, "broken") == 0 && !(fixed && *fixed == '1'))
        return bus_reject(tx, "not fixed yet");
    if (strcmp(word, "needs") == 0 && !has_seen(tx, amount))
        return bus_reject(tx, "%lld has not been seen", amount);
    if (strcmp(word, "reject") == 0)
        return bus_reject(tx, "told to reject");
    static _Atomic long long pauses;
    if (strcmp(word, "pause") == 0 && pauses++ < amount)
        return bus_pause(tx, "patience");
    if (strcmp(word, "crash") == 0)
        raise(SIGKILL);
    if (strcmp(word, "sleep") == 0)
        usleep((useconds_t)amount * 1000);
    if (strcmp(word, "closed") == 0 && gate && access(gate, F_OK) != 0)
        return bus_pause(tx, "the gate");
    while (strcmp(word, "gate") == 0 && gate && access(gate, F_OK) != 0)
        usleep(10000);
    if (strcmp(word, "sql") == 0)
        run(tx, bus_sql(tx, "INSERT INTO last(key, number, count, disorder) VALUES('broken', NULL, 0, 0)"));
    return BUS_DONE;
}

static void say(bus_tx *tx, const bus_event *event, const echo_Said *said, size_t big, bool pass)
{
    echo_Said more = *said;
    bus_emit_options options = { 0 };
    if (pass) {
        options.headers = event->headers;
        options.header_count = event->header_count;
    }
    char *filler = big ? malloc(big) : NULL;
    if (filler) {
        memset(filler, 'x', big);
        more.text = (bus_string){ filler, big };
    }
    bus_emit_with(tx, &echo_Said_type, event->key, &more, &options);
    free(filler);
}

static bus_verdict on_text(bus_tx *tx, const bus_event *event, void *shard)
{
    (void)shard;
    char text[200] = "", word[32] = "";
    long long number = 0, amount = 0;
    size_t len = event->value.len < sizeof text - 1 ? event->value.len : sizeof text - 1;
    memcpy(text, event->value.at, len);
    if (sscanf(text, "%lld %31[a-z]:%lld", &number, word, &amount) < 1)
        return bus_reject(tx, "the value does not begin with a number");
    note(tx, event, number);
    bus_verdict verdict = obey(tx, event, word, amount);
    if (verdict != BUS_DONE || strcmp(word, "silent") == 0)
        return verdict;
    echo_Said said = { .number = number, .text = { text, len } };
    say(tx, event, &said, strcmp(word, "big") == 0 ? (size_t)amount : 0, getenv("ECHO_PASS") != NULL);
    said.number = -number;
    if (strcmp(word, "schedule") == 0)
        bus_schedule(tx, bus_str(event->id), bus_now(tx) + amount, &echo_Said_type, bus_str(event->id), &said);
    char plan[100];
    snprintf(plan, sizeof plan, "plan of %.*s", BUS_TEXT(event->key));
    if (strcmp(word, "plan") == 0)
        bus_schedule(tx, bus_str(plan), bus_now(tx) + amount, &echo_Said_type, bus_str(plan), &said);
    if (strcmp(word, "cancel") == 0)
        bus_cancel(tx, bus_str(plan));
    return BUS_DONE;
}

static bus_verdict on_said(bus_tx *tx, const bus_event *event, void *shard)
{
    (void)shard;
    const echo_Said *said = bus_event_body(event, &echo_Said_type);
    note(tx, event, said->number);
    return BUS_DONE;
}

/* ---- main */

int main(int argc, char **argv)
{
    static bus_route routes[18];
    static char inputs[2000], events[200];
    const char *name = getenv("ECHO_NAME"), *list = getenv("ECHO_INPUTS"), *hold = getenv("ECHO_HOLD"),
               *typed = getenv("ECHO_TYPED");
    const char *replay = getenv("ECHO_REPLAY");
    bus_replay_policy policy = !replay || strcmp(replay, "run") == 0 ? BUS_REPLAY_RUN
                               : strcmp(replay, "skip") == 0         ? BUS_REPLAY_SKIP
                                                                     : BUS_REPLAY_REFUSE;
    name = name && *name ? name : "echo";
    if (list && *list)
        snprintf(inputs, sizeof inputs, "%s", list);
    else
        snprintf(inputs, sizeof inputs, "%s.commands", name);
    snprintf(events, sizeof events, "%s.events", name);
    size_t count = 0;
    for (char *rest = inputs, *topic; count < 16 && (topic = strtok_r(rest, ",", &rest));)
        routes[count++] = (bus_route){
            .topic = topic, .handler = on_text, .replay = policy, .on_dead = hold && *hold == '1' ? BUS_HOLD_KEY : BUS_RELEASE_KEY
        };
    if (typed && *typed)
        routes[count++] = (bus_route){ .topic = typed, .type = &echo_Said_type, .handler = on_said };
    const bus_emits emits[] = { { &echo_Said_type, events }, { 0 } };
    const bus_service service = { .name = name, .routes = routes, .emits = emits, .migrations = migrations };
    return bus_service_main(argc, argv, &service);
}
