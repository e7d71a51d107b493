/* SPDX-License-Identifier: MIT
 * Seat: the thread that steps a shard.
 *
 * The thread holds seat->lock except inside a step, an order, or sleep. So whoever wants it to stand still sets `hold`
 * and waits for `held`; what must happen on the shard's own thread (open, claim, drain, close) goes there as an order.
 * While it sleeps a caller may take a turn: `visited`; the thread goes on when that is over. */
#include "service/seat.h"
#include "service/announce.h"
#include "base/error.h"
#include "base/log.h"
#include "base/wait.h"
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#define HOLD_GRACE_US 1000000
#define CHANGE_US 50000 /* between looks at whether time is up */
#define VISIT_US 2000 /* who is in a turn says at its end when the next is due, and wakes the thread if that is sooner */

struct bus_seat_order {
    bus_status (*run)(bus_seat *seat, bus_error *err);
    bus_status status;
    bus_error err;
    bool done, abandoned; /* abandoned: its giver went away, the thread frees it */
};

void bus_seat_wake(bus_seat *seat)
{
    atomic_store(&seat->called, true);
    bus_waker_wake(seat->waker);
}

static void wake(void *opaque) { bus_seat_wake(opaque); }

static void signal_change(bus_seat *seat)
{
    pthread_cond_broadcast(&seat->changed);
}

static void run_order(bus_seat *seat)
{
    bus_seat_order *order = seat->order;
    seat->order = NULL;
    pthread_mutex_unlock(&seat->lock);
    bus_status status = order->run(seat, &order->err);
    pthread_mutex_lock(&seat->lock);
    order->status = status;
    order->done = true;
    if (order->abandoned)
        free(order);
    signal_change(seat);
}

static int64_t after(const bus_seat *seat, int64_t wait_us)
{
    const bus_clock *clock = seat->bus->clock;
    return wait_us == INT64_MAX ? INT64_MAX : clock->mono_us(clock) + wait_us;
}

/* Sleeps until a turn is due or somebody calls; callers who take turns meanwhile put off what is due. Ends the lone call, if there is
 * one, when its caller can take the next turn himself. With the lock, returns with it. */
static void rest(bus_seat *seat, int64_t wait_us, bus_call *lone)
{
    const bus_clock *clock = seat->bus->clock;
    seat->due_us = after(seat, wait_us);
    atomic_store_explicit(&seat->asleep, true, memory_order_relaxed);
    while (seat->asleep && wait_us > 0) {
        seat->timer_us = after(seat, wait_us);
        pthread_mutex_unlock(&seat->lock);
        if (lone)
            lone->done(lone, BUS_OK, NULL);
        lone = NULL;
        (void)bus_waker_sleep(seat->waker, wait_us == INT64_MAX ? -1 : wait_us);
        pthread_mutex_lock(&seat->lock);
        if (atomic_load(&seat->called) || seat->hold || seat->order || seat->quit)
            break;
        wait_us = seat->visited ? VISIT_US : seat->due_us == INT64_MAX ? INT64_MAX : seat->due_us - clock->mono_us(clock);
    }
    atomic_store_explicit(&seat->asleep, false, memory_order_relaxed);
    for (seat->awaited = true; seat->visited;)
        pthread_cond_wait(&seat->changed, &seat->lock);
    seat->awaited = false;
}

