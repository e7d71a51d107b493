/* SPDX-License-Identifier: MIT
 * Dead letters. Each change of a letter is a record on `<service>.dlq`, so the topic alone shows what is open. Header
 * names are those of KIP-1191. */
#include "shard/internal.h"

#include "base/error.h"
#include <stdio.h>
#include <string.h>

/* A dead letter's id is made of what names its event (bui_identity), and of the run if it is a copy's. Older versions left the
 * partition out: -1. */
static void id_of(const bui_shard *shard, const bui_identity *event, int32_t partition, const char *run, char out[BUI_ID_TEXT])
{
    char number[16];
    int n = snprintf(number, sizeof number, "%d", (int)partition);
    bui_part parts[8] = { { "letter", 6 },
                          { shard->name, strlen(shard->name) },
                          { event->topic, strlen(event->topic) },
                          { event->id, strlen(event->id) } };
    size_t count = 4;
    if (event->source && *event->source)
        parts[count++] = (bui_part){ event->source, strlen(event->source) };
    if (partition >= 0)
        parts[count++] = (bui_part){ number, (size_t)n };
    if (*run) {
        parts[count++] = (bui_part){ "replay", 6 };
        parts[count++] = (bui_part){ run, strlen(run) };
    }
    bui_id_of(parts, count, out);
}

bus_status bui_deadletter_fetch(bui_shard *shard, const char *id, bui_deadletter *out, bool *found, bus_error *err)
{
    bus_status status = bui_deadletter_get(shard->store, id, out, err);
    *found = status == BUS_OK;
    return status == BUS_MISSING ? BUS_OK : status;
}

/* The dead letter of an event, or of a copy of it; `id` is what it has, or would have. */
static bus_status find(bui_shard *shard, const bui_delivery *delivery, const char *run, char id[BUI_ID_TEXT], bui_deadletter *out,
                       bool *found, bus_error *err)
{
    bui_identity event = bui_identity_of(delivery);
    char older[BUI_ID_TEXT];
    id_of(shard, &event, event.partition, run, id);
    bus_status status = bui_deadletter_fetch(shard, id, out, found, err);
    if (status != BUS_OK || *found || bui_deadletter_older_count(shard->store) == 0)
        return status;
    id_of(shard, &event, -1, run, older);
    status = bui_deadletter_fetch(shard, older, out, found, err);
    *found = status == BUS_OK && *found && out->partition < 0;
    if (*found)
        memcpy(id, older, BUI_ID_TEXT);
    return status;
}

bus_status bui_deadletter_is_open(bui_shard *shard, const bui_delivery *delivery, bool *open, bus_error *err)
{
    char id[BUI_ID_TEXT];
    bui_deadletter letter;
    bool found;
    *open = false;
    if (!bui_deadletter_maybe(shard->store, delivery->event.id))
        return BUS_OK;
    bus_status status = find(shard, delivery, "", id, &letter, &found, err);
    if (status == BUS_OK)
        *open = found && (letter.state == BUI_DEADLETTER_OPEN || letter.state == BUI_DEADLETTER_REDRIVEN);
    return status;
}

bus_status bui_deadletter_name(bui_shard *shard, bui_delivery *delivery, bui_slice id, int round, bus_error *err)
{
    bui_deadletter letter;
    bool found;
    delivery->letter_round = delivery->event.redriven = round;
    bool by_id = id.len && id.len < sizeof delivery->letter_id;
    if (by_id) {
        memcpy(delivery->letter_id, id.at, id.len);
        delivery->letter_id[id.len] = 0;
    }
    bus_status status = by_id ? bui_deadletter_fetch(shard, delivery->letter_id, &letter, &found, err)
                              : find(shard, delivery, delivery->run, delivery->letter_id, &letter, &found, err);
    if (status == BUS_OK && found)
        delivery->event.first_failed_ms = letter.first_failed;
    if (status != BUS_OK || !by_id || !found || !letter.replay[0] ||
        bui_delivery_is_copy(delivery, &shard->arena, letter.replay, strlen(letter.replay)))
        return status;
    return bui_fail_nomem(err);
}

