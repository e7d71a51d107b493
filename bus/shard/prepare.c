/* SPDX-License-Identifier: MIT
 * Prepare: slow work before the transaction, on a pool. Events are prepared ahead within the fetched window, one of a key at a
 * time, in the key's order: the next of a key starts when the one before is settled and committed. A lane that is given up starts
 * nothing: what runs ends, what has not begun never does. */
#include "shard/internal.h"

#include "base/error.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MOST_RESULT (1u << 20)
#define GATHER_US 1000 /* of a step done while others are out: measured, a fifth less processor time an event at 2 ms a step */

/* The prepare steps of one key: the first runs or waits to be settled, the others queue behind it. */
typedef struct busy_key {
    bui_job_slot *first, *last;
    void *name;
    size_t len;
} busy_key;

/* ---- what the user's step calls */

bus_status bus_prepare_keep(bus_prepare *prepare, const void *bytes, size_t len)
{
    bui_buf *result = &prepare->slot->result;
    bui_buf_clear(result);
    bui_buf_add(result, bytes, len);
    if (result->over)
        return BUS_TOO_BIG;
    return bui_buf_ok(result) ? BUS_OK : BUS_NOMEM;
}

bus_verdict bus_prepare_fail(bus_prepare *prepare, bus_verdict verdict, const char *reason, ...)
{
    char *out = prepare->slot->reason;
    va_list args;
    va_start(args, reason);
    if (vsnprintf(out, BUI_REASON, reason, args) < 0)
        out[0] = 0;
    va_end(args);
    for (; *out; out++)
        if ((unsigned char)*out < ' ')
            *out = ' ';
    return verdict;
}

/* ---- on the pool */

static void run(bui_job *job)
{
    bui_job_slot *slot = (bui_job_slot *)job;
    bus_prepare prepare = { slot };
    if (slot->suspect || atomic_load(&slot->abandoned)) /* the pool came to it after its lane was given up */
        return;
    size_t place = bui_crash_enter_step(slot->shard->crash, &slot->delivery);
    bui_shard_beside(slot->shard);
    slot->verdict = slot->delivery.route->prepare(&prepare, &slot->delivery.event, slot->shard->state);
    bui_shard_beside(NULL);
    if (slot->verdict == BUS_DONE && !bui_buf_ok(&slot->result))
        slot->verdict = bus_prepare_fail(&prepare, BUS_RETRY, "the prepared result could not be kept");
    bui_crash_leave_step(slot->shard->crash, place);
}

static void done(bui_job *job)
{
    bui_job_slot *slot = (bui_job_slot *)job;
    bui_shard *shard = slot->shard;
    pthread_mutex_lock(&shard->prepares.lock);
    slot->completed = shard->prepares.completed;
    shard->prepares.completed = slot;
    atomic_store(&shard->prepares.waiting, true);
    /* Within the lock: once it is taken off the list the shard may be closed. */
    if ((!shard->prepares.awaited || !--shard->prepares.awaited) && shard->options.wake)
        shard->options.wake(shard->options.wake_opaque);
    pthread_mutex_unlock(&shard->prepares.lock);
}

/* ---- slots */

static bui_job_slot *slot_new(bui_shard *shard)
{
    bui_job_slot *slot = shard->prepares.free;
    if (slot) {
        shard->prepares.free = slot->completed;
        bui_arena_reset(&slot->arena);
        bui_buf_clear(&slot->result);
    } else {
        slot = calloc(1, sizeof *slot);
        if (!slot)
            return NULL;
        bui_arena_init(&slot->arena, 0);
        bui_buf_init(&slot->result, MOST_RESULT);
    }
    slot->job = (bui_job){ .run = run, .done = done };
    slot->shard = shard;
    slot->state = BUI_JOB_QUEUED;
    atomic_store(&slot->abandoned, false);
    slot->settled = slot->used = false;
    slot->busy = NULL;
    slot->behind = slot->completed = NULL;
    slot->key_id = 0;
    slot->verdict = BUS_DONE;
    slot->reason[0] = 0;
    return slot;
}

static void slot_give(bui_shard *shard, bui_job_slot *slot)
{
    slot->completed = shard->prepares.free;
    shard->prepares.free = slot;
}

/* After a death in a step it may have to wait until it can run alone: see start_waiting. A shard that ends its work begins none, nor
 * does a lane that is given up. */
