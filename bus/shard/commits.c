/* SPDX-License-Identifier: MIT
 * Commits: what the metadata of a committed offset says, and whether an offset that is not ours counts.
 *
 * Ours say "<store id> <opens> <age> <flags>", " transacted" once bus_transact has written, which is for a rebuild, and for
 * people " waiting=<parked events>/<held keys>/<delayed events> of=<partitions committed in one>". Older versions wrote the
 * first two alone. Flags: "f": foreign members were in the group when this was written; "-": none. What is not known in it is
 * skipped.
 *
 * An offset without our metadata was committed by Kafka's own tool, which the broker lets do so only while the group is empty,
 * or by a stranger in the group. The tool is obeyed. A stranger is not: its offset would skip events that nobody handled. */
#include "shard/internal.h"

#include "base/error.h"
#include <stdio.h>
#include <string.h>

bool bui_commit_read(const char *metadata, bui_commit_text *out)
{
    long long opens, age;
    char flags[sizeof out->flags];
    if (strlen(metadata) < 38 || metadata[36] != ' ')
        return false;
    int n = sscanf(metadata + 37, "%lld %lld %7s", &opens, &age, flags);
    if (n < 1)
        return false;
    memcpy(out->store_id, metadata, 36);
    out->store_id[36] = 0;
    out->opens = opens;
    out->age = n > 1 ? age : -1;
    snprintf(out->flags, sizeof out->flags, "%s", n > 2 ? flags : "");
    return true;
}

void bui_commit_write(const bui_shard *shard, char out[BUI_COMMIT_TEXT])
{
    const bui_meta *meta = bui_store_meta(shard->store);
    bui_key_totals keys = bui_key_totals_of(shard->store);
    snprintf(out, BUI_COMMIT_TEXT, "%s %lld %lld %s%s waiting=%lld/%lld/%lld of=%zu", meta->store_id, (long long)meta->opens,
             (long long)meta->age, shard->commits.company.strangers > 0 ? "f" : "-", meta->transacted ? " transacted" : "",
             (long long)keys.parked, (long long)keys.held,
             (long long)(bui_schedule_next_due(shard->store) == INT64_MAX ? 0 : bui_schedule_count(shard->store)),
             shard->lane_count);
}

bool bui_commit_waiting(const char *metadata, bui_waiting *out)
{
    long long parked, held, delayed, partitions = 0;
    const char *at = strstr(metadata, " waiting=");
    if (!at || sscanf(at, " waiting=%lld/%lld/%lld of=%lld", &parked, &held, &delayed, &partitions) < 3)
        return false;
    *out = (bui_waiting){ .parked = parked, .held = held, .delayed = delayed, .partitions = partitions };
    return true;
}

bool bui_commit_last(const bui_offset *committed, size_t count, bui_commit_text *out)
{
    for (size_t i = 0; i < count; i++) /* the lead topic's is first, and all are written together */
        if (bui_commit_read(committed[i].metadata, out))
            return true;
    return false;
}

void bui_commit_look_around(bui_shard *shard)
{
    bui_transport *transport = shard->options.transport;
    int before = shard->commits.company.strangers;
    shard->commits.company = (bui_company){ 0 };
    if (transport->ops->company)
        transport->ops->company(transport, (int)shard->options.limits.broker_timeout_ms, &shard->commits.company);
    bui_gauge_set(&shard->metrics.strangers, shard->commits.company.strangers);
    if (shard->commits.company.strangers && !before)
        bui_log(BUS_WARN, shard->where, "strangers",
                "%d member(s) of the group %s are not processes of this service, the first "
                "is %s: offsets that they commit do not count. Have them use another group, or none (kcat -C)",
                shard->commits.company.strangers, shard->name, shard->commits.company.who);
}

/* Nobody can tell whose it is: a person decides. */
static bus_status ask(bui_shard *shard, const bui_offset *committed, int64_t next, bus_error *err)
{
    return bui_fail(err, BUS_REFUSED,
                    "%s/%d: the group holds offset %lld, which %s did not commit; its store is at %lld%s. Members that are "
                    "not processes of this service were in the group while it last ran, so it may be theirs. If you have set it, "
                    "start once with "
                    "--accept=group-offsets; if not, start once with --accept=store-offsets, and nothing is skipped or repeated",
                    committed->topic, committed->partition, (long long)committed->offset, shard->name, (long long)next,
                    next < 0 ? " (it has never read there)" : "");
}

bus_status bui_commit_counts(bui_shard *shard, const bui_offset *committed, int64_t next, bool *counts, bus_error *err)
{
    bui_accept accept = shard->claimed ? BUI_ACCEPT_NOTHING : shard->options.accept; /* said of the start alone */
    bool held =
        shard->claimed && shard->commits.claimed_in == shard->commits.company.membership; /* the group was never empty since */
    /* A service that the group has never heard of takes over what it finds. One that has only not read this topic before does not. */
    *counts = accept == BUI_ACCEPT_GROUP_OFFSETS || (next < 0 && !*shard->commits.last.store_id);
    if (*counts)
        return BUS_OK;
    if (accept != BUI_ACCEPT_STORE_OFFSETS && !held && !shard->commits.company.had_strangers) {
        if (strchr(shard->commits.last.flags, 'f') && committed->offset != next)
            return ask(shard, committed, next, err);
        *counts = !strchr(shard->commits.last.flags, 'f');
        return BUS_OK;
    }
    if (committed->offset == next)
        return BUS_OK;
    bui_count(&shard->metrics.offsets_ignored, 1);
    bui_log(BUS_WARN, shard->where, "offset_ignored",
            "%s/%d: someone committed offset %lld, %s: it does not count, going on at "
            "%lld. To set offsets, stop every process of the service, then use Kafka's own tool",
            committed->topic, committed->partition, (long long)committed->offset,
            accept == BUI_ACCEPT_STORE_OFFSETS ? "and --accept=store-offsets was given"
                                               : "while members of this service were in the group",
            (long long)next);
    return BUS_OK;
}
