/* SPDX-License-Identifier: MIT
 * Keys: the state machine that keeps a key's order through failures. An event that fails waits as the head of its key;
 * later events of the key park behind it; the store holds their bytes, records in Kafka only trigger.
 *
 *   free -> waiting (retry) -> catching up (done) -> free;  waiting -> held (dead, BUS_HOLD_KEY) -> catching up (redrive, discard) */
#include "shard/internal.h"

#include "base/error.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RATIO_LEAST 50 /* deliveries before the ratio limit judges */
#define RATIO_WINDOW 400

static bui_outcome store_failed(bui_shard *shard, const bus_error *err)
{
    return bui_shard_redo(shard, err);
}

static bui_outcome no_memory(bui_shard *shard)
{
    bus_error err = { 0 };
    bui_fail_nomem(&err);
    return bui_shard_redo(shard, &err);
}

/* ---- the ratio limit: a bad deploy must not drain a topic into the dead letters
 *
 * Each event counts once, by its first run. The last attempts of those that failed fall due together, long after the many that
 * succeeded. If events were counted by their ends, a few in a hundred would look like all. */

static void judge(bui_shard_input *input, bool failed)
{
    if (!input)
        return;
    input->recent++;
    input->recent_failed += failed;
    if (input->recent >= RATIO_WINDOW) {
        input->recent /= 2;
        input->recent_failed /= 2;
    }
    if (!failed)
        bui_backoff_reset(&input->pause);
}

static bool may_die(bui_shard *shard, bui_shard_input *input)
{
    int percent = shard->options.limits.reject_percent;
    if (!input || percent <= 0 || input->recent < RATIO_LEAST || input->recent_failed * 100 <= percent * input->recent)
        return true;
    if (input->let_one) {
        input->let_one = false;
        return true;
    }
    input->let_one = true;
    char why[120];
    snprintf(why, sizeof why, "%d of the last %d events failed (reject.ratio.percent): fix or roll back the service",
             input->recent_failed, input->recent);
    bui_input_pause(shard, input, why, false);
    return false;
}

/* ---- waiting */

static bus_status send_retry(bui_shard *shard, const bui_delivery *delivery, const bui_key *key, const bui_input *tier,
                             const char *reason, bus_error *err)
{
    bui_destination *destination = bui_destination_of(shard->store, tier->topic, shard->options.index, err);
    if (!destination)
        return BUS_NOMEM;
    char orig[BUI_ORIG_TEXT], token[48], id[BUI_ID_TEXT];
    size_t count;
    bus_header *headers = bui_copy_headers(delivery, 2, &shard->arena, &count, orig);
    if (!headers)
        return bui_fail_nomem(err);
    headers[count++] = (bus_header){ "bus-reason", reason, strlen(reason) };
    snprintf(token, sizeof token, "%lld.%d", (long long)key->id, key->attempt);
    bui_part parts[] = { { token, strlen(token) }, { destination->source, strlen(destination->source) } };
    bui_id_of(parts, 2, id);
    const bus_event *event = &delivery->event;
    bui_emission emission = { .destination = destination,
                              .event_id = id,
                              .key = event->key.at,
                              .key_len = event->key.len,
                              .value = event->value.at,
                              .value_len = event->value.len,
                              .headers = headers,
                              .header_count = count,
                              .attempt = key->attempt + 1,
                              .not_before = bui_fates_due(key->due),
                              .token = token };
    bus_status status = bui_emit_row(shard, &emission, err);
    if (status != BUS_TOO_BIG)
        return status;
    /* With our headers it no longer fits: the trigger alone will do. */
    char place[BUI_BODY_TEXT];
    headers[emission.header_count++] = bui_body_header(delivery, true, place);
    emission.value = NULL;
    emission.value_len = 0;
    status = bui_emit_row(shard, &emission, err);
    if (status != BUS_TOO_BIG)
        return status;
    emission.key = NULL;
    emission.key_len = 0;
    emission.headers = &headers[count - 1]; /* the reason and the place; all others are the original's */
    emission.header_count = 2;
    emission.unchecked = true;
    return bui_emit_row(shard, &emission, err);
}