/* ---- records on the dead-letter topic */

typedef struct letter_texts {
    char letter[64], orig[BUI_ORIG_TEXT], partition[16], offset[24], count[16], first[24], last[24];
} letter_texts;

#define LETTER_HEADERS 14 /* of letter_headers and publish_open, beside the copied ones */

static void add(bus_header *headers, size_t *count, const char *name, const char *text)
{
    headers[(*count)++] = (bus_header){ name, text, strlen(text) };
}

typedef enum how_much { WHOLE, WITHOUT_VALUE, HEADERS_ALONE } how_much;

/* HEADERS_ALONE goes whatever a topic takes: the broker decides, and a refused row is reported. */
static bus_status publish(bui_shard *shard, const bui_deadletter *letter, const bus_header *headers, size_t count,
                          const bus_event *event, how_much part, bus_error *err)
{
    const char *topic = bui_router_dlq(shard->options.router);
    bui_destination *destination = bui_destination_of(shard->store, topic, shard->options.index, err);
    if (!destination)
        return BUS_NOMEM;
    char id[BUI_ID_TEXT], change[48];
    snprintf(change, sizeof change, "%d %d", letter->round, letter->state);
    bui_part parts[] = { { letter->id, strlen(letter->id) }, { change, strlen(change) } };
    bui_id_of(parts, 2, id);
    bui_emission emission = {
        .destination = destination, .event_id = id, .headers = headers, .header_count = count, .unchecked = part == HEADERS_ALONE
    };
    if (part != HEADERS_ALONE) {
        emission.key = event->key.at;
        emission.key_len = event->key.len;
    }
    if (part == WHOLE) {
        emission.value = event->value.at;
        emission.value_len = event->value.len;
    }
    return bui_emit_row(shard, &emission, err);
}

static const char *class_of(const bui_delivery *delivery, const bus_tx *why)
{
    return delivery->run[0] && strcmp(why->error_class, "handler") == 0 ? "replay" : why->error_class;
}

/* NULL: no memory. */
static bus_header *letter_headers(bui_shard *shard, const bui_deadletter *letter, const bui_delivery *delivery, const bus_tx *why,
                                  int attempts, bool held, int64_t last_failed, size_t *out_count, letter_texts *text)
{
    const bus_event *event = &delivery->event;
    size_t count;
    text->orig[0] = 0;
    bus_header *headers = bui_copy_headers(delivery, LETTER_HEADERS, &shard->arena, &count, text->orig);
    if (!headers)
        return NULL;
    snprintf(text->letter, sizeof text->letter, "%s %d %s", letter->id, letter->round,
             bui_deadletter_state_name(BUI_DEADLETTER_OPEN));
    snprintf(text->partition, sizeof text->partition, "%d", event->partition);
    snprintf(text->offset, sizeof text->offset, "%lld", (long long)event->offset);
    snprintf(text->count, sizeof text->count, "%d", attempts);
    snprintf(text->first, sizeof text->first, "%lld", (long long)letter->first_failed);
    snprintf(text->last, sizeof text->last, "%lld", (long long)last_failed);
    if (!delivery->envelope.id.len)
        add(headers, &count, "ce_id", event->id);
    add(headers, &count, "bus-letter", text->letter);
    add(headers, &count, "__dlq.errors.topic", event->topic);
    add(headers, &count, "__dlq.errors.partition", text->partition);
    add(headers, &count, "__dlq.errors.offset", text->offset);
    add(headers, &count, "__dlq.errors.group", shard->name);
    add(headers, &count, "__dlq.errors.delivery.count", text->count);
    add(headers, &count, "__dlq.errors.class", class_of(delivery, why));
    add(headers, &count, "__dlq.errors.message", why->reason);
    add(headers, &count, "__dlq.errors.first", text->first);
    add(headers, &count, "__dlq.errors.last", text->last);
    if (held)
        add(headers, &count, "bus-held", "yes");
    if (letter->replay[0])
        add(headers, &count, BUI_HEADER_REPLAY, letter->replay);
    *out_count = count;
    return headers;
}

