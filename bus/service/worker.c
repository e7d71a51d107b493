/* SPDX-License-Identifier: MIT
 * Shard worker: the task that steps a shard, on whatever thread of the crew.
 *
 * A run holds worker->lock except inside a step or an order, while `inside` is set. So a thread that wants the shard to stand still sets
 * `quiesce` and waits until nobody is inside; what must happen between its steps and may take time (open, claim, drain, close) goes there as
 * an order. While it rests a caller may run inline: `runs_inline`; what is due meanwhile is done when that is over. */
#include "service/worker.h"
#include "service/announce.h"
#include "base/error.h"
#include "base/log.h"
#include "base/wait.h"
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#define HOLD_GRACE_US 1000000
#define CHANCE_US 200000
#define CACHE_LEAST (256 << 10)
#define CHANGE_US 50000 /* between looks at whether time is up */

struct bui_worker_order {
    bus_status (*run)(bui_worker *worker, bus_error *err);
    bus_status status;
    bus_error err;
    bool done, abandoned; /* abandoned: its giver went away, who ran it frees it */
};

void bui_worker_wake(bui_worker *worker)
{
    atomic_store(&worker->called, true);
    bui_task_call(&worker->task);
}

static void wake(void *opaque)
{
    bui_worker_wake(opaque);
}

static void signal_change(bui_worker *worker)
{
    pthread_cond_broadcast(&worker->changed);
}

static int64_t now_us(const bui_worker *worker)
{
    return worker->bus->clock->mono_us(worker->bus->clock);
}

static int64_t after(const bui_worker *worker, int64_t wait_us)
{
    return wait_us == INT64_MAX ? INT64_MAX : now_us(worker) + wait_us;
}

/* Both with the lock. */
static void go_inside(bui_worker *worker)
{
    worker->inside = true;
    atomic_store_explicit(&worker->asleep, false, memory_order_relaxed);
    pthread_mutex_unlock(&worker->lock);
}

static void come_out(bui_worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    worker->inside = false;
    if (worker->quiesce)
        signal_change(worker);
}

static void run_order(bui_worker *worker)
{
    bui_worker_order *order = worker->order;
    worker->order = NULL;
    go_inside(worker);
    bus_status status = order->run(worker, &order->err);
    atomic_store(&worker->called, true); /* a step follows, whatever was ordered */
    come_out(worker);
    order->status = status;
    order->done = true;
    if (order->abandoned)
        free(order);
    signal_change(worker);
}

/* What a step leaves behind, with the lock; how long it may rest. */
static int64_t note_step(bui_worker *worker, int64_t wait_us, bool drained, bus_status failure, const bus_error *err)
{
    if (drained != worker->drained) {
        worker->drained = drained;
        signal_change(worker);
    }
    if (failure != BUS_OK) {
        worker->failure = failure;
        worker->failure_err = *err;
        return INT64_MAX;
    }
    if (wait_us > 0 && !worker->quiesce && !worker->order) {
        worker->due_us = worker->timer_us = after(worker, wait_us);
        atomic_store_explicit(&worker->asleep, true, memory_order_relaxed);
    } else {
        worker->due_us = 0;
    }
    return wait_us;
}

/* Called with the lock, returns with it. Ends the single call, if there is one, when its caller can run the next one inline. */
static int64_t run_step(bui_worker *worker)
{
    bui_shard *shard = worker->shard;
    bui_call *single;
    bool draining = worker->draining;
    go_inside(worker);
    atomic_store(&worker->called, false);
    int64_t wait_us = bui_shard_step(shard, &single);
    bool drained = draining && bui_shard_drained(shard);
    bus_error err = { 0 };
    bus_status failure = wait_us == INT64_MAX ? bui_shard_failure(shard, &err) : BUS_OK;
    come_out(worker);
    wait_us = note_step(worker, wait_us, drained, failure, &err);
    if (!single && failure == BUS_OK)
        return wait_us;
    pthread_mutex_unlock(&worker->lock);
    if (single)
        single->done(single, BUS_OK, NULL);
    if (failure != BUS_OK)
        worker->bus->transport->ops->wake(worker->bus->transport);
    pthread_mutex_lock(&worker->lock);
    return wait_us;
}