static void start(bui_shard *shard, bui_job_slot *slot)
{
    slot->state = BUI_JOB_QUEUED;
    if (atomic_load_explicit(&shard->draining, memory_order_relaxed) || (!slot->key_id && !shard->attached))
        return;
    if (shard->prepares.steps_alone > 0 && shard->options.pool && shard->prepares.out)
        return;
    slot->state = BUI_JOB_RUNNING;
    slot->suspect = bui_crash_suspect(shard->crash, &slot->delivery);
    shard->prepares.out++;
    if (shard->options.pool) {
        shard->options.pool->submit(shard->options.pool, &slot->job);
        return;
    }
    run(&slot->job);
    done(&slot->job);
}

/* A step has ended: starts those that had to wait for it. */
static void start_waiting(bui_shard *shard)
{
    size_t at = 0, len;
    const void *name;
    void *value;
    while (bui_map_next(&shard->prepares.by_key, &at, &name, &len, &value) &&
           !(shard->prepares.steps_alone > 0 && shard->prepares.out))
        if (((busy_key *)value)->first->state == BUI_JOB_QUEUED)
            start(shard, ((busy_key *)value)->first);
}

void bui_prepare_again(bui_shard *shard, bui_job_slot *slot)
{
    slot->used = false;
    slot->verdict = BUS_DONE;
    slot->reason[0] = 0;
    bui_buf_clear(&slot->result);
    start(shard, slot);
    bui_prepare_collect(shard);
}

/* Queues it behind the other steps of its key, or starts it. */
static bool enqueue(bui_shard *shard, bui_job_slot *slot)
{
    const bui_delivery *delivery = &slot->delivery;
    size_t scope = strlen(delivery->scope), len = scope + 1 + delivery->key_len;
    char *name = bui_arena_alloc(&slot->arena, len);
    if (!name)
        return false;
    memcpy(name, delivery->scope, scope + 1);
    memcpy(name + scope + 1, delivery->key, delivery->key_len);
    busy_key *busy = bui_map_get(&shard->prepares.by_key, name, len);
    if (!busy) {
        busy = calloc(1, sizeof *busy);
        if (!busy || !(busy->name = malloc(len)) || !bui_map_put(&shard->prepares.by_key, name, len, busy)) {
            if (busy)
                free(busy->name);
            free(busy);
            return false;
        }
        memcpy(busy->name, name, len);
        busy->len = len;
    }
    slot->busy = busy;
    if (busy->last)
        busy->last->behind = slot;
    else
        busy->first = slot;
    busy->last = slot;
    if (busy->first == slot)
        start(shard, slot);
    return true;
}

/* Takes the slot out of its key's queue. Returns that queue, if others wait in it. */
static busy_key *unlink_slot(bui_shard *shard, bui_job_slot *slot)
{
    busy_key *busy = slot->busy;
    if (!busy)
        return NULL;
    bui_job_slot *before = NULL;
    for (bui_job_slot *at = busy->first; at && at != slot; at = at->behind)
        before = at;
    if (before)
        before->behind = slot->behind;
    else
        busy->first = slot->behind;
    if (busy->last == slot)
        busy->last = before;
    slot->busy = NULL;
    if (busy->first)
        return busy;
    bui_map_remove(&shard->prepares.by_key, busy->name, busy->len);
    free(busy->name);
    free(busy);
    return NULL;
}

/* Takes the slot out of its key's queue and starts the next. A step that runs stays until it is done, so that nobody prepares the same
 * event, or its key's next, at the same time. */
static void leave(bui_shard *shard, bui_job_slot *slot)
{
    busy_key *busy = unlink_slot(shard, slot);
    if (busy && busy->first->state == BUI_JOB_QUEUED)
        start(shard, busy->first);
}

void bui_prepare_settled(bui_shard *shard, bui_job_slot *slot)
{
    char id[24];
    if (slot->key_id)
        bui_map_remove(&shard->prepares.heads, id, (size_t)snprintf(id, sizeof id, "%lld", (long long)slot->key_id));
    if (slot->state == BUI_JOB_RUNNING) {
        atomic_store(&slot->abandoned, true);
        return;
    }
    leave(shard, slot);
    slot_give(shard, slot);
}

void bui_prepare_batch_over(bui_shard *shard, bool committed)
{
    bui_job_slot *slot = shard->prepares.settled;
    shard->prepares.settled = NULL;
    while (slot) {
        bui_job_slot *next = slot->completed;
        slot->settled = false;
        slot->completed = NULL;
        if (committed)
            bui_prepare_settled(shard, slot);
        else
            shard->prepares.heads_ready = true;
        slot = next;
    }
}

