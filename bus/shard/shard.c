/* SPDX-License-Identifier: MIT
 * Shard: opening, one iteration of the loop, closing. */
#include "shard/internal.h"

#include "base/error.h"
#include "base/log_line.h"
#include "store/state.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_MOST (256u << 20)
#define WAL_HELD 8 /* times wal.max.bytes: over 4 the log is cut at its next chance, see bui_store_checkpoint */
#define LAG_EVERY_US (INT64_C(1000) * 1000)
#define ONE_BY_ONE \
    1000 /* deliveries committed one by one after a death in a handler; steps run one at a time after a death in one */

/* ---- open */

static bus_status open_inputs(bui_shard *shard, bus_error *err)
{
    size_t count;
    const bui_input *declared = bui_router_inputs(shard->options.router, &count);
    shard->input = calloc(count, sizeof *shard->input);
    size_t routes = 0;
    while (shard->options.service->routes && shard->options.service->routes[routes].topic)
        routes++;
    shard->said.failed_lines = calloc(routes + 1, sizeof *shard->said.failed_lines);
    if (!shard->input || !shard->said.failed_lines)
        return bui_fail_nomem(err);
    shard->input_count = count;
    const bui_limits *limits = &shard->options.limits;
    for (size_t i = 0; i < count; i++) {
        shard->input[i].declared = &declared[i];
        shard->input[i].verify = bui_keys_require(limits->keys, declared[i].topic);
        bui_backoff_init(&shard->input[i].pause, limits->pause_first_ms, limits->pause_most_ms, i + 1);
    }
    return BUS_OK;
}

static void recall(const char *question, const char *answer, void *opaque)
{
    bui_ids *ids = opaque;
    ids->recall(ids, question, answer);
}

static bus_status open_files(bui_shard *shard, bui_lock **want, bus_error *err)
{
    const bui_shard_options *o = &shard->options;
    char base[4096], path[4096];
    int n = snprintf(base, sizeof base, "%s/%d", o->directory, o->index);
    int m = snprintf(path, sizeof path, "%s.db", base);
    if (n < 0 || m < 0 || (size_t)n >= sizeof base || (size_t)m >= sizeof path)
        return bui_fail(err, BUS_INVALID, "the path of %s is too long", o->directory);
    bus_status status = bui_lock_take(base, &shard->lock, want, err);
    if (status != BUS_OK)
        return status;
    bui_store_options store = { .path = path,
                                .service = o->service->name,
                                .shard = o->index,
                                .shards = o->count,
                                .migrations = o->service->migrations,
                                .cache_bytes = o->cache_bytes,
                                .states = o->service->states,
                                .state_bytes = o->limits.state_bytes,
                                .dedup_most = o->limits.dedup_most,
                                .dedup_beside = !o->vfs,
                                .secure_delete = o->secure_delete,
                                .shrink_bytes = o->shrink_bytes,
                                .marks_most = o->limits.marks_most,
                                .clock = o->clock,
                                .vfs = o->vfs,
                                .synchronous = o->synchronous };
    status = bui_store_open(&store, &shard->store, err);
    if (status != BUS_OK)
        return status;
    if (o->ids)
        status = bui_answers(shard->store, recall, o->ids, err);
    if (status != BUS_OK)
        return status;
    shard->crash = bui_crash_open(o->directory, o->index, err);
    if (!shard->crash)
        return err && err->status ? err->status : BUS_IO;
    bui_crash_beside(shard->crash, o->transport);
    return BUS_OK;
}

static bus_status open_user(bui_shard *shard, bus_error *err)
{
    const bus_service *service = shard->options.service;
    bui_log_where_by(bui_shard_where);
    if (!service->open)
        return BUS_OK;
    bui_shard_beside(shard);
    bus_status status = service->open(bui_store_db(shard->store), shard->options.index, service->opaque, &shard->state, err);
    bui_shard_beside(NULL);
    shard->state_open = status == BUS_OK;
    return status;
}

