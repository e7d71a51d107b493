/* SPDX-License-Identifier: MIT
 * Oracle: random schemas and values through avro-c and through this codec: the same bytes, the same values back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "codec/body.h"
#include "codec/json.h"
#include "support/shapes.h"
#include <avro.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seed;

static uint32_t draw(uint32_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)((seed >> 11) % below);
}

/* ---- a random schema as JSON text */

static int names;

static void random_type(bui_buf *out, int depth, bool in_union);

static void random_union(bui_buf *out, int depth)
{
    static const char *const branches[] = { "\"null\"", "\"boolean\"", "\"long\"", "\"double\"", "\"bytes\"", "\"string\"" };
    uint32_t first = draw(4);
    bui_buf_byte(out, '[');
    for (uint32_t i = 0; i < 2 + draw(2); i++)
        bui_buf_printf(out, "%s%s", i > 0 ? "," : "", branches[first + i]);
    if (depth > 0 && draw(2)) {
        bui_buf_byte(out, ',');
        random_type(out, depth - 1, true);
    }
    bui_buf_byte(out, ']');
}

static void random_record(bui_buf *out, int depth)
{
    bui_buf_printf(out, "{\"type\":\"record\",\"name\":\"R%d\",\"fields\":[", names++);
    uint32_t fields = 1 + draw(6);
    for (uint32_t i = 0; i < fields; i++) {
        bui_buf_printf(out, "%s{\"name\":\"f%u\",\"type\":", i > 0 ? "," : "", i);
        random_type(out, depth - 1, false);
        bui_buf_byte(out, '}');
    }
    bui_buf_text(out, "]}");
}

static void random_type(bui_buf *out, int depth, bool in_union)
{
    static const char *const plain[] = { "null", "boolean", "int", "long", "float", "double", "bytes", "string" };
    switch (in_union ? 2 + draw(3) : depth > 0 ? draw(9) : 8 - draw(2) * 5) {
    case 0:
        bui_buf_text(out, "{\"type\":\"array\",\"items\":");
        random_type(out, depth - 1, false);
        bui_buf_byte(out, '}');
        break;
    case 1:
        bui_buf_text(out, "{\"type\":\"map\",\"values\":");
        random_type(out, depth - 1, false);
        bui_buf_byte(out, '}');
        break;
    case 2: random_record(out, depth > 0 ? depth : 1); break;
    case 3: bui_buf_printf(out, "{\"type\":\"enum\",\"name\":\"E%d\",\"symbols\":[\"A\",\"B\",\"C\"]}", names++); break;
    case 4: bui_buf_printf(out, "{\"type\":\"fixed\",\"name\":\"F%d\",\"size\":%u}", names++, 1 + draw(20)); break;
    case 5: random_union(out, depth); break;
    default: bui_buf_printf(out, "\"%s\"", plain[draw(8)]); break;
    }
}

/* ---- a random value, in avro-c's terms */

static int64_t random_long(void)
{
    int64_t value = (int64_t)(((uint64_t)draw(UINT32_MAX) << 32) | draw(UINT32_MAX));
    return value >> draw(64);
}

static void fill(avro_value_t *value)
{
    avro_value_t child;
    char text[80];
    size_t size = 0;
    switch (avro_value_get_type(value)) {
    case AVRO_NULL: avro_value_set_null(value); break;
    case AVRO_BOOLEAN: avro_value_set_boolean(value, (int)draw(2)); break;
    case AVRO_INT32: avro_value_set_int(value, (int32_t)random_long()); break;
    case AVRO_INT64: avro_value_set_long(value, random_long()); break;
    case AVRO_FLOAT: avro_value_set_float(value, (float)((double)random_long() / 1000.0)); break;
    case AVRO_DOUBLE: avro_value_set_double(value, (double)random_long() / 1e6); break;
    case AVRO_BYTES:
        size = draw(sizeof text);
        for (size_t i = 0; i < size; i++)
            text[i] = (char)(1 + draw(255)); /* avro-c cuts its JSON at a 0 */
        avro_value_set_bytes(value, text, size);
        break;
    case AVRO_STRING:
        snprintf(text, sizeof text, "%x \xc3\xa9\xe2\x82\xac%u \"quoted\\\"", draw(1u << 30), draw(9));
        avro_value_set_string(value, text + draw(4));
        break;
    case AVRO_ENUM: avro_value_set_enum(value, (int)draw(3)); break;
    case AVRO_FIXED:
        size = (size_t)avro_schema_fixed_size(avro_value_get_schema(value));
        for (size_t i = 0; i < size; i++)
            text[i] = (char)(1 + draw(255)); /* avro-c cuts its JSON at a 0 */
        avro_value_set_fixed(value, text, size);
        break;
    case AVRO_RECORD:
        avro_value_get_size(value, &size);
        for (size_t i = 0; i < size; i++) {
            avro_value_get_by_index(value, i, &child, NULL);
            fill(&child);
        }
        break;
    case AVRO_ARRAY:
        size = draw(4);
        for (size_t i = 0; i < size; i++) {
            avro_value_append(value, &child, NULL);
            fill(&child);
        }
        break;
    case AVRO_MAP:
        size = draw(4);
        for (size_t i = 0; i < size; i++) {
            snprintf(text, sizeof text, "key%zu", i);
            avro_value_add(value, text, &child, NULL, NULL);
            fill(&child);
        }
        break;
    case AVRO_UNION:
        avro_value_set_branch(value, (int)draw((uint32_t)avro_schema_union_size(avro_value_get_schema(value))), &child);
        fill(&child);
        break;
    default: fail_msg("avro-c has a type that Avro has not"); break;
    }
}

