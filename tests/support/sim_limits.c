/* SPDX-License-Identifier: MIT
 * Limits: administrators who lower a topic's max.message.bytes and raise it again, and operators who decide about the rows that were
 * refused meanwhile. Nothing is lost, doubled or reordered by that, but for what somebody has discarded. */
#include "support/sim.h"

#include "codec/size.h"
#include <bus/bus.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

/* ---- topics take less, and more again */

void sim_limits_raise(sim *s)
{
    for (int t = 0; t < SIM_TOPICS; t++)
        bui_memory_topic_limit(s->cluster, sim_topics[t].name, BUI_TOPIC_BYTES);
}

static void limit_step(sim *s)
{
    bool event = sim_chance(s, 800), lower = sim_chance(s, 600);
    int topic = event ? 2 + sim_below(s, 2) : sim_below(s, SIM_TOPICS), most = 150 + sim_below(s, 350);
    if (!lower) {
        sim_note(s, "administrator: every topic takes large records");
        sim_limits_raise(s);
    } else if (sim_topics[topic].input != IN_SHOP && sim_strikes(s, SIM_LIMIT)) {
        sim_note(s, "administrator: %s takes records of %d bytes", sim_topics[topic].name, most);
        bui_memory_topic_limit(s->cluster, sim_topics[topic].name, most);
    }
}

/* ---- rows that were refused */

static int input_of(const char *topic)
{
    for (int t = 0; t < SIM_TOPICS; t++)
        if (strcmp(sim_topics[t].name, topic) == 0)
            return sim_topics[t].input;
    return IN_NONE;
}

/* What is given up is known by its row: the store no longer has its number. */
static bool note_given_up(sim *s, int service, int shard, int input, sqlite3_stmt *row)
{
    bui_record record = { .value = sqlite3_column_blob(row, 2), .value_len = (size_t)sqlite3_column_bytes(row, 2) };
    if (s->given_up_count == SIM_GIVEN_UP)
        return false;
    sim_given_up *given = &s->given_up[s->given_up_count++];
    *given = (sim_given_up){
        .service = service, .shard = shard, .input = input, .number = sim_number_in(&record), .seq = sqlite3_column_int64(row, 3)
    };
    snprintf(given->row, sizeof given->row, "%s", (const char *)sqlite3_column_text(row, 0));
    snprintf(given->source, sizeof given->source, "%s/%d#%s %s/%d", s->service[service].name, shard, strchr(given->row, '@') + 1,
             (const char *)sqlite3_column_text(row, 1), sqlite3_column_int(row, 4));
    return true;
}

static void decide(sim *s, int service, int shard, const char *row, bool discard)
{
    char text[100], topic[64];
    int n = snprintf(text, sizeof text, "row-%s %s 0", discard ? "discard" : "retry", row);
    snprintf(topic, sizeof topic, "%s.redrive", s->service[service].name);
    sim_note(s, "operator: %s/%d: %s", topic, shard, text);
    const bus_header headers[] = { { "bus-command", text, (size_t)n }, { "bus-operator", "ann", 3 }, { "bus-reason", "why", 3 } };
    sim_append(s, topic, shard, &(bui_row){ .headers = headers, .header_count = 3 });
}

/* Rows are named by store, so that another incarnation's are not meant. Only events of ours are given up: a dead letter that
 * is, is lost with its event. */
static void operate_rows(sim *s, int service, int shard, int *left)
{
    sqlite3 *db = sim_reader(s, service, shard);
    sqlite3_stmt *query = NULL;
    if (!db)
        return;
    sqlite3_prepare_v2(
        db,
        "SELECT o.id || '@' || i.name, d.topic, o.value, o.seq, d.partition FROM bus_outbox o JOIN bus_destination d ON d.id = o.destination"
        " JOIN bus_incarnation i ON i.epoch = o.epoch WHERE o.state <> 0 ORDER BY o.id",
        -1, &query, NULL);
    while (query && sqlite3_step(query) == SQLITE_ROW) {
        int input = input_of((const char *)sqlite3_column_text(query, 1));
        bool skipped = sim_chance(s, 300), discard = sim_chance(s, 400);
        ++*left;
        if (skipped && !s->calm)
            continue;
        const char *row = (const char *)sqlite3_column_text(query, 0);
        discard = discard && (input == IN_ALPHA || input == IN_BETA) && sim_strikes(s, SIM_ROW_DISCARD) &&
                  note_given_up(s, service, shard, input, query);
        if (discard || s->calm || sim_strikes(s, SIM_ROW_RETRY))
            decide(s, service, shard, row, discard);
    }
    sqlite3_finalize(query);
}

int sim_rows(sim *s)
{
    int left = 0;
    for (int service = 0; service < SIM_SERVICES && s->refused; service++)
        for (int shard = 0; shard < SIM_SHARDS; shard++)
            operate_rows(s, service, shard, &left);
    sim_readers_close(s);
    return left;
}

void sim_limits_step(sim *s)
{
    sim_rows(s);
    limit_step(s);
}

/* ---- at the end */

/* Is the row that somebody wanted to give up among those that its store has given up? Another decision may have been first. */
bool sim_is_given_up(sim *s, const sim_given_up *given)
{
    sqlite3 *db = sim_reader(s, given->service, given->shard);
    sqlite3_stmt *query = NULL;
    if (!db)
        return false;
    sqlite3_prepare_v2(
        db,
        "SELECT 1 FROM bus_discarded WHERE id || substr(replace(source, '#', '@'), instr(source, '#')) = ?1 AND operator = 'ann'"
        " AND reason = 'why'",
        -1, &query, NULL);
    sqlite3_bind_text(query, 1, given->row, -1, SQLITE_STATIC);
    bool is = query && sqlite3_step(query) == SQLITE_ROW;
    sqlite3_finalize(query);
    return is;
}
