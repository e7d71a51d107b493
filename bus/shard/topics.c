/* SPDX-License-Identifier: MIT
 * Topics: the list that follows from routes and emits. */
#include "shard/topics.h"
#include "base/error.h"
#include "codec/envelope.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOUR_MS (INT64_C(3600) * 1000)

const char *bui_topic_role_name(bui_topic_role role)
{
    static const char *const names[] = { "redrive", "input", "retry", "dlq", "output", "replies", "shared" };
    return names[role];
}

typedef struct list {
    bui_topic_need *at;
    size_t count;
} list;

/* The first mention wins: what is read is also checked for being divisible, so inputs come before outputs. */
static void add(list *needs, bui_topic_role role, const char *name, int32_t partitions, const char *cleanup, int64_t retention_ms)
{
    for (size_t i = 0; i < needs->count; i++)
        if (strcmp(needs->at[i].name, name) == 0)
            return;
    bui_topic_need *need = &needs->at[needs->count++];
    *need = (bui_topic_need){ .role = role, .partitions = partitions, .cleanup = cleanup, .retention_ms = retention_ms };
    snprintf(need->name, sizeof need->name, "%s", name);
}

bus_status bui_topics_of(const char *service, const bui_router *router, int shards, bui_topic_need **out, size_t *count,
                         bus_error *err)
{
    size_t input_count, output_count;
    const bui_input *inputs = bui_router_inputs(router, &input_count);
    const bui_output *outputs = bui_router_outputs(router, &output_count);
    list needs = { calloc(input_count + output_count + 4, sizeof(bui_topic_need)), 0 };
    if (!needs.at)
        return bui_fail_nomem(err);
    char replies[300];
    snprintf(replies, sizeof replies, "%s" BUI_REPLIES_SUFFIX, service);

    for (size_t i = 0; i < input_count; i++) {
        const bui_input *input = &inputs[i];
        if (input->lead)
            add(&needs, BUI_TOPIC_LEAD, input->topic, shards, "delete", -1);
        else if (input->retry_tier)
            add(&needs, BUI_TOPIC_RETRY, input->topic, shards, "delete", 0);
        else
            add(&needs, BUI_TOPIC_INPUT, input->topic, shards, input->compacted ? "compact" : "delete", 0);
    }
    add(&needs, BUI_TOPIC_DLQ, bui_router_dlq(router), shards, "delete", -1);
    for (size_t i = 0; i < output_count; i++)
        add(&needs, BUI_TOPIC_OUTPUT, outputs[i].topic, shards, "delete", 0);
    add(&needs, BUI_TOPIC_REPLIES, replies, shards, "delete", HOUR_MS);
    add(&needs, BUI_TOPIC_SHARED, "bus.schemas", 1, "compact", -1);
    add(&needs, BUI_TOPIC_SHARED, "bus.services", 1, "compact", -1);
    *out = needs.at;
    *count = needs.count;
    return BUS_OK;
}

void bui_topics_declare(bui_topic_need *needs, size_t count, const bus_config *config, int shards)
{
    int32_t least = (int32_t)bui_config_int(config, "topics.partitions");
    for (size_t i = 0; i < count; i++) {
        bui_topic_need *need = &needs[i];
        if (need->role == BUI_TOPIC_INPUT || need->role == BUI_TOPIC_OUTPUT || need->role == BUI_TOPIC_REPLIES)
            need->partitions = (least + shards - 1) / shards * shards;
        if (need->retention_ms == 0)
            need->retention_ms = bui_config_int(config, "topics.retention.ms");
    }
}

void bui_topics_json(const bui_topic_need *needs, size_t count, bui_buf *out)
{
    bui_buf_text(out, "[");
    for (size_t i = 0; i < count; i++) {
        bui_buf_text(out, i ? ",{\"name\":" : "{\"name\":");
        bui_buf_json(out, needs[i].name, strlen(needs[i].name));
        bui_buf_printf(out, ",\"partitions\":%" PRId32 ",\"cleanup\":\"%s\",\"retention_ms\":%" PRId64 ",\"role\":\"%s\"}",
                       needs[i].partitions, needs[i].cleanup, needs[i].retention_ms, bui_topic_role_name(needs[i].role));
    }
    bui_buf_text(out, "]");
}

/* Shard p reads and writes partition p, whatever the keys are: neither adding partitions nor creating it again moves a key. */
static bus_status lead_refused(const bui_topic_need *need, const char *service, int32_t partitions, int shards, bus_error *err)
{
    char way[160];
    if (partitions < shards)
        snprintf(way, sizeof way, "add partitions with Kafka's kafka-topics.sh --alter --partitions %d", shards);
    else
        snprintf(way, sizeof way,
                 "delete the topic and run `bus topics apply` (commands on it that were not read are lost: give them again)");
    return bui_fail(err, BUS_REFUSED,
                    "topic %s has %" PRId32 " partitions but %s has %d shards, and the number of shards is fixed: %s. A service "
                    "that never ran can set shards=%" PRId32 " instead",
                    need->name, partitions, service, shards, way, partitions);
}

bus_status bui_topic_fits(const bui_topic_need *need, const char *service, int32_t partitions, int shards, bus_error *err)
{
    switch (need->role) {
    case BUI_TOPIC_LEAD: return partitions == shards ? BUS_OK : lead_refused(need, service, partitions, shards, err);
    case BUI_TOPIC_RETRY:
        if (partitions % shards != 0)
            return bui_fail(err, BUS_REFUSED,
                            "topic %s has %" PRId32 " partitions, which is not a multiple of the %d shards of "
                            "%s: delete it and run "
                            "`bus topics apply`; what waits is in the store and runs by its timer, so nothing is lost",
                            need->name, partitions, shards, service);
        return BUS_OK;
    case BUI_TOPIC_INPUT:
        if (partitions % shards != 0)
            return bui_fail(err, BUS_REFUSED,
                            "topic %s has %" PRId32 " partitions, which is not a multiple of the %d shards of %s: "
                            "shard p reads every partition q with q mod %d = p. Let its owner create one with a multiple of %d "
                            "partitions (`bus topics plan` shows all)",
                            need->name, partitions, shards, service, shards, shards);
        return BUS_OK;
    case BUI_TOPIC_DLQ: /* shard p writes partition p */
        if (partitions < shards)
            return bui_fail(err, BUS_REFUSED,
                            "topic %s has %" PRId32 " partitions, fewer than the %d shards of %s: add partitions with Kafka's "
                            "kafka-topics.sh --alter --partitions %d (it is not read by key, so here that is safe)",
                            need->name, partitions, shards, service, shards);
        return BUS_OK;
    case BUI_TOPIC_OUTPUT:
    case BUI_TOPIC_REPLIES:
    case BUI_TOPIC_SHARED: return BUS_OK;
    }
    return bui_fail(err, BUS_BUG, "topic %s has an unknown role", need->name);
}
