/* SPDX-License-Identifier: MIT
 * What must hold when a simulation has healed. Reads topics and stores only. */
#include "support/sim.h"

#include "codec/envelope.h"
#include "ops/headers.h"
#include "support/memory_audit.h"
#include <bus/bus.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- stores */

sqlite3 *sim_reader(sim *s, int service, int shard)
{
    char path[256];
    sqlite3 **db = &s->reader[service][shard];
    snprintf(path, sizeof path, "%s/%s/%d.db", s->data, s->service[service].name, shard);
    return *db || bui_store_reader(path, db, NULL) == BUS_OK ? *db : NULL;
}

void sim_readers_close(sim *s)
{
    for (int service = 0; service < SIM_SERVICES; service++)
        for (int shard = 0; shard < SIM_SHARDS; shard++) {
            sqlite3_close(s->reader[service][shard]);
            s->reader[service][shard] = NULL;
        }
}

static sqlite3 *open_store(sim *s, int service, int shard)
{
    sqlite3 *db = sim_reader(s, service, shard);
    if (!db)
        sim_fail(s, "%s/%d: the store cannot be read", s->service[service].name, shard);
    return db;
}

static int64_t ask(sim *s, sqlite3 *db, const char *sql)
{
    sqlite3_stmt *query = NULL;
    int64_t answer = -1;
    if (sqlite3_prepare_v2(db, sql, -1, &query, NULL) == SQLITE_OK && sqlite3_step(query) == SQLITE_ROW)
        answer = sqlite3_column_int64(query, 0);
    else
        sim_fail(s, "%s: %s", sql, sqlite3_errmsg(db));
    sqlite3_finalize(query);
    return answer;
}

/* How often each number has had its effect, and whether the effects of a key came in order. `spared` numbers may be late. */
static void read_effects(sim *s, int service, const char *table, int *count, const bool *spared)
{
    for (int shard = 0; shard < SIM_SHARDS; shard++) {
        sqlite3 *db = open_store(s, service, shard);
        sqlite3_stmt *query = NULL;
        int last[2][SIM_KEYS] = { 0 };
        char sql[80];
        snprintf(sql, sizeof sql,
                 strcmp(table, "echo") ? "SELECT number, key, 1 FROM %s ORDER BY n" : "SELECT number, '', times FROM %s", table);
        sqlite3_prepare_v2(db, sql, -1, &query, NULL);
        while (query && sqlite3_step(query) == SQLITE_ROW) {
            int number = sqlite3_column_int(query, 0);
            const char *key = (const char *)sqlite3_column_text(query, 1);
            count[number] += sqlite3_column_int(query, 2);
            s->result->events++;
            if (!key[0] || number >= SIM_CALLS || (spared && spared[number]))
                continue;
            int *before = &last[key[0] == 'm'][atoi(key + 1) % SIM_KEYS];
            if (number < *before)
                sim_fail(s, "%s/%d: key %s: event %d was applied after %d", s->service[service].name, shard, key, number,
                         *before);
            *before = number;
        }
        sqlite3_finalize(query);
    }
}

/* What handlers saved as typed state goes with what they wrote by SQL. */
static void check_tallies(sim *s, int service)
{
    for (int shard = 0; shard < SIM_SHARDS; shard++) {
        int64_t off =
            ask(s, open_store(s, service, shard),
                "SELECT count(*) FROM (SELECT key, count(*) AS rows FROM effect GROUP BY key) FULL JOIN tally ON place = key"
                " WHERE rows IS NOT times");
        if (off)
            sim_fail(s, "%s/%d: %lld keys have another tally than effects", s->service[service].name, shard, (long long)off);
    }
}

/* A copy runs only when its event has: or has been given up, or was skipped. */
static void check_copies(sim *s, int service, const bool *discarded, const sim_bounds *bounds)
{
    for (int shard = 0; shard < SIM_SHARDS; shard++) {
        sqlite3 *db = open_store(s, service, shard);
        sqlite3_stmt *query = NULL;
        sqlite3_prepare_v2(db, "SELECT number FROM again WHERE early", -1, &query, NULL);
        while (query && sqlite3_step(query) == SQLITE_ROW) {
            int number = sqlite3_column_int(query, 0), missed = 0;
            for (int input = 0; input < SIM_INPUTS; input++)
                missed += bounds->missed[input][number];
            if (!missed && !discarded[number])
                sim_fail(s, "%s/%d: a copy of event %d ran before its event", s->service[service].name, shard, number);
        }
        sqlite3_finalize(query);
    }
}

