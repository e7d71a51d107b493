/* SPDX-License-Identifier: MIT
 * Test host: one process of a service, on the memory transport and a virtual clock, run by whoever calls it: what control.c
 * and seat.c do with threads and time-outs. Used by bus_test_* and by simulation. */
#ifndef BUS_TESTING_TEST_HOST_H
#define BUS_TESTING_TEST_HOST_H

#include "shard/shard.h"
#include "testing/memory_transport.h"

typedef struct bus_host bus_host;

typedef struct bus_host_options {
    const bus_service *service;
    const char *data;              /* where <service>/<p>.db goes */
    int shards;
    const char *retry_tiers;       /* as the property; NULL: "1s,30s,10m" */
    int attempts;                  /* of routes that do not say; 0: 5 */
    bus_limits limits;
    bus_memory_cluster *cluster;
    const bus_clock *clock;
    bus_catalog *catalog;
    bus_pool *pool;                /* for prepare steps; NULL: they run inside the step. A shard that closes waits for its jobs */
    const char *vfs, *synchronous; /* of the stores; see store.h */
    bool init;
    bus_accept accept;
} bus_host_options;

/* Checks the routes and joins the group; shards come with bus_memory_assign. Strings in options are borrowed. */
bus_status bus_host_open(const bus_host_options *options, bus_host **out, bus_error *err);
/* Closes shards at a step boundary, which loses nothing, and leaves. NULL is a no-op. */
void bus_host_close(bus_host *host);

bus_transport *bus_host_transport(bus_host *host);
/* Takes the group's events: detaches, closes what is no longer ours, opens, claims and attaches what is; tries again what failed
 * before. */
void bus_host_group(bus_host *host);
/* Steps a shard if it is open and woken or due; returns true if it was. */
bool bus_host_step(bus_host *host, int shard);
/* When (mono_us) the host wants to be called again; INT64_MAX: when something happens. 0: now. */
int64_t bus_host_due(const bus_host *host);
/* The shard, NULL while not open here. */
bus_shard *bus_host_shard(bus_host *host, int shard);
/* Why a shard does not run here: halted, refused, locked, broker away. BUS_OK: it runs, or is not ours. */
bus_status bus_host_failure(const bus_host *host, int shard, bus_error *err);

#endif
