/* SPDX-License-Identifier: MIT
 * What must hold when a simulation has healed. Reads topics and stores only. */
#include "support/sim.h"

#include "base/id.h"
#include "base/map.h"
#include "codec/envelope.h"
#include "inventory.h"
#include "payment.h"
#include <bus/bus.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

/* ---- stores */

static sqlite3 *open_store(sim *s, int service, int shard)
{
    char path[256];
    sqlite3 *db = NULL;
    bus_error err = { 0 };
    snprintf(path, sizeof path, "%s/%s/%d.db", s->data, s->service[service].name, shard);
    if (bus_store_reader(path, &db, &err))
        sim_fail(s, "%s: %s", path, err.text);
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
        int last[SIM_KEYS + 1] = { 0 };
        char sql[80];
        snprintf(sql, sizeof sql, "SELECT number, %s FROM %s ORDER BY n", strcmp(table, "echo") ? "key" : "''", table);
        sqlite3_prepare_v2(db, sql, -1, &query, NULL);
        while (query && sqlite3_step(query) == SQLITE_ROW) {
            int number = sqlite3_column_int(query, 0);
            const char *key = (const char *)sqlite3_column_text(query, 1);
            count[number]++;
            s->result->events++;
            if (key[0] != 'k' || number >= SIM_CALLS || (spared && spared[number]))
                continue;
            int *before = &last[atoi(key + 1) % SIM_KEYS];
            if (number < *before)
                sim_fail(s, "%s/%d: key %s: event %d was applied after %d", s->service[service].name, shard, key, number, *before);
            *before = number;
        }
        sqlite3_finalize(query);
        sqlite3_close(db);
    }
}

static void check_rest(sim *s, int service)
{
    static const char *const empty[] = { "bus_outbox", "bus_parked", "bus_key", "bus_schedule", "bus_hole" };
    for (int shard = 0; shard < SIM_SHARDS; shard++) {
        sqlite3 *db = open_store(s, service, shard);
        for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
            char sql[80];
            snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", empty[i]);
            int64_t rows = ask(s, db, sql);
            if (rows != 0)
                sim_fail(s, "%s/%d: %lld rows are left in %s", s->service[service].name, shard, (long long)rows, empty[i]);
        }
        sqlite3_close(db);
    }
}

/* ---- topics */

/* What is known of one (source, topic, partition) while its log is read. */
typedef struct sim_source { int64_t seen; uint64_t hash[4096]; } sim_source;

/* R2 and R3: a source's rows first appear in order, without a gap, and a number never changes its content. */
static void check_hop(sim *s, bus_map *sources, const bus_record *record, const bus_envelope *envelope)
{
    char name[512];
    int len = snprintf(name, sizeof name, "%.*s %s/%d", (int)envelope->hop.source.len, envelope->hop.source.at, record->topic,
                       (int)record->partition);
    sim_source *source = bus_map_get(sources, name, (size_t)len);
    if (!source) {
        source = calloc(1, sizeof *source);
        bus_map_put(sources, name, (size_t)len, source);
    }
    int64_t seq = envelope->hop.seq;
    uint64_t hash = bus_hash(record->value, record->value_len, bus_hash(envelope->id.at, envelope->id.len, 1));
    if (seq > source->seen + 1 || seq < 1 || seq >= 4096)
        sim_fail(s, "%s@%lld: seq %lld follows %lld", name, (long long)record->offset, (long long)seq, (long long)source->seen);
    else if (seq <= source->seen && source->hash[seq] != hash)
        sim_fail(s, "%s@%lld: seq %lld has another content than before", name, (long long)record->offset, (long long)seq);
    else
        source->hash[seq] = hash;
    source->seen = seq > source->seen ? seq : source->seen;
}

static void check_logs(sim *s)
{
    int32_t partitions = 0;
    bus_map sources;
    bus_map_init(&sources);
    const char *topic;
    for (size_t i = 0; (topic = bus_memory_topic_at(s->cluster, i, &partitions)); i++)
        for (int32_t p = 0; p < partitions; p++)
            for (int64_t offset = 0; offset < bus_memory_end(s->cluster, topic, p); offset++) {
                bus_record record;
                bus_envelope envelope;
                bus_error err = { 0 };
                bus_memory_read(s->cluster, topic, p, offset, &record);
                if (bus_envelope_read(record.headers, record.header_count, &envelope, &err))
                    sim_fail(s, "%s/%d@%lld: %s", topic, (int)p, (long long)offset, err.text);
                else if (envelope.hop.source.at)
                    check_hop(s, &sources, &record, &envelope);
            }
    bus_map_free(&sources, free);
}

/* The number an event of ours carries. */
static int number_in(const bus_record *record)
{
    const void *body = NULL;
    char text[16] = "";
    if (record->value_len < 10) {
        memcpy(text, record->value ? record->value : "", record->value_len);
    } else {
        bus_string id = { 0 };
        const bus_type *types[] = { &inventory_ReleaseStock_type, &payment_RefundPayment_type };
        for (int i = 0; i < 2 && !id.at; i++)
            if (!bus_decode(types[i], record->value, record->value_len, &body, NULL)) {
                id = i == 0 ? ((const inventory_ReleaseStock *)body)->order_id : ((const payment_RefundPayment *)body)->order_id;
                memcpy(text, id.at, id.len < 15 ? id.len : 15);
                bus_body_free(body);
            }
    }
    return text[0] ? atoi(text) : -1;
}

