/* SPDX-License-Identifier: MIT
 * What the files of the rebuild share: rebuild.c (all shards, and their places), rebuild_check.c (may it be done?), rebuild_shard.c
 * (one shard). */
#ifndef BUS_REBUILD_REBUILD_INTERNAL_H
#define BUS_REBUILD_REBUILD_INTERNAL_H

#include "codec/mac.h"
#include "kafka/lag.h"
#include "rebuild/logs.h"
#include "rebuild/rebuild.h"
#include "rebuild/sent.h"
#include "registry/cache.h"
#include "shard/router.h"
#include "shard/transport.h"
#include "store/lock.h"

typedef struct rebuild {
    const bus_service *service;
    const bus_config *config;
    bus_rebuild_report *report;
    char home[400], build[460];     /* where the stores are, where the new ones are made */
    bool in_place, incomplete;
    int64_t at_ms;
    int timeout_ms;
    bus_router *router;
    bus_catalog *catalog;
    bus_keys *keys;
    bus_asker *asker;
    bus_transport *metadata;
    bus_logs *logs;
    bus_sent *sent;
    int shards;
    int32_t *partitions;            /* of each input */
    bus_lock **locks;
    bus_kafka_lag *marks;           /* of every partition of every input, sorted by topic, partition */
    size_t mark_count;
} rebuild;

/* Finds the shards and their logs, locks the stores, and refuses what cannot be made again, unless `incomplete`. */
bus_status bus_rebuild_check(rebuild *r, bus_error *err);
/* NULL: not read by the service. */
const bus_input *bus_rebuild_input(const rebuild *r, const char *topic);
/* What the group's commits say of shard p's store: "<id> <opens>", and whether bus_transact wrote. */
bool bus_rebuild_identity(const rebuild *r, int p, char id[37], int64_t *opens, bool *transacted);
/* Makes the store of shard p in r->build. */
bus_status bus_rebuild_shard(rebuild *r, int p, bus_error *err);

#endif
