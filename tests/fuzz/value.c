/* SPDX-License-Identifier: MIT
 * Fuzz: bodies that go to avro-c. It never sees what our own reader has not passed, and gives back what it was given.
 * About: bus/codec/value.c */
#include "codec/body.h"
#include "codec/value.h"
#include "fuzz/fuzz.h"

#include <avro.h>

static const char text[] =
    "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"l\",\"type\":\"long\"},{\"name\":\"b\",\"type\":\"boolean\"},"
    "{\"name\":\"s\",\"type\":\"string\"},{\"name\":\"y\",\"type\":\"bytes\"},{\"name\":\"d\",\"type\":[\"float\",\"double\",\"int\"]},"
    "{\"name\":\"e\",\"type\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}},"
    "{\"name\":\"x\",\"type\":{\"type\":\"fixed\",\"name\":\"F\",\"size\":2}},{\"name\":\"n\",\"type\":{\"type\":\"array\",\"items\":\"null\"}},"
    "{\"name\":\"m\",\"type\":{\"type\":\"map\",\"values\":[\"int\",\"string\",\"R\"]}},{\"name\":\"o\",\"type\":[\"null\",\"R\"]},"
    "{\"name\":\"c\",\"type\":{\"type\":\"array\",\"items\":\"R\"}}]}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bui_schema *schema;
    bus_error err;
    avro_value_t value;
    bui_buf once, twice;
    if (!schema)
        must(bui_schema_parse(text, sizeof text - 1, &schema, &err) == BUS_OK);
    if (size > 16384)
        return 0;
    bool good = bui_body_check(schema, data, size, 0, &err) == BUS_OK;
    must((bui_value_decode(schema, data, size, 0, &value, &err) == BUS_OK) == good);
    if (!good)
        return 0;
    bui_buf_init(&once, 0);
    bui_buf_init(&twice, 0);
    must(bui_value_encode(schema, &value, &once, &err) == BUS_OK);
    avro_value_decref(&value);
    must(bui_value_decode(schema, once.data, once.len, 0, &value, &err) == BUS_OK);
    must(bui_value_encode(schema, &value, &twice, &err) == BUS_OK);
    must(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
    avro_value_decref(&value);
    bui_buf_free(&once);
    bui_buf_free(&twice);
    return 0;
}
