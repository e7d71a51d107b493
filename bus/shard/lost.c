/* SPDX-License-Identifier: MIT
 * Lost: `<service>.dlq` shows which dead letters are open, and operators go by it. Its records may vanish while dead letters
 * are open: by retention, by an administrator, or because the topic is made again. The store knows its open dead letters:
 * those that the topic lacks are published again, with what the store has of them. Looked for after each claim, and every half
 * minute while dead letters are open: then by the log's ends alone, and in its records only if these tell of a loss. */
#include "shard/internal.h"

#include "base/array.h"
#include "base/error.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_US INT64_C(30000000)
#define LATER_US INT64_C(600000000) /* after a look without a result */
#define QUIET_US INT64_C(1000000)   /* when dead letters were on their way */
#define LOOK_RECORDS 100000         /* back from the topic's end */
#define SLACK_MS 600000             /* by so much clocks may differ */
#define AGAIN_MOST 100              /* in a batch */
#define NAME_TEXT 64

static size_t name_of(const char *id, size_t len, int round, char out[NAME_TEXT])
{
    int n = snprintf(out, NAME_TEXT, "%.*s %d", (int)len, id, round);
    return n > 0 && n < NAME_TEXT ? (size_t)n : 0;
}

/* There are some to be published again. */
static bool listed(const bui_shard *shard)
{
    return shard->lost.done < shard->lost.count;
}

/* ---- asking: the shard's thread */

/* A dead letter whose record is on its way is not lost. */
static bool quiet(bui_shard *shard)
{
    const char *dlq = bui_router_dlq(shard->options.router);
    if (shard->relay.lingering)
        return false;
    for (size_t i = 0; i < shard->relay.count; i++) {
        const bui_relay_destination *to = shard->relay.all[i];
        if ((to->count || to->behind) && strcmp(to->destination->topic, dlq) == 0)
            return false;
    }
    return true;
}

void bui_lost_attached(bui_shard *shard)
{
    shard->lost.whole = true;
    shard->lost.at_us = 0;
}

static bool is_ahead(const char *id, int round, void *opaque)
{
    bool *ahead = opaque;
    (void)id;
    (void)round;
    *ahead = true;
    return false;
}

static void ask(bui_shard *shard)
{
    bui_lost *lost = &shard->lost;
    bus_error err = { 0 };
    if (!quiet(shard)) {
        lost->at_us = shard->now_us + QUIET_US;
        return;
    }
    lost->at_us = shard->now_us + LOOK_US;
    if (bui_deadletter_oldest(shard->store, &lost->since_ms, &err) != BUS_OK || lost->since_ms == INT64_MAX)
        return;
    lost->asked_ms = shard->now_ms; /* what opens from now on may not be there yet */
    bool ahead = false;             /* of a clock that was set back: of these it cannot be told */
    if (bui_deadletters_between(shard->store, lost->asked_ms, INT64_MAX, is_ahead, &ahead, &err) != BUS_OK)
        return;
    if (lost->whole)
        lost->low = lost->high = -1;
    lost->whole = ahead;
    atomic_store(&lost->phase, BUI_LOST_ASKED);
    if (shard->options.transport->ops->wake)
        shard->options.transport->ops->wake(shard->options.transport);
}

/* ---- looking: the thread that claims */

bool bui_shard_wants_letters(bui_shard *shard)
{
    return atomic_load(&shard->lost.phase) == BUI_LOST_ASKED;
}

/* The first record that is met shows how far back the look went. */
static bool meet(const bui_record *record, void *opaque)
{
    bui_shard *shard = opaque;
    bui_lost *lost = &shard->lost;
    bui_envelope envelope;
    char name[NAME_TEXT];
    if (lost->from_ms == INT64_MAX)
        lost->from_ms = record->timestamp + SLACK_MS;
    if (bui_envelope_read(record->headers, record->header_count, &envelope, NULL) != BUS_OK ||
        envelope.letter != BUI_DEADLETTER_OPEN || !bui_record_authentic(shard->options.limits.keys, record, shard->name, NULL))
        return true;
    size_t len = name_of(envelope.letter_id.at, envelope.letter_id.len, envelope.letter_round, name);
    lost->nomem = len && !bui_map_put(&lost->seen, name, len, lost);
    return !lost->nomem;
}

static bus_status look(bui_shard *shard, int timeout_ms, bus_error *err)
{
    bui_lost *lost = &shard->lost;
    bui_transport *transport = shard->options.transport;
    bui_offset ends = { .topic = bui_router_dlq(shard->options.router), .partition = shard->options.index };
    bui_look place = { .topic = ends.topic, .partition = ends.partition, .since_ms = lost->since_ms - SLACK_MS };
    bus_status status = transport->ops->watermarks(transport, &ends, 1, timeout_ms, err);
    if (status == BUS_OK)
        status = ends.status;
    if (status != BUS_OK)
        return status;
    if (lost->low == ends.low && ends.high >= lost->high) {
        lost->high = ends.high;
        return BUS_OK;
    }
    status = transport->ops->look(transport, &place, 1, LOOK_RECORDS, timeout_ms, meet, shard, err);
    if (status == BUS_OK)
        status = place.status;
    if (status == BUS_OK && lost->nomem)
        status = BUS_NOMEM;
    if (status != BUS_OK)
        return status;
    if (ends.high - ends.low <= LOOK_RECORDS)
        lost->from_ms = INT64_MIN;
    lost->low = ends.low;
    lost->high = ends.high;
    return BUS_OK;
}

