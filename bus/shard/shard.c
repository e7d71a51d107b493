/* SPDX-License-Identifier: MIT
 * Shard: opening, one turn of the loop, closing. */
#include "shard/internal.h"

#include "base/error.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_MOST (256u << 20)
#define ONE_BY_ONE 1000 /* deliveries committed one by one after a death in a handler; steps run one at a time after a death in one */

/* ---- open */

static bus_status open_inputs(bus_shard *shard, bus_error *err)
{
    size_t count;
    const bus_input *declared = bus_router_inputs(shard->options.router, &count);
    shard->input = calloc(count, sizeof *shard->input);
    if (!shard->input)
        return bus_fail_nomem(err);
    shard->input_count = count;
    const bus_limits *limits = &shard->options.limits;
    for (size_t i = 0; i < count; i++) {
        shard->input[i].declared = &declared[i];
        shard->input[i].verify = bus_keys_require(limits->keys, declared[i].topic);
        bus_backoff_init(&shard->input[i].pause, limits->pause_first_ms, limits->pause_most_ms, i + 1);
    }
    return BUS_OK;
}

static void recall(const char *question, const char *answer, void *opaque)
{
    bus_ids *ids = opaque;
    ids->recall(ids, question, answer);
}

static bus_status open_files(bus_shard *shard, bus_lock **want, bus_error *err)
{
    const bus_shard_options *o = &shard->options;
    char base[4096], path[4096];
    int n = snprintf(base, sizeof base, "%s/%d", o->directory, o->index);
    int m = snprintf(path, sizeof path, "%s.db", base);
    if (n < 0 || m < 0 || (size_t)n >= sizeof base || (size_t)m >= sizeof path)
        return bus_fail(err, BUS_INVALID, "the path of %s is too long", o->directory);
    bus_status status = bus_lock_take(base, &shard->lock, want, err);
    if (status)
        return status;
    bus_store_options store = { .path = path, .service = o->service->name, .shard = o->index, .shards = o->count,
                                .migrations = o->service->migrations, .cache_bytes = o->cache_bytes, .seen_most = o->limits.seen_most,
                                .marks_most = o->limits.marks_most, .clock = o->clock, .vfs = o->vfs,
                                .synchronous = o->synchronous };
    if ((status = bus_store_open(&store, &shard->store, err)))
        return status;
    if (o->ids && (status = bus_answers(shard->store, recall, o->ids, err)))
        return status;
    shard->crash = bus_crash_open(o->directory, o->index, err);
    if (!shard->crash)
        return err && err->status ? err->status : BUS_IO;
    bus_crash_beside(shard->crash, o->transport);
    return BUS_OK;
}

static bus_status open_user(bus_shard *shard, bus_error *err)
{
    const bus_service *service = shard->options.service;
    if (!service->open)
        return BUS_OK;
    bus_status status = service->open(bus_store_db(shard->store), shard->options.index, service->opaque, &shard->state, err);
    shard->state_open = status == BUS_OK;
    return status;
}

static bus_shard *allocate(const bus_shard_options *options)
{
    bus_shard *shard = calloc(1, sizeof *shard);
    if (!shard)
        return NULL;
    shard->options = *options;
    shard->clock = options->clock;
    shard->name = options->service->name;
    snprintf(shard->where, sizeof shard->where, "%s/%d", shard->name, options->index);
    bus_arena_init(&shard->arena, ARENA_MOST);
    bus_buf_init(&shard->scratch, 0);
    bus_buf_init(&shard->headers_scratch, 0);
    bus_map_init(&shard->output_partitions);
    bus_map_init(&shard->announced);
    bus_map_init(&shard->lost.seen);
    shard->lost.low = shard->lost.high = -1;
    atomic_store(&shard->sizes.least, options->limits.message_bytes);
    bus_map_init(&shard->prepares.by_key);
    bus_map_init(&shard->prepares.heads);
    bus_backoff_init(&shard->batch.backoff, 100, 10000, (uint64_t)options->index + 7);
    pthread_mutex_init(&shard->calls.lock, NULL);
    pthread_mutex_init(&shard->prepares.lock, NULL);
    pthread_mutex_init(&shard->trouble.lock, NULL);
    shard->calls.tail = &shard->calls.first;
    return shard;
}

