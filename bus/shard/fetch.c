/* SPDX-License-Identifier: MIT
 * Fetch: what the lanes bring. A lane that must wait (its topic is paused, the outbox is full) is just not read. */
#include "shard/internal.h"

#include "base/error.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LANE_AGAIN_US (INT64_C(5) * 1000 * 1000)
#define NO_MEMORY_US (INT64_C(100) * 1000)
#define LANE_LEAST 16 /* records fetched at once, at least */

static void lane_failed(bui_shard *shard, bui_shard_lane *lane, const bus_error *err)
{
    bus_error why = *err;
    if (err->status != BUS_CORRUPT && err->status != BUS_NOMEM) {
        /* Access may be granted again, or the topic created again: then the fetcher goes on by itself, and so must we. */
        bui_log(lane->failed ? BUS_DEBUG : BUS_ERROR, shard->where, "lane_failed", "%s/%d: %s; looked at again every %lld s",
                lane->input->declared->topic, lane->partition, err->text, (long long)(LANE_AGAIN_US / 1000000));
        lane->failed = true;
        snprintf(lane->input->why, sizeof lane->input->why, "%s", err->text);
        lane->blocked_until_us = shard->now_us + LANE_AGAIN_US;
        return;
    }
    /* Without memory a record was lost on its way here: only a new membership reads it again. And what had expired before the
     * first fetch may be no more than the anchor, or retries that the store holds: the next claim sees where the log begins. */
    bool looks_again = lane->check_anchor || lane->input->declared->retry_tier;
    if (err->status == BUS_CORRUPT && !looks_again) {
        char what[320];
        snprintf(what, sizeof what, "all before offset %" PRId64 " was read, and that cannot be: %.240s", lane->position->next,
                 err->text);
        bui_lane_replaced(shard, lane, what);
        return;
    }
    bui_fail_in(&why, "%s/%d", lane->input->declared->topic, lane->partition);
    why.status = err->status == BUS_NOMEM ? BUS_NOMEM : BUS_BROKER;
    bui_shard_halt(shard, &why);
}

static bool lane_room(bui_shard *shard, bui_shard_lane *lane)
{
    if (lane->record)
        return true;
    bool prepares = bui_prepare_topic(shard, lane->input->declared->topic);
    int most = prepares ? shard->options.limits.prepare_window : shard->options.limits.batch_records;
    lane->cap = most < LANE_LEAST ? LANE_LEAST : (size_t)most;
    lane->record = calloc(lane->cap, sizeof *lane->record);
    if (prepares)
        lane->job = calloc(lane->cap, sizeof *lane->job);
    if (lane->record && (lane->job || !prepares))
        return true;
    free(lane->record);
    lane->record = NULL;
    return false;
}

/* What was delivered before the lane began: the anchor is looked at, and dropped. */
static void lane_pass_anchor(bui_shard *shard, bui_shard_lane *lane)
{
    bool skip = true;
    while (skip && lane->at < lane->count && (lane->check_anchor || lane->record[lane->at].offset < lane->position->next)) {
        if (!bui_receive_anchor_ok(shard, lane, &lane->record[lane->at], &skip))
            return;
        lane->at += skip;
    }
    bui_lane_compact(shard, lane);
}

static void lane_fetch(bui_shard *shard, bui_shard_lane *lane)
{
    if (lane->at < lane->count && (!lane->job || lane->count - lane->at > lane->cap / 2))
        return;
    if (!lane_room(shard, lane)) {
        lane->blocked_until_us = shard->now_us + NO_MEMORY_US; /* nobody wakes us for what is there already */
        return;
    }
    bui_lane_compact(shard, lane);
    bus_error err = { 0 };
    size_t from = lane->count;
    size_t n = shard->port->ops->fetch(shard->port, lane->handle, lane->record + from, lane->cap - from, &err);
    if (err.status) {
        lane_failed(shard, lane, &err);
        return;
    }
    lane->count += n;
    lane->came = n > 0;
    if (n)
        bui_lane_fetched(shard, lane);
    if (lane->failed) {
        lane->failed = false;
        bui_log(BUS_INFO, shard->where, "lane_well", "%s/%d is read again", lane->input->declared->topic, lane->partition);
    }
    if (from == 0 && n) {
        lane_pass_anchor(shard, lane);
        n = lane->count;
    }
    bui_count(&shard->metrics.consumed, n);
    lane->unprepared += n;
}

