/* SPDX-License-Identifier: MIT
 * Shard: one partition of all topics of a service, with its store. Single-threaded and non-blocking: the owner of the
 * thread calls bui_shard_step until told to sleep. Knows a transport and a clock, never librdkafka.
 *
 * Life: open (lock, store) -> claim (checks against the group's commits, blocking) -> attach (lanes) -> step ... ->
 * detach -> attach ... -> close. Between detach and attach a shard still steps: transactions, relay and timers go on. */
#ifndef BUI_SHARD_SHARD_H
#define BUI_SHARD_SHARD_H

#include "base/clock.h"
#include "codec/catalog.h"
#include "codec/mac.h"
#include "shard/fates.h"
#include "shard/ids.h"
#include "shard/metrics.h"
#include "shard/router.h"
#include "shard/transport.h"
#include "store/store.h"

typedef struct bui_shard bui_shard;

typedef struct bui_limits {
    int batch_records; /* per transaction */
    int64_t batch_bytes;
    int64_t outbox_bytes;  /* at this depth deliveries stop and bus_transact says BUS_FULL */
    int64_t message_bytes; /* largest record emitted, as a broker counts */
    int64_t parked_per_key, parked_bytes;
    int64_t retry_grace_ms; /* past due before a waiting head runs without its record */
    int64_t pause_first_ms, pause_most_ms;
    int64_t schema_wait_ms;  /* that a topic waits for unknown schemas, in all: see schema_wait.c */
    int64_t wal_bytes;       /* checkpoint above */
    int64_t idle_recheck_ms; /* a destination idle this long: one row alone (10 s) */
    int64_t log_check_ms;    /* a log not compared with what was read of it for this long is looked at before more is delivered */
    int64_t linger_us;       /* rows of small transactions leave together if the last left less than this long ago */
    int64_t look_ms;         /* for finding out, at open, which rows are in Kafka; 0: not at all */
    int in_flight;           /* rows out per destination */
    int64_t broker_timeout_ms; /* for the blocking calls of claim */
    int reject_percent;        /* over this share of recent events failing, no more dead letters but a pause (0: off) */
    int prepare_window;
    bool compact_envelope; /* envelope=compact */
    bool refused_waits;    /* outbox.refused=wait */
    int64_t commit_interval_ms;
    int64_t dedup_most, marks_most, state_bytes; /* for bui_store_options */
    const bui_keys *keys;                        /* to sign and verify with; NULL: none. Not owned */
    int reply_places;                            /* destinations of this store, past which no further one is answered */
} bui_limits;
void bui_limits_of(const bus_config *config, bui_limits *out);

/* Was the record written by whom it says, for this place? True where that need not be shown (hop.verify); else why not. `speaker` as for
 * bui_mac_check. */
bool bui_record_authentic(const bui_keys *keys, const bui_record *record, const char *speaker, bus_error *why);

/* Runs prepare steps off the shard's thread. `submit` must call job->run(job) on another thread (or at once, in tests), then
 * job->done(job) from there; done is thread-safe. */
typedef struct bui_job bui_job;
struct bui_job {
    void (*run)(bui_job *job);
    void (*done)(bui_job *job);
    bui_job *next;
};
typedef struct bui_pool bui_pool;
struct bui_pool {
    void (*submit)(bui_pool *pool, bui_job *job);
};

/* What a start accepts, once, because an operator has said so. */
typedef enum bui_accept {
    BUI_ACCEPT_NOTHING,
    BUI_ACCEPT_COPY,          /* an older copy of the store, and the loss of what it has not seen */
    BUI_ACCEPT_GROUP_OFFSETS, /* offsets in the group that nobody of this service has committed */
    BUI_ACCEPT_STORE_OFFSETS  /* the store's positions, whatever the group holds */
} bui_accept;

typedef struct bui_shard_options {
    const bus_service *service;
    const bui_router *router;
    int index, count;
    const char *directory; /* <data>/<service>: holds <p>.db, <p>.lock, <p>.want, <p>.running */
    bui_transport *transport;
    const bui_clock *clock;
    bui_catalog *catalog;
    bui_ids *ids;   /* NULL: no schema registry */
    bui_pool *pool; /* NULL: prepare steps run on the shard's thread */
    bui_limits limits;
    const bus_config *config; /* what bus_config_here gives; NULL: nothing */
    int64_t cache_bytes;
    const char *secure_delete;     /* see store.h */
    int64_t shrink_bytes;          /* see store.h */
    const char *vfs, *synchronous; /* see store.h */
    bui_fates *fates;              /* of a rebuild; NULL otherwise */
    bool init;                     /* --init: a new store may be made although the group's commits name another */
    bui_accept accept;             /* --accept: at its first claim */
    /* A type that is written and not declared: others must learn its schema. Does not block. False: ask again. NULL: nobody need know. */
    bool (*announce)(void *opaque, const bus_type *type);
    void *announce_opaque;
    void (*wake)(void *opaque); /* from any thread: the shard has something to do */
    void *wake_opaque;
} bui_shard_options;

/* Takes the lock, opens the store, opens a port, calls the service's open. No network but the port's start.
 * BUS_LOCKED: another process holds the shard; *want then holds our request for it (store/lock.h), try again. */
struct bui_lock;
bus_status bui_shard_open(const bui_shard_options *options, struct bui_lock **want, bui_shard **out, bus_error *err);

