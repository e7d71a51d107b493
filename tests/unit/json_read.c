/* SPDX-License-Identifier: MIT
 * JSON both ways: what is read comes back in the plain form; what does not fit is refused with its path. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "codec/json.h"
#include <stdio.h>
#include <string.h>

#define R(type) "{\"type\":\"record\",\"name\":\"t.R\",\"fields\":[{\"name\":\"f\",\"type\":" type "}]}"
#define ENUM "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}"
#define AB \
    "{\"type\":\"record\",\"name\":\"A\",\"fields\":[{\"name\":\"a\",\"type\":\"int\"}]}," \
    "{\"type\":\"record\",\"name\":\"B\",\"fields\":[{\"name\":\"b\",\"type\":\"int\"},{\"name\":\"a\",\"type\":\"int\",\"default\":1}]}"

#define DATE "{\"type\":\"int\",\"logicalType\":\"date\"}"
#define MAP(type) "{\"type\":\"map\",\"values\":" type "}"
#define RECORD(name, fields) "{\"type\":\"record\",\"name\":\"" name "\",\"fields\":[" fields "]}"
#define NAMED(name, type, preset) RECORD(name, "{\"name\":\"x\",\"type\":" type preset "}")

static bus_status convert(const char *json_schema, const char *json, bui_buf *body, bui_buf *back, bus_error *err)
{
    bui_schema *schema;
    if (bui_schema_parse(json_schema, strlen(json_schema), &schema, err) != BUS_OK)
        fail_msg("%s: %s", json_schema, err->text);
    bui_buf_init(body, 0);
    bui_buf_init(back, 0);
    bus_status status = bui_json_read(schema, json, strlen(json), body, err);
    if (status == BUS_OK && bui_json_write(schema, body->data, body->len, back, err) != BUS_OK)
        fail_msg("%s: %s", json, err->text);
    bui_schema_free(schema);
    return status;
}

static void reads_both_forms(void **state)
{
    (void)state;
    static const struct {
        const char *schema, *json, *plain;
    } cases[] = {
        { R("\"long\""), "{\"f\":9223372036854775807}", NULL },
        { R("\"long\""), "{\"f\":-9223372036854775808}", NULL },
        { R("\"double\""), "{\"f\":0.1}", NULL },
        { R("\"double\""), "{\"f\":5}", "{\"f\":5.0}" },
        { R("\"double\""), "{\"f\":1e300}", "{\"f\":1e+300}" },
        { R("\"double\""), "{\"f\":\"NaN\"}", NULL },
        { R("\"float\""), "{\"f\":0.1}", NULL },
        { R("\"float\""), "{\"f\":\"-Infinity\"}", NULL },
        { R("\"boolean\""), "{\"f\":true}", NULL },
        { R("\"bytes\""), "{\"f\":\"\\u0000\\u00ffA\\\"\"}", NULL },
        { R("\"string\""), "{\"f\":\"h\xc3\xa9 \\u0001\"}", NULL },
        { R(ENUM), "{\"f\":\"B\"}", NULL },
        { R("{\"type\":\"map\",\"values\":\"int\"}"), "{\"f\":{\"b\":1,\"a\":2}}", NULL },
        { R("{\"type\":\"array\",\"items\":\"null\"}"), "{\"f\":[null,null]}", NULL },
        { R("[\"null\",\"string\"]"), "{\"f\":{\"string\":\"x\"}}", "{\"f\":\"x\"}" },
        { R("[\"null\",\"string\"]"), "{\"f\":\"x\"}", NULL },
        { R("[\"null\",\"string\"]"), "{\"f\":null}", NULL },
        { R("[\"long\",\"double\"]"), "{\"f\":5}", NULL },
        { R("[\"long\",\"double\"]"), "{\"f\":5.0}", NULL },
        { R("[\"string\",\"bytes\"]"), "{\"f\":{\"bytes\":\"x\"}}", NULL },
        { R("[" AB "]"), "{\"f\":{\"a\":1}}", NULL },
        { R("[" AB "]"), "{\"f\":{\"b\":1}}", "{\"f\":{\"b\":1,\"a\":1}}" },
        { R("[" AB "]"), "{\"f\":{\"t.B\":{\"b\":1}}}", "{\"f\":{\"b\":1,\"a\":1}}" },
        { R("[\"int\",{\"type\":\"map\",\"values\":\"string\"}]"), "{\"f\":{\"int\":\"x\"}}",
          "{\"f\":{\"map\":{\"int\":\"x\"}}}" },
        /* Found by fuzzing: what stood alone was read back as something else, or as nothing. */
        { R("[\"double\",\"string\"]"), "{\"f\":{\"double\":\"NaN\"}}", NULL },
        { R("[\"double\",\"string\"]"), "{\"f\":{\"string\":\"NaN\"}}", "{\"f\":\"NaN\"}" },
        { R("[\"float\",\"long\"]"), "{\"f\":\"-Infinity\"}", NULL },
        { R("[" DATE ",\"long\"]"), "{\"f\":{\"int\":2000000000}}", NULL },
        { R("[" DATE ",\"long\"]"), "{\"f\":{\"long\":5}}", "{\"f\":5}" },
        { R("[" DATE ",\"long\"]"), "{\"f\":\"1970-01-02\"}", NULL },
        { R("[" MAP("\"int\"") "," AB "]"), "{\"f\":{\"t.A\":{\"a\":1}}}", NULL },
        { R("[" MAP("\"int\"") "," AB "]"), "{\"f\":{\"map\":{\"z\":1}}}", NULL },
        { R("[" NAMED("A", "\"int\"", "") "," NAMED("B", "\"int\"", ",\"default\":1") "]"), "{\"f\":{\"t.A\":{\"x\":1}}}", NULL },
        { R("[\"int\"," NAMED("int_", "\"int\"", "") ",\"null\"]"), "{\"f\":{\"x\":1}}", NULL },
        { R("[\"string\"," RECORD("A", "{\"name\":\"string\",\"type\":\"string\"}") "]"), "{\"f\":{\"t.A\":{\"string\":\"x\"}}}",
          NULL },
        { R("[\"int\",{\"type\":\"map\",\"values\":\"string\"}]"), "{\"f\":{\"int\":3}}", "{\"f\":3}" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bui_buf body, back;
        bus_error err;
        const char *plain = cases[i].plain ? cases[i].plain : cases[i].json;
        if (convert(cases[i].schema, cases[i].json, &body, &back, &err) != BUS_OK)
            fail_msg("%s by %s: %s", cases[i].json, cases[i].schema, err.text);
        bui_buf_byte(&back, 0);
        assert_string_equal((const char *)back.data, plain);
        bui_buf_free(&body);
        bui_buf_free(&back);
    }
}

