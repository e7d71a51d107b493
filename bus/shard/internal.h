/* SPDX-License-Identifier: MIT
 * What the files of the shard share. One thread runs all of it, except the two queues that say so. */
#ifndef BUS_SHARD_INTERNAL_H
#define BUS_SHARD_INTERNAL_H

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
#define BUS_COMMIT_TEXT 120   /* the metadata of a committed offset, see commits.c */

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
    bool behind;           /* rows from `cursor` on are in the store, not in hand */
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
    size_t deleting;       /* of them by the transaction in hand */
    int64_t acked_since_us;
    bool rewound;          /* delete what is acknowledged before the next scan */
    bool any_behind;
    size_t held;           /* rows committed, not yet handed over, in hand at the store */
    int64_t handed_at_us;  /* when rows were last handed over */
    int64_t push_at_us;    /* when those shall leave at the latest; 0: they need no push */
    size_t waiting;        /* reports outstanding on the main producer */
    int64_t quiet_until_us; /* until then they need not wake us, see bus_relay_listen */
    bool deaf;
    bool resetting;        /* main producer fatal: no produce until replaced */
    int64_t retry_at_us;   /* of a reset that failed */
    bus_relay_decided *decided; size_t decided_count, decided_cap; /* refused rows that the batch in hand lets go, see refused.c */
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
    bool settled;                   /* its event is settled in the batch in hand */
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

typedef struct bus_said {           /* what is told once, or now and then */
    bool store_warned, outbox_full_warned, parked_full_warned, misplaced_warned, uncounted_warned, reserved_warned;
    int forged_letters;             /* since the shard was opened */
    bus_throttle forged_lines, gap_lines, ignored_lines, stale_lines; /* what others can cause */
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
    bus_handler_watch watch;
    bus_trouble trouble;

    /* halted */
    _Atomic int failed;
    bus_error failure;
};

/* The files call each other in one direction: shard, batch, fetch, receive, commands, replays, keys, letters, emit, relay, reports; below
 * them handle, prepare, recheck, and what all use: delivery, lane, input, undo, notice. scripts/check-layers refuses a circle. */

/* undo.c: giving up what cannot stand */
void bus_shard_halt(bus_shard *shard, const bus_error *why);
/* Marks the batch for rollback: status other than BUS_OK ends it, BUS_OK asks for savepoints. Returns BUS_OUT_REDO. */
bus_outcome bus_shard_redo(bus_shard *shard, const bus_error *why);
/* A save around a delivery. */
bool bus_delivery_save(bus_shard *shard);     /* false: redo */
bool bus_delivery_release(bus_shard *shard);
bool bus_delivery_back(bus_shard *shard);

/* notice.c: what writers can cause at will */
#define BUS_SAY_AGAIN_US 10000000
/* May it be logged now? Once in ten seconds; the metrics count all. */
bool bus_shard_may_say(const bus_shard *shard, int64_t *last_us);
/* Counts and tells a record that is no `what`, and is passed over. */
void bus_ignored(bus_shard *shard, const bus_record *record, const char *event, const char *what);

/* trouble.c */
void bus_trouble_look(bus_shard *shard); /* at the end of an iteration */

/* input.c */
bus_shard_input *bus_shard_input_of(bus_shard *shard, const char *topic);
void bus_input_pause(bus_shard *shard, bus_shard_input *input, const char *why, bool schema);

/* lane.c: what a lane holds */
bool bus_lane_resting(const bus_shard *shard, const bus_shard_lane *lane);
void bus_lane_compact(bus_shard *shard, bus_shard_lane *lane);            /* gives settled records back */
void bus_shard_drop_fetched(bus_shard *shard, bus_shard_lane *lane);      /* gives unsettled records back */

/* fetch.c: what the lanes bring */
bool bus_fetch_all(bus_shard *shard);                                     /* true: something can be delivered */
bool bus_lane_allowed(bus_shard *shard, const bus_shard_lane *lane);      /* there is room for what it causes */
void bus_lane_at_end(bus_shard *shard, bus_shard_lane *lane);

/* recheck.c: do lanes still read the logs that they read before? */
bool bus_rechecks_step(bus_shard *shard);                                    /* takes an answer, asks for what is wanted; true: lanes may be sure now */
bool bus_lane_sure(bus_shard *shard, bus_shard_lane *lane);               /* false: its records wait, and a look is wanted */
int64_t bus_rechecks_wait_us(const bus_shard *shard);
bus_status bus_rechecks_room(bus_shard *shard, bus_error *err);              /* once the lanes are listed */
void bus_rechecks_attached(bus_shard *shard);
void bus_lane_began_at_anchor(bus_shard *shard, bus_shard_lane *lane);    /* its first record was the anchor: as good as a look */
void bus_lane_ends(bus_shard_lane *lane, int64_t end);                    /* where its log ends, as last heard */
void bus_rechecks_free(bus_shard *shard);
/* The log is not the one that was read before: says so with the ways out, and halts; one of retry records, which only trigger, is taken as it
 * is: false. */
