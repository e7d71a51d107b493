/* SPDX-License-Identifier: MIT
 * Trouble: what keeps a shard from working now, for /readyz. Each cause is logged where it arises; this file finds the worst
 * of them, and logs when it is over. Looked at by the shard's thread at the end of an iteration. */
#include "shard/internal.h"

#include <stdio.h>

#define LOOK_US (INT64_C(200) * 1000)               /* while all is well; in trouble each iteration looks */
#define SENDING_FAILS_US (INT64_C(5) * 1000 * 1000) /* a leader that moves fails sends too, but not for this long */

static const bui_shard_lane *failed_lane(const bui_shard *shard)
{
    for (size_t i = 0; i < shard->lane_count && shard->attached; i++)
        if (shard->lane[i].failed)
            return &shard->lane[i];
    return NULL;
}

static const bui_shard_lane *unchecked_lane(const bui_shard *shard, char *why, size_t cap)
{
    for (size_t i = 0; i < shard->lane_count && shard->attached; i++)
        if (bui_lane_unchecked(shard, &shard->lane[i], why, cap))
            return &shard->lane[i];
    return NULL;
}

static const bui_shard_input *paused_input(const bui_shard *shard)
{
    for (size_t i = 0; i < shard->input_count && shard->attached; i++)
        if (shard->input[i].paused_until_us > shard->now_us)
            return &shard->input[i];
    return NULL;
}

static const bui_destination *failing_destination(const bui_shard *shard)
{
    for (size_t i = 0; i < shard->relay.odd_count; i++) {
        const bui_relay_destination *at = shard->relay.odd[i];
        if (at->warned && at->failing_since_us && shard->now_us - at->failing_since_us > SENDING_FAILS_US)
            return at->destination;
    }
    return NULL;
}

static const bui_relay_destination *refused_destination(const bui_shard *shard)
{
    for (size_t i = 0; i < shard->relay.odd_count; i++)
        if (shard->relay.odd[i]->refused)
            return shard->relay.odd[i];
    return NULL;
}

/* The worst first: what stops all of the shard, then what stops a topic. "": none. */
static void describe(const bui_shard *shard, char *out, size_t cap)
{
    const bui_shard_lane *lane;
    const bui_shard_input *input;
    const bui_destination *destination;
    const bui_relay_destination *refused = refused_destination(shard);
    char why[128];
    *out = 0;
    if (shard->said.store_warned && shard->batch.retry_at_us)
        snprintf(out, cap, "the store cannot be written, see the log");
    else if (refused)
        snprintf(out, cap, "Kafka refuses outbox row %lld for %.150s/%d, and later rows wait behind it: bus outbox list %.60s",
                 (long long)refused->refused, refused->destination->topic, refused->destination->partition, shard->name);
    else if (shard->said.outbox_full_warned)
        snprintf(out, cap, "the outbox is full (outbox.max.bytes): deliveries wait until Kafka takes its rows");
    else if (shard->said.parked_full_warned)
        snprintf(out, cap,
                 "too many events wait behind failed ones (parked.max.bytes): redrive or discard what holds their keys");
    else if ((lane = failed_lane(shard)))
        snprintf(out, cap, "%.200s/%d cannot be read: %.120s", lane->input->declared->topic, lane->partition, lane->input->why);
    else if ((lane = unchecked_lane(shard, why, sizeof why)))
        snprintf(out, cap, "%.200s/%d cannot be compared with what was read of it: %s", lane->input->declared->topic,
                 lane->partition, why);
    else if ((input = paused_input(shard)))
        snprintf(out, cap, "topic %.200s is paused: %.120s", input->declared->topic, input->why);
    else if ((destination = failing_destination(shard)))
        snprintf(out, cap, "%.200s/%d takes no rows, see the log", destination->topic, destination->partition);
}

void bui_trouble_look(bui_shard *shard)
{
    bui_trouble *trouble = &shard->trouble;
    if (!trouble->since_us && trouble->look_at_us > shard->now_us)
        return;
    trouble->look_at_us = shard->now_us + LOOK_US;
    char text[BUI_TROUBLE_TEXT];
    describe(shard, text, sizeof text);
    if (strcmp(text, trouble->text) == 0)
        return;
    if (!*text)
        bui_log(BUS_INFO, shard->where, "well", "over after %.1f s: %s", (double)(shard->now_us - trouble->since_us) / 1e6,
                trouble->text);
    trouble->since_us = !*text ? 0 : trouble->since_us ? trouble->since_us : shard->now_us;
    pthread_mutex_lock(&trouble->lock);
    memcpy(trouble->text, text, sizeof text);
    pthread_mutex_unlock(&trouble->lock);
}

bool bui_shard_well(bui_shard *shard, char *why, size_t cap)
{
    bui_trouble *trouble = &shard->trouble;
    pthread_mutex_lock(&trouble->lock);
    bool well = !*trouble->text;
    if (!well)
        snprintf(why, cap, "shard %d: %s", shard->options.index, trouble->text);
    pthread_mutex_unlock(&trouble->lock);
    return well;
}