/* Callers who run inline put off what is due: they say at their end when that is now. */
static int64_t put_off(bui_worker *worker)
{
    if (atomic_load(&worker->called) || worker->order)
        worker->awaited = true;
    worker->timer_us = INT64_MAX;
    return INT64_MAX;
}

static int64_t run_once(bui_worker *worker)
{
    if (worker->runs_inline)
        return put_off(worker);
    if (worker->order) {
        run_order(worker);
        return 0;
    }
    if (worker->quiesce || !worker->shard || worker->failure != BUS_OK)
        return INT64_MAX;
    if (!atomic_load(&worker->called) && worker->asleep) {
        int64_t left_us = worker->due_us == INT64_MAX ? INT64_MAX : worker->due_us - now_us(worker);
        worker->timer_us = worker->due_us;
        if (left_us > 0)
            return left_us;
    }
    return run_step(worker);
}

static int64_t turn(bui_task *task)
{
    bui_worker *worker = (bui_worker *)task;
    pthread_mutex_lock(&worker->lock);
    int64_t wait_us = run_once(worker);
    pthread_mutex_unlock(&worker->lock);
    return wait_us;
}

/* ---- a caller's inline run */

bool bui_worker_enter(bui_worker *worker)
{
    if (!atomic_load_explicit(&worker->asleep, memory_order_relaxed))
        return false;
    pthread_mutex_lock(&worker->lock);
    bool enters = worker->asleep && !worker->runs_inline && !worker->awaited && !worker->quiesce && !worker->order;
    worker->runs_inline |= enters;
    pthread_mutex_unlock(&worker->lock);
    return enters;
}

bus_status bui_worker_run_inline(bui_worker *worker, bui_call *call, bus_error *err)
{
    bus_status status = BUS_OK;
    int64_t wait_us;
    if (!bui_shard_run_inline(worker->shard, call, &wait_us))
        status = bui_shard_call(worker->shard, call, err);
    pthread_mutex_lock(&worker->lock);
    bool calls = worker->awaited || wait_us <= 0;
    if (calls) /* its own run is next: nobody enters before it */
        atomic_store_explicit(&worker->asleep, false, memory_order_relaxed);
    worker->runs_inline = worker->awaited = false;
    worker->due_us = after(worker, wait_us);
    calls = calls || worker->due_us < worker->timer_us;
    if (worker->quiesce)
        signal_change(worker);
    pthread_mutex_unlock(&worker->lock);
    if (calls)
        bui_task_call(&worker->task);
    return status;
}

/* Waits a little for a change, with the lock held. */
static void wait_change(bui_worker *worker)
{
    (void)bui_cond_wait(&worker->changed, &worker->lock, bui_clock_now_us() + CHANGE_US);
}

/* Has `run` done by the worker's task. `extra_us`: how long beyond the drain time it may take while stopping. */
static bus_status give_order(bui_worker *worker, bus_status (*run)(bui_worker *, bus_error *), int64_t extra_us, bus_error *err)
{
    bui_worker_order *order = calloc(1, sizeof *order);
    if (!order)
        return bui_fail_nomem(err);
    order->run = run;
    pthread_mutex_lock(&worker->lock);
    worker->order = order;
    pthread_mutex_unlock(&worker->lock);
    bui_task_call(&worker->task);

    pthread_mutex_lock(&worker->lock);
    /* The time may be over already, because of another shard: then it still gets the chance. */
    int64_t chance_us = now_us(worker) + CHANCE_US;
    while (!order->done && (now_us(worker) < chance_us || !bui_out_of_time(worker->bus, extra_us)))
        wait_change(worker);
    bool done = order->done;
    if (!done && worker->order == order) {
        worker->order = NULL; /* never begun */
        free(order);
    } else if (!done) {
        order->abandoned = true;
    }
    pthread_mutex_unlock(&worker->lock);
    if (!done)
        return bui_fail(err, BUS_TIMEOUT, "shard %d did not reach the end of its step before the process had to stop",
                        worker->index);
    bus_status status = order->status;
    if (status != BUS_OK && err)
        *err = order->err;
    free(order);
    return status;
}