static bui_shard *allocate(const bui_shard_options *options)
{
    bui_shard *shard = calloc(1, sizeof *shard);
    if (!shard)
        return NULL;
    shard->options = *options;
    shard->clock = options->clock;
    shard->name = options->service->name;
    snprintf(shard->where, sizeof shard->where, "%s/%d", shard->name, options->index);
    bui_arena_init(&shard->arena, ARENA_MOST);
    bui_buf_init(&shard->scratch, 0);
    bui_buf_init(&shard->headers_scratch, 0);
    bui_map_init(&shard->output_partitions);
    bui_map_init(&shard->announced);
    bui_map_init(&shard->lost.seen);
    shard->lost.low = shard->lost.high = -1;
    atomic_store(&shard->sizes.least, options->limits.message_bytes);
    bui_map_init(&shard->prepares.by_key);
    bui_map_init(&shard->prepares.heads);
    bui_backoff_init(&shard->batch.backoff, 100, 10000, (uint64_t)options->index + 7);
    pthread_mutex_init(&shard->calls.lock, NULL);
    pthread_mutex_init(&shard->prepares.lock, NULL);
    pthread_mutex_init(&shard->trouble.lock, NULL);
    shard->calls.tail = &shard->calls.first;
    return shard;
}

bus_status bui_shard_open(const bui_shard_options *options, bui_lock **want, bui_shard **out, bus_error *err)
{
    bus_error local = { 0 };
    bui_shard *shard = allocate(options);
    if (!shard)
        return bui_fail_nomem(err);
    if (!err)
        err = &local;
    bus_status status = open_inputs(shard, err);
    if (status == BUS_OK)
        status = open_files(shard, want, err);
    if (status == BUS_OK)
        status = options->transport->ops->port_open(options->transport, shard->where, options->wake, options->wake_opaque,
                                                    &shard->port, err);
    if (status == BUS_OK)
        status = open_user(shard, err);
    if (status != BUS_OK) {
        bui_shard_close(shard);
        return status;
    }
    if (bui_crash_died(shard->crash)) {
        shard->batch.one_by_one = true;
        shard->batch.one_by_one_left = ONE_BY_ONE;
        bui_log(BUS_WARN, shard->where, "died_in_handler",
                "the last process died inside a handler: the next %d deliveries commit one by one", ONE_BY_ONE);
    }
    if (bui_crash_died_in_step(shard->crash)) {
        shard->prepares.steps_alone = ONE_BY_ONE;
        bui_log(BUS_WARN, shard->where, "died_in_step",
                "the last process died while prepare steps ran: the next %d of this shard run one at a time", ONE_BY_ONE);
    }
    *out = shard;
    return BUS_OK;
}

void bui_shard_close(bui_shard *shard)
{
    if (!shard)
        return;
    BUI_FAILPOINT("closing");
    if (shard->attached)
        bui_shard_detach(shard);
    atomic_store(&shard->draining, true);
    bui_calls_fail(shard, BUS_CLOSED, "the shard closed before the transaction was run");
    bui_prepare_free(shard);
    if (shard->state_open && shard->options.service->close)
        shard->options.service->close(shard->state);
    if (shard->port)
        shard->options.transport->ops->port_close(shard->port);
    bui_crash_close(shard->crash);
    bui_relay_free(shard);
    bui_rechecks_free(shard);
    bui_lost_free(shard);
    bui_batch_free(shard);
    /* A store at rest is one file: an operator who copies only that copies all. */
    if (shard->store && !bui_store_active(shard->store) && shard->claimed && !atomic_load(&shard->failed))
        (void)bui_store_rest(shard->store, NULL);
    bui_store_close(shard->store);
    BUI_FAILPOINT("closed");
    bui_lock_free(shard->lock);
    bui_map_free(&shard->output_partitions, NULL);
    bui_map_free(&shard->announced, NULL);
    bui_arena_free(&shard->arena);
    bui_buf_free(&shard->scratch);
    bui_buf_free(&shard->headers_scratch);
    pthread_mutex_destroy(&shard->calls.lock);
    pthread_mutex_destroy(&shard->prepares.lock);
    pthread_mutex_destroy(&shard->trouble.lock);
    free(shard->commits.list);
    free(shard->sizes.of);
    free(shard->commits.told);
    free(shard->input);
    free(shard->said.failed_lines);
    free(shard);
}

