/* SPDX-License-Identifier: MIT
 * Rebuild of a scene's (or a simulation's) store from the topics in memory, by the code that does it from Kafka. */
#ifndef TESTS_SUPPORT_SCENE_REBUILD_H
#define TESTS_SUPPORT_SCENE_REBUILD_H

#include "ops/compare.h"
#include "rebuild/rebuild.h"
#include "support/scene.h"
#include "testing/memory_transport.h"

typedef struct memory_rebuild {
    const bus_service *service;
    bui_memory_cluster *cluster;
    bui_catalog *catalog;
    const char *data; /* where <service>/<p>.db are; the new ones go to <data>/rebuilt */
    const char *retry_tiers;
    int attempts, shards;
    int64_t now_ms;
    const bui_keys *keys;                   /* to verify with; NULL: none */
    bool (*gone)(const bui_record *record); /* compaction has taken it; NULL: none */
} memory_rebuild;

/* Makes the store of one shard again, the service stopped. */
bus_status memory_rebuild_shard(const memory_rebuild *how, int shard, bui_rebuilt *out, bus_error *err);

/* Of the scene, stopped; the new store stays beside the old one, and is compared with it. Fails the test if it cannot be made. */
bui_rebuilt scene_rebuild(scene *scene);
bui_rebuilt scene_rebuild_without(scene *scene, bool (*gone)(const bui_record *record));
/* What differs, "" if nothing: "table: old row | new row". Valid until the next. */
const char *scene_differences(scene *scene, const bui_rebuilt *rebuilt);
/* Puts the new store in the old one's place; the old one is gone. */
void scene_take_rebuilt(scene *scene, const bui_rebuilt *rebuilt);

#endif
