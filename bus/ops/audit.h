/* SPDX-License-Identifier: MIT
 * Audit: do stores and topics agree? Rows of stores and records of topics are copied into one private database, and each rule
 * that must hold is a query over it that names what breaks it (audit_rules.c, audit_traces.c). Shares no code with the loop but
 * headers, hashes and ids, and writes nothing but its own database.
 *
 * What was sent is known from the numbers: a store's bus_destination and outbox say which sequence number comes next, bus_former how far
 * its earlier incarnations had come; each number below must be in its topic or still in the outbox.
 *
 * On a running system the order of reading makes an audit sound: stores (what a store says it sent is in the topic by then),
 * topics, what the groups have committed, and the stores' numbers and letters again (what is in a topic had been committed by then). Pure but for the stores'
 * files; one thread per handle. */
#ifndef BUS_OPS_AUDIT_H
#define BUS_OPS_AUDIT_H

#include "base/buf.h"
#include "codec/mac.h"
#include "ops/watch.h"
#include "shard/transport.h"
#include <bus/service.h>

typedef struct bus_audit bus_audit;

/* `watch` (may be NULL) is asked within long queries too whether to stop: BUS_CANCELLED then. BUS_NOMEM, BUS_STORE, BUS_IO (no room for the
 * temporary database). */
bus_status bus_audit_new(const bus_watch *watch, bus_audit **out, bus_error *err);
void bus_audit_free(bus_audit *audit); /* NULL is a no-op */

/* From now on a record that hop.verify wants signed counts as what it says only if it is; else it is a foreign one. The keys are borrowed. How
 * many were not: */
void bus_audit_trust(bus_audit *audit, const bus_keys *keys);
int64_t bus_audit_forged(const bus_audit *audit);

/* Copies one shard's store, in one read transaction; with `tables` also the service's own tables, all shards together, into a
 * schema of the service's name with a column "shard" before the others ("shard:1" is then the service's own of that name); their
 * collations and indexes come with them. BUS_MISSING, BUS_CORRUPT: no such store; BUS_STORE. */
bus_status bus_audit_store(bus_audit *audit, const char *path, bool tables, bus_error *err);
/* The second reading, after the topics. */
bus_status bus_audit_store_again(bus_audit *audit, const char *path, bus_error *err);

/* Calls for each topic that the stores read so far take events from or send events to. BUS_OK, or what `each` gave. */
typedef bus_status (*bus_audit_topic_fn)(void *opaque, const char *topic, bus_error *err);
bus_status bus_audit_topics(bus_audit *audit, bus_audit_topic_fn each, void *opaque, bus_error *err);
/* One partition's log: its first offset and its end. */
bus_status bus_audit_log(bus_audit *audit, const char *topic, int32_t partition, int64_t low, int64_t high, bus_error *err);
bus_status bus_audit_record(bus_audit *audit, const bus_record *record, bus_error *err);
/* What a service's group has committed for one partition; before the second reading. */
bus_status bus_audit_commit(bus_audit *audit, const char *service, const char *topic, int32_t partition, int64_t offset, const char *metadata,
                            bus_error *err);

typedef enum bus_audit_weight {
    BUS_AUDIT_NOTED,       /* worth knowing, breaks nothing */
    BUS_AUDIT_VIOLATED
} bus_audit_weight;

/* What broke a rule, or is worth knowing. `id` names the event, row, sequence number or letter; `rule` and `id` with `where` are the
 * same whenever the same thing is found. */
typedef struct bus_finding {
    bus_audit_weight weight;
    const char *rule;      /* "lost", "order" ... */
    const char *where;     /* a store, a source or a partition */
    const char *id;
    const char *text;
} bus_finding;
typedef bool (*bus_audit_found_fn)(void *opaque, const bus_finding *finding); /* false: no memory */

/* Applies the rules; findings are borrowed for the call. */
bus_status bus_audit_rules(bus_audit *audit, bus_audit_found_fn found, void *opaque, bus_error *err);
/* Applies invariants that a service declares: SQL queries, each after a line "-- name: what must hold". Every row that a query returns
 * breaks it; its columns are the id and the text. Tables are named with their service ("order".orders, inventory.stock); besides
 * them there are delivered, emitted, waiting, dead and clock (see docs/proof.md). BUS_INVALID: the text (which line). */
bus_status bus_audit_invariants(bus_audit *audit, const char *file, const char *text, bus_audit_found_fn found, void *opaque, bus_error *err);

/* Per service and input topic: what the log holds and what became of it. */
typedef struct bus_audit_total {
    const char *service, *topic;
    int64_t records;    /* in the log */
    int64_t unread;     /* at or past the position */
    int64_t copies;     /* read, and the same (source, seq) as an earlier record */
    int64_t waiting;    /* in the store: parked, or the head of a waiting key */
    int64_t dead;       /* open or redriven letters */
    int64_t processed;  /* the rest of what was read */
} bus_audit_total;
typedef bool (*bus_audit_total_fn)(void *opaque, const bus_audit_total *total);
bus_status bus_audit_totals(bus_audit *audit, bus_audit_total_fn each, void *opaque, bus_error *err);

/* All of it: reads the stores at `paths`, their topics from the start, and the stores again. */
typedef struct bus_audit_sources {
    const char *const *paths;
    size_t count;
    bool tables;
    int timeout_ms;
} bus_audit_sources;
/* BUS_BROKER, BUS_TIMEOUT, BUS_DENIED, BUS_CANCELLED, and what bus_audit_store gives. */
bus_status bus_audit_look(const bus_config *config, const bus_audit_sources *sources, const bus_watch *watch, bus_audit **out, bus_error *err);

#endif
