/* SPDX-License-Identifier: MIT
 * Publisher: the process's publisher without a store, and the thread that runs its callbacks. */
#ifndef BUI_SERVICE_PUBLISHER_H
#define BUI_SERVICE_PUBLISHER_H

#include "codec/cloud.h"
#include "codec/publication.h"
#include "codec/schema.h"
#include "kafka/publisher.h"
#include "service/runner.h"

/* The handle's publisher, opened by the first that asks. Any thread. */
bus_status bui_publisher_of(bus *bus, bui_publisher **out, bus_error *err);
void bui_publisher_close(bui_publisher *publisher); /* waits a second for what is out; NULL is a no-op */

/* As bui_kafka_publish. Any thread; `done` runs on the publisher's thread or inside bui_publisher_flush. */
bus_status bui_publisher_publish(bui_publisher *publisher, const bui_row *row, bui_kafka_published done, void *opaque,
                                 bus_error *err);
bus_status bui_publisher_flush(bui_publisher *publisher, int timeout_ms, bus_error *err);

/* Puts a schema on bus.schemas, unless the catalog has it: what that knows is announced, by the follower or here. It is
 * announced first: a full queue must not make it known. `done` NULL: bus_flush reports a failure. BUS_SCHEMA, BUS_FULL. */
bus_status bui_announce(bus *bus, const char *text, bui_kafka_published done, const bui_schema **out, bus_error *err);

/* The headers of an event's first publication, its own among them: in full, since it has no hop. Values are borrowed. */
#define BUI_EVENT_HEADERS (BUI_CLOUD_HEADERS + 1 + BUI_OWN_HEADERS)
size_t bui_event_headers(const char *id, const char *source, const char *type, const char *correlation, const char *reply_to,
                         const bus_publication *own, bus_header out[BUI_EVENT_HEADERS]);

/* An event as a row. `reply_to` NULL: no request; else its own id correlates: an answer, and all that follows from it, names it. Borrows all but
 * the value, which bui_buf_free frees, also after a failure. */
typedef struct bui_event_row {
    bui_buf value;
    bus_header headers[BUI_EVENT_HEADERS];
    bui_row row;
} bui_event_row;
bus_status bui_publisher_event(bus *bus, bui_publisher *publisher, const bus_publication *from, const char *id,
                               const char *reply_to, bui_event_row *out, bus_error *err);

#endif
