/* SPDX-License-Identifier: MIT
 * What the files of the rebuild share: rebuild.c (all shards, and their places), rebuild_check.c (may it be done?), rebuild_shard.c
 * (one shard). */
#ifndef BUI_REBUILD_REBUILD_INTERNAL_H
#define BUI_REBUILD_REBUILD_INTERNAL_H

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
    bui_rebuild_report *report;
    char home[400], build[460]; /* where the stores are, where the new ones are made */
    bool in_place, incomplete;
    int64_t at_ms;
    int timeout_ms;
    bui_router *router;
    bui_catalog *catalog;
    bui_keys *keys;
    bui_registry_cache *registry_cache;
    bui_transport *metadata;
    bui_logs *logs;
    bui_sent *sent;
    int shards;
    int32_t *partitions; /* of each input */
    bui_lock **locks;
    bui_kafka_lag *marks; /* of every partition of every input, sorted by topic, partition */
    size_t mark_count;
} rebuild;

/* Finds the shards and their logs, locks the stores, and refuses what cannot be made again, unless `incomplete`. */
bus_status bui_rebuild_check(rebuild *r, bus_error *err);
/* NULL: not read by the service. */
const bui_input *bui_rebuild_input(const rebuild *r, const char *topic);
/* What the group's commits say of shard p's store: "<id> <opens>", and whether bus_transact wrote. */
bool bui_rebuild_identity(const rebuild *r, int p, char id[37], int64_t *opens, bool *transacted);
/* Makes the store of shard p in r->build. */
bus_status bui_rebuild_shard(rebuild *r, int p, bus_error *err);

#endif
