/* SPDX-License-Identifier: MIT
 * The ledger: each record that was ever written, also when its log has lost it since, and what was done to partitions that
 * their readers cannot be spared. From it sim_check.c knows how often each event may have had its effect. */
#include "support/sim.h"

#include "base/id.h"
#include "codec/envelope.h"
#include "inventory.events.h"
#include "payment.events.h"
#include <bus/bus.h>
#include <stdlib.h>
#include <string.h>

/* What is known of one (source, topic, partition) while its log is read. */
typedef struct sim_source {
    int64_t seen;
    uint64_t hash[512];
} sim_source;

/* A number is missing, and somebody has wanted to give its row up. */
static bool given_up(const sim *s, const char *source, int64_t seq)
{
    for (int i = 0; i < s->given_up_count; i++)
        if (s->given_up[i].seq == seq && strcmp(s->given_up[i].source, source) == 0)
            return true;
    return false;
}

/* Answers and retry records that a broker refuses are passed by, and may come later. */
static bool may_be_passed_by(const sim *s, const char *topic)
{
    return s->result->count[SIM_LIMIT] && (strstr(topic, ".retry.") || strstr(topic, ".replies"));
}

/* R2 and R3: a source's rows first appear in order, without a gap, and a number never changes its content. */
static void check_hop(sim *s, const bui_record *record, const bui_envelope *envelope)
{
    char name[512];
    int len = snprintf(name, sizeof name, "%.*s %s/%d", (int)envelope->hop.source.len, envelope->hop.source.at, record->topic,
                       (int)record->partition);
    sim_source *source = bui_map_get(&s->sources, name, (size_t)len);
    if (!source) {
        source = calloc(1, sizeof *source);
        bui_map_put(&s->sources, name, (size_t)len, source);
    }
    int64_t seq = envelope->hop.seq;
    while (seq > source->seen + 1 && given_up(s, name, source->seen + 1))
        source->seen++;
    uint64_t hash = bui_hash(record->value, record->value_len, bui_hash(envelope->id.at, envelope->id.len, 1));
    bool gap = seq > source->seen + 1 && !may_be_passed_by(s, record->topic);
    if (gap || seq < 1 || seq >= 512)
        sim_fail(s, "%s@%lld: seq %lld follows %lld", name, (long long)record->offset, (long long)seq, (long long)source->seen);
    else if (source->hash[seq] && source->hash[seq] != hash) /* 0: one that was passed by, or given up, and comes all the same */
        sim_fail(s, "%s@%lld: seq %lld has another content than before", name, (long long)record->offset, (long long)seq);
    else
        source->hash[seq] = hash;
    source->seen = seq > source->seen ? seq : source->seen;
}

int sim_number_in(const bui_record *record)
{
    char text[16] = "";
    if (record->value_len < 10) {
        memcpy(text, record->value ? record->value : "", record->value_len);
    } else {
        bus_string id = { 0 };
        const bus_type *types[] = { &inventory_ReleaseStock_type, &payment_RefundPayment_type };
        for (int i = 0; i < 2 && !id.at; i++) {
            const void *decoded = NULL;
            if (bus_decode(types[i], record->value, record->value_len, &decoded, NULL) == BUS_OK) {
                id = i == 0 ? ((const inventory_ReleaseStock *)decoded)->order_id
                            : ((const payment_RefundPayment *)decoded)->order_id;
                memcpy(text, id.at, id.len < 15 ? id.len : 15);
                bus_body_free(decoded);
            }
        }
    }
    int number = text[0] ? atoi(text) : -1;
    return number < SIM_NUMBERS ? number : -1;
}

int sim_number_of_letter(sim *s, const bui_record *record)
{
    bui_envelope envelope;
    if (record->value || bui_envelope_read(record->headers, record->header_count, &envelope, NULL) != BUS_OK ||
        envelope.body.kind != BUI_BODY_AT)
        return sim_number_in(record);
    sim_read_logs(s);
    for (size_t i = s->records; i-- > 0;) {
        const sim_record *known = &s->record[i];
        const char *topic = sim_topics[known->topic].name;
        bool there = known->partition == envelope.body.partition && known->offset == envelope.body.offset &&
                     strlen(topic) == envelope.body.topic.len &&
                     memcmp(topic, envelope.body.topic.at, envelope.body.topic.len) == 0;
        if (envelope.id.len ? known->id == bui_hash(envelope.id.at, envelope.id.len, 2) : there)
            return known->number;
    }
    return -1;
}

