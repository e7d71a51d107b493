/* SPDX-License-Identifier: MIT
 * Shard worker: the thread that steps a shard.
 *
 * The thread holds worker->lock except inside a step, an order, or sleep. So a thread that wants it to stand still sets `quiesce`
 * and waits for `quiesced`; what must happen on the shard's own thread (open, claim, drain, close) goes there as an order.
 * While it sleeps a caller may run inline: `runs_inline`; the thread goes on when that is over. */
#include "service/worker.h"
#include "service/announce.h"
#include "base/error.h"
#include "base/log.h"
#include "base/wait.h"
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#define HOLD_GRACE_US 1000000
#define CHANGE_US 50000    /* between looks at whether time is up */
#define INLINE_RUN_US 2000 /* an inline run says at its end when the next is due, and wakes the thread if that is sooner */

struct bui_worker_order {
    bus_status (*run)(bui_worker *worker, bus_error *err);
    bus_status status;
    bus_error err;
    bool done, abandoned; /* abandoned: its giver went away, the thread frees it */
};

void bui_worker_wake(bui_worker *worker)
{
    atomic_store(&worker->called, true);
    bui_waker_wake(worker->waker);
}

static void wake(void *opaque)
{
    bui_worker_wake(opaque);
}

static void signal_change(bui_worker *worker)
{
    pthread_cond_broadcast(&worker->changed);
}

static void run_order(bui_worker *worker)
{
    bui_worker_order *order = worker->order;
    worker->order = NULL;
    pthread_mutex_unlock(&worker->lock);
    bus_status status = order->run(worker, &order->err);
    pthread_mutex_lock(&worker->lock);
    order->status = status;
    order->done = true;
    if (order->abandoned)
        free(order);
    signal_change(worker);
}

static int64_t after(const bui_worker *worker, int64_t wait_us)
{
    const bui_clock *clock = worker->bus->clock;
    return wait_us == INT64_MAX ? INT64_MAX : clock->mono_us(clock) + wait_us;
}

/* Sleeps until an iteration is due or somebody calls; callers who run inline meanwhile put off what is due. Ends the single call, if there is
 * one, when its caller can run the next one inline. With the lock, returns with it. */
static void rest(bui_worker *worker, int64_t wait_us, bui_call *single)
{
    const bui_clock *clock = worker->bus->clock;
    worker->due_us = after(worker, wait_us);
    atomic_store_explicit(&worker->asleep, true, memory_order_relaxed);
    while (worker->asleep && wait_us > 0) {
        worker->timer_us = after(worker, wait_us);
        pthread_mutex_unlock(&worker->lock);
        if (single)
            single->done(single, BUS_OK, NULL);
        single = NULL;
        (void)bui_waker_sleep(worker->waker, wait_us == INT64_MAX ? -1 : wait_us);
        pthread_mutex_lock(&worker->lock);
        if (atomic_load(&worker->called) || worker->quiesce || worker->order || worker->quit)
            break;
        wait_us = worker->runs_inline           ? INLINE_RUN_US
                  : worker->due_us == INT64_MAX ? INT64_MAX
                                                : worker->due_us - clock->mono_us(clock);
    }
    atomic_store_explicit(&worker->asleep, false, memory_order_relaxed);
    for (worker->awaited = true; worker->runs_inline;)
        pthread_cond_wait(&worker->changed, &worker->lock);
    worker->awaited = false;
}

/* Called with the lock, returns with it. */
static void run_step(bui_worker *worker)
{
    bui_shard *shard = worker->shard;
    bui_call *single;
    bool draining = worker->draining;
    pthread_mutex_unlock(&worker->lock);
    atomic_store(&worker->called, false);
    int64_t wait_us = bui_shard_step(shard, &single);
    bool drained = draining && bui_shard_drained(shard);
    bus_error err = { 0 };
    bus_status failure = wait_us == INT64_MAX ? bui_shard_failure(shard, &err) : BUS_OK;
    pthread_mutex_lock(&worker->lock);
    if (drained != worker->drained) {
        worker->drained = drained;
        signal_change(worker);
    }
    if (failure == BUS_OK && wait_us > 0 && !worker->quiesce && !worker->order && !worker->quit) {
        rest(worker, wait_us, single);
        return;
    }
    if (failure != BUS_OK) {
        worker->failure = failure;
        worker->failure_err = err;
    } else if (!single) {
        return;
    }
    pthread_mutex_unlock(&worker->lock);
    if (single)
        single->done(single, BUS_OK, NULL);
    if (failure != BUS_OK)
        worker->bus->transport->ops->wake(worker->bus->transport);
    pthread_mutex_lock(&worker->lock);
}

