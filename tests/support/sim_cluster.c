/* SPDX-License-Identifier: MIT
 * The simulated cluster: its topics, and what becomes of each row that is sent and each fetch. */
#include "support/sim.h"

#include <bus/bus.h>

/* FALSE_ACK is given where a real broker gives it: to a producer it has no sequence numbers of yet. The rule that the first
 * row goes alone keeps that harmless. RECORD never hits a row that is alone: it would be rejected for good. */
static bus_memory_fate judge(void *opaque, const bus_row *row, bus_channel channel)
{
    sim *s = opaque;
    const bus_memory_flight *flight = bus_memory_judging(s->cluster);
    static const struct { int per_mille; sim_fault fault; bus_memory_fate fate; } fates[] = {
        { 150, SIM_HELD, BUS_FATE_HOLD }, { 30, SIM_LOST_ACK, BUS_FATE_LOST_ACK }, { 20, SIM_DUPLICATE, BUS_FATE_DUPLICATE },
        { 20, SIM_UNSURE, BUS_FATE_UNSURE }, { 20, SIM_FAILED, BUS_FATE_FAILED }, { 10, SIM_TOPIC, BUS_FATE_TOPIC },
        { 10, SIM_FATAL, BUS_FATE_FATAL }, { 60, SIM_RECORD, BUS_FATE_RECORD }, { 30, SIM_FALSE_ACK, BUS_FATE_FALSE_ACK } };
    if (s->calm)
        return BUS_FATE_ACK;
    int dice = sim_below(s, 1000);
    for (size_t i = 0; i < sizeof fates / sizeof *fates; dice -= fates[i++].per_mille) {
        bus_memory_fate fate = fates[i].fate;
        if (dice >= fates[i].per_mille)
            continue;
        if ((fate == BUS_FATE_RECORD && (flight->out == 0 || channel != BUS_MAIN)) ||
            (fate == BUS_FATE_FALSE_ACK && flight->established) || !sim_strikes(s, fates[i].fault))
            break;
        sim_note(s, "    %s: row %lld to %s/%d", sim_fault_name(fates[i].fault), (long long)row->id, row->topic, (int)row->partition);
        return fate;
    }
    return BUS_FATE_ACK;
}

static size_t meter(void *opaque, const char *topic, int32_t partition, size_t ready)
{
    sim *s = opaque;
    (void)topic;
    (void)partition;
    if (s->calm)
        return ready;
    size_t most = sim_chance(s, 200) ? 0 : (size_t)sim_below(s, (int)ready) + 1;
    return most < ready && sim_strikes(s, SIM_SHORT_FETCH) ? most : ready;
}

bool sim_cluster_make(sim *s)
{
    static const struct { const char *name; int partitions; } topics[] = {
        { "shop.inbox", 4 }, { "alpha.events", 4 }, { "beta.events", 4 }, { "alpha.redrive", 2 }, { "alpha.dlq", 2 },
        { "alpha.retry.200ms", 2 }, { "alpha.retry.1s", 2 }, { "beta.redrive", 2 }, { "beta.dlq", 2 }, { "beta.retry.200ms", 2 },
        { "beta.retry.1s", 4 } };
    s->cluster = bus_memory_cluster_new(&s->clock.clock);
    for (size_t i = 0; s->cluster && i < sizeof topics / sizeof *topics; i++)
        if (bus_memory_topic(s->cluster, topics[i].name, topics[i].partitions))
            return false;
    if (!s->cluster)
        return false;
    bus_memory_judge_by(s->cluster, judge, s);
    bus_memory_meter_by(s->cluster, meter, s);
    bus_memory_zombies_keep(s->cluster, true);
    return true;
}
