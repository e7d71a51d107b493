/* SPDX-License-Identifier: MIT
 * Parts: what a shard is made of. One thread runs all of it, except the two queues that say so. */
#ifndef BUI_SHARD_PARTS_H
#define BUI_SHARD_PARTS_H

#include "base/backoff.h"
#include "base/failpoint.h"
#include "base/id.h"
#include "base/log.h"
#include "base/map.h"
#include "base/throttle.h"
#include "codec/envelope.h"
#include "codec/wire.h"
#include "shard/shard.h"
#include "shard/isolation.h"
#include "store/lock.h"
#include <pthread.h>

#define BUI_MOST_HEADERS 64 /* of an event that a handler sends; of records of others all are kept */
#define BUI_REASON 256      /* of retry and dead-letter texts */
#define BUI_COMMIT_TEXT 160 /* the metadata of a committed offset, see commits.c */

/* ---- lanes: one assigned partition */

typedef struct bui_job_slot bui_job_slot;

typedef struct bui_shard_input { /* one topic that the service reads */
    const bui_input *declared;
    int32_t partitions;
    int64_t paused_until_us; /* by a verdict or a missing schema */
    bui_backoff pause;
    uint64_t catalog_version;           /* at the time of a pause for an unknown schema; 0: not that kind */
    int64_t schema_spent_us;            /* of schema.wait.ms, see schema_wait.c */
    int64_t schema_us, schema_until_us; /* how long it has waited for schemas lately, and until when */
    int recent, recent_failed;          /* for the ratio limit */
    bool verify;                        /* its records must be signed */
    bool let_one;                       /* after a pause by the limit one dead letter may pass */
    char why[160];                      /* of its last pause, or of a lane of it that cannot be read */
} bui_shard_input;

typedef struct bui_shard_lane {
    bui_shard_input *input;
    bui_position *position;
    int32_t partition;
    int64_t start;        /* what bui_shard_lane_specs asks for */
    int64_t claimed_next; /* the position at the last claim */
    bui_lane *handle;
    bui_record *record; /* fetched: count of them, [at, count) unsettled */
    size_t cap, count, at, batch_at;
    int64_t blocked_until_us; /* a retry record's not-before */
    bool came;                /* the transport has something of it that was not fetched yet, or not all of it */
    int64_t lag;              /* its part of bui_lanes.lag */
    bool check_anchor;
    bool failed;        /* said so already; looked at again and again */
    bui_job_slot **job; /* prepare steps by record, parallel to `record`; NULL if the topic has none */
    size_t unprepared;  /* of the records, the last so many: no step was begun for them yet */
    /* is it still the same log? see recheck.c */
    bool unsure;                   /* its records wait for a look */
    uint64_t fetched, sure_serial; /* which fetch brought its last records; which was the last before that look began */
    uint64_t doubts;               /* the port's, when the last look that found it the same began */
    int64_t sure_us;               /* and when that was; 0: not since the lane came */
    int64_t high;                  /* the highest end of the log that was seen */
    bool wants_recheck;
    int64_t unchecked_us; /* since when its looks fail; 0: the last did not */
    bus_status unchecked; /* how the last failed */
    bool unchecked_said;
} bui_shard_lane;

/* Which lanes an iteration looks at: those in which something came, that hold records, or that wait for a time. See lane.c. */
typedef struct bui_lanes {
    uint64_t *listed;  /* a bit for each */
    int64_t lag;       /* records that were not settled, of all */
    int64_t lag_at_us; /* when all were counted again */
    uint64_t looks;    /* lanes looked at one after the other, for tests */
} bui_lanes;

/* What the metadata of our commits says, see commits.c. */
typedef struct bui_commit_text {
    char store_id[BUI_ID_TEXT];
    int64_t opens, age; /* age -1: of a version that did not say */
    char flags[8];
} bui_commit_text;

/* ---- a delivery: one event on its way through a handler */

typedef struct bui_delivery {
    bus_event event;
    bui_envelope envelope;
    bui_framing framing; /* of the value */
    const bus_route *route;
    const char *scope;
    const void *key;
    size_t key_len; /* the key it waits by: the record's, or its id */
    int command;    /* how it came: by which kind of command, or by none; see bus_parked */
    bool foreign;   /* made by a producer other than the bus, or its hop leads elsewhere */
    int64_t timestamp;
    char letter_id[BUI_ID_TEXT]; /* of the dead letter it is redriven from; "" if none */
    int letter_round;
    char run[BUI_RUN_TEXT]; /* of a copy sent by `bus replay`: the run. "": the event itself */
    bool bodiless;          /* a copy that does not carry its event's value: never run, see bodies.c */
    bool undecodable;
    char fault[BUI_REASON]; /* why */
} bui_delivery;

