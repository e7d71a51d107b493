/* SPDX-License-Identifier: MIT
 * Batch: one durable transaction over whatever waits: calls, timers, waiting keys, deliveries. It runs without savepoints
 * first; a delivery that must be undone alone makes the batch roll back and run again with them. */
#include "shard/internal.h"

#include "base/error.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define DRAIN_MOST 100      /* parked events of one key in a batch */
#define TIMERS_MOST 1000
#define SCHEDULE_AGAIN_MS 60000
#define CAREFUL_BATCHES 64  /* with savepoints from the start, after one that had to be run again: failures come in crowds */

/* ---- one pass over what waits */

static bool full(const bus_shard *shard)
{
    return shard->batch.count >= (shard->batch.one_by_one ? 1 : shard->options.limits.batch_records) ||
           shard->batch.bytes >= shard->options.limits.batch_bytes;
}

/* What cannot leave now (its topic is declared no more, or the limit was lowered) waits, and holds up nobody. */
static bus_status schedule_again(bus_shard *shard, bus_scheduled *event, const bus_error *why, bus_error *err)
{
    bus_log(BUS_ERROR, shard->where, "schedule_waits", "scheduled event '%.80s': %s; tried again in %d s", event->name, why->text,
            SCHEDULE_AGAIN_MS / 1000);
    event->due = shard->now_ms + SCHEDULE_AGAIN_MS;
    return bus_schedule_put(shard->store, event, err);
}

static bus_outcome run_schedule(bus_shard *shard)
{
    for (int i = 0; i < TIMERS_MOST && bus_schedule_next_due(shard->store) <= shard->now_ms; i++) {
        bus_scheduled event;
        bus_error err = { 0 };
        bus_arena_reset(&shard->arena);
        bus_status status = bus_schedule_take(shard->store, shard->now_ms, &shard->arena, &event, &err);
        if (status == BUS_MISSING)
            return BUS_OUT_DONE;
        if (status)
            return bus_shard_redo(shard, &err);
        bus_fates *fates = shard->options.fates;
        bool waits = fates && fates->planned(fates, event.topic, event.event_id);
        if (waits) {
            event.due += BUS_FATES_PUT_OFF_MS;
            status = bus_schedule_put(shard->store, &event, &err);
        } else {
            status = bus_emit_scheduled(shard, &event, &err);
        }
        if (status == BUS_MISSING || status == BUS_TOO_BIG) {
            waits = true;
            bus_error why = err;
            status = schedule_again(shard, &event, &why, &err);
        }
        if (status)
            return bus_shard_redo(shard, &err);
        BUS_FAILPOINT("scheduled");
        bus_count(&shard->metrics.scheduled, !waits);
        shard->batch.did = true;
    }
    return BUS_OUT_DONE;
}

/* No wait is longer than this; one that seems so is a wall clock that was set back. */
static int64_t longest_wait_ms(const bus_shard *shard)
{
    const bus_input *tier = bus_router_tier(shard->options.router, INT_MAX);
    int64_t longest = BUS_HEAD_LEASE_MS;
    if (tier && tier->delay_ms > longest)
        longest = tier->delay_ms;
    return shard->options.limits.pause_most_ms > longest ? shard->options.limits.pause_most_ms : longest;
}

/* How long until the head runs by its timer; 0: now. */
static int64_t key_wait_ms(const bus_shard *shard, const bus_key *key)
{
    int64_t grace = shard->options.limits.retry_grace_ms, wait = key->due + grace - shard->now_ms;
    if (shard->options.fates) /* its clock is the log's, and is not set back */
        return wait <= 0 ? 0 : wait;
    return wait <= 0 || wait - grace > longest_wait_ms(shard) + 1000 ? 0 : wait;
}

static bool key_due(const bus_shard *shard, const bus_key *key)
{
    return key && key_wait_ms(shard, key) == 0;
}

