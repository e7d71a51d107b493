/* SPDX-License-Identifier: MIT
 * Schemas: what tools need to read and write events of types they were not compiled with: the schemas of `bus.schemas` and of
 * files. Blocking. */
#ifndef BUS_OPS_SCHEMAS_H
#define BUS_OPS_SCHEMAS_H

#include "base/buf.h"
#include "codec/catalog.h"
#include "kafka/publisher.h"
#include "ops/watch.h"
#include "shard/admit.h"

/* Reads `bus.schemas` to its end into the catalog, by the rules of services (keys, quotas; but for schemas.closed, for nothing is compiled
 * in here); *refused: what was not learnt. A cluster without that topic has none: BUS_OK. BUS_BROKER, BUS_TIMEOUT, BUS_DENIED, BUS_CANCELLED, BUS_NOMEM. */
bus_status bus_schemas_load(const bus_config *config, int timeout_ms, bus_catalog *catalog, bus_refusals *refused,
                            const bus_watch *watch, bus_error *err);

/* Adds a schema from an .avsc file to the catalog, whole, in the words in which a service would announce it; *out borrows from it. Types that
 * the file does not define are looked for in the `count` others and in the .avsc files beside it (codec/schema_set.h). BUS_IO, BUS_SCHEMA,
 * BUS_TOO_BIG, with the file's name. */
bus_status bus_schemas_file(const char *path, const char *const *others, size_t count, bus_catalog *catalog, const bus_schema **out,
                            bus_error *err);

/* Is there a `bus.schemas` to announce on? A producer would wait for it until its time is up. BUS_MISSING: no, and what makes it;
 * BUS_BROKER, BUS_TIMEOUT, BUS_DENIED. */
bus_status bus_schemas_ready(const bus_config *config, int timeout_ms, bus_error *err);

/* Queues the schema for `bus.schemas`, as services announce theirs. `done` as of bus_kafka_publish. */
bus_status bus_schemas_announce(bus_kafka_publisher *publisher, const bus_schema *schema, bus_kafka_published done,
                                void *opaque, bus_error *err);

#endif