typedef enum bui_outcome {
    BUI_OUT_DONE,
    BUI_OUT_RETRY,
    BUI_OUT_DEAD,
    BUI_OUT_PAUSE,   /* undone; nothing settled */
    BUI_OUT_PENDING, /* its prepare step is still running, or the ids seen are still being loaded */
    BUI_OUT_REDO     /* the batch must be rolled back and run again with savepoints, or has failed: see shard->batch.error */
} bui_outcome;

struct bus_tx {
    bui_shard *shard;
    const bui_delivery *delivery; /* NULL in bus_transact */
    char cause[BUI_ID_TEXT];      /* of a transaction from outside: a random id */
    int emitted;
    bus_error error; /* sticky; status BUS_OK if none */
    char reason[BUI_REASON];
    const char *error_class; /* "handler", "undecodable", "crash", "behind", ... */
    const void *prepared;
    size_t prepared_len;
    bool discard; /* emits vanish: a replay of a route that did not ask for them */
    int64_t due;  /* of a failure that the topics know (shard/fates.h): when it runs again; 0: by its tier */
};

/* ---- relay */

typedef enum bui_flow {
    BUI_FLOWING,  /* rows go to the main producer */
    BUI_STOPPING, /* an error: wait for every outstanding report, then rewind */
    BUI_PROBING   /* row by row on the second producer: topic or record at fault */
} bui_flow;

typedef struct bui_relay_out {
    int64_t id;
    bool acked;
} bui_relay_out;

typedef struct bui_relay_destination {
    bui_destination *destination;
    bui_flow flow;
    bool lone;          /* one row alone until its ack */
    bool behind;        /* rows from `cursor` on are in the store, not in memory */
    bool to_probe;      /* after STOPPING: go on as PROBING */
    bool blocked;       /* within one pump */
    size_t odd;         /* its place in bui_relay.odd plus 1; 0: not in it */
    int64_t cursor;     /* every committed row below has been produced */
    bui_relay_out *out; /* produced and not yet settled, by id; a ring */
    size_t cap, head, count;
    uint32_t first;    /* the number of the ring's first: rows are numbered as they are handed over, see tag_of */
    size_t waiting;    /* of them without a report */
    int64_t refused;   /* the row that Kafka refuses: nothing leaves until it is decided about; 0: none */
    int64_t resume_at; /* after STOPPING: go on from this row, if that is lower; 0: none */
    int64_t last_ack_us;
    int64_t failing_since_us; /* 0: the last report was an acknowledgement */
    int64_t retry_at_us;
    bui_backoff backoff;
    bool warned;
} bui_relay_destination;

typedef struct bui_relay_decided {
    bui_destination *destination;
    int64_t id;
} bui_relay_decided;

typedef struct bui_relay {
    bui_relay_destination **all;
    size_t count, cap;
    bui_relay_destination **odd; /* those about which something is to be done or said, see bui_relay_weigh; in no order */
    size_t odd_count, odd_cap;
    size_t below_at; /* of `all`: the last that was found to have a row below, see bui_relay_below */
    uint64_t looks;  /* destinations looked at one after the other, for tests */
    int64_t *acked;
    size_t acked_count, acked_cap; /* to be deleted from the outbox */
    size_t deleting;               /* of them by the current transaction */
    int64_t acked_since_us;
    bool rewound; /* delete what is acknowledged before the next scan */
    bool any_behind;
    size_t lingering;       /* rows committed and not yet handed over, kept in memory by the store */
    int64_t handed_at_us;   /* when rows were last handed over */
    int64_t push_at_us;     /* when those must leave at the latest; 0: they need no push */
    size_t waiting;         /* reports outstanding on the main producer */
    int64_t quiet_until_us; /* until then they need not wake us, see bui_relay_listen */
    bool deaf;
    bool resetting;      /* main producer fatal: no produce until replaced */
    int64_t retry_at_us; /* of a reset that failed */
    bui_relay_decided *decided;
    size_t decided_count, decided_cap;    /* refused rows that the current batch lets go, see refused.c */
    int64_t fatal_since_us[BUI_CHANNELS]; /* a fatal producer still owes reports; 0: none does */
} bui_relay;

/* ---- prepare */

typedef enum bui_job_state { BUI_JOB_QUEUED, BUI_JOB_RUNNING, BUI_JOB_DONE } bui_job_state;

