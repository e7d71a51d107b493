/* SPDX-License-Identifier: MIT
 * Service: one consumer group with its handlers and stores. Declared as constants, run by
 * bus_service_main (a whole program) or bus_open (inside yours). */
#ifndef BUS_SERVICE_H
#define BUS_SERVICE_H

#include <bus/event.h>
#include <bus/tx.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A handler runs inside the shard's transaction, on the shard's thread, for one event; no I/O here.
 * `shard` is what bus_service.open returned. */
typedef bus_verdict (*bus_handler)(bus_tx *tx, const bus_event *event, void *shard);

/* Slow or blocking work before the transaction, on a pool thread: one event of a key at a time, at
 * least once. Use event->id as the idempotency key. Leave a result with bus_prepared. Return
 * BUS_DONE to have the handler run, or bus_prepare_fail for the other verdicts. */
typedef struct bus_prepare bus_prepare;
typedef bus_verdict (*bus_preparer)(bus_prepare *prepare, const bus_event *event, void *shard);

/* Hands `len` bytes, copied, to the handler's bus_prepared_result. BUS_NOMEM, BUS_TOO_BIG. */
bus_status bus_prepared(bus_prepare *prepare, const void *bytes, size_t len);

/* Returns `verdict` and keeps the reason, as bus_retry and bus_reject do. */
bus_verdict bus_prepare_fail(bus_prepare *prepare, bus_verdict verdict, const char *reason, ...) BUS_PRINTF(3, 4);

/* What becomes of the key when its event is given up on. */
typedef enum bus_dead_policy {
    BUS_RELEASE_KEY = 0, /* later events of the key go on */
    BUS_HOLD_KEY         /* they stay parked until the letter is redriven or discarded */
} bus_dead_policy;

/* What a copy sent by `bus replay` meets. It is handled beside its event, which has been: a handler that inserts fails, one that
 * adds adds twice. So a route has to say that its handler may run again; it sees bus_event.replay. A copy that fails is a dead
 * letter at once; it never waits, and holds up no event of its key. */
typedef enum bus_replay_policy {
    BUS_REPLAY_REFUSE = 0, /* it is not run, counted and logged; the command says so before it sends */
    BUS_REPLAY_SKIP,       /* it is passed over, and counted */
    BUS_REPLAY_RUN         /* the handler runs */
} bus_replay_policy;

/* Where a topic without a position starts. */
typedef enum bus_start { BUS_FROM_START = 0, BUS_FROM_END } bus_start;

/* One subscription: events of `type` on `topic` go to `handler`. A list ends with a zero topic.
 * type NULL and tombstone false: a raw route, takes every type of the topic that no other route
 * names, undecoded. tombstone true: records without a value. */
typedef struct bus_route {
    const char *topic;
    const bus_type *type;
    bus_handler handler;
    bus_preparer prepare;
    bus_dead_policy on_dead;
    bus_start start;
    bool tombstone;
    bool compacted;        /* the topic is compacted: no gap alarms, keyless emits refused */
    const char *scope;     /* keys wait per scope; default the topic. Routes sharing a scope share order */
    int attempts;          /* how often to run before a dead letter; default: property retry.attempts */
    bus_replay_policy replay;
    bool replay_emits;     /* what the handler emits, schedules and cancels for a copy counts, too: else it is discarded */
    bool replay_prepares;  /* `prepare` runs for a copy, too: else bus_prepared_result gives NULL for it */
} bus_route;

/* What the service writes. A list ends with a zero type. */
typedef struct bus_emits {
    const bus_type *type;
    const char *topic;     /* default "<service>.events" */
} bus_emits;

/* Append-only, checksummed, applied in order under the shard's lock. Every table needs a primary key
 * that is NOT NULL. A list ends with a zero name. */
typedef struct bus_migration {
    const char *name;
    const char *sql;
} bus_migration;

typedef struct bus_service {
    const char *name;                /* [a-z][a-z0-9-]{0,62} */
    const bus_route *routes;         /* NULL or empty: no inputs, the lead topic alone gives shards */
    const bus_emits *emits;
    const bus_migration *migrations;
    /* Called once per opened shard, on its thread, after migrations; what it leaves in *shard is
     * passed to handlers. NULL: handlers get NULL. */
    bus_status (*open)(struct sqlite3 *db, int shard, void *opaque, void **state, bus_error *err);
    void (*close)(void *state);
    void *opaque;
} bus_service;

/* A running bus: one process's membership in one service, or a publisher without a service. */
typedef struct bus bus;

/* Configuration: a checked set of properties, see docs/configuration.md. */
typedef struct bus_config bus_config;

/* Returns a configuration with every default, or NULL without memory. */
bus_config *bus_config_new(void);
void bus_config_free(bus_config *config);

/* Sets one property. BUS_CONFIG: unknown name (the text offers the nearest) or wrong value. "kafka.X"
 * passes X to librdkafka. */
bus_status bus_config_set(bus_config *config, const char *name, const char *value, bus_error *err);

/* Reads "name = value" lines, '#' comments. BUS_IO, or BUS_CONFIG with file and line. */
bus_status bus_config_read(bus_config *config, const char *path, bus_error *err);

