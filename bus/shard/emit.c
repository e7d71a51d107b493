/* SPDX-License-Identifier: MIT
 * Emit: what a handler sends becomes rows of the outbox, in the handler's transaction. */
#include "shard/internal.h"

#include "base/error.h"
#include "codec/cloud.h"
#include "codec/compact.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOP_REST 96    /* of bus-hop, beside the names of service and topic; a letter is shorter than its header */
#define HOP_TEXT 2048  /* of bus-hop, with letters */
#define OWN_HEADERS 10 /* of an event, at most: those of build(), and what the hop adds */
#define REPLY_TOLD_US 60000000

int32_t bui_partitions_of(bui_shard *shard, const char *topic)
{
    return (int32_t)(intptr_t)bui_map_get(&shard->output_partitions, topic, strlen(topic));
}

/* What an event has beside its hop, which takes the letters. Returns how many; `out` has room for BUI_MOST_HEADERS. */
static size_t envelop(bui_shard *shard, const bui_emission *emission, bui_hop *hop, bus_header *out)
{
    bool compact = shard->options.limits.compact_envelope;
    if (!emission->cloud)
        return bui_compact_pack(emission->headers, emission->header_count, hop, out);
    size_t n = compact ? bui_compact_say(emission->cloud, hop, out) : bui_cloud_write(emission->cloud, out);
    for (size_t i = 0; i < emission->header_count; i++)
        out[n++] = emission->headers[i];
    return n;
}

bus_status bui_emit_row(bui_shard *shard, const bui_emission *emission, bus_error *err)
{
    bui_destination *destination = emission->destination;
    char hop_text[HOP_TEXT];
    bus_header left[BUI_MOST_HEADERS];
    const bus_header *headers = emission->headers;
    size_t header_count = emission->header_count;
    if (!bui_relay_expect(shard, destination))
        return bui_fail_nomem(err);
    bui_hop hop = { .source = { destination->source, strlen(destination->source) },
                    .topic = { destination->topic, strlen(destination->topic) },
                    .partition = destination->partition,
                    .seq = destination->next_seq,
                    .attempt = emission->attempt,
                    .not_before = emission->not_before,
                    .scheduled = emission->scheduled };
    if (emission->token)
        hop.token = (bui_slice){ emission->token, strlen(emission->token) };
    if (emission->cloud || (emission->event && shard->options.limits.compact_envelope)) {
        header_count = envelop(shard, emission, &hop, left);
        headers = left;
    }
    size_t hop_len = bui_hop_write(&hop, hop_text, sizeof hop_text);
    if (hop_len == 0)
        return bui_fail(err, BUS_BUG, "bus-hop for %s does not fit", destination->topic);

    char mac[BUI_MAC_TEXT];
    bus_header own[2] = { { "bus-hop", hop_text, hop_len } };
    if (shard->options.limits.keys) {
        const bui_sealed sealed = { .topic = destination->topic,
                                    .partition = destination->partition,
                                    .key = emission->key,
                                    .key_len = emission->key_len,
                                    .value = emission->value,
                                    .value_len = emission->value_len,
                                    .headers = headers,
                                    .header_count = header_count,
                                    .more = own,
                                    .more_count = 1 };
        own[1] = (bus_header){ BUI_HEADER_MAC, mac, bui_mac_write(shard->options.limits.keys, &sealed, mac) };
    }
    bui_buf_clear(&shard->headers_scratch);
    bui_headers_pack_both(headers, header_count, own, own[1].len ? 2 : 1, &shard->headers_scratch);
    if (!bui_buf_ok(&shard->headers_scratch))
        return bui_fail_nomem(err);

    bui_sized sized = { emission->key, emission->key_len,  emission->value,           emission->value_len, headers, header_count,
                        own,           own[1].len ? 2 : 1, shard->headers_scratch.len };
    bus_status fits = emission->unchecked ? BUS_OK : bui_size_check(shard, "an event", destination->topic, &sized, err);
    if (fits)
        return fits;

    bui_outbox_row row = { .destination = destination,
                           .event_id = emission->event_id,
                           .key = emission->key,
                           .key_len = emission->key_len,
                           .value = emission->value,
                           .value_len = emission->value_len,
                           .headers = shard->headers_scratch.data,
                           .headers_len = shard->headers_scratch.len,
                           .at = emission->at };
    return bui_outbox_add(shard->store, &row, err);
}