struct bui_job_slot {
    bui_job job; /* first: the pool sees this */
    bui_shard *shard;
    bui_job_state state;
    _Atomic bool abandoned; /* its lane was detached: not to be begun any more, free when done */
    bool used;              /* its verdict has paused the topic: the step runs again */
    bool settled;           /* its event is settled in the current batch */
    bool suspect;           /* has killed the process three times: its step is not run */
    bui_delivery delivery;
    bui_record record;
    bui_arena arena;
    bus_verdict verdict;
    char reason[BUI_REASON];
    bui_buf result;
    void *busy;              /* the key's queue, see prepare.c */
    bui_job_slot *behind;    /* the next of the same key */
    bui_job_slot *completed; /* the next in the queue of the finished */
    int64_t key_id;          /* of a head; 0: a lane's record */
};

struct bus_prepare {
    bui_job_slot *slot;
};

/* ---- crash notes: which delivery is in a handler, in a file that survives the process */
typedef struct bui_crash_note bui_crash_note;

/* ---- trouble: why the shard does not work at the moment */

#define BUI_TROUBLE_TEXT 400

typedef struct bui_trouble {
    pthread_mutex_t lock;        /* of `text`, which only the shard's thread writes */
    char text[BUI_TROUBLE_TEXT]; /* "": none */
    int64_t since_us;            /* 0: none */
    int64_t look_at_us;
} bui_trouble;

/* ---- the shard: its parts, each the matter of the file that is named */

typedef struct bui_batch { /* batch.c */
    bool savepoints;
    bool saved; /* a save is open around the delivery that runs: settling and handler go together */
    bool one_by_one;
    int one_by_one_left;
    int careful;     /* batches to begin with savepoints */
    bus_error error; /* why it must be rolled back finally; status BUS_OK: only redo */
    int count;
    int64_t bytes;
    bool did;            /* it has something to commit */
    bool busy;           /* it has more to do than deleting acknowledged rows */
    int64_t busy_at_us;  /* when that was so last */
    bool grew;           /* it did what no lane's position shows: calls, schedules, keys */
    bool growing;        /* it makes the store older */
    int64_t grow_at_us;  /* when the store's age must grow for what was committed since; 0: nothing was */
    int64_t grown_us;    /* when it was last */
    int64_t retry_at_us; /* after a failed commit */
    bui_backoff backoff;
    int64_t catching_up_after; /* key id, round robin */
    int64_t catch_up_at_us;    /* nothing could be drained: look again then */
    size_t held_left, held_at; /* keys not yet looked at since the open, and after this batch: see bui_keys_look_again */
    bui_shard_metrics metrics_before;
} bui_batch;

typedef struct bui_calls { /* calls.c: from other threads */
    pthread_mutex_t lock;
    bui_call *first, **tail;
    _Atomic bool waiting;
    _Atomic int64_t outbox_bytes_seen;
    struct bui_call_result *results;
    size_t result_count, result_cap; /* of this batch */
    bool single;                     /* the batch is one call */
    bui_call **hand_back;            /* takes it when it is done, see bui_shard_step */
    bool runs_inline;                /* it is one call that its caller runs: nothing else may be done on that thread */
} bui_calls;

typedef struct bui_prepares { /* prepare.c */
    pthread_mutex_t lock;
    bui_job_slot *completed;
    _Atomic bool waiting;
    bui_job_slot *free;
    bui_job_slot *settled; /* heads settled by this batch */
    bui_map by_key, heads;
    size_t out;
    size_t awaited;          /* under the lock: only the last of so many that are done wakes the shard; 0: each */
    bool gathering;          /* `awaited` may be set */
    int64_t gather_until_us; /* since this batch's first step was done; 0: none is */
    int steps_alone;         /* so many more steps run one at a time: some of them has killed the process */
    bool heads_ready;        /* a head's step is done: run it */
} bui_prepares;

typedef struct bui_commits { /* offsets.c, commits.c: for Kafka */
    bui_offset *list;        /* for the next commit of offsets */
    bui_offset *told;        /* what was last committed to Kafka, or is being committed */
    bool waiting, wanted;
    int64_t upto; /* outbox id that must be acknowledged first */
    int64_t at_us;
    bool positions_moved;
    bool age_moved;       /* Kafka must hear of the store's age, */
    int64_t age_at_us;    /* from then on */
    int64_t expire_at_us; /* when marks are looked through again for those too old */
    bui_company company;  /* in the group, at the last claim */
    bui_commit_text last; /* ours, as the claim found it */
    uint64_t claimed_in;  /* the membership of the last claim */
} bui_commits;

