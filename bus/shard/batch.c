/* SPDX-License-Identifier: MIT
 * Batch: one durable transaction over all that waits: calls, timers, waiting keys, deliveries. It runs without savepoints
 * first; a delivery that must be undone alone makes the batch roll back and run again with them. */
#include "shard/internal.h"

#include "base/error.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define DRAIN_MOST 100 /* parked events of one key in a batch */
#define TIMERS_MOST 1000
#define SCHEDULE_AGAIN_MS 60000
#define IDS_LOOK_US 10000  /* while the ids seen are being loaded */
#define CAREFUL_BATCHES 64 /* with savepoints from the start, after one that had to be run again: failures come together */

/* ---- one pass over what waits */

static bool full(const bui_shard *shard)
{
    return shard->batch.count >= (shard->batch.one_by_one ? 1 : shard->options.limits.batch_records) ||
           shard->batch.bytes >= shard->options.limits.batch_bytes;
}

/* What cannot be sent now (its topic is no longer declared, or the limit was lowered) waits, and delays nothing else. */
static bus_status schedule_again(bui_shard *shard, bui_scheduled *event, const bus_error *why, bus_error *err)
{
    bui_log(BUS_ERROR, shard->where, "schedule_waits", "scheduled event '%.80s': %s; tried again in %d s", event->name, why->text,
            SCHEDULE_AGAIN_MS / 1000);
    event->due = shard->now_ms + SCHEDULE_AGAIN_MS;
    return bui_schedule_put(shard->store, event, err);
}

static bui_outcome run_schedule(bui_shard *shard)
{
    for (int i = 0; i < TIMERS_MOST && bui_schedule_next_due(shard->store) <= shard->now_ms; i++) {
        bui_scheduled event;
        bus_error err = { 0 };
        bui_arena_reset(&shard->arena);
        bus_status status = bui_schedule_take(shard->store, shard->now_ms, &shard->arena, &event, &err);
        if (status == BUS_MISSING)
            return BUI_OUT_DONE;
        if (status != BUS_OK)
            return bui_shard_redo(shard, &err);
        bui_fates *fates = shard->options.fates;
        bool waits = fates && fates->planned(fates, event.topic, event.event_id);
        if (waits) {
            event.due += BUI_FATES_PUT_OFF_MS;
            status = bui_schedule_put(shard->store, &event, &err);
        } else {
            status = bui_emit_scheduled(shard, &event, &err);
        }
        if (status == BUS_MISSING || status == BUS_TOO_BIG) {
            waits = true;
            bus_error why = err;
            status = schedule_again(shard, &event, &why, &err);
        }
        if (status != BUS_OK)
            return bui_shard_redo(shard, &err);
        BUI_FAILPOINT("scheduled");
        bui_count(&shard->metrics.scheduled, !waits);
        shard->batch.did = true;
    }
    return BUI_OUT_DONE;
}

/* No wait is longer than this; one that seems so is a wall clock that was set back. */
static int64_t longest_wait_ms(const bui_shard *shard)
{
    const bui_input *tier = bui_router_tier(shard->options.router, INT_MAX);
    int64_t longest = BUI_HEAD_LEASE_MS;
    if (tier && tier->delay_ms > longest)
        longest = tier->delay_ms;
    return shard->options.limits.pause_most_ms > longest ? shard->options.limits.pause_most_ms : longest;
}

/* How long until the head runs by its timer; 0: now. */
static int64_t key_wait_ms(const bui_shard *shard, const bui_key *key)
{
    int64_t grace = shard->options.limits.retry_grace_ms, wait = key->due + grace - shard->now_ms;
    if (shard->options.fates) /* its clock is the log's, and is not set back */
        return wait <= 0 ? 0 : wait;
    return wait <= 0 || wait - grace > longest_wait_ms(shard) + 1000 ? 0 : wait;
}

static bool key_due(const bui_shard *shard, const bui_key *key)
{
    return key && key_wait_ms(shard, key) == 0;
}