/* An operator wants to hear of the first failure, while the cause can be removed before there are dead letters. Later ones are counted
 * alone. A record that fails costs its writer nothing, so each route has few lines. */
static void tell_failed(bui_shard *shard, const bui_delivery *delivery, const bus_tx *why, int64_t due_ms)
{
    char more[BUI_THROTTLE_TEXT], due[32];
    uint64_t hidden;
    const bus_event *event = &delivery->event;
    bui_throttle *lines = delivery->route ? &shard->said.failed_lines[delivery->route - shard->options.service->routes] : NULL;
    if (!lines || !bui_throttle_pass(lines, shard->now_us, &hidden))
        return;
    bui_log(BUS_WARN, shard->where, "handler_failed",
            "%s/%d offset %lld (%s) failed in its %s, attempt 1 of %d, and runs again at %s: %s%s", event->topic,
            event->partition, (long long)event->offset, event->type_name,
            strcmp(why->error_class, "prepare") ? why->error_class : "prepare step", event->attempts, bui_time_text(due_ms, due),
            why->reason, bui_throttle_text(hidden, more));
}

/* The head failed its `attempt`-th run and waits for the next. */
static bui_outcome wait(bui_shard *shard, bui_key *key, const bui_delivery *delivery, int attempt, const bus_tx *why)
{
    bus_error err = { 0 };
    if (!bui_key_touch(shard->store, key))
        return no_memory(shard);
    const bui_input *tier = bui_router_tier(shard->options.router, attempt);
    key->state = BUI_KEY_WAITING;
    key->attempt = attempt;
    key->due = why->due ? why->due : shard->now_ms + (tier ? tier->delay_ms : 1000);
    if (!key->first_failed)
        key->first_failed = shard->now_ms;
    snprintf(key->event_id, sizeof key->event_id, "%s", delivery->event.id);
    bui_count(&shard->metrics.retried, 1);
    if (attempt == 1)
        tell_failed(shard, delivery, why, key->due);
    if (tier && send_retry(shard, delivery, key, tier, why->reason, &err) != BUS_OK)
        return store_failed(shard, &err);
    BUI_FAILPOINT("key-waiting");
    return BUI_OUT_RETRY;
}

static bus_status park(bui_shard *shard, bui_key *key, const bui_delivery *delivery, bus_error *err)
{
    const bus_event *event = &delivery->event;
    bui_buf *packed = &shard->headers_scratch;
    bui_buf_clear(packed);
    bui_headers_pack(event->headers, event->header_count, packed);
    if (!bui_buf_ok(packed))
        return bui_fail_nomem(err);
    bui_parked parked = { .event_id = event->id,
                          .topic = event->topic,
                          .partition = event->partition,
                          .offset = event->offset,
                          .timestamp = delivery->timestamp,
                          .record_key = event->key.at,
                          .record_key_len = event->key.len,
                          .value = event->value.at,
                          .value_len = event->value.len,
                          .headers = packed->data,
                          .headers_len = packed->len,
                          .command = delivery->command };
    return bui_key_park(shard->store, key, &parked, err);
}

/* The key has no row: make one with this delivery as its head. */
static bui_key *seize(bui_shard *shard, const bui_delivery *delivery, bus_error *err)
{
    bui_key *key = bui_key_make(shard->store, delivery->scope, delivery->key, delivery->key_len, err);
    if (!key || park(shard, key, delivery, err) != BUS_OK)
        return NULL;
    return key;
}

/* ---- arrival */