static bus_status keep_cause(bui_shard *shard, const char *id, const bui_delivery *delivery, const bus_tx *why, int attempts,
                             const letter_texts *text, bus_error *err)
{
    const bui_deadletter_cause cause = {
        .orig = text->orig, .class = class_of(delivery, why), .reason = why->reason, .attempts = attempts
    };
    return bui_deadletter_cause_put(shard->store, id, &cause, err);
}

/* Ours begin with where it came from. */
static size_t first_own(const bus_header *headers, size_t count)
{
    size_t own = 0;
    while (own < count && strcmp(headers[own].name, "bus-orig") != 0)
        own++;
    return own < count ? own : 0;
}

/* As much of the event as a record takes; *told says how much that was. headers[count] is free for bus-body. */
static bus_status publish_open(bui_shard *shard, const bui_deadletter *letter, const bui_delivery *delivery, bus_header *headers,
                               size_t count, size_t own, how_much *told, bus_error *err)
{
    const bus_event *event = &delivery->event;
    char place[BUI_BODY_TEXT];
    *told = WHOLE;
    if (!event->value.at)
        headers[count] = bui_body_header(delivery, false, place);
    bus_status status = publish(shard, letter, headers, count + !event->value.at, event, WHOLE, err);
    if (status != BUS_TOO_BIG)
        return status;
    headers[count++] = bui_body_header(delivery, true, place);
    *told = WITHOUT_VALUE;
    status = publish(shard, letter, headers, count, event, WITHOUT_VALUE, err);
    if (status != BUS_TOO_BIG)
        return status;
    *told = HEADERS_ALONE; /* its key or its own headers fill the record */
    return publish(shard, letter, headers + own, count - own, event, HEADERS_ALONE, err);
}

/* A record that its handler rejects costs its writer nothing, so lines are limited; the dead letters and their counter are
 * complete. */
static void tell_opened(bui_shard *shard, const bui_delivery *delivery, const bus_tx *why, int attempts,
                        const bui_deadletter *letter, bool held)
{
    char more[BUI_THROTTLE_TEXT];
    uint64_t hidden;
    const bus_event *event = &delivery->event;
    if (bui_throttle_pass(&shard->said.letter_lines, shard->now_us, &hidden))
        bui_log(BUS_WARN, shard->where, "dead_letter", "%s%s/%d offset %lld (%s) after %d attempt(s), %s: %s; dead letter %s%s%s",
                delivery->run[0] ? "a replayed copy of " : "", event->topic, event->partition, (long long)event->offset,
                event->type_name, attempts, why->error_class, why->reason, letter->id, held ? ", its key is held" : "",
                bui_throttle_text(hidden, more));
}

static void tell_without_body(bui_shard *shard, const bui_deadletter *letter)
{
    char more[BUI_THROTTLE_TEXT];
    uint64_t hidden;
    if (bui_throttle_pass(&shard->said.body_lines, shard->now_us, &hidden))
        bui_log(BUS_WARN, shard->where, "letter_body",
                "dead letter %s does not carry its event, which does not fit %s: the "
                "store keeps it%s",
                letter->id, bui_router_dlq(shard->options.router), bui_throttle_text(hidden, more));
}