void bui_shard_find_letters(bui_shard *shard, int timeout_ms)
{
    bui_lost *lost = &shard->lost;
    bus_error err = { 0 };
    if (!bui_shard_wants_letters(shard))
        return;
    lost->from_ms = INT64_MAX;
    lost->nomem = false;
    bus_status status = shard->options.transport->ops->look ? look(shard, timeout_ms, &err) : BUS_OK;
    lost->unknown = status != BUS_OK && status != BUS_BROKER;
    if (status != BUS_OK)
        lost->from_ms = INT64_MAX;
    if (lost->unknown)
        bui_log(BUS_WARN, shard->where, "letters_unknown",
                "it could not be found out whether %s still has the open dead letters "
                "(%s%s%s); trying again%s",
                bui_router_dlq(shard->options.router), bus_status_name(status), *err.text ? ": " : "", err.text,
                status == BUS_DENIED ? ". Grant READ on it" : "");
    atomic_store(&lost->phase, BUI_LOST_ANSWERED);
    if (shard->options.wake)
        shard->options.wake(shard->options.wake_opaque);
}

/* ---- what is missing: the shard's thread */

static bool compare(const char *id, int round, void *opaque)
{
    bui_lost *lost = opaque;
    char name[NAME_TEXT];
    size_t len = name_of(id, strlen(id), round, name);
    if (bui_map_get(&lost->seen, name, len))
        return true;
    lost->nomem = !bui_array_room(&lost->list, &lost->cap, lost->count + 1, sizeof *lost->list, 64);
    if (lost->nomem)
        return false; /* the others at the next look */
    lost->list[lost->count].round = round;
    snprintf(lost->list[lost->count++].id, BUI_ID_TEXT, "%s", id);
    return true;
}

/* If the clock was set back meanwhile, what opened since the question seems older than it. */
static bus_status list(bui_shard *shard, bus_error *err)
{
    bui_lost *lost = &shard->lost;
    lost->nomem = false;
    if (lost->from_ms == INT64_MAX)
        return BUS_OK;
    if (shard->now_ms < lost->asked_ms) {
        lost->whole = true;
        return BUS_OK;
    }
    bus_status status = bui_deadletters_between(shard->store, lost->from_ms, lost->asked_ms - 1, compare, lost, err);
    return status == BUS_OK && lost->nomem ? bui_fail_nomem(err) : status;
}

static void take(bui_shard *shard)
{
    bui_lost *lost = &shard->lost;
    bus_error err = { 0 };
    lost->count = lost->done = 0;
    if (lost->unknown && lost->at_us > 0) /* not if it was claimed meanwhile */
        lost->at_us = shard->now_us + LATER_US;
    if (list(shard, &err) != BUS_OK) {
        lost->whole = true; /* of what is not on the list the log's ends tell nothing more */
        bui_log(BUS_ERROR, shard->where, "store_failed", "%s; lost dead letters are looked for again later", err.text);
    }
    if (lost->count)
        bui_log(
            BUS_WARN, shard->where, "letters_lost",
            "%s no longer has %zu of the open dead letters: its records were deleted "
            "or expired, or it was created again. They are published again. Keep dead letters without a time limit (retention.ms=-1)",
            bui_router_dlq(shard->options.router), lost->count);
    bui_map_free(&lost->seen, NULL);
    bui_map_init(&lost->seen);
    atomic_store(&lost->phase, BUI_LOST_IDLE);
}

void bui_lost_step(bui_shard *shard)
{
    bui_lost *lost = &shard->lost;
    if (atomic_load_explicit(&lost->phase, memory_order_acquire) == BUI_LOST_ANSWERED)
        take(shard);
    else if (!listed(shard) && bui_lost_wait_us(shard) == 0)
        ask(shard);
}

/* ---- publishing */

/* As deliveries do, they wait while the outbox is full, or the shard is given up. */
static bool room(const bui_shard *shard)
{
    return shard->attached && !atomic_load_explicit(&((bui_shard *)(uintptr_t)shard)->draining, memory_order_relaxed) &&
           bui_outbox_depth_of(shard->store).bytes < shard->options.limits.outbox_bytes;
}

bool bui_lost_waiting(const bui_shard *shard)
{
    return listed(shard) && room(shard);
}

