/* SPDX-License-Identifier: MIT
 * Transaction: what a handler, and a function given to bus_transact, may do.
 *
 * A bus_tx is one delivery's view of the shard's transaction. It is valid only inside the function
 * it was given to and only on that thread. Errors are sticky: a failed bus_emit, bus_sql, ... makes
 * the whole delivery roll back and retry, whatever the function returns. */
#ifndef BUS_TX_H
#define BUS_TX_H

#include <bus/event.h>

struct sqlite3;
struct sqlite3_stmt;

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define BUS_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define BUS_PRINTF(f, a)
#endif

typedef struct bus_tx bus_tx;

/* What becomes of a delivery. */
typedef enum bus_verdict {
    BUS_DONE = 0, /* commit what the handler did */
    BUS_RETRY,    /* undo, wait in the next retry topic, later events of the key park behind it */
    BUS_REJECT,   /* undo, dead letter at once: no retry would help */
    BUS_PAUSE     /* undo, stop this topic of the shard for a while; burns no attempt */
} bus_verdict;

/* Return these from a handler: they keep the reason (bounded, one line, no payloads) for the retry
 * and dead-letter headers. bus_pause also names the dependency that is away. */
bus_verdict bus_retry(bus_tx *tx, const char *reason, ...) BUS_PRINTF(2, 3);
bus_verdict bus_reject(bus_tx *tx, const char *reason, ...) BUS_PRINTF(2, 3);
bus_verdict bus_pause(bus_tx *tx, const char *dependency);

/* Emits `body` (a struct of `type`) as an event with string key `key` (NULL: none) to the topic that
 * the service declares for the type. It leaves after the commit, once. Copies everything.
 * BUS_INVALID: the type is not declared in bus_service.emits, or the body breaks its schema;
 * BUS_TOO_BIG: over message.max.bytes. Sticky. */
bus_status bus_emit(bus_tx *tx, const bus_type *type, const char *key, const void *body);

/* As bus_emit with all choices open. Zero means default. */
typedef struct bus_emit_options {
    const char *topic;          /* default: the type's declared topic */
    const void *key;            /* bytes; NULL: none */
    size_t key_len;
    int32_t partition;          /* used if explicit_partition */
    bool explicit_partition;
    const char *correlation;    /* default: that of the cause, else its id */
    const bus_header *headers;  /* further headers, copied; an event's own may be passed on: those that the bus writes (bus-*, ce_*,
                                 * __dlq.*, content-type, __value_schema_id) are left out and counted */
    size_t header_count;
} bus_emit_options;
bus_status bus_send(bus_tx *tx, const bus_type *type, const void *body, const bus_emit_options *options);

/* Answers the event being handled, to the partition its requester named (see bus_request). BUS_OK, and nothing
 * is sent, if the event asks for no reply, or names no place for it that can be used: see bus_reply_wanted.
 * BUS_INVALID outside a delivery, or if the body breaks its schema; sticky. */
bus_status bus_reply(bus_tx *tx, const bus_type *type, const void *body);

/* Does the event being handled ask for a reply, at a place where one can go? That is `bus-reply-to:
 * <topic>/<partition>` with a topic whose name ends with ".replies". A handler that need not answer can spare
 * the work. */
bool bus_reply_wanted(const bus_tx *tx);

/* Emits `body` at `due` (ms since the epoch, compare bus_now) unless cancelled. `name` identifies it
 * within the shard; scheduling a name again replaces it. Sticky. */
bus_status bus_schedule(bus_tx *tx, const char *name, int64_t due, const bus_type *type, const char *key,
                        const void *body);

/* Cancels what bus_schedule planned. Returns true if it was still waiting, false if it has been sent
 * already or never was. */
bool bus_cancel(bus_tx *tx, const char *name);

/* Returns a prepared statement of the shard's store, cached by its text, reset and with no bindings;
 * the library resets it again after the handler. NULL on error, which is sticky. Bind values, never
 * paste them. Transaction control, DDL, ATTACH, PRAGMA and the library's tables are denied. */
struct sqlite3_stmt *bus_sql(bus_tx *tx, const char *sql);

/* The shard's connection, under the same denials. */
struct sqlite3 *bus_db(bus_tx *tx);

/* The time of the delivery: the original record's timestamp, so a replay decides alike; the wall
 * clock inside bus_transact. Milliseconds since the epoch. */
int64_t bus_now(const bus_tx *tx);

/* What the route's prepare step left with bus_prepared, NULL if nothing. */
const void *bus_prepared_result(const bus_tx *tx, size_t *len);

/* The number of the shard, and of shards. */
int bus_tx_shard(const bus_tx *tx, int *count);

#ifdef __cplusplus
}
#endif
#endif