static bui_outcome arrive_behind(bui_shard *shard, bui_key *key, const bui_delivery *delivery)
{
    bus_error err = { 0 };
    bui_identity event = bui_identity_of(delivery);
    if (!delivery->event.replay && bui_key_holds(shard->store, key, &event)) {
        bui_count(&shard->metrics.duplicates, 1);
        return BUI_OUT_DONE;
    }
    bui_fate fate;
    bui_fates *fates = shard->options.fates;
    bool behind = fates &&
                  fates->failed(fates, delivery->event.topic, delivery->event.partition, delivery->event.offset, delivery->run,
                                delivery->letter_round, 1, &fate) &&
                  !strcmp(fate.error_class, "behind");
    if (behind || (!fates && key->parked >= shard->options.limits.parked_per_key)) {
        bus_tx why;
        bui_tx_init(&why, shard, delivery);
        why.error_class = "behind";
        snprintf(why.reason, sizeof why.reason, "behind %.100s, with %lld events of the key parked already", key->event_id,
                 (long long)key->parked);
        if (bui_deadletter_open(shard, delivery, &why, 0, NULL, &err) != BUS_OK)
            return store_failed(shard, &err);
        return BUI_OUT_DONE;
    }
    return park(shard, key, delivery, &err) != BUS_OK ? store_failed(shard, &err) : BUI_OUT_DONE;
}

static bui_outcome resolved(bui_shard *shard, const bui_delivery *delivery)
{
    bus_error err = { 0 };
    bui_count(&shard->metrics.handled, 1);
    bui_count(&shard->metrics.replayed, delivery->event.replay);
    if (delivery->letter_id[0] && bui_deadletter_settle(shard, delivery->letter_id, BUI_DEADLETTER_RESOLVED, &err) != BUS_OK)
        return store_failed(shard, &err);
    return BUI_OUT_DONE;
}

static bool holds_key(const bui_delivery *delivery)
{
    return delivery->route && delivery->route->on_dead == BUS_HOLD_KEY && !delivery->event.replay;
}

static bool needs_step(const bui_delivery *delivery)
{
    const bus_route *route = delivery->route;
    return route && route->prepare && !delivery->undecodable && (!delivery->event.replay || route->replay_prepares);
}

static bui_outcome arrive_dead(bui_shard *shard, const bui_delivery *delivery, const bus_tx *tx, int attempts)
{
    bus_error err = { 0 };
    bui_key *key = NULL;
    if (holds_key(delivery) && !(key = seize(shard, delivery, &err)))
        return store_failed(shard, &err);
    if (key && !bui_key_touch(shard->store, key))
        return no_memory(shard);
    if (key) {
        key->state = BUI_KEY_HELD;
        key->attempt = attempts;
        key->first_failed = shard->now_ms;
        snprintf(key->event_id, sizeof key->event_id, "%s", delivery->event.id);
    }
    return bui_deadletter_open(shard, delivery, tx, attempts, key, &err) != BUS_OK ? store_failed(shard, &err) : BUI_OUT_DEAD;
}

/* The delivery becomes its key's head and runs when its topic's pause is over, or its prepare step is done. No attempt is spent. */
static bui_outcome run_as_head(bui_shard *shard, bui_delivery *delivery, const bui_shard_input *input)
{
    bus_error err = { 0 };
    bui_key *key = seize(shard, delivery, &err);
    if (!key)
        return store_failed(shard, &err);
    if (!bui_key_touch(shard->store, key))
        return no_memory(shard);
    key->state = BUI_KEY_WAITING;
    key->attempt = 0;
    key->round = delivery->letter_round;
    snprintf(key->event_id, sizeof key->event_id, "%s", delivery->event.id);
    int64_t pause_us = input ? input->paused_until_us - shard->now_us : 0;
    key->due = shard->now_ms + (pause_us > 0 ? pause_us / 1000 : 0) - shard->options.limits.retry_grace_ms;
    return BUI_OUT_DONE;
}

/* The dead letter that the head is redriven from: a held key's own, or that of a redriven arrival which had parked. */
static bus_status name_letter(bui_shard *shard, const bui_key *key, bui_delivery *delivery, bus_error *err)
{
    const bui_envelope *envelope = &delivery->envelope;
    if (delivery->command == BUI_COMMAND_REDRIVE)
        return bui_deadletter_name(shard, delivery, envelope->command_id, envelope->command_round, err);
    return key->round > 0 ? bui_deadletter_name(shard, delivery, (bui_slice){ 0 }, key->round, err) : BUS_OK;
}

