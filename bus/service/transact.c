/* SPDX-License-Identifier: MIT
 * Transact: bus_transact and bus_transact_async, the way into a shard's transaction from outside. */
#include "base/error.h"
#include "base/id.h"
#include "base/wait.h"
#include "service/seat.h"
#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

bus_status bus_seat_of(bus *self, const void *key, size_t key_len, bus_seat **out, bus_error *err)
{
    if (!self->service)
        return bus_fail(err, BUS_INVALID, "this bus was opened without a service: it has no store");
    if (self->shards == 0) {
        bus_fail(err, BUS_BROKER, "%s has not joined its group yet: it waits for the broker or its topics; try again", self->name);
        return BUS_BROKER;
    }
    if (!key && self->shards > 1)
        return bus_fail(err, BUS_INVALID, "%s has %d shards: name a key, it tells which", self->name, self->shards);
    int index = key ? bus_partition_of(key, key_len, self->shards) : 0;
    bus_seat *seat = &self->seats[index];
    if (!seat->shard) {
        bus_fail(err, BUS_ELSEWHERE, "the key belongs to shard %d of %s, which is not open in this process: use bus_request, or "
                 "try again when it has come here", index, self->name);
        if (err)
            err->retriable = true;
        return BUS_ELSEWHERE;
    }
    *out = seat;
    return BUS_OK;
}

/* Until the first assignment nobody knows whose the key is: callers right after bus_open wait for it. */
static bus_status wait_joined(bus *self, bus_error *err)
{
    if (!self->service)
        return BUS_OK; /* refused with its own text later */
    int64_t until_us = bus_clock_now_us() + bus_config_int(self->config, "open.wait.ms") * 1000;
    bool waits = true;
    pthread_mutex_lock(&self->state_lock);
    while (!self->joined && self->phase != BUS_PHASE_ENDED && !bus_stopping(self) && waits)
        waits = bus_cond_wait(&self->state_changed, &self->state_lock, until_us);
    bool joined = self->joined;
    pthread_mutex_unlock(&self->state_lock);
    if (!joined && !waits)
        return bus_fail(err, BUS_BROKER, "%s has not joined its group within open.wait.ms: it waits for the broker or its topics",
                        self->name);
    return BUS_OK;
}

/* `here`: on this thread, if the shard has nothing to do; that saves two changes of thread, which are dearer than a fast commit. */
static bus_status submit(bus *self, const void *key, size_t key_len, bool here, bus_call *call, bus_error *err)
{
    if (!call->fn)
        return bus_fail(err, BUS_INVALID, "bus_transact needs a function");
    if (bus_stopping(self))
        return bus_fail(err, BUS_CLOSED, "the bus is stopping");
    bus_seat *seat;
    pthread_rwlock_rdlock(&self->seats_lock);
    bus_status status = bus_seat_of(self, key, key_len, &seat, err);
    here = here && status == BUS_OK && bus_seat_enter(seat);
    if (status == BUS_OK && !here)
        status = bus_shard_call(seat->shard, call, err);
    pthread_rwlock_unlock(&self->seats_lock);
    return here ? bus_seat_visit(seat, call, err) : status;
}

/* ---- waiting */

typedef struct waiting {
    bus_call call; /* first */
    sem_t ended;
    bus_status status;
    bus_error err;
} waiting;

static void wake_caller(bus_call *call, bus_status status, const bus_error *err)
{
    waiting *mine = (waiting *)call;
    mine->status = status;
    if (status != BUS_OK && err)
        mine->err = *err;
    (void)sem_post(&mine->ended); /* `mine` is the caller's stack: gone from here on */
}

bus_status bus_transact(bus *self, const void *key, size_t key_len, bus_transaction fn, void *opaque, bus_error *err)
{
    if (bus_shard_inside())
        return bus_fail(err, BUS_INVALID, "bus_transact inside a handler would wait for itself: use the handler's own bus_tx");
    bus_status status = wait_joined(self, err);
    if (status != BUS_OK)
        return status;
    int cancel; /* who is cancelled here would leave the shard in a transaction, or its call on a stack that is gone */
    waiting mine; /* not a mutex with a condition: who is woken by one must wait for the other, too */
    mine.call = (bus_call){ .fn = fn, .opaque = opaque, .done = wake_caller };
    mine.err.status = BUS_OK;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    (void)sem_init(&mine.ended, 0, 0);
    status = submit(self, key, key_len, true, &mine.call, err);
    if (status == BUS_OK) {
        while (sem_wait(&mine.ended) != 0) /* a signal; the transaction goes on */
            continue;
        status = mine.status;
        if (status != BUS_OK && err)
            *err = mine.err;
    }
    (void)sem_destroy(&mine.ended);
    pthread_setcancelstate(cancel, NULL);
    return status;
}

/* ---- not waiting */

typedef struct promised {
    bus_call call; /* first */
    bus_completions *list;
    bus_completion *completion;
} promised;

static void keep_promise(bus_call *call, bus_status status, const bus_error *err)
{
    promised *mine = (promised *)call;
    bus_completion_end(mine->list, mine->completion, status, err);
    free(mine);
}

bus_status bus_transact_async(bus *self, const void *key, size_t key_len, bus_transaction fn, void *opaque, bus_done done,
                              bus_error *err)
{
    if (bus_shard_inside())
        return bus_fail(err, BUS_INVALID, "bus_transact_async inside a handler: use the handler's own bus_tx");
    promised *mine = calloc(1, sizeof *mine);
    bus_completion *completion = bus_completion_new(done, opaque);
    bus_status status = BUS_OK;
    if (!mine || !completion) {
        status = bus_fail_nomem(err);
    } else {
        mine->call = (bus_call){ .fn = fn, .opaque = opaque, .done = keep_promise };
        mine->list = &self->completions;
        mine->completion = completion;
        status = submit(self, key, key_len, false, &mine->call, err);
    }
    if (status != BUS_OK) {
        bus_completion_free(completion);
        free(mine);
    }
    return status;
}
