/* SPDX-License-Identifier: MIT
 * JSON of logical types: known values, every edge there and back, and what is no text of one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "codec/json.h"
#include "codec/json_logical.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void tells_dates_and_times(void **state)
{
    (void)state;
    static const struct {
        bus_logical logical;
        int64_t value;
        const char *text;
    } cases[] = {
        { BUS_LOGICAL_DATE, 0, "1970-01-01" },
        { BUS_LOGICAL_DATE, -1, "1969-12-31" },
        { BUS_LOGICAL_DATE, 20778, "2026-11-21" },
        { BUS_LOGICAL_DATE, 11016, "2000-02-29" },
        { BUS_LOGICAL_DATE, 47541, "2100-03-01" },
        { BUS_LOGICAL_DATE, 2932896, "9999-12-31" },
        { BUS_LOGICAL_DATE, -719528, "0000-01-01" },
        { BUS_LOGICAL_TIME_MILLIS, 86399999, "23:59:59.999" },
        { BUS_LOGICAL_TIME_MICROS, 1, "00:00:00.000001" },
        { BUS_LOGICAL_TIMESTAMP_MILLIS, 1700000000123, "2023-11-14T22:13:20.123Z" },
        { BUS_LOGICAL_TIMESTAMP_MILLIS, -1, "1969-12-31T23:59:59.999Z" },
        { BUS_LOGICAL_TIMESTAMP_MICROS, -62167219200000000, "0000-01-01T00:00:00.000000Z" },
        { BUS_LOGICAL_LOCAL_TIMESTAMP_MILLIS, 0, "1970-01-01T00:00:00.000" },
        { BUS_LOGICAL_LOCAL_TIMESTAMP_MICROS, 951782400000001, "2000-02-29T00:00:00.000001" },
    };
    char text[BUI_LOGICAL_TEXT];
    int64_t value;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_true(bui_logical_write(cases[i].logical, cases[i].value, text));
        assert_string_equal(text, cases[i].text);
        assert_true(bui_logical_read(cases[i].logical, text, strlen(text), &value));
        assert_int_equal(value, cases[i].value);
        for (size_t cut = 0; cut < strlen(text); cut++) /* a shorter fraction is good, but never a cut inside a number */
            if (bui_logical_read(cases[i].logical, text, cut, &value))
                assert_true(strchr(text, '.') && text + cut >= strchr(text, '.'));
    }
    for (int64_t day = -719528; day <= 2932896; day += 13) {
        assert_true(bui_logical_write(BUS_LOGICAL_DATE, day, text));
        assert_true(bui_logical_read(BUS_LOGICAL_DATE, text, strlen(text), &value));
        assert_int_equal(value, day);
    }
    assert_false(bui_logical_write(BUS_LOGICAL_DATE, 2932897, text));
    assert_false(bui_logical_write(BUS_LOGICAL_DATE, INT32_MIN, text));
    assert_false(bui_logical_write(BUS_LOGICAL_TIMESTAMP_MICROS, INT64_MIN, text));
    assert_false(bui_logical_write(BUS_LOGICAL_TIMESTAMP_MILLIS, INT64_MAX, text));
    assert_false(bui_logical_write(BUS_LOGICAL_TIME_MILLIS, 86400000, text));
    assert_false(bui_logical_write(BUS_LOGICAL_NONE, 1, text));
    assert_true(bui_logical_read(BUS_LOGICAL_TIMESTAMP_MILLIS, "2026-11-21T13:00:00+01:30", 25, &value));
    assert_int_equal(value, 1795260600000);
    static const struct {
        bus_logical logical;
        const char *text;
    } bad[] = {
        { BUS_LOGICAL_DATE, "2026-02-29" },
        { BUS_LOGICAL_DATE, "2026-13-01" },
        { BUS_LOGICAL_DATE, "2026-1-1" },
        { BUS_LOGICAL_DATE, "2026-11-21 " },
        { BUS_LOGICAL_TIME_MILLIS, "24:00:00" },
        { BUS_LOGICAL_TIME_MILLIS, "10:00:00.1234" },
        { BUS_LOGICAL_TIME_MILLIS, "10:00:00." },
        { BUS_LOGICAL_TIMESTAMP_MILLIS, "2026-11-21T10:00:00" },
        { BUS_LOGICAL_LOCAL_TIMESTAMP_MILLIS, "2026-11-21T10:00:00Z" },
        { BUS_LOGICAL_TIMESTAMP_MILLIS, "" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(bui_logical_read(bad[i].logical, bad[i].text, strlen(bad[i].text), &value));
}

static void tells_decimals(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        int32_t scale;
        const char *text;
    } cases[] = {
        { "\0", 1, 0, "0" },
        { "\0", 1, 3, "0.000" },
        { "\x01", 1, 2, "0.01" },
        { "\xff", 1, 2, "-0.01" },
        { "\x80", 1, 0, "-128" },
        { "\0\x80", 2, 0, "128" },
        { "\x7f\xff\xff\xff\xff\xff\xff\xff", 8, 0, "9223372036854775807" },
        { "\x80\0\0\0\0\0\0\0\0", 9, 4, "-236118324143482260.6848" },
        { "\x04\xd2", 2, 2, "12.34" },
    };
    bui_buf out;
    uint8_t back[BUI_DECIMAL_BYTES];
    size_t len;
    bui_buf_init(&out, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bui_buf_clear(&out);
        assert_true(bui_decimal_write((const uint8_t *)cases[i].bytes, cases[i].len, cases[i].scale, &out));
        assert_int_equal(out.len, strlen(cases[i].text));
        assert_memory_equal(out.data, cases[i].text, out.len);
        assert_true(bui_decimal_read(cases[i].text, out.len, cases[i].scale, back, &len));
        assert_int_equal(len, cases[i].len);
        assert_memory_equal(back, cases[i].bytes, len);
    }
    uint8_t most[BUI_DECIMAL_BYTES];
    memset(most, 0x7F, sizeof most);
    bui_buf_clear(&out);
    assert_true(bui_decimal_write(most, sizeof most, 7, &out));
    assert_true(bui_decimal_read((const char *)out.data, out.len, 7, back, &len));
    assert_int_equal(len, sizeof most);
    assert_memory_equal(back, most, len);
    assert_true(bui_decimal_read("5", 1, 2, back, &len) && len == 2 && back[0] == 1 && back[1] == 0xF4);
    static const char *const bad[] = { "", "-", ".", "1.", ".5", "1.234", "1e5", "+1", " 1", "1 ", "0x1", "--1", "1.2.3" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(bui_decimal_read(bad[i], strlen(bad[i]), 2, back, &len));
    bui_buf_free(&out);
}

/* What is written in a form is read back to the same bytes, and the other form tells the same. */
static void forms_lose_nothing(void **state)
{
    (void)state;
#define L(type, logical) "{\"type\":\"" type "\",\"logicalType\":\"" logical "\"}"
#define D(p, s) "{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":" p ",\"scale\":" s "}"
#define X(n, more) "{\"type\":\"fixed\",\"name\":\"F\",\"size\":" n "," more "}"
    static const struct {
        const char *schema, *plain, *avro;
    } cases[] = {
        { L("int", "date"), "\"2026-11-21\"", "20778" },
        { L("int", "date"), "2147483647", "2147483647" },
        { L("long", "timestamp-micros"), "\"2023-11-14T22:13:20.123456Z\"", "1700000000123456" },
        { D("9", "2"), "\"-12.34\"", "\"\\u00fb.\"" },
        { X("4", "\"logicalType\":\"decimal\",\"precision\":9,\"scale\":2"), "\"-12.34\"", "\"\\u00ff\\u00ff\\u00fb.\"" },
        { X("12", "\"logicalType\":\"duration\""), "\"P14M3DT7.250S\"",
          "\"\\u000e\\u0000\\u0000\\u0000\\u0003\\u0000\\u0000\\u0000R\\u001c\\u0000\\u0000\"" },
        { X("16", "\"logicalType\":\"uuid\""), "\"61626364-6566-6768-696a-6b6c6d6e6f70\"", "\"abcdefghijklmnop\"" },
        { "[\"null\"," D("9", "2") "]", "\"0.05\"", "{\"bytes\":\"\\u0005\"}" },
        { "[\"null\"," L("long", "timestamp-millis") ",\"string\"]", "{\"long\":\"1970-01-01T00:00:00.001Z\"}", "{\"long\":1}" },
        { "[\"null\"," L("long", "timestamp-millis") ",\"string\"]", "{\"string\":\"1970-01-01T00:00:00.001Z\"}",
          "{\"string\":\"1970-01-01T00:00:00.001Z\"}" },
        { "[\"int\",\"long\"]", "{\"long\":9223372036854775807}", "{\"long\":9223372036854775807}" },
        { "[\"long\",\"double\",\"boolean\"]", "5.0", "{\"double\":5.0}" },
        { "[\"bytes\",\"string\"]", "{\"bytes\":\"12\"}", "{\"bytes\":\"12\"}" },
        { "\"bytes\"", "\"\\u0000\\u00ff\"", "\"\\u0000\\u00ff\"" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bui_schema *schema;
        bus_error err;
        bui_buf body, other, text;
        bui_buf_init(&body, 0);
        bui_buf_init(&other, 0);
        bui_buf_init(&text, 0);
        if (bui_schema_parse(cases[i].schema, strlen(cases[i].schema), &schema, &err) != BUS_OK ||
            bui_json_read_as(BUI_JSON_PLAIN, schema, cases[i].plain, strlen(cases[i].plain), &body, &err) != BUS_OK ||
            bui_json_read_as(BUI_JSON_AVRO, schema, cases[i].avro, strlen(cases[i].avro), &other, &err) != BUS_OK)
            fail_msg("%s: %s", cases[i].plain, err.text);
        assert_int_equal(body.len, other.len);
        assert_memory_equal(body.data, other.data, body.len);
        assert_int_equal(bui_json_write_as(BUI_JSON_PLAIN, schema, body.data, body.len, &text, &err), BUS_OK);
        bui_buf_byte(&text, '\0');
        assert_string_equal((const char *)text.data, cases[i].plain);
        bui_buf_clear(&text);
        assert_int_equal(bui_json_write_as(BUI_JSON_AVRO, schema, body.data, body.len, &text, &err), BUS_OK);
        bui_buf_byte(&text, '\0');
        assert_string_equal((const char *)text.data, cases[i].avro);
        bui_buf_free(&body);
        bui_buf_free(&other);
        bui_buf_free(&text);
        bui_schema_free(schema);
    }
}

#define N(type) "[\"null\"," type "]"
#define DATED(name) \
    "{\"type\":\"record\",\"name\":\"" name "\",\"fields\":[{\"name\":\"when\",\"type\":" N(L("int", "date")) "}]}"

static void refuses_what_does_not_fit(void **state)
{
    (void)state;
    static const struct {
        const char *schema, *json, *text;
    } cases[] = {
        { L("int", "date"), "\"2026-02-30\"", "int: \"2026-02-30\" is not a date such as 2026-11-21" },
        { L("long", "timestamp-millis"), "\"yesterday\"",
          "long: \"yesterday\" is not a timestamp such as 2026-11-21T13:07:59.042Z" },
        { D("9", "2"), "\"1.234\"",
          "bytes: \"1.234\" is not a decimal with at most 2 digits after the point that fits: write a "
          "string like \"-12.50\"" },
        { D("9", "2"), "1.5", "bytes: a number where the schema has bytes" },
        { X("1", "\"logicalType\":\"decimal\",\"precision\":2,\"scale\":0"), "\"200\"",
          "F: a decimal of 3 digits, 0 of them after the point, where the schema's precision is 2" },
        { D("4", "2"), "\"123456.78\"",
          "bytes: a decimal of 8 digits, 2 of them after the point, where the schema's precision is 4" },
        { D("4", "2"), "\"-100\"", "bytes: a decimal of 5 digits, 2 of them after the point, where the schema's precision is 4" },
        { D("4", "2"), "100", "bytes: a decimal of 5 digits, 2 of them after the point, where the schema's precision is 4" },
        { D("40", "0"), "\"10000000000000000000000000000000000000000\"",
          "bytes: a decimal of 41 digits, 0 of them after the point, where the schema's precision is 40" },
        { L("string", "uuid"), "\"0b6ce1c8\"",
          "string: \"0b6ce1c8\" is not a UUID such as 0b6ce1c8-5f1d-5d0c-9a39-0b2c8a1e7f55" },
        { X("16", "\"logicalType\":\"uuid\""), "\"0b6ce1c8\"", "F: 8 bytes where F has 16" },
        { X("12", "\"logicalType\":\"duration\""), "\"P1Y\"", "F: 3 bytes where F has 12" },
        /* Inside ["null", ...] it is that branch's words. */
        { N(L("int", "date")), "\"2026-02-30\"", "union: \"2026-02-30\" is not a date such as 2026-11-21" },
        { N(L("int", "time-millis")), "\"24:00:00\"", "union: \"24:00:00\" is not a time such as 13:07:59.042" },
        { N(L("long", "time-micros")), "\"7 pm\"", "union: \"7 pm\" is not a time such as 13:07:59.042" },
        { N(L("long", "timestamp-millis")), "\"x\"", "union: \"x\" is not a timestamp such as 2026-11-21T13:07:59.042Z" },
        { N(L("long", "local-timestamp-micros")), "\"x\"",
          "union: \"x\" is not a local timestamp such as 2026-11-21T13:07:59.042" },
        { N(L("string", "uuid")), "\"x\"", "union: \"x\" is not a UUID such as 0b6ce1c8-5f1d-5d0c-9a39-0b2c8a1e7f55" },
        { N(D("4", "2")), "\"123456.78\"",
          "union: a decimal of 8 digits, 2 of them after the point, where the schema's precision is 4" },
        { N(D("4", "2")), "{\"bytes\":\"123456.78\"}",
          "union: a decimal of 8 digits, 2 of them after the point, where the schema's precision is 4" },
        { N(D("4", "2")), "\"1.234\"",
          "union: \"1.234\" is not a decimal with at most 2 digits after the point that fits: write "
          "a string like \"-12.50\"" },
        { N(D("4", "2")), "1.5", "union: a number where the schema has bytes" },
        { N(X("12", "\"logicalType\":\"duration\"")), "\"P1Y\"", "union: 3 bytes where F has 12" },
        { L("int", "time-millis"), "86400000",
          "int: 86400000 is not a time of day in milliseconds: those are from 0 to below 24 hours" },
        { N(L("long", "time-micros")), "-1",
          "union: -1 is not a time of day in microseconds: those are from 0 to below 24 hours" },
        { N("\"int\""), "3000000000", "union: 3000000000 does not fit an int of 32 bits" },
        { N("{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\"]}"), "\"B\"", "union: \"B\" is not a symbol of E" },
        { N("{\"type\":\"array\",\"items\":" N(L("int", "date")) "}"), "[null,\"x\"]",
          "union[1]: \"x\" is not a date such as 2026-11-21" },
        { "[\"null\"," DATED("A") "," DATED("B") "]", "{\"when\":\"x\"}",
          "union: an object that fits none of the union's 3 branches; A.when: \"x\" is not a date such as 2026-11-21; B.when: "
          "\"x\" is not a date such as 2026-11-21" },
        { "[\"null\"," DATED("A") "," DATED("B") "]", "{\"B\":{\"when\":\"x\"}}",
          "union.when: \"x\" is not a date such as 2026-11-21" },
        { "[\"null\",\"int\",\"boolean\"]", "\"x\"",
          "union: a string that fits none of the union's 3 branches: null, int, boolean" },
        { "[\"null\"," L("int", "date") "," D("4", "2") "]", "\"x\"",
          "union: a string that fits none of the union's 3 branches; int: \"x\" is not a date such as 2026-11-21; bytes: \"x\" "
          "is not a decimal with at most 2 digits after the point that fits: write a string like \"-12.50\"" },
        { "\"int\"", "\"2026-11-21\"", "int: a string where the schema has int" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bui_schema *schema;
        bus_error err;
        bui_buf body;
        bui_buf_init(&body, 0);
        assert_int_equal(bui_schema_parse(cases[i].schema, strlen(cases[i].schema), &schema, &err), BUS_OK);
        assert_int_equal(bui_json_read(schema, cases[i].json, strlen(cases[i].json), &body, &err), BUS_INVALID);
        assert_string_equal(err.text, cases[i].text);
        bui_buf_free(&body);
        bui_schema_free(schema);
    }
}

/* As bytes, too; and where a default stands in for what was not given. A default alone is the schema's own matter. */
static void keeps_precision_in_any_form(void **state)
{
    (void)state;
    static const struct {
        const char *schema, *json, *text;
    } cases[] = {
        { D("2", "0"), "\"\\u0063\"", NULL },
        { D("2", "0"), "\"\\u0064\"",
          "bytes: a decimal of 3 digits, 0 of them after the point, where the schema's precision is 2" },
        { D("2", "0"), "\"\\u009d\"", NULL },
        { D("2", "0"), "\"\\u009c\"",
          "bytes: a decimal of 3 digits, 0 of them after the point, where the schema's precision is 2" },
        { D("2", "0"), "\"\\u0000\\u0000\\u0063\"", NULL },
        { D("2", "0"), "\"\\u00ff\\u00ff\\u009d\"", NULL },
        { D("2", "0"), "\"\"", NULL },
        { X("2", "\"logicalType\":\"decimal\",\"precision\":2,\"scale\":0"), "\"\\u0000\\u0064\"",
          "F: a decimal of 3 digits, 0 of them after the point, where the schema's precision is 2" },
        { L("string", "uuid"), "\"x\"", "string: \"x\" is not a UUID such as 0b6ce1c8-5f1d-5d0c-9a39-0b2c8a1e7f55" },
        { "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"d\",\"type\":" D("2", "0") ",\"default\":\"\\u0064\"}]}",
          "{}", "R.d: a decimal of 3 digits, 0 of them after the point, where the schema's precision is 2" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bui_schema *schema;
        bus_error err = { .text = "" };
        bui_buf body;
        bui_buf_init(&body, 0);
        assert_int_equal(bui_schema_parse(cases[i].schema, strlen(cases[i].schema), &schema, &err), BUS_OK);
        bus_status status = bui_json_read_as(BUI_JSON_AVRO, schema, cases[i].json, strlen(cases[i].json), &body, &err);
        if (status != (cases[i].text ? BUS_INVALID : BUS_OK) || (cases[i].text && strcmp(err.text, cases[i].text) != 0))
            fail_msg("%s: %s", cases[i].json, err.text);
        bui_buf_free(&body);
        bui_schema_free(schema);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_dates_and_times),       cmocka_unit_test(tells_decimals),
        cmocka_unit_test(forms_lose_nothing),          cmocka_unit_test(refuses_what_does_not_fit),
        cmocka_unit_test(keeps_precision_in_any_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
