/* SPDX-License-Identifier: MIT
 * Copies and claims: operators replay ranges to services, also of what those have not handled yet, and people send events with
 * headers that claim to be commands. What the protocol says: a copy has its effect beside its event's (table `again`), sends nothing,
 * and only after it; a claim says nothing. */
#include "support/sim.h"

#include "ops/commands.h"
#include <bus/bus.h>
#include <string.h>

/* Whether its reader has come by this offset; if not the copy comes early. */
static bool is_early(sim *s, int topic, int32_t partition, int64_t offset)
{
    return sim_position(s, sim_topics[topic].reader, topic, partition) <= offset;
}

static void send_copy(sim *s, const bui_record *record, const char *run, int seq, int service)
{
    char topic[64];
    bui_arena arena;
    bus_header *headers;
    size_t count;
    bus_error err = { 0 };
    bui_command command = { .kind = BUI_COMMAND_REPLAY, .id = run, .by = "ada@pc" };
    snprintf(topic, sizeof topic, "%s.redrive", s->service[service].name);
    bui_copy_hop hop = { .run = run, .topic = topic, .partition = record->partition % SIM_SHARDS, .seq = seq };
    bui_arena_init(&arena, 0);
    if (bui_replay_headers(record, &command, &hop, false, &arena, &headers, &count, &err) != BUS_OK) {
        sim_fail(s, "a copy has no headers: %s", err.text);
    } else {
        const bui_row row = { .key = record->key,
                              .key_len = record->key_len,
                              .value = record->value,
                              .value_len = record->value_len,
                              .headers = headers,
                              .header_count = count };
        sim_append(s, topic, hop.partition, &row);
    }
    bui_arena_free(&arena);
}

/* `bus replay TOPIC FROM:TO -p PARTITION --to-service ITS-READER` */
void sim_replay(sim *s)
{
    int topic = sim_below(s, SIM_REPLIES_FROM), most = 1 + sim_below(s, 4);
    const struct sim_topic *t = &sim_topics[topic];
    int32_t partition = sim_below(s, t->partitions);
    int64_t low = bui_memory_start(s->cluster, t->name, partition), end = bui_memory_end(s->cluster, t->name, partition);
    int64_t offset = end - 1 - sim_below(s, 12);
    char run[24];
    bui_record record;
    int sent = 0;
    offset = offset < low ? low : offset;
    snprintf(run, sizeof run, "run-%d", s->step);
    for (; offset < end && sent < most; offset++) {
        if (!bui_memory_read(s->cluster, t->name, partition, offset, &record) || sim_number_in(&record) < 0 ||
            sim_is_forged(s, &record) || !sim_strikes(s, is_early(s, topic, partition, offset) ? SIM_REPLAY_EARLY : SIM_REPLAY))
            continue;
        sim_note(s, "operator: %s/%d@%lld, event %d, is replayed to %s", t->name, (int)partition, (long long)offset,
                 sim_number_in(&record), s->service[t->reader].name);
        send_copy(s, &record, run, ++sent, t->reader);
    }
    sim_readers_close(s);
}

size_t sim_claims(sim *s, bus_header out[3])
{
    static const char *const places[] = { "alpha.events/0/0/1767225600000", "shop.returns/1/3/1767225600000",
                                          "beta.events/2/7/1767225600000" };
    static const char *const commands[] = { "redrive 00000000-0000-4000-8000-000000000000 1", "replay run-1 0" };
    const char *place = places[sim_below(s, 3)], *command = commands[sim_below(s, 2)];
    size_t count = (size_t)sim_below(s, 2) + 2;
    if (!sim_strikes(s, SIM_CLAIM))
        return 0;
    out[0] = (bus_header){ "bus-orig", place, strlen(place) };
    out[1] = (bus_header){ "bus-command", command, strlen(command) };
    out[2] = (bus_header){ "bus-letter", "00000000-0000-4000-8000-000000000000 1 open", 43 };
    return count;
}