/* Records of a log that may be another one wait, and so do their prepare steps. */
static bool lane_ready(bui_shard *shard, bui_shard_lane *lane)
{
    if (lane->at == lane->count || !bui_lane_sure(shard, lane))
        return false;
    if (lane->job && lane->unprepared)
        bui_prepare_fetched(shard, lane, lane->count - lane->unprepared);
    lane->unprepared = 0;
    const bui_job_slot *job = lane->job ? lane->job[lane->at] : NULL;
    return !(job && (job->state != BUI_JOB_DONE || bui_prepare_gathers(shard)));
}

/* A transactional producer leaves offsets without records: at the end of the log the position goes past them. */
void bui_lane_at_end(bui_shard *shard, bui_shard_lane *lane)
{
    int64_t eof = shard->port->ops->eof(shard->port, lane->handle);
    if (lane->at == lane->count && eof > lane->position->next && !lane->check_anchor && bui_lane_sure(shard, lane) &&
        bui_position_set(shard->store, lane->position, eof, lane->position->anchor)) {
        shard->batch.did = true;
        shard->commits.positions_moved = true;
    }
}

bool bui_lane_allowed(bui_shard *shard, const bui_shard_lane *lane)
{
    if (atomic_load_explicit(&shard->draining, memory_order_relaxed) || !shard->attached)
        return false;
    bui_outbox_depth depth = bui_outbox_depth_of(shard->store);
    if (depth.rejected && lane->input->declared->lead)
        return true; /* what lets the outbox drain is a command */
    if (depth.bytes >= shard->options.limits.outbox_bytes) {
        if (!shard->said.outbox_full_warned)
            bui_log(BUS_WARN, shard->where, "outbox_full",
                    "%lld bytes wait in the outbox (outbox.max.bytes): deliveries stop until Kafka "
                    "takes them; nothing is lost",
                    (long long)depth.bytes);
        shard->said.outbox_full_warned = true;
        return false;
    }
    shard->said.outbox_full_warned = false;
    bool input = !lane->input->declared->retry_tier && !lane->input->declared->lead;
    int64_t parked = input ? bui_key_totals_of(shard->store).parked_bytes + bui_bodies_of(shard->store).bytes : 0;
    bool room = parked < shard->options.limits.parked_bytes;
    if (!room && !shard->said.parked_full_warned)
        bui_log(BUS_WARN, shard->where, "parked_full",
                "%lld bytes of events wait behind failed ones or for their letters (parked.max.bytes): deliveries stop until "
                "some are through; redrive or discard the dead letters that hold keys",
                (long long)parked);
    shard->said.parked_full_warned = input ? !room : shard->said.parked_full_warned;
    return room;
}

/* A pause for an unknown schema is over when others are known. */
static void look_at_pauses(bui_shard *shard)
{
    for (size_t i = 0; i < shard->input_count; i++) {
        bui_shard_input *input = &shard->input[i];
        if (input->catalog_version && input->catalog_version != bui_catalog_version(shard->options.catalog)) {
            input->paused_until_us = 0;
            input->catalog_version = 0;
        }
    }
}

bool bui_fetch_all(bui_shard *shard)
{
    bool any = false;
    bui_rechecks_step(shard);
    if (atomic_load_explicit(&shard->failed, memory_order_relaxed))
        return false;
    bui_lanes_ready(shard);
    look_at_pauses(shard);
    for (size_t i = 0; bui_lane_listed(shard, &i); i++) {
        bui_shard_lane *lane = &shard->lane[i];
        if (bui_lane_resting(shard, lane) || !bui_lane_allowed(shard, lane))
            continue;
        lane_fetch(shard, lane);
        if (atomic_load_explicit(&shard->failed, memory_order_relaxed))
            return false;
        any |= lane_ready(shard, lane);
    }
    if (!bui_rechecks_step(shard)) /* without a network they get their answer at once */
        return any;
    for (size_t i = 0; bui_lane_listed(shard, &i); i++)
        any |= !bui_lane_resting(shard, &shard->lane[i]) && bui_lane_allowed(shard, &shard->lane[i]) &&
               lane_ready(shard, &shard->lane[i]);
    return any && !atomic_load_explicit(&shard->failed, memory_order_relaxed);
}
