/* SPDX-License-Identifier: MIT
 * Lost: `<service>.dlq` shows which letters are open, and operators go by it. Its records may go while letters are open: by
 * retention, by an administrator, with a topic that is made again. The store knows its open letters: those that the topic lacks are published
 * again, with what the store has of them. Looked for after each claim, and every half minute while letters are open: then by the log's
 * ends alone, and in its records only if these tell of a loss. */
#include "shard/internal.h"

#include "base/array.h"
#include "base/error.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_US INT64_C(30000000)
#define LATER_US INT64_C(600000000) /* after a look that told nothing */
#define QUIET_US INT64_C(1000000)   /* when letters were on their way */
#define LOOK_RECORDS 100000         /* back from the topic's end */
#define SLACK_MS 600000             /* by so much clocks may differ */
#define AGAIN_MOST 100              /* in a batch */
#define NAME_TEXT 64

static size_t name_of(const char *id, size_t len, int round, char out[NAME_TEXT])
{
    int n = snprintf(out, NAME_TEXT, "%.*s %d", (int)len, id, round);
    return n > 0 && n < NAME_TEXT ? (size_t)n : 0;
}

/* ---- asking: the shard's thread */

/* A letter whose record is on its way is not lost. */
static bool quiet(bus_shard *shard)
{
    const char *dlq = bus_router_dlq(shard->options.router);
    if (shard->relay.held)
        return false;
    for (size_t i = 0; i < shard->relay.count; i++) {
        const bus_relay_destination *to = shard->relay.all[i];
        if ((to->count || to->behind) && strcmp(to->destination->topic, dlq) == 0)
            return false;
    }
    return true;
}

void bus_lost_attached(bus_shard *shard)
{
    bus_lost *lost = &shard->lost;
    if (atomic_load(&lost->stage) != BUS_LOST_IDLE)
        return;
    lost->low = lost->high = -1;
    lost->at_us = 0;
}

static void ask(bus_shard *shard)
{
    bus_lost *lost = &shard->lost;
    bus_error err = { 0 };
    if (!quiet(shard)) {
        lost->at_us = shard->now_us + QUIET_US;
        return;
    }
    lost->at_us = shard->now_us + LOOK_US;
    if (bus_letter_oldest(shard->store, &lost->since_ms, &err) || lost->since_ms == INT64_MAX)
        return;
    lost->asked_ms = shard->now_ms; /* what opens from now on may not be there yet */
    atomic_store(&lost->stage, BUS_LOST_ASKED);
    if (shard->options.transport->ops->wake)
        shard->options.transport->ops->wake(shard->options.transport);
}

/* ---- looking: the thread that claims */

bool bus_shard_wants_letters(bus_shard *shard) { return atomic_load(&shard->lost.stage) == BUS_LOST_ASKED; }

/* The first record that is met tells how far back the look went. */
static bool meet(const bus_record *record, void *opaque)
{
    bus_shard *shard = opaque;
    bus_lost *lost = &shard->lost;
    bus_envelope envelope;
    char name[NAME_TEXT];
    if (lost->from_ms == INT64_MAX)
        lost->from_ms = record->timestamp + SLACK_MS;
    if (bus_envelope_read(record->headers, record->header_count, &envelope, NULL) || envelope.letter != BUS_LETTER_OPEN ||
        !bus_record_authentic(shard->options.limits.keys, record, shard->name, NULL))
        return true;
    size_t len = name_of(envelope.letter_id.at, envelope.letter_id.len, envelope.letter_round, name);
    lost->nomem = len && !bus_map_put(&lost->seen, name, len, lost);
    return !lost->nomem;
}

static bus_status look(bus_shard *shard, int timeout_ms, bus_error *err)
{
    bus_lost *lost = &shard->lost;
    bus_transport *transport = shard->options.transport;
    bus_offset ends = { .topic = bus_router_dlq(shard->options.router), .partition = shard->options.index };
    bus_look place = { .topic = ends.topic, .partition = ends.partition, .since_ms = lost->since_ms - SLACK_MS };
    bus_status status = transport->ops->watermarks(transport, &ends, 1, timeout_ms, err);
    if (status || (status = ends.status))
        return status;
    if (lost->low == ends.low && ends.high >= lost->high) {
        lost->high = ends.high;
        return BUS_OK;
    }
    status = transport->ops->look(transport, &place, 1, LOOK_RECORDS, timeout_ms, meet, shard, err);
    if (status || (status = place.status) || (status = lost->nomem ? BUS_NOMEM : BUS_OK))
        return status;
    if (ends.high - ends.low <= LOOK_RECORDS)
        lost->from_ms = INT64_MIN;
    lost->low = ends.low;
    lost->high = ends.high;
    return BUS_OK;
}

