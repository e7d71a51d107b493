/* SPDX-License-Identifier: MIT
 * Registry cache: asks the schema registry in the background, each question once. A thread of its own; what is asked for is an id met in a
 * record, or the id to write for a type on a topic. Answers go into the catalog; those a store kept are not asked again. */
#ifndef BUI_REGISTRY_CACHE_H
#define BUI_REGISTRY_CACHE_H

#include "base/config.h"
#include "base/metrics.h"
#include "codec/catalog.h"
#include "registry/registry.h"
#include "shard/ids.h"

typedef struct bui_registry_cache bui_registry_cache;

typedef struct bui_registry_cache_options {
    const bus_config *config;
    const char *where; /* for logs */
    bui_catalog *catalog;
    void (*news)(void *opaque);                          /* may be NULL: an answer came; on the registry cache's thread */
    void (*refused)(const bus_error *why, void *opaque); /* may be NULL: a type of bui_registry_cache_expect was refused */
    void *opaque;
    bool patient; /* what shards ask is waited for, until that fails once: where time is not real, as in a rebuild */
} bui_registry_cache_options;

/* *out is NULL if registry.url is not set. What `options` points to must outlive the registry cache. BUS_CONFIG: an address that is none, or
 * framing=confluent without a registry; BUS_IO: no thread; BUS_NOMEM. */
bus_status bui_registry_cache_open(const bui_registry_cache_options *options, bui_registry_cache **out, bus_error *err);
void bui_registry_cache_close(bui_registry_cache *registry_cache); /* ends a request under way; NULL is a no-op */

/* What shards take; its `stamp` is NULL unless framing=confluent. NULL for NULL. */
bui_ids *bui_registry_cache_ids(bui_registry_cache *registry_cache);

/* The service writes this type there: it is asked for at once and until there is an answer. A refusal is passed to `refused`. Does
 * nothing unless framing=confluent. */
bus_status bui_registry_cache_expect(bui_registry_cache *registry_cache, const char *topic, const bus_type *type, bus_error *err);

/* For callers that may wait. The framing to write, or NULL for single-object encoding (registry cache may be NULL). `name` and `json` are the
 * schema's, and outlive the registry cache. As bui_ids.stamp. */
bus_status bui_registry_cache_stamp(bui_registry_cache *registry_cache, const char *topic, const char *name, const char *json,
                                    const bui_stamp **out, bus_error *err);
/* Until the catalog has what the framing refers to, or the registry does not know it. BUS_OK at once for other framings. */
bus_status bui_registry_cache_wait(bui_registry_cache *registry_cache, const bui_framing *framing, bus_error *err);

/* Read at any time. What records refer to and the catalog has never comes here. */
typedef struct bui_registry_cache_metrics {
    bui_counter requests, refused, errors;   /* put to the registry; answered with no; answered by no address */
    bui_counter forgotten;                   /* refused references that made room for others */
    bui_counter hits, misses, negative_hits; /* wanted: known, to be asked for, known to be refused */
    bui_histogram request_time;
} bui_registry_cache_metrics;
extern const bui_metric bui_registry_cache_metric_table[];
const bui_registry_cache_metrics *bui_registry_cache_metrics_of(const bui_registry_cache *registry_cache);

#endif