/* ---- the handler's calls */

bus_status bui_tx_stick(bus_tx *tx, bus_status status)
{
    if (status != BUS_OK && !tx->error.status)
        tx->error.status = status;
    return status;
}

/* UUIDv5 of (cause id, service, route, index), so that a rerun makes the same id; of a random cause for a first cause. */
static void event_id_of(bus_tx *tx, char out[BUI_ID_TEXT])
{
    char digits[BUI_INT_DIGITS], *end = digits + sizeof digits, *index = bui_int_digits(tx->emitted, end);
    const char *cause = tx->delivery ? tx->delivery->event.id : tx->cause;
    const char *route = tx->delivery ? tx->delivery->scope : "";
    bui_part parts[] = { { cause, strlen(cause) },
                         { tx->shard->name, strlen(tx->shard->name) },
                         { route, strlen(route) },
                         { index, (size_t)(end - index) },
                         { tx->delivery ? tx->delivery->event.source : "", 0 } };
    size_t count = 4;
    if (tx->delivery && tx->delivery->foreign && *tx->delivery->event.source)
        parts[count++].len = strlen(tx->delivery->event.source); /* other producers may use the same id */
    bui_id_of(parts, count, out);
}

typedef struct outgoing {
    char id[BUI_ID_TEXT];
    const char *topic;
    int32_t partition; /* -1: by key */
    const void *key;
    size_t key_len;
    const void *value;
    size_t value_len;
    bui_cloud cloud;
    bool traced;                          /* the handler's own headers say the traceparent */
    bus_header headers[BUI_MOST_HEADERS]; /* of the handler's own */
    size_t header_count;
} outgoing;

/* The full form, as headers: what is planned is sent by a later hop. */
static size_t headers_of(const outgoing *out, bus_header headers[BUI_MOST_HEADERS])
{
    size_t n = bui_cloud_write(&out->cloud, headers);
    for (size_t i = 0; i < out->header_count; i++)
        headers[n++] = out->headers[i];
    return n;
}

/* In the framing that is configured. What the registry said of the id goes into the store with the first event that has it. */
static bus_status encode(bus_tx *tx, const char *topic, const bus_type *type, const void *body, bus_error *err)
{
    bui_shard *shard = tx->shard;
    bui_ids *ids = shard->options.ids;
    const bui_stamp *stamp;
    if (!ids || !ids->stamp)
        return bui_wire_encode(type, body, &shard->scratch, err);
    bus_status status = ids->stamp(ids, topic, type, &stamp, err);
    if (status == BUS_OK && !tx->discard)
        status = bui_answer_put(shard->store, stamp->question, stamp->answer, err);
    return status != BUS_OK ? status
                            : bui_wire_encode_with(type, stamp->framing, sizeof stamp->framing, body, &shard->scratch, err);
}

/* Declared types are announced when the process starts; others, above all replies, must be announced too. */
static void announce(bui_shard *shard, const bus_type *type, const char *topic)
{
    if (!topic || !shard->options.announce || bui_map_get(&shard->announced, &type, sizeof type))
        return;
    if (shard->options.announce(shard->options.announce_opaque, type))
        bui_map_put(&shard->announced, &type, sizeof type, shard); /* else again with the next */
}

/* A handler may well pass the headers of its event on. Headers that say what that record is would make this one something
 * else; if they were refused, each such event would become a dead letter. */
static void tell_reserved(bui_shard *shard, const char *topic, const char *header)
{
    bui_count(&shard->metrics.reserved_headers, 1);
    if (!shard->said.reserved_warned)
        bui_log(BUS_INFO, shard->where, "reserved_header",
                "a handler emits to %s with header %.80s, which only the bus may "
                "write: left out, like every header named bus-*, ce_*, __dlq.*, content-type or __value_schema_id (logged once)",
                topic, header);
    shard->said.reserved_warned = true;
}

