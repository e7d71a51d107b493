/* SPDX-License-Identifier: MIT
 * Input: the topics that the service reads: which one a delivery is of, and pausing it. */
#include "shard/internal.h"

#include <stdio.h>

bui_shard_input *bui_shard_input_of(bui_shard *shard, const char *topic)
{
    for (size_t i = 0; i < shard->input_count; i++)
        if (strcmp(shard->input[i].declared->topic, topic) == 0)
            return &shard->input[i];
    return NULL;
}

void bui_input_pause(bui_shard *shard, bui_shard_input *input, const char *why, bool schema)
{
    if (!input || input->paused_until_us > shard->now_us)
        return;
    int64_t wait = bui_backoff_next(&input->pause);
    input->paused_until_us = shard->now_us + wait * 1000;
    input->catalog_version = schema ? bui_catalog_version(shard->options.catalog) : 0;
    bui_count(&shard->metrics.pauses, 1);
    snprintf(input->why, sizeof input->why, "%s", why);
    bui_log(BUS_WARN, shard->where, "paused", "%s pauses for %lld ms: %s; nothing is lost, and this is not counted as an attempt",
            input->declared->topic, (long long)wait, why);
}
