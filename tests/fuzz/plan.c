/* SPDX-License-Identifier: MIT
 * Fuzz: pairs of schemas and a body. The input draws both schemas, the second by changing the first (structure-aware: most
 * pairs have a plan, most bodies get far). Whatever a checker calls compatible must have a plan; whatever the plan reads,
 * the writer's own checker must accept; and the struct that comes out must encode. */
#include "codec/body.h"
#include "codec/compatibility.h"
#include "codec/json.h"
#include "codec/plan.h"
#include "codec/value.h"
#include "support/shapes.c" /* fuzz targets do not link the tests' support */

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct draw { const uint8_t *at, *end; int names; } draw;

static unsigned next(draw *d, unsigned below)
{
    return d->at < d->end ? *d->at++ % below : 0;
}

/* One type as the writer has it and as the reader has it. `changed` lets them differ. */
static void type(draw *d, bus_buf *w, bus_buf *r, int depth, bool in_union);

static void both(bus_buf *w, bus_buf *r, const char *text)
{
    bus_buf_text(w, text);
    bus_buf_text(r, text);
}

static void draw_scalar(draw *d, bus_buf *w, bus_buf *r)
{
    static const char *const pairs[][2] = {
        { "\"int\"", "\"int\"" }, { "\"int\"", "\"long\"" }, { "\"int\"", "\"double\"" }, { "\"long\"", "\"float\"" },
        { "\"float\"", "\"double\"" }, { "\"string\"", "\"bytes\"" }, { "\"bytes\"", "\"string\"" }, { "\"boolean\"", "\"boolean\"" },
        { "\"null\"", "\"null\"" }, { "\"long\"", "{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}" },
        { "\"bytes\"", "{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":9,\"scale\":2}" },
        { "\"string\"", "{\"type\":\"string\",\"logicalType\":\"uuid\"}" }, { "\"int\"", "[\"null\",\"long\"]" },
        { "[\"null\",\"int\"]", "[\"double\",\"null\"]" }, { "[\"int\",\"string\"]", "\"bytes\"" }, { "\"string\"", "\"string\"" },
    };
    unsigned i = next(d, sizeof pairs / sizeof *pairs);
    bus_buf_text(w, pairs[i][0]);
    bus_buf_text(r, pairs[i][1]);
}

static void record(draw *d, bus_buf *w, bus_buf *r, int depth)
{
    bus_buf skipped;
    int name = d->names++;
    bus_buf_printf(w, "{\"type\":\"record\",\"name\":\"R%d\",\"fields\":[", name);
    bus_buf_printf(r, "{\"type\":\"record\",\"name\":\"R%d\",\"fields\":[{\"name\":\"fresh\",\"type\":[\"null\",{\"type\":\"array\",\"items\":\"R%d\"}],\"default\":null}",
                   name, name);
    bus_buf_init(&skipped, 0);
    for (unsigned i = 0, fields = 1 + next(d, 5); i < fields; i++) {
        bool dropped = next(d, 4) == 0, renamed = next(d, 4) == 0;
        bus_buf *to = dropped ? &skipped : r;
        bus_buf_printf(w, "%s{\"name\":\"f%u\",\"type\":", i > 0 ? "," : "", i);
        bus_buf_printf(to, ",{\"name\":\"%s%u\",", renamed ? "g" : "f", i);
        if (renamed)
            bus_buf_printf(to, "\"aliases\":[\"f%u\"],", i);
        bus_buf_text(to, "\"type\":");
        if (next(d, 6) == 0 && depth < 3) { /* the record itself, further down */
            bus_buf_printf(w, "[\"null\",\"R%d\"]", name);
            bus_buf_printf(to, "[\"null\",\"R%d\"]", name);
        } else {
            type(d, w, to, depth - 1, false);
        }
        bus_buf_byte(w, '}');
        bus_buf_byte(to, '}');
        bus_buf_clear(&skipped);
    }
    bus_buf_free(&skipped);
    both(w, r, "]}");
}