static bus_status build(bus_tx *tx, const bus_type *type, bus_string key, const void *body, const bus_emit_options *options,
                        outgoing *out, bus_error *err)
{
    bui_shard *shard = tx->shard;
    if (options->has_partition && options->partition < 0)
        return bui_fail(err, BUS_INVALID, "an event of type %s for partition %d: partitions begin at 0", bus_type_name(type),
                        (int)options->partition);
    announce(shard, type, options->topic);
    out->topic = options->topic ? options->topic : bui_router_topic_of(shard->options.router, type);
    if (!out->topic)
        return bui_fail(err, BUS_INVALID, "%s is not declared in the `emits` of service %s", bus_type_name(type), shard->name);
    bui_buf_clear(&shard->scratch);
    bus_status status = encode(tx, out->topic, type, body, err);
    if (status != BUS_OK)
        return status;
    out->value = shard->scratch.data;
    out->value_len = shard->scratch.len;
    out->key = key.at;
    out->key_len = key.at ? key.len : 0;
    out->partition = options->has_partition ? options->partition : -1;
    event_id_of(tx, out->id);
    tx->emitted++;

    const bus_event *cause = tx->delivery ? &tx->delivery->event : NULL;
    const char *correlation = options->correlation;
    if (!correlation && cause)
        correlation = *cause->correlation ? cause->correlation : cause->id;
    out->traced = false;
    for (size_t i = 0; i < options->header_count; i++)
        out->traced |= options->headers[i].value && strcmp(options->headers[i].name, BUI_HEADER_TRACEPARENT) == 0;
    out->cloud = (bui_cloud){ .id = out->id,
                              .type = bus_type_name(type),
                              .source = shard->name,
                              .correlation = correlation,
                              .causation = cause ? cause->id : NULL,
                              .traceparent = cause && !out->traced ? cause->traceparent : NULL };
    out->header_count = 0;
    size_t own = 0;
    for (size_t i = 0; i < options->header_count; i++)
        own += !bui_header_reserved(options->headers[i].name);
    if (own > BUI_MOST_HEADERS - OWN_HEADERS)
        return bui_fail(err, BUS_INVALID, "an event of type %s with %zu headers; %d are allowed", bus_type_name(type), own,
                        BUI_MOST_HEADERS - OWN_HEADERS);
    for (size_t i = 0; i < options->header_count; i++)
        if (!bui_header_reserved(options->headers[i].name))
            out->headers[out->header_count++] = options->headers[i];
        else
            tell_reserved(shard, out->topic, options->headers[i].name);
    return BUS_OK;
}

static bus_status place(bui_shard *shard, const char *topic, const void *key, size_t key_len, const char *event_id,
                        int32_t *partition, bus_error *err)
{
    if (*partition >= 0)
        return BUS_OK;
    int32_t count = bui_partitions_of(shard, topic);
    if (count <= 0) {
        bui_fail(err, BUS_MISSING, "topic %s is not there: `bus topics apply` declares it", topic);
        if (err)
            err->retriable = true;
        return BUS_MISSING;
    }
    *partition = key ? bui_partition_of(key, key_len, count) : bui_partition_of(event_id, strlen(event_id), count);
    return BUS_OK;
}

static bus_status compacted_ok(const bus_tx *tx, const void *key, bus_error *err)
{
    if (key || !tx->delivery || !tx->delivery->route || !tx->delivery->route->compacted)
        return BUS_OK;
    return bui_fail(err, BUS_INVALID, "an event without a key from the compacted topic %s could not be made again: give it a key",
                    tx->delivery->event.topic);
}

static const bus_emit_options defaults;

bus_status bus_emit_with(bus_tx *tx, const bus_type *type, bus_string key, const void *body, const bus_emit_options *options)
{
    if (tx->error.status)
        return tx->error.status;
    outgoing out;
    bus_status status = compacted_ok(tx, key.at, &tx->error);
    if (status == BUS_OK)
        status = build(tx, type, key, body, options ? options : &defaults, &out, &tx->error);
    if (status != BUS_OK || tx->discard)
        return bui_tx_stick(tx, status);
    status = place(tx->shard, out.topic, out.key, out.key_len, out.id, &out.partition, &tx->error);
    if (status != BUS_OK)
        return bui_tx_stick(tx, status);
    bui_destination *destination = bui_destination_of(tx->shard->store, out.topic, out.partition, &tx->error);
    if (!destination)
        return bui_tx_stick(tx, tx->error.status ? tx->error.status : BUS_NOMEM);
    bui_emission emission = { .destination = destination,
                              .event_id = out.id,
                              .key = out.key,
                              .key_len = out.key_len,
                              .value = out.value,
                              .value_len = out.value_len,
                              .cloud = &out.cloud,
                              .headers = out.headers,
                              .header_count = out.header_count,
                              .event = true };
    bus_header all[BUI_MOST_HEADERS];
    if (out.traced) { /* a letter of the hop, too: it must be found among the headers */
        emission.header_count = headers_of(&out, all);
        emission.headers = all;
        emission.cloud = NULL;
    }
    return bui_tx_stick(tx, bui_emit_row(tx->shard, &emission, &tx->error));
}