bus_status bui_deadletter_open(bui_shard *shard, const bui_delivery *delivery, const bus_tx *why, int attempts, bui_key *holding,
                               bus_error *err)
{
    bui_deadletter letter;
    bool found;
    char id[BUI_ID_TEXT];
    bus_status status = BUS_OK;
    if (delivery->letter_id[0]) {
        memcpy(id, delivery->letter_id, sizeof id);
        status = bui_deadletter_fetch(shard, id, &letter, &found, err);
    } else {
        status = find(shard, delivery, delivery->run, id, &letter, &found, err);
    }
    if (status != BUS_OK)
        return status;
    if (!found) {
        memset(&letter, 0, sizeof letter);
        memcpy(letter.id, id, sizeof letter.id);
        snprintf(letter.event_id, sizeof letter.event_id, "%s", delivery->event.id);
        letter.first_failed = delivery->event.first_failed_ms ? delivery->event.first_failed_ms : shard->now_ms;
        status = bui_deadletter_first_round(shard->store, &letter.round, err);
        if (status != BUS_OK)
            return status;
        letter.round--;
        letter.partition = delivery->event.partition;
        snprintf(letter.replay, sizeof letter.replay, "%s", delivery->run);
    }
    letter.scope = delivery->scope;
    letter.round++;
    letter.state = BUI_DEADLETTER_OPEN;
    letter.key_id = holding ? holding->id : 0;
    if (holding) {
        if (!bui_key_touch(shard->store, holding))
            return bui_fail_nomem(err);
        holding->round = letter.round;
    }
    status = bui_deadletter_put(shard->store, &letter, err);
    if (status != BUS_OK)
        return status;
    BUI_FAILPOINT("letter-opened");
    bui_count(&shard->metrics.dead_lettered, 1);
    tell_opened(shard, delivery, why, attempts, &letter, holding != NULL);
    letter_texts text;
    size_t count;
    bus_header *headers = letter_headers(shard, &letter, delivery, why, attempts, holding != NULL, shard->now_ms, &count, &text);
    if (!headers)
        return bui_fail_nomem(err);
    status = keep_cause(shard, letter.id, delivery, why, attempts, &text, err);
    if (status != BUS_OK)
        return status;
    how_much told;
    size_t own = first_own(headers, count);
    status = publish_open(shard, &letter, delivery, headers, count, own, &told, err);
    if (status != BUS_OK)
        return status;
    if (told != WHOLE)
        tell_without_body(shard, &letter);
    /* A held key's event is parked. */
    if (holding || (told == WHOLE && bui_body_fits_command(shard, &delivery->event, headers, own + 1)))
        return bui_body_drop(shard->store, letter.id, err);
    return bui_body_of_letter(shard, letter.id, &delivery->event, headers, own + 1, err);
}

bus_status bui_deadletter_publish_again(bui_shard *shard, const bui_deadletter *letter, const bui_delivery *delivery,
                                        const bui_deadletter_cause *cause, bool held, bus_error *err)
{
    bus_tx why = { .error_class = cause->class };
    letter_texts text;
    size_t count;
    how_much told;
    snprintf(why.reason, sizeof why.reason, "%s", cause->reason);
    bus_header *headers = letter_headers(shard, letter, delivery, &why, cause->attempts, held, cause->at, &count, &text);
    return headers ? publish_open(shard, letter, delivery, headers, count, first_own(headers, count), &told, err)
                   : bui_fail_nomem(err);
}

bus_status bui_deadletter_change(bui_shard *shard, bui_deadletter *letter, bui_deadletter_state state, const bus_header *more,
                                 size_t more_count, bus_error *err)
{
    char text[64];
    bus_header headers[8];
    size_t count = 0;
    letter->state = (int)state;
    bus_status status = bui_deadletter_put(shard->store, letter, err);
    if (status != BUS_OK)
        return status;
    snprintf(text, sizeof text, "%s %d %s", letter->id, letter->round, bui_deadletter_state_name(state));
    headers[count++] = (bus_header){ "bus-letter", text, strlen(text) };
    for (size_t i = 0; i < more_count && count < 8; i++)
        headers[count++] = more[i];
    if (state != BUI_DEADLETTER_REDRIVEN)
        status = bui_body_drop(shard->store, letter->id, err);
    return status == BUS_OK ? publish(shard, letter, headers, count, NULL, HEADERS_ALONE, err) : status;
}

