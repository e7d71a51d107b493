/* SPDX-License-Identifier: MIT
 * The simulated cluster: its topics, and what becomes of each row that is sent and each fetch. */
#include "support/sim.h"

#include <bus/bus.h>
#include <string.h>

const struct sim_topic sim_topics[SIM_TOPICS] = {
    { "shop.inbox", 4, ALPHA, IN_SHOP, true },           { "shop.returns", 2, ALPHA, IN_SHOP, true },
    { "alpha.events", 4, BETA, IN_ALPHA, true },         { "beta.events", 4, BETA, IN_BETA, true },
    { "gateway.replies", 1, NOBODY, IN_REPLIES, false }, { "alpha.retry.200ms", 2, ALPHA, IN_NONE, true },
    { "alpha.retry.1s", 2, ALPHA, IN_NONE, true },       { "beta.retry.200ms", 2, BETA, IN_NONE, true },
    { "beta.retry.1s", 4, BETA, IN_NONE, true },         { "alpha.redrive", 2, ALPHA, IN_NONE, false },
    { "beta.redrive", 2, BETA, IN_NONE, false },         { "alpha.dlq", 2, NOBODY, IN_NONE, false },
    { "beta.dlq", 2, NOBODY, IN_NONE, false },
};

static const sim_outage *outage_of(const sim *s, const char *topic, int32_t partition)
{
    for (int i = 0; i < SIM_OUTAGES; i++) {
        const sim_outage *outage = &s->outage[i];
        if (outage->kind && outage->partition == partition && outage->until_us > s->clock.mono_us &&
            strcmp(sim_topics[outage->topic].name, topic) == 0)
            return outage;
    }
    return NULL;
}

static bool gone(const sim *s, const char *topic)
{
    for (int i = 0; i < SIM_TOPICS; i++)
        if (s->gone_until_us[i] > s->clock.mono_us && strcmp(sim_topics[i].name, topic) == 0)
            return true;
    return false;
}

/* Not the leader, and too few replicas before the row was appended: it is not there. A time-out, and too few of them
 * after: it is there, and its producer is told that it is not. */
static bui_memory_fate in_outage(sim *s, const sim_outage *outage)
{
    bool moves = outage->kind == LEADER_MOVES, written = sim_chance(s, 400), waits = sim_chance(s, 300);
    if (waits)
        return BUI_FATE_HOLD;
    if (written && sim_strikes(s, moves ? SIM_TIMED_OUT : SIM_APPENDED))
        return BUI_FATE_LOST_ACK;
    return sim_strikes(s, moves ? SIM_NOT_LEADER : SIM_NOT_APPENDED) ? BUI_FATE_FAILED : BUI_FATE_ACK;
}

/* FALSE_ACK is given where a real broker gives it: to a producer it has no sequence numbers of yet. The rule that the first
 * row goes alone keeps that harmless. RECORD never hits a row that is alone: it would be rejected for good. */
static bui_memory_fate judge(void *opaque, const bui_row *row, bui_channel channel)
{
    sim *s = opaque;
    const bui_memory_flight *flight = bui_memory_judging(s->cluster);
    static const struct {
        int per_mille;
        sim_fault fault;
        bui_memory_fate fate;
    } fates[] = { { 150, SIM_HELD, BUI_FATE_HOLD },          { 30, SIM_LOST_ACK, BUI_FATE_LOST_ACK },
                  { 20, SIM_DUPLICATE, BUI_FATE_DUPLICATE }, { 20, SIM_UNSURE, BUI_FATE_UNSURE },
                  { 20, SIM_FAILED, BUI_FATE_FAILED },       { 10, SIM_TOPIC, BUI_FATE_TOPIC },
                  { 10, SIM_FATAL, BUI_FATE_FATAL },         { 60, SIM_RECORD, BUI_FATE_RECORD },
                  { 30, SIM_FALSE_ACK, BUI_FATE_FALSE_ACK } };
    if (s->calm)
        return BUI_FATE_ACK;
    if (gone(s, row->topic))
        return BUI_FATE_TOPIC;
    const sim_outage *outage = outage_of(s, row->topic, row->partition);
    if (outage)
        return in_outage(s, outage);
    int dice = sim_below(s, 1000);
    for (size_t i = 0; i < sizeof fates / sizeof *fates; dice -= fates[i++].per_mille) {
        bui_memory_fate fate = fates[i].fate;
        if (dice >= fates[i].per_mille)
            continue;
        if ((fate == BUI_FATE_RECORD && (flight->out == 0 || channel != BUI_MAIN)) ||
            (fate == BUI_FATE_FALSE_ACK && flight->established) || !sim_strikes(s, fates[i].fault))
            break;
        sim_note(s, "    %s: row %lld to %s/%d", sim_fault_name(fates[i].fault), (long long)row->id, row->topic,
                 (int)row->partition);
        return fate;
    }
    return BUI_FATE_ACK;
}

static size_t meter(void *opaque, const char *topic, int32_t partition, size_t ready)
{
    sim *s = opaque;
    if (s->calm)
        return ready;
    if (gone(s, topic))
        return 0;
    const sim_outage *outage = outage_of(s, topic, partition);
    if (outage && outage->kind == LEADER_MOVES)
        return 0;
    size_t most = sim_chance(s, 200) ? 0 : (size_t)sim_below(s, (int)ready) + 1;
    return most < ready && sim_strikes(s, SIM_SHORT_FETCH) ? most : ready;
}

bool sim_cluster_make(sim *s)
{
    s->cluster = bui_memory_cluster_new(&s->clock.clock);
    for (size_t i = 0; s->cluster && i < SIM_TOPICS; i++)
        if (bui_memory_topic(s->cluster, sim_topics[i].name, sim_topics[i].partitions) != BUS_OK)
            return false;
    if (!s->cluster)
        return false;
    bui_memory_judge_by(s->cluster, judge, s);
    bui_memory_meter_by(s->cluster, meter, s);
    bui_memory_zombies_keep(s->cluster, true);
    return true;
}
