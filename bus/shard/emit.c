/* SPDX-License-Identifier: MIT
 * Emit: what a handler sends becomes rows of the outbox, in the handler's transaction. */
#include "shard/internal.h"

#include "base/error.h"
#include "codec/cloud.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOP_REST 96 /* of bus-hop, beside the names of service and topic */
#define OWN_HEADERS 10 /* of an event, at most: those of build(), and what the hop adds */
#define REPLY_TOLD_US 60000000

int32_t bus_partitions_of(bus_shard *shard, const char *topic)
{
    return (int32_t)(intptr_t)bus_map_get(&shard->output_partitions, topic, strlen(topic));
}

bus_status bus_emit_row(bus_shard *shard, const bus_emission *emission, bus_error *err)
{
    bus_destination *destination = emission->destination;
    char hop_text[640];
    if (!bus_relay_expect(shard, destination))
        return bus_fail_nomem(err);
    bus_hop hop = { .source = { destination->source, strlen(destination->source) },
                    .topic = { destination->topic, strlen(destination->topic) },
                    .partition = destination->partition,
                    .seq = destination->next_seq,
                    .attempt = emission->attempt,
                    .not_before = emission->not_before };
    if (emission->token)
        hop.token = (bus_slice){ emission->token, strlen(emission->token) };
    size_t hop_len = bus_hop_write(&hop, hop_text, sizeof hop_text);
    if (hop_len == 0)
        return bus_fail(err, BUS_BUG, "bus-hop for %s does not fit", destination->topic);

    char mac[BUS_MAC_TEXT];
    bus_header own[2] = { { "bus-hop", hop_text, hop_len } };
    if (shard->options.limits.keys) {
        const bus_sealed sealed = { .topic = destination->topic, .partition = destination->partition, .key = emission->key,
                                    .key_len = emission->key_len, .value = emission->value, .value_len = emission->value_len,
                                    .headers = emission->headers, .header_count = emission->header_count, .more = own, .more_count = 1 };
        own[1] = (bus_header){ BUS_HEADER_MAC, mac, bus_mac_write(shard->options.limits.keys, &sealed, mac) };
    }
    bus_buf_clear(&shard->headers_scratch);
    bus_headers_pack_both(emission->headers, emission->header_count, own, own[1].len ? 2 : 1, &shard->headers_scratch);
    if (!bus_buf_ok(&shard->headers_scratch))
        return bus_fail_nomem(err);

    bus_sized sized = { emission->key, emission->key_len, emission->value, emission->value_len, emission->headers,
                        emission->header_count, own, own[1].len ? 2 : 1, shard->headers_scratch.len };
    bus_status fits = emission->unchecked ? BUS_OK : bus_size_check(shard, "an event", destination->topic, &sized, err);
    if (fits)
        return fits;

    bus_outbox_row row = { .destination = destination, .event_id = emission->event_id, .key = emission->key,
                           .key_len = emission->key_len, .value = emission->value, .value_len = emission->value_len,
                           .headers = shard->headers_scratch.data, .headers_len = shard->headers_scratch.len,
                           .at = emission->at };
    return bus_outbox_add(shard->store, &row, err);
}

/* ---- the handler's calls */

static bus_status stick(bus_tx *tx, bus_status status)
{
    if (status && !tx->error.status)
        tx->error.status = status;
    return status;
}

/* UUIDv5 of (cause id, service, route, index), so that a rerun makes the same id; of a random cause for a first cause. */
static void event_id_of(bus_tx *tx, char out[BUS_ID_TEXT])
{
    char index[16];
    int n = snprintf(index, sizeof index, "%d", tx->emitted);
    const char *cause = tx->delivery ? tx->delivery->event.id : tx->cause;
    const char *route = tx->delivery ? tx->delivery->scope : "";
    bus_part parts[] = { { cause, strlen(cause) }, { tx->shard->name, strlen(tx->shard->name) }, { route, strlen(route) },
                         { index, (size_t)n }, { tx->delivery ? tx->delivery->event.source : "", 0 } };
    size_t count = 4;
    if (tx->delivery && tx->delivery->foreign && *tx->delivery->event.source)
        parts[count++].len = strlen(tx->delivery->event.source); /* other producers may use the same id */
    bus_id_of(parts, count, out);
}

typedef struct outgoing {
    char id[BUS_ID_TEXT];
    const char *topic;
    int32_t partition;       /* -1: by key */
    const void *key; size_t key_len;
    const void *value; size_t value_len;
    bus_header headers[BUS_MOST_HEADERS];
    size_t header_count;
} outgoing;

