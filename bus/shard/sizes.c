/* SPDX-License-Identifier: MIT
 * Sizes: how large a record each topic of the service takes. Asked for at a claim; and again, by the thread that claims, when
 * a record was refused, by us or by the broker: an administrator may have lowered the limit or raised it. If a cluster does
 * not say, message.max.bytes counts. */
#include "shard/internal.h"

#include "base/error.h"
#include "codec/size.h"
#include <stdlib.h>
#include <string.h>

#define NAME_LESS 32     /* packed a header is shorter than on the wire by less than this */
#define PACKED_LESS 1024 /* and the rest of a record by less than this */

static void add(bui_shard *shard, const char *topic)
{
    for (size_t i = 0; i < shard->sizes.count; i++)
        if (strcmp(shard->sizes.of[i].topic, topic) == 0)
            return;
    shard->sizes.of[shard->sizes.count++].topic = topic;
}

static bool list(bui_shard *shard)
{
    size_t inputs, outputs;
    const bui_input *input = bui_router_inputs(shard->options.router, &inputs);
    const bui_output *output = bui_router_outputs(shard->options.router, &outputs);
    if (shard->sizes.of)
        return true;
    shard->sizes.of = calloc(outputs + inputs + 1, sizeof *shard->sizes.of);
    if (!shard->sizes.of)
        return false;
    for (size_t i = 0; i < outputs; i++)
        add(shard, output[i].topic);
    for (size_t i = 0; i < inputs; i++)
        if (input[i].retry_tier || input[i].lead)
            add(shard, input[i].topic);
    add(shard, bui_router_dlq(shard->options.router));
    return true;
}

bus_status bui_shard_learn_sizes(bui_shard *shard, int timeout_ms, bus_error *err)
{
    bui_transport *transport = shard->options.transport;
    int64_t least = shard->options.limits.message_bytes;
    atomic_store(&shard->sizes.wanted, false);
    if (!list(shard))
        return bui_fail_nomem(err);
    const char **name = calloc(shard->sizes.count, sizeof *name);
    int64_t *most = calloc(shard->sizes.count, sizeof *most);
    bus_status status = name && most ? BUS_OK : bui_fail_nomem(err);
    for (size_t i = 0; i < shard->sizes.count && status == BUS_OK; i++)
        name[i] = shard->sizes.of[i].topic;
    if (status == BUS_OK && transport->ops->largest)
        status = transport->ops->largest(transport, name, shard->sizes.count, timeout_ms, most, err);
    for (size_t i = 0; i < shard->sizes.count && status == BUS_OK; i++) {
        int64_t before = atomic_exchange(&shard->sizes.of[i].most, most[i]);
        if (before && most[i] && before != most[i])
            bui_log(BUS_WARN, shard->where, "topic_limit",
                    "topic %s takes records of %lld bytes now (max.message.bytes), it was %lld", name[i], (long long)most[i],
                    (long long)before);
        if (most[i] && most[i] < least)
            least = most[i];
    }
    if (status == BUS_OK)
        atomic_store(&shard->sizes.least, least);
    free(name);
    free(most);
    return status;
}

bool bui_shard_wants_sizes(bui_shard *shard)
{
    return atomic_load_explicit(&shard->sizes.wanted, memory_order_relaxed);
}

void bui_sizes_look_again(bui_shard *shard)
{
    if (!atomic_exchange(&shard->sizes.wanted, true) && shard->options.transport->ops->wake)
        shard->options.transport->ops->wake(shard->options.transport);
}

int64_t bui_size_most(bui_shard *shard, const char *topic, bool *own)
{
    int64_t most = shard->options.limits.message_bytes;
    *own = true;
    for (size_t i = 0; i < shard->sizes.count; i++)
        if (strcmp(shard->sizes.of[i].topic, topic) == 0) {
            int64_t told = atomic_load_explicit(&shard->sizes.of[i].most, memory_order_relaxed);
            *own = !told || told >= most;
            return *own ? most : told;
        }
    return most;
}

bus_status bui_size_check(bui_shard *shard, const char *what, const char *topic, const bui_sized *record, bus_error *err)
{
    bool own;
    int64_t least = atomic_load_explicit(&shard->sizes.least, memory_order_relaxed);
    if ((int64_t)(record->key_len + record->value_len + record->packed + record->header_count * NAME_LESS) + PACKED_LESS <= least)
        return BUS_OK;
    int64_t most = bui_size_most(shard, topic, &own);
    int64_t size = bui_record_size_both(record->key, record->key_len, record->value, record->value_len, record->headers,
                                        record->header_count, record->own, record->own_count);
    if (size <= most)
        return BUS_OK;
    if (!own)
        bui_sizes_look_again(shard);
    return bui_fail(err, BUS_TOO_BIG,
                    "%s for %s has %lld bytes as a broker counts (key, value, headers, and 61 to 80 around them), over %s "
                    "(%lld): make it smaller, or raise that limit%s",
                    what, topic, (long long)size, own ? "message.max.bytes" : "the topic's max.message.bytes", (long long)most,
                    own ? " here and max.message.bytes on the topic" : "");
}
