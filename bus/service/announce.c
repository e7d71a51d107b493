/* SPDX-License-Identifier: MIT
 * Announce: one thread that follows bus.schemas. A schema is announced only if the topic, read to its end, does not hold it:
 * restarts write nothing. */
#include "service/announce.h"
#include "base/array.h"
#include "base/error.h"
#include "base/log.h"
#include "base/map.h"
#include "codec/compatibility.h"
#include "codec/schema_key.h"
#include "kafka/topic_reader.h"
#include "service/publisher.h"
#include <stdlib.h>
#include <string.h>

#define OPEN_MS 5000
#define NEXT_MS 200
#define AGAIN_MS 5000

struct bui_follower {
    bus *self;
    pthread_t thread;
    size_t own;    /* the first so many of the catalog are compiled in: ours to announce */
    bui_map known; /* keys of schemas that are on the topic; values are not used */
    pthread_mutex_t lock;
    const bui_schema **later; /* further ones that are written here, as they turn up */
    size_t later_count;
    atomic_bool news; /* some of them have not been looked at */
    bool said;
    bool checked; /* what is compiled in may follow what was there at the start */
    bui_admission admission;
};

bus_status bui_admit(bui_admission *admission, bus *self, const bui_record *record)
{
    char more[BUI_THROTTLE_TEXT];
    uint64_t hidden;
    bus_error err = { 0 };
    bus_status status = bui_admission_take(admission, record, &err);
    if (status == BUS_OK || status == BUS_NOMEM)
        return status;
    bui_count(&self->metrics.schemas_refused, 1);
    bool full = status == BUS_FULL;
    if ((full && admission->full) || !bui_throttle_pass(&admission->lines, self->clock->mono_us(self->clock), &hidden))
        return status;
    admission->full |= full;
    bui_log(admission->closed ? BUS_DEBUG : /* as it is meant */ full || status == BUS_REFUSED || status == BUS_DENIED ? BUS_ERROR
                                                                                                                       : BUS_WARN,
            self->name,
            full                   ? "schemas_full"
            : status == BUS_DENIED ? "forged"
                                   : "schema_refused",
            "%s/%d offset %lld is not accepted%s: %s%s", BUI_SCHEMAS_TOPIC, record->partition, (long long)record->offset,
            full ? ", nor what follows it" : "", err.text, bui_throttle_text(hidden, more));
    return status;
}

/* Known by its text: the record's own key, which was another hash before, says nothing. */
static void learn(bui_follower *follower, const bui_record *record)
{
    if (!record->value) /* a tombstone: nothing is forgotten while events written by it may exist */
        return;
    if (bui_admit(&follower->admission, follower->self, record) != BUS_OK)
        return;
    char key[BUI_SCHEMA_KEY];
    bui_schema_key(record->value, record->value_len, key);
    bui_map_put(&follower->known, key, sizeof key - 1, follower); /* without memory it is announced twice: harmless */
}

static bus_status announce_later(bui_follower *follower, bus_error *err);

/* Reads until BUS_CLOSED (to the end), or, following, until it is time to announce again: BUS_OK. BUS_CANCELLED when the bus
 * stops. */
static bus_status read_on(bui_follower *follower, bui_kafka_reader *reader, bool following, bus_error *err)
{
    const bui_clock *clock = follower->self->clock;
    int64_t again_us = bui_config_int(follower->self->config, "schema.announce.interval.ms") * 1000;
    int64_t until_us = again_us ? clock->mono_us(clock) + again_us : INT64_MAX;
    while (clock->mono_us(clock) < until_us) {
        if (bui_stopping(follower->self))
            return BUS_CANCELLED;
        const bui_record *record;
        bus_status status = following && atomic_exchange(&follower->news, false) ? announce_later(follower, err) : BUS_OK;
        if (status != BUS_OK)
            return status;
        status = bui_kafka_reader_next(reader, NEXT_MS, &record, err);
        if (status == BUS_OK)
            learn(follower, record);
        else if (status != BUS_TIMEOUT)
            return status;
    }
    return BUS_OK;
}

static bool on_topic(const bui_follower *follower, const bui_schema *schema, char key[BUI_SCHEMA_KEY])
{
    size_t len;
    const char *json = bui_schema_json(schema, &len);
    bui_schema_key(json, len, key);
    return bui_map_get(&follower->known, key, BUI_SCHEMA_KEY - 1) != NULL;
}

