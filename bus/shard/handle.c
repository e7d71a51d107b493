/* SPDX-License-Identifier: MIT
 * Handle: runs user code inside the shard's transaction, in the store's cage, and makes of its verdict an outcome that is
 * either whole in the transaction or gone from it. */
#include "shard/internal.h"

#include "base/error.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local bool inside;

bool bus_shard_inside(void) { return inside; }

void bus_tx_init(bus_tx *tx, bus_shard *shard, const bus_delivery *delivery)
{
    tx->shard = shard;
    tx->delivery = delivery;
    tx->cause[0] = tx->reason[0] = 0;
    tx->emitted = 0;
    bus_error_clear(&tx->error);
    tx->error_class = "handler";
    tx->prepared = NULL;
    tx->prepared_len = 0;
    tx->discard = delivery && delivery->event.replay && !(delivery->route && delivery->route->replay_emits);
    tx->due = 0;
}

/* ---- verdicts */

BUS_PRINTF(2, 0) static void keep_reason(char out[BUS_REASON], const char *format, va_list args)
{
    if (vsnprintf(out, BUS_REASON, format, args) < 0)
        out[0] = 0;
    for (char *at = out; *at; at++)
        if ((unsigned char)*at < ' ')
            *at = ' ';
}

bus_verdict bus_retry(bus_tx *tx, const char *reason, ...)
{
    va_list args;
    va_start(args, reason);
    keep_reason(tx->reason, reason, args);
    va_end(args);
    return BUS_RETRY;
}

bus_verdict bus_reject(bus_tx *tx, const char *reason, ...)
{
    va_list args;
    va_start(args, reason);
    keep_reason(tx->reason, reason, args);
    va_end(args);
    return BUS_REJECT;
}

bus_verdict bus_pause(bus_tx *tx, const char *dependency)
{
    snprintf(tx->reason, sizeof tx->reason, "%s", dependency ? dependency : "");
    return BUS_PAUSE;
}

/* ---- what the transaction gives */

struct sqlite3_stmt *bus_sql(bus_tx *tx, const char *sql)
{
    if (tx->error.status)
        return NULL;
    return bus_store_sql(tx->shard->store, sql, &tx->error);
}

struct sqlite3 *bus_db(bus_tx *tx) { return bus_store_db(tx->shard->store); }

int64_t bus_now(const bus_tx *tx) { return tx->delivery ? tx->delivery->event.time : tx->shard->now_ms; }

const void *bus_prepared_result(const bus_tx *tx, size_t *len)
{
    if (len)
        *len = tx->prepared_len;
    return tx->prepared;
}

int bus_tx_shard(const bus_tx *tx, int *count)
{
    if (count)
        *count = tx->shard->options.count;
    return tx->shard->options.index;
}

/* ---- running */

/* Is the failure the host's or the store's rather than the event's? Then waiting helps and no attempt is spent. */
static bool environmental(bus_status status)
{
    return status == BUS_FULL || status == BUS_IO || status == BUS_NOMEM || status == BUS_STORE || status == BUS_MISSING ||
           status == BUS_CORRUPT;
}

static bus_outcome outcome_of(bus_tx *tx, bus_verdict verdict)
{
    if (tx->error.status) {
        /* A statement of the user's that SQLite refuses is the handler's failure; a full disk is not. */
        if (environmental(tx->error.status) && tx->error.status != BUS_STORE) {
            snprintf(tx->reason, sizeof tx->reason, "%s", tx->error.text);
            return BUS_OUT_PAUSE;
        }
        snprintf(tx->reason, sizeof tx->reason, "%s", tx->error.text[0] ? tx->error.text : bus_status_name(tx->error.status));
        return BUS_OUT_RETRY;
    }
    switch (verdict) {
    case BUS_DONE:
        return BUS_OUT_DONE;
    case BUS_RETRY:
        return BUS_OUT_RETRY;
    case BUS_REJECT:
        return BUS_OUT_DEAD;
    case BUS_PAUSE:
        return BUS_OUT_PAUSE;
    }
    snprintf(tx->reason, sizeof tx->reason, "the handler returned %d, which is no verdict", (int)verdict);
    return BUS_OUT_DEAD;
}

