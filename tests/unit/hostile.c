/* SPDX-License-Identifier: MIT
 * Hostile: each way in which bytes from the network may be meant to harm, through every reader there is: into a struct, by a plan, by a
 * plan that skips it all, by the checker, as JSON, and to avro-c. All refuse, with the same words. Then the same of schemas and JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "codec/body.h"
#include "codec/json.h"
#include "codec/plan.h"
#include "codec/value.h"
#include "support/parsed.h"
#include "support/shapes.h"
#include <avro.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORD(type) "{\"type\":\"record\",\"name\":\"t.R\",\"fields\":[{\"name\":\"f\",\"type\":" type "}]}"
#define ARRAY(type) "{\"type\":\"array\",\"items\":" type "}"
#define MAP(type) "{\"type\":\"map\",\"values\":" type "}"
#define ENUM "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}"
#define FIXED "{\"type\":\"fixed\",\"name\":\"F\",\"size\":4}"
#define TWO62 "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"   /* the varint of 2^62 */
#define MINIMUM "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" /* of INT64_MIN */
#define NEXT ".next.next.next.next.next.next.next.next.next.next"

static const struct {
    const char *what, *schema, *bytes;
    size_t len;
    const char *text;
} cases[] = {
    { "array<null> of 2^62", RECORD(ARRAY("\"null\"")), TWO62 "\0", 11,
      "t.R.f: at byte 10: 4611686018427387904 items that take no bytes; a message may hold 1024" },
    { "array<null>, block by block", RECORD(ARRAY("\"null\"")), "\x80\x10\x02\x00", 4,
      "t.R.f: at byte 3: 1 items that take no bytes; a message may hold 1024" },
    { "array of 2^62", RECORD(ARRAY("\"string\"")), TWO62 "\0", 11,
      "t.R.f: at byte 10: a block of 4611686018427387904 items, of at least 1 bytes each, and 1 bytes remain" },
    { "map of 2^62", RECORD(MAP("\"null\"")), TWO62 "\0", 11,
      "t.R.f: at byte 10: a block of 4611686018427387904 items, of at least 1 bytes each, and 1 bytes remain" },
    { "block count INT64_MIN", RECORD(ARRAY("\"int\"")), MINIMUM "\0", 11,
      "t.R.f: at byte 10: a block count of -9223372036854775808" },
    { "negative size of a block", RECORD(ARRAY("\"int\"")), "\x01\x01\x02\x00", 4,
      "t.R.f: at byte 2: a block of -1 bytes, and 2 remain" },
    { "block larger than the message", RECORD(ARRAY("\"int\"")), "\x01" TWO62 "\x02\x00", 13,
      "t.R.f: at byte 11: a block of 4611686018427387904 bytes, and 2 remain" },
    { "block shorter than its items", RECORD(ARRAY("\"int\"")), "\x03\x04\x80\x02\x02\x00", 6,
      "t.R.f: at byte 5: a block ends 1 bytes after where its size says" },
    { "enum out of range", RECORD(ENUM), "\x04", 1, "t.R.f: at byte 1: an enum's symbol 2 of 2" },
    { "enum below zero", RECORD(ENUM), "\x01", 1, "t.R.f: at byte 1: an enum's symbol -1 of 2" },
    { "enum of 2^62", RECORD(ENUM), TWO62, 10, "t.R.f: at byte 10: an enum's symbol 4611686018427387904 of 2" },
    { "branch out of range", RECORD("[\"null\",\"long\",\"string\"]"), "\x06", 1, "t.R.f: at byte 1: a union's branch 3 of 3" },
    { "branch INT64_MIN", RECORD("[\"null\",\"long\"]"), MINIMUM, 10,
      "t.R.f: at byte 10: a union's branch -9223372036854775808 of 2" },
    { "negative length of a string", RECORD("\"string\""), "\x01", 1, "t.R.f: at byte 1: a length of -1, and 0 bytes remain" },
    { "length INT64_MIN of bytes", RECORD("\"bytes\""), MINIMUM, 10,
      "t.R.f: at byte 10: a length of -9223372036854775808, and 0 bytes remain" },
    { "length of 2^62", RECORD("\"bytes\""), TWO62 "ab", 12,
      "t.R.f: at byte 10: a length of 4611686018427387904, and 2 bytes remain" },
    { "negative length of a key", RECORD(MAP("\"int\"")),
      "\x02\x03"
      "ab",
      4, "t.R.f[0]: at byte 2: a length of -2, and 2 bytes remain" },
    { "trailing bytes", RECORD("\"int\""), "\x02\x02\x00", 3, "t.R: at byte 1: 2 bytes are left over" },
    { "no bytes", RECORD("\"int\""), "", 0, "t.R.f: at byte 0: a number is cut off after 0 bytes" },
    { "bad UTF-8", RECORD("\"string\""), "\x04\xc3(", 3, "t.R.f: at byte 1: a string of 2 bytes is not UTF-8" },
    { "UTF-8 of a surrogate", RECORD("\"string\""), "\x06\xed\xa0\x80", 4, "t.R.f: at byte 1: a string of 3 bytes is not UTF-8" },
    { "UTF-8 too long for its character", RECORD("\"string\""), "\x04\xc0\x80", 3,
      "t.R.f: at byte 1: a string of 2 bytes is not UTF-8" },
    { "UTF-8 beyond U+10FFFF", RECORD("\"string\""), "\x08\xf4\x90\x80\x80", 5,
      "t.R.f: at byte 1: a string of 4 bytes is not UTF-8" },
    { "bad UTF-8 in a key", RECORD(MAP("\"int\"")), "\x02\x02\xff\x02\x00", 5,
      "t.R.f[0]: at byte 2: a string of 1 bytes is not UTF-8" },
    { "varint of 11 bytes", RECORD("\"long\""), "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11,
      "t.R.f: at byte 0: a number of more than 64 bits" },
    { "varint of 65 bits", RECORD("\"long\""), "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10,
      "t.R.f: at byte 0: a number of more than 64 bits" },
    { "int of 33 bits", RECORD("\"int\""), "\x80\x80\x80\x80\x10", 5,
      "t.R.f: at byte 5: 2147483648 does not fit an int of 32 bits" },
    { "boolean 2", RECORD("\"boolean\""), "\x02", 1, "t.R.f: at byte 0: a boolean of 2; it is 0 or 1" },
    { "fixed cut off", RECORD(FIXED), "abc", 3, "t.R.f: at byte 0: 4 bytes are needed, 3 remain" },
    { "double cut off", RECORD("\"double\""), "1234567", 7, "t.R.f: at byte 0: 8 bytes are needed, 7 remain" },
};

