/* SPDX-License-Identifier: MIT
 * Notice: what writers can cause at will is counted each time, and logged now and then. */
#include "shard/internal.h"

bool bus_shard_may_say(const bus_shard *shard, int64_t *last_us)
{
    if (*last_us && shard->now_us - *last_us < BUS_SAY_AGAIN_US)
        return false;
    *last_us = shard->now_us ? shard->now_us : 1;
    return true;
}

void bus_ignored(bus_shard *shard, const bus_record *record, const char *event, const char *what)
{
    char more[BUS_THROTTLE_TEXT];
    uint64_t hidden;
    bus_count(&shard->metrics.ignored, 1);
    if (bus_throttle_pass(&shard->said.ignored_lines, shard->now_us, &hidden))
        bus_log(BUS_WARN, shard->where, event, "%s/%d offset %lld is no %s of the bus: skipped%s", record->topic, record->partition,
                (long long)record->offset, what, bus_throttle_text(hidden, more));
}
