/* SPDX-License-Identifier: MIT
 * Dead letters: the records of `<service>.dlq` folded into what each dead letter is now. Every change is a record there, so
 * the topic alone shows them. Pure: the caller adds the records. One thread. */
#ifndef BUI_OPS_DEADLETTERS_H
#define BUI_OPS_DEADLETTERS_H

#include "ops/headers.h"
#include "shard/shard.h"

/* One record about a letter. Strings are the fold's. */
typedef struct bui_dead_change {
    int64_t at; /* the record's timestamp, ms */
    int64_t offset;
    int round;
    bui_deadletter_state state;
    const char *error;       /* "class: message", "" if the record has none */
    const char *reason, *by; /* of an operator, "" if none */
    struct bui_dead_change *next;
} bui_dead_change;

typedef struct bui_dead {
    const char *service, *id;
    int32_t shard; /* partition of the dlq, and of the redrive topic where commands about it go */
    int round;
    bui_deadletter_state state;
    const char *replay;          /* of a copy: the run of `bus replay` that sent it; "": the event's own */
    bool held;                   /* its key waited for it when it was opened; see bui_dead_holds */
    bui_body_kind body;          /* what a record without a value says of its event */
    int64_t record;              /* offset of the record that carries the event: the latest that opened it */
    const char *type, *event_id; /* "" if unknown */
    const char *topic;           /* where the event came from */
    int32_t partition;
    int64_t offset, timestamp;
    const void *key; /* NULL: none */
    size_t key_len;
    const char *error_class, *error_message;
    int64_t attempts, first_failed, last_failed; /* 0: unknown */
    bui_dead_change *changes, *last_change;      /* oldest first */
} bui_dead;

typedef struct bui_dead_fold bui_dead_fold;
bui_dead_fold *bui_dead_fold_new(void); /* NULL: no memory */
void bui_dead_fold_free(bui_dead_fold *fold);

/* Takes one record of `<service>.dlq`. Each partition's records must come in order. A record that says less than what is known
 * (a lower round, or an earlier state of the same round: a copy the broker was sent twice) changes nothing; one without a
 * readable bus-letter header is counted as foreign, one that was written to another topic (bus-hop) as copied. BUS_NOMEM. */
bus_status bui_dead_fold_add(bui_dead_fold *fold, const char *service, const bui_record *record, bus_error *err);

size_t bui_dead_count(const bui_dead_fold *fold);
size_t bui_dead_foreign(const bui_dead_fold *fold);
size_t bui_dead_copied(const bui_dead_fold *fold);
/* From now on records that hop.verify wants signed by their service count only if they are; the keys are borrowed. How many
 * were not, and how many changes named a round that their dead letter did not have. */
void bui_dead_fold_trust(bui_dead_fold *fold, const bui_keys *keys);
size_t bui_dead_forged(const bui_dead_fold *fold);
bui_dead *bui_dead_at(const bui_dead_fold *fold, size_t at); /* in order of first appearance */
/* By id, or by the beginning of one if that is unambiguous (at least 4 characters). *matches counts (may be NULL). */
bui_dead *bui_dead_find(const bui_dead_fold *fold, const char *id, size_t *matches);

/* What an operator selects. NULL and zero select all. */
typedef struct bui_dead_filter {
    const char *type;  /* exactly */
    const char *error; /* part of "class: message" */
    const char *topic; /* the original one, exactly */
    const void *key;
    size_t key_len;
    int64_t since, until; /* of the last failure, ms; until is exclusive */
    unsigned states;      /* bits 1 << bui_deadletter_state; 0: all */
} bui_dead_filter;
bool bui_dead_matches(const bui_dead *dead, const bui_dead_filter *filter);

/* Can it be redriven or discarded: is it open? */
static inline bool bui_dead_is_open(const bui_dead *dead)
{
    return dead->state == BUI_DEADLETTER_OPEN;
}

/* Do later events of its key wait for it now? */
static inline bool bui_dead_holds(const bui_dead *dead)
{
    return dead->held && (dead->state == BUI_DEADLETTER_OPEN || dead->state == BUI_DEADLETTER_REDRIVEN);
}

enum { BUI_GROUP_BY_SERVICE = 1, BUI_GROUP_BY_TYPE = 2, BUI_GROUP_BY_ERROR = 4, BUI_GROUP_BY_TOPIC = 8 };

typedef struct bui_dead_group {
    const char *service, *type, *error, *topic; /* NULL where not grouped by; borrowed from the fold */
    int64_t letters;
    int64_t by_state[BUI_DEADLETTER_DISCARDED + 1];
    int64_t held;
    int64_t first, last; /* failures, ms */
} bui_dead_group;

/* Groups what matches, the largest group first. *out is malloc'd: free() it. BUS_NOMEM. */
bus_status bui_dead_group_by(bui_dead_fold *fold, unsigned by, const bui_dead_filter *filter, bui_dead_group **out, size_t *count,
                             bus_error *err);

/* "class: message" with every word that holds a digit as '#', so that texts which differ in an id group together. Cuts. */
void bui_error_pattern(const char *error_class, const char *message, char *out, size_t cap);

#endif
