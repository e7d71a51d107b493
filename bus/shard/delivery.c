/* SPDX-License-Identifier: MIT
 * Delivery: what a record looks like to a handler. Copies of a record (retry, redrive, replay) show the original's topic,
 * partition, offset and time. */
#include "shard/internal.h"

#include "base/error.h"
#include "codec/compact.h"
#include <bus/type.h>
#include <endian.h>
#include <stdio.h>
#include <string.h>

const void *bus_event_body(const bus_event *event, const bus_type *type)
{
    return event->type == type ? event->body : NULL;
}

uint64_t bui_record_hash(const bui_record *record, int kind)
{
    uint64_t hash = bui_hash(record->key, record->key ? record->key_len : 0, 1);
    hash = bui_hash(record->value, record->value ? record->value_len : 0, hash);
    if (kind == 0)
        return hash;
    int64_t time = (int64_t)htole64((uint64_t)record->timestamp);
    hash = bui_hash(&time, sizeof time, hash);
    for (size_t i = 0; i < record->header_count; i++) {
        const bus_header *header = &record->headers[i];
        hash = bui_hash(header->name, strlen(header->name), hash);
        hash = bui_hash(header->value, header->value ? header->len : 0, hash);
    }
    return hash;
}

static const char *text_of(bui_arena *arena, bui_slice slice)
{
    return slice.at && slice.len ? bui_arena_copy(arena, slice.at, slice.len) : "";
}

/* Another log in the topic's place has other events at the same places: its life tells them apart. */
static char *id_of_position(bui_shard *shard, bui_arena *arena, const bus_event *event)
{
    char *id = bui_arena_alloc(arena, BUI_ID_TEXT);
    if (id)
        bui_id_of_place(event->topic, event->partition, event->offset,
                        bui_position_life(shard->store, event->topic, event->partition), id);
    return id;
}

/* A keyless event is its own key. A 0 byte in front keeps it apart from a key that spells the same. */
static bool waits_by(bui_delivery *delivery, bui_arena *arena)
{
    if (delivery->event.key.at) {
        delivery->key = delivery->event.key.at;
        delivery->key_len = delivery->event.key.len;
        return true;
    }
    size_t n = strlen(delivery->event.id);
    char *key = bui_arena_alloc(arena, n + 1);
    if (!key)
        return false;
    key[0] = 0;
    memcpy(key + 1, delivery->event.id, n);
    delivery->key = key;
    delivery->key_len = n + 1;
    return true;
}

/* Copies wait by keys of their own, one for each key of events: they neither park behind live events nor hold these up. Two 0 bytes in
 * front: no key of a keyless event begins so. */
static bool waits_as_copy(bui_delivery *delivery, bui_arena *arena)
{
    size_t n = delivery->key_len;
    char *key = bui_arena_alloc(arena, n + 2);
    if (!key)
        return false;
    key[0] = key[1] = 0;
    memcpy(key + 2, delivery->key, n);
    delivery->key = key;
    delivery->key_len = n + 2;
    return true;
}

bool bui_delivery_is_copy(bui_delivery *delivery, bui_arena *arena, const char *run, size_t len)
{
    if (len >= sizeof delivery->run)
        len = sizeof delivery->run - 1;
    memcpy(delivery->run, run, len);
    delivery->run[len] = 0;
    delivery->event.replay = true;
    delivery->event.attempts = 1;
    return waits_as_copy(delivery, arena);
}

static void undecodable(bui_delivery *delivery, const bus_error *why)
{
    delivery->undecodable = true;
    snprintf(delivery->fault, sizeof delivery->fault, "%.200s", why->text);
}

/* The topic of a copy is the original's, as the router's own string where it knows it. */
static const char *original_topic(bui_shard *shard, bui_arena *arena, const bui_envelope *envelope)
{
    for (size_t i = 0; i < shard->input_count; i++) {
        const char *topic = shard->input[i].declared->topic;
        if (strlen(topic) == envelope->orig.topic.len && memcmp(topic, envelope->orig.topic.at, envelope->orig.topic.len) == 0)
            return topic;
    }
    return text_of(arena, envelope->orig.topic);
}

/* The type's name: ce_type, or that of the schema that wrote it, if known. */
static const char *type_of(bui_shard *shard, bui_arena *arena, const bui_delivery *out)
{
    if (out->envelope.type.len)
        return text_of(arena, out->envelope.type);
    const bui_schema *schema = bui_catalog_writer(shard->options.catalog, &out->framing);
    return schema ? bui_schema_name(schema) : "";
}