static bus_outcome run_waiting(bus_shard *shard)
{
    bus_job_slot *slot;
    while (shard->prepares.heads_ready && (slot = bus_prepare_head_done(shard))) {
        bus_key *key = bus_key_by_id(shard->store, slot->key_id);
        if (!key || (key->state != BUS_KEY_WAITING && key->state != BUS_KEY_DRAINING)) {
            bus_prepare_settled(shard, slot);
            continue;
        }
        bus_arena_reset(&shard->arena);
        if (bus_key_run_head(shard, key) == BUS_OUT_REDO)
            return BUS_OUT_REDO;
        if (!slot->settled) /* deferred before it was used: its topic pauses */
            break;
    }
    shard->prepares.heads_ready = false;
    for (int i = 0; i < TIMERS_MOST; i++) {
        bus_key *key = bus_key_next_due(shard->store);
        if (!key_due(shard, key))
            break;
        bus_arena_reset(&shard->arena);
        if (bus_key_run_head(shard, key) == BUS_OUT_REDO)
            return BUS_OUT_REDO;
        shard->batch.did = true;
    }
    return BUS_OUT_DONE;
}

static bus_outcome run_draining(bus_shard *shard)
{
    if (shard->batch.draining_at_us > shard->now_us || bus_key_totals_of(shard->store).draining == 0)
        return BUS_OUT_DONE;
    bool before = shard->batch.did;
    shard->batch.did = false;
    for (int i = 0; i < TIMERS_MOST && !full(shard); i++) {
        bus_key *key = bus_key_next_draining(shard->store, shard->batch.draining_after);
        if (!key) {
            shard->batch.draining_after = 0;
            break;
        }
        int64_t id = key->id;
        /* It counts what it ran: a key whose topic is paused must not use the batch up. */
        bus_outcome outcome = bus_key_drain(shard, key, shard->batch.one_by_one ? 1 : DRAIN_MOST);
        if (outcome == BUS_OUT_REDO) /* the pass with savepoints must come to this key, too */
            return outcome;
        shard->batch.draining_after = id;
    }
    /* All of them wait for a topic's pause or a prepare step: look again soon, not at once. */
    shard->batch.draining_at_us = shard->batch.did ? 0 : shard->now_us + 50000;
    shard->batch.did |= before;
    return BUS_OUT_DONE;
}

static bus_outcome run_lane(bus_shard *shard, bus_shard_lane *lane, int most)
{
    for (int i = 0; i < most && lane->at < lane->count && !full(shard) && !bus_lane_resting(shard, lane); i++) {
        bus_record *record = &lane->record[lane->at];
        if (lane->check_anchor || record->offset < lane->position->next) {
            bool skip;
            if (!bus_receive_anchor_ok(shard, lane, record, &skip))
                return BUS_OUT_PAUSE;
            if (skip) {
                /* Passed for good: a pass in which nothing else was done is undone, and must not come back to it. */
                lane->batch_at += lane->batch_at == lane->at;
                lane->at++;
                continue;
            }
        }
        bus_taken taken = bus_receive(shard, lane, lane->at);
        if (taken == BUS_TAKE_REDO)
            return BUS_OUT_REDO;
        if (taken == BUS_TAKE_WAIT)
            break;
        lane->at++;
        shard->batch.count++;
        shard->batch.bytes += (int64_t)(record->key_len + record->value_len) + 64;
        shard->batch.did = true;
    }
    return BUS_OUT_DONE;
}

static bus_outcome run_lanes(bus_shard *shard)
{
    size_t n = shard->lane_count;
    for (size_t k = 0; k < n && shard->attached; k++) {
        bus_shard_lane *lane = &shard->lane[(shard->next_lane + k) % n];
        if (bus_lane_resting(shard, lane) || lane->unsure || !bus_lane_allowed(shard, lane))
            continue;
        bus_outcome outcome = run_lane(shard, lane, shard->options.limits.batch_records);
        if (outcome != BUS_OUT_DONE)
            return outcome;
        if (lane->handle)
            bus_lane_at_end(shard, lane);
        if (full(shard)) {
            shard->next_lane = (shard->next_lane + k + 1) % n;
            break;
        }
    }
    return BUS_OUT_DONE;
}

