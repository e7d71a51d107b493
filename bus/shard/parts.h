/* SPDX-License-Identifier: MIT
 * Parts: what a shard is made of. One thread runs all of it, except the two queues that say so. */
#ifndef BUS_SHARD_PARTS_H
#define BUS_SHARD_PARTS_H

#include "base/backoff.h"
#include "base/failpoint.h"
#include "base/id.h"
#include "base/log.h"
#include "base/map.h"
#include "base/throttle.h"
#include "codec/envelope.h"
#include "codec/wire.h"
#include "shard/shard.h"
#include "shard/turn.h"
#include "store/lock.h"
#include <pthread.h>

#define BUS_MOST_HEADERS 64   /* of an event that a handler sends; of records of others all are kept */
#define BUS_ORIG_TEXT 1024
#define BUS_REASON 256        /* of retry and dead-letter texts */
#define BUS_COMMIT_TEXT 160   /* the metadata of a committed offset, see commits.c */

/* ---- lanes: one assigned partition */

typedef struct bus_job_slot bus_job_slot;

typedef struct bus_shard_input {   /* one topic that the service reads */
    const bus_input *declared;
    int32_t partitions;
    int64_t paused_until_us;       /* by a verdict or a missing schema */
    bus_backoff pause;
    uint64_t catalog_version;      /* at the time of a pause for an unknown schema; 0: not that kind */
    int64_t schema_spent_us;       /* of schema.wait.ms, see schema_wait.c */
    int64_t schema_us, schema_until_us; /* how long it has waited for schemas lately, and until when */
    int recent, recent_failed;     /* for the ratio limit */
    bool verify;                   /* its records must be signed */
    bool let_one;                  /* after a pause by the limit one dead letter may pass */
    char why[160];                 /* of its last pause, or of a lane of it that cannot be read */
} bus_shard_input;

typedef struct bus_shard_lane {
    bus_shard_input *input;
    bus_position *position;
    int32_t partition;
    int64_t start;                 /* what bus_shard_lane_specs asks for */
    int64_t claimed_next;          /* the position at the last claim */
    bus_lane *handle;
    bus_record *record;            /* fetched: count of them, [at, count) unsettled */
    size_t cap, count, at, batch_at;
    int64_t blocked_until_us;      /* a retry record's not-before */
    bool check_anchor;
    bool failed;                   /* said so already; looked at again and again */
    bus_job_slot **job;            /* prepare steps by record, parallel to `record`; NULL if the topic has none */
    size_t unprepared;             /* of the records, the last so many: no step was begun for them yet */
    /* is it still the same log? see recheck.c */
    bool unsure;                   /* its records wait for a look */
    uint64_t fetched, sure_serial; /* which fetch brought its last records; which was the last before that look began */
    uint64_t doubts;               /* the port's, when the last look that found it the same began */
    int64_t sure_us;               /* and when that was; 0: not since the lane came */
    int64_t high;                  /* the highest end of the log that was seen */
    bool wants_recheck;
    int64_t unchecked_us;          /* since when its looks fail; 0: the last did not */
    bus_status unchecked;          /* how the last failed */
    bool unchecked_said;
} bus_shard_lane;

/* What the metadata of our commits says, see commits.c. */
typedef struct bus_commit_text {
    char store_id[BUS_ID_TEXT];
    int64_t opens, age;            /* age -1: of a version that did not say */
    char flags[8];
} bus_commit_text;

/* ---- a delivery: one event on its way through a handler */

typedef struct bus_delivery {
    bus_event event;
    bus_envelope envelope;
    bus_framing framing;                      /* of the value */
    const bus_route *route;
    const char *scope;
    const void *key; size_t key_len;          /* the key it waits by: the record's, or its id */
    int command;                              /* how it came: by which kind of command, or by none; see bus_parked */
    bool foreign;                             /* made by a producer other than the bus, or its hop leads elsewhere */
    int64_t timestamp;
    char letter_id[BUS_ID_TEXT];              /* of the letter it is redriven from; "" if none */
    int letter_round;
    int64_t first_failed;                     /* ms; 0: never failed before */
    char run[BUS_RUN_TEXT];                   /* of a copy sent by `bus replay`: the run. "": the event itself */
    bool bodiless;                            /* a copy that does not carry its event's value: never run, see bodies.c */
    bool undecodable; char fault[BUS_REASON]; /* why */
} bus_delivery;

