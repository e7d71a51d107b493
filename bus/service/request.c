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
#include "kafka/topic_reader.h"
#include "service/announce.h"
#include "service/publisher.h"
#include "service/replies.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPEN_MS 5000
#define USUAL_MS 30000       /* a time-out that is not named */
#define STOP_LOOK_US 1000000 /* so that bus_stop is noticed */
#define NEXT_MS 100
#define LEARN_MS 20             /* between looks for a schema that has not come yet */
#define REPLY_BYTES (64u << 20) /* of one decoded reply */

struct bui_replies {
    bus *self;
    bui_kafka_reader *reader;
    pthread_t thread;
    bool started;
    atomic_bool quit;
    char topic[250];
    int32_t partition;
    uint64_t forged;
    pthread_mutex_t lock;
    bui_map waiting; /* correlation id -> pending */
};

/* A request that waits. The reader's thread copies the reply into `arena` and signals; the caller decodes. */
typedef struct pending {
    char id[BUI_ID_TEXT];
    pthread_cond_t arrived;
    bool over;
    bool lost; /* no memory for it */
    bui_arena arena;
    bus_event event; /* type and body still absent */
} pending;

/* ---- the reader's thread */

static const char *copy_slice(bui_arena *arena, bui_slice slice)
{
    return slice.at ? bui_arena_copy(arena, slice.at, slice.len) : "";
}

static bool copy_reply(pending *request, const bui_record *record, const bui_envelope *envelope)
{
    bui_arena *arena = &request->arena;
    bus_event *event = &request->event;
    bus_header *headers = bui_arena_alloc(arena, record->header_count * sizeof *headers + 1);
    *event = (bus_event){
        .topic = bui_arena_copy(arena, record->topic, strlen(record->topic)),
        .partition = record->partition,
        .offset = record->offset,
        .id = copy_slice(arena, envelope->id),
        .source = copy_slice(arena, envelope->source),
        .type_name = copy_slice(arena, envelope->type),
        .correlation = copy_slice(arena, envelope->correlation),
        .causation = copy_slice(arena, envelope->causation),
        .traceparent = copy_slice(arena, envelope->traceparent),
        .time_ms = record->timestamp,
        .attempt = 1,
        .attempts = 1,
        .key = { record->key ? bui_arena_copy(arena, record->key, record->key_len) : NULL, record->key_len },
        .value = { record->value ? bui_arena_copy(arena, record->value, record->value_len) : NULL, record->value_len },
        .headers = headers,
        .header_count = record->header_count,
    };
    bool ok = headers && event->topic && event->id && event->source && event->type_name && event->correlation &&
              event->causation && event->traceparent && (event->key.at || !record->key) && (event->value.at || !record->value);
    for (size_t i = 0; ok && i < record->header_count; i++) {
        const bus_header *from = &record->headers[i];
        headers[i] = (bus_header){ bui_arena_copy(arena, from->name, strlen(from->name)),
                                   from->value ? bui_arena_copy(arena, from->value, from->len) : NULL, from->len };
        ok = headers[i].name && (headers[i].value || !from->value);
    }
    return ok;
}

static void on_reply(bui_replies *replies, const bui_record *record)
{
    bui_envelope envelope;
    bus_error why;
    if (!bui_record_authentic(replies->self->keys, record, NULL, &why)) {
        if (!replies->forged++)
            bui_log(BUS_ERROR, replies->self->name, "forged", "%s/%d offset %lld: %s; this answer and others like it are skipped",
                    record->topic, record->partition, (long long)record->offset, why.text);
        return;
    }
    if (bui_envelope_read(record->headers, record->header_count, &envelope, NULL) != BUS_OK || !envelope.correlation.at)
        return; /* nobody can be waiting for it */
    pthread_mutex_lock(&replies->lock);
    pending *request = bui_map_remove(&replies->waiting, envelope.correlation.at, envelope.correlation.len);
    if (request) { /* else another process's, or one that came too late, or a second answer */
        request->lost = !copy_reply(request, record, &envelope);
        request->over = true;
        pthread_cond_signal(&request->arrived);
    }
    pthread_mutex_unlock(&replies->lock);
}

static void *replies_main(void *arg)
{
    bui_replies *replies = arg;
    while (!atomic_load(&replies->quit)) {
        const bui_record *record;
        bus_error err = { 0 };
        bus_status status = bui_kafka_reader_next(replies->reader, NEXT_MS, &record, &err);
        if (status == BUS_OK) {
            on_reply(replies, record);
        } else if (status != BUS_TIMEOUT) {
            bui_log(BUS_ERROR, replies->self->name, "replies_unread", "cannot read %s/%" PRId32 ", so requests will time out: %s",
                    replies->topic, replies->partition, err.text);
            break;
        }
    }
    return NULL;
}

/* ---- open and close */

