/* SPDX-License-Identifier: MIT
 * Keys: the state machine that keeps a key's order through failures. An event that fails waits as the head of its key;
 * later events of the key park behind it; the store holds their bytes, records in Kafka only trigger.
 *
 *   free -> waiting (retry) -> draining (done) -> free;  waiting -> held (dead, BUS_HOLD_KEY) -> draining (redrive, discard) */
#include "shard/internal.h"

#include "base/error.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RATIO_LEAST 50    /* deliveries before the ratio limit judges */
#define RATIO_WINDOW 400

static bus_outcome store_failed(bus_shard *shard, const bus_error *err) { return bus_shard_redo(shard, err); }

static bus_outcome no_memory(bus_shard *shard)
{
    bus_error err = { 0 };
    bus_fail_nomem(&err);
    return bus_shard_redo(shard, &err);
}

/* ---- the ratio limit: a bad deploy must not drain a topic into the dead letters
 *
 * Each event counts once, by its first run. Those that failed then and are given up on later come in crowds, as their last attempts
 * fall due together, long after the many that went well: counted by their ends, a few in a hundred would look like all. */

static void judge(bus_shard_input *input, bool failed)
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
        bus_backoff_reset(&input->pause);
}

static bool may_die(bus_shard *shard, bus_shard_input *input)
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
    bus_input_pause(shard, input, why, false);
    return false;
}

/* ---- waiting */

static bus_status send_retry(bus_shard *shard, const bus_delivery *delivery, const bus_key *key, const bus_input *tier,
                             const char *reason, bus_error *err)
{
    bus_destination *destination = bus_destination_of(shard->store, tier->topic, shard->options.index, err);
    if (!destination)
        return BUS_NOMEM;
    char orig[BUS_ORIG_TEXT], token[48], id[BUS_ID_TEXT];
    size_t count;
    bus_header *headers = bus_copy_headers(delivery, 2, &shard->arena, &count, orig);
    if (!headers)
        return bus_fail_nomem(err);
    headers[count++] = (bus_header){ "bus-reason", reason, strlen(reason) };
    snprintf(token, sizeof token, "%lld.%d", (long long)key->id, key->attempt);
    bus_part parts[] = { { token, strlen(token) }, { destination->source, strlen(destination->source) } };
    bus_id_of(parts, 2, id);
    const bus_event *event = &delivery->event;
    bus_emission emission = { .destination = destination, .event_id = id, .key = event->key, .key_len = event->key_len,
                              .value = event->value, .value_len = event->value_len, .headers = headers, .header_count = count,
                              .attempt = key->attempt + 1, .not_before = bus_fates_due(key->due), .token = token };
    bus_status status = bus_emit_row(shard, &emission, err);
    if (status != BUS_TOO_BIG)
        return status;
    /* With our headers it no longer fits: the trigger alone will do. */
    char place[BUS_BODY_TEXT];
    headers[emission.header_count++] = bus_body_header(delivery, true, place);
    emission.value = NULL;
    emission.value_len = 0;
    if ((status = bus_emit_row(shard, &emission, err)) != BUS_TOO_BIG)
        return status;
    emission.key = NULL;
    emission.key_len = 0;
    emission.headers = &headers[count - 1]; /* the reason and the place; all others are the original's */
    emission.header_count = 2;
    emission.unchecked = true;
    return bus_emit_row(shard, &emission, err);
}

/* The head failed its `attempt`-th run and waits for the next. */
static bus_outcome wait(bus_shard *shard, bus_key *key, const bus_delivery *delivery, int attempt, const bus_tx *why)
{
    bus_error err = { 0 };
    if (!bus_key_touch(shard->store, key))
        return no_memory(shard);
    const bus_input *tier = bus_router_tier(shard->options.router, attempt);
    key->state = BUS_KEY_WAITING;
    key->attempt = attempt;
    key->due = why->due ? why->due : shard->now_ms + (tier ? tier->delay_ms : 1000);
    if (!key->first_failed)
        key->first_failed = shard->now_ms;
    snprintf(key->event_id, sizeof key->event_id, "%s", delivery->event.id);
    bus_count(&shard->metrics.retried, 1);
    if (tier && send_retry(shard, delivery, key, tier, why->reason, &err))
        return store_failed(shard, &err);
    BUS_FAILPOINT("key-waiting");
    return BUS_OUT_RETRY;
}

