/* SPDX-License-Identifier: MIT
 * Publish: events from outside of any store's transaction, and requests that wait for an answer. Inside a handler use bus_emit. */
#ifndef BUS_PUBLISH_H
#define BUS_PUBLISH_H

#include <bus/bytes.h>
#include <bus/error.h>
#include <bus/event.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A running bus: one process's membership in one service, or a publisher without a service. See bus_open. */
typedef struct bus bus;

/* How a call that does not wait has ended. */
typedef struct bus_result {
    bus_status status;
    const bus_error *error; /* NULL if status is BUS_OK, and only then */
    int32_t partition;      /* where the record stands; -1: none, or not known */
    int64_t offset;         /* -1: none, or not known */
} bus_result;

/* Is told how a call that did not wait has ended: exactly once for each that returned BUS_OK. `result` is valid during the call. It runs
 * on a thread of the library, or, once bus_fd has been called, in bus_dispatch or bus_close. It must not wait for the library: no
 * bus_transact, bus_request, bus_flush or bus_close in it. */
typedef void (*bus_done)(const bus_result *result, void *opaque);

/* One record to publish: an event (type and body), bytes as they are (value), or a tombstone. Zero means default. */
typedef struct bus_publication {
    const char *topic;
    const bus_type *type;
    bus_string key;            /* default: none */
    const void *body;          /* a struct of `type`; the bus writes its id and the other ce_* headers */
    bus_bytes value;           /* framing included; the ce_* headers are the caller's to write */
    bool tombstone;            /* a record without a value */
    const bus_header *headers; /* further headers */
    size_t header_count;
    bool has_partition;
    int32_t partition; /* if has_partition; else by the key, without one by the event's id */
    int64_t time_ms;   /* the record's timestamp, since the epoch; default: now */
} bus_publication;

/* A publication of an event, with what it needs; the rest can be set. Generated `X_publication(topic, key, body)` wraps it.
 * Thread: any.
 * Errors: none.
 * Owner: borrows everything. */
static inline bus_publication bus_publication_of(const char *topic_, const bus_type *type_, bus_string key_, const void *body_)
{
    bus_publication publication_ = { topic_, type_, key_, body_, { NULL, 0 }, false, NULL, 0, false, 0, 0 };
    return publication_;
}

/* Publishes without a store: at least once, in order per key, deduplicated by librdkafka's idempotent producer only. `done` NULL: a
 * failure is told by bus_flush.
 * Thread: any.
 * Errors: BUS_INVALID: no topic, not exactly one of type and body, value, and tombstone, a body that breaks its schema, a negative
 * partition or time, or a header that only the bus may write (bus-*, __dlq.*; of an event also ce_*, content-type and
 * __value_schema_id); BUS_FULL: the local queue is full: try again; BUS_TOO_BIG: over message.max.bytes; BUS_MISSING: no such partition;
 * BUS_CONFIG or BUS_IO: the producer cannot be made (at the first call); BUS_MISSING, BUS_SCHEMA or BUS_DENIED: the registry's answer, with
 * framing=confluent; BUS_CLOSED: the bus is stopping; BUS_NOMEM. To `done` also: BUS_TIMEOUT: not acknowledged
 * within publish.timeout.ms, it may be stored all the same; BUS_DENIED; BUS_BROKER; BUS_CLOSED: bus_close came first.
 * Owner: copies everything; `opaque` must live until `done` has been called. */
bus_status bus_publish(bus *bus, const bus_publication *publication, bus_done done, void *opaque, bus_error *err);

/* Waits until everything published is acknowledged or has failed. timeout_ms 0: only looks; below 0: no limit.
 * Thread: any but one on which the library calls `done`.
 * Errors: BUS_TIMEOUT: some are still on their way; the first failure since the last flush of what had no `done`: BUS_BROKER, BUS_MISSING,
 * BUS_DENIED or another. */
bus_status bus_flush(bus *bus, int timeout_ms, bus_error *err);

/* What a request may have beyond its question. Zero means default. */
typedef struct bus_request_options {
    const bus_type *reply_type; /* what the answer is decoded as; default: not decoded, bus_event.body is NULL */
    int timeout_ms;             /* default: 30000 */
} bus_request_options;

/* Called with the reply, which is valid during the call, on the thread that asked. */
typedef void (*bus_on_reply)(const bus_event *reply, void *opaque);

/* Publishes an event and waits for the reply (see bus_reply) on this process's partition of replies.topic, by default
 * "<service>.replies". `options` NULL: none; `on_reply` NULL: the reply is only waited for.
 * Thread: any but a handler's (BUS_INVALID there) and one on which the library calls `done`; `on_reply` runs on it.
 * Errors: as bus_publish; BUS_INVALID: called in a handler, no event, or no replies.topic; BUS_TIMEOUT: no answer within timeout_ms;
 * BUS_CANCELLED: bus_stop came first; BUS_MISSING: the topic of replies is not there, or the reply's schema is not known; BUS_SCHEMA,
 * BUS_CORRUPT: the reply cannot be read as reply_type. After a time-out or a stop the request may still be carried out.
 * Owner: copies everything; the reply lives as long as the call of `on_reply`. */
bus_status bus_request(bus *bus, const bus_publication *question, const bus_request_options *options, bus_on_reply on_reply,
                       void *opaque, bus_error *err);

#ifdef __cplusplus
}
#endif
#endif