bus_status bui_deadletter_open_again(bui_shard *shard, bui_deadletter *letter, const bui_record *command, const char *why,
                                     bus_error *err)
{
    char text[64];
    bus_header *headers = bui_arena_alloc(&shard->arena, (command->header_count + 4) * sizeof *headers);
    size_t count = 0;
    letter->round++;
    letter->state = BUI_DEADLETTER_OPEN;
    bus_status status = headers ? bui_deadletter_put(shard->store, letter, err) : bui_fail_nomem(err);
    if (status != BUS_OK)
        return status;
    bui_deadletter_cause cause;
    status = bui_deadletter_cause_get(shard->store, letter->id, &shard->arena, &cause, err);
    if (status != BUS_OK)
        return status;
    cause.class = "body";
    cause.reason = why;
    status = bui_deadletter_cause_put(shard->store, letter->id, &cause, err);
    if (status != BUS_OK)
        return status;
    bui_count(&shard->metrics.dead_lettered, 1);
    char others[BUI_THROTTLE_TEXT];
    uint64_t hidden;
    if (bui_throttle_pass(&shard->said.letter_lines, shard->now_us, &hidden))
        bui_log(BUS_WARN, shard->where, "dead_letter", "dead letter %s: %s%s", letter->id, why,
                bui_throttle_text(hidden, others));
    for (size_t i = 0; i < command->header_count; i++) {
        const char *name = command->headers[i].name;
        if (bui_header_travels(name) || strcmp(name, BUI_HEADER_ORIG) == 0 || strcmp(name, BUI_HEADER_BODY) == 0)
            headers[count++] = command->headers[i];
    }
    snprintf(text, sizeof text, "%s %d %s", letter->id, letter->round, bui_deadletter_state_name(BUI_DEADLETTER_OPEN));
    add(headers, &count, "bus-letter", text);
    if (letter->replay[0])
        add(headers, &count, BUI_HEADER_REPLAY, letter->replay);
    add(headers, &count, "__dlq.errors.class", "body");
    add(headers, &count, "__dlq.errors.message", why);
    bus_event event = { .key = { command->key, command->key_len } };
    status = publish(shard, letter, headers, count, &event, WITHOUT_VALUE, err);
    size_t ours = letter->replay[0] ? 4 : 3;
    return status != BUS_TOO_BIG ? status : publish(shard, letter, headers + count - ours, ours, &event, HEADERS_ALONE, err);
}

bus_status bui_deadletter_settle(bui_shard *shard, const char *id, bui_deadletter_state state, bus_error *err)
{
    bui_deadletter letter;
    bool found;
    bus_status status = bui_deadletter_fetch(shard, id, &letter, &found, err);
    if (status != BUS_OK || !found || letter.state != BUI_DEADLETTER_REDRIVEN)
        return status;
    return bui_deadletter_change(shard, &letter, state, NULL, 0, err);
}

bus_status bui_deadletter_head_waits(bui_shard *shard, bui_key *key, bus_error *err)
{
    if (!bui_key_touch(shard->store, key))
        return bui_fail_nomem(err);
    key->state = BUI_KEY_WAITING;
    key->attempt = 0;
    key->due = shard->now_ms - shard->options.limits.retry_grace_ms;
    return BUS_OK;
}

bus_status bui_deadletter_take_up(bui_shard *shard, bui_key *key, const bui_delivery *delivery, bus_error *err)
{
    static const char reason[] = "it has a route again";
    const bus_header more = { "bus-reason", reason, sizeof reason - 1 };
    bui_deadletter letter;
    bool found;
    bus_status status = bui_deadletter_fetch(shard, delivery->letter_id, &letter, &found, err);
    if (status != BUS_OK || !found || letter.state != BUI_DEADLETTER_OPEN || letter.key_id != key->id)
        return status;
    status = bui_deadletter_change(shard, &letter, BUI_DEADLETTER_REDRIVEN, &more, 1, err);
    if (status != BUS_OK)
        return status;
    bui_log(BUS_INFO, shard->where, "routed_again", "dead letter %s: this version has a route for %s from %s, its key goes on",
            letter.id, delivery->event.type_name, delivery->event.topic);
    return bui_deadletter_head_waits(shard, key, err);
}
