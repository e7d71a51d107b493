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
#include "kafka/reader.h"
#include "service/outlet.h"
#include <stdlib.h>
#include <string.h>

#define OPEN_MS 5000
#define NEXT_MS 200
#define AGAIN_MS 5000

struct bus_follower {
    bus *self;
    pthread_t thread;
    size_t own;        /* the first so many of the catalog are compiled in: ours to announce */
    bus_map known;     /* keys of schemas that are on the topic; values are not used */
    pthread_mutex_t lock;
    const bus_schema **later;  /* further ones that are written here, as they turn up */
    size_t later_count;
    atomic_bool news;          /* some of them have not been looked at */
    bool said;
    bool checked;      /* what is compiled in may follow what was there at the start */
    bus_admission admission;
};

bus_status bus_admit(bus_admission *admission, bus *self, const bus_record *record)
{
    char more[BUS_THROTTLE_TEXT];
    uint64_t hidden;
    bus_error err = { 0 };
    bus_status status = bus_admission_take(admission, record, &err);
    if (status == BUS_OK || status == BUS_NOMEM)
        return status;
    bus_count(&self->metrics.schemas_refused, 1);
    bool full = status == BUS_FULL;
    if ((full && admission->full) || !bus_throttle_pass(&admission->lines, self->clock->mono_us(self->clock), &hidden))
        return status;
    admission->full |= full;
    bus_log(admission->closed ? BUS_DEBUG : /* as it is meant */ full || status == BUS_REFUSED || status == BUS_DENIED ? BUS_ERROR : BUS_WARN, self->name,
            full ? "schemas_full" : status == BUS_DENIED ? "forged" : "schema_refused", "%s/%d offset %lld is not learnt%s: %s%s",
            BUS_SCHEMAS_TOPIC, record->partition, (long long)record->offset, full ? ", nor what follows it" : "", err.text,
            bus_throttle_text(hidden, more));
    return status;
}

/* Known by its text: the record's own key, which was another hash before, says nothing. */
static void learn(bus_follower *follower, const bus_record *record)
{
    if (!record->value) /* a tombstone: nothing is forgotten while events written by it may exist */
        return;
    if (bus_admit(&follower->admission, follower->self, record) != BUS_OK)
        return;
    char key[BUS_SCHEMA_KEY];
    bus_schema_key(record->value, record->value_len, key);
    bus_map_put(&follower->known, key, sizeof key - 1, follower); /* without memory it is announced twice: harmless */
}

static bus_status announce_later(bus_follower *follower, bus_error *err);

/* Reads until BUS_CLOSED (to the end), or, following, until it is time to announce again: BUS_OK. BUS_CANCELLED when the bus
 * stops. */
static bus_status read_on(bus_follower *follower, bus_kafka_reader *reader, bool following, bus_error *err)
{
    const bus_clock *clock = follower->self->clock;
    int64_t again_us = bus_config_int(follower->self->config, "schema.announce.interval.ms") * 1000;
    int64_t until_us = again_us ? clock->mono_us(clock) + again_us : INT64_MAX;
    while (clock->mono_us(clock) < until_us) {
        if (bus_stopping(follower->self))
            return BUS_CANCELLED;
        const bus_record *record;
        bus_status status = following && atomic_exchange(&follower->news, false) ? announce_later(follower, err) : BUS_OK;
        if (status != BUS_OK)
            return status;
        status = bus_kafka_reader_next(reader, NEXT_MS, &record, err);
        if (status == BUS_OK)
            learn(follower, record);
        else if (status != BUS_TIMEOUT)
            return status;
    }
    return BUS_OK;
}

static bool on_topic(const bus_follower *follower, const bus_schema *schema, char key[BUS_SCHEMA_KEY])
{
    size_t len;
    const char *json = bus_schema_json(schema, &len);
    bus_schema_key(json, len, key);
    return bus_map_get(&follower->known, key, BUS_SCHEMA_KEY - 1) != NULL;
}