typedef enum bus_outcome {
    BUS_OUT_DONE,
    BUS_OUT_RETRY,
    BUS_OUT_DEAD,
    BUS_OUT_PAUSE,     /* undone; nothing settled */
    BUS_OUT_PENDING,   /* its prepare step is still running */
    BUS_OUT_REDO       /* the batch must be rolled back and run again with savepoints, or has failed: see shard->batch.error */
} bus_outcome;

struct bus_tx {
    bus_shard *shard;
    const bus_delivery *delivery;   /* NULL in bus_transact */
    char cause[BUS_ID_TEXT];        /* of a transaction from outside: a random id */
    int emitted;
    bus_error error;                /* sticky; status BUS_OK if none */
    char reason[BUS_REASON];
    const char *error_class;        /* "handler", "undecodable", "crash", "behind", ... */
    const void *prepared; size_t prepared_len;
    bool discard;                   /* emits vanish: a replay of a route that did not ask for them */
    int64_t due;                    /* of a failure that the topics told of (shard/fates.h): when it runs again; 0: by its tier */
};

/* ---- relay */

typedef enum bus_flow {
    BUS_FLOWING,    /* rows go to the main producer */
    BUS_STOPPING,   /* an error: wait for every outstanding report, then rewind */
    BUS_PROBING     /* row by row on the second producer: topic or record at fault */
} bus_flow;

typedef struct bus_relay_out { int64_t id; bool acked; } bus_relay_out;

typedef struct bus_relay_destination {
    bus_destination *destination;
    bus_flow flow;
    bool lone;             /* one row alone until its ack */
    bool behind;           /* rows from `cursor` on are in the store, not in memory */
    bool to_probe;         /* after STOPPING: go on as PROBING */
    bool blocked;          /* within one pump */
    int64_t cursor;        /* every committed row below has been produced */
    bus_relay_out *out;    /* produced and not yet settled, by id; a ring */
    size_t cap, head, count;
    size_t waiting;        /* of them without a report */
    int64_t refused;       /* the row that Kafka refuses: nothing leaves until it is decided about; 0: none */
    int64_t resume_at;     /* after STOPPING: go on from this row, if that is lower; 0: none */
    int64_t last_ack_us;
    int64_t failing_since_us;       /* 0: the last report was an acknowledgement */
    int64_t retry_at_us;
    bus_backoff backoff;
    bool warned;
} bus_relay_destination;

typedef struct bus_relay_decided { bus_destination *destination; int64_t id; } bus_relay_decided;

typedef struct bus_relay {
    bus_relay_destination **all;
    size_t count, cap;
    int64_t *acked; size_t acked_count, acked_cap;   /* to be deleted from the outbox */
    size_t deleting;       /* of them by the current transaction */
    int64_t acked_since_us;
    bool rewound;          /* delete what is acknowledged before the next scan */
    bool any_behind;
    size_t held;           /* rows committed and not yet handed over, kept in memory by the store */
    int64_t handed_at_us;  /* when rows were last handed over */
    int64_t push_at_us;    /* when those shall leave at the latest; 0: they need no push */
    size_t waiting;        /* reports outstanding on the main producer */
    int64_t quiet_until_us; /* until then they need not wake us, see bus_relay_listen */
    bool deaf;
    bool resetting;        /* main producer fatal: no produce until replaced */
    int64_t retry_at_us;   /* of a reset that failed */
    bus_relay_decided *decided; size_t decided_count, decided_cap; /* refused rows that the current batch lets go, see refused.c */
    int64_t fatal_since_us[BUS_CHANNELS]; /* a fatal producer still owes reports; 0: none does */
} bus_relay;

/* ---- prepare */

typedef enum bus_job_state { BUS_JOB_QUEUED, BUS_JOB_RUNNING, BUS_JOB_DONE } bus_job_state;