/* Whether the schema may follow the versions of its name that are on the topic, as schema.compatibility says. */
static bus_status may_follow(const bui_follower *follower, const bui_schema *schema, bus_error *err)
{
    const bui_catalog *catalog = follower->self->catalog;
    const bui_schema *other, **before = calloc(bui_catalog_version(catalog) + 1, sizeof *before);
    bui_compatibility level = BUI_COMPATIBILITY_BACKWARD;
    char key[BUI_SCHEMA_KEY];
    size_t count = 0;
    if (!before)
        return bui_fail_nomem(err);
    for (size_t i = 0; count < bui_catalog_version(catalog) && (other = bui_catalog_at(catalog, i)); i++)
        if (strcmp(bui_schema_name(other), bui_schema_name(schema)) == 0 && on_topic(follower, other, key))
            before[count++] = other;
    bui_compatibility_of(bui_config_text(follower->self->config, "schema.compatibility"), &level);
    bus_status status = bui_compatible(level, schema, before, count, err);
    free(before);
    if (status != BUS_OK)
        bui_fail_in(err,
                    "the schema of %s here is refused by those on %s; change it, or see docs/schemas.md and schema.compatibility",
                    bui_schema_name(schema), BUI_SCHEMAS_TOPIC);
    return status;
}

/* Before any is announced, so that a refused service leaves nothing behind. */
static bus_status check_own(const bui_follower *follower, bus_error *err)
{
    char key[BUI_SCHEMA_KEY];
    for (size_t i = 0; i < follower->own; i++) {
        const bui_schema *schema = bui_catalog_at(follower->self->catalog, i);
        bus_status status = on_topic(follower, schema, key) ? BUS_OK : may_follow(follower, schema, err);
        if (status != BUS_OK)
            return status;
    }
    return BUS_OK;
}

static bus_status announce_one(bui_follower *follower, const bui_schema *schema, bus_error *err)
{
    bus *self = follower->self;
    bui_publisher *publisher;
    size_t len;
    const char *json = bui_schema_json(schema, &len);
    char key[BUI_SCHEMA_KEY];
    if (on_topic(follower, schema, key))
        return BUS_OK;
    bui_row row = {
        .topic = BUI_SCHEMAS_TOPIC, .partition = -1, .key = key, .key_len = sizeof key - 1, .value = json, .value_len = len
    };
    bus_status status = bui_publisher_of(self, &publisher, err);
    if (status == BUS_OK)
        status = bui_publisher_publish(publisher, &row, NULL, NULL, err);
    if (status == BUS_OK) {
        bui_count(&self->metrics.announced, 1);
        bui_log(BUS_INFO, self->name, "schema_announced", "%s is on %s now", bui_schema_name(schema), BUI_SCHEMAS_TOPIC);
    }
    return status;
}

static bus_status announce(bui_follower *follower, bus_error *err)
{
    bus_status status = check_own(follower, err);
    follower->checked |= status == BUS_OK;
    for (size_t i = 0; i < follower->own && status == BUS_OK; i++)
        status = announce_one(follower, bui_catalog_at(follower->self->catalog, i), err);
    return status == BUS_OK ? announce_later(follower, err) : status;
}

static const bui_schema *later_at(bui_follower *follower, size_t i)
{
    pthread_mutex_lock(&follower->lock);
    const bui_schema *schema = i < follower->later_count ? follower->later[i] : NULL;
    pthread_mutex_unlock(&follower->lock);
    return schema;
}

/* A schema that is added while the process runs does not end it: one that may not follow those that are there is logged, and
 * not announced. */
static bus_status announce_later(bui_follower *follower, bus_error *err)
{
    const bui_schema *schema;
    bus_status status = BUS_OK;
    char key[BUI_SCHEMA_KEY];
    for (size_t i = 0; status == BUS_OK && (schema = later_at(follower, i)); i++) {
        bus_error why = { 0 };
        if (on_topic(follower, schema, key))
            continue;
        if (may_follow(follower, schema, &why) == BUS_OK)
            status = announce_one(follower, schema, err);
        else
            bui_log(BUS_ERROR, follower->self->name, "schema_incompatible",
                    "%s; events and answers in it cannot be read by others", why.text);
    }
    return status;
}

bool bui_follower_add(bui_follower *follower, const bui_schema *schema)
{
    pthread_mutex_lock(&follower->lock);
    size_t i = 0;
    while (i < follower->later_count && follower->later[i] != schema)
        i++;
    bool there = i < follower->later_count, ok = there || bui_array_one_more(&follower->later, i, sizeof *follower->later);
    if (ok && !there) {
        follower->later[follower->later_count++] = schema;
        atomic_store(&follower->news, true);
    }
    pthread_mutex_unlock(&follower->lock);
    return ok;
}