/* What the store has of its event: the parked head of its key, or the bytes kept for it, or where it was. `headers` has room for three. */
static bus_status record_of(bui_shard *shard, const bui_deadletter *letter, const bui_deadletter_cause *cause, bui_key *held,
                            bus_header *headers, char place[BUI_BODY_TEXT], bui_record *out, int *command, bus_error *err)
{
    bui_parked parked;
    bui_envelope envelope;
    bus_status status;
    *command = BUI_COMMAND_REDRIVE;
    if (held) {
        status = bui_key_head(shard->store, held, &shard->arena, &parked, err);
        if (status != BUS_OK)
            return status;
        *out = bui_parked_record(&parked, &shard->arena);
        *command = parked.command;
        return out->header_count && !out->headers ? bui_fail_nomem(err) : BUS_OK;
    }
    headers[0] = (bus_header){ "ce_id", letter->event_id, strlen(letter->event_id) };
    headers[1] = (bus_header){ BUI_HEADER_ORIG, cause->orig, strlen(cause->orig) };
    *out = (bui_record){ .topic = bui_router_dlq(shard->options.router), .headers = headers, .header_count = 2 };
    const bui_record asked = *out;
    status = bui_body_join(shard, letter->id, &asked, out, err);
    if (status != BUS_OK || out->headers != headers)
        return status;
    if (!*cause->orig || bui_envelope_read(headers, 2, &envelope, NULL) != BUS_OK)
        return bui_fail(err, BUS_MISSING,
                        "an older version made it, and its store does not say where its event was: set the offset of its "
                        "topic back to before it, and it is read again");
    bui_body_place at = { BUI_BODY_AT, envelope.orig.topic, envelope.orig.partition, envelope.orig.offset };
    headers[2] = (bus_header){ BUI_HEADER_BODY, place, bui_body_write(&at, place, BUI_BODY_TEXT) };
    out->header_count = 3;
    return BUS_OK;
}

static bus_status publish(bui_shard *shard, const bui_deadletter *letter, bus_error *err)
{
    bui_deadletter_cause cause;
    bus_header headers[3];
    char place[BUI_BODY_TEXT];
    bui_record record;
    bui_delivery delivery;
    int command;
    bui_key *held = letter->key_id ? bui_key_by_id(shard->store, letter->key_id) : NULL;
    held = held && held->state == BUI_KEY_HELD ? held : NULL;
    bus_status status = bui_deadletter_cause_get(shard->store, letter->id, &shard->arena, &cause, err);
    if (status == BUS_OK)
        status = record_of(shard, letter, &cause, held, headers, place, &record, &command, err);
    if (status == BUS_OK)
        status = bui_delivery_read(shard, &record, command, &shard->arena, false, &delivery, err);
    if (status != BUS_OK)
        return status;
    if (!delivery.envelope.id.len)
        delivery.event.id = letter->event_id;
    if (!*cause.class) {
        cause.class = "lost";
        cause.reason = "its record was lost, and an older version made it: the service's log of that time says why it failed";
    }
    return bui_deadletter_publish_again(shard, letter, &delivery, &cause, held != NULL, err);
}

bui_outcome bui_lost_run(bui_shard *shard)
{
    bui_lost *lost = &shard->lost;
    size_t most = lost->done + AGAIN_MOST;
    int64_t bytes = bui_outbox_depth_of(shard->store).bytes + shard->options.limits.batch_bytes;
    for (lost->doing = lost->done;
         lost->doing < lost->count && lost->doing < most && room(shard) && bui_outbox_depth_of(shard->store).bytes < bytes;
         lost->doing++) {
        const bui_lost_letter *one = &lost->list[lost->doing];
        bui_deadletter letter;
        bus_error err = { 0 };
        bool found;
        bui_arena_reset(&shard->arena);
        bus_status status = bui_deadletter_fetch(shard, one->id, &letter, &found, &err);
        bool open = status == BUS_OK && found && letter.state == BUI_DEADLETTER_OPEN && letter.round == one->round;
        if (open)
            status = publish(shard, &letter, &err);
        if (status == BUS_MISSING)
            bui_log(BUS_ERROR, shard->where, "letter_lost", "dead letter %s cannot be published again: %s", one->id, err.text);
        else if (status != BUS_OK)
            return bui_shard_redo(shard, &err);
        else if (open)
            bui_count(&shard->metrics.letters_again, 1);
        shard->batch.did = true;
    }
    return BUI_OUT_DONE;
}

void bui_lost_over(bui_shard *shard)
{
    if (!shard->calls.runs_inline && listed(shard))
        shard->lost.done = shard->lost.doing;
}

int64_t bui_lost_wait_us(const bui_shard *shard)
{
    const bui_lost *lost = &shard->lost;
    if (listed(shard))
        return room(shard) ? 0 : INT64_MAX; /* woken by what the outbox sends */
    if (!shard->attached || atomic_load(&((bui_shard *)(uintptr_t)shard)->lost.phase) != BUI_LOST_IDLE ||
        !bui_deadletter_open_count(shard->store))
        return INT64_MAX;
    return lost->at_us > shard->now_us ? lost->at_us - shard->now_us : 0;
}

void bui_lost_free(bui_shard *shard)
{
    bui_map_free(&shard->lost.seen, NULL);
    free(shard->lost.list);
}
