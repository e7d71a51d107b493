/* SPDX-License-Identifier: MIT
 * Asker: asks the schema registry in the background, each question once. A thread of its own; what is asked for is an id met in a
 * record, or the id to write for a type on a topic. Answers go into the catalog; those a store kept are not asked again. */
#ifndef BUS_REGISTRY_CACHE_H
#define BUS_REGISTRY_CACHE_H

#include "base/config.h"
#include "base/metrics.h"
#include "codec/catalog.h"
#include "registry/client.h"
#include "shard/ids.h"

typedef struct bus_asker bus_asker;

typedef struct bus_asker_options {
    const bus_config *config;
    const char *where;                                      /* for logs */
    bus_catalog *catalog;
    void (*news)(void *opaque);                             /* may be NULL: an answer came; on the asker's thread */
    void (*refused)(const bus_error *why, void *opaque);    /* may be NULL: a type of bus_asker_expect was refused */
    void *opaque;
    bool patient;   /* what shards ask is waited for, until that fails once: where time is not real, as in a rebuild */
} bus_asker_options;

/* *out is NULL if registry.url is not set. What `options` points to must outlive the asker. BUS_CONFIG: an address that is none, or
 * framing=confluent without a registry; BUS_IO: no thread; BUS_NOMEM. */
bus_status bus_asker_open(const bus_asker_options *options, bus_asker **out, bus_error *err);
void bus_asker_close(bus_asker *asker); /* ends a request under way; NULL is a no-op */

/* What shards take; its `stamp` is NULL unless framing=confluent. NULL for NULL. */
bus_ids *bus_asker_ids(bus_asker *asker);

/* The service writes this type there: it is asked for at once and until there is an answer. A refusal is told to `refused`. Does
 * nothing unless framing=confluent. */
bus_status bus_asker_expect(bus_asker *asker, const char *topic, const bus_type *type, bus_error *err);

/* For callers that may wait. The framing to write, or NULL for single-object encoding (asker may be NULL). `name` and `json` are the
 * schema's, and outlive the asker. As bus_ids.stamp. */
bus_status bus_asker_stamp(bus_asker *asker, const char *topic, const char *name, const char *json, const bus_stamp **out, bus_error *err);
/* Until the catalog has what the framing refers to, or the registry does not know it. BUS_OK at once for other framings. */
bus_status bus_asker_wait(bus_asker *asker, const bus_framing *framing, bus_error *err);

/* Read at any time. What records refer to and the catalog has never comes here. */
typedef struct bus_asker_metrics {
    bus_counter requests, refused, errors;  /* put to the registry; answered with no; answered by no address */
    bus_counter forgotten;                   /* refused references that made room for others */
    bus_counter hits, misses, negative_hits; /* wanted: known, to be asked for, known to be refused */
    bus_histogram request_time;
} bus_asker_metrics;
extern const bus_metric bus_asker_metric_table[];
const bus_asker_metrics *bus_asker_metrics_of(const bus_asker *asker);

#endif