/* ---- lanes come and go */

void bui_shard_attach(bui_shard *shard, const bui_lane_spec *lanes)
{
    for (size_t i = 0; i < shard->lane_count; i++) {
        shard->lane[i].handle = lanes[i].lane;
        shard->lane[i].failed = false;
        shard->lane[i].blocked_until_us = 0;
    }
    shard->attached = true;
    bui_lanes_came(shard);
    shard->lanes.lag_at_us = 0;
    bui_rechecks_attached(shard);
    bui_lost_attached(shard);
    BUI_FAILPOINT("attached");
    bui_gauge_set(&shard->published.assigned, 1);
}

void bui_shard_detach(bui_shard *shard)
{
    shard->attached = false; /* first: what is given up must start nothing more */
    for (size_t i = 0; i < shard->lane_count; i++) {
        bui_shard_drop_fetched(shard, &shard->lane[i]);
        shard->lane[i].handle = NULL;
    }
    bui_lanes_none(shard);
    shard->commits.waiting = false;
    bui_gauge_set(&shard->published.assigned, 0);
}

bool bui_shard_attached(const bui_shard *shard)
{
    return shard->attached;
}

/* ---- the loop */

/* What the lane has not settled, as far as its log's end is known. */
static void count_lag(bui_shard *shard, bui_shard_lane *lane)
{
    int64_t next = lane->position->next, end = lane->handle ? shard->port->ops->end(shard->port, lane->handle) : 0;
    bui_lane_ends(shard, lane, end);
    int64_t lag = !lane->input->declared->retry_tier && next >= 0 && end > next ? end - next : 0;
    shard->lanes.lag += lag - lane->lag;
    lane->lag = lag;
}

/* Lanes that are not listed have brought nothing, but their logs may end elsewhere meanwhile. */
static void count_lags(bui_shard *shard)
{
    if (shard->now_us < shard->lanes.lag_at_us) {
        for (size_t i = 0; bui_lane_listed(shard, &i); i++)
            count_lag(shard, &shard->lane[i]);
        return;
    }
    shard->lanes.lag_at_us = shard->now_us + LAG_EVERY_US;
    shard->lanes.looks += shard->lane_count;
    for (size_t i = 0; i < shard->lane_count; i++)
        count_lag(shard, &shard->lane[i]);
}

static void publish_lag(bui_shard *shard)
{
    int64_t messages = 0, oldest = 0, paused = 0;
    if (shard->attached) {
        count_lags(shard);
        messages = shard->lanes.lag;
    }
    for (size_t i = 0; bui_lane_listed(shard, &i); i++) {
        const bui_shard_lane *lane = &shard->lane[i];
        if (!lane->input->declared->retry_tier && lane->at < lane->count && lane->record[lane->at].timestamp > 0 &&
            (!oldest || lane->record[lane->at].timestamp < oldest))
            oldest = lane->record[lane->at].timestamp;
    }
    for (size_t i = 0; i < shard->input_count; i++)
        paused += shard->input[i].paused_until_us > shard->now_us;
    bui_gauge_set(&shard->metrics.lag_messages, messages);
    bui_gauge_set(&shard->metrics.lag_ms, oldest && shard->now_ms > oldest ? shard->now_ms - oldest : 0);
    bui_gauge_set(&shard->metrics.paused, paused);
}

/* The store has the total. */
static void set_total(bui_counter *counter, uint64_t total)
{
    bui_count(counter, total - bui_counter_read(counter));
}

static void publish_state(bui_shard *shard)
{
    bui_state_figures figures;
    bui_state_figures_of(shard->store, &figures);
    set_total(&shard->metrics.state_read, figures.read);
    set_total(&shard->metrics.state_found, figures.found);
    set_total(&shard->metrics.state_written, figures.written);
    bui_gauge_set(&shard->metrics.state_bytes, figures.bytes);
}

