/* SPDX-License-Identifier: MIT
 * Decode: hostile bytes. Every bound has a message that says what is wrong and where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "codec/body.h"
#include "support/shapes.h"
#include <string.h>

/* Decodes `bytes` by the schema; returns the status, the text is in *err. */
static bus_status decode(const char *json, const void *bytes, size_t len, size_t limit, bus_error *err)
{
    bui_schema *schema = NULL;
    bui_arena arena;
    bui_arena_init(&arena, limit);
    *err = (bus_error){ .status = BUS_OK };
    if (bui_schema_parse(json, strlen(json), &schema, err) != BUS_OK)
        fail_msg("%s: %s", json, err->text);
    bui_arena shapes;
    bui_arena_init(&shapes, 0);
    const bus_shape *shape = test_shape_of(bui_schema_root(schema), &shapes);
    assert_non_null(shape);
    void *body = bui_arena_alloc(&shapes, shape->size);
    bus_status status = bui_body_decode(shape, bytes, len, 0, &arena, body, err);
    bui_arena_free(&shapes);
    bui_arena_free(&arena);
    bui_schema_free(schema);
    return status;
}

#define RECORD(type) "{\"type\":\"record\",\"name\":\"t.R\",\"fields\":[{\"name\":\"f\",\"type\":" type "}]}"
#define ARRAY(type) "{\"type\":\"array\",\"items\":" type "}"
#define ENUM "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}"
#define FIXED "{\"type\":\"fixed\",\"name\":\"F\",\"size\":4}"
#define TWO62 "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"   /* the varint of 2^62 */
#define MINIMUM "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" /* of INT64_MIN */