/* Called with the lock, returns with it. */
static void run_step(bus_seat *seat)
{
    bus_shard *shard = seat->shard;
    bus_call *lone;
    bool draining = seat->draining;
    pthread_mutex_unlock(&seat->lock);
    atomic_store(&seat->called, false);
    int64_t wait_us = bus_shard_step(shard, &lone);
    bool drained = draining && bus_shard_drained(shard);
    bus_error err = { 0 };
    bus_status failure = wait_us == INT64_MAX ? bus_shard_failure(shard, &err) : BUS_OK;
    pthread_mutex_lock(&seat->lock);
    if (drained != seat->drained) {
        seat->drained = drained;
        signal_change(seat);
    }
    if (failure == BUS_OK && wait_us > 0 && !seat->hold && !seat->order && !seat->quit) {
        rest(seat, wait_us, lone);
        return;
    }
    if (failure != BUS_OK) {
        seat->failure = failure;
        seat->failure_err = err;
    } else if (!lone) {
        return;
    }
    pthread_mutex_unlock(&seat->lock);
    if (lone)
        lone->done(lone, BUS_OK, NULL);
    if (failure != BUS_OK)
        seat->bus->transport->ops->wake(seat->bus->transport);
    pthread_mutex_lock(&seat->lock);
}

static void *seat_main(void *arg)
{
    bus_seat *seat = arg;
    pthread_mutex_lock(&seat->lock);
    while (!seat->quit) {
        if (seat->order) {
            run_order(seat);
        } else if (seat->hold) {
            seat->held = true;
            signal_change(seat);
            pthread_cond_wait(&seat->changed, &seat->lock);
            seat->held = seat->hold && seat->held;
        } else if (!seat->shard || seat->failure != BUS_OK) {
            pthread_cond_wait(&seat->changed, &seat->lock);
        } else {
            run_step(seat);
        }
    }
    pthread_mutex_unlock(&seat->lock);
    return NULL;
}

/* ---- a caller's turn */

bool bus_seat_enter(bus_seat *seat)
{
    if (!atomic_load_explicit(&seat->asleep, memory_order_relaxed))
        return false;
    pthread_mutex_lock(&seat->lock);
    bool enters = seat->asleep && !seat->visited && !seat->hold && !seat->order && !seat->quit;
    seat->visited |= enters;
    pthread_mutex_unlock(&seat->lock);
    return enters;
}

bus_status bus_seat_visit(bus_seat *seat, bus_call *call, bus_error *err)
{
    bus_status status = BUS_OK;
    int64_t wait_us;
    if (!bus_shard_visit(seat->shard, call, &wait_us))
        status = bus_shard_call(seat->shard, call, err);
    pthread_mutex_lock(&seat->lock);
    seat->visited = false;
    seat->due_us = after(seat, wait_us);
    if (wait_us <= 0) /* the thread's turn: nobody enters before it */
        atomic_store_explicit(&seat->asleep, false, memory_order_relaxed);
    if (seat->awaited)
        signal_change(seat);
    else if (seat->due_us < seat->timer_us)
        bus_waker_wake(seat->waker);
    pthread_mutex_unlock(&seat->lock);
    return status;
}

/* Waits a little for a change, with the lock held. */
static void wait_change(bus_seat *seat)
{
    (void)bus_cond_wait(&seat->changed, &seat->lock, bus_clock_now_us() + CHANGE_US);
}

/* Has `run` done on the seat's thread. `extra_us`: how long beyond the drain time it may take while stopping. */
static bus_status give_order(bus_seat *seat, bus_status (*run)(bus_seat *, bus_error *), int64_t extra_us, bus_error *err)
{
    bus_seat_order *order = calloc(1, sizeof *order);
    if (!order)
        return bus_fail_nomem(err);
    order->run = run;
    pthread_mutex_lock(&seat->lock);
    seat->order = order;
    signal_change(seat);
    pthread_mutex_unlock(&seat->lock);
    bus_waker_wake(seat->waker);

    pthread_mutex_lock(&seat->lock);
    while (!order->done && !bus_out_of_time(seat->bus, extra_us))
        wait_change(seat);
    bool done = order->done;
    if (!done && seat->order == order) {
        seat->order = NULL; /* never begun */
        free(order);
    } else if (!done) {
        order->abandoned = true;
    }
    pthread_mutex_unlock(&seat->lock);
    if (!done)
        return bus_fail(err, BUS_TIMEOUT, "shard %d did not come to the end of its step before the process had to stop",
                        seat->index);
    bus_status status = order->status;
    if (status != BUS_OK && err)
        *err = order->err;
    free(order);
    return status;
}

