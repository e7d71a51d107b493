/* SPDX-License-Identifier: MIT
 * Rebuild of one shard: a fresh store is made by the replay transport, then it gets the old store's identity and loses the emitted
 * events that Kafka already has. */
#include "base/config.h"
#include "base/error.h"
#include "base/log.h"
#include "service/leftover.h"
#include "service/rebuild_internal.h"
#include "service/replay.h"
#include "service/runner.h"
#include "shard/shard.h"
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STANDSTILL_US (INT64_C(24) * 3600 * 1000 * 1000) /* of virtual time without a record taken: it waits for ever */

/* ---- replaying */

static bool idle(const bus_shard *shard)
{
    return bus_gauge_read(&bus_shard_metrics_of(shard)->outbox_rows) == 0;
}

/* Steps until every record has been taken and worked through. While the shard only waits (a retry that is due later, a pause) its
 * clock is moved on. */
static bus_status work(rebuild *r, bus_shard *shard, bus_replay *replay, bus_virtual_clock *clock, bus_error *err)
{
    int64_t seen = -1, moved_us = clock->mono_us, after, acked;
    int quiet = 0; /* steps in a row that had nothing to do */
    for (;;) {
        int64_t wait_us = bus_shard_step(shard, NULL);
        bus_status status = bus_shard_failure(shard, err);
        if (status == BUS_OK)
            status = bus_replay_failure(replay, err);
        if (status != BUS_OK)
            return status;
        int64_t taken = bus_replay_records(replay, &after, &acked);
        if (taken != seen) {
            seen = taken;
            moved_us = clock->mono_us;
            quiet = 0;
            continue;
        }
        if (wait_us <= 0)
            continue;
        quiet++;
        if (bus_replay_at_turn(replay) && quiet > 1 && idle(shard)) {
            bus_replay_turn(replay);
            quiet = 0;
        } else if (bus_replay_ended(replay) && quiet > 1) {
            /* What fell due since the last record (a retry, a schedule) had its turn in the old store, too. */
            if (wait_us / 1000 >= r->at_ms - clock->clock.wall_ms(&clock->clock))
                return BUS_OK;
            bus_virtual_clock_advance(clock, wait_us);
        } else if (quiet > 1) {
            if (clock->mono_us - moved_us > STANDSTILL_US || wait_us == INT64_MAX)
                return bus_fail(err, BUS_TIMEOUT, "shard %d of %s waits for something that does not come after %" PRId64 " records (a paused "
                                "dependency, an unknown schema): see the log", bus_shard_index(shard), r->service->name, taken);
            bus_virtual_clock_advance(clock, wait_us);
        }
    }
}

static bus_status replay_shard(rebuild *r, int p, const bus_kafka_lag *marks, const bool *skipped, size_t count, bus_rebuilt *out,
                               bus_error *err)
{
    bus_virtual_clock clock;
    bus_virtual_clock_init(&clock, 0);
    bus_replay *replay = NULL;
    bus_shard *shard = NULL;
    bus_lock *want = NULL;
    bus_lane_spec *lanes = NULL;
    bus_replay_options how = { .config = r->config, .where = "rebuild", .marks = marks, .skipped = skipped, .count = count,
                               .metadata = r->metadata, .clock = &clock, .timeout_ms = r->timeout_ms };
    bus_status status = bus_replay_open(&how, &replay, err);
    if (status != BUS_OK)
        return status;
    bus_shard_options options = {
        .service = r->service, .router = r->router, .index = p, .count = r->shards, .directory = r->build,
        .transport = bus_replay_transport(replay), .clock = &clock.clock, .catalog = r->catalog, .ids = bus_asker_ids(r->asker),
        .cache_bytes = bus_config_int(r->config, "store.cache.bytes"), .init = true,
    };
    bus_limits_of(r->config, &options.limits);
    options.limits.outbox_bytes = INT64_MAX; /* held rows must not stop the replay */
    options.limits.reject_percent = 0;       /* nor failures that were all right the first time */
    options.limits.retry_grace_ms = 0;       /* retry records are not read: time alone brings events back */
    status = bus_shard_open(&options, &want, &shard, err);
    bus_lock_free(want);
    if (status == BUS_OK)
        status = bus_shard_claim(shard, r->partitions, err);
    if (status == BUS_OK) {
        size_t n = bus_shard_lane_count(shard);
        lanes = calloc(n + 1, sizeof *lanes);
        status = lanes ? BUS_OK : bus_fail_nomem(err);
        if (status == BUS_OK) {
            bus_shard_lane_specs(shard, lanes);
            status = options.transport->ops->assign(options.transport, lanes, n, err);
        }
    }
    if (status == BUS_OK) {
        bus_shard_attach(shard, lanes);
        status = work(r, shard, replay, &clock, err);
        bus_shard_detach(shard);
    }
    out->records = bus_replay_records(replay, &out->after_commit, &out->dropped);
    bus_shard_close(shard);
    bus_replay_close(replay);
    free(lanes);
    return status;
}