typedef struct bui_rechecks { /* recheck.c: a look at logs that is out */
    bui_recheck *list;        /* room for all lanes, twice: what was asked, and the answer */
    size_t *lane;             /* whose each is */
    bui_place *anchor;        /* the anchor it asked for */
    size_t count;             /* 0: none is out */
    int64_t began_us, again_us;
    bool wanted;        /* a lane may want a look */
    int64_t look_at_us; /* none that does not want one will before this */
    uint64_t serial, doubts;
    uint64_t fetch_serial; /* counts fetches that brought records */
    size_t next;           /* the lane with which the next look begins */
    uint64_t doubts_seen;
} bui_rechecks;

typedef struct bui_sizes { /* sizes.c */
    struct bui_topic_size {
        const char *topic;
        _Atomic int64_t most;
    } * of; /* largest record, 0: unknown */
    size_t count;
    _Atomic int64_t least; /* the least of them and message.max.bytes */
    _Atomic bool wanted;
} bui_sizes;

typedef struct bui_lost_letter {
    char id[BUI_ID_TEXT];
    int round;
} bui_lost_letter;

typedef enum bui_lost_phase { BUI_LOST_IDLE, BUI_LOST_ASKED, BUI_LOST_ANSWERED } bui_lost_phase;

typedef struct bui_lost {       /* lost.c */
    _Atomic int phase;          /* ASKED: what follows up to `high` is the claiming thread's, else the shard's */
    int64_t since_ms, asked_ms; /* when the oldest open dead letter changed; when it was asked */
    bui_map seen;               /* "id round" of the open dead letters that the topic has */
    int64_t from_ms; /* the answer: older ones were not looked for; INT64_MAX: nothing is missing, or nothing is known */
    bool nomem, unknown;
    int64_t low, high;              /* of the topic's partition at the last look with a result; -1: none did */
    int64_t at_us;                  /* when it is asked next */
    bool whole;                     /* then the records are looked through, whatever the log's ends tell */
    bui_lost_letter *list;          /* to be published again */
    size_t count, cap, done, doing; /* done: of them before this batch; doing: after it */
} bui_lost;

typedef struct bui_said { /* what is logged once, or now and then */
    bool store_warned, wal_held_warned, outbox_full_warned, parked_full_warned, misplaced_warned, uncounted_warned,
        reserved_warned;
    int forged_letters;    /* since the shard was opened */
    int64_t ids_forgotten; /* as bui_dedup_forgotten said last */
    bui_throttle seen_lines, forged_lines, gap_lines, ignored_lines, stale_lines, letter_lines,
        body_lines;                                                        /* what others can cause */
    bui_throttle *failed_lines;                                            /* of each route of the service */
    int64_t stray_said_us, command_said_us, replay_said_us, reply_told_us; /* when that was logged last */
} bui_said;

typedef struct bui_handler_watch { /* handle.c: what runs, for the watchdog */
    _Atomic int64_t since;
    _Atomic(const char *) topic;
    _Atomic int32_t partition;
    _Atomic int64_t offset;
} bui_handler_watch;

struct bui_shard {
    bui_shard_options options;
    const bui_clock *clock;
    const char *name; /* service name */
    char where[96];   /* "service/shard" for logs */
    bui_lock *lock;
    bui_store *store;
    bui_port *port;
    void *state; /* the user's */
    bool state_open;
    bui_shard_metrics metrics; /* what is true if the batch commits */
    bui_shard_metrics published;
    int64_t now_ms, now_us;

    bui_shard_input *input;
    size_t input_count;
    bui_shard_lane *lane;
    size_t lane_count;
    size_t next_lane; /* round robin */
    bui_lanes lanes;
    bool raised, looked, claimed, attached;
    _Atomic bool draining;
    bui_map announced;         /* addresses of types that are not declared and whose schemas others can learn */
    bui_map output_partitions; /* topic -> count + 1, as a pointer */
    bui_arena arena;           /* per delivery */
    bui_buf scratch;           /* encoded bodies */
    bui_buf headers_scratch;

    bui_batch batch;
    bui_calls calls;
    bui_prepares prepares;
    bui_relay relay;
    bui_commits commits;
    bui_rechecks rechecks;
    bui_sizes sizes;
    bui_said said;
    bui_crash_note *crash;
    bui_lost lost;
    bui_handler_watch watch;
    bui_trouble trouble;

    /* halted */
    _Atomic int failed;
    bus_error failure;
};

#endif