/* Section 3 "Open": reads the group's commits of every input partition (q mod N = index), refuses wrong, copied and older
 * stores, takes over foreign commits, checks watermarks, raises `opens` and commits store_id and opens to the lead topic,
 * waiting for the answer. Blocks up to limits.broker_timeout_ms a call. To be called once after open, and again
 * after every new assignment (then it only looks for foreign commits and re-reads watermarks). `partitions[i]` is the partition
 * count of bui_router_inputs()[i]. BUS_REFUSED is final; BUS_BROKER and BUS_TIMEOUT: try again. */
bus_status bui_shard_claim(bui_shard *shard, const int32_t *partitions, bus_error *err);

/* Asks how large a record each of its topics takes; the claim does. While bui_shard_wants_sizes says so (a record was refused for its
 * size) it is to be done again, not all the time, by the thread that claims; the shard may run meanwhile. Failure changes nothing. */
bus_status bui_shard_learn_sizes(bui_shard *shard, int timeout_ms, bus_error *err);
bool bui_shard_wants_sizes(bui_shard *shard);

/* Looks which open dead letters its dead-letter topic still has; to be called, by the thread that claims, while
 * bui_shard_wants_letters says so: after each claim, and every half minute while some are open. The shard may run meanwhile;
 * it publishes again what is missing. */
void bui_shard_find_letters(bui_shard *shard, int timeout_ms);
bool bui_shard_wants_letters(bui_shard *shard);

/* How many lanes it wants, and what they are: port, topic, partition, offset (one before the next record, to check the anchor). */
size_t bui_shard_lane_count(const bui_shard *shard);
void bui_shard_lane_specs(bui_shard *shard, bui_lane_spec *out);
/* Hands it the assigned lanes, in the order of bui_shard_lane_specs. Deliveries start with the next step. */
void bui_shard_attach(bui_shard *shard, const bui_lane_spec *lanes);
/* Ends deliveries: fetched and unsettled records are given back; no record is held after. */
void bui_shard_detach(bui_shard *shard);
bool bui_shard_attached(const bui_shard *shard);

/* A transaction from outside (bus_transact). Queued from any thread, run by step together with whatever else is waiting, and
 * completed (after the commit is durable) on the thread of that step by `done`, which must not block. The call is the caller's memory
 * until then. */
typedef struct bui_call bui_call;
struct bui_call {
    bus_transaction fn;
    void *opaque;
    void (*done)(bui_call *call, bus_status status, const bus_error *err);
    bui_call *next;    /* the shard's */
    int64_t queued_us; /* the shard's */
};

/* One iteration of the loop: reports, calls, timers, one batch in one transaction, relay, offsets. Returns the time until it must
 * be called again unless woken, in us: 0 at once, INT64_MAX no timer. A fatal condition (store gone, halt) is returned
 * by bui_shard_failure, and step then does nothing and returns INT64_MAX. `single`, if not NULL, takes a call that was all there was to
 * do and is durable, else NULL: end it by done(call, BUS_OK, NULL) once asleep; its caller, who may call again at once, can run inline then. */
int64_t bui_shard_step(bui_shard *shard, bui_call **single);
/* BUS_OK, or why the shard has halted. Any thread once step has returned. */
bus_status bui_shard_failure(const bui_shard *shard, bus_error *err);
/* False: something keeps it from working now (a topic paused or denied, a store that cannot be written, a bound that is reached);
 * `why` says what. Any thread. */
bool bui_shard_well(bui_shard *shard, char *why, size_t cap);

/* No new deliveries and calls; what is committed keeps leaving. */
void bui_shard_drain(bui_shard *shard);
/* Drained: no records left, outbox acknowledged and offsets committed. */
bool bui_shard_drained(const bui_shard *shard);
/* Closes port, user's state, store and lock. Unacknowledged rows leave at the next open. NULL is a no-op. */
void bui_shard_close(bui_shard *shard);

/* Is someone else waiting for this shard (store/lock.h)? */
bool bui_shard_wanted(const bui_shard *shard);
const bui_shard_metrics *bui_shard_metrics_of(const bui_shard *shard);
bus_status bui_shard_cache(bui_shard *shard, int64_t bytes, bus_error *err); /* bui_store_cache; between steps */
bus_status bui_shard_gone(const bui_shard *shard, bus_error *err);           /* bui_store_gone; any thread */
const char *bui_shard_store_path(const bui_shard *shard);
int bui_shard_index(const bui_shard *shard);
/* mono_us of when the running handler started, 0 if none runs: for the watchdog. Any thread. */
int64_t bui_shard_handler_since(const bui_shard *shard, char where[128]);

/* BUS_CLOSED when draining; BUS_FULL when the outbox is at its bound. */
bus_status bui_shard_call(bui_shard *shard, bui_call *call, bus_error *err);
/* The same on the caller's own thread while nobody is in a step: an iteration with this call alone, no delivery, no timer, no other's
 * call. True: `done` has been called, and *wait_us is as of bui_shard_step. False: it must queue. */
bool bui_shard_run_inline(bui_shard *shard, bui_call *call, int64_t *wait_us);

/* What waits in a shard's store, as in the metadata of the offsets that it commits (commits.c). False: it does not tell. */
typedef struct bui_waiting {
    int64_t parked, held, delayed; /* events, keys, events */
    int64_t partitions;            /* whose offsets it committed in one; 0: written by a version that did not say */
} bui_waiting;
bool bui_commit_waiting(const char *metadata, bui_waiting *out);

/* True on a thread that is inside a handler or transaction of any shard. */
bool bui_shard_inside(void);

#endif
