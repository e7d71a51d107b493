/* SPDX-License-Identifier: MIT
 * Outlet: bus_publish, bus_publish_raw and bus_flush. The publisher wants one thread at a time in poll and flush: that is
 * what `turn` gives; the thread sleeps while nothing is out.
 *
 * Whoever publishes without a callback now and then takes reports himself (`help`): what one thread has allocated is dear to free
 * for another, and one thread less wants the processor. Callbacks are the thread's alone. */
#include "service/outlet.h"
#include "base/error.h"
#include "base/id.h"
#include "base/log.h"
#include "base/waker.h"
#include "codec/schema_key.h"
#include "codec/wire.h"
#include <stdlib.h>
#include <string.h>

#define CLOSE_MS 1000
#define USUAL_EVENT 512 /* bytes */
#define HELP_EVERY 32   /* records */
#define PATIENCE_US 20000 /* a helper may wait for a processor */

struct bus_outlet {
    bus_kafka_publisher *publisher;
    bus_waker *waker;   /* reports are there */
    bus_waker *called;  /* and somebody is to be called for one */
    pthread_t thread;
    bool started;
    atomic_bool quit;
    pthread_mutex_t turn;
    _Atomic unsigned published, helped;
    bool compact;
    size_t message_bytes;
};

static void wake(void *opaque)
{
    bus_waker_wake(opaque);
}

static void help(bus_outlet *outlet)
{
    if (pthread_mutex_trylock(&outlet->turn) != 0)
        return;
    if (bus_kafka_publisher_help(outlet->publisher))
        atomic_fetch_add(&outlet->helped, 1);
    pthread_mutex_unlock(&outlet->turn);
}

/* Reports that nobody is called for are left to those who publish, as long as they go on. */
static void leave_to_helpers(bus_outlet *outlet)
{
    bool left = true;
    while (left && !bus_kafka_publisher_calls(outlet->publisher) && !atomic_load(&outlet->quit)) {
        unsigned seen = atomic_load(&outlet->helped);
        bool called = bus_waker_sleep(outlet->called, PATIENCE_US);
        left = called || seen != atomic_load(&outlet->helped);
    }
}

static bool take_reports(bus_outlet *outlet)
{
    pthread_mutex_lock(&outlet->turn);
    bool taken = bus_kafka_publisher_poll(outlet->publisher, 0);
    pthread_mutex_unlock(&outlet->turn);
    return taken;
}

static void *outlet_main(void *arg)
{
    bus_outlet *outlet = arg;
    while (!atomic_load(&outlet->quit)) {
        bus_waker_sleep(outlet->waker, -1);
        do
            leave_to_helpers(outlet);
        while (take_reports(outlet) && !atomic_load(&outlet->quit));
    }
    return NULL;
}

static bus_status outlet_open(bus *self, bus_outlet **out, bus_error *err)
{
    bus_outlet *outlet = calloc(1, sizeof *outlet);
    if (!outlet)
        return bus_fail_nomem(err);
    pthread_mutex_init(&outlet->turn, NULL);
    if (!(outlet->waker = bus_waker_new()) || !(outlet->called = bus_waker_new())) {
        bus_outlet_close(outlet);
        return bus_fail_nomem(err);
    }
    outlet->compact = strcmp(bus_config_text(self->config, "envelope"), "compact") == 0;
    outlet->message_bytes = (size_t)bus_config_int(self->config, "message.max.bytes");
    bus_status status = bus_kafka_publisher_open(self->config, self->name, wake, outlet->waker, &outlet->publisher, err);
    if (status == BUS_OK) {
        int failed = pthread_create(&outlet->thread, NULL, outlet_main, outlet);
        outlet->started = !failed;
        if (failed)
            status = bus_fail(err, BUS_IO, "cannot start the publisher's thread: %s; raise ulimit -u", strerror(failed));
    }
    if (status != BUS_OK) {
        bus_outlet_close(outlet);
        return status;
    }
    *out = outlet;
    return BUS_OK;
}

bus_status bus_outlet_of(bus *self, bus_outlet **out, bus_error *err)
{
    if ((*out = atomic_load_explicit(&self->outlet, memory_order_acquire)))
        return BUS_OK;
    pthread_mutex_lock(&self->outlet_lock);
    *out = self->outlet;
    bus_status status = *out ? BUS_OK : outlet_open(self, out, err);
    if (status == BUS_OK)
        self->outlet = *out;
    pthread_mutex_unlock(&self->outlet_lock);
    return status;
}

