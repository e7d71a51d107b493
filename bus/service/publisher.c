/* SPDX-License-Identifier: MIT
 * Publisher: bus_publish and bus_flush. The publisher wants one thread at a time in poll and flush: that is
 * what `polling` gives; the thread sleeps while nothing is out.
 *
 * A thread that publishes without a callback takes reports now and then (`help`): what one thread has allocated is expensive to free
 * for another, and one thread less wants the processor. Callbacks are the thread's alone. */
#include "service/publisher.h"
#include "base/error.h"
#include "base/id.h"
#include "base/log.h"
#include "base/waker.h"
#include "codec/schema_key.h"
#include "codec/wire.h"
#include <stdlib.h>
#include <string.h>

#define CLOSE_MS 1000
#define USUAL_EVENT 512   /* bytes */
#define HELP_EVERY 32     /* records */
#define PATIENCE_US 20000 /* a helper may wait for a processor */

struct bui_publisher {
    bui_kafka_publisher *publisher;
    bui_waker *waker;  /* reports are there */
    bui_waker *called; /* and somebody is to be called for one */
    pthread_t thread;
    bool started;
    atomic_bool quit;
    pthread_mutex_t polling;
    _Atomic unsigned published, helped;
    size_t message_bytes;
};

static void wake(void *opaque)
{
    bui_waker_wake(opaque);
}

static void help(bui_publisher *publisher)
{
    if (pthread_mutex_trylock(&publisher->polling) != 0)
        return;
    if (bui_kafka_publisher_help(publisher->publisher))
        atomic_fetch_add(&publisher->helped, 1);
    pthread_mutex_unlock(&publisher->polling);
}

/* Reports that nobody is called for are left to those who publish, as long as they go on. */
static void leave_to_helpers(bui_publisher *publisher)
{
    bool left = true;
    while (left && !bui_kafka_publisher_calls(publisher->publisher) && !atomic_load(&publisher->quit)) {
        unsigned seen = atomic_load(&publisher->helped);
        bool called = bui_waker_sleep(publisher->called, PATIENCE_US);
        left = called || seen != atomic_load(&publisher->helped);
    }
}

static bool take_reports(bui_publisher *publisher)
{
    pthread_mutex_lock(&publisher->polling);
    bool taken = bui_kafka_publisher_poll(publisher->publisher, 0);
    pthread_mutex_unlock(&publisher->polling);
    return taken;
}

static void *publisher_main(void *arg)
{
    bui_publisher *publisher = arg;
    while (!atomic_load(&publisher->quit)) {
        bui_waker_sleep(publisher->waker, -1);
        do
            leave_to_helpers(publisher);
        while (take_reports(publisher) && !atomic_load(&publisher->quit));
    }
    return NULL;
}

static bus_status publisher_open(bus *self, bui_publisher **out, bus_error *err)
{
    bui_publisher *publisher = calloc(1, sizeof *publisher);
    if (!publisher)
        return bui_fail_nomem(err);
    pthread_mutex_init(&publisher->polling, NULL);
    if (!(publisher->waker = bui_waker_new()) || !(publisher->called = bui_waker_new())) {
        bui_publisher_close(publisher);
        return bui_fail_nomem(err);
    }
    publisher->message_bytes = (size_t)bui_config_int(self->config, "message.max.bytes");
    bus_status status = bui_kafka_publisher_open(self->config, self->name, wake, publisher->waker, &publisher->publisher, err);
    if (status == BUS_OK) {
        int failed = pthread_create(&publisher->thread, NULL, publisher_main, publisher);
        publisher->started = !failed;
        if (failed)
            status = bui_fail(err, BUS_IO, "cannot start the publisher's thread: %s; raise ulimit -u", strerror(failed));
    }
    if (status != BUS_OK) {
        bui_publisher_close(publisher);
        return status;
    }
    *out = publisher;
    return BUS_OK;
}

bus_status bui_publisher_of(bus *self, bui_publisher **out, bus_error *err)
{
    if ((*out = atomic_load_explicit(&self->publisher, memory_order_acquire)))
        return BUS_OK;
    pthread_mutex_lock(&self->publisher_lock);
    *out = self->publisher;
    bus_status status = *out ? BUS_OK : publisher_open(self, out, err);
    if (status == BUS_OK)
        self->publisher = *out;
    pthread_mutex_unlock(&self->publisher_lock);
    return status;
}

