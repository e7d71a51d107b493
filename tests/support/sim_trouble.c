/* SPDX-License-Identifier: MIT
 * Trouble with logs and positions: partitions that fail for a while, logs that lose records, operators who set offsets. What
 * the protocol says to each: nothing is lost while a partition fails; who stands outside his log halts and says so, until
 * somebody sets his offset; what is skipped by that raises the gap alarm where events are numbered. */
#include "support/sim.h"

#include <bus/bus.h>
#include <string.h>

/* ---- for a while */

void sim_outage_step(sim *s)
{
    sim_outage outage = { .topic = sim_below(s, sim_chance(s, 700) ? SIM_INPUTS : SIM_TOPICS),
                          .kind = sim_chance(s, 500) ? LEADER_MOVES : FEW_REPLICAS };
    outage.partition = sim_below(s, sim_topics[outage.topic].partitions);
    outage.until_us = s->clock.mono_us + sim_below(s, 2000000) + 1000;
    int place = sim_below(s, SIM_OUTAGES);
    if (!sim_strikes(s, outage.kind == LEADER_MOVES ? SIM_LEADER_MOVES : SIM_FEW_REPLICAS))
        return;
    sim_note(s, "%s/%d %s", sim_topics[outage.topic].name, (int)outage.partition,
             outage.kind == LEADER_MOVES ? "moves to another leader" : "has too few replicas");
    s->outage[place] = outage;
}

/* ---- noise */

void sim_noise(sim *s)
{
    int topic = sim_below(s, SIM_TOPICS), kind = sim_below(s, 3);
    int32_t partition = sim_below(s, sim_topics[topic].partitions);
    if (sim_topics[topic].input < 0 || sim_topics[topic].reader < 0)
        return;
    if (kind == 0 && sim_strikes(s, SIM_MARKERS)) {
        bui_memory_append_control(s->cluster, sim_topics[topic].name, partition, 2);
    } else if (kind > 0 && sim_strikes(s, SIM_NOISE)) {
        const bus_header headers[] = {
            { "ce_specversion", "1.0", 3 }, { "ce_id", "noise", 5 }, { "ce_source", "zoo", 3 }, { "ce_type", "zoo.Roar", 8 }
        };
        const bui_row row = { .key = "k1",
                              .key_len = 2,
                              .value = kind == 1 ? NULL : "roar",
                              .value_len = kind == 1 ? 0 : 4,
                              .headers = headers,
                              .header_count = 4 };
        if (kind == 1 || sim_topics[topic].input != IN_SHOP) /* which takes every type */
            sim_append(s, sim_topics[topic].name, partition, &row);
    }
}

/* ---- operators */

/* Where the reader will go on: where somebody has set his offset and he does not know it yet, or where his store stands. */
static int64_t goes_on_at(sim *s, int topic, int32_t partition)
{
    const struct sim_topic *t = &sim_topics[topic];
    bui_offset set;
    if (bui_memory_committed(s->cluster, s->service[t->reader].name, t->name, partition, &set) && !*set.metadata &&
        !sim_stranger_set(s, topic, partition))
        return set.offset;
    return sim_position(s, t->reader, topic, partition);
}

void sim_stop_all(sim *s, int service)
{
    for (int p = 0; p < s->plan->processes; p++)
        if (s->process[service][p].host)
            sim_stop(s, &s->process[service][p]);
}

void sim_start_all(sim *s, int service, bui_accept accept)
{
    for (int p = 0; p < s->plan->processes; p++)
        sim_start_accepting(s, &s->process[service][p], accept);
    sim_rebalance(s, service);
}

/* kafka-consumer-groups --reset-offsets, on a service that is stopped, in a group that is empty. */
static void set_offset(sim *s, int topic, int32_t partition, int64_t to)
{
    const struct sim_topic *t = &sim_topics[topic];
    int64_t from = goes_on_at(s, topic, partition);
    if (from < 0)
        from = bui_memory_start(s->cluster, t->name, partition);
    sim_note(s, "operator: %s's offset of %s/%d is set from %lld to %lld", s->service[t->reader].name, t->name, (int)partition,
             (long long)from, (long long)to);
    sim_read_logs(s);
    sim_damaged(s, topic, partition, from, to);
    s->commands_skipped |= t->input < 0 && to > from;
    bui_memory_commit_foreign(s->cluster, s->service[t->reader].name, t->name, partition, to);
    s->stranger_set[topic][partition] = false;
}