static void check_rest(sim *s, int service)
{
    /* a gap is an event that its topic has lost, or that was given up */
    const char *const empty[] = {
        "bus_outbox",
        "bus_parked",
        "bus_key",
        "bus_schedule",
        "bus_body WHERE letter NOT IN (SELECT id FROM bus_letter WHERE state IN (1, 2))", /* forged ones stay */
        s->damages || s->given_up_count || s->commands_skipped ? NULL : "bus_hole"
    };
    for (int shard = 0; shard < SIM_SHARDS; shard++) {
        sqlite3 *db = open_store(s, service, shard);
        for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
            char sql[160];
            if (!empty[i])
                continue;
            snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", empty[i]);
            int64_t rows = ask(s, db, sql);
            if (rows != 0)
                sim_fail(s, "%s/%d: %lld rows are left in %s", s->service[service].name, shard, (long long)rows, empty[i]);
        }
    }
}

int64_t sim_position(sim *s, int service, int topic, int32_t partition)
{
    char sql[160];
    sqlite3 *db = sim_reader(s, service, (int)partition % SIM_SHARDS);
    sqlite3_stmt *query = NULL;
    int64_t next = -1;
    snprintf(sql, sizeof sql, "SELECT next FROM bus_position WHERE topic = '%s' AND partition = %d", sim_topics[topic].name,
             (int)partition);
    if (db && sqlite3_prepare_v2(db, sql, -1, &query, NULL) == SQLITE_OK && sqlite3_step(query) == SQLITE_ROW)
        next = sqlite3_column_int64(query, 0);
    sqlite3_finalize(query);
    return next;
}

/* ---- dead letters */

void sim_letters(sim *s, int service, sim_letter_fn each, void *opaque)
{
    char topic[64];
    snprintf(topic, sizeof topic, "%s.dlq", s->service[service].name);
    for (int32_t p = 0; p < SIM_SHARDS; p++) {
        sim_letter *letters = calloc((size_t)bui_memory_end(s->cluster, topic, p) + 1, sizeof *letters);
        size_t count = 0;
        for (int64_t offset = 0; letters && offset < bui_memory_end(s->cluster, topic, p); offset++) {
            bui_record record;
            bui_envelope envelope;
            bui_memory_read(s->cluster, topic, p, offset, &record);
            if (sim_is_forged(s, &record))
                continue;
            if (bui_envelope_read(record.headers, record.header_count, &envelope, NULL) != BUS_OK || !envelope.letter_id.at) {
                sim_fail(s, "%s/%d@%lld is no letter", topic, (int)p, (long long)offset);
                continue;
            }
            size_t i = 0;
            while (i < count && (strlen(letters[i].id) != envelope.letter_id.len ||
                                 memcmp(letters[i].id, envelope.letter_id.at, envelope.letter_id.len) != 0))
                i++;
            if (i == count)
                count++;
            if (envelope.letter == BUI_DEADLETTER_OPEN)
                letters[i].record = record;
            letters[i].copy = letters[i].copy || bui_record_header(&record, BUI_HEADER_REPLAY).at != NULL;
            /* the last word counts; a row that was sent twice repeats an older one */
            if (envelope.letter_round < letters[i].round ||
                (envelope.letter_round == letters[i].round && (int)envelope.letter < letters[i].state))
                continue;
            snprintf(letters[i].id, sizeof letters[i].id, "%.*s", (int)envelope.letter_id.len, envelope.letter_id.at);
            letters[i].round = envelope.letter_round;
            letters[i].state = (int)envelope.letter;
            letters[i].partition = p;
        }
        for (size_t i = 0; i < count; i++) {
            if (bui_slice_is(bui_record_header(&letters[i].record, "__dlq.errors.class"), "forged"))
                continue; /* nobody has it run */
            letters[i].service = service;
            letters[i].number = sim_number_of_letter(s, &letters[i].record);
            each(s, &letters[i], opaque);
        }
        free(letters);
    }
}

typedef struct sim_dead {
    bool *ever, *discarded;
} sim_dead;