#define READERS 6
static const char *const readers[READERS] = { "struct", "plan", "skipping plan", "checker", "JSON", "avro-c" };

static bus_status run_plan(const bui_schema *schema, const bui_schema *as, const void *bytes, size_t len, bui_arena *arena,
                           bus_error *err)
{
    bui_plan *plan;
    const bus_shape *shape = test_shape_of(bui_schema_root(as), arena);
    assert_non_null(shape);
    assert_int_equal(bui_plan_between(schema, as, shape, &plan, err), BUS_OK);
    bus_status status = bui_plan_decode(plan, bytes, len, 0, arena, bui_arena_alloc(arena, shape->size), err);
    bui_plan_free(plan);
    return status;
}

/* `without`: the same record with no field, so that all of it is skipped; NULL: there is none. */
static bus_status read_by(int reader, const bui_schema *schema, const bui_schema *without, const void *bytes, size_t len,
                          bus_error *err)
{
    bui_arena arena;
    bui_buf json;
    avro_value_t value;
    bus_status status;
    bui_arena_init(&arena, 0);
    bui_buf_init(&json, 0);
    switch (reader) {
    case 0: {
        const bus_shape *shape = test_shape_of(bui_schema_root(schema), &arena);
        assert_non_null(shape);
        status = bui_body_decode(shape, bytes, len, 0, &arena, bui_arena_alloc(&arena, shape->size), err);
        break;
    }
    case 1: status = run_plan(schema, schema, bytes, len, &arena, err); break;
    case 2: status = run_plan(schema, without, bytes, len, &arena, err); break;
    case 3: status = bui_body_check(schema, bytes, len, 0, err); break;
    case 4: status = bui_json_write(schema, bytes, len, &json, err); break;
    default: status = bui_value_decode(schema, bytes, len, 0, &value, err); break;
    }
    assert_int_equal(json.len, 0);
    bui_buf_free(&json);
    bui_arena_free(&arena);
    return status;
}