/* The schema is not known: it may still be announced, or the registry may answer. Without a registry nobody will. */
static bus_status unknown(bui_shard *shard, bui_delivery *delivery, const bus_error *why, bus_error *err)
{
    bus_error local = *why;
    bui_ids *ids = shard->options.ids;
    if (!delivery->framing.reference_len || ids) {
        local.retriable = false;
        if (delivery->framing.reference_len)
            ids->want(ids, &delivery->framing, &local);
        if (err)
            *err = local;
        return BUS_MISSING;
    }
    bui_fail_in(&local, "set registry.url");
    undecodable(delivery, &local);
    return BUS_OK;
}

/* Neither ce_type nor a known schema: if it is framed its schema may still be announced, else nobody can read it. */
static bus_status nameless(bui_shard *shard, bui_delivery *delivery, bus_error *err)
{
    bus_error why = { 0 };
    char question[BUI_QUESTION];
    if (delivery->undecodable)
        return BUS_OK;
    bui_framing_question(&delivery->framing, question);
    if (delivery->framing.kind == BUI_FRAMED_FINGERPRINT)
        bui_fail(&why, BUS_MISSING, "no schema with fingerprint %016llx is known: it should be on bus.schemas",
                 (unsigned long long)delivery->framing.fingerprint);
    else if (delivery->framing.kind != BUI_FRAMED_NOT)
        bui_fail(&why, BUS_MISSING, "no ce_type header, and written with the schema that a registry calls %s", question);
    else
        bui_fail(&why, BUS_CORRUPT, "no ce_type header, and the bytes are not in an Avro framing");
    if (why.status == BUS_MISSING)
        return unknown(shard, delivery, &why, err);
    undecodable(delivery, &why);
    return BUS_OK;
}

bus_status bui_delivery_decode(bui_shard *shard, bui_delivery *delivery, bui_arena *arena, bus_error *err)
{
    bus_event *event = &delivery->event;
    if (!delivery->route && !*event->type_name && event->value.at)
        return nameless(shard, delivery, err);
    if (delivery->undecodable || !delivery->route || !delivery->route->type || event->body)
        return BUS_OK;
    bus_error why;
    bui_error_clear(&why);
    bus_status status = bui_catalog_decode_framed(shard->options.catalog, &delivery->framing, delivery->route->type,
                                                  event->value.at, event->value.len, arena, &event->body, &why);
    if (status == BUS_OK) {
        event->type = delivery->route->type;
        return BUS_OK;
    }
    if (status == BUS_MISSING)
        return unknown(shard, delivery, &why, err);
    if (status == BUS_NOMEM) {
        if (err)
            *err = why;
        return status;
    }
    undecodable(delivery, &why);
    return BUS_OK;
}

bus_status bui_delivery_keep(bui_shard *shard, const bui_delivery *delivery, bus_error *err)
{
    char question[BUI_QUESTION];
    const bui_schema *schema;
    if (!delivery->framing.reference_len || !(schema = bui_catalog_writer(shard->options.catalog, &delivery->framing)))
        return BUS_OK;
    bui_framing_question(&delivery->framing, question);
    return bui_answer_put(shard->store, question, bui_schema_json(schema, NULL), err);
}

bui_identity bui_identity_of(const bui_delivery *delivery)
{
    const bus_event *event = &delivery->event;
    return (bui_identity){ event->topic, event->partition, event->id, delivery->foreign ? event->source : NULL };
}

/* Only what came by command may say that it is a copy: everybody can write those headers to an input. */
static void read_envelope(const bui_record *record, int command, bui_delivery *out)
{
    bus_error why;
    bui_error_clear(&why);
    bus_status status = command == BUI_COMMAND_NONE
                            ? bui_envelope_read_event(record->headers, record->header_count, &out->envelope, &why)
                            : bui_envelope_read(record->headers, record->header_count, &out->envelope, &why);
    if (status != BUS_OK) {
        memset(&out->envelope, 0, sizeof out->envelope);
        undecodable(out, &why);
    }
    out->command = command == BUI_COMMAND_UNSAID ? (int)out->envelope.command : command;
}

/* A copy has one: it would hold nothing up, but what fails in a run of copies must be seen while the run can be stopped. */
static int attempts_of(const bui_shard *shard, const bui_delivery *delivery)
{
    return !delivery->route || delivery->event.replay ? 1 : bui_router_attempts(shard->options.router, delivery->route);
}