static bus_status park(bus_shard *shard, bus_key *key, const bus_delivery *delivery, bus_error *err)
{
    const bus_event *event = &delivery->event;
    bus_buf *packed = &shard->headers_scratch;
    bus_buf_clear(packed);
    bus_headers_pack(event->headers, event->header_count, packed);
    if (!bus_buf_ok(packed))
        return bus_fail_nomem(err);
    bus_parked parked = { .event_id = event->id, .topic = event->topic, .partition = event->partition, .offset = event->offset,
                          .timestamp = delivery->timestamp, .record_key = event->key, .record_key_len = event->key_len,
                          .value = event->value, .value_len = event->value_len, .headers = packed->data, .headers_len = packed->len,
                          .command = delivery->command };
    return bus_key_park(shard->store, key, &parked, err);
}

/* The key has no row: make one with this delivery as its head. */
static bus_key *seize(bus_shard *shard, const bus_delivery *delivery, bus_error *err)
{
    bus_key *key = bus_key_make(shard->store, delivery->scope, delivery->key, delivery->key_len, err);
    if (!key || park(shard, key, delivery, err))
        return NULL;
    return key;
}

/* ---- arrival */

static bus_outcome arrive_behind(bus_shard *shard, bus_key *key, const bus_delivery *delivery)
{
    bus_error err = { 0 };
    bus_identity event = bus_identity_of(delivery);
    if (!delivery->event.replay && bus_key_holds(shard->store, key, &event)) {
        bus_count(&shard->metrics.duplicates, 1);
        return BUS_OUT_DONE;
    }
    bus_fate fate;
    bus_fates *fates = shard->options.fates;
    bool behind = fates && fates->failed(fates, delivery->event.topic, delivery->event.partition, delivery->event.offset,
                                         delivery->run, delivery->letter_round, 1, &fate) && !strcmp(fate.error_class, "behind");
    if (behind || (!fates && key->parked >= shard->options.limits.parked_per_key)) {
        bus_tx why;
        bus_tx_init(&why, shard, delivery);
        why.error_class = "behind";
        snprintf(why.reason, sizeof why.reason, "behind %.100s, with %lld events of the key parked already", key->event_id,
                 (long long)key->parked);
        if (bus_letter_open(shard, delivery, &why, 0, NULL, &err))
            return store_failed(shard, &err);
        return BUS_OUT_DONE;
    }
    return park(shard, key, delivery, &err) ? store_failed(shard, &err) : BUS_OUT_DONE;
}

static bus_outcome resolved(bus_shard *shard, const bus_delivery *delivery)
{
    bus_error err = { 0 };
    bus_count(&shard->metrics.handled, 1);
    bus_count(&shard->metrics.replayed, delivery->event.replay);
    if (delivery->letter_id[0] && bus_letter_settle(shard, delivery->letter_id, BUS_LETTER_RESOLVED, &err))
        return store_failed(shard, &err);
    return BUS_OUT_DONE;
}

static bool holds_key(const bus_delivery *delivery)
{
    return delivery->route && delivery->route->on_dead == BUS_HOLD_KEY && !delivery->event.replay;
}

/* A copy has one: it would hold nothing up, but what fails in a run of copies shall be seen while the run can be stopped. */
static int attempts_of(const bus_shard *shard, const bus_delivery *delivery)
{
    return !delivery->route || delivery->event.replay ? 1 : bus_router_attempts(shard->options.router, delivery->route);
}

static bool needs_step(const bus_delivery *delivery)
{
    const bus_route *route = delivery->route;
    return route && route->prepare && !delivery->undecodable && (!delivery->event.replay || route->replay_prepares);
}

