/* SPDX-License-Identifier: MIT
 * Simulation: a small topology under random faults; a plan says which, and is played exactly.
 *
 *   shop.inbox, shop.returns (foreign) -> alpha (2 shards, holds dead keys; answers whom asks on gateway.replies)
 *   -> alpha.events -> beta (2 shards, releases dead keys; schedules events to itself on beta.events)
 *
 * Copies that are replayed leave theirs in a table of their own. Each service has two processes on one data directory. Every event carries its number; every handler leaves one row per run
 * that counts, in tables without a unique key on it, so that a doubled effect shows.
 *
 * A history is a number of steps, each of which draws its chances from (seed, step): a step that is left out changes nothing
 * of what the others draw. That is what lets sim_shrink.c find the few that matter. */
#ifndef TESTS_SUPPORT_SIM_H
#define TESTS_SUPPORT_SIM_H

#include "base/map.h"
#include "testing/clock.h"
#include "support/disk.h"
#include "support/seeded.h"
#include "support/sim_plan.h"
#include "support/snapshot.h"
#include "testing/test_host.h"
#include <sqlite3.h>
#include <stdio.h>

#define SIM_SHARDS 2
#define SIM_PROCESSES 2
#define SIM_SERVICES 2
#define SIM_KEYS 5
#define SIM_CALLS (2 * SIM_STEPS) /* numbers from here on come from transactions, not from the inbox */
#define SIM_NUMBERS (SIM_CALLS + SIM_STEPS)
#define SIM_CALLS_MOST 64

enum { ALPHA, BETA, NOBODY = -1 };

/* The ways an event reaches a handler, and the answers; and topics that carry none of these. */
enum { IN_SHOP, IN_ALPHA, IN_BETA, IN_REPLIES, SIM_INPUTS, IN_NONE = -1 };

#define SIM_TOPICS 13
#define SIM_REPLIES_FROM 4 /* the topics before are those that services read events from */
extern const struct sim_topic {
    const char *name;
    int partitions;
    int reader; /* the service */
    int input;
    bool loses; /* its records may expire, be lost, or go with it */
} sim_topics[SIM_TOPICS];

/* A record as it was written; it stays here when its log loses it. */
typedef struct sim_record {
    int topic;
    int32_t partition;
    int64_t offset, at, gone_at; /* the latter by the ledger's own time */
    uint64_t event, id;          /* the same of its copies; of all runs of its cause */
    int number;
} sim_record;

/* A reader's position moved, by an operator or since the log lost what it stood for. */
typedef struct sim_damage {
    int topic;
    int32_t partition;
    int64_t from, to; /* back: [to, from) may be read again; else [from, to) may not be read at all */
    int64_t at;
} sim_damage;
#define SIM_DAMAGES 200

/* How often more, and how often less than once for each record, each number may have had its effect. */
typedef struct sim_bounds {
    int again[SIM_INPUTS][SIM_NUMBERS], missed[SIM_INPUTS][SIM_NUMBERS];
} sim_bounds;

/* A partition whose rows fail for a while. */
typedef struct sim_outage {
    int topic;
    int32_t partition;
    int64_t until_us;
    enum { NO_OUTAGE, LEADER_MOVES, FEW_REPLICAS } kind;
} sim_outage;
#define SIM_OUTAGES 4

/* An outbox row that an operator has wanted to give up. */
typedef struct sim_given_up {
    int service, shard;
    char row[48], source[128];
    int64_t seq;
    int input, number;
} sim_given_up;
#define SIM_GIVEN_UP 64

typedef struct sim sim;

/* Prepare steps wait here until chance runs one; or run at once while a shard may be closing, which waits for them. */
typedef struct sim_pool {
    bui_pool pool;
    bui_job *first;
    bool at_once;
} sim_pool;

typedef struct sim_process {
    bui_host *host; /* NULL: not running */
    sim_pool jobs;
    int service, number;
    bool older;        /* of its version: it has fewer routes */
    bui_accept accept; /* what it was started with */
    bool dead;         /* what it still does goes nowhere; it is closed when its code returns */
} sim_process;

/* What is wrong, or about to be, with the disk of a service. */
typedef struct sim_illness {
    int power_after, death_after; /* operations; 0: never */
    sim_fault fails;              /* which kind of operation; SIM_FAULTS: none */
    int fail_after, fail_times;
    bool full;
    bool struck; /* something has failed since it healed last */
} sim_illness;

/* A copy of a store that was taken while it ran. */
typedef struct sim_backup {
    disk_copy *copy; /* NULL: none */
    int service, shard;
    int64_t opens, age;
    bool tried; /* it is where the store was, and to be refused */
} sim_backup;

/* A transaction from outside, and what its caller was told. */
typedef struct sim_call {
    bui_call call;
    sim *sim;
    int number;
    char key[8];
    enum { CALL_OPEN, CALL_DONE, CALL_FAILED, CALL_UNKNOWN } end;
} sim_call;