bus_status bui_delivery_read(bui_shard *shard, const bui_record *record, int command, bui_arena *arena, bool decode,
                             bui_delivery *out, bus_error *err)
{
    memset(out, 0, offsetof(bui_delivery, fault));
    out->fault[0] = 0;
    read_envelope(record, command, out);
    bus_event *event = &out->event;
    const bui_envelope *envelope = &out->envelope;
    bool copy = out->command != BUI_COMMAND_NONE && envelope->orig.topic.at;
    event->topic = copy ? original_topic(shard, arena, envelope) : record->topic;
    event->partition = copy ? envelope->orig.partition : record->partition;
    event->offset = copy ? envelope->orig.offset : record->offset;
    event->time_ms = out->timestamp = copy ? envelope->orig.timestamp : record->timestamp;
    event->key = (bus_string){ record->key, record->key ? record->key_len : 0 };
    event->value = (bus_bytes){ record->value, record->value ? record->value_len : 0 };
    event->headers = record->headers;
    event->header_count = record->header_count;
    event->attempt = 1;
    event->id = envelope->id.len ? text_of(arena, envelope->id) : id_of_position(shard, arena, event);
    event->source = text_of(arena, envelope->source);
    event->correlation = text_of(arena, envelope->correlation);
    event->causation = text_of(arena, envelope->causation);
    event->traceparent = text_of(arena, envelope->traceparent);
    bui_framing_read(event->value.at, event->value.len, envelope->schema_id, &out->framing);
    event->type_name = type_of(shard, arena, out);
    out->foreign = copy ? !envelope->orig.hop_is_own
                        : !bui_hop_names(&envelope->hop, (bui_slice){ record->topic, strlen(record->topic) }, record->partition);
    event->scheduled = !out->foreign && (copy ? envelope->orig.scheduled : envelope->hop.scheduled);
    out->bodiless = copy && !event->value.at && envelope->body.kind == BUI_BODY_AT;
    if (!event->topic || !event->id || !event->source || !event->correlation || !event->causation || !event->traceparent ||
        !event->type_name || !waits_by(out, arena) ||
        (out->command == BUI_COMMAND_REPLAY &&
         !bui_delivery_is_copy(out, arena, envelope->command_id.at, envelope->command_id.len)))
        return bui_fail_nomem(err);
    out->route =
        bui_router_find(shard->options.router, event->topic, event->type_name, strlen(event->type_name), !event->value.at);
    event->attempts = attempts_of(shard, out);
    out->scope = out->route ? bui_router_scope(shard->options.router, out->route) : event->topic;
    return decode ? bui_delivery_decode(shard, out, arena, err) : BUS_OK;
}

/* A foreign producer's repeats land on the same partition, and a reset of that partition must be able to forget them. */
size_t bui_dedup_source(char out[BUI_DEDUP_SOURCE], const bui_identity *event)
{
    int n = snprintf(out, BUI_DEDUP_SOURCE, "%s/%d %s", event->topic, event->partition, event->source ? event->source : "");
    return n < BUI_DEDUP_SOURCE ? (size_t)n : BUI_DEDUP_SOURCE - 1;
}

bool bui_record_authentic(const bui_keys *keys, const bui_record *record, const char *speaker, bus_error *why)
{
    const bui_sealed sealed = { .topic = record->topic,
                                .partition = record->partition,
                                .key = record->key,
                                .key_len = record->key_len,
                                .value = record->value,
                                .value_len = record->value_len,
                                .headers = record->headers,
                                .header_count = record->header_count };
    return !bui_keys_require(keys, record->topic) || bui_mac_check(keys, &sealed, speaker, why) == BUS_OK;
}

/* ---- copies of it */

/* A dead letter must be one that everybody can read, also that of an event whose own headers nobody can. */
static bool readable(const bus_header *header)
{
    bui_envelope envelope;
    return bui_envelope_read(header, 1, &envelope, NULL) == BUS_OK;
}

bus_header *bui_copy_headers(const bui_delivery *delivery, size_t more, bui_arena *arena, size_t *out_count,
                             char orig_text[BUI_ORIG_TEXT])
{
    const bus_event *event = &delivery->event;
    bus_header *out = bui_arena_alloc(arena, (event->header_count + BUI_COMPACT_MORE + 1 + more) * sizeof *out);
    size_t count = 0;
    if (!out)
        return NULL;
    size_t all = bui_compact_unpack(event->headers, event->header_count, out);
    for (size_t i = 0; i < all; i++)
        if (bui_header_travels(out[i].name) && (!delivery->undecodable || readable(&out[i])))
            out[count++] = out[i];
    bui_orig orig = { .topic = { event->topic, strlen(event->topic) },
                      .partition = event->partition,
                      .offset = event->offset,
                      .timestamp = delivery->timestamp,
                      .hop = delivery->envelope.orig.hop };
    if (!delivery->envelope.orig.topic.at && !delivery->foreign)
        orig.hop = delivery->envelope.hop.own;
    out[count++] = (bus_header){ "bus-orig", orig_text, bui_orig_write(&orig, orig_text, BUI_ORIG_TEXT) };
    *out_count = count;
    return out;
}
