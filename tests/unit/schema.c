/* SPDX-License-Identifier: MIT
 * Schema: what is refused and why, names, logical types, defaults. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "codec/schema.h"
#include "support/alloc_fail.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define R(fields) "{\"type\":\"record\",\"name\":\"t.R\",\"fields\":[" fields "]}"
#define F(type) "{\"name\":\"f\",\"type\":" type "}"
#define D(type, value) "{\"name\":\"f\",\"type\":" type ",\"default\":" value "}"

static void refuses_with_path(void **state)
{
    (void)state;
    static const struct {
        const char *json, *text;
    } cases[] = {
        { "", "line 1, column 0: unexpected token near end of file" },
        { "{\n \"type\": }", "line 2, column 10: unexpected token near '}'" },
        { "{\"type\":\"int\",\"type\":\"int\"}", "line 1, column 20: duplicate object key near '\"type\"'" },
        { "1", "the schema: a type is a name, an object or an array of types" },
        { "\"Foo\"", "the schema: the type \"Foo\" is not defined before it is used" },
        { "\"1x\"", "the schema: \"1x\" is neither a type nor a valid name of one" },
        { R(F("\"Foo\"")), "t.R.f: the type \"t.Foo\" is not defined before it is used" },
        { R(F("{\"type\":\"array\"}")), "t.R.f[]: the array has no \"items\"" },
        { R(F("{\"type\":\"array\",\"items\":{\"type\":\"map\",\"values\":7}}")),
          "t.R.f[]{}: a type is a name, an object or an array of types" },
        { R(F("\"R\"")), "t.R.f: holds t.R, which holds this: no value can ever end (make it optional)" },
        { R(F("\"int\"") "," F("\"int\"")), "t.R: there are two fields \"f\"" },
        { R("{\"name\":\"f\"}"), "t.R.f: the field has no \"type\"" },
        { R("{\"type\":\"int\"}"), "t.R: a field needs a \"name\" of letters, digits and _" },
        { R("7"), "t.R: a field needs a \"name\" of letters, digits and _" },
        { "{\"type\":\"record\",\"name\":\"R\"}", "R: a record needs \"fields\", an array of at most 10000" },
        { "{\"type\":\"record\",\"name\":\"a-b\",\"fields\":[]}",
          "the schema: a record needs a \"name\" of letters, digits and _" },
        { "{\"type\":\"record\",\"name\":\"int\",\"fields\":[]}", "int: \"int\" is the name of a type of Avro's own" },
        { R(F("{\"type\":\"fixed\",\"name\":\"R\",\"size\":1}")), "t.R: the name is defined twice" },
        { "{\"type\":\"enum\",\"name\":\"E\"}", "E: an enum needs \"symbols\"" },
        { "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"A\"]}", "E: \"A\" is twice in \"symbols\"" },
        { "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"a b\"]}",
          "E: entry 0 of \"symbols\" is no valid name (letters, digits, _)" },
        { "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\"],\"default\":\"B\"}",
          "E: the default \"B\" is not among the symbols" },
        { "{\"type\":\"fixed\",\"name\":\"F\",\"size\":-1}", "F: a fixed needs a \"size\" from 0 to 2147483647" },
        { "{\"type\":\"fixed\",\"name\":\"F\",\"size\":9223372036854775807}",
          "F: a fixed needs a \"size\" from 0 to 2147483647" },
        { "{\"type\":\"fixed\",\"name\":\"F\",\"size\":1e3}", "F: a fixed needs a \"size\" from 0 to 2147483647" },
        { "[\"int\",\"int\"]", "the schema: the union has two branches of type int" },
        { "[\"int\",[\"string\"]]", "the schema: a union directly inside a union" },
        { "[{\"type\":\"array\",\"items\":\"int\"},{\"type\":\"array\",\"items\":\"long\"}]",
          "the schema: the union has two branches of type array" },
        { R(D("\"int\"", "\"x\"")), "t.R.f: bad default: int: a string where the schema has int" },
        { R(D("\"int\"", "4294967296")), "t.R.f: bad default: int: 4294967296 does not fit an int of 32 bits" },
        { R(D("{\"type\":\"array\",\"items\":\"int\"}", "[1,null]")),
          "t.R.f: bad default: array[1]: null where the schema has int" },
        { R(D("[\"null\",\"string\"]", "5")), "t.R.f: bad default: union: an integer where the schema has string" },
        { R(D("{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\"]}", "\"B\"")), "t.R.f: bad default: t.E: \"B\" is not a "
                                                                                   "symbol of t.E" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bui_schema *schema = NULL;
        bus_error err = { .status = BUS_OK };
        bus_status status = bui_schema_parse(cases[i].json, strlen(cases[i].json), &schema, &err);
        if (status != BUS_SCHEMA || strcmp(err.text, cases[i].text) != 0)
            fail_msg("%s gave \"%s\", not \"%s\"", cases[i].json, err.text, cases[i].text);
        assert_null(schema);
    }
}

static void bounds_size_and_depth(void **state)
{
    (void)state;
    bui_schema *schema = NULL;
    bus_error err;
    static char text[BUI_SCHEMA_MAX_BYTES + 1];
    memset(text, ' ', sizeof text);
    assert_int_equal(bui_schema_parse(text, sizeof text, &schema, &err), BUS_TOO_BIG);
    size_t at = 0;
    for (int i = 0; i < 65; i++)
        at += (size_t)sprintf(text + at, "{\"type\":\"array\",\"items\":");
    at += (size_t)sprintf(text + at, "\"int\"");
    memset(text + at, '}', 65);
    assert_int_equal(bui_schema_parse(text, at + 65, &schema, &err), BUS_SCHEMA);
    assert_non_null(strstr(err.text, "nested deeper than 64"));
    /* Defaults that multiply: each record holds two of the one before, 60 times. */
    at = (size_t)sprintf(text, "[{\"type\":\"record\",\"name\":\"R0\",\"fields\":[]}");
    for (int i = 1; i < 60; i++)
        at +=
            (size_t)sprintf(text + at,
                            ",{\"type\":\"record\",\"name\":\"R%d\",\"fields\":[{\"name\":\"a\",\"type\":\"R%d\",\"default\":{}},"
                            "{\"name\":\"b\",\"type\":\"R%d\",\"default\":{}}]}",
                            i, i - 1, i - 1);
    text[at++] = ']';
    assert_int_equal(bui_schema_parse(text, at, &schema, &err), BUS_SCHEMA);
    assert_non_null(strstr(err.text, "more than 100000 values"));
}