/* ---- orders */

static void seat_set_shard(bus_seat *seat, bus_shard *shard)
{
    bus *self = seat->bus;
    pthread_rwlock_wrlock(&self->seats_lock);
    pthread_mutex_lock(&seat->lock);
    seat->shard = shard;
    seat->failure = BUS_OK;
    seat->draining = seat->drained = false;
    pthread_mutex_unlock(&seat->lock);
    pthread_rwlock_unlock(&self->seats_lock);
    bus_gauge *open = &self->metrics.shards_open; /* only the control thread has orders in hand: one writer */
    bus_gauge_set(open, bus_gauge_read(open) + (shard ? 1 : -1));
}

/* Before the store is opened, too: it may be another file than before (a rebuild). */
static void close_readers(bus_seat *seat)
{
    pthread_mutex_lock(&seat->readers_lock);
    while (seat->reader_count > 0)
        sqlite3_close_v2(seat->readers[--seat->reader_count]);
    seat->reader_generation++;
    pthread_mutex_unlock(&seat->readers_lock);
}

/* The follower is there before the first shard. */
static bool announce_type(void *opaque, const bus_type *type)
{
    bus *self = opaque;
    const bus_schema *schema = NULL;
    if (bus_catalog_add(self->catalog, type->json, strlen(type->json), NULL) == BUS_OK)
        schema = bus_catalog_text(self->catalog, type->json, strlen(type->json));
    return schema && self->follower && bus_follower_add(self->follower, schema);
}

static bus_status order_open(bus_seat *seat, bus_error *err)
{
    bus *self = seat->bus;
    close_readers(seat);
    bus_shard_options options = {
        .service = self->service,
        .router = self->router,
        .index = seat->index,
        .count = self->shards,
        .directory = self->directory,
        .transport = self->transport,
        .clock = self->clock,
        .catalog = self->catalog,
        .ids = bus_asker_ids(self->asker),
        .pool = self->pool,
        .limits = self->limits,
        .cache_bytes = bus_config_int(self->config, "store.cache.bytes"),
        .init = self->init,
        .accept = self->accept,
        .announce = announce_type,
        .announce_opaque = self,
        .wake = wake,
        .wake_opaque = seat,
    };
    bus_shard *shard = NULL;
    bus_status status = bus_shard_open(&options, &seat->want, &shard, err);
    if (status == BUS_OK)
        seat_set_shard(seat, shard);
    return status;
}

static bus_status order_claim(bus_seat *seat, bus_error *err)
{
    return bus_shard_claim(seat->shard, seat->bus->partitions, err);
}

static bus_status order_drain(bus_seat *seat, bus_error *err)
{
    (void)err;
    bus_shard_drain(seat->shard);
    seat->draining = true; /* read by this thread only, written only here */
    return BUS_OK;
}

static bus_status order_close(bus_seat *seat, bus_error *err)
{
    (void)err;
    bus_shard *shard = seat->shard;
    /* First out of sight of bus_transact, bus_read and /metrics, then gone. */
    seat_set_shard(seat, NULL);
    bus_shard_close(shard);
    return BUS_OK;
}

/* ---- the control thread's side */

bus_status bus_seat_open(bus_seat *seat, bus_error *err)
{
    if (!seat->started) {
        seat->quit = seat->hold = seat->held = false;
        int failed = pthread_create(&seat->thread, NULL, seat_main, seat);
        if (failed)
            return bus_fail(err, BUS_IO, "cannot start the thread of shard %d: %s; raise ulimit -u", seat->index, strerror(failed));
        seat->started = true;
    }
    bus_status status = give_order(seat, order_open, 0, err);
    if (status == BUS_OK && seat->want) {
        bus_lock_free(seat->want);
        seat->want = NULL;
    }
    return status;
}