static void publish(bui_shard *shard)
{
    bui_outbox_depth depth = bui_outbox_depth_of(shard->store);
    bui_key_totals keys = bui_key_totals_of(shard->store);
    atomic_store_explicit(&shard->calls.outbox_bytes_seen, depth.bytes, memory_order_relaxed);
    bui_shard_metrics *m = &shard->metrics;
    bui_gauge_set(&m->outbox_rows, depth.rows);
    bui_gauge_set(&m->outbox_bytes, depth.bytes);
    bui_gauge_set(&m->outbox_oldest_ms, depth.oldest_ms);
    bui_gauge_set(&m->refused_rows, depth.rejected);
    bui_gauge_set(&m->refused_destinations, bui_refused_waiting(shard));
    bui_gauge_set(&m->letter_bodies, bui_bodies_of(shard->store).bytes);
    bui_gauge_set(&m->parked_keys, keys.waiting + keys.held + keys.catching_up);
    bui_gauge_set(&m->parked_events, keys.parked);
    bui_gauge_set(&m->held_keys, keys.held);
    bui_gauge_set(&m->letters_open, bui_deadletter_open_count(shard->store));
    bui_gauge_set(&m->assigned, shard->attached);
    bui_gauge_set(&m->schema_waiting, bui_schema_waiting(shard));
    bui_gauge_set(&m->wal_bytes, bui_store_wal_bytes(shard->store));
    publish_state(shard);
    publish_lag(shard);
    bui_metrics_copy(&shard->published, &shard->metrics, sizeof shard->published);
}

/* A reader keeps all that was written since it began: the log grows until the reader ends, or the disk is full. */
static void tell_held(bui_shard *shard)
{
    int64_t bytes = bui_store_wal_bytes(shard->store), most = shard->options.limits.wal_bytes;
    bool held = most > 0 && bytes > WAL_HELD * most;
    if (held && !shard->said.wal_held_warned)
        bui_log(
            BUS_WARN, shard->where, "wal_held",
            "the write-ahead log has %lld bytes and cannot be moved into the store: somebody has been reading %s since then (a "
            "long bus_read, a backup, sqlite3), and it grows until that ends",
            (long long)bytes, bui_store_path(shard->store));
    else if (!held && shard->said.wal_held_warned && bytes <= most)
        bui_log(BUS_INFO, shard->where, "wal_moved", "the write-ahead log could be moved into the store again");
    shard->said.wal_held_warned = held || (shard->said.wal_held_warned && bytes > most);
}

static void checkpoint(bui_shard *shard)
{
    bus_error err = { 0 };
    int64_t before = bui_store_wal_bytes(shard->store);
    bus_status status = bui_store_checkpoint(shard->store, shard->options.limits.wal_bytes, &err);
    if (bui_store_wal_bytes(shard->store) < before)
        bui_count(&shard->metrics.checkpoints, 1);
    tell_held(shard);
    if (status != BUS_OK && !shard->said.store_warned) {
        shard->said.store_warned = true;
        bui_log(BUS_WARN, shard->where, "checkpoint", "%s; the log grows until it succeeds", err.text);
    }
}

static void begin_iteration(bui_shard *shard)
{
    shard->now_us = shard->clock->mono_us(shard->clock);
    shard->now_ms = shard->clock->wall_ms(shard->clock);
    bui_relay_reports(shard);
    BUI_FAILPOINT("after-reports");
}

static int64_t next_iteration_us(bui_shard *shard)
{
    if (bui_relay_listen(shard, bui_offsets_due))
        return 0;
    int64_t wait = bui_batch_wait_us(shard), other = bui_relay_wait_us(shard);
    if (other < wait)
        wait = other;
    other = bui_lost_wait_us(shard);
    if (other < wait)
        wait = other;
    other = bui_offsets_wait_us(shard);
    return other < wait ? other : wait;
}

/* A batch and what follows from it. False: the shard has halted. */
static bool iteration(bui_shard *shard, bool *worked)
{
    *worked = bui_batch_run(shard);
    if (atomic_load_explicit(&shard->failed, memory_order_relaxed)) {
        bui_calls_fail(shard, BUS_CLOSED, shard->failure.text);
        return false;
    }
    bui_relay_pump(shard);
    if (!shard->calls.runs_inline) {
        bui_offsets_step(shard);
        bui_lost_step(shard);
    }
    if (*worked)
        checkpoint(shard);
    publish(shard);
    bui_lanes_sweep(shard);
    bui_trouble_look(shard);
    return true;
}