static void knows_names_and_logical_types(void **state)
{
    (void)state;
    static const char json[] =
        "{\"type\":\"record\",\"name\":\"R\",\"namespace\":\"a.b\",\"aliases\":[\"Old\",\"x.Old\"],\"fields\":["
        "{\"name\":\"t\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"},\"aliases\":[\"u\"]},"
        "{\"name\":\"d\",\"type\":{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":5,\"scale\":2}},"
        "{\"name\":\"bad\",\"type\":{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":2,\"scale\":5}},"
        "{\"name\":\"odd\",\"type\":{\"type\":\"int\",\"logicalType\":\"timestamp-millis\"}},"
        "{\"name\":\"n\",\"type\":{\"type\":\"record\",\"name\":\"c.N\",\"fields\":[{\"name\":\"m\",\"type\":[\"null\",\"a.b.R\",\"N\"]}]}}]}";
    bui_schema *schema = NULL;
    bus_error err;
    assert_int_equal(bui_schema_parse(json, strlen(json), &schema, &err), BUS_OK);
    const bui_node *root = bui_schema_root(schema);
    assert_string_equal(bui_schema_name(schema), "a.b.R");
    assert_string_equal(root->aliases[0], "a.b.Old");
    assert_string_equal(root->aliases[1], "x.Old");
    assert_null(root->aliases[2]);
    assert_string_equal(root->fields[0].aliases[0], "u");
    assert_int_equal(root->fields[0].type->logical, BUS_LOGICAL_TIMESTAMP_MILLIS);
    assert_int_equal(root->fields[1].type->precision, 5);
    assert_int_equal(root->fields[1].type->scale, 2);
    assert_int_equal(root->fields[2].type->logical, BUS_LOGICAL_NONE);
    assert_int_equal(root->fields[3].type->logical, BUS_LOGICAL_NONE);
    assert_ptr_equal(bui_schema_named(schema, "c.N")->fields[0].type->fields[1].type, root);
    assert_string_equal(root->fields[4].type->fields[0].type->fields[2].type->name, "c.N");
    assert_null(bui_schema_named(schema, "N"));
    assert_int_equal(root->least, 5);
    bui_schema_free(schema);
}

static void survives_failing_allocations(void **state)
{
    (void)state;
    static const char json[] =
        R(D("{\"type\":\"array\",\"items\":\"int\"}", "[1]") ",{\"name\":\"g\",\"type\":[\"null\",\"R\"],\"default\":null}");
    for (long n = 1;; n++) {
        bui_schema *schema = NULL;
        bus_error err;
        alloc_fail_at(n, false);
        bus_status status = bui_schema_parse(json, strlen(json), &schema, &err);
        if (!alloc_fail_off()) {
            assert_int_equal(status, BUS_OK);
            bui_schema_free(schema);
            break;
        }
        assert_int_equal(status, BUS_NOMEM);
        assert_null(schema);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_with_path),
        cmocka_unit_test(bounds_size_and_depth),
        cmocka_unit_test(knows_names_and_logical_types),
        cmocka_unit_test(survives_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