/* What no lane's position shows. */
static bus_outcome run_unpositioned(bus_shard *shard)
{
    bus_outcome outcome = bus_calls_run(shard);
    if (outcome != BUS_OUT_DONE || shard->calls.visited || (outcome = run_schedule(shard)) != BUS_OUT_DONE ||
        (outcome = bus_lost_run(shard)) != BUS_OUT_DONE ||
        (outcome = bus_keys_look_again(shard, TIMERS_MOST)) != BUS_OUT_DONE || (outcome = run_waiting(shard)) != BUS_OUT_DONE)
        return outcome;
    return run_draining(shard);
}

/* ---- the store's age: it grows with what no position shows, so that Kafka can tell an older copy. Once an interval, in the first
 * commit that can have it: the page that it costs is not paid by each. */

static bool grow_due(const bus_shard *shard)
{
    return shard->batch.grow_at_us && (shard->batch.grow_at_us <= shard->now_us ||
                                       atomic_load_explicit(&((bus_shard *)(uintptr_t)shard)->draining, memory_order_relaxed));
}

/* Inside the transaction that is to be committed. */
static bus_status grow(bus_shard *shard, bus_error *err)
{
    int64_t interval_us = shard->options.limits.commit_interval_ms * 1000;
    shard->batch.growing = grow_due(shard) || (shard->batch.grew && shard->now_us - shard->batch.grown_us >= interval_us);
    return shard->batch.growing ? bus_store_grow(shard->store, err) : BUS_OK;
}

static void grown(bus_shard *shard)
{
    if (shard->batch.growing) {
        shard->batch.grown_us = shard->now_us;
        shard->batch.grow_at_us = 0;
        shard->commits.age_moved = true;
        shard->commits.age_at_us = shard->now_us;
    } else if (shard->batch.grew && !shard->batch.grow_at_us) {
        shard->batch.grow_at_us = shard->batch.grown_us + shard->options.limits.commit_interval_ms * 1000;
    }
}

static bus_outcome run_all(bus_shard *shard)
{
    bus_error err = { 0 };
    bus_outcome outcome;
    if (shard->relay.acked_count) {
        bool must = bus_relay_wants_delete(shard, !shard->batch.busy);
        if (bus_relay_delete_acked(shard, !must, &err))
            return bus_shard_redo(shard, &err);
        shard->batch.did |= must;
    }
    bool did = shard->batch.did;
    shard->batch.did = false;
    if ((outcome = run_unpositioned(shard)) != BUS_OUT_DONE)
        return outcome;
    shard->batch.grew = shard->batch.did;
    shard->batch.did |= did || grow_due(shard);
    if (shard->calls.visited)
        return outcome;
    outcome = run_lanes(shard);
    if (outcome == BUS_OUT_DONE && shard->batch.did && shard->commits.expire_at_us <= shard->now_us && bus_offsets_expire(shard, &err))
        return bus_shard_redo(shard, &err);
    return outcome;
}

/* ---- the transaction around it */

static void begin_pass(bus_shard *shard, bool savepoints)
{
    shard->batch.savepoints = savepoints;
    shard->batch.saved = false;
    shard->batch.did = shard->batch.grew = shard->batch.growing = false;
    shard->batch.count = 0;
    shard->batch.bytes = 0;
    shard->batch.error = (bus_error){ 0 };
    shard->prepares.gather_until_us = 0;
    shard->relay.decided_count = 0;
    for (size_t i = 0; i < shard->lane_count; i++)
        shard->lane[i].batch_at = shard->lane[i].at;
}

static void undo_pass(bus_shard *shard)
{
    bus_store_rollback(shard->store);
    bus_prepare_batch_over(shard, false);
    bus_counter pauses = shard->metrics.pauses; /* a pause stands although the batch that met it is undone */
    shard->metrics = shard->batch.metrics_before;
    shard->metrics.pauses = pauses;
    for (size_t i = 0; i < shard->lane_count; i++)
        shard->lane[i].at = shard->lane[i].batch_at;
}

