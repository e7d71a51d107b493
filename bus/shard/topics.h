/* SPDX-License-Identifier: MIT
 * Topics: what a service says it reads and writes, for `bus topics plan|apply`, for its heartbeats and for its own check at
 * start. */
#ifndef BUI_SHARD_TOPICS_H
#define BUI_SHARD_TOPICS_H

#include "base/config.h"
#include "shard/router.h"
#include "shard/transport.h"

/* What all services share: schemas, and what each says of itself. */
#define BUI_SCHEMAS_TOPIC "bus.schemas"
#define BUI_SERVICES_TOPIC "bus.services"

typedef enum bui_topic_role {
    BUI_TOPIC_LEAD,    /* <service>.redrive: exactly N partitions */
    BUI_TOPIC_INPUT,   /* somebody's events or commands: a multiple of N */
    BUI_TOPIC_RETRY,   /* <service>.retry.<delay>: a multiple of N */
    BUI_TOPIC_DLQ,     /* <service>.dlq */
    BUI_TOPIC_OUTPUT,  /* where it emits */
    BUI_TOPIC_REPLIES, /* <service>.replies: needed by bus_request alone */
    BUI_TOPIC_SHARED   /* bus.schemas, bus.services: missing, the service warns and goes on */
} bui_topic_role;
const char *bui_topic_role_name(bui_topic_role role);

typedef struct bui_topic_need {
    char name[250];
    bui_topic_role role;
    int32_t partitions;   /* to create it with */
    const char *cleanup;  /* "delete" or "compact" */
    int64_t retention_ms; /* -1: without limit; 0: by property, see bui_topics_declare */
} bui_topic_need;

/* Every topic of the service, once, in order of role, with as many partitions as `shards`. *out is malloc'd: free() it. BUS_NOMEM. */
bus_status bui_topics_of(const char *service, const bui_router *router, int shards, bui_topic_need **out, size_t *count,
                         bus_error *err);

/* As they are to be made: partitions and retention by topics.partitions and topics.retention.ms, for `shards` shards. A topic that
 * others read gets the least multiple of `shards` that is not under the property, so that it can serve them all. */
void bui_topics_declare(bui_topic_need *needs, size_t count, const bus_config *config, int shards);

/* A JSON list of {"name","partitions","cleanup","retention_ms","role"}. */
void bui_topics_json(const bui_topic_need *needs, size_t count, bui_buf *out);

/* Does a topic with `partitions` partitions do? BUS_REFUSED with what to do. */
bus_status bui_topic_fits(const bui_topic_need *need, const char *service, int32_t partitions, int shards, bus_error *err);

#endif