struct bus_job_slot {
    bus_job job;                    /* first: the pool sees this */
    bus_shard *shard;
    bus_job_state state;
    _Atomic bool abandoned;         /* its lane was detached: not to be begun any more, free when done */
    bool used;                      /* its verdict has paused the topic: the step runs again */
    bool settled;                   /* its event is settled in the current batch */
    bool suspect;                   /* has killed the process three times: its step is not run */
    bus_delivery delivery;
    bus_record record;
    bus_arena arena;
    bus_verdict verdict;
    char reason[BUS_REASON];
    bus_buf result;
    void *busy;                     /* the key's queue, see prepare.c */
    bus_job_slot *behind;           /* the next of the same key */
    bus_job_slot *completed;        /* the next in the queue of the finished */
    int64_t key_id;                 /* of a head; 0: a lane's record */
};

struct bus_prepare {
    bus_job_slot *slot;
};

/* ---- crash notes: which delivery is in a handler, in a file that survives the process */
typedef struct bus_crash_note bus_crash_note;

/* ---- trouble: why the shard does not work at the moment */

#define BUS_TROUBLE_TEXT 400

typedef struct bus_trouble {
    pthread_mutex_t lock;           /* of `text`, which only the shard's thread writes */
    char text[BUS_TROUBLE_TEXT];    /* "": none */
    int64_t since_us;               /* 0: none */
    int64_t look_at_us;
} bus_trouble;

/* ---- the shard: its parts, each the matter of the file that is named */

typedef struct bus_batch {          /* batch.c */
    bool savepoints;
    bool saved;                     /* a save is open around the delivery that runs: settling and handler go together */
    bool one_by_one; int one_by_one_left;
    int careful;                    /* batches to begin with savepoints */
    bus_error error;                /* why it must be rolled back for good; status BUS_OK: only redo */
    int count;
    int64_t bytes;
    bool did;                       /* it has something to commit */
    bool busy;                      /* it has more to do than deleting acknowledged rows */
    int64_t busy_at_us;             /* when that was so last */
    bool grew;                      /* it did what no lane's position shows: calls, schedules, keys */
    bool growing;                   /* it makes the store older */
    int64_t grow_at_us;             /* when the store must be made older for what was committed since; 0: nothing was */
    int64_t grown_us;               /* when it was last */
    int64_t retry_at_us;            /* after a failed commit */
    bus_backoff backoff;
    int64_t draining_after;         /* key id, round robin */
    int64_t draining_at_us;         /* nothing could be drained: look again then */
    size_t held_left, held_at;      /* keys not yet looked at since the open, and after this batch: see bus_keys_look_again */
    bus_shard_metrics metrics_before;
} bus_batch;

typedef struct bus_calls {          /* calls.c: from other threads */
    pthread_mutex_t lock;
    bus_call *first, **tail;
    _Atomic bool waiting;
    _Atomic int64_t outbox_bytes_seen;
    struct bus_call_result *results; size_t result_count, result_cap; /* of this batch */
    bool lone;                      /* the batch is one call */
    bus_call **hand_back;           /* takes it when it is done, see bus_shard_step */
    bool visited;                   /* it is one call that its caller runs: nothing else may be done on that thread */
} bus_calls;

typedef struct bus_prepares {       /* prepare.c */
    pthread_mutex_t lock;
    bus_job_slot *completed;
    _Atomic bool waiting;
    bus_job_slot *free;
    bus_job_slot *settled;          /* heads settled by this batch */
    bus_map by_key, heads;
    size_t out;
    size_t awaited;                 /* under the lock: only the last of so many that are done wakes the shard; 0: each */
    bool gathering;                 /* `awaited` may be set */
    int64_t gather_until_us;        /* since this batch's first step was done; 0: none is */
    int steps_alone;                /* so many more steps run one at a time: some of them has killed the process */
    bool heads_ready;               /* a head's step is done: run it */
} bus_prepares;

typedef struct bus_commits {        /* offsets.c, commits.c: for Kafka */
    bus_offset *list;               /* for the next commit of offsets */
    bus_offset *told;               /* what Kafka was last told, or is being told */
    bool waiting, wanted;
    int64_t upto;                   /* outbox id that must be acknowledged first */
    int64_t at_us;
    bool positions_moved;
    bool age_moved;                 /* Kafka must hear of the store's age, */
    int64_t age_at_us;              /* from then on */
    int64_t expire_at_us;           /* when marks are looked through again for those too old */
    bus_company company;            /* in the group, at the last claim */
    bus_commit_text last;           /* ours, as the claim found it */
    uint64_t claimed_in;            /* the membership of the last claim */
} bus_commits;

