/* SPDX-License-Identifier: MIT
 * Schemas: from the topic, from files, and back. */
#include "ops/schemas.h"
#include "base/error.h"
#include "codec/schema_key.h"
#include "codec/schema_set.h"
#include "kafka/admin.h"
#include "kafka/topic_reader.h"
#include "shard/topics.h"

#include <stdlib.h>
#include <string.h>

bus_status bui_schemas_load(const bus_config *config, int timeout_ms, bui_catalog *catalog, bui_refusals *refused,
                            const bui_watch *watch, bus_error *err)
{
    const bui_range range = {
        .topic = BUI_SCHEMAS_TOPIC, .partition = -1, .from = { BUI_EDGE_START, 0 }, .to = { BUI_EDGE_END, 0 }
    };
    bui_kafka_reader *reader = NULL;
    const bui_record *record;
    bus_error why = { 0 };
    bui_keys *keys = NULL;
    bui_admission admission;
    bus_status status = bui_keys_of(config, &keys, err);
    if (status != BUS_OK)
        return status;
    bui_admission_init(&admission, config, catalog, keys);
    admission.closed = false;
    *refused = (bui_refusals){ 0 };
    status = bui_kafka_reader_open(config, "bus-schemas", &range, 1, BUI_READ_BY_TIME, timeout_ms, &reader, &why);
    if (status == BUS_MISSING)
        status = BUS_CLOSED;
    while (status == BUS_OK) {
        status = bui_kafka_reader_next(reader, 500, &record, &why);
        bus_error unlearnt = { 0 };
        if (status == BUS_OK && record->value && bui_admission_take(&admission, record, &unlearnt) != BUS_OK)
            bui_refusals_add(refused, record, &unlearnt);
        else if (status == BUS_TIMEOUT)
            status = BUS_OK;
        if (status == BUS_OK && bui_watch_stop(watch))
            status = bui_fail(&why, BUS_CANCELLED, "interrupted while reading the schemas");
    }
    bui_kafka_reader_close(reader);
    bui_admission_free(&admission);
    bui_keys_free(keys);
    if (status != BUS_CLOSED) {
        if (err)
            *err = why;
        return bui_fail_in(err, "reading %s", BUI_SCHEMAS_TOPIC);
    }
    return BUS_OK;
}

bus_status bui_schemas_file(const char *path, const char *const *others, size_t count, bui_catalog *catalog,
                            const bui_schema **out, bus_error *err)
{
    bus_status status = BUS_OK;
    bui_schema_set set;
    bui_buf text;
    bui_schema_set_init(&set, true);
    bui_buf_init(&text, 0);
    for (size_t i = 0; i < count && status == BUS_OK; i++)
        if (strcmp(others[i], path) != 0)
            status = bui_schema_set_offer(&set, others[i], err);
    if (status == BUS_OK)
        status = bui_schema_set_load(&set, &path, 1, err);
    if (status == BUS_OK)
        status = bui_schema_whole(bui_schema_root(set.given.at[0]->schema), &text, err);
    if (status == BUS_OK) {
        status = bui_catalog_add(catalog, (const char *)text.data, text.len, err);
        if (status != BUS_OK)
            bui_fail_in(err, "%s", path);
    }
    if (status == BUS_OK)
        *out = bui_catalog_text(catalog, (const char *)text.data, text.len);
    bui_buf_free(&text);
    bui_schema_set_free(&set);
    return status;
}

bus_status bui_schemas_ready(const bus_config *config, int timeout_ms, bus_error *err)
{
    static const char *const name = BUI_SCHEMAS_TOPIC;
    bui_kafka_admin *admin = NULL;
    bui_kafka_topic *topics = NULL;
    size_t count = 0;
    bus_status status = bui_kafka_admin_open(config, "bus-schemas", &admin, err);
    if (status == BUS_OK)
        status = bui_kafka_admin_topics(admin, &name, 1, false, timeout_ms, &topics, &count, err);
    if (status == BUS_OK && !count)
        status =
            bui_fail(err, BUS_MISSING, "topic %s is not there, so no schema can be announced: bus topics apply creates it", name);
    free(topics);
    bui_kafka_admin_close(admin);
    return status;
}

bus_status bui_schemas_announce(bui_kafka_publisher *publisher, const bui_schema *schema, bui_kafka_published done, void *opaque,
                                bus_error *err)
{
    char key[BUI_SCHEMA_KEY];
    size_t len;
    const char *json = bui_schema_json(schema, &len);
    bui_schema_key(json, len, key);
    bui_row row = {
        .topic = BUI_SCHEMAS_TOPIC, .partition = -1, .key = key, .key_len = sizeof key - 1, .value = json, .value_len = len
    };
    return bui_kafka_publish(publisher, &row, done, opaque, err);
}