static bui_outcome run_waiting(bui_shard *shard)
{
    bui_job_slot *slot;
    while (shard->prepares.heads_ready && (slot = bui_prepare_head_done(shard))) {
        bui_key *key = bui_key_by_id(shard->store, slot->key_id);
        if (!key || (key->state != BUI_KEY_WAITING && key->state != BUI_KEY_CATCHING_UP)) {
            bui_prepare_settled(shard, slot);
            continue;
        }
        bui_arena_reset(&shard->arena);
        if (bui_key_run_head(shard, key) == BUI_OUT_REDO)
            return BUI_OUT_REDO;
        if (!slot->settled) /* deferred before it was used: its topic pauses */
            break;
    }
    shard->prepares.heads_ready = false;
    for (int i = 0; i < TIMERS_MOST; i++) {
        bui_key *key = bui_key_next_due(shard->store);
        if (!key_due(shard, key))
            break;
        bui_arena_reset(&shard->arena);
        if (bui_key_run_head(shard, key) == BUI_OUT_REDO)
            return BUI_OUT_REDO;
        shard->batch.did = true;
    }
    return BUI_OUT_DONE;
}

static bui_outcome run_catching_up(bui_shard *shard)
{
    if (shard->batch.catch_up_at_us > shard->now_us || bui_key_totals_of(shard->store).catching_up == 0)
        return BUI_OUT_DONE;
    bool before = shard->batch.did;
    shard->batch.did = false;
    for (int i = 0; i < TIMERS_MOST && !full(shard); i++) {
        bui_key *key = bui_key_next_catching_up(shard->store, shard->batch.catching_up_after);
        if (!key) {
            shard->batch.catching_up_after = 0;
            break;
        }
        int64_t id = key->id;
        /* It counts what it ran: a key whose topic is paused must not use up the batch. */
        bui_outcome outcome = bui_key_catch_up(shard, key, shard->batch.one_by_one ? 1 : DRAIN_MOST);
        if (outcome == BUI_OUT_REDO) /* the pass with savepoints must come to this key, too */
            return outcome;
        shard->batch.catching_up_after = id;
    }
    /* All of them wait for a topic's pause or a prepare step: look again soon, not at once. */
    shard->batch.catch_up_at_us = shard->batch.did ? 0 : shard->now_us + 50000;
    shard->batch.did |= before;
    return BUI_OUT_DONE;
}

static bui_outcome run_lane(bui_shard *shard, bui_shard_lane *lane, int most)
{
    for (int i = 0; i < most && lane->at < lane->count && !full(shard) && !bui_lane_resting(shard, lane); i++) {
        bui_record *record = &lane->record[lane->at];
        if (lane->check_anchor || record->offset < lane->position->next) {
            bool skip;
            if (!bui_receive_anchor_ok(shard, lane, record, &skip))
                return BUI_OUT_PAUSE;
            if (skip) {
                /* Passed finally: a pass in which nothing else was done is undone, and must not come back to it. */
                lane->batch_at += lane->batch_at == lane->at;
                lane->at++;
                continue;
            }
        }
        bui_taken taken = bui_receive(shard, lane, lane->at);
        if (taken == BUI_TAKE_REDO)
            return BUI_OUT_REDO;
        if (taken == BUI_TAKE_WAIT)
            break;
        lane->at++;
        shard->batch.count++;
        shard->batch.bytes += (int64_t)(record->key_len + record->value_len) + 64;
        shard->batch.did = true;
    }
    return BUI_OUT_DONE;
}

/* The lanes from one number up to another, not with it. */
static bui_outcome run_some(bui_shard *shard, size_t from, size_t to)
{
    for (size_t i = from; bui_lane_listed(shard, &i) && i < to && shard->attached && !full(shard); i++) {
        bui_shard_lane *lane = &shard->lane[i];
        if (bui_lane_resting(shard, lane) || lane->unsure || !bui_lane_allowed(shard, lane))
            continue;
        bui_outcome outcome = run_lane(shard, lane, shard->options.limits.batch_records);
        if (outcome != BUI_OUT_DONE)
            return outcome;
        if (lane->handle)
            bui_lane_at_end(shard, lane);
        if (full(shard))
            shard->next_lane = (i + 1) % shard->lane_count;
    }
    return BUI_OUT_DONE;
}

/* After a full batch the next begins with the lane behind the last. */
static bui_outcome run_lanes(bui_shard *shard)
{
    size_t first = shard->next_lane;
    bui_outcome outcome = run_some(shard, first, shard->lane_count);
    return outcome == BUI_OUT_DONE ? run_some(shard, 0, first) : outcome;
}

