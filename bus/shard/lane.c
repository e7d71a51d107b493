/* SPDX-License-Identifier: MIT
 * Lane: the records of an assigned partition that were fetched and are not settled yet. A shard may have thousands of lanes, and
 * most turns bring something in a few: an iteration looks at those that are listed, and at no other. Listed are lanes in which
 * something came (until a fetch gives nothing and no error), that hold records, or whose position has offsets without records to
 * pass. What all lanes must be asked for, doubts about their logs and their lag, has a time of its own. */
#include "shard/internal.h"

#include "base/error.h"
#include <stdlib.h>
#include <string.h>

#define READY_MOST 64 /* taken from the transport at once */

bus_status bui_lanes_room(bui_shard *shard, bus_error *err)
{
    if (!shard->lanes.listed)
        shard->lanes.listed = calloc((shard->lane_count + 63) / 64 + 1, sizeof *shard->lanes.listed);
    return shard->lanes.listed ? BUS_OK : bui_fail_nomem(err);
}

bool bui_lane_listed(bui_shard *shard, size_t *i)
{
    for (; *i < shard->lane_count; *i = (*i / 64 + 1) * 64) {
        uint64_t bits = shard->lanes.listed[*i / 64] >> (*i % 64);
        if (!bits)
            continue;
        *i += (size_t)__builtin_ctzll(bits);
        shard->lanes.looks++;
        return true;
    }
    return false;
}

void bui_lane_came(bui_shard *shard, bui_shard_lane *lane)
{
    size_t i = (size_t)(lane - shard->lane);
    lane->came = true;
    shard->lanes.listed[i / 64] |= UINT64_C(1) << (i % 64);
}

void bui_lanes_came(bui_shard *shard)
{
    for (size_t i = 0; i < shard->lane_count; i++)
        bui_lane_came(shard, &shard->lane[i]);
}

void bui_lanes_none(bui_shard *shard)
{
    for (size_t i = 0; i < shard->lane_count; i++)
        shard->lane[i].came = false;
    if (shard->lanes.listed)
        memset(shard->lanes.listed, 0, (shard->lane_count + 63) / 64 * sizeof *shard->lanes.listed);
}

void bui_lanes_ready(bui_shard *shard)
{
    size_t ready[READY_MOST], count = READY_MOST;
    if (!shard->attached)
        return;
    if (!shard->port->ops->ready) {
        bui_lanes_came(shard);
        return;
    }
    while (count == READY_MOST) {
        count = shard->port->ops->ready(shard->port, ready, READY_MOST);
        for (size_t i = 0; i < count; i++)
            bui_lane_came(shard, &shard->lane[ready[i]]);
    }
}

/* Until then its position may have to pass what has no record. */
static bool passed_more(const bui_shard *shard, const bui_shard_lane *lane)
{
    return lane->handle && shard->port->ops->eof(shard->port, lane->handle) > lane->position->next;
}

void bui_lanes_sweep(bui_shard *shard)
{
    for (size_t i = 0; bui_lane_listed(shard, &i); i++) {
        const bui_shard_lane *lane = &shard->lane[i];
        if (!lane->came && lane->at == lane->count && !passed_more(shard, lane))
            shard->lanes.listed[i / 64] &= ~(UINT64_C(1) << (i % 64));
    }
}

bool bui_lane_resting(const bui_shard *shard, const bui_shard_lane *lane)
{
    return lane->blocked_until_us > shard->now_us || lane->input->paused_until_us > shard->now_us;
}

/* Gives settled records back and moves the rest to the front. */
void bui_lane_compact(bui_shard *shard, bui_shard_lane *lane)
{
    if (!lane->at)
        return;
    shard->port->ops->release(shard->port, lane->record, lane->at);
    size_t left = lane->count - lane->at;
    memmove(lane->record, lane->record + lane->at, left * sizeof *lane->record);
    if (lane->job) {
        memmove(lane->job, lane->job + lane->at, left * sizeof *lane->job);
        memset(lane->job + left, 0, (lane->cap - left) * sizeof *lane->job);
    }
    lane->count = left;
    lane->at = 0;
}

void bui_shard_drop_fetched(bui_shard *shard, bui_shard_lane *lane)
{
    bui_prepare_drop_lane(shard, lane);
    if (lane->count)
        shard->port->ops->release(shard->port, lane->record, lane->count);
    lane->count = lane->at = lane->batch_at = lane->unprepared = 0;
}