/* The anchor of each lane that moved: the last record delivered. */
static void note_anchors(bus_shard *shard)
{
    for (size_t i = 0; i < shard->lane_count; i++) {
        bus_shard_lane *lane = &shard->lane[i];
        if (lane->at == lane->batch_at)
            continue;
        const bus_record *record = &lane->record[lane->at - 1];
        if (lane->position->anchor.offset == record->offset)
            lane->position->anchor = (bus_place){ record->offset, bus_record_hash(record, BUS_HASH_KIND), BUS_HASH_KIND };
        if (lane->position->proof.offset < 0 && !lane->position->judging) /* the first of this log that was ever read */
            lane->position->proof = lane->position->anchor;
    }
}

static void after_commit(bus_shard *shard)
{
    BUS_FAILPOINT("after-commit");
    bus_count(&shard->metrics.commits, 1);
    grown(shard);
    if (shard->batch.busy)
        shard->batch.busy_at_us = shard->now_us;
    bus_count(&shard->metrics.emitted, bus_outbox_fresh_count(shard->store) - shard->relay.held);
    bus_relay_deleted(shard);
    bus_refused_decided(shard);
    bus_relay_committed(shard);
    BUS_FAILPOINT("after-produce");
    bus_calls_done(shard); /* last: callers that were woken would take the processor from us, and the next group would be small */
    bus_prepare_batch_over(shard, true);
    if (!shard->calls.visited)
        shard->batch.held_left = shard->batch.held_at;
    bus_lost_over(shard);
    for (size_t i = 0; i < shard->lane_count; i++) {
        bus_shard_lane *lane = &shard->lane[i];
        for (size_t k = lane->batch_at; lane->job && k < lane->at; k++) {
            if (lane->job[k])
                bus_prepare_settled(shard, lane->job[k]);
            lane->job[k] = NULL;
        }
        if (lane->at == lane->count && lane->record)
            bus_lane_compact(shard, lane);
    }
    if (shard->batch.one_by_one && (shard->batch.one_by_one_left -= shard->batch.count) <= 0)
        shard->batch.one_by_one = false;
    shard->said.store_warned = false;
    bus_backoff_reset(&shard->batch.backoff);
}

/* The store cannot take it now: the records stay in hand, and it is tried again. */
static void store_failed(bus_shard *shard, const bus_error *err)
{
    bus_count(&shard->metrics.rollbacks, 1);
    if (err->status == BUS_CORRUPT || err->status == BUS_BUG) {
        bus_shard_halt(shard, err);
        return;
    }
    int64_t wait = bus_backoff_next(&shard->batch.backoff);
    shard->batch.retry_at_us = shard->now_us + wait * 1000;
    bus_log(shard->said.store_warned ? BUS_DEBUG : BUS_ERROR, shard->where, "store_failed",
            "%s; nothing of the batch was applied, it is tried again in %lld ms", err->text, (long long)wait);
    shard->said.store_warned = true;
    bus_calls_fail(shard, err->status, err->text);
}

static bool commit(bus_shard *shard, bus_error *err)
{
    note_anchors(shard);
    BUS_FAILPOINT("before-commit");
    int64_t since = shard->clock->mono_us(shard->clock);
    if (grow(shard, err) || bus_store_commit(shard->store, err))
        return false;
    shard->now_us = shard->clock->mono_us(shard->clock);
    bus_observe(&shard->metrics.commit_time, shard->now_us - since);
    return true;
}

static bool work_waits(bus_shard *shard)
{
    if (shard->calls.visited)
        return shard->batch.busy = true;
    bool lanes = bus_fetch_all(shard);
    bus_calls_take(shard);
    shard->batch.busy = lanes || shard->calls.result_count || shard->prepares.heads_ready;
    shard->calls.lone = shard->calls.result_count == 1 && !lanes && !shard->prepares.heads_ready;
    if (shard->batch.busy || bus_relay_wants_delete(shard, true) || shard->batch.held_left || bus_lost_waiting(shard) || grow_due(shard))
        return true;
    if (bus_schedule_next_due(shard->store) <= shard->now_ms || key_due(shard, bus_key_next_due(shard->store)))
        return true;
    if (bus_key_totals_of(shard->store).draining && shard->batch.draining_at_us <= shard->now_us)
        return true;
    for (size_t i = 0; i < shard->lane_count && shard->attached; i++) {
        const bus_shard_lane *lane = &shard->lane[i];
        int64_t eof = BUS_OFFSET_NONE;
        if (lane->handle && lane->at == lane->count && !lane->check_anchor &&
            (shard->port->ops->end(shard->port, lane->handle, &eof), eof > lane->position->next))
            return true;
    }
    return false;
}