/* Takes BUS_<NAME> from the environment: bootstrap.servers is BUS_BOOTSTRAP_SERVERS. */
bus_status bus_config_environment(bus_config *config, bus_error *err);

/* Joins the service's group and starts its threads; returns when configuration and routes are
 * checked, not when shards are assigned: a broker that is away is waited for. `service` NULL opens a
 * publisher: bus_publish, bus_flush and bus_request only. Copies config; `service` and what it
 * points to must outlive the bus. */
bus_status bus_open(const bus_service *service, const bus_config *config, bus **out, bus_error *err);

/* Drains (property drain.timeout.ms at most), leaves the group, closes the stores, frees. NULL is a
 * no-op. Whatever was committed and not yet acknowledged leaves at the next open. */
void bus_close(bus *bus);

/* Blocks until bus_stop or a fatal error, which is then returned. */
bus_status bus_run(bus *bus, bus_error *err);

/* Makes bus_run return and deliveries end after the batch that is under way. Any thread, and signal handlers. */
void bus_stop(bus *bus);

/* For a program with its own event loop: the descriptor turns readable when completions of
 * bus_transact_async, bus_publish and bus_request wait; bus_dispatch runs their callbacks on the
 * calling thread and returns how many. Before the first call of bus_fd callbacks run on library threads. */
int bus_fd(bus *bus);
int bus_dispatch(bus *bus);

/* A function run inside the store's transaction; not BUS_DONE rolls it back. */
typedef bus_verdict (*bus_transaction)(bus_tx *tx, void *opaque);
typedef void (*bus_done)(void *opaque, bus_status status, const bus_error *err);

/* Runs `fn` in a transaction of the shard that owns `key` and returns when it is durable; concurrent
 * callers share a commit. `fn` runs on the shard's thread or, while that sleeps, on the caller's, which should have
 * 128 KiB of stack: always alone in its shard. The caller is not cancelled meanwhile. Any thread but a handler's (BUS_INVALID there). BUS_ELSEWHERE: the shard is
 * another process's. BUS_REFUSED: fn returned a verdict other than BUS_DONE, rolled back, its reason
 * in err. BUS_FULL: the outbox is at its bound, or the disk is full. BUS_IO: the disk failed; should the process end now,
 * the transaction may be found committed at the next open. */
bus_status bus_transact(bus *bus, const void *key, size_t key_len, bus_transaction fn, void *opaque, bus_error *err);

/* As bus_transact without waiting; `done` is called exactly once if BUS_OK is returned. */
bus_status bus_transact_async(bus *bus, const void *key, size_t key_len, bus_transaction fn, void *opaque,
                              bus_done done, bus_error *err);

/* Runs `fn` on a query-only snapshot of the shard that owns `key`, on the calling thread, beside the
 * writer; at most store.read.max.ms, then interrupted (BUS_TIMEOUT). */
typedef bus_status (*bus_reader)(struct sqlite3 *db, void *opaque, bus_error *err);
bus_status bus_read(bus *bus, const void *key, size_t key_len, bus_reader fn, void *opaque, bus_error *err);

/* Publishes without a store: at least once, in order per key, deduplicated by librdkafka's idempotent
 * producer only. `done` may be NULL. BUS_FULL when the local queue is. Any thread. */
bus_status bus_publish(bus *bus, const char *topic, const bus_type *type, const void *key, size_t key_len,
                       const void *body, bus_done done, void *opaque, bus_error *err);

/* As bus_publish for bytes already framed, with headers; value NULL is a tombstone. The headers are the caller's own, ce_* included;
 * BUS_INVALID: one is named bus-* or __dlq.*, which the bus alone writes. */
typedef struct bus_raw {
    const char *topic;
    const void *key;  size_t key_len;
    const void *value; size_t value_len;
    const bus_header *headers; size_t header_count;
    int32_t partition;         /* -1: by key; zero with keep_partition false also means by key */
    bool keep_partition;
    int64_t timestamp;         /* 0: now */
} bus_raw;
bus_status bus_publish_raw(bus *bus, const bus_raw *record, bus_done done, void *opaque, bus_error *err);

/* Waits until everything published is acknowledged or has failed. BUS_TIMEOUT; BUS_BROKER if any failed
 * since the last flush and had no `done`. timeout_ms < 0: no limit. */
bus_status bus_flush(bus *bus, int timeout_ms, bus_error *err);

/* Sends `body` and waits for the answer on this process's partition of `<service>.replies`. `answer`
 * runs on the calling thread with the reply, valid for the call. BUS_TIMEOUT after timeout_ms. */
typedef void (*bus_answer)(const bus_event *reply, void *opaque);
bus_status bus_request(bus *bus, const char *topic, const bus_type *type, const void *key, size_t key_len,
                       const void *body, const bus_type *reply_type, int timeout_ms, bus_answer answer,
                       void *opaque, bus_error *err);

/* The whole main of a service: parses argv (--help tells), reads configuration, logs JSON to stderr,
 * serves metrics and health, drains on SIGTERM and SIGINT, returns the exit code. The only function
 * that prints, reads argv or takes signals. */
int bus_service_main(int argc, char **argv, const bus_service *service);

#ifdef __cplusplus
}
#endif
#endif