void bus_shard_find_letters(bus_shard *shard, int timeout_ms)
{
    bus_lost *lost = &shard->lost;
    bus_error err = { 0 };
    if (!bus_shard_wants_letters(shard))
        return;
    lost->from_ms = INT64_MAX;
    lost->nomem = false;
    bus_status status = shard->options.transport->ops->look ? look(shard, timeout_ms, &err) : BUS_OK;
    lost->unknown = status != BUS_OK && status != BUS_BROKER;
    if (status != BUS_OK)
        lost->from_ms = INT64_MAX;
    if (lost->unknown)
        bus_log(BUS_WARN, shard->where, "letters_unknown", "whether %s still has the open letters could not be found out (%s%s%s); it is tried "
                "again%s", bus_router_dlq(shard->options.router), bus_status_name(status), *err.text ? ": " : "", err.text,
                status == BUS_DENIED ? ". Grant READ on it" : "");
    atomic_store(&lost->stage, BUS_LOST_ANSWERED);
    if (shard->options.wake)
        shard->options.wake(shard->options.wake_opaque);
}

/* ---- what is missing: the shard's thread */

static bool compare(const char *id, int round, void *opaque)
{
    bus_lost *lost = opaque;
    char name[NAME_TEXT];
    size_t len = name_of(id, strlen(id), round, name);
    if (bus_map_get(&lost->seen, name, len))
        return true;
    if (!bus_array_room(&lost->list, &lost->cap, lost->count + 1, sizeof *lost->list, 64))
        return false; /* the others at the next look */
    lost->list[lost->count].round = round;
    snprintf(lost->list[lost->count++].id, BUS_ID_TEXT, "%s", id);
    return true;
}

static void take(bus_shard *shard)
{
    bus_lost *lost = &shard->lost;
    bus_error err = { 0 };
    lost->count = lost->done = 0;
    if (lost->unknown)
        lost->at_us = shard->now_us + LATER_US;
    if (lost->from_ms != INT64_MAX && bus_letters_between(shard->store, lost->from_ms, lost->asked_ms - 1, compare, lost, &err))
        bus_log(BUS_ERROR, shard->where, "store_failed", "%s; lost letters are looked for again later", err.text);
    if (lost->count)
        bus_log(BUS_WARN, shard->where, "letters_lost", "%s no longer has %zu of the open letters: its records were deleted or expired, or it was "
                "made again. They are published again. Keep dead letters without a time limit (retention.ms=-1)",
                bus_router_dlq(shard->options.router), lost->count);
    bus_map_free(&lost->seen, NULL);
    bus_map_init(&lost->seen);
    atomic_store(&lost->stage, BUS_LOST_IDLE);
}

void bus_lost_step(bus_shard *shard)
{
    bus_lost *lost = &shard->lost;
    if (atomic_load_explicit(&lost->stage, memory_order_acquire) == BUS_LOST_ANSWERED)
        take(shard);
    else if (!bus_lost_waiting(shard) && bus_lost_wait_us(shard) == 0)
        ask(shard);
}

/* ---- publishing */

bool bus_lost_waiting(const bus_shard *shard) { return shard->lost.done < shard->lost.count; }