bool bui_prepare_gathers(bui_shard *shard)
{
    if (!shard->prepares.gather_until_us)
        shard->prepares.gather_until_us = shard->now_us + GATHER_US;
    if (!shard->prepares.out || shard->prepares.gather_until_us <= shard->now_us)
        return false;
    pthread_mutex_lock(&shard->prepares.lock);
    shard->prepares.awaited = shard->prepares.out;
    pthread_mutex_unlock(&shard->prepares.lock);
    shard->prepares.gathering = true;
    return true;
}

void bui_prepare_collect(bui_shard *shard)
{
    if (!shard->prepares.gathering && !atomic_load_explicit(&shard->prepares.waiting, memory_order_acquire))
        return;
    pthread_mutex_lock(&shard->prepares.lock);
    shard->prepares.awaited = 0;
    shard->prepares.gathering = false;
    bui_job_slot *slot = shard->prepares.completed;
    shard->prepares.completed = NULL;
    atomic_store(&shard->prepares.waiting, false);
    pthread_mutex_unlock(&shard->prepares.lock);
    bool alone = shard->prepares.steps_alone > 0 && slot;
    while (slot) {
        bui_job_slot *next = slot->completed;
        shard->prepares.out--;
        shard->prepares.steps_alone -= alone;
        slot->state = BUI_JOB_DONE;
        if (slot->abandoned) { /* its key's next was waiting for it */
            leave(shard, slot);
            slot_give(shard, slot);
        } else if (slot->key_id) /* a head whose step is done runs without waiting for its record */
            shard->prepares.heads_ready = true;
        slot = next;
    }
    if (alone)
        start_waiting(shard);
}

/* ---- lanes and heads */

bool bui_prepare_topic(const bui_shard *shard, const char *topic)
{
    for (const bus_route *route = shard->options.service->routes; route && route->topic; route++)
        if (route->prepare && strcmp(route->topic, topic) == 0)
            return true;
    return false;
}

/* The step may outlive the fetched record: a lane can be revoked while it runs. */
static bool copy_record(bui_arena *arena, const bui_record *record, bui_record *out)
{
    *out = *record;
    out->handle = NULL;
    if (record->key && !(out->key = bui_arena_copy(arena, record->key, record->key_len)))
        return false;
    if (record->value && !(out->value = bui_arena_copy(arena, record->value, record->value_len)))
        return false;
    if (!(out->topic = bui_arena_copy(arena, record->topic, strlen(record->topic))))
        return false;
    if (!record->header_count)
        return true;
    bus_header *headers = bui_arena_alloc(arena, record->header_count * sizeof *headers);
    for (size_t i = 0; headers && i < record->header_count; i++) {
        const bus_header *from = &record->headers[i];
        headers[i] = (bus_header){ bui_arena_copy(arena, from->name, strlen(from->name)), NULL, from->len };
        if (from->value)
            headers[i].value = bui_arena_copy(arena, from->value, from->len);
        if (!headers[i].name || (from->value && !headers[i].value))
            return false;
    }
    out->headers = headers;
    return headers != NULL;
}

void bui_prepare_fetched(bui_shard *shard, bui_shard_lane *lane, size_t from)
{
    for (size_t i = from; lane->job && i < lane->count; i++) {
        if (lane->job[i] || lane->record[i].offset < lane->position->next) /* the anchor was handled long ago */
            continue;
        if (lane->input->verify && !bui_record_authentic(shard->options.limits.keys, &lane->record[i], NULL, NULL))
            continue; /* no step is begun for it */
        bui_job_slot *slot = slot_new(shard);
        if (!slot)
            return;
        if (!copy_record(&slot->arena, &lane->record[i], &slot->record)) {
            slot_give(shard, slot);
            return;
        }
        bus_status status = bui_delivery_read(shard, &slot->record, BUI_COMMAND_NONE, &slot->arena, true, &slot->delivery, NULL);
        if (status != BUS_OK || slot->delivery.undecodable || !slot->delivery.route || !slot->delivery.route->prepare ||
            bui_key_find(shard->store, slot->delivery.scope, slot->delivery.key, slot->delivery.key_len) ||
            !enqueue(shard, slot)) {
            slot_give(shard, slot); /* needs no step, or none yet: what parks is prepared when it is the head */
            continue;
        }
        lane->job[i] = slot;
    }
}

void bui_prepare_drop_lane(bui_shard *shard, bui_shard_lane *lane)
{
    for (size_t i = 0; lane->job && i < lane->count; i++) {
        if (lane->job[i])
            bui_prepare_settled(shard, lane->job[i]);
        lane->job[i] = NULL;
    }
}