bool bus_lane_replaced(bus_shard *shard, bus_shard_lane *lane, const char *what);

/* batch.c: one transaction */
bool bus_batch_run(bus_shard *shard); /* false: nothing was to be done */
int64_t bus_batch_wait_us(bus_shard *shard);
void bus_batch_free(bus_shard *shard);

/* calls.c: transactions from outside */
void bus_calls_take(bus_shard *shard);              /* into the batch */
bool bus_calls_bring(bus_shard *shard, bus_call *call); /* the same for a visitor's; false: it must queue */
bus_outcome bus_calls_run(bus_shard *shard);
void bus_calls_done(bus_shard *shard);              /* the batch is durable */
void bus_calls_fail(bus_shard *shard, bus_status status, const char *text); /* all, also those still queued */

/* receive.c: from a lane's record to a settled delivery. */
typedef enum bus_taken { BUS_TAKEN, BUS_TAKE_WAIT, BUS_TAKE_REDO } bus_taken;
bus_taken bus_receive(bus_shard *shard, bus_shard_lane *lane, size_t index);
bool bus_receive_anchor_ok(bus_shard *shard, bus_shard_lane *lane, const bus_record *record, bool *skip);

/* delivery.c
 * Builds what a handler sees, from a record; the strings are in the arena. `command` is the kind of command that it came by, as the
 * topic or the store says it: only with one do its own headers say that it is a copy. BUS_CORRUPT: undecodable, delivery usable for
 * a dead letter all the same; BUS_MISSING: unknown schema; BUS_NOMEM. `decode` false: envelope and route only. */
bus_status bus_delivery_read(bus_shard *shard, const bus_record *record, int command, bus_arena *arena, bool decode, bus_delivery *out,
                             bus_error *err);
bus_identity bus_identity_of(const bus_delivery *delivery); /* borrows from it */
/* It is a copy that `bus replay` sent in this run. false: no memory. */
bool bus_delivery_is_copy(bus_delivery *delivery, bus_arena *arena, const char *run, size_t len);
bus_status bus_delivery_decode(bus_shard *shard, bus_delivery *delivery, bus_arena *arena, bus_error *err);
/* Keeps in the store what the registry said of its schema, so that a restart need not ask. Inside the transaction. */
bus_status bus_delivery_keep(bus_shard *shard, const bus_delivery *delivery, bus_error *err);
#define BUS_SEEN_SOURCE 512
size_t bus_seen_source(char out[BUS_SEEN_SOURCE], const bus_identity *event);
/* Headers for a copy of the event, in the arena with room for `more`: its own, less those of one hop, and bus-orig (its text goes to
 * orig_text). NULL: no memory. */
bus_header *bus_copy_headers(const bus_delivery *delivery, size_t more, bus_arena *arena, size_t *count, char orig_text[BUS_ORIG_TEXT]);

/* handle.c: runs a delivery's handler in the cage. With shard->batch.saved the caller holds a save and releases it after DONE;
 * else the handler gets its own. After any other outcome all since the save is undone and `saved` is false. */
bus_outcome bus_handle(bus_shard *shard, bus_delivery *delivery, bus_job_slot *job, bus_tx *tx);
bus_outcome bus_handle_call(bus_shard *shard, bus_call *call, bus_tx *tx);
void bus_tx_init(bus_tx *tx, bus_shard *shard, const bus_delivery *delivery);

/* schema_wait.c: true: its topic pauses until the schema is known. False: it has waited long enough, the delivery is undecodable now. */
bool bus_schema_waits(bus_shard *shard, bus_shard_input *input, bus_delivery *delivery, const bus_error *why);
int bus_schema_waiting(const bus_shard *shard); /* topics that have waited long */

/* emit.c: rows for the outbox. */
typedef struct bus_emission {
    bus_destination *destination;
    const char *event_id;
    const void *key; size_t key_len;
    const void *value; size_t value_len;
    const bus_header *headers; size_t header_count; /* without bus-hop */
    int64_t at;
    int attempt; int64_t not_before; const char *token;
    bool unchecked;                 /* the broker decides whether it takes it; see reports.c */
} bus_emission;
bus_status bus_emit_row(bus_shard *shard, const bus_emission *emission, bus_error *err);
int32_t bus_partitions_of(bus_shard *shard, const char *topic); /* 0: unknown */
bus_status bus_emit_scheduled(bus_shard *shard, const bus_scheduled *event, bus_error *err);