static void *worker_main(void *arg)
{
    bui_worker *worker = arg;
    pthread_mutex_lock(&worker->lock);
    while (!worker->quit) {
        if (worker->order) {
            run_order(worker);
        } else if (worker->quiesce) {
            worker->quiesced = true;
            signal_change(worker);
            pthread_cond_wait(&worker->changed, &worker->lock);
            worker->quiesced = worker->quiesce && worker->quiesced;
        } else if (!worker->shard || worker->failure != BUS_OK) {
            pthread_cond_wait(&worker->changed, &worker->lock);
        } else {
            run_step(worker);
        }
    }
    pthread_mutex_unlock(&worker->lock);
    return NULL;
}

/* ---- a caller's inline run */

bool bui_worker_enter(bui_worker *worker)
{
    if (!atomic_load_explicit(&worker->asleep, memory_order_relaxed))
        return false;
    pthread_mutex_lock(&worker->lock);
    bool enters = worker->asleep && !worker->runs_inline && !worker->quiesce && !worker->order && !worker->quit;
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
    worker->runs_inline = false;
    worker->due_us = after(worker, wait_us);
    if (wait_us <= 0) /* the thread is next: nobody enters before it */
        atomic_store_explicit(&worker->asleep, false, memory_order_relaxed);
    if (worker->awaited)
        signal_change(worker);
    else if (worker->due_us < worker->timer_us)
        bui_waker_wake(worker->waker);
    pthread_mutex_unlock(&worker->lock);
    return status;
}

/* Waits a little for a change, with the lock held. */
static void wait_change(bui_worker *worker)
{
    (void)bui_cond_wait(&worker->changed, &worker->lock, bui_clock_now_us() + CHANGE_US);
}

/* Has `run` done on the worker's thread. `extra_us`: how long beyond the drain time it may take while stopping. */
static bus_status give_order(bui_worker *worker, bus_status (*run)(bui_worker *, bus_error *), int64_t extra_us, bus_error *err)
{
    bui_worker_order *order = calloc(1, sizeof *order);
    if (!order)
        return bui_fail_nomem(err);
    order->run = run;
    pthread_mutex_lock(&worker->lock);
    worker->order = order;
    signal_change(worker);
    pthread_mutex_unlock(&worker->lock);
    bui_waker_wake(worker->waker);

    pthread_mutex_lock(&worker->lock);
    while (!order->done && !bui_out_of_time(worker->bus, extra_us))
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
        .cache_bytes = bui_config_int(self->config, "store.cache.bytes"),
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
    return bui_shard_claim(worker->shard, worker->bus->partitions, err);
}

static bus_status order_drain(bui_worker *worker, bus_error *err)
{
    (void)err;
    bui_shard_drain(worker->shard);
    worker->draining = true; /* read by this thread only, written only here */
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
        worker->quit = worker->quiesce = worker->quiesced = false;
        int failed = pthread_create(&worker->thread, NULL, worker_main, worker);
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
            pthread_detach(worker->thread);
            worker->started = false;
            worker->bus->leaked = true;
            return false;
        }
    }
    pthread_mutex_lock(&worker->lock);
    worker->quit = true;
    signal_change(worker);
    pthread_mutex_unlock(&worker->lock);
    bui_waker_wake(worker->waker);
    pthread_join(worker->thread, NULL);
    worker->started = false;
    return true;
}

bool bui_worker_quiesce(bui_worker *worker)
{
    if (!worker->started)
        return true;
    pthread_mutex_lock(&worker->lock);
    worker->quiesce = true;
    signal_change(worker);
    pthread_mutex_unlock(&worker->lock);
    bui_waker_wake(worker->waker);
    pthread_mutex_lock(&worker->lock);
    /* The time may be over already when this begins: a shard that is not stuck stands still at once, so give it the chance. */
    while (!worker->quiesced && !bui_out_of_time(worker->bus, HOLD_GRACE_US))
        wait_change(worker);
    bool quiesced = worker->quiesced;
    pthread_mutex_unlock(&worker->lock);
    return quiesced;
}

void bui_worker_resume(bui_worker *worker)
{
    if (!worker->started)
        return;
    pthread_mutex_lock(&worker->lock);
    worker->quiesce = worker->quiesced = false;
    signal_change(worker);
    pthread_mutex_unlock(&worker->lock);
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
    bool ok = true;
    for (int i = 0; i < count; i++) {
        workers[i].bus = self;
        workers[i].index = i;
        pthread_mutex_init(&workers[i].lock, NULL);
        pthread_mutex_init(&workers[i].readers_lock, NULL);
        bui_cond_init(&workers[i].changed);
        workers[i].waker = bui_waker_new();
        ok = ok && workers[i].waker;
    }
    if (!ok) {
        bui_workers_free(workers, count);
        return NULL;
    }
    return workers;
}

void bui_workers_free(bui_worker *workers, int count)
{
    if (!workers)
        return;
    for (int i = 0; i < count; i++) {
        bui_waker_free(workers[i].waker);
        pthread_cond_destroy(&workers[i].changed);
        pthread_mutex_destroy(&workers[i].readers_lock);
        pthread_mutex_destroy(&workers[i].lock);
    }
    free(workers);
}