/* ---- orders */

static void worker_set_shard(bui_worker *worker, bui_shard *shard)
{
    bus *self = worker->bus;
    pthread_rwlock_wrlock(&self->workers_lock);
    pthread_mutex_lock(&worker->lock);
    worker->shard = shard;
    worker->failure = BUS_OK;
    atomic_store_explicit(&worker->asleep, false, memory_order_relaxed);
    worker->draining = worker->drained = false;
    pthread_mutex_unlock(&worker->lock);
    pthread_rwlock_unlock(&self->workers_lock);
    bui_gauge *open = &self->metrics.shards_open; /* only the control thread gives orders: one writer */
    bui_gauge_set(open, bui_gauge_read(open) + (shard ? 1 : -1));
}

/* Before the store is opened, too: it may be another file than before (a rebuild). */
static void close_readers(bui_worker *worker)
{
    pthread_mutex_lock(&worker->readers_lock);
    while (worker->reader_count > 0)
        sqlite3_close_v2(worker->readers[--worker->reader_count]);
    worker->reader_generation++;
    pthread_mutex_unlock(&worker->readers_lock);
}

/* The follower is there before the first shard. */
static bool announce_type(void *opaque, const bus_type *type)
{
    bus *self = opaque;
    const bui_schema *schema = NULL;
    if (bui_catalog_add(self->catalog, type->json, strlen(type->json), NULL) == BUS_OK)
        schema = bui_catalog_text(self->catalog, type->json, strlen(type->json));
    return schema && self->follower && bui_follower_add(self->follower, schema);
}

/* A shard's part of what page caches may take in this process. */
static int64_t cache_bytes(bus *self)
{
    int64_t most = bui_config_int(self->config, "store.cache.bytes"), all = bui_config_int(self->config, "store.memory.bytes");
    int64_t assigned = 0;
    for (int i = 0; i < self->shards; i++)
        assigned += atomic_load(&self->workers[i].assigned);
    int64_t share = all / (assigned > 0 ? assigned : 1);
    if (share < CACHE_LEAST)
        share = CACHE_LEAST;
    return share < most ? share : most;
}

static bus_status order_open(bui_worker *worker, bus_error *err)
{
    bus *self = worker->bus;
    close_readers(worker);
    bui_shard_options options = {
        .service = self->service,
        .router = self->router,
        .index = worker->index,
        .count = self->shards,
        .directory = self->directory,
        .transport = self->transport,
        .clock = self->clock,
        .catalog = self->catalog,
        .ids = bui_registry_cache_ids(self->registry_cache),
        .pool = self->pool,
        .limits = self->limits,
        .config = self->config,
        .cache_bytes = cache_bytes(self),
        .secure_delete = bui_config_text(self->config, "store.secure.delete"),
        .shrink_bytes = bui_config_int(self->config, "store.shrink.bytes"),
        .init = self->init,
        .accept = self->accept,
        .announce = announce_type,
        .announce_opaque = self,
        .wake = wake,
        .wake_opaque = worker,
    };
    bui_shard *shard = NULL;
    bus_status status = bui_shard_open(&options, &worker->want, &shard, err);
    if (status == BUS_OK)
        worker_set_shard(worker, shard);
    return status;
}

static bus_status order_claim(bui_worker *worker, bus_error *err)
{
    /* The group may have given more shards since it was opened, or fewer. */
    bus_status status = bui_shard_cache(worker->shard, cache_bytes(worker->bus), err);
    return status == BUS_OK ? bui_shard_claim(worker->shard, worker->bus->partitions, err) : status;
}

static bus_status order_drain(bui_worker *worker, bus_error *err)
{
    (void)err;
    bui_shard_drain(worker->shard);
    worker->draining = true; /* read by the task only, written only here */
    return BUS_OK;
}

static bus_status order_close(bui_worker *worker, bus_error *err)
{
    (void)err;
    bui_shard *shard = worker->shard;
    /* First out of sight of bus_transact, bus_read and /metrics, then gone. */
    worker_set_shard(worker, NULL);
    bui_shard_close(shard);
    return BUS_OK;
}