static void type(draw *d, bus_buf *w, bus_buf *r, int depth, bool in_union)
{
    switch (depth <= 0 ? 9 : next(d, 10)) {
    case 0:
    case 1: record(d, w, r, depth); break;
    case 2: both(w, r, "{\"type\":\"array\",\"items\":"); type(d, w, r, depth - 1, false); both(w, r, "}"); break;
    case 3: both(w, r, "{\"type\":\"map\",\"values\":"); type(d, w, r, depth - 1, false); both(w, r, "}"); break;
    case 4:
        bus_buf_printf(w, "{\"type\":\"enum\",\"name\":\"E%d\",\"symbols\":[\"A\",\"B\",\"C\"]}", d->names);
        bus_buf_printf(r, "{\"type\":\"enum\",\"name\":\"E%d\",\"symbols\":[\"C\",\"A\"]%s}", d->names++, next(d, 2) ? ",\"default\":\"A\"" : "");
        break;
    case 5:
        bus_buf_printf(w, "{\"type\":\"fixed\",\"name\":\"F%d\",\"size\":3}", d->names);
        bus_buf_printf(r, "{\"type\":\"fixed\",\"name\":\"G%d\",\"aliases\":[\"F%d\"],\"size\":3}", d->names, d->names);
        d->names++;
        break;
    case 6:
        if (!in_union) {
            bus_buf_text(w, "[\"null\",\"boolean\",");
            bus_buf_text(r, next(d, 2) ? "[\"boolean\"," : "[\"null\",\"string\",\"boolean\",");
            record(d, w, r, depth - 1);
            both(w, r, "]");
            break;
        }
        /* fall through */
    default: draw_scalar(d, w, r); break;
    }
}

static void run(const bus_schema *writer, const bus_schema *reader, const uint8_t *body, size_t len)
{
    bus_error err, why;
    bus_plan *plan = NULL;
    bus_arena shapes, arena;
    bus_buf out;
    bus_arena_init(&shapes, 0);
    bus_arena_init(&arena, 0);
    bus_buf_init(&out, 0);
    const bus_shape *shape = test_shape_of(bus_schema_root(reader), &shapes);
    if (!shape)
        abort();
    bus_status status = bus_plan_between(writer, reader, shape, &plan, &err);
    bool good = bus_compatible_read(writer, reader, &why) == BUS_OK;
    if (good && status != BUS_OK)
        abort();
    if (status == BUS_OK) {
        void *value = bus_arena_alloc(&arena, shape->size);
        bool own = bus_body_check(writer, body, len, 0, &why) == BUS_OK;
        bool json = bus_json_write(writer, body, len, &out, &why) == BUS_OK;
        status = bus_plan_decode(plan, body, len, 0, &arena, value, &err);
        if (own != json || (status == BUS_OK && !own))
            abort();
        bus_buf_clear(&out);
        /* A decimal out of its precision is read, and not written. */
        if (status == BUS_OK && bus_body_encode(shape, value, &out, &err) != BUS_OK && !strstr(err.text, "digits"))
            abort();
    }
    bus_plan_free(plan);
    bus_buf_free(&out);
    bus_arena_free(&arena);
    bus_arena_free(&shapes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bus_buf w, r;
    bus_schema *writer = NULL, *reader = NULL;
    bus_error err;
    size_t head = size < 48 ? size : 48;
    draw d = { data, data + head, 0 };
    if (size > 4096)
        return 0;
    bus_buf_init(&w, 0);
    bus_buf_init(&r, 0);
    record(&d, &w, &r, 3);
    if (bus_schema_parse((const char *)w.data, w.len, &writer, &err) != BUS_OK ||
        bus_schema_parse((const char *)r.data, r.len, &reader, &err) != BUS_OK)
        abort(); /* this file draws schemas that are none */
    run(writer, reader, data + head, size - head);
    run(writer, writer, data + head, size - head);
    bus_schema_free(writer);
    bus_schema_free(reader);
    bus_buf_free(&w);
    bus_buf_free(&r);
    return 0;
}