/* Which numbers a topic holds, under how many different ids. */
static void read_topic(sim *s, const char *topic, int *count)
{
    bus_map ids;
    bus_map_init(&ids);
    for (int32_t p = 0; p < 4; p++)
        for (int64_t offset = 0; offset < bus_memory_end(s->cluster, topic, p); offset++) {
            bus_record record;
            bus_envelope envelope;
            bus_memory_read(s->cluster, topic, p, offset, &record);
            int number = number_in(&record);
            if (bus_envelope_read(record.headers, record.header_count, &envelope, NULL) || !envelope.id.at || number < 0) {
                sim_fail(s, "%s/%d@%lld is no event of ours", topic, (int)p, (long long)offset);
                continue;
            }
            if (!bus_map_get(&ids, envelope.id.at, envelope.id.len)) {
                bus_map_put(&ids, envelope.id.at, envelope.id.len, s);
                count[number]++;
            }
        }
    bus_map_free(&ids, NULL);
}

/* ---- dead letters */

void sim_letters(sim *s, int service, sim_letter_fn each, void *opaque)
{
    char topic[64];
    snprintf(topic, sizeof topic, "%s.dlq", s->service[service].name);
    for (int32_t p = 0; p < SIM_SHARDS; p++) {
        sim_letter *letters = calloc((size_t)bus_memory_end(s->cluster, topic, p) + 1, sizeof *letters);
        size_t count = 0;
        for (int64_t offset = 0; letters && offset < bus_memory_end(s->cluster, topic, p); offset++) {
            bus_record record;
            bus_envelope envelope;
            bus_memory_read(s->cluster, topic, p, offset, &record);
            if (bus_envelope_read(record.headers, record.header_count, &envelope, NULL) || !envelope.letter_id.at) {
                sim_fail(s, "%s/%d@%lld is no letter", topic, (int)p, (long long)offset);
                continue;
            }
            size_t i = 0;
            while (i < count && (strlen(letters[i].id) != envelope.letter_id.len ||
                                 memcmp(letters[i].id, envelope.letter_id.at, envelope.letter_id.len) != 0))
                i++;
            if (i == count)
                count++;
            if (envelope.letter == BUS_LETTER_OPEN)
                letters[i].record = record;
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
            letters[i].service = service;
            letters[i].number = number_in(&letters[i].record);
            each(s, &letters[i], opaque);
        }
        free(letters);
    }
}

typedef struct sim_dead { bool *ever, *discarded; } sim_dead;

static void on_letter(sim *s, const sim_letter *letter, void *opaque)
{
    sim_dead *dead = opaque;
    if (letter->number < 0 || letter->number >= SIM_NUMBERS) {
        sim_fail(s, "letter %s carries no number of ours", letter->id);
        return;
    }
    dead->ever[letter->number] = true;
    if (letter->state == BUS_LETTER_DISCARDED)
        dead->discarded[letter->number] = true;
    else if (letter->state != BUS_LETTER_RESOLVED)
        sim_fail(s, "%s/%d: letter %s of event %d is left %s in round %d", s->service[letter->service].name, (int)letter->partition,
                 letter->id, letter->number, bus_letter_state_name((bus_letter_state)letter->state), letter->round);
}

/* ---- all of it */

static void expect(sim *s, const char *what, int number, int found, int least, int most)
{
    if (found < least || found > most)
        sim_fail(s, "event %d: %s %d times, not %d%s", number, what, found, least, most > least ? " or 1" : "");
}

void sim_check(sim *s)
{
    int *counts = calloc(5 * (size_t)SIM_NUMBERS, sizeof *counts);
    bool *flags = calloc(4 * (size_t)SIM_NUMBERS, sizeof *flags);
    int *alpha = counts, *passed = counts + SIM_NUMBERS, *beta = passed + SIM_NUMBERS, *echoed = beta + SIM_NUMBERS, *echo = echoed + SIM_NUMBERS;
    sim_dead alpha_dead = { flags, flags + SIM_NUMBERS }, beta_dead = { flags + 2 * SIM_NUMBERS, flags + 3 * SIM_NUMBERS };

    check_logs(s);
    check_rest(s, ALPHA);
    check_rest(s, BETA);
    sim_letters(s, ALPHA, on_letter, &alpha_dead);
    sim_letters(s, BETA, on_letter, &beta_dead);
    read_effects(s, ALPHA, "effect", alpha, NULL);
    read_topic(s, "alpha.events", passed);
    /* alpha passes on in the order of its effects, so beta may be held to it, but for letters it let others overtake */
    read_effects(s, BETA, "effect", beta, beta_dead.ever);
    read_topic(s, "beta.events", echoed);
    read_effects(s, BETA, "echo", echo, NULL);
    for (int i = 0; i < s->sent_count; i++) {
        int number = s->sent[i], once = !alpha_dead.discarded[number];
        expect(s, "applied by alpha", number, alpha[number], once, once);
    }
    for (int i = 0; i < s->calls; i++) {
        int number = s->call[i]->number, end = (int)s->call[i]->end;
        expect(s, "applied by its transaction", number, alpha[number], end == CALL_DONE, end == CALL_DONE || end == CALL_UNKNOWN);
    }
    for (int i = 1; i < SIM_NUMBERS; i++) {
        /* a discarded number may be beta's own echo: then its effect stands */
        expect(s, "passed on", i, passed[i], alpha[i], alpha[i]);
        expect(s, "applied by beta", i, beta[i], alpha[i] && !beta_dead.discarded[i], alpha[i]);
        expect(s, "echoed", i, echoed[i], i % 3 == 0 ? beta[i] : 0, i % 3 == 0 ? beta[i] : 0);
        expect(s, "heard by beta", i, echo[i], echoed[i] && !beta_dead.discarded[i], echoed[i]);
    }
    free(counts);
    free(flags);
}