static void refuses_with_path(void **state)
{
    (void)state;
    static const struct {
        const char *schema, *json, *text;
    } cases[] = {
        { R("\"int\""), "{\"f\":", "line 1, column 5: unexpected token near end of file" },
        { R("\"int\""), "\xEF\xBB\xBF{\"f\":1}",
          "it begins with a byte order mark (bytes EF BB BF): save it as UTF-8 without one" },
        { R("\"int\""), "{\"f\":1,\"f\":2}", "line 1, column 10: duplicate object key near '\"f\"'" },
        { R("\"int\""), "{}", "t.R.f: the field is missing and has no default" },
        { R("\"int\""), "{\"f\":1,\"g\":2}", "t.R: t.R has no field \"g\"" },
        { R("\"int\""), "{\"f\":2147483648}", "t.R.f: 2147483648 does not fit an int of 32 bits" },
        { R("\"int\""), "{\"f\":1.5}", "t.R.f: a number where the schema has int" },
        { R("\"long\""), "{\"f\":9223372036854775808}", "line 1, column 24: too big integer near '9223372036854775808'" },
        { R("\"double\""), "{\"f\":9007199254740993}", "t.R.f: 9007199254740993 has more digits than a double" },
        { R("\"float\""), "{\"f\":1e39}", "t.R.f: 1e+39 is too large for a float" },
        { R("\"bytes\""), "{\"f\":\"\\u0100\"}", "t.R.f: bytes are written one character a byte, \\u0000 to \\u00ff" },
        { R("{\"type\":\"fixed\",\"name\":\"F\",\"size\":2}"), "{\"f\":\"abc\"}", "t.R.f: 3 bytes where t.F has 2" },
        { R(ENUM), "{\"f\":\"C\"}", "t.R.f: \"C\" is not a symbol of t.E" },
        { R("{\"type\":\"array\",\"items\":\"int\"}"), "{\"f\":[1,\"x\"]}", "t.R.f[1]: a string where the schema has int" },
        { R("[\"string\",\"bytes\"]"), "{\"f\":\"x\"}",
          "t.R.f: a string that fits several branches of the union: write {\"<branch>\": value}" },
        { R("[\"null\",\"string\"]"), "{\"f\":5}", "t.R.f: an integer where the schema has string" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bui_buf body, back;
        bus_error err = { .status = BUS_OK };
        if (convert(cases[i].schema, cases[i].json, &body, &back, &err) != BUS_INVALID || strcmp(err.text, cases[i].text) != 0)
            fail_msg("%s gave \"%s\", not \"%s\"", cases[i].json, err.text, cases[i].text);
        assert_int_equal(body.len, 0);
        bui_buf_free(&body);
        bui_buf_free(&back);
    }
}

/* Found by fuzzing: each level of objects in unions was tried as both branches, and each try tried all below it. */
static void reads_deep_unions(void **state)
{
    (void)state;
    static const char schema[] =
        R("{\"type\":\"record\",\"name\":\"A\",\"fields\":[{\"name\":\"b\",\"type\":[\"null\",\"A\","
          "{\"type\":\"record\",\"name\":\"B\",\"fields\":[{\"name\":\"b\",\"type\":[\"A\",\"B\",\"null\"],\"default\":null},"
          "{\"name\":\"x\",\"type\":\"int\",\"default\":0}]}]}]}");
    char json[1000];
    bui_buf body, back;
    bus_error err = { .status = BUS_OK };
    size_t at = (size_t)sprintf(json, "{\"f\":{\"b\":");
    for (int i = 0; i < 25; i++)
        at += (size_t)sprintf(json + at, "{\"x\":%d,\"b\":", i);
    at += (size_t)sprintf(json + at, "null");
    memset(json + at, '}', 27);
    json[at + 27] = '\0';
    if (convert(schema, json, &body, &back, &err) != BUS_OK)
        fail_msg("%s", err.text);
    assert_true(body.len > 25);
    bui_buf_free(&body);
    bui_buf_free(&back);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(reads_both_forms), cmocka_unit_test(refuses_with_path),
                                        cmocka_unit_test(reads_deep_unions) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
