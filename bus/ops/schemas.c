/* SPDX-License-Identifier: MIT
 * Schemas: from the topic, from files, and back. */
#include "ops/schemas.h"
#include "base/error.h"
#include "kafka/admin.h"
#include "kafka/reader.h"
#include "service/announce.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bus_status bus_schemas_load(const bus_config *config, int timeout_ms, bus_catalog *catalog, size_t *count,
                            const bus_watch *watch, bus_error *err)
{
    const bus_range range = { .topic = BUS_SCHEMAS_TOPIC, .partition = -1, .from = { BUS_EDGE_START, 0 }, .to = { BUS_EDGE_END, 0 } };
    bus_kafka_reader *reader = NULL;
    const bus_record *record;
    size_t known = 0;
    bus_error why = { 0 };
    bus_status status = bus_kafka_reader_open(config, "bus-schemas", &range, 1, BUS_READ_BY_TIME, timeout_ms, &reader, &why);

    if (status == BUS_MISSING)
        status = BUS_CLOSED;
    while (status == BUS_OK) {
        status = bus_kafka_reader_next(reader, 500, &record, &why);
        if (status == BUS_OK && record->value)
            known += bus_catalog_add(catalog, record->value, record->value_len, NULL) == BUS_OK;
        else if (status == BUS_TIMEOUT)
            status = BUS_OK;
        if (status == BUS_OK && bus_watch_stop(watch))
            status = bus_fail(&why, BUS_CANCELLED, "interrupted while reading the schemas");
    }
    bus_kafka_reader_close(reader);
    if (status != BUS_CLOSED) {
        if (err)
            *err = why;
        return bus_fail_in(err, "reading %s", BUS_SCHEMAS_TOPIC);
    }
    if (count)
        *count = known;
    return BUS_OK;
}

static bus_status read_file(const char *path, bus_buf *out, bus_error *err)
{
    char chunk[8192];
    size_t n;
    FILE *file = fopen(path, "rb");
    if (!file)
        return bus_fail(err, BUS_IO, "%s: %s", path, strerror(errno));
    while ((n = fread(chunk, 1, sizeof chunk, file)) > 0)
        bus_buf_add(out, chunk, n);
    bus_status status = ferror(file)     ? bus_fail(err, BUS_IO, "%s: it cannot be read", path)
                      : !bus_buf_ok(out) ? bus_fail(err, BUS_TOO_BIG, "%s: over %u bytes, too big for a schema", path, BUS_SCHEMA_MAX_BYTES)
                                         : BUS_OK;
    fclose(file);
    return status;
}

bus_status bus_schemas_file(const char *path, bus_catalog *catalog, const bus_schema **out, bus_error *err)
{
    bus_buf text;
    bus_buf_init(&text, BUS_SCHEMA_MAX_BYTES);
    bus_status status = read_file(path, &text, err);
    if (status == BUS_OK && (status = bus_catalog_add(catalog, (const char *)text.data, text.len, err)) != BUS_OK)
        bus_fail_in(err, "%s", path);
    if (status == BUS_OK)
        *out = bus_catalog_text(catalog, (const char *)text.data, text.len);
    bus_buf_free(&text);
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
    char key[BUS_ID_TEXT];
    size_t len;
    const char *json = bus_schema_json(schema, &len);
    bus_schema_key(json, len, key);
    bus_row row = { .topic = BUS_SCHEMAS_TOPIC, .partition = -1, .key = key, .key_len = sizeof key - 1, .value = json, .value_len = len };
    return bus_kafka_publish(publisher, &row, done, opaque, err);
}