bus_status bus_shard_open(const bus_shard_options *options, bus_lock **want, bus_shard **out, bus_error *err)
{
    bus_error local = { 0 };
    bus_shard *shard = allocate(options);
    if (!shard)
        return bus_fail_nomem(err);
    if (!err)
        err = &local;
    bus_status status = open_inputs(shard, err);
    if (!status)
        status = open_files(shard, want, err);
    if (!status)
        status = options->transport->ops->port_open(options->transport, shard->where, options->wake, options->wake_opaque, &shard->port, err);
    if (!status)
        status = open_user(shard, err);
    if (status) {
        bus_shard_close(shard);
        return status;
    }
    if (bus_crash_died(shard->crash)) {
        shard->batch.one_by_one = true;
        shard->batch.one_by_one_left = ONE_BY_ONE;
        bus_log(BUS_WARN, shard->where, "died_in_handler", "the last process died inside a handler: the next %d deliveries commit one by one",
                ONE_BY_ONE);
    }
    if (bus_crash_died_in_step(shard->crash)) {
        shard->prepares.steps_alone = ONE_BY_ONE;
        bus_log(BUS_WARN, shard->where, "died_in_step", "the last process died while prepare steps ran: the next %d of this shard run one at a time",
                ONE_BY_ONE);
    }
    *out = shard;
    return BUS_OK;
}

void bus_shard_close(bus_shard *shard)
{
    if (!shard)
        return;
    BUS_FAILPOINT("closing");
    if (shard->attached)
        bus_shard_detach(shard);
    atomic_store(&shard->draining, true);
    bus_calls_fail(shard, BUS_CLOSED, "the shard closed before the transaction was run");
    bus_prepare_free(shard);
    if (shard->state_open && shard->options.service->close)
        shard->options.service->close(shard->state);
    if (shard->port)
        shard->options.transport->ops->port_close(shard->port);
    bus_crash_close(shard->crash);
    bus_relay_free(shard);
    bus_rechecks_free(shard);
    bus_lost_free(shard);
    bus_batch_free(shard);
    /* A store at rest is one file: an operator who copies only that copies all. */
    if (shard->store && !bus_store_active(shard->store) && shard->claimed && !atomic_load(&shard->failed))
        (void)bus_store_rest(shard->store, NULL);
    bus_store_close(shard->store);
    BUS_FAILPOINT("closed");
    bus_lock_free(shard->lock);
    bus_map_free(&shard->output_partitions, NULL);
    bus_map_free(&shard->announced, NULL);
    bus_arena_free(&shard->arena);
    bus_buf_free(&shard->scratch);
    bus_buf_free(&shard->headers_scratch);
    pthread_mutex_destroy(&shard->calls.lock);
    pthread_mutex_destroy(&shard->prepares.lock);
    pthread_mutex_destroy(&shard->trouble.lock);
    free(shard->commits.list);
    free(shard->sizes.of);
    free(shard->commits.told);
    free(shard->input);
    free(shard);
}

/* ---- lanes come and go */

void bus_shard_attach(bus_shard *shard, const bus_lane_spec *lanes)
{
    for (size_t i = 0; i < shard->lane_count; i++) {
        shard->lane[i].handle = lanes[i].lane;
        shard->lane[i].failed = false;
        shard->lane[i].blocked_until_us = 0;
    }
    shard->attached = true;
    bus_rechecks_attached(shard);
    bus_lost_attached(shard);
    BUS_FAILPOINT("attached");
    bus_gauge_set(&shard->published.assigned, 1);
}

void bus_shard_detach(bus_shard *shard)
{
    shard->attached = false; /* first: what is given up must start nothing more */
    for (size_t i = 0; i < shard->lane_count; i++) {
        bus_shard_drop_fetched(shard, &shard->lane[i]);
        shard->lane[i].handle = NULL;
    }
    shard->commits.waiting = false;
    bus_gauge_set(&shard->published.assigned, 0);
}

bool bus_shard_attached(const bus_shard *shard) { return shard->attached; }

/* ---- the loop */