bus_status bus_seat_claim(bus_seat *seat, bus_error *err)
{
    bus_status status = give_order(seat, order_claim, 0, err);
    seat->claimed = status == BUS_OK;
    return status;
}

void bus_seat_drain(bus_seat *seat)
{
    give_order(seat, order_drain, 0, NULL);
}

bool bus_seat_drained(bus_seat *seat)
{
    pthread_mutex_lock(&seat->lock);
    bool drained = seat->drained || seat->failure != BUS_OK;
    pthread_mutex_unlock(&seat->lock);
    return drained;
}

bool bus_seat_close(bus_seat *seat)
{
    if (seat->want) {
        bus_lock_free(seat->want);
        seat->want = NULL;
    }
    seat->claimed = false;
    if (!seat->started)
        return true;
    const int64_t grace_us = 2 * 1000 * 1000;
    if (seat->shard) {
        bus_error err = { 0 };
        close_readers(seat);
        if (give_order(seat, order_close, grace_us, &err) != BUS_OK) {
            bus_log(BUS_ERROR, seat->bus->name, "shard_left_behind", "%s; its store is closed by the end of the process and "
                    "recovers when opened", err.text);
            pthread_detach(seat->thread);
            seat->started = false;
            seat->bus->leaked = true;
            return false;
        }
    }
    pthread_mutex_lock(&seat->lock);
    seat->quit = true;
    signal_change(seat);
    pthread_mutex_unlock(&seat->lock);
    bus_waker_wake(seat->waker);
    pthread_join(seat->thread, NULL);
    seat->started = false;
    return true;
}

bool bus_seat_hold(bus_seat *seat)
{
    if (!seat->started)
        return true;
    pthread_mutex_lock(&seat->lock);
    seat->hold = true;
    signal_change(seat);
    pthread_mutex_unlock(&seat->lock);
    bus_waker_wake(seat->waker);
    pthread_mutex_lock(&seat->lock);
    /* The time may be over already when this begins: a shard that is not stuck stands still at once, so give it the chance. */
    while (!seat->held && !bus_out_of_time(seat->bus, HOLD_GRACE_US))
        wait_change(seat);
    bool held = seat->held;
    pthread_mutex_unlock(&seat->lock);
    return held;
}

void bus_seat_go(bus_seat *seat)
{
    if (!seat->started)
        return;
    pthread_mutex_lock(&seat->lock);
    seat->hold = seat->held = false;
    signal_change(seat);
    pthread_mutex_unlock(&seat->lock);
}

bus_status bus_seat_failure(bus_seat *seat, bus_error *err)
{
    pthread_mutex_lock(&seat->lock);
    bus_status failure = seat->failure;
    if (failure != BUS_OK)
        *err = seat->failure_err;
    pthread_mutex_unlock(&seat->lock);
    return failure;
}

bus_seat *bus_seats_new(bus *self, int count)
{
    bus_seat *seats = calloc((size_t)count, sizeof *seats);
    if (!seats)
        return NULL;
    bool ok = true;
    for (int i = 0; i < count; i++) {
        seats[i].bus = self;
        seats[i].index = i;
        pthread_mutex_init(&seats[i].lock, NULL);
        pthread_mutex_init(&seats[i].readers_lock, NULL);
        bus_cond_init(&seats[i].changed);
        seats[i].waker = bus_waker_new();
        ok = ok && seats[i].waker;
    }
    if (!ok) {
        bus_seats_free(seats, count);
        return NULL;
    }
    return seats;
}

void bus_seats_free(bus_seat *seats, int count)
{
    if (!seats)
        return;
    for (int i = 0; i < count; i++) {
        bus_waker_free(seats[i].waker);
        pthread_cond_destroy(&seats[i].changed);
        pthread_mutex_destroy(&seats[i].readers_lock);
        pthread_mutex_destroy(&seats[i].lock);
    }
    free(seats);
}