/* What the store has of its event: the parked head of its key, or the bytes kept for it, or where it was. `headers` has room for three. */
static bus_status record_of(bus_shard *shard, const bus_letter *letter, const bus_letter_cause *cause, bus_key *held, bus_header *headers,
                            char place[BUS_BODY_TEXT], bus_record *out, int *command, bus_error *err)
{
    bus_parked parked;
    bus_envelope envelope;
    bus_status status;
    *command = BUS_COMMAND_REDRIVE;
    if (held) {
        if ((status = bus_key_head(shard->store, held, &shard->arena, &parked, err)))
            return status;
        *out = bus_parked_record(&parked, &shard->arena);
        *command = parked.command;
        return out->header_count && !out->headers ? bus_fail_nomem(err) : BUS_OK;
    }
    headers[0] = (bus_header){ "ce_id", letter->event_id, strlen(letter->event_id) };
    headers[1] = (bus_header){ BUS_HEADER_ORIG, cause->orig, strlen(cause->orig) };
    *out = (bus_record){ .topic = bus_router_dlq(shard->options.router), .headers = headers, .header_count = 2 };
    const bus_record asked = *out;
    if ((status = bus_body_join(shard, letter->id, &asked, out, err)) || out->headers != headers)
        return status;
    if (!*cause->orig || bus_envelope_read(headers, 2, &envelope, NULL))
        return bus_fail(err, BUS_MISSING, "an older version made it, and its store does not say where its event was: set the offset of its "
                        "topic back to before it, and it is read again");
    bus_body_place at = { BUS_BODY_AT, envelope.orig.topic, envelope.orig.partition, envelope.orig.offset };
    headers[2] = (bus_header){ BUS_HEADER_BODY, place, bus_body_write(&at, place, BUS_BODY_TEXT) };
    out->header_count = 3;
    return BUS_OK;
}

static bus_status publish(bus_shard *shard, const bus_letter *letter, bus_error *err)
{
    bus_letter_cause cause;
    bus_header headers[3];
    char place[BUS_BODY_TEXT];
    bus_record record;
    bus_delivery delivery;
    int command;
    bus_key *held = letter->key_id ? bus_key_by_id(shard->store, letter->key_id) : NULL;
    held = held && held->state == BUS_KEY_HELD ? held : NULL;
    bus_status status = bus_letter_cause_get(shard->store, letter->id, &shard->arena, &cause, err);
    if (status || (status = record_of(shard, letter, &cause, held, headers, place, &record, &command, err)) ||
        (status = bus_delivery_read(shard, &record, command, &shard->arena, false, &delivery, err)))
        return status;
    if (!delivery.envelope.id.len)
        delivery.event.id = letter->event_id;
    if (!*cause.class) {
        cause.class = "lost";
        cause.reason = "its record was lost, and an older version made it: the service's log of that time says why it failed";
    }
    return bus_letter_publish_again(shard, letter, &delivery, &cause, held != NULL, err);
}

bus_outcome bus_lost_run(bus_shard *shard)
{
    bus_lost *lost = &shard->lost;
    size_t most = lost->done + AGAIN_MOST;
    for (lost->doing = lost->done; lost->doing < lost->count && lost->doing < most; lost->doing++) {
        const bus_lost_letter *one = &lost->list[lost->doing];
        bus_letter letter;
        bus_error err = { 0 };
        bool found;
        bus_arena_reset(&shard->arena);
        bus_status status = bus_letter_fetch(shard, one->id, &letter, &found, &err);
        bool open = status == BUS_OK && found && letter.state == BUS_LETTER_OPEN && letter.round == one->round;
        if (open)
            status = publish(shard, &letter, &err);
        if (status == BUS_MISSING)
            bus_log(BUS_ERROR, shard->where, "letter_lost", "letter %s cannot be published again: %s", one->id, err.text);
        else if (status != BUS_OK)
            return bus_shard_redo(shard, &err);
        else if (open)
            bus_count(&shard->metrics.letters_again, 1);
        shard->batch.did = true;
    }
    return BUS_OUT_DONE;
}

void bus_lost_over(bus_shard *shard)
{
    if (!shard->calls.visited && shard->lost.done < shard->lost.count)
        shard->lost.done = shard->lost.doing;
}

int64_t bus_lost_wait_us(const bus_shard *shard)
{
    const bus_lost *lost = &shard->lost;
    if (bus_lost_waiting(shard))
        return 0;
    if (!shard->attached || atomic_load(&((bus_shard *)(uintptr_t)shard)->lost.stage) != BUS_LOST_IDLE || !bus_letter_open_count(shard->store))
        return INT64_MAX;
    return lost->at_us > shard->now_us ? lost->at_us - shard->now_us : 0;
}

void bus_lost_free(bus_shard *shard)
{
    bus_map_free(&shard->lost.seen, NULL);
    free(shard->lost.list);
}