static void refuses_with_path_and_offset(void **state)
{
    (void)state;
    static const struct {
        const char *schema, *bytes;
        size_t len;
        const char *text;
    } cases[] = {
        { RECORD("\"long\""), "", 0, "t.R.f: at byte 0: a number is cut off after 0 bytes" },
        { RECORD("\"long\""), "\x80\x80", 2, "t.R.f: at byte 0: a number is cut off after 2 bytes" },
        { RECORD("\"long\""), "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11,
          "t.R.f: at byte 0: a number of more than 64 bits" },
        { RECORD("\"long\""), "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10, "t.R.f: at byte 0: a number of more than 64 bits" },
        { RECORD("\"int\""), "\x80\x80\x80\x80\x10", 5, "t.R.f: at byte 5: 2147483648 does not fit an int of 32 bits" },
        { RECORD("\"int\""), "\x02\x02", 2, "t.R: at byte 1: 1 bytes are left over" },
        { RECORD("\"boolean\""), "\x02", 1, "t.R.f: at byte 0: a boolean of 2; it is 0 or 1" },
        { RECORD("\"double\""), "1234567", 7, "t.R.f: at byte 0: 8 bytes are needed, 7 remain" },
        { RECORD("\"float\""), "123", 3, "t.R.f: at byte 0: 4 bytes are needed, 3 remain" },
        { RECORD("\"string\""), "\x01", 1, "t.R.f: at byte 1: a length of -1, and 0 bytes remain" },
        { RECORD("\"bytes\""),
          "\x06"
          "ab",
          3, "t.R.f: at byte 1: a length of 3, and 2 bytes remain" },
        { RECORD("\"bytes\""), TWO62, 10, "t.R.f: at byte 10: a length of 4611686018427387904, and 0 bytes remain" },
        { RECORD("\"string\""), "\x04\xc3(", 3, "t.R.f: at byte 1: a string of 2 bytes is not UTF-8" },
        { RECORD("\"string\""), "\x06\xed\xa0\x80", 4, "t.R.f: at byte 1: a string of 3 bytes is not UTF-8" },
        { RECORD("\"string\""), "\x04\xc0\x80", 3, "t.R.f: at byte 1: a string of 2 bytes is not UTF-8" },
        { RECORD(FIXED), "abc", 3, "t.R.f: at byte 0: 4 bytes are needed, 3 remain" },
        { RECORD(ENUM), "\x04", 1, "t.R.f: at byte 1: an enum's symbol 2 of 2" },
        { RECORD(ENUM), "\x01", 1, "t.R.f: at byte 1: an enum's symbol -1 of 2" },
        { RECORD("[\"null\",\"long\"]"), "\x04", 1, "t.R.f: at byte 1: a union's branch 2 of 2" },
        { RECORD("[\"null\",\"long\",\"string\"]"), "\x06", 1, "t.R.f: at byte 1: a union's branch 3 of 3" },
        { RECORD("[\"int\",\"long\",\"string\"]"), "\x04\x04\xff\xff", 4,
          "t.R.f.string: at byte 2: a string of 2 bytes is not UTF-8" },
        { RECORD(ARRAY("\"null\"")), TWO62 "\0", 11,
          "t.R.f: at byte 10: 4611686018427387904 items that take no bytes; a message may hold 1024" },
        { RECORD(ARRAY("\"int\"")), TWO62 "\0", 11,
          "t.R.f: at byte 10: a block of 4611686018427387904 items, of at least 1 bytes each, and 1 bytes remain" },
        { RECORD(ARRAY("\"int\"")), MINIMUM "\0", 11, "t.R.f: at byte 10: a block count of -9223372036854775808" },
        { RECORD(ARRAY("\"int\"")), "\x01\x01\x02\x00", 4, "t.R.f: at byte 2: a block of -1 bytes, and 2 remain" },
        { RECORD(ARRAY("\"int\"")), "\x01\x08\x02\x00", 4, "t.R.f: at byte 2: a block of 4 bytes, and 2 remain" },
        { RECORD(ARRAY("\"int\"")), "\x01\x04\x02\x00", 4, "t.R.f: at byte 3: a block ends -1 bytes after where its size says" },
        { RECORD(ARRAY("\"double\"")),
          "\x06"
          "0123456789abcdefghijklm",
          24, "t.R.f: at byte 1: a block of 3 items, of at least 8 bytes each, and 23 bytes remain" },
        { RECORD(ARRAY(ENUM)), "\x04\x00\x06\x00", 4, "t.R.f[1]: at byte 3: an enum's symbol 3 of 2" },
        { RECORD("{\"type\":\"map\",\"values\":\"int\"}"), "\x02\x02\xff\x02\x00", 5,
          "t.R.f[0]: at byte 2: a string of 1 bytes is not UTF-8" },
        { RECORD("{\"type\":\"string\",\"logicalType\":\"uuid\"}"), "\x06xyz", 4,
          "t.R.f: at byte 1: 3 bytes that are not the text of a UUID" },
        { RECORD("{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":9}"), "\x12\x01\0\0\0\0\0\0\0\0", 10,
          "t.R.f: at byte 10: a decimal of 9 bytes is over 64 bits" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bus_error err;
        bus_status status = decode(cases[i].schema, cases[i].bytes, cases[i].len, 0, &err);
        if (status != BUS_CORRUPT || strcmp(err.text, cases[i].text) != 0)
            fail_msg("%s gave \"%s\", not \"%s\"", cases[i].schema, err.text, cases[i].text);
    }
}

static void reads_blocks_with_sizes(void **state)
{
    (void)state;
    bus_error err;
    /* one item with its block's size, then two without, then the end */
    assert_int_equal(decode(RECORD(ARRAY("\"int\"")), "\x01\x02\x02\x04\x04\x06\x00", 7, 0, &err), BUS_OK);
    assert_int_equal(decode(RECORD(ARRAY("\"null\"")), "\x10\x00", 2, 0, &err), BUS_OK);
}

static void bounds_depth(void **state)
{
    (void)state;
    bus_error err;
    static const char list[] = "{\"type\":\"record\",\"name\":\"L\",\"fields\":[{\"name\":\"next\",\"type\":[\"null\",\"L\"]}]}";
    char bytes[100000];
    memset(bytes, 2, sizeof bytes);
    assert_int_equal(decode(list, bytes, sizeof bytes, 0, &err), BUS_CORRUPT);
    assert_non_null(strstr(err.text, "nested deeper than 64"));
    bytes[63] = 0;
    assert_int_equal(decode(list, bytes, 64, 0, &err), BUS_OK);
    static const char tree[] =
        "{\"type\":\"record\",\"name\":\"T\",\"fields\":[{\"name\":\"c\",\"type\":{\"type\":\"array\",\"items\":\"T\"}}]}";
    memset(bytes, 2, sizeof bytes);
    assert_int_equal(decode(tree, bytes, sizeof bytes, 0, &err), BUS_CORRUPT);
    assert_non_null(strstr(err.text, "nested deeper than 64"));
    assert_non_null(strstr(err.text, "c[0]"));
}

static void bounds_memory(void **state)
{
    (void)state;
    bus_error err;
    char bytes[5000];
    memset(bytes, 0, sizeof bytes);
    bytes[0] = (char)0x90, bytes[1] = 0x4e; /* 5,000 strings of no bytes: sixteen bytes of memory each */
    assert_int_equal(decode(RECORD(ARRAY("\"string\"")), bytes, sizeof bytes, 1000, &err), BUS_CORRUPT);
    bytes[0] = (char)0x90, bytes[1] = 0x4c; /* 4,872 */
    assert_int_equal(decode(RECORD(ARRAY("\"string\"")), bytes, 4875, 1000, &err), BUS_TOO_BIG);
    assert_non_null(strstr(err.text, "over the limit of 1000"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_with_path_and_offset),
        cmocka_unit_test(reads_blocks_with_sizes),
        cmocka_unit_test(bounds_depth),
        cmocka_unit_test(bounds_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