struct sim {
    const sim_plan *plan;
    sim_result *result;
    uint64_t random; /* the state of the step's chances */
    FILE *history;
    bool library; /* the history holds what the library logs */
    bool calm;    /* no faults any more */
    bool mended;  /* handlers no longer fail */

    bui_virtual_clock clock;
    bui_memory_cluster *cluster;
    bui_catalog *catalog;
    bus_service service[SIM_SERVICES], older[SIM_SERVICES];
    bui_limits limits;
    int compact;    /* services that send the compact form, as bits */
    bui_keys *keys; /* who belongs here signs; NULL: nobody does */
    char data[64];
    sim_process process[SIM_SERVICES][SIM_PROCESSES];
    int storm;                       /* per mille of steps that also upset a process and a group */
    bool down;                       /* the broker is away */
    int step;                        /* which one; events take their numbers from it */
    int sent[SIM_STEPS], sent_count; /* numbers of the inbox */
    sim_call *call[SIM_CALLS_MOST];
    int calls;

    /* disks */
    disk *disk;
    int disk_storm; /* per mille of steps that also do something to a disk */
    sim_illness ill[SIM_SERVICES];
    bool rebooted[SIM_SERVICES]; /* their power has failed: the next step may start them again */

    /* what befalls topics */
    bool rough; /* records are lost and positions moved in this history */
    sim_outage outage[SIM_OUTAGES];
    int64_t gone_until_us[SIM_TOPICS]; /* deleted; from then on it is there again */
    int64_t lost_from[SIM_TOPICS][4];  /* the lowest offset from which a log lost records that nobody has dealt with */
    bool broken[SIM_SERVICES];         /* a shard may have halted at that, until an operator repairs it */
    sim_record *record;
    size_t records, records_cap;
    int64_t entered[SIM_TOPICS][4]; /* offsets below are in the ledger */
    int64_t ledger_time;
    bui_map sources;
    sim_damage damage[SIM_DAMAGES];
    int damages;
    bool log_lost;         /* any log has lost records, or was made again: bus audit says so */
    bool commands_skipped; /* an offset of a lead topic was set forward: the numbers passed by stay missing */
    sim_given_up given_up[SIM_GIVEN_UP];
    int given_up_count;
    bool runs_inline;                 /* strangers come in this history; in the others Kafka's tool has the group to itself */
    bool strangers;                   /* one is in both groups */
    bool stranger_set[SIM_TOPICS][4]; /* an offset, last of all who are not of the service */
    sim_backup backup;
    bool refused;                              /* a store may hold a row that Kafka has refused */
    sqlite3 *reader[SIM_SERVICES][SIM_SHARDS]; /* see sim_reader */

    /* a death */
    sim_process *acting; /* whose code runs */
    sim_process *doomed; /* who is to die while it runs */
    int doomed_after;    /* failpoints to pass */
    bool cut;            /* who acts has died: what it still does goes nowhere */
    snapshot *snapshot[SIM_SHARDS];
};

/* ---- sim_world.c: chance, history, and the life of processes */

/* From here on chances are those of `stream`: a step's number, or one of those below. */
enum { SIM_START = 1 << 24, SIM_HEAL, SIM_DISK };
void sim_draw_from(sim *s, uint64_t stream);
uint64_t sim_random(sim *s);
int sim_below(sim *s, int n);
bool sim_chance(sim *s, int per_mille);
/* May this fault strike? Counts it if so: the plan can leave it out. Ask after all chances are drawn. */
bool sim_strikes(sim *s, sim_fault fault);
/* One line of history, with the virtual time. */
void sim_note(sim *s, const char *format, ...) BUS_PRINTF(2, 3);
/* As sim_note; the history has failed. The format names the check. */
void sim_fail(sim *s, const char *format, ...) BUS_PRINTF(2, 3);

void sim_start(sim *s, sim_process *process);
void sim_start_accepting(sim *s, sim_process *process, bui_accept accept);
void sim_stop(sim *s, sim_process *process);
void sim_kill(sim *s, sim_process *process);
/* The same for one whose code runs now: it is closed when that returns. */
void sim_die(sim *s, sim_process *process);
/* All processes of a service die, and what they had not synced is lost as it may. */
void sim_power_off(sim *s, int service);
/* Runs prepare steps that wait: the n-th; all. */
void sim_run_job(sim_process *process, int n);
void sim_run_jobs(sim_process *process);
/* Reads the group's word; a shard may open or close at it. */
void sim_hear(sim *s, sim_process *process);
/* One turn of a shard's loop; true if it had anything to do. */
bool sim_iteration(sim *s, sim_process *process, int shard);
/* A transaction on its caller's thread; false: it must queue, if the process lives. */
bool sim_run_inline(sim *s, sim_process *process, int shard, bui_call *call);
/* The coordinator deals the shards of a service to its living processes. */
void sim_rebalance(sim *s, int service);
#ifdef BUS_FAILPOINTS
void sim_on_failpoint(const char *point, void *sim);
#endif