static void all_refuse(const char *what, const char *json, const void *bytes, size_t len, const char *text)
{
    bui_schema *schema = test_schema(json), *without = test_schema("{\"type\":\"record\",\"name\":\"t.R\",\"fields\":[]}");
    char *exact = malloc(len ? len : 1); /* ASan sees a byte too far */
    assert_non_null(exact);
    memcpy(exact, bytes, len);
    for (int i = 0; i < READERS; i++) {
        bus_error err = { .status = BUS_OK };
        bus_status status = read_by(i, schema, without, exact, len, &err);
        if (status != BUS_CORRUPT || strcmp(err.text, text) != 0)
            fail_msg("%s, %s: \"%s\", not \"%s\"", what, readers[i], err.text, text);
    }
    free(exact);
    bui_schema_free(schema);
    bui_schema_free(without);
}

static void every_reader_refuses_in_the_same_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        all_refuse(cases[i].what, cases[i].schema, cases[i].bytes, cases[i].len, cases[i].text);
}

static void deep_recursion_ends_at_64(void **state)
{
    (void)state;
    static const char list[] =
        "{\"type\":\"record\",\"name\":\"t.R\",\"fields\":[{\"name\":\"next\",\"type\":[\"null\",\"t.R\"]}]}";
    static char bytes[100000];
    memset(bytes, 2, sizeof bytes);
    bui_schema *schema = test_schema(list);
    bus_error err;
    bui_arena arena;
    bui_arena_init(&arena, 0);
    const bus_shape *shape = test_shape_of(bui_schema_root(schema), &arena);
    assert_int_equal(bui_body_decode(shape, bytes, sizeof bytes, 0, &arena, bui_arena_alloc(&arena, shape->size), &err),
                     BUS_CORRUPT);
    assert_string_equal(err.text,
                        "t.R..." NEXT NEXT NEXT NEXT ".next.next.next.next.next.next.next: at byte 64: nested deeper than 64");
    bui_arena_free(&arena);
    for (int i = 1; i < READERS; i++) {
        bus_status status = read_by(i, schema, schema, bytes, sizeof bytes, &err);
        if (status != BUS_CORRUPT || !strstr(err.text, ": nested deeper than 64"))
            fail_msg("%s: \"%s\"", readers[i], err.text);
    }
    bui_schema_free(schema);
}

/* ---- schemas and JSON */

static void refuses_schema(const char *text, size_t len, bus_status expected, const char *why)
{
    bui_schema *schema = NULL;
    bus_error err = { .status = BUS_OK };
    assert_int_equal(bui_schema_parse(text, len, &schema, &err), expected);
    assert_string_equal(err.text, why);
    assert_null(schema);
}

static void schemas_are_bounded(void **state)
{
    (void)state;
    static char text[BUI_SCHEMA_MAX_BYTES + 2];
    memset(text, ' ', sizeof text);
    refuses_schema(text, sizeof text - 1, BUS_TOO_BIG, "a schema of 1048577 bytes; 1048576 are allowed");
    size_t at = 0;
    for (int i = 0; i < 65; i++)
        at += (size_t)sprintf(text + at, "{\"type\":\"array\",\"items\":");
    at += (size_t)sprintf(text + at, "\"int\"");
    memset(text + at, '}', 65);
    refuses_schema(
        text, at + 65, BUS_SCHEMA,
        "[][][][][][][][][][][][][][][][][][][][][][][][][][][][][][][][][][][][][][][][][][][][][][][][][][][][][][][][][][][][][][][][]: "
        "nested deeper than 64");
    memset(text, '[', 3000); /* JSON itself, before it is looked at */
    refuses_schema(text, 3000, BUS_SCHEMA, "line 1, column 2049: maximum parsing depth reached near '['");
    at = (size_t)sprintf(text, "[1");
    for (int i = 0; i < 1000; i++)
        at += (size_t)sprintf(text + at, ",1");
    text[at++] = ']';
    refuses_schema(text, at, BUS_SCHEMA, "the schema: a union of 1001 branches; 1000 are allowed");
    at = (size_t)sprintf(text, "{\"type\":\"record\",\"name\":\"t.R\",\"fields\":[{\"name\":\"f\",\"type\":\"int\"}");
    for (int i = 0; i < 9999; i++)
        at += (size_t)sprintf(text + at, ",{\"name\":\"f%d\",\"type\":{\"type\":\"map\",\"values\":[{\"type\":\"int\"}]}}", i);
    at += (size_t)sprintf(text + at, "]}");
    refuses_schema(text, at, BUS_SCHEMA, "t.R.f6666{}: more than 20000 types");
}

