/* SPDX-License-Identifier: MIT
 * Schemas: from the topic, from files, and back. */
#include "ops/schemas.h"
#include "base/error.h"
#include "codec/schema_key.h"
#include "codec/schema_set.h"
#include "kafka/admin.h"
#include "kafka/reader.h"
#include "shard/topics.h"

#include <stdlib.h>
#include <string.h>

bus_status bus_schemas_load(const bus_config *config, int timeout_ms, bus_catalog *catalog, bus_refusals *refused,
                            const bus_watch *watch, bus_error *err)
{
    const bus_range range = { .topic = BUS_SCHEMAS_TOPIC, .partition = -1, .from = { BUS_EDGE_START, 0 }, .to = { BUS_EDGE_END, 0 } };
    bus_kafka_reader *reader = NULL;
    const bus_record *record;
    bus_error why = { 0 };
    bus_keys *keys = NULL;
    bus_admission admission;
    bus_status status = bus_keys_of(config, &keys, err);
    if (status != BUS_OK)
        return status;
    bus_admission_init(&admission, config, catalog, keys);
    admission.closed = false;
    *refused = (bus_refusals){ 0 };
    status = bus_kafka_reader_open(config, "bus-schemas", &range, 1, BUS_READ_BY_TIME, timeout_ms, &reader, &why);
    if (status == BUS_MISSING)
        status = BUS_CLOSED;
    while (status == BUS_OK) {
        status = bus_kafka_reader_next(reader, 500, &record, &why);
        bus_error unlearnt = { 0 };
        if (status == BUS_OK && record->value && bus_admission_take(&admission, record, &unlearnt) != BUS_OK)
            bus_refusals_add(refused, record, &unlearnt);
        else if (status == BUS_TIMEOUT)
            status = BUS_OK;
        if (status == BUS_OK && bus_watch_stop(watch))
            status = bus_fail(&why, BUS_CANCELLED, "interrupted while reading the schemas");
    }
    bus_kafka_reader_close(reader);
    bus_admission_free(&admission);
    bus_keys_free(keys);
    if (status != BUS_CLOSED) {
        if (err)
            *err = why;
        return bus_fail_in(err, "reading %s", BUS_SCHEMAS_TOPIC);
    }
    return BUS_OK;
}

bus_status bus_schemas_file(const char *path, const char *const *others, size_t count, bus_catalog *catalog, const bus_schema **out,
                            bus_error *err)
{
    bus_status status = BUS_OK;
    bus_schema_set set;
    bus_buf text;
    bus_schema_set_init(&set, true);
    bus_buf_init(&text, 0);
    for (size_t i = 0; i < count && status == BUS_OK; i++)
        if (strcmp(others[i], path) != 0)
            status = bus_schema_set_offer(&set, others[i], err);
    if (status == BUS_OK)
        status = bus_schema_set_load(&set, &path, 1, err);
    if (status == BUS_OK)
        status = bus_schema_whole(bus_schema_root(set.given.at[0]->schema), &text, err);
    if (status == BUS_OK && (status = bus_catalog_add(catalog, (const char *)text.data, text.len, err)) != BUS_OK)
        bus_fail_in(err, "%s", path);
    if (status == BUS_OK)
        *out = bus_catalog_text(catalog, (const char *)text.data, text.len);
    bus_buf_free(&text);
    bus_schema_set_free(&set);
    return status;
}

bus_status bus_schemas_ready(const bus_config *config, int timeout_ms, bus_error *err)
{
    static const char *const name = BUS_SCHEMAS_TOPIC;
    bus_kafka_admin *admin = NULL;
    bus_kafka_topic *topics = NULL;
    size_t count = 0;
    bus_status status = bus_kafka_admin_open(config, "bus-schemas", &admin, err);
    if (status == BUS_OK)
        status = bus_kafka_admin_topics(admin, &name, 1, false, timeout_ms, &topics, &count, err);
    if (status == BUS_OK && !count)
        status = bus_fail(err, BUS_MISSING, "topic %s is not there, so no schema can be announced: bus topics apply makes it", name);
    free(topics);
    bus_kafka_admin_close(admin);
    return status;
}

bus_status bus_schemas_announce(bus_kafka_publisher *publisher, const bus_schema *schema, bus_kafka_published done,
                                void *opaque, bus_error *err)
{
    char key[BUS_SCHEMA_KEY];
    size_t len;
    const char *json = bus_schema_json(schema, &len);
    bus_schema_key(json, len, key);
    bus_row row = { .topic = BUS_SCHEMAS_TOPIC, .partition = -1, .key = key, .key_len = sizeof key - 1, .value = json, .value_len = len };
    return bus_kafka_publish(publisher, &row, done, opaque, err);
}