/* ---- sim_steps.c: what may happen, and how it ends */

void sim_step(sim *s);
/* Everything heals and comes to rest; dead letters are redriven until none is left. */
void sim_heal(sim *s);

/* ---- sim_cluster.c: the topics and their faults */

bool sim_cluster_make(sim *s);

/* ---- sim_disk.c: stores are on disks that fail */

bool sim_disk_make(sim *s);
void sim_disk_unmake(sim *s);
void sim_disk_heal(sim *s);
/* Something befalls the disk of a service, now or soon. */
void sim_disk_step(sim *s, int service);
/* May a store of this service say that its disk is full or broken? */
bool sim_disk_ill(const sim *s, int service);
disk_fate sim_on_disk(void *sim, const char *path, disk_op op);

/* ---- sim_copies.c: copies of events, and events that claim to be something else */

void sim_replay(sim *s);
/* Headers of commands for an event of an input; how many: 0 if chance wants none. */
size_t sim_claims(sim *s, bus_header out[3]);

/* ---- sim_members.c: strangers in the group, older copies of stores */

void sim_members_step(sim *s);
void sim_stranger_leaves(sim *s);
/* Is the offset that stands there a stranger's? */
bool sim_stranger_set(const sim *s, int topic, int32_t partition);
/* Can Kafka's tool set offsets that will be obeyed without a question? */
bool sim_group_is_plain(const sim *s, int service);
/* Has a stranger set an offset that no process of the service has seen yet? */
bool sim_stranger_waits(const sim *s, int service);
/* What an operator answers who is asked whose offsets the group's are. */
bui_accept sim_answer(const sim *s, int service);

/* ---- sim_trouble.c: what brokers and operators do to logs and positions */

void sim_outage_step(sim *s);
void sim_trouble_step(sim *s);
/* Somebody sends what is no event of this simulation. */
void sim_noise(sim *s);
/* An operator accepts what a service's logs have lost: its positions are put where the logs begin again. */
void sim_repair(sim *s, int service);
void sim_stop_all(sim *s, int service);
void sim_start_all(sim *s, int service, bui_accept accept);

/* ---- sim_forger.c: signatures, and who has no key */

void sim_make_keys(sim *s);
/* Signed, if this history has keys. */
int64_t sim_append(sim *s, const char *topic, int32_t partition, const bui_row *row);
bool sim_is_forged(const sim *s, const bui_record *record);
void sim_forge(sim *s);

/* ---- sim_limits.c: topics that take less for a while, and what is decided about rows that were refused */

void sim_limits_step(sim *s);
void sim_limits_raise(sim *s);
/* Operators go through the refused rows, or, once calm, have all of them sent again; how many there are. */
int sim_rows(sim *s);
bool sim_is_given_up(sim *s, const sim_given_up *given);

/* ---- sim_ledger.c: what was written, and what became of it */

/* Enters what was written since. */
void sim_read_logs(sim *s);
void sim_damaged(sim *s, int topic, int32_t partition, int64_t from, int64_t to);
/* The log has lost its records from an offset on. */
void sim_log_lost(sim *s, int topic, int32_t partition, int64_t from);
bool sim_first_of_its_event(const sim *s, size_t record);
void sim_weigh_damage(const sim *s, sim_bounds *out);
/* The number an event of ours carries; -1: none. */
int sim_number_in(const bui_record *record);
/* The same of a dead letter, also of one that does not carry its event. */
int sim_number_of_letter(sim *s, const bui_record *record);

/* ---- sim_service.c: fills s->service. */

static inline bool sim_is_returned(int number)
{
    return number % 4 == 2;
} /* comes by shop.returns */
static inline bool sim_is_asked(int number)
{
    return number < SIM_CALLS && number % 5 == 1;
} /* its sender wants an answer */

void sim_services(sim *s);
bus_verdict sim_transaction(bus_tx *tx, void *call);

/* ---- sim_check.c: what must hold at the end */

void sim_check(sim *s);
/* Where a service's store stands; -1: nowhere yet. */
int64_t sim_position(sim *s, int service, int topic, int32_t partition);
/* A store, to read in; NULL: no shard has made it yet. It stays open for who asks next, until sim_readers_close: opening it costs more than
 * what is asked. Close them before anything runs. */
sqlite3 *sim_reader(sim *s, int service, int shard);
void sim_readers_close(sim *s);
/* What the dead-letter topic of a service says about each dead letter last. */
typedef struct sim_letter {
    int service;
    int32_t partition;
    char id[40];
    int round, state;  /* bui_deadletter_state */
    int number;        /* of the event; -1: none of ours */
    bool copy;         /* of `bus replay` */
    bui_record record; /* the last that carries the event's bytes */
} sim_letter;
typedef void (*sim_letter_fn)(sim *s, const sim_letter *letter, void *opaque);
void sim_letters(sim *s, int service, sim_letter_fn each, void *opaque);

#endif
