/* SPDX-License-Identifier: MIT
 * Test host: one process of a service, on the memory transport and a virtual clock, run by its caller: what control.c
 * and worker.c do with threads and time-outs. Used by bus_test_* and by simulation. */
#ifndef BUI_TESTING_TEST_HOST_H
#define BUI_TESTING_TEST_HOST_H

#include "shard/shard.h"
#include "testing/memory_transport.h"

typedef struct bui_host bui_host;

typedef struct bui_host_options {
    const bus_service *service;
    const char *data; /* where <service>/<p>.db goes */
    int shards;
    const char *retry_tiers; /* as the property; NULL: "1s,30s,10m" */
    int attempts;            /* of routes that do not say; 0: 5 */
    bui_limits limits;
    const bus_config *config; /* what bus_config_here gives */
    bui_memory_cluster *cluster;
    const bui_clock *clock;
    bui_catalog *catalog;
    bui_pool *pool;                /* for prepare steps; NULL: they run inside the step. A shard that closes waits for its jobs */
    const char *vfs, *synchronous; /* of the stores; see store.h */
    bool init;
    bui_accept accept;
} bui_host_options;

/* Checks the routes and joins the group; shards come with bui_memory_assign. Strings in options are borrowed. */
bus_status bui_host_open(const bui_host_options *options, bui_host **out, bus_error *err);
/* Closes shards at a step boundary, which loses nothing, and leaves. NULL is a no-op. */
void bui_host_close(bui_host *host);

bui_transport *bui_host_transport(bui_host *host);
/* Takes the group's events: detaches, closes what is no longer ours, opens, claims and attaches what is; tries again what failed
 * before. */
void bui_host_group(bui_host *host);
/* Steps a shard if it is open and woken or due; returns true if it was. */
bool bui_host_step(bui_host *host, int shard);
/* When (mono_us) the host wants to be called again; INT64_MAX: when something happens. 0: now. */
int64_t bui_host_due(const bui_host *host);
/* The shard, NULL while not open here. */
bui_shard *bui_host_shard(bui_host *host, int shard);
/* Why a shard does not run here: halted, refused, locked, broker away. BUS_OK: it runs, or is not ours. */
bus_status bui_host_failure(const bui_host *host, int shard, bus_error *err);

#endif