static bus_outcome arrive_dead(bus_shard *shard, const bus_delivery *delivery, const bus_tx *tx, int attempts)
{
    bus_error err = { 0 };
    bus_key *key = NULL;
    if (holds_key(delivery) && !(key = seize(shard, delivery, &err)))
        return store_failed(shard, &err);
    if (key && !bus_key_touch(shard->store, key))
        return no_memory(shard);
    if (key) {
        key->state = BUS_KEY_HELD;
        key->attempt = attempts;
        key->first_failed = shard->now_ms;
        snprintf(key->event_id, sizeof key->event_id, "%s", delivery->event.id);
    }
    return bus_letter_open(shard, delivery, tx, attempts, key, &err) ? store_failed(shard, &err) : BUS_OUT_DEAD;
}

/* The delivery becomes its key's head and runs when its topic's pause is over, or its prepare step is done. No attempt is spent. */
static bus_outcome run_as_head(bus_shard *shard, bus_delivery *delivery, const bus_shard_input *input)
{
    bus_error err = { 0 };
    bus_key *key = seize(shard, delivery, &err);
    if (!key)
        return store_failed(shard, &err);
    if (!bus_key_touch(shard->store, key))
        return no_memory(shard);
    key->state = BUS_KEY_WAITING;
    key->attempt = 0;
    key->round = delivery->letter_round;
    snprintf(key->event_id, sizeof key->event_id, "%s", delivery->event.id);
    int64_t pause_us = input ? input->paused_until_us - shard->now_us : 0;
    key->due = shard->now_ms + (pause_us > 0 ? pause_us / 1000 : 0) - shard->options.limits.retry_grace_ms;
    return BUS_OUT_DONE;
}

/* The letter that the head is redriven from: a held key's own, or that of a redriven arrival which had parked. */
static bus_status name_letter(bus_shard *shard, const bus_key *key, bus_delivery *delivery, bus_error *err)
{
    const bus_envelope *envelope = &delivery->envelope;
    if (delivery->command == BUS_COMMAND_REDRIVE)
        return bus_letter_name(shard, delivery, envelope->command_id, envelope->command_round, err);
    return key->round > 0 ? bus_letter_name(shard, delivery, (bus_slice){ 0 }, key->round, err) : BUS_OK;
}

static bus_arrival arrival_of(const bus_delivery *delivery)
{
    const bus_event *event = &delivery->event;
    return (bus_arrival){ .topic = event->topic, .partition = event->partition, .offset = event->offset, .copy = delivery->run,
                          .letter = delivery->letter_id, .round = delivery->letter_round };
}

/* In a rebuild: did it run when its key was free, though the head is there by now? Of one that waited, or held its key, nobody asks: what came after
 * it was behind it. */
static bus_status overtook(bus_shard *shard, bus_key *key, const bus_delivery *delivery, bool *yes, bus_error *err)
{
    bus_fates *fates = shard->options.fates;
    bus_parked parked;
    bus_delivery head;
    *yes = false;
    if (!fates || needs_step(delivery) || holds_key(delivery))
        return BUS_OK;
    bus_status status = bus_key_head(shard->store, key, &shard->arena, &parked, err);
    if (status)
        return status;
    bus_record record = bus_parked_record(&parked, &shard->arena);
    if ((record.header_count && !record.headers) || bus_delivery_read(shard, &record, parked.command, &shard->arena, false, &head, err) ||
        name_letter(shard, key, &head, err))
        return bus_fail_nomem(err);
    bus_arrival mine = arrival_of(delivery), heads = arrival_of(&head);
    *yes = fates->overtook(fates, &mine, &heads);
    return BUS_OK;
}