static void publish_lag(bus_shard *shard)
{
    int64_t messages = 0, oldest = 0, paused = 0;
    for (size_t i = 0; i < shard->lane_count && shard->attached; i++) {
        bus_shard_lane *lane = &shard->lane[i];
        int64_t eof, end = lane->handle ? shard->port->ops->end(shard->port, lane->handle, &eof) : 0;
        bus_lane_ends(lane, end);
        if (lane->input->declared->retry_tier)
            continue;
        if (end > lane->position->next && lane->position->next >= 0)
            messages += end - lane->position->next;
        if (lane->at < lane->count && lane->record[lane->at].timestamp > 0 && (!oldest || lane->record[lane->at].timestamp < oldest))
            oldest = lane->record[lane->at].timestamp;
    }
    for (size_t i = 0; i < shard->input_count; i++)
        paused += shard->input[i].paused_until_us > shard->now_us;
    bus_gauge_set(&shard->metrics.lag_messages, messages);
    bus_gauge_set(&shard->metrics.lag_ms, oldest && shard->now_ms > oldest ? shard->now_ms - oldest : 0);
    bus_gauge_set(&shard->metrics.paused, paused);
}

static void publish(bus_shard *shard)
{
    bus_outbox_depth depth = bus_outbox_depth_of(shard->store);
    bus_key_totals keys = bus_key_totals_of(shard->store);
    atomic_store_explicit(&shard->calls.outbox_bytes_seen, depth.bytes, memory_order_relaxed);
    bus_shard_metrics *m = &shard->metrics;
    bus_gauge_set(&m->outbox_rows, depth.rows);
    bus_gauge_set(&m->outbox_bytes, depth.bytes);
    bus_gauge_set(&m->outbox_oldest_ms, depth.oldest_ms);
    bus_gauge_set(&m->refused_rows, depth.rejected);
    bus_gauge_set(&m->refused_destinations, bus_refused_waiting(shard));
    bus_gauge_set(&m->letter_bodies, bus_bodies_of(shard->store).bytes);
    bus_gauge_set(&m->parked_keys, keys.waiting + keys.held + keys.draining);
    bus_gauge_set(&m->parked_events, keys.parked);
    bus_gauge_set(&m->held_keys, keys.held);
    bus_gauge_set(&m->letters_open, bus_letter_open_count(shard->store));
    bus_gauge_set(&m->assigned, shard->attached);
    bus_gauge_set(&m->schema_waiting, bus_schema_waiting(shard));
    bus_gauge_set(&m->wal_bytes, bus_store_wal_bytes(shard->store));
    publish_lag(shard);
    bus_metrics_copy(&shard->published, &shard->metrics, sizeof shard->published);
}

static void checkpoint(bus_shard *shard)
{
    bus_error err = { 0 };
    int64_t before = bus_store_wal_bytes(shard->store);
    bus_status status = bus_store_checkpoint(shard->store, shard->options.limits.wal_bytes, &err);
    if (bus_store_wal_bytes(shard->store) < before)
        bus_count(&shard->metrics.checkpoints, 1);
    if (status && !shard->said.store_warned) {
        shard->said.store_warned = true;
        bus_log(BUS_WARN, shard->where, "checkpoint", "%s; the log grows until it succeeds", err.text);
    }
}

static void begin_turn(bus_shard *shard)
{
    shard->now_us = shard->clock->mono_us(shard->clock);
    shard->now_ms = shard->clock->wall_ms(shard->clock);
    bus_relay_reports(shard);
    BUS_FAILPOINT("after-reports");
}

static int64_t next_turn_us(bus_shard *shard)
{
    if (bus_relay_listen(shard, bus_offsets_due))
        return 0;
    int64_t wait = bus_batch_wait_us(shard), other = bus_relay_wait_us(shard);
    if (other < wait)
        wait = other;
    other = bus_lost_wait_us(shard);
    if (other < wait)
        wait = other;
    other = bus_offsets_wait_us(shard);
    return other < wait ? other : wait;
}