/* What no lane's position shows. */
static bui_outcome run_unpositioned(bui_shard *shard)
{
    bui_outcome outcome = bui_calls_run(shard);
    if (outcome != BUI_OUT_DONE || shard->calls.runs_inline || (outcome = run_schedule(shard)) != BUI_OUT_DONE ||
        (outcome = bui_lost_run(shard)) != BUI_OUT_DONE || (outcome = bui_keys_look_again(shard, TIMERS_MOST)) != BUI_OUT_DONE ||
        (outcome = run_waiting(shard)) != BUI_OUT_DONE)
        return outcome;
    return run_catching_up(shard);
}

/* ---- the store's age: it grows with what no position shows, so that an older copy is known by it. Once an interval, in the
 * first commit that can have it, so that not every commit pays for the page. */

static bool grow_due(const bui_shard *shard)
{
    return shard->batch.grow_at_us && (shard->batch.grow_at_us <= shard->now_us ||
                                       atomic_load_explicit(&((bui_shard *)(uintptr_t)shard)->draining, memory_order_relaxed));
}

/* Inside the transaction that is to be committed. */
static bus_status grow(bui_shard *shard, bus_error *err)
{
    int64_t interval_us = shard->options.limits.commit_interval_ms * 1000;
    shard->batch.growing = grow_due(shard) || (shard->batch.grew && shard->now_us - shard->batch.grown_us >= interval_us);
    return shard->batch.growing ? bui_store_grow(shard->store, err) : BUS_OK;
}

static void grown(bui_shard *shard)
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

static bui_outcome run_all(bui_shard *shard)
{
    bus_error err = { 0 };
    bui_outcome outcome;
    if (shard->relay.acked_count) {
        bool must = bui_relay_wants_delete(shard, !shard->batch.busy);
        if (bui_relay_delete_acked(shard, !must, &err) != BUS_OK)
            return bui_shard_redo(shard, &err);
        shard->batch.did |= must;
    }
    bool did = shard->batch.did;
    shard->batch.did = false;
    if ((outcome = run_unpositioned(shard)) != BUI_OUT_DONE)
        return outcome;
    shard->batch.grew = shard->batch.did;
    shard->batch.did |= did || grow_due(shard);
    if (shard->calls.runs_inline)
        return outcome;
    outcome = run_lanes(shard);
    if (outcome == BUI_OUT_DONE && shard->batch.did && bui_offsets_expire_due(shard) && bui_offsets_expire(shard, &err) != BUS_OK)
        return bui_shard_redo(shard, &err);
    return outcome;
}

/* ---- the transaction around it */

static void begin_pass(bui_shard *shard, bool savepoints)
{
    shard->batch.savepoints = savepoints;
    shard->batch.saved = false;
    shard->batch.did = shard->batch.grew = shard->batch.growing = false;
    shard->batch.count = 0;
    shard->batch.bytes = 0;
    shard->batch.error = (bus_error){ 0 };
    shard->prepares.gather_until_us = 0;
    shard->relay.decided_count = 0;
    for (size_t i = 0; bui_lane_listed(shard, &i); i++)
        shard->lane[i].batch_at = shard->lane[i].at;
}

static void undo_pass(bui_shard *shard)
{
    bui_store_rollback(shard->store);
    bui_prepare_batch_over(shard, false);
    bui_counter pauses = shard->metrics.pauses; /* a pause stands although the batch that met it is undone */
    shard->metrics = shard->batch.metrics_before;
    shard->metrics.pauses = pauses;
    for (size_t i = 0; bui_lane_listed(shard, &i); i++)
        shard->lane[i].at = shard->lane[i].batch_at;
}

/* The anchor of each lane that moved: the last record delivered. */
static void note_anchors(bui_shard *shard)
{
    for (size_t i = 0; bui_lane_listed(shard, &i); i++) {
        bui_shard_lane *lane = &shard->lane[i];
        if (lane->at == lane->batch_at)
            continue;
        const bui_record *record = &lane->record[lane->at - 1];
        if (lane->position->anchor.offset == record->offset)
            lane->position->anchor = (bui_place){ record->offset, bui_record_hash(record, BUI_HASH_KIND), BUI_HASH_KIND };
        if (lane->position->proof.offset < 0 && !lane->position->judging) /* the first of this log that was ever read */
            lane->position->proof = lane->position->anchor;
    }
}