bus_outcome bus_key_arrive(bus_shard *shard, bus_delivery *delivery, bus_job_slot *job)
{
    bus_tx tx;
    bus_error err;
    bus_error_clear(&err);
    bus_key *key;
    bool open = false;
    /* The letter first: parked behind its key the event would run, and its letter could be redriven all the same. */
    if (!delivery->letter_id[0] && !delivery->event.replay && bus_letter_open_count(shard->store) > 0 &&
        bus_letter_is_open(shard, delivery, &open, &err))
        return store_failed(shard, &err);
    if (open) {
        bus_count(&shard->metrics.duplicates, 1);
        return BUS_OUT_DONE;
    }
    if (bus_key_look(shard->store, delivery->scope, delivery->key, delivery->key_len, &key, &err))
        return store_failed(shard, &err);
    bool first = false;
    if (key && overtook(shard, key, delivery, &first, &err))
        return store_failed(shard, &err);
    if (key && !first)
        return arrive_behind(shard, key, delivery);
    bus_shard_input *input = bus_shard_input_of(shard, delivery->event.topic);
    if (!job && needs_step(delivery))
        return run_as_head(shard, delivery, NULL);
    bus_outcome outcome = bus_handle(shard, delivery, job, &tx);
    if (outcome == BUS_OUT_RETRY && attempts_of(shard, delivery) <= 1)
        outcome = BUS_OUT_DEAD;
    if (key && outcome != BUS_OUT_DONE && outcome != BUS_OUT_DEAD && outcome != BUS_OUT_REDO) /* not as it was told */
        return shard->batch.saved && !bus_delivery_back(shard) ? BUS_OUT_REDO : arrive_behind(shard, key, delivery);
    if (outcome == BUS_OUT_PAUSE) {
        bus_input_pause(shard, input, tx.reason, false);
        /* A command must not hold up the commands behind it. */
        if (delivery->command)
            return shard->batch.saved && !bus_delivery_back(shard) ? BUS_OUT_REDO
                   : run_as_head(shard, delivery, input) == BUS_OUT_REDO ? BUS_OUT_REDO : BUS_OUT_RETRY;
    }
    if (outcome == BUS_OUT_PAUSE || outcome == BUS_OUT_REDO || outcome == BUS_OUT_PENDING)
        return outcome;
    if (outcome == BUS_OUT_DEAD && !delivery->command && !may_die(shard, input))
        return shard->batch.saved && !bus_delivery_back(shard) ? BUS_OUT_REDO : BUS_OUT_PAUSE;
    /* A failed handler has taken the save back; a fate without a handler (undecodable, crash) has not. */
    if (outcome != BUS_OUT_DONE && shard->batch.saved && !bus_delivery_back(shard))
        return BUS_OUT_REDO;
    judge(delivery->event.replay ? NULL : input, outcome != BUS_OUT_DONE);
    if (outcome == BUS_OUT_DONE)
        return resolved(shard, delivery);
    if (outcome == BUS_OUT_DEAD)
        return arrive_dead(shard, delivery, &tx, 1);
    if (!(key = seize(shard, delivery, &err)))
        return store_failed(shard, &err);
    if (bus_key_touch(shard->store, key))
        key->round = delivery->letter_round;
    return wait(shard, key, delivery, 1, &tx);
}

/* ---- the head */

static bus_outcome head_gone(bus_shard *shard, bus_key *key)
{
    bus_error err = { 0 };
    if (bus_key_pop(shard->store, key, &err))
        return store_failed(shard, &err);
    if (key->parked == 0)
        return bus_key_free(shard->store, key, &err) ? store_failed(shard, &err) : BUS_OUT_DONE;
    if (!bus_key_touch(shard->store, key))
        return no_memory(shard);
    BUS_FAILPOINT("key-draining");
    key->state = BUS_KEY_DRAINING;
    key->attempt = 0;
    key->round = 0;
    key->due = 0;
    key->first_failed = 0;
    key->event_id[0] = 0;
    return BUS_OUT_DONE;
}

bus_outcome bus_key_discard_head(bus_shard *shard, bus_key *key) { return head_gone(shard, key); }

/* What it needs is away: look again when the pause is over. No attempt is spent. */
static bus_outcome defer(bus_shard *shard, bus_key *key, const bus_shard_input *input)
{
    int64_t until_us = input ? input->paused_until_us - shard->now_us : 1000000;
    if (key->state != BUS_KEY_WAITING)
        return BUS_OUT_PAUSE;
    if (!bus_key_touch(shard->store, key))
        return no_memory(shard);
    /* No record will come for it: its timer, which grants records a grace, must not wait longer for that. */
    key->due = shard->now_ms + (until_us > 0 ? until_us / 1000 : 0) + 1 - shard->options.limits.retry_grace_ms;
    shard->batch.did = true;
    return BUS_OUT_PAUSE;
}