typedef struct bus_rechecks {       /* recheck.c: a look at logs that is out */
    bus_recheck *list;              /* room for all lanes, twice: what was asked, and the answer */
    size_t *lane;                   /* whose each is */
    bus_place *anchor;              /* the anchor it asked for */
    size_t count;                   /* 0: none is out */
    int64_t began_us, again_us;
    uint64_t serial, doubts;
    uint64_t fetch_serial;          /* counts fetches that brought records */
    uint64_t doubts_seen;
} bus_rechecks;

typedef struct bus_sizes {          /* sizes.c */
    struct bus_topic_size { const char *topic; _Atomic int64_t most; } *of; /* largest record, 0: not told */
    size_t count;
    _Atomic int64_t least;          /* the least of them and message.max.bytes */
    _Atomic bool wanted;
} bus_sizes;

typedef struct bus_lost_letter { char id[BUS_ID_TEXT]; int round; } bus_lost_letter;

typedef enum bus_lost_stage { BUS_LOST_IDLE, BUS_LOST_ASKED, BUS_LOST_ANSWERED } bus_lost_stage;

typedef struct bus_lost {           /* lost.c */
    _Atomic int stage;              /* ASKED: what follows up to `high` is the claiming thread's, else the shard's */
    int64_t since_ms, asked_ms;     /* when the oldest open letter changed; when it was asked */
    bus_map seen;                   /* "id round" of the open letters that the topic has */
    int64_t from_ms;                /* the answer: older ones were not looked for; INT64_MAX: nothing is missing, or nothing is known */
    bool nomem, unknown;
    int64_t low, high;              /* of the topic's partition at the last look that told; -1: none did */
    int64_t at_us;         /* when it is asked next */
    bus_lost_letter *list;          /* to be published again */
    size_t count, cap, done, doing; /* done: of them before this batch; doing: after it */
} bus_lost;

typedef struct bus_said {           /* what is told once, or now and then */
    bool store_warned, outbox_full_warned, parked_full_warned, misplaced_warned, uncounted_warned, reserved_warned;
    int forged_letters;             /* since the shard was opened */
    bus_throttle forged_lines, gap_lines, ignored_lines, stale_lines, letter_lines, body_lines; /* what others can cause */
    int64_t stray_said_us, command_said_us, replay_said_us, reply_told_us; /* when that was logged last */
} bus_said;

typedef struct bus_handler_watch {  /* handle.c: what runs, for the watchdog */
    _Atomic int64_t since;
    _Atomic(const char *) topic;
    _Atomic int32_t partition;
    _Atomic int64_t offset;
} bus_handler_watch;

struct bus_shard {
    bus_shard_options options;
    const bus_clock *clock;
    const char *name;               /* service name */
    char where[96];                 /* "service/shard" for logs */
    bus_lock *lock;
    bus_store *store;
    bus_port *port;
    void *state;                    /* the user's */
    bool state_open;
    bus_shard_metrics metrics;      /* what is true if the batch commits */
    bus_shard_metrics published;
    int64_t now_ms, now_us;

    bus_shard_input *input; size_t input_count;
    bus_shard_lane *lane; size_t lane_count;
    size_t next_lane;               /* round robin */
    bool raised, looked, claimed, attached;
    _Atomic bool draining;
    bus_map announced;              /* addresses of types that are not declared and whose schemas others can learn */
    bus_map output_partitions;      /* topic -> count + 1, as a pointer */
    bus_arena arena;                /* per delivery */
    bus_buf scratch;                /* encoded bodies */
    bus_buf headers_scratch;

    bus_batch batch;
    bus_calls calls;
    bus_prepares prepares;
    bus_relay relay;
    bus_commits commits;
    bus_rechecks rechecks;
    bus_sizes sizes;
    bus_said said;
    bus_crash_note *crash;
    bus_lost lost;
    bus_handler_watch watch;
    bus_trouble trouble;

    /* halted */
    _Atomic int failed;
    bus_error failure;
};

#endif