bui_record bui_parked_record(const bui_parked *parked, bui_arena *arena)
{
    bui_record record = { .topic = parked->topic,
                          .partition = parked->partition,
                          .offset = parked->offset,
                          .timestamp = parked->timestamp,
                          .key = parked->record_key,
                          .key_len = parked->record_key_len,
                          .value = parked->value,
                          .value_len = parked->value_len };
    size_t count = bui_headers_count(parked->headers, parked->headers_len);
    if (count == SIZE_MAX || count == 0)
        return record;
    bus_header *headers = bui_arena_alloc(arena, count * sizeof *headers);
    record.header_count = count;
    if (headers && bui_headers_unpack(parked->headers, parked->headers_len, headers, count) == count)
        record.headers = headers;
    return record;
}

static bui_job_slot *head_slot(bui_shard *shard, const bui_key *key, const bui_delivery *delivery, const bui_parked *parked)
{
    bui_job_slot *slot = slot_new(shard);
    if (!slot)
        return NULL;
    bui_record record = bui_parked_record(parked, &slot->arena);
    bool read = (record.headers || !record.header_count) && copy_record(&slot->arena, &record, &slot->record) &&
                bui_delivery_read(shard, &slot->record, parked->command, &slot->arena, true, &slot->delivery, NULL) == BUS_OK;
    if (read && !slot->delivery.undecodable && slot->delivery.route) {
        if (!slot->delivery.envelope.id.len &&
            !(slot->delivery.event.id = bui_arena_copy(&slot->arena, parked->event_id, strlen(parked->event_id)))) {
            slot_give(shard, slot);
            return NULL;
        }
        slot->delivery.event.attempt = delivery->event.attempt;
        slot->delivery.event.redriven = delivery->event.redriven;
        slot->delivery.event.first_failed_ms = delivery->event.first_failed_ms;
        slot->delivery.letter_round = delivery->letter_round;
        slot->key_id = key->id;
        if (!delivery->run[0] || slot->delivery.run[0] ||
            bui_delivery_is_copy(&slot->delivery, &slot->arena, delivery->run, strlen(delivery->run)))
            return slot;
        slot->key_id = 0;
    }
    slot_give(shard, slot);
    return NULL;
}

bui_job_slot *bui_prepare_head(bui_shard *shard, const bui_key *key, const bui_delivery *delivery, const bui_parked *parked)
{
    char id[24];
    size_t n = (size_t)snprintf(id, sizeof id, "%lld", (long long)key->id);
    bui_job_slot *slot = bui_map_get(&shard->prepares.heads, id, n);
    if (slot)
        return slot;
    slot = head_slot(shard, key, delivery, parked);
    if (!slot)
        return NULL;
    if (!bui_map_put(&shard->prepares.heads, id, n, slot)) {
        slot_give(shard, slot);
        return NULL;
    }
    if (!enqueue(shard, slot)) {
        bui_map_remove(&shard->prepares.heads, id, n);
        slot_give(shard, slot);
        return NULL;
    }
    bui_prepare_collect(shard); /* without a pool it is done already */
    return slot;
}

/* The next head whose step is done; NULL: none. */
bui_job_slot *bui_prepare_head_done(bui_shard *shard)
{
    size_t at = 0, len;
    const void *key;
    void *value;
    while (bui_map_next(&shard->prepares.heads, &at, &key, &len, &value))
        if (((bui_job_slot *)value)->state == BUI_JOB_DONE && !((bui_job_slot *)value)->settled)
            return value;
    return NULL;
}

static void slot_free(bui_job_slot *slot)
{
    bui_arena_free(&slot->arena);
    bui_buf_free(&slot->result);
    free(slot);
}

static void head_forget(void *value)
{
    bui_job_slot *slot = value;
    slot->key_id = 0;
    leave(slot->shard, slot);
    slot_give(slot->shard, slot);
}

/* The pool must give back what it has before the memory it works in goes. */
static void wait_for_pool(bui_shard *shard)
{
    while (shard->prepares.out) {
        struct timespec moment = { 0, 1000000 };
        bui_prepare_collect(shard);
        if (shard->prepares.out)
            nanosleep(&moment, NULL);
    }
}

void bui_prepare_free(bui_shard *shard)
{
    wait_for_pool(shard);
    bui_map_free(&shard->prepares.heads, head_forget);
    bui_map_free(&shard->prepares.by_key, free);
    while (shard->prepares.free) {
        bui_job_slot *next = shard->prepares.free->completed;
        slot_free(shard->prepares.free);
        shard->prepares.free = next;
    }
}