static void on_letter(sim *s, const sim_letter *letter, void *opaque)
{
    sim_dead *dead = opaque;
    if (letter->number < 0 || letter->number >= SIM_NUMBERS) {
        sim_fail(s, "letter %s carries no number of ours", letter->id);
        return;
    }
    if (letter->copy && (letter->state == BUI_DEADLETTER_DISCARDED || letter->state == BUI_DEADLETTER_RESOLVED))
        return; /* it says nothing of its event */
    dead->ever[letter->number] = true;
    if (letter->state == BUI_DEADLETTER_DISCARDED)
        dead->discarded[letter->number] = true;
    else if (letter->state != BUI_DEADLETTER_RESOLVED)
        sim_fail(s, "%s/%d: letter %s of event %d is left %s in round %d", s->service[letter->service].name,
                 (int)letter->partition, letter->id, letter->number,
                 bui_deadletter_state_name((bui_deadletter_state)letter->state), letter->round);
}

/* ---- all of it */

/* How often each number came by each way: under how many hops, and how many ids. */
typedef struct sim_counts {
    int hops[SIM_INPUTS][SIM_NUMBERS], ids[SIM_INPUTS][SIM_NUMBERS];
    int alpha[SIM_NUMBERS], beta[SIM_NUMBERS], echo[SIM_NUMBERS]; /* effects */
    bool alpha_dead[SIM_NUMBERS], alpha_discarded[SIM_NUMBERS], beta_dead[SIM_NUMBERS], beta_discarded[SIM_NUMBERS];
    bool spared[SIM_NUMBERS];              /* from coming in order */
    int given_up[SIM_INPUTS][SIM_NUMBERS]; /* rows that were not sent */
    sim_bounds bounds;
} sim_counts;

static void count_records(const sim *s, sim_counts *c)
{
    for (size_t i = 0; i < s->records; i++) {
        const sim_record *record = &s->record[i];
        int input = sim_topics[record->topic].input;
        bool known = false;
        for (size_t j = 0; j < i && !known; j++)
            known = s->record[j].id == record->id && sim_topics[s->record[j].topic].input == input;
        c->ids[input][record->number] += !known;
        c->hops[input][record->number] += sim_first_of_its_event(s, i);
    }
}

/* Once for each record that came; where the sender ran twice, his second record is the same event, and is dropped while the
 * first one waits. More and less often only if the reader's position was moved. */
static void expect(sim *s, const sim_counts *c, const char *what, int number, int found, int input, bool discarded)
{
    int ids = c->ids[input][number], most = c->hops[input][number] + c->bounds.again[input][number];
    int least = discarded || ids < c->bounds.missed[input][number] ? 0 : ids - c->bounds.missed[input][number];
    if (found < least || found > most)
        sim_fail(s, "event %d: %s %d times, not %d to %d", number, what, found, least, most);
}

/* What left a service is what it did, each exactly once, under one id. What was given up may be on the way of a dead producer still. */
static void expect_sent(sim *s, const sim_counts *c, const char *what, int number, int input, int done)
{
    if (c->hops[input][number] > done || c->hops[input][number] < done - c->given_up[input][number] || c->ids[input][number] > 1)
        sim_fail(s, "event %d: %s %d times under %d ids, not %d times under one", number, what, c->hops[input][number],
                 c->ids[input][number], done);
}

static void check_numbers(sim *s, const sim_counts *c)
{
    for (int i = 0; i < s->sent_count; i++) {
        int number = s->sent[i];
        expect(s, c, "applied by alpha", number, c->alpha[number], IN_SHOP, c->alpha_discarded[number]);
        if (c->alpha_discarded[number] && c->alpha[number] > c->bounds.again[IN_SHOP][number])
            sim_fail(s, "event %d: applied by alpha %d times, though it was discarded", number, c->alpha[number]);
    }
    for (int i = 0; i < s->calls; i++) {
        int number = s->call[i]->number, found = c->alpha[number];
        if (found != (s->call[i]->end == CALL_DONE) && (found != 1 || s->call[i]->end != CALL_UNKNOWN))
            sim_fail(s, "event %d: its transaction has %d effects, and its caller was told %d", number, found,
                     (int)s->call[i]->end);
    }
    for (int i = 1; i < SIM_NUMBERS; i++) {
        int echoes = i % 3 == 0 ? c->beta[i] : 0, fewest = echoes > 1 ? 1 : echoes;
        expect_sent(s, c, "passed on", i, IN_ALPHA, c->alpha[i]);
        expect_sent(s, c, "answered", i, IN_REPLIES, sim_is_asked(i) ? c->alpha[i] : 0);
        /* a discarded number may be beta's own echo: then its effect stands */
        expect(s, c, "applied by beta", i, c->beta[i], IN_ALPHA, c->beta_discarded[i]);
        /* an echo that is scheduled again before it has left replaces the former */
        if (c->hops[IN_BETA][i] > echoes || c->hops[IN_BETA][i] < fewest - c->given_up[IN_BETA][i])
            sim_fail(s, "event %d: echoed %d times, not %d", i, c->hops[IN_BETA][i], echoes);
        expect(s, c, "heard by beta", i, c->echo[i], IN_BETA, c->beta_discarded[i]);
    }
}

