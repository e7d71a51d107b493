/* SPDX-License-Identifier: MIT
 * Notice: what writers can cause as often as they like is counted each time, and logged now and then. */
#include "shard/internal.h"

bool bui_shard_may_say(const bui_shard *shard, int64_t *last_us)
{
    if (*last_us && shard->now_us - *last_us < BUI_SAY_AGAIN_US)
        return false;
    *last_us = shard->now_us ? shard->now_us : 1;
    return true;
}

void bui_ignored(bui_shard *shard, const bui_record *record, const char *event, const char *what)
{
    char more[BUI_THROTTLE_TEXT];
    uint64_t hidden;
    bui_count(&shard->metrics.ignored, 1);
    if (bui_throttle_pass(&shard->said.ignored_lines, shard->now_us, &hidden))
        bui_log(BUS_WARN, shard->where, event, "%s/%d offset %lld is not a %s of the bus: skipped%s", record->topic,
                record->partition, (long long)record->offset, what, bui_throttle_text(hidden, more));
}