/* ---- one schema, one value */

static void compare(const char *text, const bui_schema *ours, avro_schema_t theirs, bui_arena *arena)
{
    bus_error err = { .status = BUS_OK };
    static char bytes[1 << 20], again[1 << 20];
    avro_value_iface_t *generic = avro_generic_class_from_schema(theirs);
    avro_value_t value, back;
    avro_generic_value_new(generic, &value);
    avro_generic_value_new(generic, &back);
    fill(&value);
    avro_writer_t writer = avro_writer_memory(bytes, sizeof bytes);
    assert_int_equal(avro_value_write(writer, &value), 0);
    size_t len = (size_t)avro_writer_tell(writer);
    /* their bytes -> struct -> our bytes */
    const bus_shape *shape = test_shape_of(bui_schema_root(ours), arena);
    assert_non_null(shape);
    void *body = bui_arena_alloc(arena, shape->size);
    if (bui_body_decode(shape, bytes, len, 0, arena, body, &err) != BUS_OK)
        fail_msg("%s: %s", text, err.text);
    bui_buf out;
    bui_buf_init(&out, 0);
    if (bui_body_encode(shape, body, &out, &err) != BUS_OK)
        fail_msg("%s: %s", text, err.text);
    assert_int_equal(out.len, len);
    if (len > 0)
        assert_memory_equal(out.data, bytes, len);

    /* our bytes -> their value: the same as the first */
    avro_reader_t reader = avro_reader_memory((const char *)out.data, (int64_t)out.len);
    assert_int_equal(avro_value_read(reader, &back), 0);
    assert_true(avro_value_equal(&value, &back));

    /* their JSON, in Avro's encoding -> our bytes */
    char *json = NULL;
    assert_int_equal(avro_value_to_json(&value, 1, &json), 0);
    bui_buf_clear(&out);
    if (bui_json_read(ours, json, strlen(json), &out, &err) != BUS_OK)
        fail_msg("%s: %s: %s", text, json, err.text);
    /* JSON's objects keep no order in avro-c: compare what was read, not the bytes. */
    avro_writer_t unused = avro_writer_memory(again, sizeof again);
    avro_reader_t second = avro_reader_memory((const char *)out.data, (int64_t)out.len);
    avro_value_reset(&back);
    assert_int_equal(avro_value_read(second, &back), 0);
    bool exact = strstr(text, "float") == NULL && strstr(text, "double") == NULL; /* avro-c writes 17 digits of doubles only */
    if (exact)
        assert_true(avro_value_equal(&value, &back));

    /* our plain JSON is JSON */
    bui_buf plain;
    bui_buf_init(&plain, 0);
    if (bui_json_write(ours, bytes, len, &plain, &err) != BUS_OK)
        fail_msg("%s: %s", text, err.text);
    json_t *parsed =
        json_loadb((const char *)plain.data, plain.len, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(parsed);
    json_decref(parsed);

    bui_buf_free(&plain);
    bui_buf_free(&out);
    free(json);
    avro_writer_free(writer);
    avro_writer_free(unused);
    avro_reader_free(reader);
    avro_reader_free(second);
    avro_value_decref(&value);
    avro_value_decref(&back);
    avro_value_iface_decref(generic);
}

static void agrees_with_avro_c(void **state)
{
    (void)state;
    bui_arena arena;
    bui_arena_init(&arena, 0);
    for (uint64_t i = 1; i <= 400; i++) {
        bus_error err = { .status = BUS_OK };
        bui_buf text;
        bui_schema *ours;
        avro_schema_t theirs;
        seed = i * 0x9E3779B97F4A7C15u;
        names = 0;
        bui_buf_init(&text, 0);
        random_record(&text, 4);
        char *json = bui_buf_take(&text);
        assert_non_null(json);
        if (bui_schema_parse(json, strlen(json), &ours, &err) != BUS_OK)
            fail_msg("%s: %s", json, err.text);
        assert_int_equal(avro_schema_from_json_length(json, strlen(json), &theirs), 0);
        for (int j = 0; j < 5; j++)
            compare(json, ours, theirs, &arena);
        avro_schema_decref(theirs);
        bui_schema_free(ours);
        free(json);
        bui_arena_reset(&arena);
    }
    bui_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(agrees_with_avro_c) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
