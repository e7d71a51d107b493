/* SPDX-License-Identifier: MIT
 * Transaction: what a handler, and a function given to bus_transact, may do.
 *
 * A bus_tx is one delivery's view of the shard's transaction. It is valid only inside the function
 * it was given to and only on that thread. Errors are sticky: a failed bus_emit, bus_sql, ... makes
 * the whole delivery roll back and retry, whatever the function returns. */
#ifndef BUS_TX_H
#define BUS_TX_H

#include <bus/bytes.h>
#include <bus/event.h>

struct sqlite3;
struct sqlite3_stmt;

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
/* Lets compilers check the arguments of a format. */
#define BUS_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define BUS_PRINTF(f, a)
#endif

/* One delivery's view of the shard's transaction. */
typedef struct bus_tx bus_tx;

/* What becomes of a delivery. */
typedef enum bus_verdict {
    BUS_DONE = 0, /* commit what the handler did */
    BUS_RETRY,    /* undo, wait in the next retry topic, later events of the key park behind it */
    BUS_REJECT,   /* undo, dead letter at once: no retry would help */
    BUS_PAUSE     /* undo, stop this topic of the shard for a while; burns no attempt */
} bus_verdict;

/* Return these from a handler: they keep the reason (bounded, one line, no payloads) for the retry and dead-letter headers.
 * bus_pause names the dependency that is away.
 * Thread: the handler's.
 * Errors: none; they return BUS_RETRY, BUS_REJECT and BUS_PAUSE.
 * Owner: copies the reason. */
bus_verdict bus_retry(bus_tx *tx, const char *reason, ...) BUS_PRINTF(2, 3);
bus_verdict bus_reject(bus_tx *tx, const char *reason, ...) BUS_PRINTF(2, 3);
bus_verdict bus_pause(bus_tx *tx, const char *dependency);

/* Emits `body` (a struct of `type`) as an event with key `key` (bus_str(NULL): none) to the topic that the service declares for the
 * type. It leaves after the commit, once.
 * Thread: the handler's.
 * Errors, sticky: BUS_INVALID: the type is not declared in bus_service.emits, or the body breaks its schema; BUS_TOO_BIG: over
 * message.max.bytes; BUS_MISSING: the topic is not there.
 * Owner: copies everything. */
bus_status bus_emit(bus_tx *tx, const bus_type *type, bus_string key, const void *body);

/* What an event may have beyond its type, key and body. Zero means default. */
typedef struct bus_emit_options {
    const char *topic; /* default: the type's declared topic */
    /* Further headers. An event's own may be passed on: those that the bus writes (bus-*, ce_*, __dlq.*, content-type and
     * __value_schema_id) are left out and counted. */
    const bus_header *headers;
    size_t header_count;
    const char *correlation; /* default: that of the cause, else its id */
    bool has_partition;
    int32_t partition; /* if has_partition; else by the key, without one by the event's id */
} bus_emit_options;

/* As bus_emit, with options (NULL: none).
 * Thread: the handler's.
 * Errors, sticky: as bus_emit; BUS_INVALID: the partition is negative, or there are too many headers.
 * Owner: copies everything. */
bus_status bus_emit_with(bus_tx *tx, const bus_type *type, bus_string key, const void *body, const bus_emit_options *options);

/* Answers the event being handled, to the partition its requester named (see bus_request). BUS_OK, and nothing is sent, if the
 * event asks for no reply, or names no place for it that can be used: see bus_reply_wanted.
 * Thread: the handler's.
 * Errors, sticky: BUS_INVALID: outside a delivery; else as bus_emit.
 * Owner: copies everything. */
bus_status bus_reply(bus_tx *tx, const bus_type *type, const void *body);

/* Does the event being handled ask for a reply, at a place where one can go? That is `bus-reply-to: <topic>/<partition>` with a
 * topic whose name ends with ".replies". A handler that need not answer can spare the work.
 * Thread: the handler's.
 * Errors: none. */
bool bus_reply_wanted(const bus_tx *tx);

/* Emits `body` at `due_ms` (since the epoch, compare bus_now) unless cancelled. `name` identifies it within the shard: text, not
 * empty, without zero bytes. Scheduling a name again replaces what was planned.
 * Thread: the handler's.
 * Errors, sticky: as bus_emit; BUS_INVALID: the name is none.
 * Owner: copies everything. */
bus_status bus_schedule(bus_tx *tx, bus_string name, int64_t due_ms, const bus_type *type, bus_string key, const void *body);

/* As bus_schedule, with options (NULL: none).
 * Thread: the handler's.
 * Errors, sticky: as bus_schedule and bus_emit_with.
 * Owner: copies everything. */
bus_status bus_schedule_with(bus_tx *tx, bus_string name, int64_t due_ms, const bus_type *type, bus_string key, const void *body,
                             const bus_emit_options *options);

/* Cancels what bus_schedule planned. Returns true if it was still waiting, false if it has been sent already or never was.
 * Thread: the handler's.
 * Errors, sticky: BUS_INVALID: the name is none; false then.
 * Owner: keeps nothing. */
bool bus_cancel(bus_tx *tx, bus_string name);

/* Returns a prepared statement of the shard's store, cached by its text, reset and with no bindings. Bind values, never paste
 * them: a new text is a new statement. Transaction control, DDL, ATTACH, PRAGMA and the library's tables are denied.
 * Thread: the handler's.
 * Errors, sticky: NULL is returned. BUS_INVALID: SQLite does not understand it, it is denied, or it is not one statement;
 * BUS_TOO_BIG: too many different texts in one handler; BUS_NOMEM; BUS_STORE.
 * Owner: the statement is the library's, which resets it after the handler: do not finalize it. */
struct sqlite3_stmt *bus_sql(bus_tx *tx, const char *sql);

/* Returns the shard's connection, for what needs one: sqlite3_errmsg, sqlite3_changes64, sqlite3_last_insert_rowid. The denials
 * of bus_sql hold.
 * Thread: the handler's.
 * Errors: none.
 * Owner: the connection is the shard's: do not close or keep it. */
struct sqlite3 *bus_db(bus_tx *tx);

/* Returns the time of the delivery: the original record's timestamp, so that a replay decides alike; inside bus_transact the
 * wall clock. Milliseconds since the epoch.
 * Thread: the handler's.
 * Errors: none. */
int64_t bus_now(const bus_tx *tx);

/* Returns what the route's prepare step left with bus_prepare_keep, and its length in *len (which may be NULL); NULL if it left
 * nothing.
 * Thread: the handler's.
 * Errors: none.
 * Owner: the bytes live until the handler returns. */
const void *bus_prepared_result(const bus_tx *tx, size_t *len);

/* Returns the number of the shard, from 0, and in *count (which may be NULL) how many there are.
 * Thread: the handler's.
 * Errors: none.
 * Owner: keeps nothing. */
int bus_tx_shard(const bus_tx *tx, int *count);

#ifdef __cplusplus
}
#endif
#endif
