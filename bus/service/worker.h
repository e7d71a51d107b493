/* SPDX-License-Identifier: MIT
 * Shard worker: one shard's place in a process: the task that steps it, the handshake by which the control thread stops it at a
 * step boundary or has something done there, and that by which a caller of bus_transact runs inline while it rests. */
#ifndef BUI_SERVICE_WORKER_H
#define BUI_SERVICE_WORKER_H

#include "service/crew.h"
#include "service/runner.h"
#include "store/lock.h"

#define BUI_WORKER_READERS 4 /* idle query-only connections kept per shard */

typedef struct bui_worker_order bui_worker_order;

struct bui_worker {
    bui_task task; /* first */
    bus *bus;
    int index;
    bui_shard *shard; /* NULL: not open here. Written under bus->workers_lock */

    bool started;         /* the task has begun; this and the next are the control thread's */
    bool stands;          /* when it was last asked to stand still it did */
    pthread_mutex_t lock; /* what follows, up to the next comment */
    pthread_cond_t changed;
    bool inside;  /* a thread is in a step or an order */
    bool quiesce; /* it shall begin neither */
    bool draining, drained;
    _Atomic bool called;       /* somebody wants a step, not only the timer set */
    _Atomic bool asleep;       /* a caller may run inline; read without the lock as a hint */
    bool runs_inline, awaited; /* a caller runs inline; a step or an order is due when it ends */
    int64_t due_us, timer_us;  /* when its next iteration is due, and when it will look, by the monotonic clock */
    bui_worker_order *order;
    bus_status failure;
    bus_error failure_err;

    /* The control thread's. */
    _Atomic bool assigned; /* the group gave it to us; read by bui_ready */
    _Atomic bool claimed;  /* open, and checked against the group's commits */
    bui_lock *want;        /* our request to the holder */
    int64_t wanting_since_us, try_at_us, told_us;

    /* The watchdog's. */
    int64_t stuck_since_us, stuck_told_us;

    /* bus_read's. */
    pthread_mutex_t readers_lock;
    struct sqlite3 *readers[BUI_WORKER_READERS];
    int reader_count;
    int64_t reader_generation; /* grows with each open of the shard: an older connection is not kept */
};

/* Makes `count` workers, all empty. NULL: no memory. */
bui_worker *bui_workers_new(bus *bus, int count);
void bui_workers_free(bui_worker *workers, int count); /* all closed before */

/* Opens the shard, as its task. BUS_LOCKED: worker->want is held, try again later. */
bus_status bui_worker_open(bui_worker *worker, bus_error *err);
/* bui_shard_claim, as its task. */
bus_status bui_worker_claim(bui_worker *worker, bus_error *err);
/* Starts draining. */
void bui_worker_drain(bui_worker *worker);
bool bui_worker_drained(bui_worker *worker);
/* Closes the shard and ends the task. False: it is stuck in a handler and time is up; it is left behind. */
bool bui_worker_close(bui_worker *worker);

/* Stops it between two steps; false: time is up (only while stopping). Then the shard may be used by the caller. */
bool bui_worker_quiesce(bui_worker *worker);
void bui_worker_resume(bui_worker *worker);

void bui_worker_wake(bui_worker *worker); /* for a step; any thread */
/* May the caller run inline: does it rest, with nothing else asked of it? If so bui_worker_run_inline must follow; until then
 * the shard stays open. */
bool bui_worker_enter(bui_worker *worker);
/* Runs the call on this thread, or queues it if it cannot be run now; errors as of bui_shard_call. */
bus_status bui_worker_run_inline(bui_worker *worker, bui_call *call, bus_error *err);

/* The worker of a key whose shard is open here, with workers_lock held for reading. BUS_ELSEWHERE, BUS_BROKER (N is not known
 * yet), BUS_INVALID (no store; or no key where there are several shards). transact.c */
bus_status bui_worker_of(bus *bus, bus_string key, bui_worker **out, bus_error *err);

/* Why the shard halted; BUS_OK if it did not. */
bus_status bui_worker_failure(bui_worker *worker, bus_error *err);

#endif