static bui_arrival arrival_of(const bui_delivery *delivery)
{
    const bus_event *event = &delivery->event;
    return (bui_arrival){ .topic = event->topic,
                          .partition = event->partition,
                          .offset = event->offset,
                          .copy = delivery->run,
                          .letter = delivery->letter_id,
                          .round = delivery->letter_round };
}

/* In a rebuild: did it run when its key was free, though the head is there by now? This is not asked of one that waited, or
 * held its key: what came after it was behind it. */
static bus_status overtook(bui_shard *shard, bui_key *key, const bui_delivery *delivery, bool *yes, bus_error *err)
{
    bui_fates *fates = shard->options.fates;
    bui_parked parked;
    bui_delivery head;
    *yes = false;
    if (!fates || needs_step(delivery) || holds_key(delivery))
        return BUS_OK;
    bus_status status = bui_key_head(shard->store, key, &shard->arena, &parked, err);
    if (status != BUS_OK)
        return status;
    bui_record record = bui_parked_record(&parked, &shard->arena);
    if ((record.header_count && !record.headers) ||
        bui_delivery_read(shard, &record, parked.command, &shard->arena, false, &head, err) != BUS_OK ||
        name_letter(shard, key, &head, err) != BUS_OK)
        return bui_fail_nomem(err);
    bui_arrival mine = arrival_of(delivery), heads = arrival_of(&head);
    *yes = fates->overtook(fates, &mine, &heads);
    return BUS_OK;
}

bui_outcome bui_key_arrive(bui_shard *shard, bui_delivery *delivery, bui_job_slot *job)
{
    bus_tx tx;
    bus_error err;
    bui_error_clear(&err);
    bui_key *key;
    bool open = false;
    /* The dead letter first: parked behind its key the event would run, and its dead letter could still be redriven. */
    if (!delivery->letter_id[0] && !delivery->event.replay && bui_deadletter_is_open(shard, delivery, &open, &err) != BUS_OK)
        return store_failed(shard, &err);
    if (open) {
        bui_count(&shard->metrics.duplicates, 1);
        return BUI_OUT_DONE;
    }
    if (bui_key_look(shard->store, delivery->scope, delivery->key, delivery->key_len, &key, &err) != BUS_OK)
        return store_failed(shard, &err);
    bool first = false;
    if (key && overtook(shard, key, delivery, &first, &err) != BUS_OK)
        return store_failed(shard, &err);
    if (key && !first)
        return arrive_behind(shard, key, delivery);
    bui_shard_input *input = bui_shard_input_of(shard, delivery->event.topic);
    if (!job && needs_step(delivery))
        return run_as_head(shard, delivery, NULL);
    bui_outcome outcome = bui_handle(shard, delivery, job, &tx);
    if (outcome == BUI_OUT_RETRY && delivery->event.attempts <= 1)
        outcome = BUI_OUT_DEAD;
    if (key && outcome != BUI_OUT_DONE && outcome != BUI_OUT_DEAD && outcome != BUI_OUT_REDO) /* not as it was told */
        return shard->batch.saved && !bui_delivery_back(shard) ? BUI_OUT_REDO : arrive_behind(shard, key, delivery);
    if (outcome == BUI_OUT_PAUSE) {
        bui_input_pause(shard, input, tx.reason, false);
        /* A command must not hold up the commands behind it. */
        if (delivery->command)
            return shard->batch.saved && !bui_delivery_back(shard)       ? BUI_OUT_REDO
                   : run_as_head(shard, delivery, input) == BUI_OUT_REDO ? BUI_OUT_REDO
                                                                         : BUI_OUT_RETRY;
    }
    if (outcome == BUI_OUT_PAUSE || outcome == BUI_OUT_REDO || outcome == BUI_OUT_PENDING)
        return outcome;
    if (outcome == BUI_OUT_DEAD && !delivery->command && !may_die(shard, input))
        return shard->batch.saved && !bui_delivery_back(shard) ? BUI_OUT_REDO : BUI_OUT_PAUSE;
    /* A failed handler has taken the save back; a fate without a handler (undecodable, crash) has not. */
    if (outcome != BUI_OUT_DONE && shard->batch.saved && !bui_delivery_back(shard))
        return BUI_OUT_REDO;
    judge(delivery->event.replay ? NULL : input, outcome != BUI_OUT_DONE);
    if (outcome == BUI_OUT_DONE)
        return resolved(shard, delivery);
    if (outcome == BUI_OUT_DEAD)
        return arrive_dead(shard, delivery, &tx, 1);
    if (!(key = seize(shard, delivery, &err)))
        return store_failed(shard, &err);
    if (bui_key_touch(shard->store, key))
        key->round = delivery->letter_round;
    return wait(shard, key, delivery, 1, &tx);
}