void bui_publisher_close(bui_publisher *publisher)
{
    if (!publisher)
        return;
    if (publisher->started) {
        atomic_store(&publisher->quit, true);
        bui_waker_wake(publisher->waker);
        bui_waker_wake(publisher->called);
        pthread_join(publisher->thread, NULL);
    }
    bui_kafka_publisher_close(publisher->publisher, CLOSE_MS);
    bui_waker_free(publisher->waker);
    bui_waker_free(publisher->called);
    pthread_mutex_destroy(&publisher->polling);
    free(publisher);
}

bus_status bui_publisher_publish(bui_publisher *publisher, const bui_row *row, bui_kafka_published done, void *opaque,
                                 bus_error *err)
{
    bus_status status = bui_kafka_publish(publisher->publisher, row, done, opaque, err);
    if (!done && (status == BUS_FULL || atomic_fetch_add(&publisher->published, 1) % HELP_EVERY == HELP_EVERY - 1))
        help(publisher);
    if (done)
        bui_waker_wake(publisher->called);
    return status;
}

bus_status bui_publisher_flush(bui_publisher *publisher, int timeout_ms, bus_error *err)
{
    pthread_mutex_lock(&publisher->polling);
    bus_status status = bui_kafka_publisher_flush(publisher->publisher, timeout_ms, err);
    pthread_mutex_unlock(&publisher->polling);
    return status;
}

/* ---- what the caller wants */

size_t bui_event_headers(const char *id, const char *source, const char *type, const char *correlation, const char *reply_to,
                         const bus_publication *own, bus_header out[BUI_EVENT_HEADERS])
{
    const bui_cloud cloud = { .id = id, .type = type, .source = source, .correlation = correlation };
    size_t count = bui_cloud_add(out, bui_cloud_write(&cloud, out), BUI_HEADER_REPLY_TO, reply_to);
    for (size_t i = 0; i < own->header_count; i++)
        out[count++] = own->headers[i];
    return count;
}

/* Of bytes and tombstones; an event's value and headers are put in later. */
static bui_row row_of(const bus_publication *from)
{
    return (bui_row){ .topic = from->topic,
                      .partition = from->has_partition ? from->partition : -1,
                      .key = from->key.at,
                      .key_len = from->key.at ? from->key.len : 0,
                      .value = from->value.at,
                      .value_len = from->value.at ? from->value.len : 0,
                      .headers = from->headers,
                      .header_count = from->header_count,
                      .timestamp = from->time_ms };
}

/* ---- how it ends */

typedef struct promised {
    bui_completions *list;
    bui_completion *completion;
} promised;

static void published(void *opaque, bus_status status, int32_t partition, int64_t offset, const bus_error *err)
{
    promised *mine = opaque;
    const bus_result result = { .status = status,
                                .error = err,
                                .partition = partition >= 0 ? partition : -1,
                                .offset = status == BUS_OK && offset >= 0 ? offset : -1 };
    bui_completion_end(mine->list, mine->completion, &result);
    free(mine);
}

