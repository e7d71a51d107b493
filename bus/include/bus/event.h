/* SPDX-License-Identifier: MIT
 * Event: a fact that happened, typed by an Avro schema, and how it looks to a handler. */
#ifndef BUS_EVENT_H
#define BUS_EVENT_H

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
    const char *name;   /* terminated */
    const void *value;
    size_t len;
} bus_header;

/* What a handler sees. All pointers are borrowed and live as long as the delivery. */
typedef struct bus_event {
    const char *topic;         /* where it was first published; for a retry or redrive: the original */
    int32_t partition;
    int64_t offset;
    const char *id;            /* ce_id, or for events without one UUIDv5 of topic, partition, offset */
    const char *source;        /* ce_source, "" if none */
    const char *type_name;     /* ce_type, or the full name of the schema it was written by */
    const char *correlation;   /* ce_correlationid, "" if none */
    const char *causation;     /* ce_causationid, "" if none */
    const char *traceparent;   /* W3C trace context, "" if none */
    int64_t time;              /* the original record's timestamp, ms since the epoch; what bus_now gives */
    int attempt;               /* 1 for the first */
    const void *key;           /* NULL: no key; empty key: not NULL, key_len 0 */
    size_t key_len;
    const void *value;         /* as received, framing included; NULL: tombstone */
    size_t value_len;
    const bus_header *headers; /* as received */
    size_t header_count;
    const bus_type *type;      /* the route's type; NULL for a raw or tombstone route */
    const void *body;          /* the decoded struct of `type`; NULL where type is NULL */
    bool replay;               /* a copy sent by `bus replay`, or redriven from the letter of one: see bus_replay_policy */
} bus_event;

/* Returns the decoded struct if the event is of `type`, else NULL. Generated `X_of(e)` wraps it. */
const void *bus_event_body(const bus_event *event, const bus_type *type);

#ifdef __cplusplus
}
#endif
#endif
