/* SPDX-License-Identifier: MIT
 * Shard worker: one shard's place in a process: its thread, the handshake by which the control thread stops it at a step
 * boundary or has something done there, and that by which a caller of bus_transact runs inline while the thread sleeps. */
#ifndef BUI_SERVICE_WORKER_H
#define BUI_SERVICE_WORKER_H

#include "base/waker.h"
#include "service/runner.h"
#include "store/lock.h"

#define BUI_WORKER_READERS 4 /* idle query-only connections kept per shard */

typedef struct bui_worker_order bui_worker_order;

struct bui_worker {
    bus *bus;
    int index;
    bui_shard *shard; /* NULL: not open here. Written under bus->seats_lock */

    pthread_t thread;
    bool started;
    bui_waker *waker;
    pthread_mutex_t lock; /* what follows, up to the next comment */
    pthread_cond_t changed;
    bool quiesce, quiesced, quit, draining, drained;
    _Atomic bool called;       /* somebody wants a step, not only the timer set */
    _Atomic bool asleep;       /* read without the lock as a hint */
    bool runs_inline, awaited; /* a caller runs inline; the thread waits for its end */
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

/* Opens the shard on a thread of its own. BUS_LOCKED: worker->want is held, try again later. */
bus_status bui_worker_open(bui_worker *worker, bus_error *err);
/* bui_shard_claim on the worker's thread. */
bus_status bui_worker_claim(bui_worker *worker, bus_error *err);
/* Starts draining. */
void bui_worker_drain(bui_worker *worker);
bool bui_worker_drained(bui_worker *worker);
/* Closes the shard and joins the thread. False: the thread is stuck in a handler and time is up; it is left behind. */
bool bui_worker_close(bui_worker *worker);

/* Stops the thread between two steps; false: time is up (only while stopping). Then the shard may be used by the caller. */
bool bui_worker_quiesce(bui_worker *worker);
void bui_worker_resume(bui_worker *worker);

void bui_worker_wake(bui_worker *worker); /* for a step; any thread, also in a signal's handler */
/* May the caller run inline: does the thread sleep, with nothing else asked of it? If so bui_worker_run_inline must follow; until then
 * the shard stays open. */
bool bui_worker_enter(bui_worker *worker);
/* Runs the call on this thread, or queues it if it cannot be run now; errors as of bui_shard_call. */
bus_status bui_worker_run_inline(bui_worker *worker, bui_call *call, bus_error *err);

/* The worker of a key whose shard is open here, with seats_lock held for reading. BUS_ELSEWHERE, BUS_BROKER (N is not known
 * yet), BUS_INVALID (no store; or no key where there are several shards). transact.c */
bus_status bui_worker_of(bus *bus, bus_string key, bui_worker **out, bus_error *err);

/* Why the shard halted; BUS_OK if it did not. */
bus_status bui_worker_failure(bui_worker *worker, bus_error *err);

#endif