/* In the framing that is configured. What the registry said of the id goes into the store with the first event that has it. */
static bus_status encode(bus_tx *tx, const char *topic, const bus_type *type, const void *body, bus_error *err)
{
    bus_shard *shard = tx->shard;
    bus_ids *ids = shard->options.ids;
    const bus_stamp *stamp;
    if (!ids || !ids->stamp)
        return bus_wire_encode(type, body, &shard->scratch, err);
    bus_status status = ids->stamp(ids, topic, type, &stamp, err);
    if (status == BUS_OK && !tx->discard)
        status = bus_answer_put(shard->store, stamp->question, stamp->answer, err);
    return status ? status : bus_wire_encode_with(type, stamp->framing, sizeof stamp->framing, body, &shard->scratch, err);
}

/* What is declared is announced when the process starts; of others, replies above all, others must learn the schema as well. */
static void announce(bus_shard *shard, const bus_type *type, const char *topic)
{
    if (!topic || !shard->options.announce || bus_map_get(&shard->announced, &type, sizeof type))
        return;
    if (shard->options.announce(shard->options.announce_opaque, type))
        bus_map_put(&shard->announced, &type, sizeof type, shard); /* else again with the next */
}

/* A handler may well pass the headers of its event on. Those that say what that record is would make another of this one; refused,
 * each such event would end as a dead letter. */
static void tell_reserved(bus_shard *shard, const char *topic, const char *header)
{
    bus_count(&shard->metrics.reserved_headers, 1);
    if (!shard->said.reserved_warned)
        bus_log(BUS_INFO, shard->where, "reserved_header", "a handler emits to %s with header %.80s, which is the bus's to write: left out, "
                "as any named bus-*, ce_*, __dlq.*, content-type or __value_schema_id (told once)", topic, header);
    shard->said.reserved_warned = true;
}

static bus_status build(bus_tx *tx, const bus_type *type, const void *body, const bus_emit_options *options, outgoing *out,
                        bus_error *err)
{
    bus_shard *shard = tx->shard;
    announce(shard, type, options->topic);
    out->topic = options->topic ? options->topic : bus_router_topic_of(shard->options.router, type);
    if (!out->topic)
        return bus_fail(err, BUS_INVALID, "%s is not declared in the `emits` of service %s", bus_type_name(type), shard->name);
    bus_buf_clear(&shard->scratch);
    bus_status status = encode(tx, out->topic, type, body, err);
    if (status)
        return status;
    out->value = shard->scratch.data;
    out->value_len = shard->scratch.len;
    out->key = options->key;
    out->key_len = options->key ? options->key_len : 0;
    out->partition = options->explicit_partition ? options->partition : -1;
    event_id_of(tx, out->id);
    tx->emitted++;

    const bus_event *cause = tx->delivery ? &tx->delivery->event : NULL;
    bool compact = shard->options.limits.compact_envelope;
    const char *correlation = options->correlation;
    if (!correlation && cause && !compact)
        correlation = *cause->correlation ? cause->correlation : cause->id;
    const bus_cloud cloud = { .id = out->id, .type = bus_type_name(type), .source = shard->name, .correlation = correlation,
                              .causation = cause ? cause->id : NULL, .traceparent = cause ? cause->traceparent : NULL, .compact = compact };
    out->header_count = bus_cloud_write(&cloud, out->headers);
    size_t own = 0;
    for (size_t i = 0; i < options->header_count; i++)
        own += !bus_header_reserved(options->headers[i].name);
    if (own > BUS_MOST_HEADERS - OWN_HEADERS)
        return bus_fail(err, BUS_INVALID, "an event of type %s with %zu headers of its own; %d are allowed", bus_type_name(type), own,
                        BUS_MOST_HEADERS - OWN_HEADERS);
    for (size_t i = 0; i < options->header_count; i++)
        if (!bus_header_reserved(options->headers[i].name))
            out->headers[out->header_count++] = options->headers[i];
        else
            tell_reserved(shard, out->topic, options->headers[i].name);
    return BUS_OK;
}