static void reset(sim *s, int topic, int32_t partition)
{
    const struct sim_topic *t = &sim_topics[topic];
    int64_t low = bui_memory_start(s->cluster, t->name, partition), end = bui_memory_end(s->cluster, t->name, partition);
    int64_t to = low + sim_below(s, (int)(end - low) + 1);
    int64_t from = goes_on_at(s, topic, partition);
    sim_readers_close(s);
    if (to == from || low == end || !sim_group_is_plain(s, t->reader) ||
        !sim_strikes(s, to < from ? SIM_RESET_BACK : SIM_RESET_FORWARD))
        return;
    sim_stop_all(s, t->reader);
    set_offset(s, topic, partition, to);
    sim_readers_close(s);
    sim_start_all(s, t->reader, BUI_ACCEPT_NOTHING);
}

void sim_repair(sim *s, int service)
{
    sim_note(s, "operator: %s is repaired", s->service[service].name);
    sim_stranger_leaves(s);
    sim_stop_all(s, service);
    bui_accept accept = sim_group_is_plain(s, service) ? BUI_ACCEPT_NOTHING : BUI_ACCEPT_GROUP_OFFSETS;
    for (int t = 0; t < SIM_TOPICS; t++)
        for (int32_t p = 0; sim_topics[t].reader == service && p < sim_topics[t].partitions; p++) {
            int64_t next = goes_on_at(s, t, p), low = bui_memory_start(s->cluster, sim_topics[t].name, p);
            if (next > s->lost_from[t][p]) {
                /* What the new log held below its start has gone unread, wherever the reader of the old one stood. */
                sim_read_logs(s);
                if (low > s->lost_from[t][p])
                    sim_damaged(s, t, p, s->lost_from[t][p], low);
                set_offset(s, t, p, s->lost_from[t][p] > low ? s->lost_from[t][p] : low);
            } else if (next >= 0 && next < low)
                set_offset(s, t, p, low);
            else if (next >= 0 && (s->lost_from[t][p] < INT64_MAX || sim_stranger_set(s, t, p)))
                set_offset(s, t, p, next); /* read before, set back, and lost since: accepted where it stands; or put right */
            s->lost_from[t][p] = INT64_MAX;
        }
    sim_readers_close(s);
    s->broken[service] = false;
    sim_start_all(s, service, accept);
}

/* ---- logs that lose records */

static void expire(sim *s, int topic, int32_t partition)
{
    const struct sim_topic *t = &sim_topics[topic];
    int64_t low = bui_memory_start(s->cluster, t->name, partition), end = bui_memory_end(s->cluster, t->name, partition);
    int64_t to = end - sim_below(s, (int)(end - low) + 1);
    if (to == low || !sim_strikes(s, SIM_EXPIRED))
        return;
    sim_note(s, "%s/%d expires below %lld", t->name, (int)partition, (long long)to);
    sim_read_logs(s);
    bui_memory_truncate_before(s->cluster, t->name, partition, to);
    int64_t next = goes_on_at(s, topic, partition);
    sim_readers_close(s);
    if (next < 0) /* it will begin where the log does */
        sim_damaged(s, topic, partition, low, to);
    else if (next <= to) /* with `to` itself only the anchor has gone, but it may be asked for just then */
        s->broken[t->reader] = true;
}

static void copy_log(const bui_memory_cluster *from, bui_memory_cluster *to, const char *topic, int32_t partition, int less)
{
    bui_record record;
    for (int64_t at = bui_memory_start(from, topic, partition); at < bui_memory_end(from, topic, partition) - less; at++)
        if (bui_memory_read(from, topic, partition, at, &record))
            bui_memory_append(to, topic, partition,
                              &(bui_row){ .key = record.key,
                                          .key_len = record.key_len,
                                          .value = record.value,
                                          .value_len = record.value_len,
                                          .headers = record.headers,
                                          .header_count = record.header_count });
}

static void lose(sim *s, int topic, int32_t partition, int64_t from)
{
    sim_log_lost(s, topic, partition, from);
    sim_damaged(s, topic, partition, from, bui_memory_end(s->cluster, sim_topics[topic].name, partition));
    if (from < s->lost_from[topic][partition])
        s->lost_from[topic][partition] = from;
    s->broken[sim_topics[topic].reader] = true;
}