/* Whether the schema may follow the versions of its name that are on the topic, as schema.compatibility says. */
static bus_status may_follow(const bus_follower *follower, const bus_schema *schema, bus_error *err)
{
    const bus_catalog *catalog = follower->self->catalog;
    const bus_schema *other, **before = calloc(bus_catalog_version(catalog) + 1, sizeof *before);
    bus_compatibility level = BUS_COMPATIBILITY_BACKWARD;
    char key[BUS_SCHEMA_KEY];
    size_t count = 0;
    if (!before)
        return bus_fail_nomem(err);
    for (size_t i = 0; count < bus_catalog_version(catalog) && (other = bus_catalog_at(catalog, i)); i++)
        if (strcmp(bus_schema_name(other), bus_schema_name(schema)) == 0 && on_topic(follower, other, key))
            before[count++] = other;
    bus_compatibility_of(bus_config_text(follower->self->config, "schema.compatibility"), &level);
    bus_status status = bus_compatible(level, schema, before, count, err);
    free(before);
    if (status != BUS_OK)
        bus_fail_in(err, "the schema of %s here is refused by those on %s; mend it, or see docs/schemas.md and schema.compatibility",
                    bus_schema_name(schema), BUS_SCHEMAS_TOPIC);
    return status;
}

/* Before any is announced, so that a refused service leaves nothing behind. */
static bus_status check_own(const bus_follower *follower, bus_error *err)
{
    char key[BUS_SCHEMA_KEY];
    for (size_t i = 0; i < follower->own; i++) {
        const bus_schema *schema = bus_catalog_at(follower->self->catalog, i);
        bus_status status = on_topic(follower, schema, key) ? BUS_OK : may_follow(follower, schema, err);
        if (status != BUS_OK)
            return status;
    }
    return BUS_OK;
}

static bus_status announce_one(bus_follower *follower, const bus_schema *schema, bus_error *err)
{
    bus *self = follower->self;
    bus_outlet *outlet;
    size_t len;
    const char *json = bus_schema_json(schema, &len);
    char key[BUS_SCHEMA_KEY];
    if (on_topic(follower, schema, key))
        return BUS_OK;
    bus_row row = { .topic = BUS_SCHEMAS_TOPIC, .partition = -1, .key = key, .key_len = sizeof key - 1, .value = json, .value_len = len };
    bus_status status = bus_outlet_of(self, &outlet, err);
    if (status == BUS_OK)
        status = bus_outlet_publish(outlet, &row, NULL, NULL, err);
    if (status == BUS_OK) {
        bus_count(&self->metrics.announced, 1);
        bus_log(BUS_INFO, self->name, "schema_announced", "%s is on %s now", bus_schema_name(schema), BUS_SCHEMAS_TOPIC);
    }
    return status;
}

static bus_status announce(bus_follower *follower, bus_error *err)
{
    bus_status status = check_own(follower, err);
    follower->checked |= status == BUS_OK;
    for (size_t i = 0; i < follower->own && status == BUS_OK; i++)
        status = announce_one(follower, bus_catalog_at(follower->self->catalog, i), err);
    return status == BUS_OK ? announce_later(follower, err) : status;
}

static const bus_schema *later_at(bus_follower *follower, size_t i)
{
    pthread_mutex_lock(&follower->lock);
    const bus_schema *schema = i < follower->later_count ? follower->later[i] : NULL;
    pthread_mutex_unlock(&follower->lock);
    return schema;
}

/* What turns up while the process runs ends it no more: one that may not follow those that are there is told, and not announced. */
static bus_status announce_later(bus_follower *follower, bus_error *err)
{
    const bus_schema *schema;
    bus_status status = BUS_OK;
    char key[BUS_SCHEMA_KEY];
    for (size_t i = 0; status == BUS_OK && (schema = later_at(follower, i)); i++) {
        bus_error why = { 0 };
        if (on_topic(follower, schema, key))
            continue;
        if (may_follow(follower, schema, &why) == BUS_OK)
            status = announce_one(follower, schema, err);
        else
            bus_log(BUS_ERROR, follower->self->name, "schema_incompatible", "%s; events and answers in it cannot be read by others", why.text);
    }
    return status;
}

bool bus_follower_add(bus_follower *follower, const bus_schema *schema)
{
    pthread_mutex_lock(&follower->lock);
    size_t i = 0;
    while (i < follower->later_count && follower->later[i] != schema)
        i++;
    bool there = i < follower->later_count, ok = there || bus_array_one_more(&follower->later, i, sizeof *follower->later);
    if (ok && !there) {
        follower->later[follower->later_count++] = schema;
        atomic_store(&follower->news, true);
    }
    pthread_mutex_unlock(&follower->lock);
    return ok;
}

