/* SPDX-License-Identifier: MIT
 * Lane: the records of an assigned partition that were fetched and are not settled yet. */
#include "shard/internal.h"

#include <string.h>

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
