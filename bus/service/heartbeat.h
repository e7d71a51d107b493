/* SPDX-License-Identifier: MIT
 * Heartbeat: what a process tells on `bus.services` (key "<service>/<instance>"), read by `bus services` and `bus topics plan`. */
#ifndef BUS_SERVICE_HEARTBEAT_H
#define BUS_SERVICE_HEARTBEAT_H

#include "shard/topics.h"

typedef struct bus_heartbeat {
    const char *service, *instance, *host, *state, *why; /* state: a bus_phase's name; why: "" or what it waits for */
    int pid;
    int64_t started_ms, at_ms;
    int shard_count;               /* N */
    const int *shards;             /* held by this process */
    size_t held;
    const bus_topic_need *topics;
    size_t topic_count;
    const bus_route *routes;       /* NULL: none */
} bus_heartbeat;

/* One JSON object: service, instance, host, pid, version, state, why, started, at (RFC 3339), shard_count, shards, topics; and
 * routes: topic, type (null: a raw route), tombstone, replay ("run", "skip" or "refuse"). */
void bus_heartbeat_json(const bus_heartbeat *beat, bus_buf *out);

#endif