bool bus_batch_run(bus_shard *shard)
{
    bus_error err = { 0 };
    if (!shard->calls.visited)
        bus_prepare_collect(shard);
    if (shard->batch.retry_at_us > shard->now_us || !work_waits(shard) || atomic_load_explicit(&shard->failed, memory_order_relaxed))
        return false;
    shard->batch.metrics_before = shard->metrics;
    shard->batch.careful -= shard->batch.careful > 0;
    for (int pass = shard->batch.careful > 0; pass < 2; pass++) {
        begin_pass(shard, pass > 0);
        if (bus_store_begin(shard->store, &err)) {
            store_failed(shard, &err);
            return false;
        }
        BUS_FAILPOINT("after-begin");
        bus_outcome outcome = run_all(shard);
        if (outcome != BUS_OUT_REDO && !atomic_load(&shard->failed)) {
            if (!shard->batch.did) {
                undo_pass(shard);
                shard->batch.held_left = shard->batch.held_at;
                return false;
            }
            if (commit(shard, &err)) {
                after_commit(shard);
                return true;
            }
            shard->batch.error = err;
        }
        undo_pass(shard);
        if (atomic_load(&shard->failed))
            return false;
        if (shard->batch.error.status)
            break;
        shard->batch.careful = CAREFUL_BATCHES;
        bus_count(&shard->metrics.reruns, 1);
        shard->batch.metrics_before = shard->metrics;
    }
    if (!shard->batch.error.status)
        bus_fail(&shard->batch.error, BUS_BUG, "a batch asked for savepoints although it had them");
    err = shard->batch.error;
    store_failed(shard, &err);
    return false;
}

/* ---- when next */

static void sooner(int64_t *wait, int64_t other)
{
    if (other < *wait)
        *wait = other < 0 ? 0 : other;
}

int64_t bus_batch_wait_us(bus_shard *shard)
{
    int64_t wait = INT64_MAX, due = bus_schedule_next_due(shard->store);
    const bus_key *key = bus_key_next_due(shard->store);
    if (shard->batch.retry_at_us > shard->now_us)
        return shard->batch.retry_at_us - shard->now_us;
    if (shard->batch.held_left)
        return 0;
    if (shard->batch.grow_at_us)
        sooner(&wait, shard->batch.grow_at_us - shard->now_us);
    if (due != INT64_MAX)
        sooner(&wait, (due - shard->now_ms) * 1000);
    if (shard->prepares.gather_until_us > shard->now_us)
        sooner(&wait, shard->prepares.gather_until_us - shard->now_us);
    if (key)
        sooner(&wait, key_wait_ms(shard, key) * 1000 + 1000);
    if (bus_key_totals_of(shard->store).draining)
        sooner(&wait, shard->batch.draining_at_us - shard->now_us);
    sooner(&wait, bus_rechecks_wait_us(shard));
    for (size_t i = 0; i < shard->lane_count && shard->attached; i++) {
        const bus_shard_lane *lane = &shard->lane[i];
        int64_t until = lane->blocked_until_us > lane->input->paused_until_us ? lane->blocked_until_us : lane->input->paused_until_us;
        if (until > shard->now_us)
            sooner(&wait, until - shard->now_us);
    }
    return wait;
}

void bus_batch_free(bus_shard *shard)
{
    for (size_t i = 0; i < shard->lane_count; i++) {
        free(shard->lane[i].record);
        free(shard->lane[i].job);
    }
    free(shard->lane);
    free(shard->calls.results);
}
