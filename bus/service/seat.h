/* SPDX-License-Identifier: MIT
 * Seat: one shard's place in a process: its thread, the handshake by which the control thread stops it at a step
 * boundary or has something done there, and that by which a caller of bus_transact takes a turn while the thread sleeps. */
#ifndef BUS_SERVICE_SEAT_H
#define BUS_SERVICE_SEAT_H

#include "base/waker.h"
#include "service/runner.h"
#include "store/lock.h"

#define BUS_SEAT_READERS 4 /* idle query-only connections kept per shard */

typedef struct bus_seat_order bus_seat_order;

struct bus_seat {
    bus *bus;
    int index;
    bus_shard *shard;           /* NULL: not open here. Written under bus->seats_lock */

    pthread_t thread;
    bool started;
    bus_waker *waker;
    pthread_mutex_t lock;       /* what follows, up to the next comment */
    pthread_cond_t changed;
    bool hold, held, quit, draining, drained;
    _Atomic bool called;        /* somebody wants a step, not only the timer set */
    _Atomic bool asleep;        /* read without the lock as a hint */
    bool visited, awaited;      /* a caller is in a turn; the thread waits for its end */
    int64_t due_us, timer_us;   /* when its next turn is due, and when it will look, by the monotonic clock */
    bus_seat_order *order;
    bus_status failure;
    bus_error failure_err;

    /* The control thread's. */
    _Atomic bool assigned;      /* the group gave it to us; read by bus_ready */
    _Atomic bool claimed;       /* open, and checked against the group's commits */
    bus_lock *want;             /* our request to whoever holds it */
    int64_t wanting_since_us, try_at_us, told_us;

    /* The watchdog's. */
    int64_t stuck_since_us, stuck_told_us;

    /* bus_read's. */
    pthread_mutex_t readers_lock;
    struct sqlite3 *readers[BUS_SEAT_READERS];
    int reader_count;
    int64_t reader_generation;  /* grows with each open of the shard: an older connection is not kept */
};

/* Makes `count` seats, all empty. NULL: no memory. */
bus_seat *bus_seats_new(bus *bus, int count);
void bus_seats_free(bus_seat *seats, int count); /* all closed before */

/* Opens the shard on a thread of its own. BUS_LOCKED: seat->want is held, try again later. */
bus_status bus_seat_open(bus_seat *seat, bus_error *err);
/* bus_shard_claim on the seat's thread. */
bus_status bus_seat_claim(bus_seat *seat, bus_error *err);
/* Starts draining. */
void bus_seat_drain(bus_seat *seat);
bool bus_seat_drained(bus_seat *seat);
/* Closes the shard and joins the thread. False: the thread is stuck in a handler and time is up; it is left behind. */
bool bus_seat_close(bus_seat *seat);

/* Stops the thread between two steps; false: time is up (only while stopping). Then the shard may be used by the caller. */
bool bus_seat_hold(bus_seat *seat);
void bus_seat_go(bus_seat *seat);

void bus_seat_wake(bus_seat *seat); /* for a step; any thread, also in a signal's handler */
/* May the caller take a turn: does the thread sleep, with nothing else asked of it? If so bus_seat_visit must follow; until then
 * the shard stays open. */
bool bus_seat_enter(bus_seat *seat);
/* Runs the call on this thread, or queues it if it cannot be run now; errors as of bus_shard_call. */
bus_status bus_seat_visit(bus_seat *seat, bus_call *call, bus_error *err);

/* The seat of a key whose shard is open here, with seats_lock held for reading. BUS_ELSEWHERE, BUS_BROKER (N is not known
 * yet), BUS_INVALID (no store; or no key where there are several shards). transact.c */
bus_status bus_seat_of(bus *bus, const void *key, size_t key_len, bus_seat **out, bus_error *err);

/* Why the shard halted; BUS_OK if it did not. */
bus_status bus_seat_failure(bus_seat *seat, bus_error *err);

#endif