bus_status bus_emit(bus_tx *tx, const bus_type *type, bus_string key, const void *body)
{
    return bus_emit_with(tx, type, key, body, &defaults);
}

/* The asker names the place, and destinations stay, so their number is limited. */
static bool takes_one_more(bui_shard *shard, const char *topic, int32_t partition)
{
    return bui_destination_known(shard->store, topic, partition) ||
           bui_destination_count(shard->store) < (size_t)shard->options.limits.reply_places;
}

static bool reply_place(const bus_tx *tx, char topic[250], int32_t *partition)
{
    return tx->delivery && bui_reply_address(tx->delivery->envelope.reply_to, topic, partition) &&
           takes_one_more(tx->shard, topic, *partition);
}

bool bus_reply_wanted(const bus_tx *tx)
{
    char topic[250];
    int32_t partition;
    return reply_place(tx, topic, &partition);
}

/* Nobody is answered, but the event is handled, because it is not the fault of its handler, nor of the events behind it. */
static bus_status no_reply(bus_tx *tx)
{
    bui_shard *shard = tx->shard;
    bui_slice to = tx->delivery->envelope.reply_to;
    char topic[250];
    int32_t partition;
    bui_count(&shard->metrics.replies_unsent, 1);
    if (!to.at || (shard->said.reply_told_us && shard->now_us - shard->said.reply_told_us < REPLY_TOLD_US))
        return BUS_OK;
    shard->said.reply_told_us = shard->now_us;
    if (bui_reply_address(to, topic, &partition))
        bui_log(BUS_WARN, shard->where, "reply_unsent",
                "event %.100s of %s asks for its reply on %s/%d, and this store has written to %d "
                "partitions already: raise replies.destinations.max. Logged once a minute",
                tx->delivery->event.id, tx->delivery->event.topic, topic, partition, shard->options.limits.reply_places);
    else
        bui_log(BUS_WARN, shard->where, "reply_unsent",
                "event %.100s of %s asks for its reply where none can be sent: bus-reply-to is "
                "<topic>/<partition>, and the topic's name ends with " BUI_REPLIES_SUFFIX ". It is handled and not answered. "
                "Logged once a minute",
                tx->delivery->event.id, tx->delivery->event.topic);
    return BUS_OK;
}

bus_status bus_reply(bus_tx *tx, const bus_type *type, const void *body)
{
    char topic[250];
    int32_t partition;
    if (tx->error.status)
        return tx->error.status;
    if (!tx->delivery)
        return bui_tx_stick(tx, bui_fail(&tx->error, BUS_INVALID, "bus_reply outside a delivery: there is no event to answer"));
    if (!reply_place(tx, topic, &partition))
        return no_reply(tx);
    const bus_event *event = &tx->delivery->event;
    bus_emit_options options = { .topic = topic,
                                 .correlation = *event->correlation ? event->correlation : event->id,
                                 .has_partition = true,
                                 .partition = partition };
    return bus_emit_with(tx, type, event->key, body, &options);
}

/* In a rebuild: the plan had left when its name was cancelled or planned again, by a clock that was later than the log's. Its row is made now. */
static bus_status left_before(bui_shard *shard, const char *name, bool *left, bus_error *err)
{
    bui_fates *fates = shard->options.fates;
    bui_scheduled event;
    *left = false;
    if (!fates || bui_schedule_find(shard->store, name, &shard->arena, &event, NULL) != BUS_OK)
        return BUS_OK;
    int32_t partition = event.partition;
    *left = place(shard, event.topic, event.key, event.key_len, event.event_id, &partition, NULL) == BUS_OK &&
            fates->left(fates, event.topic, partition, event.event_id);
    return *left ? bui_emit_scheduled(shard, &event, err) : BUS_OK;
}

/* In the store, in logs and at the audit a name is terminated text. */
static bus_status take_name(bus_tx *tx, bus_string name, const char **out, bus_error *err)
{
    if (!name.at || name.len == 0 || memchr(name.at, '\0', name.len))
        return bui_fail(err, BUS_INVALID,
                        "the name of a scheduled event is %s: it is text of at least one byte, without zero bytes",
                        name.len == 0 ? "empty" : "no text");
    *out = bui_arena_copy(&tx->shard->arena, name.at, name.len);
    return *out ? BUS_OK : bui_fail_nomem(err);
}

