/* SPDX-License-Identifier: MIT
 * Simulation: a small topology under random faults, from one seed.
 *
 *   shop.inbox (foreign, 4 partitions) -> alpha (2 shards, holds dead keys) -> alpha.events (4) -> beta (2 shards, releases
 *   dead keys; schedules events to itself on beta.events)
 *
 * Each service has two processes on one data directory. Every event carries its number; every handler leaves one row per run
 * that counts, in tables without a unique key on it, so that a doubled effect shows. */
#ifndef TESTS_SUPPORT_SIM_H
#define TESTS_SUPPORT_SIM_H

#include "service/test_host.h"
#include "shard/virtual_clock.h"
#include "support/snapshot.h"
#include <stdio.h>

#define SIM_SHARDS 2
#define SIM_PROCESSES 2
#define SIM_SERVICES 2
#define SIM_KEYS 5
#define SIM_CALLS 100000 /* numbers from here on come from transactions, not from the inbox */

enum { ALPHA, BETA };

typedef struct sim sim;

/* Prepare steps wait here until chance runs one; or run at once while a shard may be closing, which waits for them. */
typedef struct sim_pool {
    bus_pool pool;
    bus_job *first;
    bool at_once;
} sim_pool;

typedef struct sim_process {
    bus_host *host;                      /* NULL: not running */
    sim_pool jobs;
    int64_t gaps_seen[SIM_SHARDS];
} sim_process;

/* A transaction from outside, and what its caller was told. */
typedef struct sim_call {
    bus_call call;
    sim *sim;
    int number;
    char key[8];
    enum { CALL_OPEN, CALL_DONE, CALL_FAILED, CALL_UNKNOWN } end;
} sim_call;

struct sim {
    uint64_t seed, random;
    bus_virtual_clock clock;
    bus_memory_cluster *cluster;
    bus_catalog *catalog;
    char data[64];
    bus_service service[SIM_SERVICES];
    bus_limits limits;
    sim_process process[SIM_SERVICES][SIM_PROCESSES];
    bool calm;                           /* no faults any more */
    bool mended;                         /* handlers no longer fail */
    bool down;
    int sent, sent_most;                 /* events of the inbox */
    sim_call *call[64];
    int calls;
    /* the process that is to die inside a step */
    sim_process *doomed;
    int doomed_after;                    /* failpoints to pass */
    bool cut;                            /* it has died; the rest of its step goes nowhere */
    snapshot *snapshot[SIM_SHARDS];
    FILE *history;
    int storm;                           /* per mille of actions that also upset a process and a group */
    bool failed;
};

uint64_t sim_random(sim *s);
bool sim_chance(sim *s, int per_mille);
/* One line of history, with the virtual time. */
void sim_note(sim *s, const char *format, ...) BUS_PRINTF(2, 3);
/* As sim_note; the seed has failed. */
void sim_fail(sim *s, const char *format, ...) BUS_PRINTF(2, 3);

/* sim_service.c: fills s->service. */
void sim_services(sim *s);
bus_verdict sim_transaction(bus_tx *tx, void *call);

/* sim_check.c */
void sim_check(sim *s);
/* What the dead-letter topic of a service says about each letter last. */
typedef struct sim_letter {
    int service;
    int32_t partition;
    char id[40];
    int round, state;   /* bus_letter_state */
    int number;         /* of the event; -1: none of ours */
    bus_record record;  /* the last that carries the event's bytes */
} sim_letter;
typedef void (*sim_letter_fn)(sim *s, const sim_letter *letter, void *opaque);
void sim_letters(sim *s, int service, sim_letter_fn each, void *opaque);

#endif
