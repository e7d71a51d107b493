/* SPDX-License-Identifier: MIT
 * What the codec costs beside avro-c's generic values, on the same bytes in one run, for three shapes: decode; encode of a
 * value that lies ready; encode from the program's own data (a struct here, there a generic value to be filled first);
 * and decode of what an older version of the schema wrote. And reading an envelope of six headers. */
#include "codec/body.h"
#include "codec/envelope.h"
#include "codec/json.h"
#include "codec/plan.h"
#include "support/shapes.c" /* benches do not link the tests' support */

#include <avro.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SECONDS 0.3 /* a measurement */

static void die(const char *what)
{
    fprintf(stderr, "bench codec: %s\n", what);
    exit(1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* one thread: others on the machine do not count */
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

typedef struct work {
    const bus_shape *shape;
    void *body;
    bus_buf bytes, out;
    bus_arena arena;
    avro_value_t value, copy, resolved;
    bus_plan *plan;
    const bus_shape *later;
    char space[65536];
    bus_header headers[6];
} work;

static void our_decode(work *w)
{
    bus_error err;
    bus_arena_reset(&w->arena);
    void *body = bus_arena_alloc(&w->arena, w->shape->size);
    if (!body || bus_body_decode(w->shape, w->bytes.data, w->bytes.len, 0, &w->arena, body, &err) != BUS_OK)
        die("decode");
}

static void our_encode(work *w)
{
    bus_error err;
    bus_buf_clear(&w->out);
    if (bus_body_encode(w->shape, w->body, &w->out, &err) != BUS_OK)
        die("encode");
}

/* Readers and writers of avro-c are made once and pointed anew, as its users do. */
static avro_reader_t reader;
static avro_writer_t writer;

static void their_decode(work *w)
{
    avro_reader_memory_set_source(reader, (const char *)w->bytes.data, (int64_t)w->bytes.len);
    avro_value_reset(&w->value);
    if (avro_value_read(reader, &w->value) != 0)
        die(avro_strerror());
}

static void their_encode(work *w)
{
    avro_writer_reset(writer);
    if (avro_value_write(writer, &w->value) != 0)
        die(avro_strerror());
}

static void our_evolved(work *w)
{
    bus_error err;
    bus_arena_reset(&w->arena);
    void *body = bus_arena_alloc(&w->arena, w->later->size);
    if (!body || bus_plan_decode(w->plan, w->bytes.data, w->bytes.len, 0, &w->arena, body, &err) != BUS_OK)
        die("evolved");
}

static void their_evolved(work *w)
{
    avro_reader_memory_set_source(reader, (const char *)w->bytes.data, (int64_t)w->bytes.len);
    avro_value_reset(&w->copy);
    if (avro_value_read(reader, &w->resolved) != 0)
        die(avro_strerror());
}

/* As a program without a compiled type does, call by call: here from another value, which costs least. */
static void their_fill(work *w)
{
    avro_value_reset(&w->copy);
    if (avro_value_copy_fast(&w->copy, &w->value) != 0)
        die(avro_strerror());
    avro_writer_reset(writer);
    if (avro_value_write(writer, &w->copy) != 0)
        die(avro_strerror());
}

static void read_envelope(work *w)
{
    bus_envelope envelope;
    bus_error err;
    if (bus_envelope_read(w->headers, 6, &envelope, &err) != BUS_OK)
        die("envelope");
}

static void pack_headers(work *w)
{
    bus_buf_clear(&w->out);
    bus_headers_pack(w->headers, 6, &w->out);
}

/* Nanoseconds a call. */
static double measure(void (*run)(work *), work *w)
{
    long calls = 0;
    for (int i = 0; i < 1000; i++)
        run(w);
    double start = now(), passed;
    do {
        for (int i = 0; i < 1000; i++)
            run(w);
        calls += 1000;
        passed = now() - start;
    } while (passed < SECONDS);
    return passed / (double)calls * 1e9;
}

static bus_schema *parse(const char *json)
{
    bus_schema *schema;
    bus_error err;
    if (bus_schema_parse(json, strlen(json), &schema, &err) != BUS_OK)
        die(err.text);
    return schema;
}

static avro_value_iface_t *new_value(const char *json, avro_schema_t *schema, avro_value_t *value)
{
    if (avro_schema_from_json_length(json, strlen(json), schema) != 0)
        die(avro_strerror());
    avro_value_iface_t *class = avro_generic_class_from_schema(*schema);
    avro_generic_value_new(class, value);
    return class;
}

static void tell(const char *what, double ours, double theirs)
{
    printf("  %-8s %5.0f ns, avro-c %5.0f ns, %4.1f times", what, ours, theirs, theirs / ours);
}

/* The later version drops a field, moves one and widens ints: what avro-c can do as well. */
static void bench_evolved(const char *json, const char *later, work *w)
{
    bus_error err;
    bus_arena shapes;
    avro_schema_t old, new;
    bus_schema *from = parse(json), *to = parse(later);
    bus_arena_init(&shapes, 0);
    w->later = test_shape_of(bus_schema_root(to), &shapes);
    if (!w->later || bus_plan_between(from, to, w->later, &w->plan, &err) != BUS_OK)
        die(err.text);
    avro_value_iface_t *class = new_value(later, &new, &w->copy);
    if (avro_schema_from_json_length(json, strlen(json), &old) != 0)
        die(avro_strerror());
    avro_value_iface_t *way = avro_resolved_writer_new(old, new);
    if (!way || avro_resolved_writer_new_value(way, &w->resolved) != 0)
        die(avro_strerror());
    avro_resolved_writer_set_dest(&w->resolved, &w->copy);
    double ours = measure(our_evolved, w), theirs = measure(their_evolved, w);
    tell("evolved", ours, theirs);
    printf("\n");
    avro_value_decref(&w->resolved);
    avro_value_iface_decref(way);
    avro_value_decref(&w->copy);
    avro_value_iface_decref(class);
    avro_schema_decref(old);
    avro_schema_decref(new);
    bus_plan_free(w->plan);
    bus_schema_free(from);
    bus_schema_free(to);
    bus_arena_free(&shapes);
}

static void bench(const char *name, const char *json, const char *later, const char *value, work *w)
{
    avro_schema_t theirs;
    bus_error err;
    bus_arena shapes;
    bus_schema *schema = parse(json);
    bus_arena_init(&shapes, 0);
    bus_buf_clear(&w->bytes);
    if (bus_json_read(schema, value, strlen(value), &w->bytes, &err) != BUS_OK)
        die(err.text);
    w->shape = test_shape_of(bus_schema_root(schema), &shapes);
    avro_value_iface_t *class = new_value(json, &theirs, &w->value);
    avro_generic_value_new(class, &w->copy);
    w->body = w->shape ? bus_arena_alloc(&shapes, w->shape->size) : NULL;
    if (!w->body || bus_body_decode(w->shape, w->bytes.data, w->bytes.len, 0, &shapes, w->body, &err) != BUS_OK)
        die(err.text);
    printf("codec %s, %zu bytes\n", name, w->bytes.len);
    double decode = measure(our_decode, w), slow_decode = measure(their_decode, w);
    double encode = measure(our_encode, w), slow_encode = measure(their_encode, w), slow_fill = measure(their_fill, w);
    tell("decode", decode, slow_decode);
    tell("encode", encode, slow_encode);
    tell("filled", encode, slow_fill);
    printf("\n");
    avro_value_decref(&w->value);
    avro_value_decref(&w->copy);
    avro_value_iface_decref(class);
    avro_schema_decref(theirs);
    bus_schema_free(schema);
    bus_arena_free(&shapes);
    bench_evolved(json, later, w);
}

#define ORDER "{\"type\":\"record\",\"name\":\"Order\",\"fields\":[{\"name\":\"id\",\"type\":\"string\"},{\"name\":\"customer\",\"type\":\"string\"}," \
    "{\"name\":\"note\",\"type\":[\"null\",\"string\"]},{\"name\":\"lines\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"record\"," \
    "\"name\":\"Line\",\"fields\":[{\"name\":\"sku\",\"type\":\"string\"},{\"name\":\"quantity\",\"type\":\"int\"},{\"name\":\"cents\",\"type\":\"long\"}]}}}]}"
#define LATER_ORDER "{\"type\":\"record\",\"name\":\"Order\",\"fields\":[{\"name\":\"customer\",\"type\":\"string\"},{\"name\":\"id\",\"type\":\"string\"}," \
    "{\"name\":\"lines\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":\"Line\",\"fields\":[{\"name\":\"quantity\",\"type\":\"long\"}," \
    "{\"name\":\"sku\",\"type\":\"string\"},{\"name\":\"cents\",\"type\":\"long\"}]}}}]}"
#define LINE "{\"sku\":\"sku-000123\",\"quantity\":2,\"cents\":129900}"

static void wide(bus_buf *schema, bus_buf *later, bus_buf *value)
{
    bus_buf_text(schema, "{\"type\":\"record\",\"name\":\"Wide\",\"fields\":[");
    bus_buf_text(later, "{\"type\":\"record\",\"name\":\"Wide\",\"fields\":[");
    bus_buf_byte(value, '{');
    for (int i = 0; i < 40; i++) {
        static const char *const types[] = { "\"long\"", "\"string\"", "[\"null\",\"string\"]", "[\"null\",\"long\",\"string\"]",
                                             "{\"type\":\"map\",\"values\":\"int\"}" };
        static const char *const values[] = { "123456789", "\"some text of a field\"", "\"there\"", "42", "{\"one\":1,\"two\":2}" };
        bus_buf_printf(schema, "%s{\"name\":\"f%d\",\"type\":%s}", i > 0 ? "," : "", i, types[i % 5]);
        if (i % 10 != 0) /* every tenth is dropped, the other longs become doubles */
            bus_buf_printf(later, "%s{\"name\":\"f%d\",\"type\":%s}", i > 1 ? "," : "", i, i % 5 ? types[i % 5] : "\"double\"");
        bus_buf_printf(value, "%s\"f%d\":%s", i > 0 ? "," : "", i, values[i % 5]);
    }
    bus_buf_text(schema, "]}");
    bus_buf_text(later, "]}");
    bus_buf_byte(value, '}');
}

int main(void)
{
    static work w;
    bus_buf schema, later, value;
    bus_buf_init(&w.bytes, 0);
    bus_buf_init(&w.out, 0);
    bus_arena_init(&w.arena, 0);
    bus_buf_init(&schema, 0);
    bus_buf_init(&later, 0);
    bus_buf_init(&value, 0);
    reader = avro_reader_memory("", 0);
    writer = avro_writer_memory(w.space, sizeof w.space);
    bench("6 scalars", "{\"type\":\"record\",\"name\":\"Six\",\"fields\":[{\"name\":\"id\",\"type\":\"string\"},{\"name\":\"customer\",\"type\":\"string\"},"
          "{\"name\":\"count\",\"type\":\"int\"},{\"name\":\"cents\",\"type\":\"long\"},{\"name\":\"rate\",\"type\":\"double\"},{\"name\":\"gift\",\"type\":\"boolean\"}]}",
          "{\"type\":\"record\",\"name\":\"Six\",\"fields\":[{\"name\":\"cents\",\"type\":\"long\"},{\"name\":\"count\",\"type\":\"long\"},{\"name\":\"id\",\"type\":\"string\"},"
          "{\"name\":\"gift\",\"type\":\"boolean\"},{\"name\":\"customer\",\"type\":\"string\"}]}",
          "{\"id\":\"0b6ce1c8-5f1d-5d0c-9a39-0b2c8a1e7f55\",\"customer\":\"customer-00012345\",\"count\":3,\"cents\":129900,\"rate\":0.25,\"gift\":true}", &w);
    bench("order, 5 lines", ORDER, LATER_ORDER, "{\"id\":\"order-000001\",\"customer\":\"c-42\",\"note\":null,\"lines\":[" LINE "," LINE "," LINE "," LINE "," LINE "]}", &w);
    wide(&schema, &later, &value);
    char *schema_text = bus_buf_take(&schema), *later_text = bus_buf_take(&later), *value_text = bus_buf_take(&value);
    if (!schema_text || !later_text || !value_text)
        die("no memory");
    bench("wide, 40 fields", schema_text, later_text, value_text, &w);
    static const bus_header headers[6] = {
        { "ce_specversion", "1.0", 3 }, { "ce_id", "0b6ce1c8-5f1d-5d0c-9a39-0b2c8a1e7f55", 36 }, { "ce_source", "/order/1", 8 },
        { "ce_type", "order.OrderPlaced", 17 }, { "content-type", "application/avro", 16 },
        { "bus-hop", "order/1#0123456789abcdef order.events/5/123456", 46 },
    };
    memcpy(w.headers, headers, sizeof headers);
    printf("codec 6 headers: read %.0f ns, pack %.0f ns\n", measure(read_envelope, &w), measure(pack_headers, &w));
    free(schema_text);
    free(later_text);
    free(value_text);
    avro_reader_free(reader);
    avro_writer_free(writer);
    bus_buf_free(&w.bytes);
    bus_buf_free(&w.out);
    bus_arena_free(&w.arena);
    return 0;
}