static bus_status choose_partition(bui_replies *replies, bus_error *err)
{
    bus *self = replies->self;
    bui_kafka_admin *admin = NULL;
    bui_kafka_topic *found = NULL;
    size_t count = 0;
    const char *names[] = { replies->topic };
    bus_status status = bui_kafka_admin_open(self->config, self->name, &admin, err);
    if (status == BUS_OK)
        status = bui_kafka_admin_topics(admin, names, 1, false, OPEN_MS, &found, &count, err);
    if (status == BUS_OK && (count == 0 || found[0].partitions < 1))
        status = bui_fail(err, BUS_MISSING, "topic %s is missing, so nothing could be answered; run `bus topics apply`",
                          replies->topic);
    if (status == BUS_OK) {
        /* Processes of one host take turns by slot; strangers draw. Sharing a partition is harmless, only more to read. */
        char token[17];
        bui_token_random(token);
        uint64_t draw = self->slot ? (uint64_t)bui_slot_number(self->slot) : bui_hash(token, sizeof token - 1, 0);
        replies->partition = (int32_t)(draw % (uint64_t)found[0].partitions);
    }
    free(found);
    bui_kafka_admin_close(admin);
    return status;
}

static bus_status replies_open(bus *self, bui_replies **out, bus_error *err)
{
    bui_replies *replies = calloc(1, sizeof *replies);
    if (!replies)
        return bui_fail_nomem(err);
    replies->self = self;
    pthread_mutex_init(&replies->lock, NULL);
    bui_map_init(&replies->waiting);
    const char *named = bui_config_text(self->config, "replies.topic");
    bus_status status = BUS_OK;
    if (named && *named)
        snprintf(replies->topic, sizeof replies->topic, "%s", named);
    else if (self->service)
        snprintf(replies->topic, sizeof replies->topic, "%s" BUI_REPLIES_SUFFIX, self->name);
    else
        status = bui_fail(err, BUS_INVALID, "a program without a service must set replies.topic, the topic for its answers");
    if (status == BUS_OK && !bui_topic_takes_replies(replies->topic))
        status = bui_fail(err, BUS_INVALID,
                          "replies.topic is '%s': its name must end with " BUI_REPLIES_SUFFIX ", services answer nowhere else",
                          replies->topic);
    if (status == BUS_OK && !self->follower) /* without a service: what others announce was of no interest until now */
        status = bui_follower_open(self, &self->follower, err);
    if (status == BUS_OK)
        status = choose_partition(replies, err);
    bui_range range = {
        .topic = replies->topic, .partition = replies->partition, .from = { BUI_EDGE_END, 0 }, .to = { BUI_EDGE_NEVER, 0 }
    };
    /* The end is known when it is open, so no answer to a request sent after this is missed. */
    if (status == BUS_OK)
        status = bui_kafka_reader_open(self->config, self->name, &range, 1, BUI_READ_ANY, OPEN_MS, &replies->reader, err);
    if (status == BUS_OK) {
        int failed = pthread_create(&replies->thread, NULL, replies_main, replies);
        replies->started = !failed;
        if (failed)
            status = bui_fail(err, BUS_IO, "cannot start the reply thread: %s; raise ulimit -u", strerror(failed));
    }
    if (status != BUS_OK) {
        bui_replies_close(replies);
        return status;
    }
    *out = replies;
    return BUS_OK;
}

void bui_replies_close(bui_replies *replies)
{
    if (!replies)
        return;
    atomic_store(&replies->quit, true);
    if (replies->started)
        pthread_join(replies->thread, NULL);
    if (replies->reader)
        bui_kafka_reader_close(replies->reader);
    bui_map_free(&replies->waiting, NULL);
    pthread_mutex_destroy(&replies->lock);
    free(replies);
}

static bus_status replies_of(bus *self, bui_replies **out, bus_error *err)
{
    pthread_mutex_lock(&self->replies_lock);
    bus_status status = self->replies ? BUS_OK : replies_open(self, &self->replies, err);
    if (status == BUS_OK)
        *out = self->replies;
    pthread_mutex_unlock(&self->replies_lock);
    return status;
}

/* ---- one request */

static bus_status await(bui_replies *replies, pending *request, int64_t until_us, int timeout_ms, bus_error *err)
{
    bool waits = true;
    pthread_mutex_lock(&replies->lock);
    while (!request->over && waits && !bui_stopping(replies->self)) {
        int64_t soon_us = bui_clock_now_us() + STOP_LOOK_US;
        bool last = soon_us >= until_us;
        waits = bui_cond_wait(&request->arrived, &replies->lock, last ? until_us : soon_us) || !last;
    }
    if (!request->over)
        bui_map_remove(&replies->waiting, request->id, strlen(request->id));
    pthread_mutex_unlock(&replies->lock);
    if (request->lost)
        return bui_fail_nomem(err);
    if (!request->over && bui_stopping(replies->self))
        return bui_fail(err, BUS_CANCELLED, "stopped before an answer came; the request may still be carried out");
    if (!request->over)
        return bui_fail(err, BUS_TIMEOUT, "no answer came to %s/%" PRId32 " within %d ms; the request may still be carried out",
                        replies->topic, replies->partition, timeout_ms);
    return BUS_OK;
}