/* A duplicate of one that was forgotten is handled again. */
static void tell_forgotten(bui_shard *shard)
{
    int64_t forgotten = bui_dedup_forgotten(shard->store), gone = forgotten - shard->said.ids_forgotten;
    char more[BUI_THROTTLE_TEXT];
    uint64_t hidden;
    if (!gone)
        return;
    shard->said.ids_forgotten = forgotten;
    bui_count(&shard->metrics.ids_forgotten, (uint64_t)gone);
    if (!bui_throttle_pass(&shard->said.seen_lines, shard->now_us, &hidden))
        return;
    int64_t oldest = bui_dedup_oldest_ms(shard->store);
    bui_log(
        BUS_WARN, shard->where, "ids_forgotten",
        "%lld ids of foreign producers' events were forgotten, as the store keeps %lld (dedup.max): a duplicate of an event from "
        "before the last %lld s would be handled again%s",
        (long long)gone, (long long)shard->options.limits.dedup_most, (long long)((shard->now_ms - oldest) / 1000),
        bui_throttle_text(hidden, more));
}

static void after_commit(bui_shard *shard)
{
    BUI_FAILPOINT("after-commit");
    bui_count(&shard->metrics.commits, 1);
    tell_forgotten(shard);
    grown(shard);
    if (shard->batch.busy)
        shard->batch.busy_at_us = shard->now_us;
    bui_count(&shard->metrics.emitted, bui_outbox_pending_count(shard->store) - shard->relay.lingering);
    bui_relay_deleted(shard);
    bui_refused_decided(shard);
    bui_relay_committed(shard);
    BUI_FAILPOINT("after-produce");
    bui_calls_done(shard); /* last: callers that were woken would take the processor from us, and the next group would be small */
    bui_prepare_batch_over(shard, true);
    if (!shard->calls.runs_inline)
        shard->batch.held_left = shard->batch.held_at;
    bui_lost_over(shard);
    for (size_t i = 0; bui_lane_listed(shard, &i); i++) {
        bui_shard_lane *lane = &shard->lane[i];
        for (size_t k = lane->batch_at; lane->job && k < lane->at; k++) {
            if (lane->job[k])
                bui_prepare_settled(shard, lane->job[k]);
            lane->job[k] = NULL;
        }
        if (lane->at == lane->count && lane->record)
            bui_lane_compact(shard, lane);
    }
    if (shard->batch.one_by_one && (shard->batch.one_by_one_left -= shard->batch.count) <= 0)
        shard->batch.one_by_one = false;
    shard->said.store_warned = false;
    bui_backoff_reset(&shard->batch.backoff);
}

/* The store cannot take it now: keep the records and try again. */
static void store_failed(bui_shard *shard, const bus_error *err)
{
    bui_count(&shard->metrics.rollbacks, 1);
    if (err->status == BUS_CORRUPT || err->status == BUS_BUG) {
        bui_shard_halt(shard, err);
        return;
    }
    int64_t wait = bui_backoff_next(&shard->batch.backoff);
    shard->batch.retry_at_us = shard->now_us + wait * 1000;
    bui_log(shard->said.store_warned ? BUS_DEBUG : BUS_ERROR, shard->where, "store_failed",
            "%s; nothing of the batch was applied; trying again in %lld ms", err->text, (long long)wait);
    shard->said.store_warned = true;
    bui_calls_fail(shard, err->status, err->text);
}

static bool commit(bui_shard *shard, bus_error *err)
{
    note_anchors(shard);
    BUI_FAILPOINT("before-commit");
    int64_t since = shard->clock->mono_us(shard->clock);
    if (grow(shard, err) != BUS_OK || bui_store_commit(shard->store, err) != BUS_OK)
        return false;
    shard->now_us = shard->clock->mono_us(shard->clock);
    bui_observe(&shard->metrics.commit_time, shard->now_us - since);
    return true;
}

