/* SPDX-License-Identifier: MIT
 * Forgers: who may write to a topic and has no key. In some histories all who belong to the simulation sign what they send;
 * then others send made-up hops, copies in other places, commands and changes of dead letters, none of which may have any
 * effect. */
#include "support/sim.h"

#include "codec/envelope.h"
#include <bus/bus.h>
#include <stdlib.h>
#include <string.h>

#define KEY "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define MOST 40

void sim_make_keys(sim *s)
{
    static const char file[] = "sim " KEY " write\n";
    bus_error err = { 0 };
    if (sim_chance(s, 400) && bui_keys_new(file, sizeof file - 1, "sim", "*", &s->keys, &err) != BUS_OK)
        sim_fail(s, "keys: %s", err.text);
    s->limits.keys = s->keys;
}

int64_t sim_append(sim *s, const char *topic, int32_t partition, const bui_row *row)
{
    char mac[BUI_MAC_TEXT];
    bus_header headers[MOST + 1];
    bui_row out = *row;
    const bui_sealed sealed = { .topic = topic,
                                .partition = partition,
                                .key = row->key,
                                .key_len = row->key_len,
                                .value = row->value,
                                .value_len = row->value_len,
                                .headers = row->headers,
                                .header_count = row->header_count };
    size_t len = bui_mac_write(s->keys, &sealed, mac);
    if (len && row->header_count <= MOST) {
        memcpy(headers, row->headers, row->header_count * sizeof *headers);
        headers[row->header_count] = (bus_header){ BUI_HEADER_MAC, mac, len };
        out.headers = headers;
        out.header_count++;
    }
    return bui_memory_append(s->cluster, topic, partition, &out);
}

bool sim_is_forged(const sim *s, const bui_record *record)
{
    size_t len = strlen(record->topic);
    bool commands = len > 8 && strcmp(record->topic + len - 8, ".redrive") == 0;
    return !bui_record_authentic(s->keys, record, commands ? BUI_MAC_COMMANDER : NULL, NULL);
}

/* What somebody can read there, with its headers but for the signature. */
static bool look(sim *s, const char *topic, int32_t partition, int dice, bui_record *record, bus_header headers[MOST],
                 bui_row *row)
{
    int64_t low = bui_memory_start(s->cluster, topic, partition), end = bui_memory_end(s->cluster, topic, partition);
    if (low == end || !bui_memory_read(s->cluster, topic, partition, low + dice % (end - low), record) ||
        record->header_count > MOST - 2)
        return false;
    *row = (bui_row){
        .key = record->key, .key_len = record->key_len, .value = record->value, .value_len = record->value_len, .headers = headers
    };
    for (size_t i = 0; i < record->header_count; i++)
        if (strcmp(record->headers[i].name, BUI_HEADER_MAC) != 0)
            headers[row->header_count++] = record->headers[i];
    return true;
}

/* An event once more, under a number or an id of his making: believed, it has a second effect, and the real one with that number none. */
static void forge_hop(sim *s, int topic, int32_t partition, int dice)
{
    bui_record record;
    bus_header headers[MOST];
    bui_row row;
    bui_envelope envelope;
    char text[400];
    const char *name = sim_topics[topic].name;
    if (!look(s, name, partition, dice, &record, headers, &row) ||
        bui_envelope_read(headers, row.header_count, &envelope, NULL) != BUS_OK || !sim_strikes(s, SIM_FORGED_HOP))
        return;
    if (envelope.hop.source.at) {
        envelope.hop.seq += 1 + dice % 3;
        size_t len = bui_hop_write(&envelope.hop, text, sizeof text);
        headers[row.header_count++] = (bus_header){ "bus-hop", text, len };
    } else {
        int len = snprintf(text, sizeof text, "made-up-%d", dice);
        headers[row.header_count++] = (bus_header){ "ce_id", text, (size_t)len };
    }
    sim_note(s, "a forger: %s/%d, %s", name, (int)partition, text);
    bui_memory_append(s->cluster, name, partition, &row);
}

static void copy(sim *s, int topic, int32_t partition, int dice)
{
    bui_record record;
    bus_header headers[MOST];
    bui_row row;
    int32_t other = (partition + 1) % sim_topics[topic].partitions;
    const char *name = sim_topics[topic].name;
    if (other == partition || !look(s, name, partition, dice, &record, headers, &row) || sim_is_forged(s, &record) ||
        !sim_strikes(s, SIM_COPIED))
        return;
    sim_note(s, "a copy of %s/%d@%lld, to %s/%d", name, (int)partition, (long long)record.offset, name, (int)other);
    row.headers = record.headers;
    row.header_count = record.header_count;
    bui_memory_append(s->cluster, name, other, &row);
}

/* About any dead letter: a command, or a change of it in the topic itself. */
static void command(sim *s, int service, int32_t shard, int dice)
{
    bui_record record;
    bus_header headers[MOST];
    bui_row row;
    bui_envelope envelope;
    char topic[64], text[100];
    snprintf(topic, sizeof topic, "%s.dlq", s->service[service].name);
    if (!look(s, topic, shard, dice, &record, headers, &row) ||
        bui_envelope_read(headers, row.header_count, &envelope, NULL) != BUS_OK || !sim_strikes(s, SIM_FORGED_COMMAND))
        return;
    if (dice % 2) {
        int len = snprintf(text, sizeof text, "%.*s %d discarded", (int)envelope.letter_id.len, envelope.letter_id.at,
                           dice % 4 == 1 ? envelope.letter_round : 2147483647);
        row = (bui_row){ .headers = headers, .header_count = 1 };
        headers[0] = (bus_header){ "bus-letter", text, (size_t)len };
    } else {
        snprintf(topic, sizeof topic, "%s.redrive", s->service[service].name);
        int len = snprintf(text, sizeof text, "%s %.*s %d", dice % 4 ? "discard" : "redrive", (int)envelope.letter_id.len,
                           envelope.letter_id.at, envelope.letter_round);
        headers[row.header_count++] = (bus_header){ "bus-command", text, (size_t)len };
    }
    sim_note(s, "a forger: %s/%d, %s", topic, (int)shard, text);
    bui_memory_append(s->cluster, topic, shard, &row);
}

void sim_forge(sim *s)
{
    int kind = sim_below(s, 3), topic = sim_below(s, SIM_INPUTS), service = sim_below(s, SIM_SERVICES),
        dice = sim_below(s, 100000);
    int32_t partition = sim_below(s, sim_topics[topic].partitions), shard = sim_below(s, SIM_SHARDS);
    if (!s->keys)
        return;
    if (kind == 2)
        command(s, service, shard, dice);
    else if (sim_topics[topic].reader < 0)
        return;
    else if (kind == 0)
        forge_hop(s, topic, partition, dice);
    else
        copy(s, topic, partition, dice);
}