bus_status bus_schedule_with(bus_tx *tx, bus_string name, int64_t due_ms, const bus_type *type, bus_string key, const void *body,
                             const bus_emit_options *options)
{
    if (tx->error.status)
        return tx->error.status;
    const char *text;
    outgoing out;
    bool left;
    bus_status status = take_name(tx, name, &text, &tx->error);
    if (status == BUS_OK)
        status = compacted_ok(tx, key.at, &tx->error);
    if (status == BUS_OK)
        status = build(tx, type, key, body, options ? options : &defaults, &out, &tx->error);
    if (status == BUS_OK && !tx->discard)
        status = left_before(tx->shard, text, &left, &tx->error);
    if (status != BUS_OK || tx->discard)
        return bui_tx_stick(tx, status);
    bui_buf *packed = &tx->shard->headers_scratch;
    bus_header headers[BUI_MOST_HEADERS];
    size_t header_count = headers_of(&out, headers);
    bui_buf_clear(packed);
    bui_headers_pack(headers, header_count, packed);
    if (!bui_buf_ok(packed))
        return bui_tx_stick(tx, bui_fail_nomem(&tx->error));
    /* The hop header is counted at its longest, so that nothing is planned that could not be sent. */
    const bus_header hop[] = { { "bus-hop", "", strlen(out.topic) + strlen(tx->shard->name) + HOP_REST },
                               { BUI_HEADER_MAC, "", BUI_MAC_TEXT } };
    bui_sized sized = { out.key,    out.key_len,  out.value, out.value_len,
                        headers,    header_count, hop,       tx->shard->options.limits.keys ? 2 : 1,
                        packed->len };
    char what[120];
    snprintf(what, sizeof what, "scheduled event '%.80s'", text);
    status = bui_size_check(tx->shard, what, out.topic, &sized, &tx->error);
    if (status != BUS_OK)
        return bui_tx_stick(tx, status);
    bui_scheduled event = { .name = text,
                            .due = due_ms,
                            .event_id = out.id,
                            .topic = out.topic,
                            .partition = out.partition,
                            .key = out.key,
                            .key_len = out.key_len,
                            .value = out.value,
                            .value_len = out.value_len,
                            .headers = packed->data,
                            .headers_len = packed->len };
    return bui_tx_stick(tx, bui_schedule_put(tx->shard->store, &event, &tx->error));
}

bus_status bus_schedule(bus_tx *tx, bus_string name, int64_t due_ms, const bus_type *type, bus_string key, const void *body)
{
    return bus_schedule_with(tx, name, due_ms, type, key, body, &defaults);
}

bool bus_cancel(bus_tx *tx, bus_string name)
{
    const char *text;
    bool left;
    if (tx->error.status || bui_tx_stick(tx, take_name(tx, name, &text, &tx->error)) != BUS_OK || tx->discard ||
        bui_tx_stick(tx, left_before(tx->shard, text, &left, &tx->error)) != BUS_OK)
        return false;
    return bui_schedule_drop(tx->shard->store, text) && !left;
}

/* ---- a scheduled event that fell due */

bus_status bui_emit_scheduled(bui_shard *shard, const bui_scheduled *event, bus_error *err)
{
    int32_t partition = event->partition;
    bus_status status = place(shard, event->topic, event->key, event->key_len, event->event_id, &partition, err);
    if (status != BUS_OK)
        return status;
    bui_destination *destination = bui_destination_of(shard->store, event->topic, partition, err);
    if (!destination)
        return BUS_NOMEM;
    bus_header headers[BUI_MOST_HEADERS];
    size_t count = bui_headers_unpack(event->headers, event->headers_len, headers, BUI_MOST_HEADERS);
    if (count == SIZE_MAX)
        return bui_fail(err, BUS_CORRUPT, "the headers of scheduled event '%.80s' are damaged", event->name);
    bui_emission emission = { .destination = destination,
                              .event_id = event->event_id,
                              .key = event->key,
                              .key_len = event->key_len,
                              .value = event->value,
                              .value_len = event->value_len,
                              .headers = headers,
                              .header_count = count,
                              .event = true,
                              .scheduled = true };
    return bui_emit_row(shard, &emission, err);
}