/* From what was read to the end, on and on: each span's end is where following begins. */
static bus_status follow(bus_follower *follower, const bus_range *ranges, size_t count, bus_error *err)
{
    bus_kafka_reader *reader;
    bus_status status = bus_kafka_reader_open(follower->self->config, follower->self->name, ranges, count, BUS_READ_ANY, OPEN_MS,
                                              &reader, err);
    if (status != BUS_OK)
        return status;
    status = read_on(follower, reader, true, err);
    bus_kafka_reader_close(reader);
    return status;
}

static bus_status turn(bus_follower *follower, bus_error *err)
{
    bus *self = follower->self;
    bus_range all = { .topic = BUS_SCHEMAS_TOPIC, .partition = -1, .from = { BUS_EDGE_START, 0 }, .to = { BUS_EDGE_END, 0 } };
    bus_kafka_reader *reader;
    bus_status status = bus_kafka_reader_open(self->config, self->name, &all, 1, BUS_READ_ANY, OPEN_MS, &reader, err);
    if (status != BUS_OK)
        return status;
    status = read_on(follower, reader, false, err);
    size_t count = bus_kafka_reader_span_count(reader);
    bus_range *rest = calloc(count ? count : 1, sizeof *rest);
    for (size_t i = 0; rest && i < count; i++) {
        bus_span span = bus_kafka_reader_span(reader, i);
        rest[i] = (bus_range){ .topic = BUS_SCHEMAS_TOPIC, .partition = span.partition, .from = { BUS_EDGE_OFFSET, span.to },
                               .to = { BUS_EDGE_NEVER, 0 } };
    }
    bus_kafka_reader_close(reader);
    if (!rest)
        status = bus_fail_nomem(err);
    else if (status == BUS_CLOSED)
        status = announce(follower, err);
    if (status == BUS_OK)
        status = follow(follower, rest, count, err);
    free(rest);
    return status;
}

static void *follower_main(void *arg)
{
    bus_follower *follower = arg;
    bus *self = follower->self;
    while (!bus_stopping(self)) {
        bus_error err = { 0 };
        bus_status status = turn(follower, &err);
        if (status == BUS_CANCELLED || bus_stopping(self))
            break;
        if (status == BUS_OK)
            continue;
        if (status == BUS_SCHEMA && follower->checked) { /* it was right at the start: somebody else's announcement ends nobody */
            bus_log(BUS_ERROR, self->name, "schema_incompatible", "%s; it came after this process had started, and is passed over", err.text);
            bus_nap(self, AGAIN_MS);
            continue;
        }
        if (status == BUS_SCHEMA) { /* what it would write or read, others cannot: it must not run on */
            bus_log(BUS_ERROR, self->name, "schema_incompatible", "%s", err.text);
            bus_end(self, status, &err);
            break;
        }
        if (!follower->said && status != BUS_BROKER && status != BUS_TIMEOUT) { /* a broker that is away is told by control */
            follower->said = true;
            bus_log(BUS_WARN, self->name, "schemas_unread", "cannot follow %s, so schemas of others are unknown here; trying on: %s%s",
                    BUS_SCHEMAS_TOPIC, err.text, status == BUS_MISSING ? "; run `bus topics apply`" : "");
        }
        bus_nap(self, AGAIN_MS);
    }
    return NULL;
}

bus_status bus_follower_open(bus *self, bus_follower **out, bus_error *err)
{
    bus_follower *follower = calloc(1, sizeof *follower);
    if (!follower)
        return bus_fail_nomem(err);
    follower->self = self;
    bus_map_init(&follower->known);
    bus_admission_init(&follower->admission, self->config, self->catalog, self->keys);
    pthread_mutex_init(&follower->lock, NULL);
    while (self->service && bus_catalog_at(self->catalog, follower->own))
        follower->own++;
    int failed = pthread_create(&follower->thread, NULL, follower_main, follower);
    if (failed) {
        bus_map_free(&follower->known, NULL);
        free(follower);
        return bus_fail(err, BUS_IO, "cannot start a thread: %s; raise ulimit -u", strerror(failed));
    }
    *out = follower;
    return BUS_OK;
}

void bus_follower_close(bus_follower *follower)
{
    if (!follower)
        return;
    pthread_join(follower->thread, NULL);
    bus_map_free(&follower->known, NULL);
    bus_admission_free(&follower->admission);
    pthread_mutex_destroy(&follower->lock);
    free(follower->later);
    free(follower);
}
