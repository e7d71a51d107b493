/* SPDX-License-Identifier: MIT
 * Audit: do stores and topics agree? Rows of stores and records of topics are copied into one private database, and each rule
 * that must hold is a query over it that names what breaks it (audit_rules.c, audit_traces.c). Shares no code with the loop
 * but headers, hashes and ids, and writes nothing but its own database.
 *
 * What was sent is known from the numbers: a store's bus_destination and outbox say which sequence number comes next,
 * bus_former how far its earlier incarnations had come; each number below must be in its topic or still in the outbox.
 *
 * On a running system the order of reading makes an audit sound: stores (what a store says it sent is in the topic by then),
 * topics, what the groups have committed, and the stores' numbers and dead letters again (what is in a topic had been
 * committed by then). Pure but for the stores' files; one thread per handle. */
#ifndef BUI_OPS_AUDIT_H
#define BUI_OPS_AUDIT_H

#include "base/buf.h"
#include "codec/mac.h"
#include "ops/watch.h"
#include "shard/transport.h"
#include <bus/service.h>

typedef struct bui_audit bui_audit;

/* `watch` (may be NULL) is asked within long queries too whether to stop: BUS_CANCELLED then. BUS_NOMEM, BUS_STORE, BUS_IO (no room for the
 * temporary database). */
bus_status bui_audit_new(const bui_watch *watch, bui_audit **out, bus_error *err);
void bui_audit_free(bui_audit *audit); /* NULL is a no-op */

/* From now on a record that hop.verify wants signed counts as what it says only if it is; else it is a foreign one. The keys are borrowed. How
 * many were not: */
void bui_audit_trust(bui_audit *audit, const bui_keys *keys);
int64_t bui_audit_forged(const bui_audit *audit);

/* Copies one shard's store, in one read transaction; with `tables` also the service's own tables, all shards together, into a
 * schema of the service's name with a column "shard" before the others ("shard:1" is then the service's own of that name); their
 * collations and indexes come with them. BUS_MISSING, BUS_CORRUPT: no such store; BUS_STORE. */
bus_status bui_audit_store(bui_audit *audit, const char *path, bool tables, bus_error *err);
/* The second reading, after the topics. */
bus_status bui_audit_store_again(bui_audit *audit, const char *path, bus_error *err);

/* Calls for each topic that the stores read so far take events from or send events to. BUS_OK, or what `each` gave. */
typedef bus_status (*bui_audit_topic_fn)(void *opaque, const char *topic, bus_error *err);
bus_status bui_audit_topics(bui_audit *audit, bui_audit_topic_fn each, void *opaque, bus_error *err);
/* One partition's log: its first offset and its end. */
bus_status bui_audit_log(bui_audit *audit, const char *topic, int32_t partition, int64_t low, int64_t high, bus_error *err);
bus_status bui_audit_record(bui_audit *audit, const bui_record *record, bus_error *err);
/* What a service's group has committed for one partition; before the second reading. */
bus_status bui_audit_commit(bui_audit *audit, const char *service, const char *topic, int32_t partition, int64_t offset,
                            const char *metadata, bus_error *err);

typedef enum bui_audit_weight {
    BUI_AUDIT_NOTED, /* worth knowing, breaks nothing */
    BUI_AUDIT_VIOLATED
} bui_audit_weight;

/* What broke a rule, or is worth knowing. `id` names the event, row, sequence number or dead letter; `rule` and `id` with
 * `where` are the same whenever the same thing is found. */
typedef struct bui_finding {
    bui_audit_weight weight;
    const char *rule;  /* "lost", "order" ... */
    const char *where; /* a store, a source or a partition */
    const char *id;
    const char *text;
} bui_finding;
typedef bool (*bui_audit_found_fn)(void *opaque, const bui_finding *finding); /* false: no memory */

/* Applies the rules; findings are borrowed for the call. */
bus_status bui_audit_rules(bui_audit *audit, bui_audit_found_fn found, void *opaque, bus_error *err);
/* Applies invariants that a service declares: SQL queries, each after a line "-- name: what must hold". Every row that a query returns
 * breaks it; its columns are the id and the text. Tables are named with their service ("order".orders, inventory.stock); besides
 * them there are delivered, emitted, waiting, dead and clock (see docs/proof.md). BUS_INVALID: the text (which line). */
bus_status bui_audit_invariants(bui_audit *audit, const char *file, const char *text, bui_audit_found_fn found, void *opaque,
                                bus_error *err);

/* Per service and input topic: what the log holds and what became of it. */
typedef struct bui_audit_total {
    const char *service, *topic;
    int64_t records;   /* in the log */
    int64_t unread;    /* at or past the position */
    int64_t copies;    /* read, and the same (source, seq) as an earlier record */
    int64_t waiting;   /* in the store: parked, or the head of a waiting key */
    int64_t dead;      /* open or redriven dead letters */
    int64_t processed; /* the rest of what was read */
} bui_audit_total;
typedef bool (*bui_audit_total_fn)(void *opaque, const bui_audit_total *total);
bus_status bui_audit_totals(bui_audit *audit, bui_audit_total_fn each, void *opaque, bus_error *err);

/* All of it: reads the stores at `paths`, their topics from the start, and the stores again. */
typedef struct bui_audit_sources {
    const char *const *paths;
    size_t count;
    bool tables;
    int timeout_ms;
} bui_audit_sources;
/* BUS_BROKER, BUS_TIMEOUT, BUS_DENIED, BUS_CANCELLED, and what bui_audit_store gives. */
bus_status bui_audit_look(const bus_config *config, const bui_audit_sources *sources, const bui_watch *watch, bui_audit **out,
                          bus_error *err);

#endif
