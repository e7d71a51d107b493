/* SPDX-License-Identifier: MIT
 * Handle: runs user code inside the shard's transaction, in the store's sandbox, and makes of its verdict an outcome that is
 * either whole in the transaction or gone from it. */
#include "shard/internal.h"

#include "base/error.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Whose transaction, and whose other code (prepare step, open), runs on this thread. */
static _Thread_local bus_tx *running;
static _Thread_local const bui_shard *beside;

static const bui_shard *here(void)
{
    return running ? running->shard : beside;
}

bool bui_shard_inside(void)
{
    return running != NULL;
}

bus_tx *bui_tx_running(void)
{
    return running;
}

void bui_shard_beside(const bui_shard *shard)
{
    beside = shard;
}

const bus_config *bus_config_here(void)
{
    return here() ? here()->options.config : NULL;
}

const char *bui_shard_where(void)
{
    return here() ? here()->where : NULL;
}

void bui_tx_init(bus_tx *tx, bui_shard *shard, const bui_delivery *delivery)
{
    tx->shard = shard;
    tx->delivery = delivery;
    tx->cause[0] = tx->reason[0] = 0;
    tx->emitted = 0;
    bui_error_clear(&tx->error);
    tx->error_class = "handler";
    tx->prepared = NULL;
    tx->prepared_len = 0;
    tx->discard = delivery && delivery->event.replay && !(delivery->route && delivery->route->replay_emits);
    tx->due = 0;
}

/* ---- verdicts */

BUS_PRINTF(2, 0) static void keep_reason(char out[BUI_REASON], const char *format, va_list args)
{
    if (vsnprintf(out, BUI_REASON, format, args) < 0)
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
    return bui_store_sql(tx->shard->store, sql, &tx->error);
}

struct sqlite3 *bus_db(bus_tx *tx)
{
    return bui_store_db(tx->shard->store);
}

int64_t bus_now(const bus_tx *tx)
{
    return tx->delivery ? tx->delivery->event.time_ms : tx->shard->now_ms;
}

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

static bui_outcome outcome_of(bus_tx *tx, bus_verdict verdict)
{
    if (tx->error.status) {
        /* A statement of the user's that SQLite refuses is the handler's failure; a full disk is not. */
        if (environmental(tx->error.status) && tx->error.status != BUS_STORE) {
            snprintf(tx->reason, sizeof tx->reason, "%s", tx->error.text);
            return BUI_OUT_PAUSE;
        }
        snprintf(tx->reason, sizeof tx->reason, "%s", tx->error.text[0] ? tx->error.text : bus_status_name(tx->error.status));
        return BUI_OUT_RETRY;
    }
    switch (verdict) {
    case BUS_DONE: return BUI_OUT_DONE;
    case BUS_RETRY: return BUI_OUT_RETRY;
    case BUS_REJECT: return BUI_OUT_DEAD;
    case BUS_PAUSE: return BUI_OUT_PAUSE;
    }
    snprintf(tx->reason, sizeof tx->reason, "the handler returned %d, which is not a verdict", (int)verdict);
    return BUI_OUT_DEAD;
}

/* Runs fn inside a save: after any outcome other than DONE nothing of it is left. */
static bui_outcome sandboxed(bui_shard *shard, bus_tx *tx, bus_verdict (*fn)(bus_tx *, void *), void *arg)
{
    bus_error err;
    bui_error_clear(&err);
    bool own = !shard->batch.saved;
    if (own && !bui_delivery_save(shard))
        return BUI_OUT_REDO;
    bui_store_sandbox(shard->store, true);
    running = tx;
    bus_verdict verdict = fn(tx, arg);
    running = NULL;
    bui_store_sandbox(shard->store, false);
    if (!bui_states_stand(shard))
        return BUI_OUT_REDO;
    if (!tx->error.status)
        bui_store_disabled(shard->store, &tx->error); /* a statement whose failure nobody looked at */
    bui_outcome outcome = outcome_of(tx, verdict);
    if (bui_store_standing(shard->store, &err) != BUS_OK) {
        /* SQLite itself rolled back (a full disk may do that), or a foreign key is violated. */
        if (sqlite3_get_autocommit(bui_store_db(shard->store)))
            return bui_shard_redo(shard, &err);
        if (outcome == BUI_OUT_DONE) {
            outcome = BUI_OUT_RETRY;
            snprintf(tx->reason, sizeof tx->reason, "%.200s", err.text);
        }
    }
    if (outcome == BUI_OUT_DONE)
        return own && !bui_delivery_release(shard) ? BUI_OUT_REDO : BUI_OUT_DONE;
    return bui_delivery_back(shard) ? outcome : BUI_OUT_REDO;
}