/* ---- the head */

static bui_outcome head_gone(bui_shard *shard, bui_key *key)
{
    bus_error err = { 0 };
    if (bui_key_pop(shard->store, key, &err) != BUS_OK)
        return store_failed(shard, &err);
    if (key->parked == 0)
        return bui_key_free(shard->store, key, &err) != BUS_OK ? store_failed(shard, &err) : BUI_OUT_DONE;
    if (!bui_key_touch(shard->store, key))
        return no_memory(shard);
    BUI_FAILPOINT("key-catching-up");
    key->state = BUI_KEY_CATCHING_UP;
    key->attempt = 0;
    key->round = 0;
    key->due = 0;
    key->first_failed = 0;
    key->event_id[0] = 0;
    return BUI_OUT_DONE;
}

bui_outcome bui_key_discard_head(bui_shard *shard, bui_key *key)
{
    return head_gone(shard, key);
}

/* What it needs is away: look again when the pause is over. No attempt is spent. */
static bui_outcome defer(bui_shard *shard, bui_key *key, const bui_shard_input *input)
{
    int64_t until_us = input ? input->paused_until_us - shard->now_us : 1000000;
    if (key->state != BUI_KEY_WAITING)
        return BUI_OUT_PAUSE;
    if (!bui_key_touch(shard->store, key))
        return no_memory(shard);
    /* No record will come for it: its timer, which grants records a grace, must not wait longer for that. */
    key->due = shard->now_ms + (until_us > 0 ? until_us / 1000 : 0) + 1 - shard->options.limits.retry_grace_ms;
    shard->batch.did = true;
    return BUI_OUT_PAUSE;
}

static bui_outcome head_dead(bui_shard *shard, bui_key *key, const bui_delivery *delivery, const bus_tx *tx, int attempts)
{
    bus_error err = { 0 };
    bool hold = holds_key(delivery);
    if (hold) {
        if (!bui_key_touch(shard->store, key))
            return no_memory(shard);
        key->state = BUI_KEY_HELD;
        key->attempt = attempts;
        snprintf(key->event_id, sizeof key->event_id, "%s", delivery->event.id);
    }
    if (bui_deadletter_open(shard, delivery, tx, attempts, hold ? key : NULL, &err) != BUS_OK)
        return store_failed(shard, &err);
    if (hold)
        return BUI_OUT_DEAD;
    bui_outcome outcome = head_gone(shard, key);
    return outcome == BUI_OUT_DONE ? BUI_OUT_DEAD : outcome;
}

/* This version of the service has no route for it. Another version may have had a route, and have it again: what waits is
 * never dropped because a route is missing. A dead letter holds the key: an operator sees it and may discard it, and a version
 * with the route takes it up when it opens the store. */
