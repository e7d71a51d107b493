/* SPDX-License-Identifier: MIT
 * Fuzz: JSON from people. What is accepted makes a body that the same schema can read. */
#include "codec/json.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char text[] =
    "{\"type\":\"record\",\"name\":\"R\",\"fields\":["
    "{\"name\":\"l\",\"type\":\"long\",\"default\":1},{\"name\":\"d\",\"type\":[\"long\",\"double\",\"null\"],\"default\":2},"
    "{\"name\":\"s\",\"type\":[\"null\",\"string\",\"bytes\"],\"default\":null},"
    "{\"name\":\"e\",\"type\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]},\"default\":\"A\"},"
    "{\"name\":\"x\",\"type\":{\"type\":\"fixed\",\"name\":\"F\",\"size\":2},\"default\":\"ab\"},"
    "{\"name\":\"m\",\"type\":{\"type\":\"map\",\"values\":[\"int\",\"string\",\"R\"]},\"default\":{}},"
    "{\"name\":\"c\",\"type\":{\"type\":\"array\",\"items\":\"R\"},\"default\":[]}]}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bus_schema *schema;
    bus_error err;
    bus_buf body, json;
    if (!schema && bus_schema_parse(text, sizeof text - 1, &schema, &err) != BUS_OK)
        abort();
    if (size > 16384)
        return 0;
    bus_buf_init(&body, 0);
    bus_buf_init(&json, 0);
    if (bus_json_read(schema, (const char *)data, size, &body, &err) == BUS_OK &&
        bus_json_write(schema, body.data, body.len, &json, &err) != BUS_OK)
        abort();
    bus_buf_free(&body);
    bus_buf_free(&json);
    return 0;
}
