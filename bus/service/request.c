/* SPDX-License-Identifier: MIT
 * Request: bus_request, and the thread that reads replies and matches them by correlation id. */
#include "base/arena.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/id.h"
#include "base/log.h"
#include "base/map.h"
#include "base/wait.h"
#include "codec/envelope.h"
#include "codec/wire.h"
#include "kafka/admin.h"
#include "kafka/reader.h"
#include "service/announce.h"
#include "service/outlet.h"
#include "service/replies.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPEN_MS 5000
#define STOP_LOOK_US 1000000 /* so that bus_stop is noticed */
#define NEXT_MS 100
#define LEARN_MS 20          /* between looks for a schema that has not come yet */
#define REPLY_BYTES (64u << 20) /* of one decoded reply */

struct bus_replies {
    bus *self;
    bus_kafka_reader *reader;
    pthread_t thread;
    bool started;
    atomic_bool quit;
    char topic[250];
    int32_t partition;
    uint64_t forged;
    pthread_mutex_t lock;
    bus_map waiting;         /* correlation id -> pending */
};

/* A request that waits. The reader's thread copies the reply into `arena` and signals; the caller decodes. */
typedef struct pending {
    char id[BUS_ID_TEXT];
    pthread_cond_t arrived;
    bool over;
    bool lost;               /* no memory for it */
    bus_arena arena;
    bus_event event;         /* type and body still absent */
} pending;

/* ---- the reader's thread */

static const char *copy_slice(bus_arena *arena, bus_slice slice)
{
    return slice.at ? bus_arena_copy(arena, slice.at, slice.len) : "";
}

static bool copy_reply(pending *request, const bus_record *record, const bus_envelope *envelope)
{
    bus_arena *arena = &request->arena;
    bus_event *event = &request->event;
    bus_header *headers = bus_arena_alloc(arena, record->header_count * sizeof *headers + 1);
    *event = (bus_event){
        .topic = bus_arena_copy(arena, record->topic, strlen(record->topic)),
        .partition = record->partition,
        .offset = record->offset,
        .id = copy_slice(arena, envelope->id),
        .source = copy_slice(arena, envelope->source),
        .type_name = copy_slice(arena, envelope->type),
        .correlation = copy_slice(arena, envelope->correlation),
        .causation = copy_slice(arena, envelope->causation),
        .traceparent = copy_slice(arena, envelope->traceparent),
        .time = record->timestamp,
        .attempt = 1,
        .key = record->key ? bus_arena_copy(arena, record->key, record->key_len) : NULL,
        .key_len = record->key_len,
        .value = record->value ? bus_arena_copy(arena, record->value, record->value_len) : NULL,
        .value_len = record->value_len,
        .headers = headers,
        .header_count = record->header_count,
    };
    bool ok = headers && event->topic && event->id && event->source && event->type_name && event->correlation &&
              event->causation && event->traceparent && (event->key || !record->key) && (event->value || !record->value);
    for (size_t i = 0; ok && i < record->header_count; i++) {
        const bus_header *from = &record->headers[i];
        headers[i] = (bus_header){ bus_arena_copy(arena, from->name, strlen(from->name)),
                                   from->value ? bus_arena_copy(arena, from->value, from->len) : NULL, from->len };
        ok = headers[i].name && (headers[i].value || !from->value);
    }
    return ok;
}

static void on_reply(bus_replies *replies, const bus_record *record)
{
    bus_envelope envelope;
    bus_error why;
    if (!bus_record_authentic(replies->self->keys, record, NULL, &why)) {
        if (!replies->forged++)
            bus_log(BUS_ERROR, replies->self->name, "forged", "%s/%d offset %lld: %s; this answer and others like it are passed over",
                    record->topic, record->partition, (long long)record->offset, why.text);
        return;
    }
    if (bus_envelope_read(record->headers, record->header_count, &envelope, NULL) != BUS_OK || !envelope.correlation.at)
        return; /* nobody can be waiting for it */
    pthread_mutex_lock(&replies->lock);
    pending *request = bus_map_remove(&replies->waiting, envelope.correlation.at, envelope.correlation.len);
    if (request) { /* else another process's, or one that came too late, or a second answer */
        request->lost = !copy_reply(request, record, &envelope);
        request->over = true;
        pthread_cond_signal(&request->arrived);
    }
    pthread_mutex_unlock(&replies->lock);
}

static void *replies_main(void *arg)
{
    bus_replies *replies = arg;
    while (!atomic_load(&replies->quit)) {
        const bus_record *record;
        bus_error err = { 0 };
        bus_status status = bus_kafka_reader_next(replies->reader, NEXT_MS, &record, &err);
        if (status == BUS_OK) {
            on_reply(replies, record);
        } else if (status != BUS_TIMEOUT) {
            bus_log(BUS_ERROR, replies->self->name, "replies_unread", "cannot read %s/%" PRId32 ", so requests will time out: %s",
                    replies->topic, replies->partition, err.text);
            break;
        }
    }
    return NULL;
}

/* ---- open and close */