/* Runs fn inside a save: after any outcome but DONE nothing of it is left. */
static bus_outcome caged(bus_shard *shard, bus_tx *tx, bus_verdict (*fn)(bus_tx *, void *), void *arg)
{
    bus_error err;
    bus_error_clear(&err);
    bool own = !shard->batch.saved;
    if (own && !bus_delivery_save(shard))
        return BUS_OUT_REDO;
    bus_store_cage(shard->store, true);
    inside = true;
    bus_verdict verdict = fn(tx, arg);
    inside = false;
    bus_store_cage(shard->store, false);
    if (!tx->error.status)
        bus_store_disabled(shard->store, &tx->error); /* a statement whose failure nobody looked at */
    bus_outcome outcome = outcome_of(tx, verdict);
    if (bus_store_standing(shard->store, &err)) {
        /* SQLite itself gave the transaction up (a full disk may do that), or a foreign key is left dangling. */
        if (sqlite3_get_autocommit(bus_store_db(shard->store)))
            return bus_shard_redo(shard, &err);
        if (outcome == BUS_OUT_DONE) {
            outcome = BUS_OUT_RETRY;
            snprintf(tx->reason, sizeof tx->reason, "%.200s", err.text);
        }
    }
    if (outcome == BUS_OUT_DONE)
        return own && !bus_delivery_release(shard) ? BUS_OUT_REDO : BUS_OUT_DONE;
    return bus_delivery_back(shard) ? outcome : BUS_OUT_REDO;
}

static bus_verdict call_handler(bus_tx *tx, void *arg)
{
    (void)arg;
    return tx->delivery->route->handler(tx, &tx->delivery->event, tx->shard->state);
}

static void watch(bus_shard *shard, const bus_event *event)
{
    /* The watchdog may read it when the event's own memory is gone: the router's copy stays. */
    const bus_shard_input *input = bus_shard_input_of(shard, event->topic);
    atomic_store_explicit(&shard->watch.topic, input ? input->declared->topic : "a topic no longer read", memory_order_relaxed);
    atomic_store_explicit(&shard->watch.partition, event->partition, memory_order_relaxed);
    atomic_store_explicit(&shard->watch.offset, event->offset, memory_order_relaxed);
    atomic_store_explicit(&shard->watch.since, shard->clock->mono_us(shard->clock), memory_order_release);
}

/* The topics tell that this run failed: it fails again, whatever the handler would say now. */
static bool failed_before(const bus_shard *shard, const bus_delivery *delivery, bus_tx *tx, bus_outcome *outcome)
{
    bus_fates *fates = shard->options.fates;
    const bus_event *event = &delivery->event;
    bus_fate fate;
    if (!fates || !fates->failed(fates, event->topic, event->partition, event->offset, delivery->run, delivery->letter_round, event->attempt, &fate))
        return false;
    snprintf(tx->reason, sizeof tx->reason, "%s", fate.reason);
    tx->error_class = !strcmp(fate.error_class, "undecodable") ? "undecodable" : !strcmp(fate.error_class, "crash") ? "crash" :
                      !strcmp(fate.error_class, "prepare") ? "prepare" : "handler";
    tx->due = fate.due;
    *outcome = fate.dead ? BUS_OUT_DEAD : BUS_OUT_RETRY;
    return true;
}

bus_outcome bus_handle(bus_shard *shard, bus_delivery *delivery, bus_job_slot *job, bus_tx *tx)
{
    bus_outcome told;
    bus_tx_init(tx, shard, delivery);
    if (shard->options.fates && failed_before(shard, delivery, tx, &told))
        return told;
    if (delivery->undecodable) {
        tx->error_class = "undecodable";
        memcpy(tx->reason, delivery->fault, sizeof tx->reason);
        return BUS_OUT_DEAD;
    }
    if (bus_crash_suspect(shard->crash, delivery)) {
        tx->error_class = "crash";
        snprintf(tx->reason, sizeof tx->reason, "the process died three times in its handler or prepare step; it was not run again");
        return BUS_OUT_DEAD;
    }
    if (job) {
        if (job->verdict != BUS_DONE) {
            snprintf(tx->reason, sizeof tx->reason, "%s", job->reason);
            tx->error_class = "prepare";
            return outcome_of(tx, job->verdict);
        }
        tx->prepared = job->result.data;
        tx->prepared_len = job->result.len;
    }
    watch(shard, &delivery->event);
    int64_t since = atomic_load_explicit(&shard->watch.since, memory_order_relaxed);
    bus_crash_enter(shard->crash, delivery);
    BUS_FAILPOINT("handler");
    bus_outcome outcome = caged(shard, tx, call_handler, NULL);
    bus_crash_leave(shard->crash);
    BUS_FAILPOINT("handled");
    atomic_store_explicit(&shard->watch.since, 0, memory_order_release);
    bus_observe(&shard->metrics.handler_time, shard->clock->mono_us(shard->clock) - since);
    return outcome;
}

static bus_verdict call_transaction(bus_tx *tx, void *arg)
{
    bus_call *call = arg;
    return call->fn(tx, call->opaque);
}

bus_outcome bus_handle_call(bus_shard *shard, bus_call *call, bus_tx *tx)
{
    bus_tx_init(tx, shard, NULL);
    bus_id_random(tx->cause);
    return caged(shard, tx, call_transaction, call);
}