/* From what was read to the end, on and on: each span's end is where following begins. */
static bus_status follow(bui_follower *follower, const bui_range *ranges, size_t count, bus_error *err)
{
    bui_kafka_reader *reader;
    bus_status status =
        bui_kafka_reader_open(follower->self->config, follower->self->name, ranges, count, BUI_READ_ANY, OPEN_MS, &reader, err);
    if (status != BUS_OK)
        return status;
    status = read_on(follower, reader, true, err);
    bui_kafka_reader_close(reader);
    return status;
}

static bus_status iteration(bui_follower *follower, bus_error *err)
{
    bus *self = follower->self;
    bui_range all = { .topic = BUI_SCHEMAS_TOPIC, .partition = -1, .from = { BUI_EDGE_START, 0 }, .to = { BUI_EDGE_END, 0 } };
    bui_kafka_reader *reader;
    bus_status status = bui_kafka_reader_open(self->config, self->name, &all, 1, BUI_READ_ANY, OPEN_MS, &reader, err);
    if (status != BUS_OK)
        return status;
    status = read_on(follower, reader, false, err);
    size_t count = bui_kafka_reader_span_count(reader);
    bui_range *rest = calloc(count ? count : 1, sizeof *rest);
    for (size_t i = 0; rest && i < count; i++) {
        bui_span span = bui_kafka_reader_span(reader, i);
        rest[i] = (bui_range){ .topic = BUI_SCHEMAS_TOPIC,
                               .partition = span.partition,
                               .from = { BUI_EDGE_OFFSET, span.to },
                               .to = { BUI_EDGE_NEVER, 0 } };
    }
    bui_kafka_reader_close(reader);
    if (!rest)
        status = bui_fail_nomem(err);
    else if (status == BUS_CLOSED)
        status = announce(follower, err);
    if (status == BUS_OK)
        status = follow(follower, rest, count, err);
    free(rest);
    return status;
}

static void *follower_main(void *arg)
{
    bui_follower *follower = arg;
    bus *self = follower->self;
    while (!bui_stopping(self)) {
        bus_error err = { 0 };
        bus_status status = iteration(follower, &err);
        if (status == BUS_CANCELLED || bui_stopping(self))
            break;
        if (status == BUS_OK)
            continue;
        if (status == BUS_SCHEMA && follower->checked) { /* it was right at the start: somebody else's announcement ends nobody */
            bui_log(BUS_ERROR, self->name, "schema_incompatible", "%s; it came after this process had started, and is skipped",
                    err.text);
            bui_nap(self, AGAIN_MS);
            continue;
        }
        if (status == BUS_SCHEMA) { /* what it would write or read, others cannot: it must not run on */
            bui_log(BUS_ERROR, self->name, "schema_incompatible", "%s", err.text);
            bui_end(self, status, &err);
            break;
        }
        if (!follower->said && status != BUS_BROKER && status != BUS_TIMEOUT) { /* control reports a broker that is away */
            follower->said = true;
            bui_log(BUS_WARN, self->name, "schemas_unread",
                    "cannot read %s, so schemas of others are unknown here; trying again: %s%s", BUI_SCHEMAS_TOPIC, err.text,
                    status == BUS_MISSING ? "; run `bus topics apply`" : "");
        }
        bui_nap(self, AGAIN_MS);
    }
    return NULL;
}

bus_status bui_follower_open(bus *self, bui_follower **out, bus_error *err)
{
    bui_follower *follower = calloc(1, sizeof *follower);
    if (!follower)
        return bui_fail_nomem(err);
    follower->self = self;
    bui_map_init(&follower->known);
    bui_admission_init(&follower->admission, self->config, self->catalog, self->keys);
    pthread_mutex_init(&follower->lock, NULL);
    while (self->service && bui_catalog_at(self->catalog, follower->own))
        follower->own++;
    int failed = pthread_create(&follower->thread, NULL, follower_main, follower);
    if (failed) {
        bui_map_free(&follower->known, NULL);
        free(follower);
        return bui_fail(err, BUS_IO, "cannot start a thread: %s; raise ulimit -u", strerror(failed));
    }
    *out = follower;
    return BUS_OK;
}

void bui_follower_close(bui_follower *follower)
{
    if (!follower)
        return;
    pthread_join(follower->thread, NULL);
    bui_map_free(&follower->known, NULL);
    bui_admission_free(&follower->admission);
    pthread_mutex_destroy(&follower->lock);
    free(follower->later);
    free(follower);
}
