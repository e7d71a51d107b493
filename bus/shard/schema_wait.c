/* SPDX-License-Identifier: MIT
 * Schema wait: an event whose schema nobody has announced stops its topic, because later events must not overtake it; but not
 * without end. A topic waits schema.wait.ms in all, and gets back a tenth of the time that passes: a sender of events of one
 * unknown schema after the other stops it for a tenth of the time. Then such an event is given up on, and can be redriven when
 * its schema is known. A registry that does not answer is waited for without limit: it is away for all, and says nothing of
 * this event. */
#include "shard/internal.h"

#include "base/error.h"
#include <stdio.h>

#define BACK 10                             /* one part in so many of the time that passes is given back */
#define LONG_US (INT64_C(10) * 1000 * 1000) /* a wait this long is shown by /readyz */

static int64_t less(int64_t spent, int64_t back)
{
    return spent > back ? spent - back : 0;
}

static void wait(bui_shard *shard, bui_shard_input *input, const bus_error *why)
{
    int64_t idle = shard->now_us - input->schema_until_us;
    bui_input_pause(shard, input, why->text, true);
    input->schema_us = less(input->schema_us, idle) + input->paused_until_us - shard->now_us;
    input->schema_until_us = input->paused_until_us;
}

bool bui_schema_waits(bui_shard *shard, bui_shard_input *input, bui_delivery *delivery, const bus_error *why)
{
    int64_t most = shard->options.limits.schema_wait_ms * 1000;
    if (!input || input->paused_until_us > shard->now_us)
        return true;
    int64_t idle = shard->now_us - input->schema_until_us;
    if (!why->retriable)
        input->schema_spent_us = less(input->schema_spent_us, idle / BACK);
    if (why->retriable || input->schema_spent_us < most) {
        wait(shard, input, why);
        if (!why->retriable)
            input->schema_spent_us += input->paused_until_us - shard->now_us;
        return true;
    }
    input->schema_until_us = shard->now_us;
    delivery->undecodable = true;
    snprintf(delivery->fault, sizeof delivery->fault, "%.180s (waited schema.wait.ms; redrive it when it is known)", why->text);
    bui_count(&shard->metrics.schemas_missed, 1);
    return false;
}

int bui_schema_waiting(const bui_shard *shard)
{
    int topics = 0;
    for (size_t i = 0; i < shard->input_count; i++) {
        const bui_shard_input *input = &shard->input[i];
        topics += input->catalog_version && input->paused_until_us > shard->now_us && input->schema_us >= LONG_US;
    }
    return topics;
}
