/* SPDX-License-Identifier: MIT
 * Calls: transactions from other threads. All that wait when a batch begins share its commit. A caller that finds the shard
 * asleep is its own batch (bui_shard_run_inline). */
#include "shard/internal.h"

#include "base/array.h"
#include "base/error.h"
#include "store/state.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_CALLS 4096 /* in one transaction */

struct bui_call_result {
    bui_call *call;
    bus_status status;
    char text[BUI_REASON];
};

static bool outbox_full(bui_shard *shard)
{
    return atomic_load_explicit(&shard->calls.outbox_bytes_seen, memory_order_relaxed) >= shard->options.limits.outbox_bytes;
}

bus_status bui_shard_call(bui_shard *shard, bui_call *call, bus_error *err)
{
    if (atomic_load_explicit(&shard->draining, memory_order_relaxed) ||
        atomic_load_explicit(&shard->failed, memory_order_relaxed))
        return bui_fail(err, BUS_CLOSED, "%s is closing: no new transactions", shard->where);
    if (outbox_full(shard))
        return bui_fail(err, BUS_FULL, "the outbox of %s is full (outbox.max.bytes): Kafka takes no rows now; try again later",
                        shard->where);
    call->next = NULL;
    call->queued_us = shard->clock->mono_us(shard->clock);
    pthread_mutex_lock(&shard->calls.lock);
    bool closed = atomic_load(&shard->draining);
    if (!closed) {
        *shard->calls.tail = call;
        shard->calls.tail = &call->next;
        atomic_store(&shard->calls.waiting, true);
    }
    pthread_mutex_unlock(&shard->calls.lock);
    if (closed)
        return bui_fail(err, BUS_CLOSED, "%s is closing: no new transactions", shard->where);
    if (shard->options.wake)
        shard->options.wake(shard->options.wake_opaque);
    return BUS_OK;
}

static bool room(bui_shard *shard)
{
    bui_calls *calls = &shard->calls;
    return bui_array_room(&calls->results, &calls->result_cap, calls->result_count + 1, sizeof *calls->results, 64);
}

static void take(bui_shard *shard, bui_call *call)
{
    struct bui_call_result *result = &shard->calls.results[shard->calls.result_count++];
    result->call = call;
    result->status = BUS_OK;
    result->text[0] = 0;
}

bool bui_calls_bring(bui_shard *shard, bui_call *call)
{
    if (atomic_load_explicit(&shard->draining, memory_order_relaxed) || atomic_load(&shard->calls.waiting) ||
        outbox_full(shard) || !room(shard))
        return false;
    call->queued_us = shard->now_us;
    take(shard, call);
    return true;
}

void bui_calls_take(bui_shard *shard)
{
    if (!atomic_load_explicit(&shard->calls.waiting, memory_order_acquire))
        return;
    pthread_mutex_lock(&shard->calls.lock);
    while (shard->calls.first && shard->calls.result_count < MOST_CALLS && room(shard)) {
        bui_call *call = shard->calls.first;
        shard->calls.first = call->next;
        take(shard, call);
    }
    if (!shard->calls.first) {
        shard->calls.tail = &shard->calls.first;
        atomic_store(&shard->calls.waiting, false);
    }
    pthread_mutex_unlock(&shard->calls.lock);
}

static void refused(struct bui_call_result *result, const bus_tx *tx, bui_outcome outcome)
{
    result->status = tx->error.status ? tx->error.status : BUS_REFUSED;
    snprintf(result->text, sizeof result->text, "%s",
             tx->reason[0]              ? tx->reason
             : outcome == BUI_OUT_PAUSE ? "paused"
                                        : "the transaction was rolled back by its function");
}

/* Or that will be: rows of states may be written by the commit. */
static int64_t rows_changed(bui_store *store)
{
    return sqlite3_total_changes64(bui_store_db(store)) + bui_state_changes(store);
}

bui_outcome bui_calls_run(bui_shard *shard)
{
    bool wrote = false;
    for (size_t i = 0; i < shard->calls.result_count; i++) {
        bus_tx tx;
        shard->calls.results[i].status = BUS_OK; /* a batch run again asks again */
        shard->calls.results[i].text[0] = 0;
        int64_t changes = rows_changed(shard->store);
        bui_outcome outcome = bui_handle_call(shard, shard->calls.results[i].call, &tx);
        if (outcome == BUI_OUT_REDO)
            return outcome;
        if (outcome == BUI_OUT_DONE) /* rows of the outbox are written by the commit */
            wrote |= tx.emitted > 0 || rows_changed(shard->store) != changes;
        else
            refused(&shard->calls.results[i], &tx, outcome);
    }
    bus_error err = { 0 };
    if (wrote && !bui_store_meta(shard->store)->transacted) {
        if (bui_store_set_transacted(shard->store, &err) != BUS_OK)
            return bui_shard_redo(shard, &err);
        shard->commits.positions_moved = true; /* it goes into the group's commits, for the day when this store is lost */
    }
    shard->batch.did |= shard->calls.result_count > 0;
    return BUI_OUT_DONE;
}

void bui_calls_done(bui_shard *shard)
{
    int64_t now = shard->clock->mono_us(shard->clock);
    for (size_t i = 0; i < shard->calls.result_count; i++) {
        struct bui_call_result *result = &shard->calls.results[i];
        if (result->status == BUS_OK) {
            bui_count(&shard->metrics.transactions, 1);
            bui_observe(&shard->metrics.transact_time, now - result->call->queued_us);
            if (shard->calls.single && shard->calls.hand_back)
                *shard->calls.hand_back = result->call;
            else
                result->call->done(result->call, BUS_OK, NULL);
            continue;
        }
        bus_error err = { 0 };
        bui_fail(&err, result->status, "%s", result->text);
        result->call->done(result->call, result->status, &err);
    }
    shard->calls.result_count = 0;
}

void bui_calls_fail(bui_shard *shard, bus_status status, const char *text)
{
    bus_error err = { 0 };
    bui_fail(&err, status, "%s", text);
    do {
        for (size_t i = 0; i < shard->calls.result_count; i++)
            shard->calls.results[i].call->done(shard->calls.results[i].call, status, &err);
        shard->calls.result_count = 0;
        bui_calls_take(shard);
    } while (shard->calls.result_count);
}