void bus_outlet_close(bus_outlet *outlet)
{
    if (!outlet)
        return;
    if (outlet->started) {
        atomic_store(&outlet->quit, true);
        bus_waker_wake(outlet->waker);
        bus_waker_wake(outlet->called);
        pthread_join(outlet->thread, NULL);
    }
    bus_kafka_publisher_close(outlet->publisher, CLOSE_MS);
    bus_waker_free(outlet->waker);
    bus_waker_free(outlet->called);
    pthread_mutex_destroy(&outlet->turn);
    free(outlet);
}

bus_status bus_outlet_publish(bus_outlet *outlet, const bus_row *row, bus_kafka_published done, void *opaque, bus_error *err)
{
    bus_status status = bus_kafka_publish(outlet->publisher, row, done, opaque, err);
    if (!done && (status == BUS_FULL || atomic_fetch_add(&outlet->published, 1) % HELP_EVERY == HELP_EVERY - 1))
        help(outlet);
    if (done)
        bus_waker_wake(outlet->called);
    return status;
}

bus_status bus_outlet_flush(bus_outlet *outlet, int timeout_ms, bus_error *err)
{
    pthread_mutex_lock(&outlet->turn);
    bus_status status = bus_kafka_publisher_flush(outlet->publisher, timeout_ms, err);
    pthread_mutex_unlock(&outlet->turn);
    return status;
}

/* ---- the public calls */

size_t bus_event_headers(const char *id, const char *source, const bus_type *type, const char *correlation,
                         const char *reply_to, bool compact, bus_header out[BUS_EVENT_HEADERS])
{
    const bus_cloud cloud = { .id = id, .type = type->name, .source = source, .correlation = correlation, .compact = compact };
    return bus_cloud_add(out, bus_cloud_write(&cloud, out), BUS_HEADER_REPLY_TO, reply_to);
}

typedef struct publication {
    bus_completions *list;
    bus_completion *completion;
} publication;

static void published(void *opaque, bus_status status, int32_t partition, int64_t offset, const bus_error *err)
{
    (void)partition;
    (void)offset;
    publication *mine = opaque;
    bus_completion_end(mine->list, mine->completion, status, err);
    free(mine);
}

static bus_status publish_row(bus *self, bus_outlet *outlet, const bus_row *row, bus_done done, void *opaque, bus_error *err)
{
    bus_status status;
    if (!done) /* a failure is told by bus_flush */
        return bus_outlet_publish(outlet, row, NULL, NULL, err);
    publication *mine = malloc(sizeof *mine);
    bus_completion *completion = bus_completion_new(done, opaque);
    if (!mine || !completion) {
        status = bus_fail_nomem(err);
    } else {
        *mine = (publication){ &self->completions, completion };
        status = bus_outlet_publish(outlet, row, published, mine, err);
    }
    if (status != BUS_OK) {
        bus_completion_free(completion);
        free(mine);
    }
    return status;
}

/* ---- every reader of an event must be able to learn its schema */

static void not_announced(void *opaque, bus_status status, int32_t partition, int64_t offset, const bus_error *err)
{
    (void)partition;
    (void)offset;
    const bus *self = opaque;
    if (status != BUS_OK)
        bus_log(BUS_WARN, self->name, "schema_unannounced", "a schema could not be put on %s, so that events in it wait at readers that do not "
                "have it: %s", BUS_SCHEMAS_TOPIC, err->text);
}

static bool announced(bus *self, const bus_type *type)
{
    for (size_t i = 0, at = (uintptr_t)type / sizeof *type; i < BUS_ANNOUNCED; i++, at++) {
        const bus_type *there = atomic_load_explicit(&self->announced[at % BUS_ANNOUNCED], memory_order_relaxed);
        if (there == type || !there)
            return there != NULL;
    }
    return false;
}

static void note_announced(bus *self, const bus_type *type)
{
    for (size_t i = 0, at = (uintptr_t)type / sizeof *type; i < BUS_ANNOUNCED; i++, at++) {
        const bus_type *none = NULL;
        if (atomic_compare_exchange_strong(&self->announced[at % BUS_ANNOUNCED], &none, type) || none == type)
            return;
    }
}