static bus_status choose_partition(bus_replies *replies, bus_error *err)
{
    bus *self = replies->self;
    bus_kafka_admin *admin = NULL;
    bus_kafka_topic *found = NULL;
    size_t count = 0;
    const char *names[] = { replies->topic };
    bus_status status = bus_kafka_admin_open(self->config, self->name, &admin, err);
    if (status == BUS_OK)
        status = bus_kafka_admin_topics(admin, names, 1, false, OPEN_MS, &found, &count, err);
    if (status == BUS_OK && (count == 0 || found[0].partitions < 1))
        status = bus_fail(err, BUS_MISSING, "topic %s is missing, so nothing could be answered; run `bus topics apply`",
                          replies->topic);
    if (status == BUS_OK) {
        /* Processes of one host take turns by slot; strangers draw. Sharing a partition is harmless, only more to read. */
        char token[17];
        bus_token_random(token);
        uint64_t draw = self->slot ? (uint64_t)bus_slot_number(self->slot) : bus_hash(token, sizeof token - 1, 0);
        replies->partition = (int32_t)(draw % (uint64_t)found[0].partitions);
    }
    free(found);
    bus_kafka_admin_close(admin);
    return status;
}

static bus_status replies_open(bus *self, bus_replies **out, bus_error *err)
{
    bus_replies *replies = calloc(1, sizeof *replies);
    if (!replies)
        return bus_fail_nomem(err);
    replies->self = self;
    pthread_mutex_init(&replies->lock, NULL);
    bus_map_init(&replies->waiting);
    const char *named = bus_config_text(self->config, "replies.topic");
    bus_status status = BUS_OK;
    if (named && *named)
        snprintf(replies->topic, sizeof replies->topic, "%s", named);
    else if (self->service)
        snprintf(replies->topic, sizeof replies->topic, "%s" BUS_REPLIES_SUFFIX, self->name);
    else
        status = bus_fail(err, BUS_INVALID, "a program without a service must set replies.topic, where answers shall come");
    if (status == BUS_OK && !bus_topic_takes_replies(replies->topic))
        status = bus_fail(err, BUS_INVALID, "replies.topic is '%s': its name must end with " BUS_REPLIES_SUFFIX ", services answer nowhere else",
                          replies->topic);
    if (status == BUS_OK && !self->follower) /* without a service: what others announce was of no interest until now */
        status = bus_follower_open(self, &self->follower, err);
    if (status == BUS_OK)
        status = choose_partition(replies, err);
    bus_range range = { .topic = replies->topic, .partition = replies->partition, .from = { BUS_EDGE_END, 0 },
                        .to = { BUS_EDGE_NEVER, 0 } };
    /* The end is known when it is open, so no answer to a request sent after this is missed. */
    if (status == BUS_OK)
        status = bus_kafka_reader_open(self->config, self->name, &range, 1, BUS_READ_ANY, OPEN_MS, &replies->reader, err);
    if (status == BUS_OK) {
        int failed = pthread_create(&replies->thread, NULL, replies_main, replies);
        replies->started = !failed;
        if (failed)
            status = bus_fail(err, BUS_IO, "cannot start the reply thread: %s; raise ulimit -u", strerror(failed));
    }
    if (status != BUS_OK) {
        bus_replies_close(replies);
        return status;
    }
    *out = replies;
    return BUS_OK;
}

void bus_replies_close(bus_replies *replies)
{
    if (!replies)
        return;
    atomic_store(&replies->quit, true);
    if (replies->started)
        pthread_join(replies->thread, NULL);
    if (replies->reader)
        bus_kafka_reader_close(replies->reader);
    bus_map_free(&replies->waiting, NULL);
    pthread_mutex_destroy(&replies->lock);
    free(replies);
}

static bus_status replies_of(bus *self, bus_replies **out, bus_error *err)
{
    pthread_mutex_lock(&self->replies_lock);
    bus_status status = self->replies ? BUS_OK : replies_open(self, &self->replies, err);
    if (status == BUS_OK)
        *out = self->replies;
    pthread_mutex_unlock(&self->replies_lock);
    return status;
}

/* ---- one request */

static bus_status await(bus_replies *replies, pending *request, int64_t until_us, int timeout_ms, bus_error *err)
{
    bool waits = true;
    pthread_mutex_lock(&replies->lock);
    while (!request->over && waits && !bus_stopping(replies->self)) {
        int64_t soon_us = bus_clock_now_us() + STOP_LOOK_US;
        bool last = soon_us >= until_us;
        waits = bus_cond_wait(&request->arrived, &replies->lock, last ? until_us : soon_us) || !last;
    }
    if (!request->over)
        bus_map_remove(&replies->waiting, request->id, strlen(request->id));
    pthread_mutex_unlock(&replies->lock);
    if (request->lost)
        return bus_fail_nomem(err);
    if (!request->over && bus_stopping(replies->self))
        return bus_fail(err, BUS_CANCELLED, "stopped before an answer came; the request may still be carried out");
    if (!request->over)
        return bus_fail(err, BUS_TIMEOUT, "no answer came to %s/%" PRId32 " within %d ms; the request may still be carried out",
                        replies->topic, replies->partition, timeout_ms);
    return BUS_OK;
}