static bui_outcome head_unrouted(bui_shard *shard, bui_key *key, const bui_delivery *delivery)
{
    bus_error err = { 0 };
    bus_tx why;
    bui_tx_init(&why, shard, delivery);
    why.error_class = "unrouted";
    snprintf(why.reason, sizeof why.reason,
             "this version has no route for %.80s from %.80s: it waits for a version that has "
             "one, or discard it",
             delivery->event.type_name, delivery->event.topic);
    if (!bui_key_touch(shard->store, key))
        return no_memory(shard);
    key->state = BUI_KEY_HELD;
    key->attempt = 0; /* none else that is held has this */
    snprintf(key->event_id, sizeof key->event_id, "%s", delivery->event.id);
    shard->batch.did = true;
    return bui_deadletter_open(shard, delivery, &why, 0, key, &err) != BUS_OK ? store_failed(shard, &err) : BUI_OUT_DEAD;
}

static bui_outcome look_again(bui_shard *shard, bui_key *key)
{
    bus_error err = { 0 };
    bui_parked parked;
    bui_delivery delivery;
    bui_arena_reset(&shard->arena);
    if (bui_key_head(shard->store, key, &shard->arena, &parked, &err) != BUS_OK)
        return store_failed(shard, &err);
    bui_record record = bui_parked_record(&parked, &shard->arena);
    if ((record.header_count && !record.headers) ||
        bui_delivery_read(shard, &record, parked.command, &shard->arena, false, &delivery, &err) != BUS_OK ||
        name_letter(shard, key, &delivery, &err) != BUS_OK)
        return no_memory(shard);
    if (!delivery.route)
        return BUI_OUT_DONE;
    shard->batch.did = true;
    return bui_deadletter_take_up(shard, key, &delivery, &err) != BUS_OK ? store_failed(shard, &err) : BUI_OUT_DONE;
}

/* Backwards: the place of one that is freed meanwhile is taken by the last one, which was looked at already. */
bui_outcome bui_keys_look_again(bui_shard *shard, int most)
{
    bui_outcome outcome = BUI_OUT_DONE;
    for (shard->batch.held_at = shard->batch.held_left; shard->batch.held_at && most-- && outcome == BUI_OUT_DONE;) {
        bui_key *key = bui_key_at(shard->store, --shard->batch.held_at);
        if (key && key->state == BUI_KEY_HELD && key->attempt == 0)
            outcome = look_again(shard, key);
    }
    return outcome;
}

static bui_outcome head_failed(bui_shard *shard, bui_key *key, bui_delivery *delivery, bui_outcome outcome, const bus_tx *tx)
{
    bui_shard_input *input = delivery->event.replay ? NULL : bui_shard_input_of(shard, delivery->event.topic);
    int run = delivery->event.attempt;
    bool later = outcome == BUI_OUT_RETRY && run > 1; /* its first run was judged */
    if (outcome == BUI_OUT_RETRY && run < delivery->event.attempts) {
        if (!later)
            judge(input, true);
        return wait(shard, key, delivery, run, tx);
    }
    if (!may_die(shard, input))
        return defer(shard, key, input);
    if (!later)
        judge(input, true);
    return head_dead(shard, key, delivery, tx, run);
}

