/* SPDX-License-Identifier: MIT
 * Router: which route takes a record, and all that a service declares, checked once and looked up by hash. Read-only
 * after bui_router_new, shared by all shards. */
#ifndef BUI_SHARD_ROUTER_H
#define BUI_SHARD_ROUTER_H

#include <bus/service.h>

typedef struct bui_router bui_router;

/* One topic that the service reads. */
typedef struct bui_input {
    const char *topic;
    bus_start start;
    bool compacted;
    bool retry_tier;  /* one of <service>.retry.* */
    bool lead;        /* <service>.redrive */
    int64_t delay_ms; /* of a retry tier */
} bui_input;

/* One topic that the service writes, other than its own machinery. */
typedef struct bui_output {
    const char *topic;
} bui_output;

/* Checks and compiles. `retry_tiers` is the property's text, "1s,30s,10m". BUS_INVALID with what to do: a bad name, two
 * routes for one (topic, type), a route without a handler, an emit without a type, a topic name Kafka refuses, routes of
 * one topic that disagree on start or compacted. */
bus_status bui_router_new(const bus_service *service, const char *retry_tiers, int attempts, bui_router **out, bus_error *err);
void bui_router_free(bui_router *router);

/* Inputs: the lead topic first, then the declared topics in order of first mention, then the retry tiers by delay. */
const bui_input *bui_router_inputs(const bui_router *router, size_t *count);
const bui_output *bui_router_outputs(const bui_router *router, size_t *count);
const char *bui_router_dlq(const bui_router *router);
const char *bui_router_lead(const bui_router *router);
/* The tier for the attempt-th retry (1..), the last one for all after. NULL: there are no tiers (then retries wait in the store alone). */
const bui_input *bui_router_tier(const bui_router *router, int retry);

/* The route for (topic, type name); falls back to the topic's raw route; NULL: unrouted. tombstone: the record has no value. */
const bus_route *bui_router_find(const bui_router *router, const char *topic, const char *type, size_t type_len, bool tombstone);
/* Does any route of the topic want a decoded type by this name? */
const char *bui_router_scope(const bui_router *router, const bus_route *route);
int bui_router_attempts(const bui_router *router, const bus_route *route);
/* The declared topic of an emitted type; NULL: not declared. */
const char *bui_router_topic_of(const bui_router *router, const bus_type *type);

#endif
