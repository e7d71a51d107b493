/* SPDX-License-Identifier: MIT
 * Encode: texts of every length, with what is wrong with them anywhere; the buffer's limit to the byte; and that the codec
 * allocates nothing for an event once it has seen one like it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "codec/body.h"
#include "codec/json.h"
#include "codec/plan.h"
#include "support/alloc_fail.h"
#include "support/shapes.h"
#include <stdlib.h>

static const bus_shape string_shape = {
    .kind = BUS_KIND_STRING, .wire = BUS_KIND_STRING, .size = sizeof(bus_string), .least = 1
};

/* Encodes and decodes a text of exactly n bytes, so that a sanitizer sees a byte read past either end. */
static bool passes(const char *text, size_t n)
{
    bus_error err = { .status = BUS_OK };
    bui_buf out;
    bui_arena arena;
    bus_string back = { NULL, 0 };
    bui_buf_init(&out, 0);
    bui_arena_init(&arena, 0);
    char *exact = malloc(n ? n : 1), *bytes = malloc(n + 2);
    assert_true(exact && bytes);
    memcpy(exact, text, n);
    bus_status written = bui_body_encode(&string_shape, &(bus_string){ n ? exact : NULL, n }, &out, &err);
    /* The decoder judges on its own, by bytes that the encoder did not make. */
    size_t head = n < 64 ? 1 : 2;
    bytes[0] = (char)(n < 64 ? n << 1 : (n << 1 & 0x7F) | 0x80);
    bytes[1] = (char)(n >> 6);
    memcpy(bytes + head, text, n);
    char *whole = realloc(bytes, head + n);
    assert_non_null(whole);
    bus_status read = bui_body_decode(&string_shape, whole, head + n, 0, &arena, &back, &err);
    assert_int_equal(read == BUS_OK, written == BUS_OK);
    if (read == BUS_OK) {
        assert_int_equal(out.len, head + n);
        assert_memory_equal(out.data, whole, head + n);
        assert_int_equal(back.len, n);
        assert_memory_equal(back.at, text, n);
    } else {
        assert_int_equal(read, BUS_CORRUPT);
        assert_int_equal(written, BUS_INVALID);
        assert_int_equal(out.len, 0);
    }
    free(exact);
    free(whole);
    bui_buf_free(&out);
    bui_arena_free(&arena);
    return read == BUS_OK;
}

static void checks_texts_of_every_length(void **state)
{
    (void)state;
    char text[140] = { 0 };
    for (size_t n = 0; n < sizeof text; n++) {
        for (size_t i = 0; i < n; i++)
            text[i] = (char)('!' + (i + n) % 90);
        assert_true(passes(text, n));
        for (size_t i = 0; i < n; i++) {
            const char kept = text[i];
            text[i] = '\x80';
            if (passes(text, n))
                fail_msg("byte %zu of %zu is not UTF-8 and was not noticed", i, n);
            text[i] = kept;
        }
        for (size_t i = 0; i + 1 < n; i++) {
            const char kept[2] = { text[i], text[i + 1] };
            memcpy(text + i, "\xc3\xa9", 2);
            if (!passes(text, n))
                fail_msg("a letter of two bytes at %zu of %zu was refused", i, n);
            memcpy(text + i, kept, 2);
        }
    }
}

/* ---- one of everything */

#define LINE \
    "{\"type\":\"record\",\"name\":\"Line\",\"fields\":[{\"name\":\"sku\",\"type\":\"string\"},{\"name\":\"count\",\"type\":\"int\"}]}"
#define FIELDS \
    "{\"name\":\"text\",\"type\":\"string\"},{\"name\":\"flag\",\"type\":\"boolean\"},{\"name\":\"real\",\"type\":\"double\"}," \
    "{\"name\":\"single\",\"type\":\"float\"},{\"name\":\"raw\",\"type\":\"bytes\"},{\"name\":\"maybe\",\"type\":[\"null\",\"string\"]}," \
    "{\"name\":\"lines\",\"type\":{\"type\":\"array\",\"items\":" LINE \
    "}},{\"name\":\"names\",\"type\":{\"type\":\"map\",\"values\":\"string\"}}," \
    "{\"name\":\"either\",\"type\":[\"null\",\"long\",\"Line\"]},{\"name\":\"next\",\"type\":[\"null\",\"All\"]}," \
    "{\"name\":\"state\",\"type\":{\"type\":\"enum\",\"name\":\"State\",\"symbols\":[\"A\",\"B\"]}}," \
    "{\"name\":\"id\",\"type\":{\"type\":\"string\",\"logicalType\":\"uuid\"}}," \
    "{\"name\":\"price\",\"type\":{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":9,\"scale\":2}}," \
    "{\"name\":\"at\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}}," \
    "{\"name\":\"span\",\"type\":{\"type\":\"fixed\",\"name\":\"Span\",\"size\":12,\"logicalType\":\"duration\"}}"
#define ALL "{\"type\":\"record\",\"name\":\"All\",\"fields\":[{\"name\":\"old\",\"type\":\"int\"}," FIELDS "]}"
#define LATER \
    "{\"type\":\"record\",\"name\":\"All\",\"fields\":[" FIELDS \
    ",{\"name\":\"old\",\"type\":\"long\"},{\"name\":\"new\",\"type\":\"string\",\"default\":\"none\"}]}"