/* Reads the head and what it needs. DONE: run it. */
static bui_outcome head_ready(bui_shard *shard, bui_key *key, bui_delivery *delivery, bui_job_slot **job)
{
    bus_error err = { 0 };
    bui_parked parked;
    bus_status status = bui_key_head(shard->store, key, &shard->arena, &parked, &err);
    if (status != BUS_OK)
        return store_failed(shard, &err);
    bui_record record = bui_parked_record(&parked, &shard->arena);
    if (record.header_count && !record.headers)
        return no_memory(shard);
    if (bui_delivery_read(shard, &record, parked.command, &shard->arena, false, delivery, &err) != BUS_OK)
        return no_memory(shard);
    if (!delivery->envelope.id.len) /* named by its place, in the life that its topic had then */
        delivery->event.id = parked.event_id;
    delivery->event.attempt = key->attempt + 1;
    delivery->event.first_failed_ms = key->first_failed;
    if (name_letter(shard, key, delivery, &err) != BUS_OK)
        return store_failed(shard, &err);
    bui_shard_input *input = bui_shard_input_of(shard, delivery->event.topic);
    if (input && input->paused_until_us > shard->now_us)
        return defer(shard, key, input);
    status = bui_delivery_decode(shard, delivery, &shard->arena, &err);
    if (status != BUS_OK) {
        if (status != BUS_MISSING)
            return no_memory(shard);
        if (bui_schema_waits(shard, input, delivery, &err))
            return defer(shard, key, input);
    }
    if (!needs_step(delivery))
        return BUI_OUT_DONE;
    if (!(*job = bui_prepare_head(shard, key, delivery, &parked)))
        return no_memory(shard);
    if ((*job)->state == BUI_JOB_DONE && !(*job)->settled)
        return BUI_OUT_DONE;
    if (key->state == BUI_KEY_WAITING) { /* a lease, so that its timer does not spin meanwhile */
        if (!bui_key_touch(shard->store, key))
            return no_memory(shard);
        key->due = shard->now_ms + BUI_HEAD_LEASE_MS;
        shard->batch.did = true;
    }
    return BUI_OUT_PENDING;
}

/* The current batch has used the head's step: when it is durable, the next of the key may be prepared. */
static void step_used(bui_shard *shard, bui_job_slot *job)
{
    if (!job || job->settled)
        return;
    job->settled = true;
    job->completed = shard->prepares.settled;
    shard->prepares.settled = job;
}

bui_outcome bui_key_run_head(bui_shard *shard, bui_key *key)
{
    bui_delivery delivery;
    bui_job_slot *job = NULL;
    bus_tx tx;
    bui_outcome outcome = head_ready(shard, key, &delivery, &job);
    if (outcome != BUI_OUT_DONE)
        return outcome;
    if (!delivery.route && !delivery.undecodable)
        return head_unrouted(shard, key, &delivery);
    outcome = bui_handle(shard, &delivery, job, &tx);
    if (outcome == BUI_OUT_REDO)
        return outcome;
    if (outcome == BUI_OUT_PAUSE) {
        bui_shard_input *input = bui_shard_input_of(shard, delivery.event.topic);
        bui_input_pause(shard, input, tx.reason, false);
        step_used(shard, job);
        shard->batch.did |=
            job != NULL; /* commit, even if a key that catches up has nothing to write: only that gives the step up */
        return defer(shard, key, input);
    }
    if (outcome == BUI_OUT_DONE) {
        judge(delivery.event.replay ? NULL : bui_shard_input_of(shard, delivery.event.topic), false);
        outcome = resolved(shard, &delivery);
        if (outcome == BUI_OUT_DONE)
            outcome = head_gone(shard, key);
    } else {
        outcome = head_failed(shard, key, &delivery, outcome, &tx);
    }
    step_used(shard, job);
    shard->batch.did = true;
    return outcome;
}

bui_outcome bui_key_catch_up(bui_shard *shard, bui_key *key, int most)
{
    bui_outcome outcome = BUI_OUT_DONE;
    for (int i = 0; i < most && key->state == BUI_KEY_CATCHING_UP; i++) {
        bui_arena_reset(&shard->arena);
        outcome = bui_key_run_head(shard, key);
        if (outcome == BUI_OUT_REDO || outcome == BUI_OUT_PAUSE || outcome == BUI_OUT_PENDING)
            return outcome;
        shard->batch.count++;
    }
    return BUI_OUT_DONE;
}

const bui_key *bui_key_of_token(bui_shard *shard, const bui_slice *token)
{
    char text[65];
    if (token->len >= sizeof text)
        return NULL;
    memcpy(text, token->at, token->len);
    text[token->len] = 0;
    char *end;
    long long id = strtoll(text, &end, 10);
    long attempt = *end == '.' ? strtol(end + 1, &end, 10) : -1;
    if (*end || attempt < 0)
        return NULL;
    const bui_key *key = bui_key_by_id(shard->store, id);
    return key && key->state == BUI_KEY_WAITING && key->attempt == attempt ? key : NULL;
}
