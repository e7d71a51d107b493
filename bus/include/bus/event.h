/* SPDX-License-Identifier: MIT
 * Event: a fact that happened, typed by an Avro schema, and how it looks to a handler. */
#ifndef BUS_EVENT_H
#define BUS_EVENT_H

#include <bus/bytes.h>
#include <bus/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The compiled form of an Avro schema: made by the schema compiler, one constant per record, see
 * <bus/type.h>. */
typedef struct bus_type bus_type;

/* One record header. `value` may be NULL (Kafka tells null from empty); neither is terminated. */
typedef struct bus_header {
    const char *name; /* terminated */
    const void *value;
    size_t len;
} bus_header;

/* What a handler sees. All pointers are borrowed and live as long as the delivery. */
typedef struct bus_event {
    const char *topic; /* where it was first published; for a retry or redrive: the original */
    int32_t partition;
    int64_t offset;
    const char *
        id; /* ce_id, as a header or in bus-hop, like those below; or for events without one UUIDv5 of topic, partition, offset */
    const char *source;      /* ce_source, "" if none */
    const char *type_name;   /* ce_type, or the full name of the schema it was written by */
    const char *correlation; /* ce_correlationid, "" if none */
    const char *causation;   /* ce_causationid, "" if none */
    const char *traceparent; /* W3C trace context, "" if none */
    int64_t time_ms;         /* the original record's timestamp, since the epoch; what bus_now gives */
    int attempt;             /* 1 for the first */
    bus_string key;          /* any bytes; at NULL: no key; the empty key: at not NULL, len 0 */
    bus_bytes value;         /* as received, framing included; at NULL: tombstone */
    const bus_header
        *headers; /* as received: your own, and those of the bus; the attributes above may be in bus-hop and not here */
    size_t header_count;
    const bus_type *type; /* the route's type; NULL for a raw or tombstone route */
    const void *body;     /* the decoded struct of `type`; NULL where type is NULL */
    bool replay;          /* a copy sent by `bus replay`, or redriven from the letter of one: see bus_replay_policy */
    int attempts;         /* so often it is run at most: with attempt == attempts a further failure makes it a dead letter */
    int redriven; /* the round of the dead letter that it was redriven from, higher each time, and attempt begins at 1; 0: none */
    int64_t first_failed_ms; /* when it failed first, since the epoch, also before it was redriven; 0: it has not */
    bool scheduled;          /* bus_schedule made it, in this service or another */
} bus_event;

/* Returns the decoded struct if the event is of `type`, else NULL. Generated `X_of(event)` wraps it.
 * Thread: the one that has the event.
 * Errors: none; NULL says that the event is of another type.
 * Owner: the struct is the event's and lives as long. */
const void *bus_event_body(const bus_event *event, const bus_type *type);

#ifdef __cplusplus
}
#endif
#endif
