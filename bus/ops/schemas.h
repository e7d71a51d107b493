/* SPDX-License-Identifier: MIT
 * Schemas: what tools need to read and write events of types they were not compiled with: the schemas of `bus.schemas` and of
 * files. Blocking. */
#ifndef BUI_OPS_SCHEMAS_H
#define BUI_OPS_SCHEMAS_H

#include "base/buf.h"
#include "codec/catalog.h"
#include "kafka/publisher.h"
#include "ops/watch.h"
#include "shard/admit.h"

/* Reads `bus.schemas` to its end into the catalog, by the rules of services (keys, quotas; but for schemas.closed, for nothing is compiled
 * in here); *refused: what was not learnt. A cluster without that topic has none: BUS_OK. BUS_BROKER, BUS_TIMEOUT, BUS_DENIED, BUS_CANCELLED, BUS_NOMEM. */
bus_status bui_schemas_load(const bus_config *config, int timeout_ms, bui_catalog *catalog, bui_refusals *refused,
                            const bui_watch *watch, bus_error *err);

/* Adds a schema from an .avsc file to the catalog, whole, in the words in which a service would announce it; *out borrows from it. Types that
 * the file does not define are looked for in the `count` others and in the .avsc files beside it (codec/schema_set.h). BUS_IO, BUS_SCHEMA,
 * BUS_TOO_BIG, with the file's name. */
bus_status bui_schemas_file(const char *path, const char *const *others, size_t count, bui_catalog *catalog,
                            const bui_schema **out, bus_error *err);

/* Is there a `bus.schemas` to announce on? A producer would wait for it until its time is up. BUS_MISSING: no, and what makes it;
 * BUS_BROKER, BUS_TIMEOUT, BUS_DENIED. */
bus_status bui_schemas_ready(const bus_config *config, int timeout_ms, bus_error *err);

/* Queues the schema for `bus.schemas`, as services announce theirs. `done` as of bui_kafka_publish. */
bus_status bui_schemas_announce(bui_kafka_publisher *publisher, const bui_schema *schema, bui_kafka_published done, void *opaque,
                                bus_error *err);

#endif
