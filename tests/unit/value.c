/* SPDX-License-Identifier: MIT
 * Value: events as avro-c's generic values and back; hostile bytes end at our reader. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "codec/json.h"
#include "codec/value.h"
#include "support/parsed.h"
#include <avro.h>
#include <stdlib.h>
#include <string.h>

#define TREE \
    "{\"type\":\"record\",\"name\":\"t.Tree\",\"fields\":[{\"name\":\"n\",\"type\":\"long\"},{\"name\":\"kids\",\"type\":{\"type\":\"array\",\"items\":\"Tree\"}},{\"name\":\"next\",\"type\":[\"null\",\"Tree\"]}]}"

static void goes_there_and_back(void **state)
{
    (void)state;
    static const struct {
        const char *schema, *json;
    } cases[] = {
        { "{\"type\":\"record\",\"name\":\"t.R\",\"fields\":[{\"name\":\"a\",\"type\":\"int\",\"default\":1},{\"name\":\"s\",\"type\":[\"null\",\"string\"]},"
          "{\"name\":\"e\",\"type\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}},{\"name\":\"f\",\"type\":{\"type\":\"fixed\",\"name\":\"u.F\",\"size\":2}},"
          "{\"name\":\"g\",\"type\":\"u.F\"},{\"name\":\"m\",\"type\":{\"type\":\"map\",\"values\":\"double\"}},{\"name\":\"t\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}}]}",
          "{\"a\":-5,\"s\":\"h\xc3\xa9\",\"e\":\"B\",\"f\":\"ab\",\"g\":\"cd\",\"m\":{\"x\":0.5},\"t\":\"2026-11-21T10:00:00.000Z\"}" },
        { TREE, "{\"n\":1,\"kids\":[{\"n\":2,\"kids\":[],\"next\":null}],\"next\":{\"n\":3,\"kids\":[],\"next\":null}}" },
        { "\"bytes\"", "\"\\u0000\\u00ff\"" },
        { "[\"null\",\"int\"]", "7" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bui_schema *schema = test_schema(cases[i].schema);
        bus_error err;
        avro_value_t value;
        bui_buf bytes, again;
        bui_buf_init(&bytes, 0);
        bui_buf_init(&again, 0);
        if (bui_json_read(schema, cases[i].json, strlen(cases[i].json), &bytes, &err) != BUS_OK ||
            bui_value_decode(schema, bytes.data, bytes.len, 0, &value, &err) != BUS_OK ||
            bui_value_encode(schema, &value, &again, &err) != BUS_OK)
            fail_msg("%s: %s", cases[i].schema, err.text);
        assert_int_equal(again.len, bytes.len);
        assert_memory_equal(again.data, bytes.data, bytes.len);
        avro_value_decref(&value);
        /* Every cut is refused, and leaves nothing. */
        for (size_t cut = 0; cut < bytes.len; cut++)
            assert_int_equal(bui_value_decode(schema, bytes.data, cut, 0, &value, &err), BUS_CORRUPT);
        bui_buf_free(&bytes);
        bui_buf_free(&again);
        bui_schema_free(schema);
    }
}

/* What avro-c alone would crash on, loop on or let through. */
static void keeps_hostile_bytes_from_avro_c(void **state)
{
    (void)state;
    static const struct {
        const char *schema, *bytes;
        size_t len;
        const char *text;
    } cases[] = {
        { "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\"]}", "\x04", 1, "E: at byte 1: an enum's symbol 2 of 1" },
        { "{\"type\":\"array\",\"items\":\"int\"}", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10,
          "array: at byte 10: a block count of -9223372036854775808" },
        { "{\"type\":\"array\",\"items\":\"null\"}", "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 10,
          "array: at byte 10: 4611686018427387904 items that take no bytes; a message may hold 1024" },
        { "\"string\"", "\x02\xff", 2, "string: at byte 1: a string of 1 bytes is not UTF-8" },
        { "\"int\"", "\x02\x02", 2, "int: at byte 1: 1 bytes are left over" },
    };
    bus_error err;
    avro_value_t value;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bui_schema *schema = test_schema(cases[i].schema);
        assert_int_equal(bui_value_decode(schema, cases[i].bytes, cases[i].len, 0, &value, &err), BUS_CORRUPT);
        assert_string_equal(err.text, cases[i].text);
        bui_schema_free(schema);
    }
    char deep[2 * 100 * 2];
    bui_schema *tree = test_schema(TREE);
    memset(deep, 0, sizeof deep);
    for (size_t i = 0; i + 3 <= sizeof deep; i += 3)
        deep[i + 2] = 2;
    assert_int_equal(bui_value_decode(tree, deep, sizeof deep, 0, &value, &err), BUS_CORRUPT);
    assert_non_null(strstr(err.text, "nested deeper than 64"));
    bui_schema_free(tree);
    bui_schema *none = test_schema("[]");
    assert_int_not_equal(bui_value_decode(none, "", 0, 0, &value, &err), BUS_OK);
    bui_schema_free(none);
}

static void refuses_other_values(void **state)
{
    (void)state;
    bui_schema *ints = test_schema("\"int\""), *longs = test_schema("\"long\""), *texts = test_schema("\"string\"");
    avro_value_t value;
    bus_error err;
    bui_buf out;
    bui_buf_init(&out, 0);
    assert_int_equal(bui_value_decode(longs, "\x02", 1, 0, &value, &err), BUS_OK);
    assert_int_equal(bui_value_encode(ints, &value, &out, &err), BUS_INVALID);
    assert_string_equal(err.text, "the value is of another schema, long, than the given one, int");
    assert_int_equal(out.len, 0);
    avro_value_decref(&value);
    assert_int_equal(bui_value_decode(texts,
                                      "\x02"
                                      "a",
                                      2, 0, &value, &err),
                     BUS_OK);
    avro_value_set_string(&value, "\xff");
    assert_int_equal(bui_value_encode(texts, &value, &out, &err), BUS_INVALID);
    assert_string_equal(err.text, "the value breaks its schema: string: at byte 1: a string of 1 bytes is not UTF-8");
    assert_int_equal(out.len, 0);
    avro_value_decref(&value);
    bui_buf_free(&out);
    bui_schema_free(ints);
    bui_schema_free(longs);
    bui_schema_free(texts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_there_and_back),
        cmocka_unit_test(keeps_hostile_bytes_from_avro_c),
        cmocka_unit_test(refuses_other_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
