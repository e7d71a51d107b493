/* SPDX-License-Identifier: MIT
 * Topics: what a service says it reads and writes, for `bus topics plan|apply`, for its heartbeats and for its own check at
 * start. */
#ifndef BUS_SHARD_TOPICS_H
#define BUS_SHARD_TOPICS_H

#include "base/config.h"
#include "shard/router.h"
#include "shard/transport.h"

/* What all services share: schemas, and what each says of itself. */
#define BUS_SCHEMAS_TOPIC "bus.schemas"
#define BUS_SERVICES_TOPIC "bus.services"

typedef enum bus_topic_role {
    BUS_TOPIC_LEAD,     /* <service>.redrive: exactly N partitions */
    BUS_TOPIC_INPUT,    /* somebody's events or commands: a multiple of N */
    BUS_TOPIC_RETRY,    /* <service>.retry.<delay>: a multiple of N */
    BUS_TOPIC_DLQ,      /* <service>.dlq */
    BUS_TOPIC_OUTPUT,   /* where it emits */
    BUS_TOPIC_REPLIES,  /* <service>.replies: needed by bus_request alone */
    BUS_TOPIC_SHARED    /* bus.schemas, bus.services: missing, the service warns and goes on */
} bus_topic_role;
const char *bus_topic_role_name(bus_topic_role role);

typedef struct bus_topic_need {
    char name[250];
    bus_topic_role role;
    int32_t partitions;      /* to create it with */
    const char *cleanup;     /* "delete" or "compact" */
    int64_t retention_ms;    /* -1: without limit; 0: by property, see bus_topics_declare */
} bus_topic_need;

/* Every topic of the service, once, in order of role, with as many partitions as `shards`. *out is malloc'd: free() it. BUS_NOMEM. */
bus_status bus_topics_of(const char *service, const bus_router *router, int shards, bus_topic_need **out, size_t *count,
                         bus_error *err);

/* As they are to be made: partitions and retention by topics.partitions and topics.retention.ms, for `shards` shards. A topic that
 * others read gets the least multiple of `shards` that is not under the property, so that it can serve them all. */
void bus_topics_declare(bus_topic_need *needs, size_t count, const bus_config *config, int shards);

/* A JSON list of {"name","partitions","cleanup","retention_ms","role"}. */
void bus_topics_json(const bus_topic_need *needs, size_t count, bus_buf *out);

/* Does a topic with `partitions` partitions do? BUS_REFUSED with what to do. */
bus_status bus_topic_fits(const bus_topic_need *need, const char *service, int32_t partitions, int shards, bus_error *err);

#endif
