/* SPDX-License-Identifier: MIT
 * Dead letters: the records of `<service>.dlq` folded into what each letter is now. Every change of a letter is a record
 * there, so the topic alone tells. Pure: whoever has the records adds them. One thread. */
#ifndef BUS_OPS_DEADLETTERS_H
#define BUS_OPS_DEADLETTERS_H

#include "ops/headers.h"
#include "shard/shard.h"

/* One record about a letter. Strings are the fold's. */
typedef struct bus_dead_change {
    int64_t at;              /* the record's timestamp, ms */
    int64_t offset;
    int round;
    bus_letter_state state;
    const char *error;       /* "class: message", "" if the record has none */
    const char *reason, *by; /* of an operator, "" if none */
    struct bus_dead_change *next;
} bus_dead_change;

typedef struct bus_dead {
    const char *service, *id;
    int32_t shard;           /* partition of the dlq, and of the redrive topic where commands about it go */
    int round;
    bus_letter_state state;
    const char *replay;      /* of a copy: the run of `bus replay` that sent it; "": the event's own */
    bool held;               /* its key waited for it when it was opened; see bus_dead_holds */
    bus_body_kind body;      /* what a record without a value says of its event */
    int64_t record;          /* offset of the record that carries the event: the latest that opened it */
    const char *type, *event_id;  /* "" if unknown */
    const char *topic;       /* where the event came from */
    int32_t partition;
    int64_t offset, timestamp;
    const void *key;         /* NULL: none */
    size_t key_len;
    const char *error_class, *error_message;
    int64_t attempts, first_failed, last_failed; /* 0: unknown */
    bus_dead_change *changes, *last_change;      /* oldest first */
} bus_dead;

typedef struct bus_dead_fold bus_dead_fold;
bus_dead_fold *bus_dead_fold_new(void); /* NULL: no memory */
void bus_dead_fold_free(bus_dead_fold *fold);

/* Takes one record of `<service>.dlq`. Each partition's records must come in order. A record that says less than what is known
 * (a lower round, or an earlier state of the same round: a copy the broker was sent twice) changes nothing; one without a
 * readable bus-letter header is counted as foreign, one that was written to another topic (bus-hop) as copied. BUS_NOMEM. */
bus_status bus_dead_fold_add(bus_dead_fold *fold, const char *service, const bus_record *record, bus_error *err);

size_t bus_dead_count(const bus_dead_fold *fold);
size_t bus_dead_foreign(const bus_dead_fold *fold);
size_t bus_dead_copied(const bus_dead_fold *fold);
/* From now on records that hop.verify wants signed by their service count only if they are; the keys are borrowed. How many were not, and
 * how many changes named a round that their letter did not have. */
void bus_dead_fold_trust(bus_dead_fold *fold, const bus_keys *keys);
size_t bus_dead_forged(const bus_dead_fold *fold);
bus_dead *bus_dead_at(const bus_dead_fold *fold, size_t at);   /* in order of first appearance */
/* By id, or by the beginning of one if that is unambiguous (at least 4 characters). *matches counts (may be NULL). */
bus_dead *bus_dead_find(const bus_dead_fold *fold, const char *id, size_t *matches);

/* What an operator selects. NULL and zero select all. */
typedef struct bus_dead_filter {
    const char *type;        /* exactly */
    const char *error;       /* part of "class: message" */
    const char *topic;       /* the original one, exactly */
    const void *key; size_t key_len;
    int64_t since, until;    /* of the last failure, ms; until is exclusive */
    unsigned states;         /* bits 1 << bus_letter_state; 0: all */
} bus_dead_filter;
bool bus_dead_matches(const bus_dead *dead, const bus_dead_filter *filter);

/* Can it be redriven or discarded: is it open? */
static inline bool bus_dead_is_open(const bus_dead *dead) { return dead->state == BUS_LETTER_OPEN; }

/* Do later events of its key wait for it now? */
static inline bool bus_dead_holds(const bus_dead *dead)
{
    return dead->held && (dead->state == BUS_LETTER_OPEN || dead->state == BUS_LETTER_REDRIVEN);
}

enum { BUS_GROUP_BY_SERVICE = 1, BUS_GROUP_BY_TYPE = 2, BUS_GROUP_BY_ERROR = 4, BUS_GROUP_BY_TOPIC = 8 };

typedef struct bus_dead_group {
    const char *service, *type, *error, *topic; /* NULL where not grouped by; borrowed from the fold */
    int64_t letters;
    int64_t by_state[BUS_LETTER_DISCARDED + 1];
    int64_t held;
    int64_t first, last;     /* failures, ms */
} bus_dead_group;

/* Groups what matches, the largest group first. *out is malloc'd: free() it. BUS_NOMEM. */
bus_status bus_dead_group_by(bus_dead_fold *fold, unsigned by, const bus_dead_filter *filter, bus_dead_group **out,
                             size_t *count, bus_error *err);

/* "class: message" with every word that holds a digit as '#', so that texts which differ in an id group together. Cuts. */
void bus_error_pattern(const char *error_class, const char *message, char *out, size_t cap);

#endif