/* ---- its outbox and identity */

static bus_status settle_store(rebuild *r, int p, bus_rebuilt *out, bus_error *err)
{
    bus_store *store = NULL;
    char id[37];
    int64_t opens;
    bus_store_options options = { .path = out->store, .service = r->service->name, .shard = p, .shards = r->shards,
                                  .migrations = r->service->migrations };
    bus_status status = bus_store_open(&options, &store, err);
    if (status != BUS_OK)
        return status;
    int64_t known = 0;
    status = bus_leftover_clear(store, r->config, r->timeout_ms, &known, err);
    out->dropped += known;
    bool transacted, committed = bus_rebuild_identity(r, p, id, &opens, &transacted);
    if (status == BUS_OK)
        status = bus_store_raise(store, committed ? id : NULL, committed ? opens + 1 : 0, err);
    if (status == BUS_OK)
        status = bus_store_forget_former(store, err);
    if (status == BUS_OK)
        status = bus_leftover_renumber(store, err);
    out->kept = bus_outbox_depth_of(store).rows;
    if (status == BUS_OK)
        status = bus_store_checkpoint(store, 0, err);
    bus_store_close(store);
    return status;
}

bus_status bus_rebuild_shard(rebuild *r, int p, bus_error *err)
{
    bus_rebuilt *out = &r->report->shard[p];
    out->shard = p;
    snprintf(out->store, sizeof out->store, "%s/%d.db", r->build, p);
    snprintf(out->place, sizeof out->place, "%s/%d.db", r->home, p);
    if (access(out->store, F_OK) == 0)
        return bus_fail(err, BUS_REFUSED, "%s is there already: rebuild into an empty directory", out->store);
    bus_kafka_lag *marks = calloc(r->mark_count + 1, sizeof *marks);
    bool *skipped = calloc(r->mark_count + 1, sizeof *skipped);
    size_t count = 0;
    bus_status status = marks && skipped ? BUS_OK : bus_fail_nomem(err);
    for (size_t i = 0; i < r->mark_count && status == BUS_OK; i++) {
        if (r->marks[i].partition % r->shards != p)
            continue;
        const bus_input *input = bus_rebuild_input(r, r->marks[i].topic);
        skipped[count] = input && input->retry_tier;
        marks[count++] = r->marks[i];
    }
    if (status == BUS_OK)
        status = replay_shard(r, p, marks, skipped, count, out, err);
    if (status == BUS_OK)
        status = settle_store(r, p, out, err);
    if (status == BUS_OK)
        bus_log(BUS_INFO, "rebuild", "shard_rebuilt", "shard %d of %s: %" PRId64 " records, %" PRId64 " events left to send", p,
                r->service->name, out->records, out->kept);
    free(marks);
    free(skipped);
    return status;
}