static bus_status send_request(bus *self, bui_replies *replies, const bus_publication *question, const char *id, bus_error *err)
{
    char reply_to[280];
    bui_event_row event;
    bui_publisher *publisher;
    snprintf(reply_to, sizeof reply_to, "%s/%" PRId32, replies->topic, replies->partition);
    bus_status status = bui_publisher_of(self, &publisher, err);
    if (status != BUS_OK)
        return status;
    status = bui_publisher_event(self, publisher, question, id, reply_to, &event, err);
    if (status == BUS_OK)
        status = bui_publisher_publish(publisher, &event.row, NULL, NULL, err);
    bui_buf_free(&event.value);
    return status;
}

/* By whichever version of its schema it was written. One that is new is announced beside its first answer: it is waited for. */
static bus_status decode_answer(bus *self, pending *request, const bus_type *type, int64_t until_us, bus_error *err)
{
    bus_event *event = &request->event;
    bui_framing framing;
    bui_framing_of(event->value.at, event->value.len, event->headers, event->header_count, &framing);
    bus_status status = bui_registry_cache_wait(self->registry_cache, &framing, err);
    while (status == BUS_OK) {
        uint64_t version = bui_catalog_version(self->catalog);
        status = bui_catalog_decode_framed(self->catalog, &framing, type, event->value.at, event->value.len, &request->arena,
                                           &event->body, err);
        if (status != BUS_MISSING || framing.kind != BUI_FRAMED_FINGERPRINT)
            break;
        while (bui_catalog_version(self->catalog) == version && self->clock->mono_us(self->clock) < until_us &&
               !bui_nap(self, LEARN_MS))
            ;
        if (bui_catalog_version(self->catalog) != version)
            status = BUS_OK;
        else
            bui_fail(err, BUS_MISSING, "it is written with schema %016" PRIx64 ", which was not on %s within the time-out",
                     framing.fingerprint, BUI_SCHEMAS_TOPIC);
    }
    return status;
}

static void answer_with(bus *self, pending *request, const bus_type *reply_type, int64_t until_us, bus_on_reply replied,
                        void *opaque, bus_status *status, bus_error *err)
{
    bus_event *event = &request->event;
    if (reply_type && event->value.at) {
        *status = decode_answer(self, request, reply_type, until_us, err);
        if (*status != BUS_OK) {
            bui_fail_in(err, "the answer, %s, is not read as %s", event->type_name, reply_type->name);
            return;
        }
        event->type = reply_type;
    }
    if (replied)
        replied(event, opaque);
}

bus_status bus_request(bus *self, const bus_publication *question, const bus_request_options *options, bus_on_reply replied,
                       void *opaque, bus_error *err)
{
    static const bus_request_options defaults;
    options = options ? options : &defaults;
    int timeout_ms = options->timeout_ms ? options->timeout_ms : USUAL_MS;
    bus_status status = bui_publication_check(question, "bus_request", false, err);
    if (status != BUS_OK)
        return status;
    if (!question->type || timeout_ms < 0)
        return bui_fail(err, BUS_INVALID,
                        "bus_request to %s: a question is an event, with a type and a body, and its time-out is not negative",
                        question->topic);
    if (bui_shard_inside())
        return bui_fail(err, BUS_INVALID,
                        "bus_request inside a handler would wait in a transaction: use bus_emit, or a prepare step");
    if (bui_stopping(self))
        return bui_fail(err, BUS_CLOSED, "the bus is stopping");
    int64_t until_us = bui_clock_now_us() + (int64_t)timeout_ms * 1000;
    bui_replies *replies;
    status = replies_of(self, &replies, err);
    if (status != BUS_OK)
        return status;

    pending request = { .over = false };
    bui_id_random(request.id);
    bui_arena_init(&request.arena, REPLY_BYTES);
    bui_cond_init(&request.arrived);

    pthread_mutex_lock(&replies->lock);
    bool listed = bui_map_put(&replies->waiting, request.id, strlen(request.id), &request);
    pthread_mutex_unlock(&replies->lock);
    status = listed ? send_request(self, replies, question, request.id, err) : bui_fail_nomem(err);
    if (status != BUS_OK && listed) {
        pthread_mutex_lock(&replies->lock);
        bui_map_remove(&replies->waiting, request.id, strlen(request.id));
        pthread_mutex_unlock(&replies->lock);
    }
    if (status == BUS_OK)
        status = await(replies, &request, until_us, timeout_ms, err);
    if (status == BUS_OK)
        answer_with(self, &request, options->reply_type, until_us, replied, opaque, &status, err);
    pthread_cond_destroy(&request.arrived);
    bui_arena_free(&request.arena);
    return status;
}