/* Acknowledged, and lost: a replica that lagged behind has become the leader. */
static void truncate(sim *s, int topic, int32_t partition)
{
    const struct sim_topic *t = &sim_topics[topic];
    int64_t low = bui_memory_start(s->cluster, t->name, partition), end = bui_memory_end(s->cluster, t->name, partition);
    int64_t from = end - 1 - sim_below(s, 3);
    bool silent = sim_chance(s, 300);
    if (from < low || !sim_strikes(s, SIM_UNCLEAN))
        return;
    sim_note(s, "%s/%d loses what it had from %lld on", t->name, (int)partition, (long long)from);
    sim_read_logs(s);
    lose(s, topic, partition, from);
    bui_memory_no_signs(s->cluster, silent && sim_strikes(s, SIM_NO_SIGN));
    bui_memory_truncate_after(s->cluster, t->name, partition, from);
    bui_memory_no_signs(s->cluster, false);
}

static bool rows_are_out(const sim *s)
{
    for (int service = 0; service < SIM_SERVICES; service++)
        for (int p = 0; p < s->plan->processes; p++)
            if (s->process[service][p].host && bui_memory_withheld(bui_host_transport(s->process[service][p].host)))
                return true;
    return false;
}

/* Deleted and made again between two fetches, and some of what it held sent again at once: the same bytes at the same places, but for the
 * last. Only where foreign producers write: nothing of ours is on its way. */
static void refill(sim *s, int topic)
{
    const struct sim_topic *t = &sim_topics[topic];
    bui_memory_cluster *former = bui_memory_cluster_new(&s->clock.clock);
    bool silent = sim_chance(s, 300);
    int less = sim_below(s, 3);
    if (!former || !sim_strikes(s, SIM_REFILLED))
        goto out;
    sim_note(s, "%s is deleted, created again and filled again", t->name);
    sim_read_logs(s);
    for (int32_t p = 0; p < t->partitions; p++)
        lose(s, topic, p, 0);
    bui_memory_topic(former, t->name, t->partitions);
    for (int32_t p = 0; p < t->partitions; p++)
        copy_log(s->cluster, former, t->name, p, 0);
    bui_memory_no_signs(s->cluster, silent && sim_strikes(s, SIM_NO_SIGN));
    bui_memory_topic_delete(s->cluster, t->name);
    bui_memory_topic(s->cluster, t->name, t->partitions);
    bui_memory_no_signs(s->cluster, false);
    for (int32_t p = 0; p < t->partitions; p++)
        copy_log(former, s->cluster, t->name, p, less);
out:
    bui_memory_cluster_free(former);
}

/* Not within a round trip of a row, and not at once: before it is there again those who find it gone have long been answered, and
 * those who have not looked have been idle for so long that their next row goes alone. */
static void recreate(sim *s, int topic)
{
    const struct sim_topic *t = &sim_topics[topic];
    if (rows_are_out(s) || !sim_strikes(s, SIM_RECREATED))
        return;
    s->gone_until_us[topic] = s->clock.mono_us + (s->limits.idle_recheck_ms + sim_below(s, 1000)) * 1000 + 1;
    sim_note(s, "%s is deleted, and created again at %lld", t->name, (long long)(s->gone_until_us[topic] - 1000000) / 1000);
    sim_read_logs(s);
    for (int32_t p = 0; p < t->partitions; p++)
        lose(s, topic, p, 0);
    bui_memory_topic_delete(s->cluster, t->name);
    bui_memory_topic(s->cluster, t->name, t->partitions);
}

void sim_trouble_step(sim *s)
{
    int topic = sim_below(s, sim_chance(s, 600) ? SIM_INPUTS : SIM_TOPICS), kind = sim_below(s, 100);
    int32_t partition = sim_below(s, sim_topics[topic].partitions);
    int service = sim_below(s, SIM_SERVICES);
    if (s->broken[service] && kind < 50)
        sim_repair(s, service);
    else if (sim_topics[topic].reader < 0 || !s->rough)
        return;
    else if (kind < 40)
        reset(s, topic, partition);
    else if (sim_topics[topic].loses && kind < 75)
        expire(s, topic, partition);
    else if (sim_topics[topic].loses && kind < 97)
        truncate(s, topic, partition);
    else if (sim_topics[topic].loses && sim_topics[topic].input == IN_SHOP)
        refill(s, topic);
    else if (sim_topics[topic].loses)
        recreate(s, topic);
}