static bus_status place(bus_shard *shard, const char *topic, const void *key, size_t key_len, const char *event_id,
                        int32_t *partition, bus_error *err)
{
    if (*partition >= 0)
        return BUS_OK;
    int32_t count = bus_partitions_of(shard, topic);
    if (count <= 0) {
        bus_fail(err, BUS_MISSING, "topic %s is not there: `bus topics apply` declares it", topic);
        if (err)
            err->retriable = true;
        return BUS_MISSING;
    }
    *partition = key ? bus_partition_of(key, key_len, count) : bus_partition_of(event_id, strlen(event_id), count);
    return BUS_OK;
}

static bus_status compacted_ok(const bus_tx *tx, const void *key, bus_error *err)
{
    if (key || !tx->delivery || !tx->delivery->route || !tx->delivery->route->compacted)
        return BUS_OK;
    return bus_fail(err, BUS_INVALID, "an event without a key from the compacted topic %s could not be made again: give it a key",
                    tx->delivery->event.topic);
}

bus_status bus_send(bus_tx *tx, const bus_type *type, const void *body, const bus_emit_options *options)
{
    static const bus_emit_options defaults;
    if (tx->error.status)
        return tx->error.status;
    if (!options)
        options = &defaults;
    outgoing out;
    bus_status status = compacted_ok(tx, options->key, &tx->error);
    if (status || (status = build(tx, type, body, options, &out, &tx->error)) || tx->discard)
        return stick(tx, status);
    if ((status = place(tx->shard, out.topic, out.key, out.key_len, out.id, &out.partition, &tx->error)))
        return stick(tx, status);
    bus_destination *destination = bus_destination_of(tx->shard->store, out.topic, out.partition, &tx->error);
    if (!destination)
        return stick(tx, tx->error.status ? tx->error.status : BUS_NOMEM);
    bus_emission emission = { .destination = destination, .event_id = out.id, .key = out.key, .key_len = out.key_len,
                              .value = out.value, .value_len = out.value_len, .headers = out.headers,
                              .header_count = out.header_count };
    return stick(tx, bus_emit_row(tx->shard, &emission, &tx->error));
}

bus_status bus_emit(bus_tx *tx, const bus_type *type, const char *key, const void *body)
{
    bus_emit_options options = { .key = key, .key_len = key ? strlen(key) : 0 };
    return bus_send(tx, type, body, &options);
}

/* Whoever asks names the place: those that are there stay, so there may be only so many. */
static bool takes_one_more(bus_shard *shard, const char *topic, int32_t partition)
{
    return bus_destination_known(shard->store, topic, partition) ||
           bus_destination_count(shard->store) < (size_t)shard->options.limits.reply_places;
}

static bool reply_place(const bus_tx *tx, char topic[250], int32_t *partition)
{
    return tx->delivery && bus_reply_address(tx->delivery->envelope.reply_to, topic, partition) &&
           takes_one_more(tx->shard, topic, *partition);
}

bool bus_reply_wanted(const bus_tx *tx)
{
    char topic[250];
    int32_t partition;
    return reply_place(tx, topic, &partition);
}

/* Nobody is answered: the event is handled all the same, for it is not its handler's fault, nor that of those behind it. */
static bus_status no_reply(bus_tx *tx)
{
    bus_shard *shard = tx->shard;
    bus_slice to = tx->delivery->envelope.reply_to;
    char topic[250];
    int32_t partition;
    bus_count(&shard->metrics.replies_unsent, 1);
    if (!to.at || (shard->said.reply_told_us && shard->now_us - shard->said.reply_told_us < REPLY_TOLD_US))
        return BUS_OK;
    shard->said.reply_told_us = shard->now_us;
    if (bus_reply_address(to, topic, &partition))
        bus_log(BUS_WARN, shard->where, "reply_unsent", "event %.100s of %s asks for its reply on %s/%d, and this store has written to %d "
                "partitions already: raise replies.destinations.max. Told once a minute", tx->delivery->event.id,
                tx->delivery->event.topic, topic, partition, shard->options.limits.reply_places);
    else
        bus_log(BUS_WARN, shard->where, "reply_unsent", "event %.100s of %s asks for its reply at a place where none can go: bus-reply-to is "
                "<topic>/<partition>, and the topic's name ends with " BUS_REPLIES_SUFFIX ". It is handled and not answered. Told once a "
                "minute", tx->delivery->event.id, tx->delivery->event.topic);
    return BUS_OK;
}