/* ---- the control thread's side */

bus_status bui_worker_open(bui_worker *worker, bus_error *err)
{
    if (!worker->started) {
        worker->task.run = turn;
        worker->quiesce = false;
        int failed = bui_task_begin(worker->bus->crew, &worker->task);
        if (failed)
            return bui_fail(err, BUS_IO, "cannot start the thread of shard %d: %s; raise ulimit -u", worker->index,
                            strerror(failed));
        worker->started = true;
    }
    bus_status status = give_order(worker, order_open, 0, err);
    if (status == BUS_OK && worker->want) {
        bui_lock_free(worker->want);
        worker->want = NULL;
    }
    return status;
}

bus_status bui_worker_claim(bui_worker *worker, bus_error *err)
{
    bus_status status = give_order(worker, order_claim, 0, err);
    worker->claimed = status == BUS_OK;
    return status;
}

void bui_worker_drain(bui_worker *worker)
{
    give_order(worker, order_drain, 0, NULL);
}

bool bui_worker_drained(bui_worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    bool drained = worker->drained || worker->failure != BUS_OK;
    pthread_mutex_unlock(&worker->lock);
    return drained;
}

bool bui_worker_close(bui_worker *worker)
{
    if (worker->want) {
        bui_lock_free(worker->want);
        worker->want = NULL;
    }
    worker->claimed = false;
    if (!worker->started)
        return true;
    const int64_t grace_us = 2 * 1000 * 1000;
    if (worker->shard) {
        bus_error err = { 0 };
        close_readers(worker);
        if (give_order(worker, order_close, grace_us, &err) != BUS_OK) {
            bui_log(BUS_ERROR, worker->bus->name, "shard_left_behind",
                    "%s; its store closes when the process ends, and recovers "
                    "when it is opened",
                    err.text);
            bui_task_leave(&worker->task);
            worker->started = false;
            worker->bus->leaked = true;
            return false;
        }
    }
    bui_task_end(&worker->task);
    worker->started = false;
    return true;
}

bool bui_worker_quiesce(bui_worker *worker)
{
    worker->stands = true;
    if (!worker->started)
        return true;
    pthread_mutex_lock(&worker->lock);
    worker->quiesce = true;
    /* The time may be over already when this begins: a shard that is not stuck stands still at once, so give it the chance. */
    while ((worker->inside || worker->runs_inline) && !bui_out_of_time(worker->bus, HOLD_GRACE_US))
        wait_change(worker);
    worker->stands = !worker->inside && !worker->runs_inline;
    pthread_mutex_unlock(&worker->lock);
    return worker->stands;
}

void bui_worker_resume(bui_worker *worker)
{
    if (!worker->started)
        return;
    pthread_mutex_lock(&worker->lock);
    worker->quiesce = false;
    pthread_mutex_unlock(&worker->lock);
    bui_worker_wake(worker);
}

bus_status bui_worker_failure(bui_worker *worker, bus_error *err)
{
    pthread_mutex_lock(&worker->lock);
    bus_status failure = worker->failure;
    if (failure != BUS_OK)
        *err = worker->failure_err;
    pthread_mutex_unlock(&worker->lock);
    return failure;
}

bui_worker *bui_workers_new(bus *self, int count)
{
    bui_worker *workers = calloc((size_t)count, sizeof *workers);
    if (!workers)
        return NULL;
    for (int i = 0; i < count; i++) {
        workers[i].bus = self;
        workers[i].index = i;
        pthread_mutex_init(&workers[i].lock, NULL);
        pthread_mutex_init(&workers[i].readers_lock, NULL);
        bui_cond_init(&workers[i].changed);
    }
    return workers;
}

void bui_workers_free(bui_worker *workers, int count)
{
    if (!workers)
        return;
    for (int i = 0; i < count; i++) {
        bui_task_free(&workers[i].task);
        pthread_cond_destroy(&workers[i].changed);
        pthread_mutex_destroy(&workers[i].readers_lock);
        pthread_mutex_destroy(&workers[i].lock);
    }
    free(workers);
}