#define VALUE(next) \
    "{\"old\":7,\"text\":\"a text\",\"flag\":true,\"real\":0.5,\"single\":0.25,\"raw\":\"\\u00ff\",\"maybe\":\"here\"," \
    "\"lines\":[{\"sku\":\"sku-1\",\"count\":1},{\"sku\":\"sku-2\",\"count\":2}],\"names\":{\"a\":\"one\",\"b\":\"two\"}," \
    "\"either\":{\"sku\":\"sku-3\",\"count\":3},\"next\":" next \
    ",\"state\":\"B\",\"id\":\"0b6ce1c8-5f1d-5d0c-9a39-0b2c8a1e7f55\"," \
    "\"price\":\"12.34\",\"at\":\"2026-11-21T08:00:00.000001Z\",\"span\":\"P1M2DT3.004S\"}"

typedef struct all {
    bui_schema *schema, *later;
    bui_arena tables, arena;
    const bus_shape *shape, *later_shape;
    bui_plan *plan;
    bui_buf bytes, out;
    void *body;
} all;

static void open_all(all *a)
{
    bus_error err = { .status = BUS_OK };
    static const char json[] = VALUE(VALUE("null"));
    bui_arena_init(&a->tables, 0);
    bui_arena_init(&a->arena, 0);
    bui_buf_init(&a->bytes, 0);
    bui_buf_init(&a->out, 0);
    if (bui_schema_parse(ALL, sizeof ALL - 1, &a->schema, &err) != BUS_OK ||
        bui_schema_parse(LATER, sizeof LATER - 1, &a->later, &err) != BUS_OK ||
        bui_json_read(a->schema, json, sizeof json - 1, &a->bytes, &err) != BUS_OK)
        fail_msg("%s", err.text);
    a->shape = test_shape_of(bui_schema_root(a->schema), &a->tables);
    a->later_shape = test_shape_of(bui_schema_root(a->later), &a->tables);
    a->body = bui_arena_alloc(&a->tables, a->shape->size);
    if (bui_plan_between(a->schema, a->later, a->later_shape, &a->plan, &err) != BUS_OK ||
        bui_body_decode(a->shape, a->bytes.data, a->bytes.len, 0, &a->tables, a->body, &err) != BUS_OK)
        fail_msg("%s", err.text);
}

static void close_all(all *a)
{
    bui_plan_free(a->plan);
    bui_schema_free(a->schema);
    bui_schema_free(a->later);
    bui_buf_free(&a->bytes);
    bui_buf_free(&a->out);
    bui_arena_free(&a->tables);
    bui_arena_free(&a->arena);
}

static void keeps_the_limit_to_the_byte(void **state)
{
    (void)state;
    all a;
    open_all(&a);
    for (size_t limit = 1; limit <= a.bytes.len + 1; limit++) {
        bus_error err = { .status = BUS_OK };
        bui_buf out;
        bui_buf_init(&out, limit);
        bus_status status = bui_body_encode(a.shape, a.body, &out, &err);
        assert_int_equal(status, limit < a.bytes.len ? BUS_TOO_BIG : BUS_OK);
        assert_int_equal(out.len, limit < a.bytes.len ? 0 : a.bytes.len);
        if (limit < a.bytes.len)
            assert_non_null(strstr(err.text, "over"));
        else
            assert_memory_equal(out.data, a.bytes.data, a.bytes.len);
        bui_buf_free(&out);
    }
    close_all(&a);
}

static bus_status encode(all *a, bus_error *err)
{
    bui_buf_clear(&a->out);
    return bui_body_encode(a->shape, a->body, &a->out, err);
}

static bus_status decode(all *a, bus_error *err)
{
    bui_arena_reset(&a->arena);
    void *body = bui_arena_alloc(&a->arena, a->shape->size);
    return body ? bui_body_decode(a->shape, a->bytes.data, a->bytes.len, 0, &a->arena, body, err) : BUS_NOMEM;
}

static bus_status decode_evolved(all *a, bus_error *err)
{
    bui_arena_reset(&a->arena);
    void *body = bui_arena_alloc(&a->arena, a->later_shape->size);
    return body ? bui_plan_decode(a->plan, a->bytes.data, a->bytes.len, 0, &a->arena, body, err) : BUS_NOMEM;
}

static bus_status write_json(all *a, bus_error *err)
{
    bui_buf_clear(&a->out);
    return bui_json_write(a->schema, a->bytes.data, a->bytes.len, &a->out, err);
}

static bus_status write_avro_json(all *a, bus_error *err)
{
    bui_buf_clear(&a->out);
    return bui_json_write_as(BUI_JSON_AVRO, a->schema, a->bytes.data, a->bytes.len, &a->out, err);
}

static void allocates_nothing_after_the_first(void **state)
{
    (void)state;
    static bus_status (*const runs[])(all *, bus_error *) = { encode, decode, decode_evolved, write_json, write_avro_json };
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        all a;
        bus_error err = { .status = BUS_OK };
        open_all(&a);
        alloc_fail_at(1, true); /* the first needs memory: else this test would see nothing */
        assert_int_equal(runs[i](&a, &err), BUS_NOMEM);
        assert_true(alloc_fail_off());
        if (runs[i](&a, &err) != BUS_OK)
            fail_msg("run %zu: %s", i, err.text);
        alloc_fail_at(1, true);
        for (int event = 0; event < 1000; event++)
            assert_int_equal(runs[i](&a, &err), BUS_OK);
        if (alloc_fail_off())
            fail_msg("run %zu allocated memory", i);
        close_all(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checks_texts_of_every_length),
        cmocka_unit_test(keeps_the_limit_to_the_byte),
        cmocka_unit_test(allocates_nothing_after_the_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
