/* SPDX-License-Identifier: MIT
 * Router: which route takes a record, and everything a service declares, checked once and looked up by hash. Read-only
 * after bus_router_new, shared by all shards. */
#ifndef BUS_SHARD_ROUTER_H
#define BUS_SHARD_ROUTER_H

#include <bus/service.h>

typedef struct bus_router bus_router;

/* One topic that the service reads. */
typedef struct bus_input {
    const char *topic;
    bus_start start;
    bool compacted;
    bool retry_tier;        /* one of <service>.retry.* */
    bool lead;              /* <service>.redrive */
    int64_t delay_ms;       /* of a retry tier */
} bus_input;

/* One topic that the service writes, other than its own machinery. */
typedef struct bus_output { const char *topic; } bus_output;

/* Checks and compiles. `retry_tiers` is the property's text, "1s,30s,10m". BUS_INVALID with what to do: a bad name, two
 * routes for one (topic, type), a route without a handler, an emit without a type, a topic name Kafka refuses, routes of
 * one topic that disagree on start or compacted. */
bus_status bus_router_new(const bus_service *service, const char *retry_tiers, int attempts, bus_router **out, bus_error *err);
void bus_router_free(bus_router *router);

/* Inputs: the lead topic first, then the declared topics in order of first mention, then the retry tiers by delay. */
const bus_input *bus_router_inputs(const bus_router *router, size_t *count);
const bus_output *bus_router_outputs(const bus_router *router, size_t *count);
const char *bus_router_dlq(const bus_router *router);
const char *bus_router_lead(const bus_router *router);
/* The tier for the attempt-th retry (1..), the last one for all after. NULL: there are no tiers (then retries wait in the store alone). */
const bus_input *bus_router_tier(const bus_router *router, int retry);

/* The route for (topic, type name); falls back to the topic's raw route; NULL: unrouted. tombstone: the record has no value. */
const bus_route *bus_router_find(const bus_router *router, const char *topic, const char *type, size_t type_len, bool tombstone);
/* Does any route of the topic want a decoded type by this name? */
const char *bus_router_scope(const bus_router *router, const bus_route *route);
int bus_router_attempts(const bus_router *router, const bus_route *route);
/* The declared topic of an emitted type; NULL: not declared. */
const char *bus_router_topic_of(const bus_router *router, const bus_type *type);

#endif