static bool work_waits(bui_shard *shard)
{
    if (shard->calls.runs_inline)
        return shard->batch.busy = true;
    bool lanes = bui_fetch_all(shard);
    bui_calls_take(shard);
    shard->batch.busy = lanes || shard->calls.result_count || shard->prepares.heads_ready;
    shard->calls.single = shard->calls.result_count == 1 && !lanes && !shard->prepares.heads_ready;
    if (shard->batch.busy || bui_relay_wants_delete(shard, true) || shard->batch.held_left || bui_lost_waiting(shard) ||
        grow_due(shard))
        return true;
    if (bui_schedule_next_due(shard->store) <= shard->now_ms || key_due(shard, bui_key_next_due(shard->store)))
        return true;
    if (bui_key_totals_of(shard->store).catching_up && shard->batch.catch_up_at_us <= shard->now_us)
        return true;
    for (size_t i = 0; bui_lane_listed(shard, &i); i++) {
        const bui_shard_lane *lane = &shard->lane[i];
        if (lane->handle && lane->at == lane->count && !lane->check_anchor &&
            shard->port->ops->eof(shard->port, lane->handle) > lane->position->next)
            return true;
    }
    return false;
}

bool bui_batch_run(bui_shard *shard)
{
    bus_error err = { 0 };
    if (!shard->calls.runs_inline)
        bui_prepare_collect(shard);
    if (shard->batch.retry_at_us > shard->now_us || !work_waits(shard) ||
        atomic_load_explicit(&shard->failed, memory_order_relaxed))
        return false;
    shard->batch.metrics_before = shard->metrics;
    shard->batch.careful -= shard->batch.careful > 0;
    for (int pass = shard->batch.careful > 0; pass < 2; pass++) {
        begin_pass(shard, pass > 0);
        if (bui_store_begin(shard->store, &err) != BUS_OK) {
            store_failed(shard, &err);
            return false;
        }
        BUI_FAILPOINT("after-begin");
        bui_outcome outcome = run_all(shard);
        if (outcome != BUI_OUT_REDO && !atomic_load(&shard->failed)) {
            if (!shard->batch.did) {
                undo_pass(shard);
                shard->batch.held_left = shard->batch.held_at;
                return false;
            }
            if (bui_states_written(shard)) {
                if (commit(shard, &err)) {
                    after_commit(shard);
                    return true;
                }
                shard->batch.error = err;
            }
        }
        undo_pass(shard);
        if (atomic_load(&shard->failed))
            return false;
        if (shard->batch.error.status)
            break;
        shard->batch.careful = CAREFUL_BATCHES;
        bui_count(&shard->metrics.reruns, 1);
        shard->batch.metrics_before = shard->metrics;
    }
    if (!shard->batch.error.status)
        bui_fail(&shard->batch.error, BUS_BUG, "a batch asked for savepoints although it had them");
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

int64_t bui_batch_wait_us(bui_shard *shard)
{
    int64_t wait = INT64_MAX, due = bui_schedule_next_due(shard->store);
    const bui_key *key = bui_key_next_due(shard->store);
    if (shard->batch.retry_at_us > shard->now_us)
        return shard->batch.retry_at_us - shard->now_us;
    if (shard->batch.held_left)
        return 0;
    if (bui_dedup_loading(shard->store))
        sooner(&wait, IDS_LOOK_US);
    if (shard->batch.grow_at_us)
        sooner(&wait, shard->batch.grow_at_us - shard->now_us);
    if (due != INT64_MAX)
        sooner(&wait, (due - shard->now_ms) * 1000);
    if (shard->prepares.gather_until_us > shard->now_us)
        sooner(&wait, shard->prepares.gather_until_us - shard->now_us);
    if (key)
        sooner(&wait, key_wait_ms(shard, key) * 1000 + 1000);
    if (bui_key_totals_of(shard->store).catching_up)
        sooner(&wait, shard->batch.catch_up_at_us - shard->now_us);
    sooner(&wait, bui_rechecks_wait_us(shard));
    for (size_t i = 0; i < shard->input_count && shard->attached; i++)
        if (shard->input[i].paused_until_us > shard->now_us)
            sooner(&wait, shard->input[i].paused_until_us - shard->now_us);
    for (size_t i = 0; bui_lane_listed(shard, &i); i++) {
        const bui_shard_lane *lane = &shard->lane[i];
        if (lane->blocked_until_us > shard->now_us && lane->input->paused_until_us <= shard->now_us)
            sooner(&wait, lane->blocked_until_us - shard->now_us);
    }
    return wait;
}

void bui_batch_free(bui_shard *shard)
{
    for (size_t i = 0; i < shard->lane_count; i++) {
        free(shard->lane[i].record);
        free(shard->lane[i].job);
    }
    free(shard->lane);
    free(shard->lanes.listed);
    free(shard->calls.results);
}