static bus_verdict call_handler(bus_tx *tx, void *arg)
{
    (void)arg;
    return tx->delivery->route->handler(tx, &tx->delivery->event, tx->shard->state);
}

static void watch(bui_shard *shard, const bus_event *event)
{
    /* The watchdog may read it when the event's own memory is gone: the router's copy stays. */
    const bui_shard_input *input = bui_shard_input_of(shard, event->topic);
    atomic_store_explicit(&shard->watch.topic, input ? input->declared->topic : "a topic no longer read", memory_order_relaxed);
    atomic_store_explicit(&shard->watch.partition, event->partition, memory_order_relaxed);
    atomic_store_explicit(&shard->watch.offset, event->offset, memory_order_relaxed);
    atomic_store_explicit(&shard->watch.since, shard->clock->mono_us(shard->clock), memory_order_release);
}

/* The topics show that this run failed: it fails again, whatever the handler would do now. */
static bool failed_before(const bui_shard *shard, const bui_delivery *delivery, bus_tx *tx, bui_outcome *outcome)
{
    bui_fates *fates = shard->options.fates;
    const bus_event *event = &delivery->event;
    bui_fate fate;
    if (!fates || !fates->failed(fates, event->topic, event->partition, event->offset, delivery->run, delivery->letter_round,
                                 event->attempt, &fate))
        return false;
    snprintf(tx->reason, sizeof tx->reason, "%s", fate.reason);
    tx->error_class = !strcmp(fate.error_class, "undecodable") ? "undecodable"
                      : !strcmp(fate.error_class, "crash")     ? "crash"
                      : !strcmp(fate.error_class, "prepare")   ? "prepare"
                                                               : "handler";
    tx->due = fate.due;
    *outcome = fate.dead ? BUI_OUT_DEAD : BUI_OUT_RETRY;
    return true;
}

bui_outcome bui_handle(bui_shard *shard, bui_delivery *delivery, bui_job_slot *job, bus_tx *tx)
{
    bui_outcome told;
    bui_tx_init(tx, shard, delivery);
    if (shard->options.fates && failed_before(shard, delivery, tx, &told))
        return told;
    if (delivery->undecodable) {
        tx->error_class = "undecodable";
        memcpy(tx->reason, delivery->fault, sizeof tx->reason);
        return BUI_OUT_DEAD;
    }
    if (bui_crash_suspect(shard->crash, delivery)) {
        tx->error_class = "crash";
        snprintf(tx->reason, sizeof tx->reason,
                 "the process died three times in its handler or prepare step; it was not run again");
        return BUI_OUT_DEAD;
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
    bui_crash_enter(shard->crash, delivery);
    BUI_FAILPOINT("handler");
    bui_outcome outcome = sandboxed(shard, tx, call_handler, NULL);
    bui_crash_leave(shard->crash);
    BUI_FAILPOINT("handled");
    atomic_store_explicit(&shard->watch.since, 0, memory_order_release);
    bui_observe(&shard->metrics.handler_time, shard->clock->mono_us(shard->clock) - since);
    return outcome;
}

static bus_verdict call_transaction(bus_tx *tx, void *arg)
{
    bui_call *call = arg;
    return call->fn(tx, call->opaque);
}

bui_outcome bui_handle_call(bui_shard *shard, bui_call *call, bus_tx *tx)
{
    bui_tx_init(tx, shard, NULL);
    bui_id_random(tx->cause);
    return sandboxed(shard, tx, call_transaction, call);
}
