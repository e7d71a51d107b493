/* SPDX-License-Identifier: MIT
 * Outlet: the process's publisher without a store, and the thread that runs its callbacks. */
#ifndef BUS_SERVICE_OUTLET_H
#define BUS_SERVICE_OUTLET_H

#include "codec/cloud.h"
#include "codec/schema.h"
#include "kafka/publisher.h"
#include "service/runner.h"

/* The handle's outlet, opened by the first that asks. Any thread. */
bus_status bus_outlet_of(bus *bus, bus_outlet **out, bus_error *err);
void bus_outlet_close(bus_outlet *outlet); /* waits a second for what is out; NULL is a no-op */

/* As bus_kafka_publish. Any thread; `done` runs on the outlet's thread or inside bus_outlet_flush. */
bus_status bus_outlet_publish(bus_outlet *outlet, const bus_row *row, bus_kafka_published done, void *opaque, bus_error *err);
bus_status bus_outlet_flush(bus_outlet *outlet, int timeout_ms, bus_error *err);

/* Encodes in the framing that is configured. The first event of a type on a topic waits for the schema registry, if that gives the
 * framing: see bus_asker_stamp. */
bus_status bus_outlet_encode(bus *bus, const char *topic, const bus_type *type, const void *body, bus_buf *out, bus_error *err);

/* Puts a schema on bus.schemas, unless the catalog has it: what that knows is announced, by the follower or here. It is announced first: a
 * full queue must not make it known. `done` NULL: a failure is told by bus_flush. BUS_SCHEMA, BUS_FULL. */
bus_status bus_announce(bus *bus, const char *text, bus_kafka_published done, const bus_schema **out, bus_error *err);

/* The headers of an event's first publication. Values are borrowed. */
#define BUS_EVENT_HEADERS (BUS_CLOUD_HEADERS + 1)
size_t bus_event_headers(const char *id, const char *source, const bus_type *type, const char *correlation,
                         const char *reply_to, bool compact, bus_header out[BUS_EVENT_HEADERS]);

#endif