static void names_are_there_once(void **state)
{
    (void)state;
    static const struct {
        const char *json, *text;
    } doubled[] = {
        { RECORD("{\"type\":\"fixed\",\"name\":\"t.R\",\"size\":1}"), "t.R: the name is defined twice" },
        { RECORD("{\"type\":\"record\",\"name\":\"S\",\"fields\":[{\"name\":\"g\",\"type\":" ENUM
                 "},{\"name\":\"h\",\"type\":" ENUM "}]}"),
          "t.E: the name is defined twice" },
        { "{\"type\":\"record\",\"name\":\"t.R\",\"fields\":[{\"name\":\"f\",\"type\":\"int\"},{\"name\":\"f\",\"type\":\"int\"}]}",
          "t.R: there are two fields \"f\"" },
        { "{\"type\":\"enum\",\"name\":\"t.E\",\"symbols\":[\"A\",\"B\",\"A\"]}", "t.E: \"A\" is twice in \"symbols\"" },
        { "{\"type\":\"fixed\",\"name\":\"t.F\",\"size\":1,\"aliases\":[\"G\",\"G\"]}", "t.F: \"G\" is twice in \"aliases\"" },
        { "[\"int\",\"string\",\"int\"]", "the schema: the union has two branches of type int" },
        { "{\"type\":\"fixed\",\"name\":\"F\",\"size\":1,\"size\":2}",
          "line 1, column 42: duplicate object key near '\"size\"'" },
        { "{\"type\":\"fixed\",\"name\":\"F\",\"size\":9223372036854775807}",
          "F: a fixed needs a \"size\" from 0 to 2147483647" },
        { "{\"type\":\"fixed\",\"name\":\"F\",\"size\":9223372036854775808}",
          "line 1, column 53: too big integer near '9223372036854775808'" },
    };
    for (size_t i = 0; i < sizeof doubled / sizeof *doubled; i++)
        refuses_schema(doubled[i].json, strlen(doubled[i].json), BUS_SCHEMA, doubled[i].text);
}

static void json_is_bounded(void **state)
{
    (void)state;
    bui_schema *tree = test_schema(
        "{\"type\":\"record\",\"name\":\"t.T\",\"fields\":[{\"name\":\"c\",\"type\":{\"type\":\"array\",\"items\":\"T\"}}]}");
    bui_schema *nothing = test_schema(RECORD(ARRAY("\"null\"")));
    static char text[20000];
    size_t at = 0;
    bus_error err;
    bui_buf out;
    bui_buf_init(&out, 0);
    for (int i = 0; i < 40; i++)
        at += (size_t)sprintf(text + at, "{\"c\":[");
    for (int i = 0; i < 40; i++)
        at += (size_t)sprintf(text + at, "]}");
    assert_int_equal(bui_json_read(tree, text, at, &out, &err), BUS_INVALID);
    assert_non_null(strstr(err.text, ".c[0].c[0]: nested deeper than 64"));
    at = (size_t)sprintf(text, "{\"f\":[null");
    for (int i = 0; i < 1024; i++)
        at += (size_t)sprintf(text + at, ",null");
    at += (size_t)sprintf(text + at, "]}");
    assert_int_equal(bui_json_read(nothing, text, at, &out, &err), BUS_INVALID);
    assert_string_equal(err.text, "t.R.f: 1025 items that take no bytes; a message may hold 1024");
    assert_int_equal(out.len, 0);
    bui_buf_free(&out);
    bui_schema_free(tree);
    bui_schema_free(nothing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reader_refuses_in_the_same_words),
        cmocka_unit_test(deep_recursion_ends_at_64),
        cmocka_unit_test(schemas_are_bounded),
        cmocka_unit_test(names_are_there_once),
        cmocka_unit_test(json_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
