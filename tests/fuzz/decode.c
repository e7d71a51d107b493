/* SPDX-License-Identifier: MIT
 * Fuzz: bodies from the network, by a schema with every type. What is accepted is encoded again and must then decode to the
 * same bytes; the generic reader must agree with the table-driven one about what is acceptable. */
#include "codec/body.h"
#include "codec/json.h"
#include "support/shapes.c" /* fuzz targets do not link the tests' support */

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char text[] =
    "{\"type\":\"record\",\"name\":\"R\",\"fields\":["
    "{\"name\":\"i\",\"type\":\"int\"},{\"name\":\"l\",\"type\":\"long\"},{\"name\":\"b\",\"type\":\"boolean\"},"
    "{\"name\":\"s\",\"type\":\"string\"},{\"name\":\"y\",\"type\":\"bytes\"},"
    "{\"name\":\"e\",\"type\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}},"
    "{\"name\":\"x\",\"type\":{\"type\":\"fixed\",\"name\":\"F\",\"size\":2}},"
    "{\"name\":\"n\",\"type\":{\"type\":\"array\",\"items\":\"null\"}},"
    "{\"name\":\"a\",\"type\":{\"type\":\"array\",\"items\":[\"null\",\"string\"]}},"
    "{\"name\":\"m\",\"type\":{\"type\":\"map\",\"values\":[\"int\",\"string\",\"R\"]}},"
    "{\"name\":\"o\",\"type\":[\"null\",\"R\"]},{\"name\":\"c\",\"type\":{\"type\":\"array\",\"items\":\"R\"}}]}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bus_schema *schema;
    static const bus_shape *shape;
    static bus_arena shapes, arena;
    static bus_buf out, again;
    bus_error err;
    if (!shape) {
        bus_arena_init(&shapes, 0);
        bus_arena_init(&arena, 0);
        bus_buf_init(&out, 0);
        bus_buf_init(&again, 0);
        if (bus_schema_parse(text, sizeof text - 1, &schema, &err) != BUS_OK)
            abort();
        shape = test_shape_of(bus_schema_root(schema), &shapes);
    }
    if (size > 65536)
        return 0;
    bus_arena_reset(&arena);
    bus_buf_clear(&out);
    bus_buf_clear(&again);
    void *body = bus_arena_alloc(&arena, shape->size);
    bus_status status = bus_body_decode(shape, data, size, 0, &arena, body, &err);
    bus_status plain = bus_json_write(schema, data, size, &again, &err);
    if ((status == BUS_OK) != (plain == BUS_OK))
        abort();
    if (status != BUS_OK)
        return 0;
    bus_buf_clear(&again);
    if (bus_body_encode(shape, body, &out, &err) != BUS_OK ||
        bus_body_decode(shape, out.data, out.len, 0, &arena, body, &err) != BUS_OK ||
        bus_body_encode(shape, body, &again, &err) != BUS_OK || out.len != again.len || memcmp(out.data, again.data, out.len) != 0)
        abort();
    return 0;
}