static bus_status publish_row(bus *self, bui_publisher *publisher, const bui_row *row, bus_done done, void *opaque,
                              bus_error *err)
{
    bus_status status;
    if (!done) /* bus_flush reports a failure */
        return bui_publisher_publish(publisher, row, NULL, NULL, err);
    promised *mine = malloc(sizeof *mine);
    bui_completion *completion = bui_completion_new(done, opaque);
    if (!mine || !completion) {
        status = bui_fail_nomem(err);
    } else {
        *mine = (promised){ &self->completions, completion };
        status = bui_publisher_publish(publisher, row, published, mine, err);
    }
    if (status != BUS_OK) {
        bui_completion_free(completion);
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
        bui_log(BUS_WARN, self->name, "schema_unannounced",
                "a schema could not be put on %s, so that events in it wait at readers that do not "
                "have it: %s",
                BUI_SCHEMAS_TOPIC, err->text);
}

static bool announced(bus *self, const bus_type *type)
{
    for (size_t i = 0, at = (uintptr_t)type / sizeof *type; i < BUI_ANNOUNCED; i++, at++) {
        const bus_type *there = atomic_load_explicit(&self->announced[at % BUI_ANNOUNCED], memory_order_relaxed);
        if (there == type || !there)
            return there != NULL;
    }
    return false;
}

static void note_announced(bus *self, const bus_type *type)
{
    for (size_t i = 0, at = (uintptr_t)type / sizeof *type; i < BUI_ANNOUNCED; i++, at++) {
        const bus_type *none = NULL;
        if (atomic_compare_exchange_strong(&self->announced[at % BUI_ANNOUNCED], &none, type) || none == type)
            return;
    }
}

bus_status bui_announce(bus *self, const char *text, bui_kafka_published done, const bui_schema **out, bus_error *err)
{
    size_t len = strlen(text);
    char key[BUI_SCHEMA_KEY];
    bui_schema *parsed;
    bui_publisher *publisher;
    *out = bui_catalog_text(self->catalog, text, len);
    if (*out)
        return BUS_OK;
    bus_status status = bui_schema_parse(text, len, &parsed, err);
    if (status != BUS_OK)
        return status;
    bui_schema_free(parsed);
    status = bui_catalog_room(self->catalog, len, err);
    if (status == BUS_OK)
        status = bui_publisher_of(self, &publisher, err);
    if (status != BUS_OK)
        return status;
    bui_schema_key(text, len, key);
    bui_row row = {
        .topic = BUI_SCHEMAS_TOPIC, .partition = -1, .key = key, .key_len = sizeof key - 1, .value = text, .value_len = len
    };
    status = bui_publisher_publish(publisher, &row, done, done ? self : NULL, err);
    if (status == BUS_OK)
        status = bui_catalog_add(self->catalog, text, len, err);
    if (status == BUS_OK)
        *out = bui_catalog_text(self->catalog, text, len);
    return status;
}

/* In the framing that is configured. The first event of a type on a topic waits for the schema registry, if that gives the framing: see
 * bui_registry_cache_stamp. */
static bus_status encode(bus *self, const bus_publication *from, bui_buf *out, bus_error *err)
{
    const bus_type *type = from->type;
    const bui_stamp *stamp;
    const bui_schema *schema;
    if (!announced(self, type) && bui_announce(self, type->json, not_announced, &schema, NULL) == BUS_OK)
        note_announced(self, type); /* else with the next: its encoder reports what is wrong with it */
    bus_status status = bui_registry_cache_stamp(self->registry_cache, from->topic, type->name, type->json, &stamp, err);
    if (status != BUS_OK)
        return status;
    return stamp ? bui_wire_encode_with(type, stamp->framing, sizeof stamp->framing, from->body, out, err)
                 : bui_wire_encode(type, from->body, out, err);
}

bus_status bui_publisher_event(bus *self, bui_publisher *publisher, const bus_publication *from, const char *id,
                               const char *reply_to, bui_event_row *out, bus_error *err)
{
    bui_buf_init(&out->value, publisher->message_bytes);
    bui_buf_grow(&out->value, USUAL_EVENT); /* at once, what doubling would come to; if it fails the encoder reports it */
    bui_buf_clear(&out->value);
    bus_status status = encode(self, from, &out->value, err);
    out->row = row_of(from);
    out->row.value = out->value.data;
    out->row.value_len = out->value.len;
    out->row.headers = out->headers;
    out->row.header_count =
        bui_event_headers(id, self->name, from->type->name, reply_to ? id : NULL, reply_to, from, out->headers);
    return status;
}

static bus_status publish_event(bus *self, bui_publisher *publisher, const bus_publication *from, bus_done done, void *opaque,
                                bus_error *err)
{
    char id[BUI_ID_TEXT];
    bui_event_row event;
    bui_id_random(id);
    bus_status status = bui_publisher_event(self, publisher, from, id, NULL, &event, err);
    if (status == BUS_OK)
        status = publish_row(self, publisher, &event.row, done, opaque, err);
    bui_buf_free(&event.value);
    return status;
}

bus_status bus_publish(bus *self, const bus_publication *publication, bus_done done, void *opaque, bus_error *err)
{
    bui_publisher *publisher;
    bus_status status = bui_publication_check(publication, "bus_publish", false, err);
    if (status != BUS_OK)
        return status;
    if (bui_stopping(self))
        return bui_fail(err, BUS_CLOSED, "the bus is stopping");
    status = bui_publisher_of(self, &publisher, err);
    if (status != BUS_OK)
        return status;
    if (publication->type)
        return publish_event(self, publisher, publication, done, opaque, err);
    const bui_row row = row_of(publication);
    return publish_row(self, publisher, &row, done, opaque, err);
}

bus_status bus_flush(bus *self, int timeout_ms, bus_error *err)
{
    bui_publisher *publisher = self->publisher;
    return publisher ? bui_publisher_flush(publisher, timeout_ms, err) : BUS_OK;
}
