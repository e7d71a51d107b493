/* SPDX-License-Identifier: MIT
 * Replay: copies a range of a topic to one service again, or to another topic. Blocking. */
#ifndef BUI_OPS_REPLAY_H
#define BUI_OPS_REPLAY_H

#include "kafka/topic_reader.h"
#include "ops/replay_plan.h"
#include "ops/watch.h"

typedef struct bui_replay {
    bui_range source;    /* topic, partition or -1, edges */
    const char *service; /* to `<service>.redrive`, where only it sees them; or ... */
    const char *topic;   /* ... to this topic, where everyone does */
    const char *type;    /* only this ce_type; NULL: all */
    const void *key;     /* only this key; NULL: all */
    size_t key_len;
    int64_t rate;      /* records a second; 0: no bound */
    bool dry_run;      /* read and count only */
    const char *run;   /* the run's id: all copies carry it */
    int most_failures; /* to a service: so many copies that fail in a shard end the run there; 0: no bound */
    /* To a service: called with what the copies will meet, before any is sent; may be NULL. */
    void (*show)(void *opaque, const bui_replay_plan *plan);
    void *opaque;
    const char *reason, *by; /* of the operator; reason may be NULL */
    int timeout_ms;
    const bui_watch *watch;
} bui_replay;

typedef struct bui_replay_result {
    int64_t read, matched, sent, acknowledged, failed;
    int64_t large;          /* of those that a dry run has counted: copies that their topic would not take */
    int64_t early, refused; /* of the matched, not sent to the service: not handled there yet; no route that would run them */
    int64_t forged;         /* of the matched, not sent to anybody: not signed as hop.verify demands */
    int64_t first, last;    /* timestamps of the matched, ms; 0: none */
    int32_t partitions;     /* of the destination */
    int64_t outside;        /* looked at, and outside the range by their own time */
    int cut;                /* partitions of the source that begin after the range does, the rest being deleted */
    bus_error failure;      /* the first one's reason */
    bus_error forgery;      /* the first one's place and reason */
} bui_replay_result;

/* Runs it. *result is filled also on failure: what had been sent stays sent. The copies are signed with the operator's key; so what
 * hop.verify wants signed, and is not, is not copied. To a service, the copy of partition q goes to redrive
 * partition q mod N, where the shard that owns q reads it; to a topic, by key, keyless ones to q mod N. BUS_REFUSED: source and
 * destination are one, the source is a machinery topic of a service, the service does not read it, or would run none of the copies;
 * BUS_MISSING: a topic is not there; BUS_CANCELLED; BUS_BROKER,
 * BUS_TIMEOUT, BUS_DENIED. A record that could not be stored is counted as failed and the walk goes on; after 100 of them it
 * ends with the first one's reason. */
bus_status bui_replay_run(const bus_config *config, const bui_replay *replay, bui_replay_result *result, bus_error *err);

#endif