bus_status bus_announce(bus *self, const char *text, bus_kafka_published done, const bus_schema **out, bus_error *err)
{
    size_t len = strlen(text);
    char key[BUS_SCHEMA_KEY];
    bus_schema *parsed;
    bus_outlet *outlet;
    *out = bus_catalog_text(self->catalog, text, len);
    if (*out)
        return BUS_OK;
    bus_status status = bus_schema_parse(text, len, &parsed, err);
    if (status != BUS_OK)
        return status;
    bus_schema_free(parsed);
    status = bus_catalog_room(self->catalog, len, err);
    if (status == BUS_OK)
        status = bus_outlet_of(self, &outlet, err);
    if (status != BUS_OK)
        return status;
    bus_schema_key(text, len, key);
    bus_row row = { .topic = BUS_SCHEMAS_TOPIC, .partition = -1, .key = key, .key_len = sizeof key - 1, .value = text, .value_len = len };
    status = bus_outlet_publish(outlet, &row, done, done ? self : NULL, err);
    if (status == BUS_OK)
        status = bus_catalog_add(self->catalog, text, len, err);
    if (status == BUS_OK)
        *out = bus_catalog_text(self->catalog, text, len);
    return status;
}

bus_status bus_outlet_encode(bus *self, const char *topic, const bus_type *type, const void *body, bus_buf *out, bus_error *err)
{
    const bus_stamp *stamp;
    const bus_schema *schema;
    if (!announced(self, type) && bus_announce(self, type->json, not_announced, &schema, NULL) == BUS_OK)
        note_announced(self, type); /* else with the next: what is wrong with it, its encoder tells */
    bus_status status = bus_asker_stamp(self->asker, topic, type->name, type->json, &stamp, err);
    if (status != BUS_OK)
        return status;
    return stamp ? bus_wire_encode_with(type, stamp->framing, sizeof stamp->framing, body, out, err) : bus_wire_encode(type, body, out, err);
}

bus_status bus_publish(bus *self, const char *topic, const bus_type *type, const void *key, size_t key_len, const void *body,
                       bus_done done, void *opaque, bus_error *err)
{
    if (!topic || !type || !body)
        return bus_fail(err, BUS_INVALID, "bus_publish needs a topic, a type and a body");
    if (bus_stopping(self))
        return bus_fail(err, BUS_CLOSED, "the bus is stopping");
    bus_outlet *outlet;
    bus_status status = bus_outlet_of(self, &outlet, err);
    if (status != BUS_OK)
        return status;
    char id[BUS_ID_TEXT];
    bus_id_random(id);
    bus_header headers[BUS_EVENT_HEADERS];
    bus_buf value;
    bus_buf_init(&value, outlet->message_bytes);
    bus_buf_grow(&value, USUAL_EVENT); /* at once, what doubling would come to; if it fails the encoder tells */
    bus_buf_clear(&value);
    status = bus_outlet_encode(self, topic, type, body, &value, err);
    if (status == BUS_OK) {
        bus_row row = { .topic = topic, .partition = -1, .key = key, .key_len = key_len, .value = value.data,
                        .value_len = value.len, .headers = headers };
        row.header_count = bus_event_headers(id, self->name, type, NULL, NULL, outlet->compact, headers);
        status = publish_row(self, outlet, &row, done, opaque, err);
    }
    bus_buf_free(&value);
    return status;
}

bus_status bus_publish_raw(bus *self, const bus_raw *record, bus_done done, void *opaque, bus_error *err)
{
    if (!record || !record->topic)
        return bus_fail(err, BUS_INVALID, "bus_publish_raw needs a topic");
    if (bus_stopping(self))
        return bus_fail(err, BUS_CLOSED, "the bus is stopping");
    /* Refused, not left out: the caller says here what the whole record is, and learns of it at once. */
    for (size_t i = 0; i < record->header_count; i++)
        if (strncmp(record->headers[i].name, "bus-", 4) == 0 || strncmp(record->headers[i].name, "__dlq.", 6) == 0)
            return bus_fail(err, BUS_INVALID, "header %.80s is the bus's own to write: leave headers named bus-* and __dlq.* out",
                            record->headers[i].name);
    bus_row row = {
        .topic = record->topic,
        .partition = record->keep_partition ? record->partition : -1,
        .key = record->key,
        .key_len = record->key_len,
        .value = record->value,
        .value_len = record->value_len,
        .headers = record->headers,
        .header_count = record->header_count,
        .timestamp = record->timestamp,
    };
    bus_outlet *outlet;
    bus_status status = bus_outlet_of(self, &outlet, err);
    return status == BUS_OK ? publish_row(self, outlet, &row, done, opaque, err) : status;
}

bus_status bus_flush(bus *self, int timeout_ms, bus_error *err)
{
    bus_outlet *outlet = self->outlet;
    return outlet ? bus_outlet_flush(outlet, timeout_ms, err) : BUS_OK;
}