int64_t bui_shard_step(bui_shard *shard, bui_call **single)
{
    bool worked;
    shard->calls.hand_back = single;
    if (single)
        *single = NULL;
    /* Until the claim nobody knows whether this store is the right one: it must change nothing and send nothing. */
    if (atomic_load_explicit(&shard->failed, memory_order_relaxed) || !shard->claimed)
        return INT64_MAX;
    begin_iteration(shard);
    if (!iteration(shard, &worked))
        return INT64_MAX;
    return worked && !shard->calls.single ? 0 : next_iteration_us(shard);
}

bool bui_shard_run_inline(bui_shard *shard, bui_call *call, int64_t *wait_us)
{
    bool worked;
    *wait_us = 0;
    if (atomic_load_explicit(&shard->failed, memory_order_relaxed) || !shard->claimed)
        return false;
    begin_iteration(shard);
    if (shard->batch.retry_at_us > shard->now_us || !bui_calls_bring(shard, call))
        return false;
    shard->calls.runs_inline = true;
    shard->calls.hand_back = NULL;
    if (iteration(shard, &worked))
        *wait_us = next_iteration_us(shard);
    shard->calls.runs_inline = false;
    return true;
}

bus_status bui_shard_failure(const bui_shard *shard, bus_error *err)
{
    bus_status status = (bus_status)atomic_load(&((bui_shard *)(uintptr_t)shard)->failed);
    if (status != BUS_OK && err)
        *err = shard->failure;
    return status;
}

void bui_shard_drain(bui_shard *shard)
{
    pthread_mutex_lock(&shard->calls.lock);
    atomic_store(&shard->draining, true);
    pthread_mutex_unlock(&shard->calls.lock);
    BUI_FAILPOINT("draining");
}

bool bui_shard_drained(const bui_shard *shard)
{
    /* What waits for an operator is not sent now, nor are offsets committed before it is. */
    bool stuck = bui_refused_waiting(shard) > 0;
    return !shard->claimed || atomic_load_explicit(&((bui_shard *)(uintptr_t)shard)->failed, memory_order_relaxed) ||
           (!atomic_load(&((bui_shard *)(uintptr_t)shard)->calls.waiting) &&
            !bui_relay_below((bui_shard *)(uintptr_t)shard, INT64_MAX, false) && shard->relay.acked_count == 0 &&
            !shard->batch.grow_at_us && (stuck || bui_offsets_settled(shard)));
}

/* ---- what others ask */

bool bui_shard_wanted(const bui_shard *shard)
{
    char base[4096];
    int n = snprintf(base, sizeof base, "%s/%d", shard->options.directory, shard->options.index);
    return n > 0 && (size_t)n < sizeof base && bui_lock_wanted(base);
}

const bui_shard_metrics *bui_shard_metrics_of(const bui_shard *shard)
{
    return &shard->published;
}
bus_status bui_shard_cache(bui_shard *shard, int64_t bytes, bus_error *err)
{
    return bui_store_cache(shard->store, bytes, err);
}
bus_status bui_shard_gone(const bui_shard *shard, bus_error *err)
{
    return bui_store_gone(shard->store, err);
}
const char *bui_shard_store_path(const bui_shard *shard)
{
    return bui_store_path(shard->store);
}
int bui_shard_index(const bui_shard *shard)
{
    return shard->options.index;
}

int64_t bui_shard_handler_since(const bui_shard *shard, char where[128])
{
    bui_shard *s = (bui_shard *)(uintptr_t)shard;
    int64_t since = atomic_load_explicit(&s->watch.since, memory_order_acquire);
    const char *topic = atomic_load_explicit(&s->watch.topic, memory_order_relaxed);
    if (since && where)
        snprintf(where, 128, "%.90s/%d offset %" PRId64, topic ? topic : "?",
                 atomic_load_explicit(&s->watch.partition, memory_order_relaxed),
                 atomic_load_explicit(&s->watch.offset, memory_order_relaxed));
    return since;
}