static bus_outcome head_dead(bus_shard *shard, bus_key *key, const bus_delivery *delivery, const bus_tx *tx, int attempts)
{
    bus_error err = { 0 };
    bool hold = holds_key(delivery);
    if (hold) {
        if (!bus_key_touch(shard->store, key))
            return no_memory(shard);
        key->state = BUS_KEY_HELD;
        key->attempt = attempts;
        snprintf(key->event_id, sizeof key->event_id, "%s", delivery->event.id);
    }
    if (bus_letter_open(shard, delivery, tx, attempts, hold ? key : NULL, &err))
        return store_failed(shard, &err);
    if (hold)
        return BUS_OUT_DEAD;
    bus_outcome outcome = head_gone(shard, key);
    return outcome == BUS_OUT_DONE ? BUS_OUT_DEAD : outcome;
}

/* This version of the service has no route for it. Another may have had one, and have it again: what waits is never dropped for that. A letter
 * holds the key: an operator sees it and may discard it, and a version with the route takes it up when it opens the store. */
static bus_outcome head_unrouted(bus_shard *shard, bus_key *key, const bus_delivery *delivery)
{
    bus_error err = { 0 };
    bus_tx why;
    bus_tx_init(&why, shard, delivery);
    why.error_class = "unrouted";
    snprintf(why.reason, sizeof why.reason, "this version has no route for %.80s from %.80s: it waits for one that has, or discard it",
             delivery->event.type_name, delivery->event.topic);
    if (!bus_key_touch(shard->store, key))
        return no_memory(shard);
    key->state = BUS_KEY_HELD;
    key->attempt = 0; /* none else that is held has this */
    snprintf(key->event_id, sizeof key->event_id, "%s", delivery->event.id);
    shard->batch.did = true;
    return bus_letter_open(shard, delivery, &why, 0, key, &err) ? store_failed(shard, &err) : BUS_OUT_DEAD;
}

static bus_outcome look_again(bus_shard *shard, bus_key *key)
{
    bus_error err = { 0 };
    bus_parked parked;
    bus_delivery delivery;
    bus_arena_reset(&shard->arena);
    if (bus_key_head(shard->store, key, &shard->arena, &parked, &err))
        return store_failed(shard, &err);
    bus_record record = bus_parked_record(&parked, &shard->arena);
    if ((record.header_count && !record.headers) || bus_delivery_read(shard, &record, parked.command, &shard->arena, false, &delivery, &err) ||
        name_letter(shard, key, &delivery, &err))
        return no_memory(shard);
    if (!delivery.route)
        return BUS_OUT_DONE;
    shard->batch.did = true;
    return bus_letter_take_up(shard, key, &delivery, &err) ? store_failed(shard, &err) : BUS_OUT_DONE;
}

/* Backwards: who is freed meanwhile has the last of them put in his place, which was looked at. */
bus_outcome bus_keys_look_again(bus_shard *shard, int most)
{
    bus_outcome outcome = BUS_OUT_DONE;
    for (shard->batch.held_at = shard->batch.held_left; shard->batch.held_at && most-- && outcome == BUS_OUT_DONE;) {
        bus_key *key = bus_key_at(shard->store, --shard->batch.held_at);
        if (key && key->state == BUS_KEY_HELD && key->attempt == 0)
            outcome = look_again(shard, key);
    }
    return outcome;
}