/* sizes.c: what fits a topic. `packed`: the length of the headers in the outbox. */
typedef struct bus_sized {
    const void *key; size_t key_len;
    const void *value; size_t value_len;
    const bus_header *headers; size_t header_count;
    const bus_header *own; size_t own_count;   /* what the hop adds */
    size_t packed;
} bus_sized;
/* BUS_TOO_BIG, saying by how much. `what` begins the sentence. */
bus_status bus_size_check(bus_shard *shard, const char *what, const char *topic, const bus_sized *record, bus_error *err);
int64_t bus_size_most(bus_shard *shard, const char *topic, bool *own); /* own: our property's bound, not the topic's */
void bus_sizes_look_again(bus_shard *shard); /* the broker refused a record: has a limit changed? */

/* keys.c: the key's states. */
bus_outcome bus_key_arrive(bus_shard *shard, bus_delivery *delivery, bus_job_slot *job);
bus_outcome bus_key_run_head(bus_shard *shard, bus_key *key);   /* WAITING or DRAINING */
bus_outcome bus_key_drain(bus_shard *shard, bus_key *key, int most);
bus_outcome bus_key_discard_head(bus_shard *shard, bus_key *key);
/* After an open: heads that had no route go on if this version has one. So many keys a batch; held_at says how far it came. */
bus_outcome bus_keys_look_again(bus_shard *shard, int most);
const bus_key *bus_key_of_token(bus_shard *shard, const bus_slice *token);

/* letters.c: dead letters. */
bus_status bus_letter_fetch(bus_shard *shard, const char *id, bus_letter *out, bool *found, bus_error *err);
bus_status bus_letter_open(bus_shard *shard, const bus_delivery *delivery, const bus_tx *why, int attempts, bus_key *holding, bus_error *err);
/* The open letter of a head that had no route, and now has: it waits again, due at once. */
bus_status bus_letter_take_up(bus_shard *shard, bus_key *key, const bus_delivery *delivery, bus_error *err);
bus_status bus_letter_settle(bus_shard *shard, const char *id, bus_letter_state state, bus_error *err);
/* Is a letter of this event open, or redriven and not through? A copy is asked for its event's. */
bus_status bus_letter_is_open(bus_shard *shard, const bus_delivery *delivery, bool *open, bus_error *err);
/* Names in a delivery the letter that it is redriven from: its id if it came by command (len > 0), else the one of its event. */
bus_status bus_letter_name(bus_shard *shard, bus_delivery *delivery, bus_slice id, int round, bus_error *err);
/* Changes an open or redriven letter's state and tells the topic. */
bus_status bus_letter_change(bus_shard *shard, bus_letter *letter, bus_letter_state state, const bus_header *more, size_t more_count,
                             bus_error *err);
/* A redriven letter whose event is nowhere: open again, and saying so. What the command had of it goes along. */
bus_status bus_letter_open_again(bus_shard *shard, bus_letter *letter, const bus_record *command, const char *why, bus_error *err);
bus_status bus_letter_head_waits(bus_shard *shard, bus_key *key, bus_error *err); /* a held head waits, due at once */

/* commands.c: what comes by `<service>.redrive`. */
bus_outcome bus_command_run(bus_shard *shard, const bus_record *record);

/* replays.c: copies sent by `bus replay`. */
bus_outcome bus_replay_receive(bus_shard *shard, const bus_record *record, const bus_envelope *envelope);

/* bodies.c: the bytes of letters that do not carry them. */
#define BUS_BODY_TEXT 320
/* `bus-body` for a record about the event that has no value; there: although it has one. The text is in `text`. */
bus_header bus_body_header(const bus_delivery *delivery, bool there, char text[BUS_BODY_TEXT]);
bool bus_body_fits_command(bus_shard *shard, const bus_event *event, const bus_header *headers, size_t count);
/* Keeps them in the store, with the headers of a copy. */
bus_status bus_body_of_letter(bus_shard *shard, const char *letter, const bus_event *event, const bus_header *headers, size_t count,
                              bus_error *err);
/* The command with the event's bytes that the store holds for the letter, in the arena; the command as it is if it holds none. */
bus_status bus_body_join(bus_shard *shard, const char *letter, const bus_record *command, bus_record *out, bus_error *err);

/* relay.c */
void bus_relay_reports(bus_shard *shard);
/* Before a row for it is written: what is committed must find its way, and without memory a later row would overtake it. */
bool bus_relay_expect(bus_shard *shard, bus_destination *destination);
void bus_relay_committed(bus_shard *shard);        /* the rows just added are durable: send them, soon */
void bus_relay_pump(bus_shard *shard);             /* rows that are behind, probes, resets */
/* Inside a transaction; lazily: only what costs nothing. */
bus_status bus_relay_delete_acked(bus_shard *shard, bool lazily, bus_error *err);
void bus_relay_deleted(bus_shard *shard);          /* that transaction committed */
bool bus_relay_wants_delete(const bus_shard *shard, bool idle);
/* Before sleeping; true: do not, there are reports. `due`: does something else wait for them? */
bool bus_relay_listen(bus_shard *shard, bool (*due)(const bus_shard *));
int64_t bus_relay_wait_us(const bus_shard *shard);
int64_t bus_relay_lowest(const bus_shard *shard);  /* least id not acknowledged; INT64_MAX: none */
int64_t bus_relay_lowest_of(const bus_shard *shard, bool refused); /* refused: also of destinations that wait for an operator */
void bus_relay_look(bus_shard *shard);             /* look.c: at the claim, before the first row is sent: what is in Kafka goes */
bus_status bus_relay_start(bus_shard *shard, bus_error *err); /* after open: what the outbox still holds */
void bus_relay_free(bus_shard *shard);

