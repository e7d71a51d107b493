/* SPDX-License-Identifier: MIT
 * What the codec costs: encode and decode of three shapes beside avro-c's generic values, on the same bytes in one run; and
 * reading an envelope of six headers. */
#include "codec/body.h"
#include "codec/envelope.h"
#include "codec/json.h"
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
    avro_value_t value;
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

static void bench(const char *name, const char *json, const char *value, work *w)
{
    bus_schema *schema;
    avro_schema_t theirs = NULL;
    bus_error err;
    bus_arena shapes;
    bus_arena_init(&shapes, 0);
    bus_buf_clear(&w->bytes);
    if (bus_schema_parse(json, strlen(json), &schema, &err) != BUS_OK ||
        bus_json_read(schema, value, strlen(value), &w->bytes, &err) != BUS_OK)
        die(err.text);
    w->shape = test_shape_of(bus_schema_root(schema), &shapes);
    if (!w->shape || avro_schema_from_json_length(json, strlen(json), &theirs) != 0)
        die("schema");
    avro_value_iface_t *generic = avro_generic_class_from_schema(theirs);
    avro_generic_value_new(generic, &w->value);
    w->body = bus_arena_alloc(&shapes, w->shape->size);
    if (!w->body || bus_body_decode(w->shape, w->bytes.data, w->bytes.len, 0, &shapes, w->body, &err) != BUS_OK)
        die(err.text);
    double decode = measure(our_decode, w), slow_decode = measure(their_decode, w);
    double encode = measure(our_encode, w), slow_encode = measure(their_encode, w);
    printf("codec %-16s %4zu bytes  decode %6.0f ns, avro-c %6.0f ns, %5.1f times   encode %6.0f ns, avro-c %6.0f ns, %5.1f times\n",
           name, w->bytes.len, decode, slow_decode, slow_decode / decode, encode, slow_encode, slow_encode / encode);
    avro_value_decref(&w->value);
    avro_value_iface_decref(generic);
    avro_schema_decref(theirs);
    bus_schema_free(schema);
    bus_arena_free(&shapes);
}

#define ORDER "{\"type\":\"record\",\"name\":\"Order\",\"fields\":[{\"name\":\"id\",\"type\":\"string\"},{\"name\":\"customer\",\"type\":\"string\"}," \
    "{\"name\":\"note\",\"type\":[\"null\",\"string\"]},{\"name\":\"lines\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"record\"," \
    "\"name\":\"Line\",\"fields\":[{\"name\":\"sku\",\"type\":\"string\"},{\"name\":\"quantity\",\"type\":\"int\"},{\"name\":\"cents\",\"type\":\"long\"}]}}}]}"
#define LINE "{\"sku\":\"sku-000123\",\"quantity\":2,\"cents\":129900}"

static void wide(bus_buf *schema, bus_buf *value)
{
    bus_buf_text(schema, "{\"type\":\"record\",\"name\":\"Wide\",\"fields\":[");
    bus_buf_byte(value, '{');
    for (int i = 0; i < 40; i++) {
        static const char *const types[] = { "\"long\"", "\"string\"", "[\"null\",\"string\"]", "[\"null\",\"long\",\"string\"]",
                                             "{\"type\":\"map\",\"values\":\"int\"}" };
        static const char *const values[] = { "123456789", "\"some text of a field\"", "\"there\"", "42", "{\"one\":1,\"two\":2}" };
        bus_buf_printf(schema, "%s{\"name\":\"f%d\",\"type\":%s}", i > 0 ? "," : "", i, types[i % 5]);
        bus_buf_printf(value, "%s\"f%d\":%s", i > 0 ? "," : "", i, values[i % 5]);
    }
    bus_buf_text(schema, "]}");
    bus_buf_byte(value, '}');
}

int main(void)
{
    static work w;
    bus_buf schema, value;
    bus_buf_init(&w.bytes, 0);
    bus_buf_init(&w.out, 0);
    bus_arena_init(&w.arena, 0);
    bus_buf_init(&schema, 0);
    bus_buf_init(&value, 0);
    reader = avro_reader_memory("", 0);
    writer = avro_writer_memory(w.space, sizeof w.space);
    bench("6 scalars", "{\"type\":\"record\",\"name\":\"Six\",\"fields\":[{\"name\":\"id\",\"type\":\"string\"},{\"name\":\"customer\",\"type\":\"string\"},"
          "{\"name\":\"count\",\"type\":\"int\"},{\"name\":\"cents\",\"type\":\"long\"},{\"name\":\"rate\",\"type\":\"double\"},{\"name\":\"gift\",\"type\":\"boolean\"}]}",
          "{\"id\":\"0b6ce1c8-5f1d-5d0c-9a39-0b2c8a1e7f55\",\"customer\":\"customer-00012345\",\"count\":3,\"cents\":129900,\"rate\":0.25,\"gift\":true}", &w);
    bench("order, 5 lines", ORDER, "{\"id\":\"order-000001\",\"customer\":\"c-42\",\"note\":null,\"lines\":[" LINE "," LINE "," LINE "," LINE "," LINE "]}", &w);
    wide(&schema, &value);
    char *schema_text = bus_buf_take(&schema), *value_text = bus_buf_take(&value);
    if (!schema_text || !value_text)
        die("no memory");
    bench("wide, 40 fields", schema_text, value_text, &w);
    static const bus_header headers[6] = {
        { "ce_specversion", "1.0", 3 }, { "ce_id", "0b6ce1c8-5f1d-5d0c-9a39-0b2c8a1e7f55", 36 }, { "ce_source", "/order/1", 8 },
        { "ce_type", "order.OrderPlaced", 17 }, { "content-type", "application/avro", 16 },
        { "bus-hop", "order/1#0123456789abcdef order.events/5/123456", 46 },
    };
    memcpy(w.headers, headers, sizeof headers);
    printf("codec 6 headers: read %.0f ns, pack %.0f ns\n", measure(read_envelope, &w), measure(pack_headers, &w));
    free(schema_text);
    free(value_text);
    avro_reader_free(reader);
    avro_writer_free(writer);
    bus_buf_free(&w.bytes);
    bus_buf_free(&w.out);
    bus_arena_free(&w.arena);
    return 0;
}