bus_status bus_reply(bus_tx *tx, const bus_type *type, const void *body)
{
    char topic[250];
    int32_t partition;
    if (tx->error.status)
        return tx->error.status;
    if (!tx->delivery)
        return stick(tx, bus_fail(&tx->error, BUS_INVALID, "bus_reply outside a delivery: there is no event to answer"));
    if (!reply_place(tx, topic, &partition))
        return no_reply(tx);
    const bus_event *event = &tx->delivery->event;
    bus_emit_options options = { .topic = topic, .key = event->key, .key_len = event->key_len, .partition = partition,
                                 .explicit_partition = true,
                                 .correlation = *event->correlation ? event->correlation : event->id };
    return bus_send(tx, type, body, &options);
}

/* In a rebuild: the plan had left when its name was cancelled or planned again, by a clock that was later than the log's. Its row is made now. */
static bus_status left_before(bus_shard *shard, const char *name, bool *left, bus_error *err)
{
    bus_fates *fates = shard->options.fates;
    bus_scheduled event;
    *left = false;
    if (!fates || bus_schedule_find(shard->store, name, &shard->arena, &event, NULL))
        return BUS_OK;
    int32_t partition = event.partition;
    *left = place(shard, event.topic, event.key, event.key_len, event.event_id, &partition, NULL) == BUS_OK &&
            fates->left(fates, event.topic, partition, event.event_id);
    return *left ? bus_emit_scheduled(shard, &event, err) : BUS_OK;
}

bus_status bus_schedule(bus_tx *tx, const char *name, int64_t due, const bus_type *type, const char *key, const void *body)
{
    if (tx->error.status)
        return tx->error.status;
    bus_emit_options options = { .key = key, .key_len = key ? strlen(key) : 0 };
    outgoing out;
    bus_status status = compacted_ok(tx, key, &tx->error);
    bool left;
    if (status || (status = build(tx, type, body, &options, &out, &tx->error)) || tx->discard ||
        (status = left_before(tx->shard, name, &left, &tx->error)))
        return stick(tx, status);
    bus_buf *packed = &tx->shard->headers_scratch;
    bus_buf_clear(packed);
    bus_headers_pack(out.headers, out.header_count, packed);
    if (!bus_buf_ok(packed))
        return stick(tx, bus_fail_nomem(&tx->error));
    /* What the hop header will add is counted at its most, so that nothing is planned that could not leave. */
    const bus_header hop[] = { { "bus-hop", "", strlen(out.topic) + strlen(tx->shard->name) + HOP_REST }, { BUS_HEADER_MAC, "", BUS_MAC_TEXT } };
    bus_sized sized = { out.key, out.key_len, out.value, out.value_len, out.headers, out.header_count, hop,
                        tx->shard->options.limits.keys ? 2 : 1, packed->len };
    char what[120];
    snprintf(what, sizeof what, "scheduled event '%.80s'", name);
    if ((status = bus_size_check(tx->shard, what, out.topic, &sized, &tx->error)))
        return stick(tx, status);
    bus_scheduled event = { .name = name, .due = due, .event_id = out.id, .topic = out.topic, .partition = -1, .key = out.key,
                            .key_len = out.key_len, .value = out.value, .value_len = out.value_len, .headers = packed->data,
                            .headers_len = packed->len };
    return stick(tx, bus_schedule_put(tx->shard->store, &event, &tx->error));
}

bool bus_cancel(bus_tx *tx, const char *name)
{
    bool left;
    if (tx->error.status || tx->discard || stick(tx, left_before(tx->shard, name, &left, &tx->error)))
        return false;
    return bus_schedule_drop(tx->shard->store, name) && !left;
}

/* ---- a scheduled event that fell due */

bus_status bus_emit_scheduled(bus_shard *shard, const bus_scheduled *event, bus_error *err)
{
    int32_t partition = event->partition;
    bus_status status = place(shard, event->topic, event->key, event->key_len, event->event_id, &partition, err);
    if (status)
        return status;
    bus_destination *destination = bus_destination_of(shard->store, event->topic, partition, err);
    if (!destination)
        return BUS_NOMEM;
    bus_header headers[BUS_MOST_HEADERS];
    size_t count = bus_headers_unpack(event->headers, event->headers_len, headers, BUS_MOST_HEADERS);
    if (count == SIZE_MAX)
        return bus_fail(err, BUS_CORRUPT, "the headers of scheduled event '%.80s' are damaged", event->name);
    bus_emission emission = { .destination = destination, .event_id = event->event_id, .key = event->key,
                              .key_len = event->key_len, .value = event->value, .value_len = event->value_len,
                              .headers = headers, .header_count = count };
    return bus_emit_row(shard, &emission, err);
}
