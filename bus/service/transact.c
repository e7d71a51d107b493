/* SPDX-License-Identifier: MIT
 * Transact: bus_transact and bus_transact_async, the way into a shard's transaction from outside. */
#include "base/error.h"
#include "base/id.h"
#include "base/wait.h"
#include "service/worker.h"
#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

bus_status bui_worker_of(bus *self, bus_string key, bui_worker **out, bus_error *err)
{
    if (!self->service)
        return bui_fail(err, BUS_INVALID, "this bus was opened without a service: it has no store");
    if (self->shards == 0) {
        bui_fail(err, BUS_BROKER, "%s has not joined its group yet: it waits for the broker or its topics; try again",
                 self->name);
        return BUS_BROKER;
    }
    if (!key.at && self->shards > 1)
        return bui_fail(err, BUS_INVALID, "%s has %d shards: name a key, which decides the shard", self->name, self->shards);
    int index = key.at ? bui_partition_of(key.at, key.len, self->shards) : 0;
    bui_worker *worker = &self->workers[index];
    if (!worker->shard) {
        bui_fail(err, BUS_ELSEWHERE,
                 "the key belongs to shard %d of %s, which is not open in this process: use bus_request, or "
                 "try again when it has come here",
                 index, self->name);
        if (err)
            err->retriable = true;
        return BUS_ELSEWHERE;
    }
    *out = worker;
    return BUS_OK;
}

/* Until the first assignment nobody knows whose the key is: callers right after bus_open wait for it. */
static bus_status wait_joined(bus *self, bus_error *err)
{
    if (!self->service)
        return BUS_OK; /* refused with its own text later */
    int64_t until_us = bui_clock_now_us() + bui_config_int(self->config, "open.wait.ms") * 1000;
    bool waits = true;
    pthread_mutex_lock(&self->state_lock);
    while (!self->joined && self->phase != BUI_PHASE_ENDED && !bui_stopping(self) && waits)
        waits = bui_cond_wait(&self->state_changed, &self->state_lock, until_us);
    bool joined = self->joined;
    pthread_mutex_unlock(&self->state_lock);
    if (!joined && !waits)
        return bui_fail(err, BUS_BROKER, "%s has not joined its group within open.wait.ms: it waits for the broker or its topics",
                        self->name);
    return BUS_OK;
}

/* `here`: on this thread, if the shard has nothing to do; that saves two changes of thread, which cost more than a fast commit. */
static bus_status submit(bus *self, bus_string key, bool here, bui_call *call, bus_error *err)
{
    if (!call->fn)
        return bui_fail(err, BUS_INVALID, "bus_transact needs a function");
    if (bui_stopping(self))
        return bui_fail(err, BUS_CLOSED, "the bus is stopping");
    bui_worker *worker;
    pthread_rwlock_rdlock(&self->workers_lock);
    bus_status status = bui_worker_of(self, key, &worker, err);
    here = here && status == BUS_OK && bui_worker_enter(worker);
    if (status == BUS_OK && !here)
        status = bui_shard_call(worker->shard, call, err);
    pthread_rwlock_unlock(&self->workers_lock);
    return here ? bui_worker_run_inline(worker, call, err) : status;
}

/* ---- waiting */

typedef struct waiting {
    bui_call call; /* first */
    sem_t ended;
    bus_status status;
    bus_error err;
} waiting;

static void wake_caller(bui_call *call, bus_status status, const bus_error *err)
{
    waiting *mine = (waiting *)call;
    mine->status = status;
    if (status != BUS_OK && err)
        mine->err = *err;
    (void)sem_post(&mine->ended); /* `mine` is the caller's stack: gone from here on */
}

bus_status bus_transact(bus *self, bus_string key, bus_transaction fn, void *opaque, bus_error *err)
{
    if (bui_shard_inside())
        return bui_fail(err, BUS_INVALID, "bus_transact inside a handler would wait for itself: use the handler's own bus_tx");
    bus_status status = wait_joined(self, err);
    if (status != BUS_OK)
        return status;
    int cancel;   /* a thread cancelled here would leave the shard in a transaction, or its call on a stack that is gone */
    waiting mine; /* not a mutex with a condition: a thread woken by the one must wait for the other, too */
    mine.call = (bui_call){ .fn = fn, .opaque = opaque, .done = wake_caller };
    mine.err.status = BUS_OK;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    (void)sem_init(&mine.ended, 0, 0);
    status = submit(self, key, true, &mine.call, err);
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
    bui_call call; /* first */
    bui_completions *list;
    bui_completion *completion;
} promised;

static void keep_promise(bui_call *call, bus_status status, const bus_error *err)
{
    promised *mine = (promised *)call;
    bui_completion_end(mine->list, mine->completion, &(bus_result){ status, err, -1, -1 });
    free(mine);
}

bus_status bus_transact_async(bus *self, bus_string key, bus_transaction fn, bus_done done, void *opaque, bus_error *err)
{
    if (bui_shard_inside())
        return bui_fail(err, BUS_INVALID, "bus_transact_async inside a handler: use the handler's own bus_tx");
    promised *mine = calloc(1, sizeof *mine);
    bui_completion *completion = bui_completion_new(done, opaque);
    bus_status status = BUS_OK;
    if (!mine || !completion) {
        status = bui_fail_nomem(err);
    } else {
        mine->call = (bui_call){ .fn = fn, .opaque = opaque, .done = keep_promise };
        mine->list = &self->completions;
        mine->completion = completion;
        status = submit(self, key, false, &mine->call, err);
    }
    if (status != BUS_OK) {
        bui_completion_free(completion);
        free(mine);
    }
    return status;
}
