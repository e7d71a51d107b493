/* SPDX-License-Identifier: MIT
 * The plan of a history: its seed and what is left out of it. Playing a plan twice gives the same history. */
#ifndef TESTS_SUPPORT_SIM_PLAN_H
#define TESTS_SUPPORT_SIM_PLAN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define SIM_STEPS 1500

/* Everything that may go wrong, each counted. */
typedef enum sim_fault {
    SIM_HELD,
    SIM_LOST_ACK,
    SIM_DUPLICATE,
    SIM_FALSE_ACK,
    SIM_UNSURE,
    SIM_FAILED,
    SIM_TOPIC,
    SIM_RECORD,
    SIM_FATAL, /* rows */
    SIM_SHORT_FETCH,
    SIM_AWAY,
    SIM_COMMIT_REFUSED,
    SIM_LOOK_FAILS,
    SIM_ZOMBIE,
    SIM_REBALANCE,
    SIM_LOST, /* cluster, group */
    SIM_LEADER_MOVES,
    SIM_NOT_LEADER,
    SIM_TIMED_OUT,
    SIM_FEW_REPLICAS,
    SIM_NOT_APPENDED,
    SIM_APPENDED, /* a partition */
    SIM_EXPIRED,
    SIM_UNCLEAN,
    SIM_RECREATED,
    SIM_RESET_BACK,
    SIM_RESET_FORWARD,
    SIM_NO_SIGN,
    SIM_REFILLED,
    SIM_LOOK_WAITS,
    SIM_MARKERS,
    SIM_NOISE, /* logs, positions */
    SIM_CLOCK_FORWARD,
    SIM_CLOCK_BACK,
    SIM_FORGED_HOP,
    SIM_COPIED,
    SIM_FORGED_COMMAND, /* forgers */
    SIM_STRANGER,
    SIM_STRANGER_COMMITS,
    SIM_OLD_COPY,
    SIM_OLDER_VERSION, /* members, copies */
    SIM_DEATH,
    SIM_DEATH_INSIDE,
    SIM_STOP, /* processes */
    SIM_REPEAT,
    SIM_REDRIVE,
    SIM_DISCARD,
    SIM_COMMAND_TWICE,
    SIM_CALL,
    SIM_INLINE_RUN,
    SIM_REPLAY,
    SIM_REPLAY_EARLY,
    SIM_CLAIM,
    SIM_LIMIT,
    SIM_ROW_RETRY,
    SIM_ROW_DISCARD, /* people */
    SIM_RETRY,
    SIM_REJECT,
    SIM_PAUSE,
    SIM_STICKY,
    SIM_KILLER,
    SIM_PREPARE_RETRY,
    SIM_PREPARE_PAUSE, /* handlers */
    SIM_POWER,
    SIM_POWER_INSIDE,
    SIM_DEATH_AT_DISK,
    SIM_FULL_DISK,
    SIM_SYNC_FAILS,
    SIM_WRITE_FAILS,
    SIM_READ_FAILS, /* disks */
    SIM_FAULTS,
    SIM_GAP_TOLD = SIM_FAULTS,
    SIM_HALTED,
    SIM_ASKED,
    SIM_COUNTS /* what shards say to them */
} sim_fault;

const char *sim_fault_name(sim_fault fault);

typedef struct sim_plan {
    uint64_t seed;
    uint64_t left_out[SIM_STEPS / 64 + 1]; /* a bit a step */
    uint64_t without[SIM_FAULTS / 64 + 1]; /* a bit a fault */
    int processes;                         /* of each service */
} sim_plan;

/* The failpoints that were reached, and how often a process died there. Names are the library's own. */
#define SIM_POINTS 64
typedef struct sim_points {
    const char *name[SIM_POINTS];
    int64_t deaths[SIM_POINTS];
} sim_points;
void sim_point(sim_points *points, const char *name, int64_t deaths);

typedef struct sim_result {
    bool failed;
    char check[160]; /* which one: the text before its details */
    char text[300];  /* what it found */
    int64_t count[SIM_COUNTS];
    sim_points points;
    int64_t events; /* effects of handlers at the end */
    uint64_t print; /* of all that was done to the disks: another one is another history */
} sim_result;

void sim_plan_init(sim_plan *plan, uint64_t seed);
static inline bool sim_plan_has(const sim_plan *plan, int step)
{
    return !(plan->left_out[step / 64] >> (step % 64) & 1);
}
static inline void sim_plan_leave_out(sim_plan *plan, int step)
{
    plan->left_out[step / 64] |= UINT64_C(1) << (step % 64);
}
static inline bool sim_plan_allows(const sim_plan *plan, int fault)
{
    return !(plan->without[fault / 64] >> (fault % 64) & 1);
}
static inline void sim_plan_forbid(sim_plan *plan, int fault)
{
    plan->without[fault / 64] |= UINT64_C(1) << (fault % 64);
}
/* The plan as options of `simulate`; what they give back is the same plan. `options` takes one; false: it is none. */
void sim_plan_print(const sim_plan *plan, FILE *out);
bool sim_plan_option(sim_plan *plan, const char *name, const char *value);

/* sim_run.c: plays a plan. history NULL: in silence; `library`: with what the library logs. */
void sim_run(const sim_plan *plan, FILE *history, bool library, sim_result *result);

#endif