/* ---- the audit */

#define AUDIT_EACH 8 /* one history of so many: it takes as long as all that is checked here */

static bool on_finding(void *opaque, const bui_finding *finding)
{
    sim *s = opaque;
    if (finding->weight == BUI_AUDIT_VIOLATED)
        sim_fail(s, "the audit finds: %s: %s: %s %s", finding->rule, finding->where, finding->id, finding->text);
    return true;
}

/* Nobody has moved a position, lost a record or given up a row: then bus audit has nothing to say. */
static void audit(sim *s)
{
    char path[SIM_SERVICES * SIM_SHARDS][96];
    const char *paths[SIM_SERVICES * SIM_SHARDS];
    bus_error err = { 0 };
    if (s->plan->seed % AUDIT_EACH || s->damages || s->given_up_count || s->commands_skipped || s->log_lost || s->result->failed)
        return;
    for (int i = 0; i < SIM_SERVICES * SIM_SHARDS; i++) {
        snprintf(path[i], sizeof path[i], "%s/%s/%d.db", s->data, s->service[i / SIM_SHARDS].name, i % SIM_SHARDS);
        paths[i] = path[i];
    }
    if (memory_audit(s->cluster, s->keys, paths, SIM_SERVICES * SIM_SHARDS, on_finding, s, &err) != BUS_OK)
        sim_fail(s, "the audit: %s", err.text);
}

void sim_check(sim *s)
{
    sim_counts *c = calloc(1, sizeof *c);
    if (!c) {
        sim_fail(s, "no memory to check anything");
        return;
    }
    sim_dead alpha_dead = { c->alpha_dead, c->alpha_discarded }, beta_dead = { c->beta_dead, c->beta_discarded };
    sim_read_logs(s);
    sim_weigh_damage(s, &c->bounds);
    count_records(s, c);
    for (int i = 0; i < s->given_up_count; i++)
        if (s->given_up[i].number >= 0)
            c->given_up[s->given_up[i].input][s->given_up[i].number] += sim_is_given_up(s, &s->given_up[i]);
    check_rest(s, ALPHA);
    check_rest(s, BETA);
    sim_letters(s, ALPHA, on_letter, &alpha_dead);
    sim_letters(s, BETA, on_letter, &beta_dead);
    for (int i = 0; i < SIM_NUMBERS; i++)
        c->spared[i] = c->bounds.again[IN_SHOP][i] || c->bounds.missed[IN_SHOP][i];
    read_effects(s, ALPHA, "effect", c->alpha, c->spared);
    /* alpha passes on in the order of its effects, so beta may be held to it, but for dead letters it let others overtake */
    for (int i = 0; i < SIM_NUMBERS; i++)
        c->spared[i] = c->spared[i] || c->bounds.again[IN_ALPHA][i] || c->bounds.missed[IN_ALPHA][i] || c->beta_dead[i];
    /* a row that was discarded lets later ones overtake, and may have been sent before by a producer that is gone: it can land yet */
    for (int i = 0; i < s->given_up_count; i++)
        if (s->given_up[i].number >= 0)
            c->spared[s->given_up[i].number] = true;
    read_effects(s, BETA, "effect", c->beta, c->spared);
    read_effects(s, BETA, "echo", c->echo, NULL);
    check_tallies(s, ALPHA);
    check_tallies(s, BETA);
    check_copies(s, ALPHA, c->alpha_discarded, &c->bounds);
    check_copies(s, BETA, c->beta_discarded, &c->bounds);
    check_numbers(s, c);
    sim_readers_close(s);
    audit(s);
    free(c);
}