static bus_status send_request(bus *self, bus_replies *replies, const char *topic, const bus_type *type, const void *key,
                               size_t key_len, const void *body, const char *id, bus_error *err)
{
    char reply_to[280];
    snprintf(reply_to, sizeof reply_to, "%s/%" PRId32, replies->topic, replies->partition);
    bus_header headers[BUS_EVENT_HEADERS];
    bus_buf value;
    bus_buf_init(&value, (size_t)bus_config_int(self->config, "message.max.bytes"));
    bus_outlet *outlet;
    bus_status status = bus_outlet_of(self, &outlet, err);
    if (status == BUS_OK)
        status = bus_outlet_encode(self, topic, type, body, &value, err);
    if (status == BUS_OK) {
        bool compact = strcmp(bus_config_text(self->config, "envelope"), "compact") == 0;
        bus_row row = { .topic = topic, .partition = -1, .key = key, .key_len = key_len, .value = value.data,
                        .value_len = value.len, .headers = headers };
        /* The request's own id correlates: an answer, and all that follows from it, names it. */
        row.header_count = bus_event_headers(id, self->name, type, id, reply_to, compact, headers);
        status = bus_outlet_publish(outlet, &row, NULL, NULL, err);
    }
    bus_buf_free(&value);
    return status;
}

/* By whichever version of its schema it was written. One that is new is announced beside its first answer: it is waited for. */
static bus_status decode_answer(bus *self, pending *request, const bus_type *type, int64_t until_us, bus_error *err)
{
    bus_event *event = &request->event;
    bus_framing framing;
    bus_framing_of(event->value, event->value_len, event->headers, event->header_count, &framing);
    bus_status status = bus_asker_wait(self->asker, &framing, err);
    while (status == BUS_OK) {
        uint64_t version = bus_catalog_version(self->catalog);
        status = bus_catalog_decode_framed(self->catalog, &framing, type, event->value, event->value_len, &request->arena, &event->body, err);
        if (status != BUS_MISSING || framing.kind != BUS_FRAMED_FINGERPRINT)
            break;
        while (bus_catalog_version(self->catalog) == version && self->clock->mono_us(self->clock) < until_us && !bus_nap(self, LEARN_MS))
            ;
        if (bus_catalog_version(self->catalog) != version)
            status = BUS_OK;
        else
            bus_fail(err, BUS_MISSING, "it is written with schema %016" PRIx64 ", which was not on %s within the time-out", framing.fingerprint,
                     BUS_SCHEMAS_TOPIC);
    }
    return status;
}

static void answer_with(bus *self, pending *request, const bus_type *reply_type, int64_t until_us, bus_answer answer,
                        void *opaque, bus_status *status, bus_error *err)
{
    bus_event *event = &request->event;
    if (reply_type && event->value) {
        *status = decode_answer(self, request, reply_type, until_us, err);
        if (*status != BUS_OK) {
            bus_fail_in(err, "the answer, %s, is not read as %s", event->type_name, reply_type->name);
            return;
        }
        event->type = reply_type;
    }
    if (answer)
        answer(event, opaque);
}

bus_status bus_request(bus *self, const char *topic, const bus_type *type, const void *key, size_t key_len, const void *body,
                       const bus_type *reply_type, int timeout_ms, bus_answer answer, void *opaque, bus_error *err)
{
    if (!topic || !type || !body || timeout_ms <= 0)
        return bus_fail(err, BUS_INVALID, "bus_request needs a topic, a type, a body and a time-out");
    if (bus_shard_inside())
        return bus_fail(err, BUS_INVALID, "bus_request inside a handler would wait in a transaction: use bus_emit, or a prepare step");
    if (bus_stopping(self))
        return bus_fail(err, BUS_CLOSED, "the bus is stopping");
    int64_t until_us = bus_clock_now_us() + (int64_t)timeout_ms * 1000;
    bus_replies *replies;
    bus_status status = replies_of(self, &replies, err);
    if (status != BUS_OK)
        return status;

    pending request = { .over = false };
    bus_id_random(request.id);
    bus_arena_init(&request.arena, REPLY_BYTES);
    bus_cond_init(&request.arrived);

    pthread_mutex_lock(&replies->lock);
    bool listed = bus_map_put(&replies->waiting, request.id, strlen(request.id), &request);
    pthread_mutex_unlock(&replies->lock);
    status = listed ? send_request(self, replies, topic, type, key, key_len, body, request.id, err) : bus_fail_nomem(err);
    if (status != BUS_OK && listed) {
        pthread_mutex_lock(&replies->lock);
        bus_map_remove(&replies->waiting, request.id, strlen(request.id));
        pthread_mutex_unlock(&replies->lock);
    }
    if (status == BUS_OK)
        status = await(replies, &request, until_us, timeout_ms, err);
    if (status == BUS_OK)
        answer_with(self, &request, reply_type, until_us, answer, opaque, &status, err);
    pthread_cond_destroy(&request.arrived);
    bus_arena_free(&request.arena);
    return status;
}
