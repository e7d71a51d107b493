/* SPDX-License-Identifier: MIT
 * Heartbeat: what a process writes on `bus.services` (key "<service>/<instance>"), read by `bus services` and `bus topics plan`. */
#ifndef BUI_SERVICE_HEARTBEAT_H
#define BUI_SERVICE_HEARTBEAT_H

#include "shard/topics.h"

typedef struct bui_heartbeat {
    const char *service, *service_version, *instance, *host, *state,
        *why; /* state: a bui_phase's name; why: "" or what it waits for */
    int pid;
    int64_t started_ms, at_ms;
    int shard_count;   /* N */
    const int *shards; /* held by this process */
    size_t held;
    const bui_topic_need *topics;
    size_t topic_count;
    const bus_route *routes; /* NULL: none */
} bui_heartbeat;

/* One JSON object: service, service_version ("": none), instance, host, pid, version (the library's), state, why, started, at (RFC 3339), shard_count, shards, topics; and
 * routes: topic, type (null: a raw route), tombstone, replay ("run", "skip" or "refuse"). */
void bui_heartbeat_json(const bui_heartbeat *beat, bui_buf *out);

#endif