static bus_outcome head_failed(bus_shard *shard, bus_key *key, bus_delivery *delivery, bus_outcome outcome, const bus_tx *tx)
{
    bus_shard_input *input = delivery->event.replay ? NULL : bus_shard_input_of(shard, delivery->event.topic);
    int run = delivery->event.attempt, attempts = attempts_of(shard, delivery);
    bool later = outcome == BUS_OUT_RETRY && run > 1; /* its first run was judged */
    if (outcome == BUS_OUT_RETRY && run < attempts) {
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
static bus_outcome head_ready(bus_shard *shard, bus_key *key, bus_delivery *delivery, bus_job_slot **job)
{
    bus_error err = { 0 };
    bus_parked parked;
    bus_status status = bus_key_head(shard->store, key, &shard->arena, &parked, &err);
    if (status)
        return store_failed(shard, &err);
    bus_record record = bus_parked_record(&parked, &shard->arena);
    if (record.header_count && !record.headers)
        return no_memory(shard);
    if (bus_delivery_read(shard, &record, parked.command, &shard->arena, false, delivery, &err))
        return no_memory(shard);
    if (!delivery->envelope.id.len) /* named by its place, in the life that its topic had then */
        delivery->event.id = parked.event_id;
    delivery->event.attempt = key->attempt + 1;
    delivery->first_failed = key->first_failed;
    if (name_letter(shard, key, delivery, &err))
        return store_failed(shard, &err);
    bus_shard_input *input = bus_shard_input_of(shard, delivery->event.topic);
    if (input && input->paused_until_us > shard->now_us)
        return defer(shard, key, input);
    if ((status = bus_delivery_decode(shard, delivery, &shard->arena, &err))) {
        if (status != BUS_MISSING)
            return no_memory(shard);
        if (bus_schema_waits(shard, input, delivery, &err))
            return defer(shard, key, input);
    }
    if (!needs_step(delivery))
        return BUS_OUT_DONE;
    if (!(*job = bus_prepare_head(shard, key, delivery, &parked)))
        return no_memory(shard);
    if ((*job)->state == BUS_JOB_DONE && !(*job)->settled)
        return BUS_OUT_DONE;
    if (key->state == BUS_KEY_WAITING) { /* a lease, so that its timer does not spin meanwhile */
        if (!bus_key_touch(shard->store, key))
            return no_memory(shard);
        key->due = shard->now_ms + BUS_HEAD_LEASE_MS;
        shard->batch.did = true;
    }
    return BUS_OUT_PENDING;
}

/* The head's step was used up by the batch in hand: when that is durable the next of the key may be prepared. */
static void step_used(bus_shard *shard, bus_job_slot *job)
{
    if (!job || job->settled)
        return;
    job->settled = true;
    job->completed = shard->prepares.settled;
    shard->prepares.settled = job;
}

bus_outcome bus_key_run_head(bus_shard *shard, bus_key *key)
{
    bus_delivery delivery;
    bus_job_slot *job = NULL;
    bus_tx tx;
    bus_outcome outcome = head_ready(shard, key, &delivery, &job);
    if (outcome != BUS_OUT_DONE)
        return outcome;
    if (!delivery.route && !delivery.undecodable)
        return head_unrouted(shard, key, &delivery);
    outcome = bus_handle(shard, &delivery, job, &tx);
    if (outcome == BUS_OUT_REDO)
        return outcome;
    if (outcome == BUS_OUT_PAUSE) {
        bus_shard_input *input = bus_shard_input_of(shard, delivery.event.topic);
        bus_input_pause(shard, input, tx.reason, false);
        step_used(shard, job);
        shard->batch.did |= job != NULL; /* commit, though a draining key has nothing to write: only that gives the step up */
        return defer(shard, key, input);
    }
    if (outcome == BUS_OUT_DONE) {
        judge(delivery.event.replay ? NULL : bus_shard_input_of(shard, delivery.event.topic), false);
        outcome = resolved(shard, &delivery);
        if (outcome == BUS_OUT_DONE)
            outcome = head_gone(shard, key);
    } else {
        outcome = head_failed(shard, key, &delivery, outcome, &tx);
    }
    step_used(shard, job);
    shard->batch.did = true;
    return outcome;
}

bus_outcome bus_key_drain(bus_shard *shard, bus_key *key, int most)
{
    bus_outcome outcome = BUS_OUT_DONE;
    for (int i = 0; i < most && key->state == BUS_KEY_DRAINING; i++) {
        bus_arena_reset(&shard->arena);
        outcome = bus_key_run_head(shard, key);
        if (outcome == BUS_OUT_REDO || outcome == BUS_OUT_PAUSE || outcome == BUS_OUT_PENDING)
            return outcome;
        shard->batch.count++;
    }
    return BUS_OUT_DONE;
}

const bus_key *bus_key_of_token(bus_shard *shard, const bus_slice *token)
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
    const bus_key *key = bus_key_by_id(shard->store, id);
    return key && key->state == BUS_KEY_WAITING && key->attempt == attempt ? key : NULL;
}