/* A batch and what follows from it. False: the shard has halted. */
static bool turn(bus_shard *shard, bool *worked)
{
    *worked = bus_batch_run(shard);
    if (atomic_load_explicit(&shard->failed, memory_order_relaxed)) {
        bus_calls_fail(shard, BUS_CLOSED, shard->failure.text);
        return false;
    }
    bus_relay_pump(shard);
    if (!shard->calls.visited) {
        bus_offsets_step(shard);
        bus_lost_step(shard);
    }
    if (*worked)
        checkpoint(shard);
    publish(shard);
    bus_trouble_look(shard);
    return true;
}

int64_t bus_shard_step(bus_shard *shard, bus_call **lone)
{
    bool worked;
    shard->calls.hand_back = lone;
    if (lone)
        *lone = NULL;
    /* Until the claim nobody knows whether this store is the right one: it must change nothing and send nothing. */
    if (atomic_load_explicit(&shard->failed, memory_order_relaxed) || !shard->claimed)
        return INT64_MAX;
    begin_turn(shard);
    if (!turn(shard, &worked))
        return INT64_MAX;
    return worked && !shard->calls.lone ? 0 : next_turn_us(shard);
}

bool bus_shard_visit(bus_shard *shard, bus_call *call, int64_t *wait_us)
{
    bool worked;
    *wait_us = 0;
    if (atomic_load_explicit(&shard->failed, memory_order_relaxed) || !shard->claimed)
        return false;
    begin_turn(shard);
    if (shard->batch.retry_at_us > shard->now_us || !bus_calls_bring(shard, call))
        return false;
    shard->calls.visited = true;
    shard->calls.hand_back = NULL;
    if (turn(shard, &worked))
        *wait_us = next_turn_us(shard);
    shard->calls.visited = false;
    return true;
}

bus_status bus_shard_failure(const bus_shard *shard, bus_error *err)
{
    bus_status status = (bus_status)atomic_load(&((bus_shard *)(uintptr_t)shard)->failed);
    if (status && err)
        *err = shard->failure;
    return status;
}

void bus_shard_drain(bus_shard *shard)
{
    pthread_mutex_lock(&shard->calls.lock);
    atomic_store(&shard->draining, true);
    pthread_mutex_unlock(&shard->calls.lock);
    BUS_FAILPOINT("draining");
}

bool bus_shard_drained(const bus_shard *shard)
{
    /* What waits for an operator does not leave now, nor are offsets committed before it. */
    bool stuck = bus_refused_waiting(shard) > 0;
    return !shard->claimed || atomic_load_explicit(&((bus_shard *)(uintptr_t)shard)->failed, memory_order_relaxed) ||
           (!atomic_load(&((bus_shard *)(uintptr_t)shard)->calls.waiting) && bus_relay_lowest_of(shard, false) == INT64_MAX &&
            shard->relay.acked_count == 0 && !shard->batch.grow_at_us && (stuck || bus_offsets_settled(shard)));
}

/* ---- what others ask */

bool bus_shard_wanted(const bus_shard *shard)
{
    char base[4096];
    int n = snprintf(base, sizeof base, "%s/%d", shard->options.directory, shard->options.index);
    return n > 0 && (size_t)n < sizeof base && bus_lock_wanted(base);
}

const bus_shard_metrics *bus_shard_metrics_of(const bus_shard *shard) { return &shard->published; }
bus_status bus_shard_gone(const bus_shard *shard, bus_error *err) { return bus_store_gone(shard->store, err); }
const char *bus_shard_store_path(const bus_shard *shard) { return bus_store_path(shard->store); }
int bus_shard_index(const bus_shard *shard) { return shard->options.index; }

int64_t bus_shard_handler_since(const bus_shard *shard, char where[128])
{
    bus_shard *s = (bus_shard *)(uintptr_t)shard;
    int64_t since = atomic_load_explicit(&s->watch.since, memory_order_acquire);
    const char *topic = atomic_load_explicit(&s->watch.topic, memory_order_relaxed);
    if (since && where)
        snprintf(where, 128, "%.90s/%d offset %" PRId64, topic ? topic : "?",
                 atomic_load_explicit(&s->watch.partition, memory_order_relaxed),
                 atomic_load_explicit(&s->watch.offset, memory_order_relaxed));
    return since;
}
