/* SPDX-License-Identifier: MIT
 * Input: the topics that the service reads: which one a delivery is of, and pausing it. */
#include "shard/internal.h"

#include <stdio.h>

bus_shard_input *bus_shard_input_of(bus_shard *shard, const char *topic)
{
    for (size_t i = 0; i < shard->input_count; i++)
        if (strcmp(shard->input[i].declared->topic, topic) == 0)
            return &shard->input[i];
    return NULL;
}

void bus_input_pause(bus_shard *shard, bus_shard_input *input, const char *why, bool schema)
{
    if (!input || input->paused_until_us > shard->now_us)
        return;
    int64_t wait = bus_backoff_next(&input->pause);
    input->paused_until_us = shard->now_us + wait * 1000;
    input->catalog_version = schema ? bus_catalog_version(shard->options.catalog) : 0;
    bus_count(&shard->metrics.pauses, 1);
    snprintf(input->why, sizeof input->why, "%s", why);
    bus_log(BUS_WARN, shard->where, "paused", "%s waits %lld ms: %s; nothing is lost, no attempt is spent", input->declared->topic,
            (long long)wait, why);
}