/* refused.c: rows that Kafka does not take. */
bus_status bus_refused_start(bus_shard *shard, bus_error *err);  /* after open: what waits for an operator */
bus_outcome bus_refused_command(bus_shard *shard, const bus_record *record, const bus_envelope *envelope);
void bus_refused_decided(bus_shard *shard);                      /* the batch's decisions are durable */
int64_t bus_refused_waiting(const bus_shard *shard);             /* destinations that wait behind one */

/* commits.c: the metadata of our commits, and those that are not ours */
bool bus_commit_read(const char *metadata, bus_commit_text *out);       /* false: not ours */
void bus_commit_write(const bus_shard *shard, char out[BUS_COMMIT_TEXT]);
bool bus_commit_last(const bus_offset *committed, size_t count, bus_commit_text *out);
void bus_commit_look_around(bus_shard *shard);                          /* who else is in the group */
/* Does a committed offset that is not ours move the position `next`? BUS_REFUSED: nobody but a person can tell. */
bus_status bus_commit_counts(bus_shard *shard, const bus_offset *committed, int64_t next, bool *counts, bus_error *err);

/* offsets.c: telling Kafka, and the claim */
void bus_offsets_step(bus_shard *shard);
int64_t bus_offsets_wait_us(const bus_shard *shard);
bool bus_offsets_due(const bus_shard *shard); /* a commit, or a drain, waits for acknowledgements now */
bool bus_offsets_settled(const bus_shard *shard);
bus_status bus_offsets_expire(bus_shard *shard, bus_error *err); /* marks of sources that fell silent. Inside a transaction */

/* prepare.c */
void bus_prepare_fetched(bus_shard *shard, bus_shard_lane *lane, size_t from); /* submits what it may */
/* The step of a key's head, begun if it is not yet; NULL: no memory. Look at its state. */
bus_job_slot *bus_prepare_head(bus_shard *shard, const bus_key *key, const bus_delivery *delivery, const bus_parked *parked);
void bus_prepare_again(bus_shard *shard, bus_job_slot *slot);
bus_job_slot *bus_prepare_head_done(bus_shard *shard); /* the next head whose step is done; NULL: none */
void bus_prepare_batch_over(bus_shard *shard, bool committed); /* heads settled in the batch leave, or stay for its rerun */
void bus_prepare_settled(bus_shard *shard, bus_job_slot *slot); /* its event is settled: the next of its key may run */
void bus_prepare_collect(bus_shard *shard);
/* A step is done and others are out: wait a moment for those, rather than commit each alone? Asked again and again; when the moment
 * is over: no, until a batch has begun. */
bool bus_prepare_gathers(bus_shard *shard);
void bus_prepare_drop_lane(bus_shard *shard, bus_shard_lane *lane);
void bus_prepare_free(bus_shard *shard);
bus_record bus_parked_record(const bus_parked *parked, bus_arena *arena); /* the record it was; headers in the arena */
bool bus_prepare_topic(const bus_shard *shard, const char *topic);

#define BUS_HEAD_LEASE_MS 10000 /* a head whose step runs is looked at again after this long */

/* crash.c */
bus_crash_note *bus_crash_open(const char *directory, int shard, bus_error *err);
void bus_crash_close(bus_crash_note *note);
/* From now on it takes turns with the other notes of `process`: see turn.h. */
void bus_crash_beside(bus_crash_note *note, const void *process);
void bus_crash_enter(bus_crash_note *note, const bus_delivery *delivery);
void bus_crash_leave(bus_crash_note *note);
/* The same around a prepare step, on any thread; `place` is what enter gave. */
size_t bus_crash_enter_step(bus_crash_note *note, const bus_delivery *delivery);
void bus_crash_leave_step(bus_crash_note *note, size_t place);
bool bus_crash_suspect(const bus_crash_note *note, const bus_delivery *delivery); /* three deaths, and it was proven: not to be run */
bool bus_crash_died(const bus_crash_note *note);   /* the process died in a handler before this open */
bool bus_crash_died_in_step(const bus_crash_note *note); /* or in prepare steps; if it was one, that one is suspected */

#endif