static void enter(sim *s, int topic, const bui_record *record)
{
    bui_envelope envelope;
    bus_error err = { 0 };
    if (sim_is_forged(s, record))
        return;
    bus_status status = sim_topics[topic].input < 0
                            ? bui_envelope_read(record->headers, record->header_count, &envelope, &err)
                            : bui_envelope_read_event(record->headers, record->header_count, &envelope, &err);
    if (status != BUS_OK) {
        sim_fail(s, "%s/%d@%lld: %s", record->topic, (int)record->partition, (long long)record->offset, err.text);
        return;
    }
    if (envelope.hop.source.at)
        check_hop(s, record, &envelope);
    if (sim_topics[topic].input < 0)
        return;
    sim_record entry = { .topic = topic,
                         .partition = record->partition,
                         .offset = record->offset,
                         .number = sim_number_in(record),
                         .gone_at = INT64_MAX };
    entry.id = bui_hash(envelope.id.at, envelope.id.len, 2);
    entry.event =
        envelope.hop.source.at ? bui_hash(envelope.hop.source.at, envelope.hop.source.len, (uint64_t)envelope.hop.seq) : entry.id;
    if (entry.number < 0 && !envelope.hop.source.at)
        return; /* some other producer's */
    if (entry.number < 0) {
        sim_fail(s, "%s/%d@%lld is no event of ours", record->topic, (int)record->partition, (long long)record->offset);
        return;
    }
    if (s->records == s->records_cap) {
        s->records_cap = s->records_cap ? s->records_cap * 2 : 256;
        s->record = realloc(s->record, s->records_cap * sizeof *s->record);
    }
    entry.at = ++s->ledger_time;
    s->record[s->records++] = entry;
}

void sim_read_logs(sim *s)
{
    bui_record record;
    for (int t = 0; t < SIM_TOPICS; t++)
        for (int32_t p = 0; p < sim_topics[t].partitions; p++)
            for (int64_t *next = &s->entered[t][p]; *next < bui_memory_end(s->cluster, sim_topics[t].name, p); ++*next)
                if (bui_memory_read(s->cluster, sim_topics[t].name, p, *next, &record))
                    enter(s, t, &record);
}

void sim_damaged(sim *s, int topic, int32_t partition, int64_t from, int64_t to)
{
    if (sim_topics[topic].input < 0 || from == to || s->damages == SIM_DAMAGES)
        return;
    s->damage[s->damages++] = (sim_damage){ topic, partition, from, to, ++s->ledger_time };
}

void sim_log_lost(sim *s, int topic, int32_t partition, int64_t from)
{
    s->log_lost = true;
    int64_t now = ++s->ledger_time;
    for (size_t i = 0; i < s->records; i++) {
        sim_record *record = &s->record[i];
        if (record->topic == topic && record->partition == partition && record->offset >= from && record->gone_at > now)
            record->gone_at = now;
    }
    s->entered[topic][partition] = from;
}

static bool same_event(const sim_record *a, const sim_record *b)
{
    return a->topic == b->topic && a->partition == b->partition && a->event == b->event;
}

bool sim_first_of_its_event(const sim *s, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (same_event(&s->record[i], &s->record[index]))
            return false;
    return true;
}

/* A position went back: was the event read before, and is it, or a copy of it, read once more? */
static bool read_again(const sim *s, const sim_damage *damage, const sim_record *event)
{
    bool before = false, after = false;
    for (size_t i = 0; i < s->records; i++) {
        const sim_record *record = &s->record[i];
        if (!same_event(record, event))
            continue;
        /* the offset of a record that its log has lost says nothing: others have it now */
        before = before || (record->at < damage->at && (record->offset < damage->from || record->gone_at <= damage->at));
        after = after || (record->gone_at > damage->at && record->offset >= damage->to);
    }
    return before && after;
}

/* A position went forward, or records went: did one of the event stand there? */
static bool passed_over(const sim *s, const sim_damage *damage, const sim_record *event)
{
    for (size_t i = 0; i < s->records; i++)
        if (same_event(&s->record[i], event) && s->record[i].at < damage->at && s->record[i].offset >= damage->from &&
            s->record[i].offset < damage->to)
            return true;
    return false;
}

void sim_weigh_damage(const sim *s, sim_bounds *out)
{
    memset(out, 0, sizeof *out);
    for (int d = 0; d < s->damages; d++) {
        const sim_damage *damage = &s->damage[d];
        int input = sim_topics[damage->topic].input;
        for (size_t i = 0; i < s->records; i++) {
            const sim_record *record = &s->record[i];
            if (record->topic != damage->topic || record->partition != damage->partition || !sim_first_of_its_event(s, i))
                continue;
            if (damage->to < damage->from)
                out->again[input][record->number] += read_again(s, damage, record);
            else
                out->missed[input][record->number] += passed_over(s, damage, record);
        }
    }
}
