/* SPDX-License-Identifier: MIT
 * Plan: bodies of one schema read as another. Values go in and come out as JSON, so that a case is one line; what a plan
 * refuses, it refuses with the path. */
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
#include <string.h>

/* Writes `value` by `writer`, reads it as `reader`; NULL and *err filled if that is refused. The JSON is the caller's. */
static char *evolve(const char *writer, const char *reader, const char *value, bus_error *err)
{
    bui_schema *from, *to;
    bui_plan *plan = NULL;
    bui_arena shapes, arena;
    bui_buf bytes, again, json;
    *err = (bus_error){ .status = BUS_OK };
    bui_buf_init(&bytes, 0);
    bui_buf_init(&again, 0);
    bui_buf_init(&json, 0);
    bui_arena_init(&shapes, 0);
    bui_arena_init(&arena, 0);
    if (bui_schema_parse(writer, strlen(writer), &from, err) != BUS_OK ||
        bui_schema_parse(reader, strlen(reader), &to, err) != BUS_OK ||
        bui_json_read(from, value, strlen(value), &bytes, err) != BUS_OK)
        fail_msg("%s as %s: %s", writer, reader, err->text);
    const bus_shape *shape = test_shape_of(bui_schema_root(to), &shapes);
    assert_non_null(shape);
    void *body = bui_arena_alloc(&arena, shape->size);
    memset(body, 0xA5, shape->size); /* whatever is not filled shows */
    bus_status status = bui_plan_between(from, to, shape, &plan, err);
    if (status == BUS_OK)
        status = bui_plan_decode(plan, bytes.data, bytes.len, 0, &arena, body, err);
    if (status == BUS_OK &&
        (bui_body_encode(shape, body, &again, err) != BUS_OK || bui_json_write(to, again.data, again.len, &json, err) != BUS_OK))
        fail_msg("%s as %s: %s", writer, reader, err->text);
    assert_int_equal(status, err->status);
    /* Every cut is refused, and nothing behind its end is read (valgrind and ASan watch). */
    for (size_t cut = 0; status == BUS_OK && cut < bytes.len; cut++) {
        bus_error why;
        char *exact = malloc(cut ? cut : 1);
        assert_non_null(exact);
        memcpy(exact, bytes.data, cut);
        assert_int_equal(bui_plan_decode(plan, exact, cut, 0, &arena, body, &why), BUS_CORRUPT);
        free(exact);
    }
    bui_plan_free(plan);
    char *out = status == BUS_OK ? bui_buf_take(&json) : NULL;
    bui_buf_free(&bytes);
    bui_buf_free(&again);
    bui_buf_free(&json);
    bui_arena_free(&arena);
    bui_arena_free(&shapes);
    bui_schema_free(from);
    bui_schema_free(to);
    return out;
}

/* clang-format off */
#define R(fields) "{\"type\":\"record\",\"name\":\"t.R\",\"fields\":[" fields "]}"
#define F(name, type) "{\"name\":\"" name "\",\"type\":" type "}"
#define D(name, type, preset) "{\"name\":\"" name "\",\"type\":" type ",\"default\":" preset "}"
#define A(name, type, alias) "{\"name\":\"" name "\",\"type\":" type ",\"aliases\":[\"" alias "\"]}"
#define ARRAY(type) "{\"type\":\"array\",\"items\":" type "}"
#define MAP(type) "{\"type\":\"map\",\"values\":" type "}"
#define ENUM(symbols) "{\"type\":\"enum\",\"name\":\"t.E\",\"symbols\":[" symbols "]}"
#define ENUM_D(symbols, preset) "{\"type\":\"enum\",\"name\":\"t.E\",\"symbols\":[" symbols "],\"default\":\"" preset "\"}"
#define FIXED(n) "{\"type\":\"fixed\",\"name\":\"t.F\",\"size\":" n "}"
#define NAMED(name, fields) "{\"type\":\"record\",\"name\":\"" name "\",\"fields\":[" fields "]}"
#define RENAMED(name, alias, fields) "{\"type\":\"record\",\"name\":\"" name "\",\"aliases\":[\"" alias "\"],\"fields\":[" fields "]}"
#define DECIMAL(p, s) "{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":" p ",\"scale\":" s "}"
#define LOGICAL(type, name) "{\"type\":\"" type "\",\"logicalType\":\"" name "\"}"
#define TREE(more) "{\"type\":\"record\",\"name\":\"t.Tree\",\"fields\":[" more F("kids", ARRAY("\"Tree\"")) "," F("next", "[\"null\",\"Tree\"]") "]}"

#define MANY "[\"null\",\"int\",\"boolean\",\"string\"," ENUM("\"A\",\"C\"") "," ARRAY("\"int\"") "," MAP("\"float\"") "," NAMED("t.In", F("i", "\"int\"")) "," FIXED("2") "]"
#define MANY_LATER "[" FIXED("2") "," NAMED("t.In", D("new", "\"string\"", "\"d\"") "," F("i", "\"long\"")) "," MAP("\"double\"") "," ARRAY("\"long\"") "," \
    ENUM_D("\"B\",\"A\"", "B") ",\"string\",\"boolean\",\"double\",\"null\"]"
#define SPAN "{\"type\":\"fixed\",\"name\":\"Span\",\"size\":12,\"logicalType\":\"duration\"}"
#define LOGICALS F("d", LOGICAL("int", "date")) "," F("tm", LOGICAL("int", "time-millis")) "," F("tu", LOGICAL("long", "time-micros")) "," \
    F("sm", LOGICAL("long", "timestamp-millis")) "," F("su", LOGICAL("long", "timestamp-micros")) "," F("lm", LOGICAL("long", "local-timestamp-millis")) "," \
    F("lu", LOGICAL("long", "local-timestamp-micros")) "," F("du", SPAN) ","
#define LOGICALS_BACK F("du", SPAN) "," F("lu", LOGICAL("long", "local-timestamp-micros")) "," F("lm", LOGICAL("long", "local-timestamp-millis")) "," \
    F("su", LOGICAL("long", "timestamp-micros")) "," F("sm", LOGICAL("long", "timestamp-millis")) "," F("tu", LOGICAL("long", "time-micros")) "," \
    F("tm", LOGICAL("int", "time-millis")) "," F("d", LOGICAL("int", "date"))
#define LOGICAL_VALUES(more) "{\"d\":\"2026-11-21\",\"tm\":\"13:07:59.042\",\"tu\":\"13:07:59.042001\",\"sm\":\"2026-11-21T13:07:59.042Z\"," \
    "\"su\":\"2026-11-21T13:07:59.042001Z\",\"lm\":\"2026-11-21T13:07:59.042\",\"lu\":\"2026-11-21T13:07:59.042001\",\"du\":\"P1M2DT3.004S\"," more "}"
#define LOGICAL_VALUES_BACK "\"du\":\"P1M2DT3.004S\",\"lu\":\"2026-11-21T13:07:59.042001\",\"lm\":\"2026-11-21T13:07:59.042\"," \
    "\"su\":\"2026-11-21T13:07:59.042001Z\",\"sm\":\"2026-11-21T13:07:59.042Z\",\"tu\":\"13:07:59.042001\",\"tm\":\"13:07:59.042\",\"d\":\"2026-11-21\""
/* clang-format on */

static void reads_what_can_be_read(void **state)
{
    (void)state;
    static const struct {
        const char *writer, *reader, *in, *out;
    } cases[] = {
        /* fields: order, more, fewer */
        { R(F("a", "\"int\"") "," F("b", "\"string\"")), R(F("b", "\"string\"") "," F("a", "\"int\"")), "{\"a\":1,\"b\":\"x\"}",
          "{\"b\":\"x\",\"a\":1}" },
        { R(F("a", "\"int\"")), R(F("a", "\"int\"") "," D("b", "\"string\"", "\"new\"")), "{\"a\":1}",
          "{\"a\":1,\"b\":\"new\"}" },
        { R(F("a", "\"int\"")),
          R(D("l", ARRAY("\"long\""), "[1,2]") "," D("m", MAP("\"int\""), "{\"k\":7}") "," F("a", "\"int\"")), "{\"a\":1}",
          "{\"l\":[1,2],\"m\":{\"k\":7},\"a\":1}" },
        { R(F("a", "\"int\"")),
          R(D("n", "[\"null\",\"string\"]", "null") "," D("s", "[\"string\",\"null\"]",
                                                          "\"\"") "," D("u", "[\"bytes\",\"string\"]", "\"b\"")),
          "{\"a\":1}", "{\"n\":null,\"s\":\"\",\"u\":{\"bytes\":\"b\"}}" },
        { R(F("a", "\"int\"")),
          R(D("in", NAMED("t.In", D("x", "\"int\"", "5") "," D("y", "\"double\"", "0.5")), "{\"y\":2}") "," D(
              "e", ENUM("\"A\",\"B\""), "\"B\"") "," D("f", FIXED("2"), "\"\\u00ff\\u0000\"") "," D("d", DECIMAL("9", "2"),
                                                                                                    "\"\\u0001\"")),
          "{\"a\":1}", "{\"in\":{\"x\":5,\"y\":2.0},\"e\":\"B\",\"f\":\"\\u00ff\\u0000\",\"d\":\"0.01\"}" },
        { R(F("s", "\"string\"") "," F("b", "\"bytes\"") "," F("l", "\"long\"") "," F("f", "\"float\"") "," F("d", "\"double\"") "," F("o", "\"boolean\"") "," F("n", "\"null\"") "," F(
              "e",
              ENUM(
                  "\"A\",\"B\"")) "," F("x",
                                        FIXED(
                                            "3")) "," F("u",
                                                        "[\"null\",\"string\",\"R\"]") "," F("ar",
                                                                                             ARRAY(
                                                                                                 "\"null\"")) "," F("mp",
                                                                                                                    MAP(NAMED(
                                                                                                                        "t.In",
                                                                                                                        F("i",
                                                                                                                          "\"int\"")))) "," F("keep",
                                                                                                                                              "\"int\"")),
          R(F("keep", "\"int\"")),
          "{\"s\":\"h\xc3\xa9\",\"b\":\"\\u0080\",\"l\":-1,\"f\":1.5,\"d\":2.5,\"o\":true,\"n\":null,\"e\":\"B\",\"x\":\"abc\",\"u\":{\"t.R\":{\"s\":\"\",\"b\":\"\",\"l\":0,\"f\":0,"
          "\"d\":0,\"o\":false,\"n\":null,\"e\":\"A\",\"x\":\"abc\",\"u\":null,\"ar\":[],\"mp\":{},\"keep\":1}},\"ar\":[null,null],\"mp\":{\"k\":{\"i\":3}},\"keep\":42}",
          "{\"keep\":42}" },
        /* aliases */
        { R(F("old", "\"int\"")), R(A("new", "\"long\"", "old")), "{\"old\":9}", "{\"new\":9}" },
        { R(F("a", "\"int\"") "," F("b", "\"int\"")), R(A("b", "\"int\"", "a") "," F("a", "\"int\"")), "{\"a\":1,\"b\":2}",
          "{\"b\":2,\"a\":1}" },
        { NAMED("t.Old", F("a", "\"int\"")), RENAMED("t.New", "Old", F("a", "\"int\"")), "{\"a\":1}", "{\"a\":1}" },
        { NAMED("o.R", F("a", "\"int\"")), R(F("a", "\"int\"")), "{\"a\":1}", "{\"a\":1}" },
        { "{\"type\":\"enum\",\"name\":\"o.X\",\"symbols\":[\"A\"]}",
          "{\"type\":\"enum\",\"name\":\"t.E\",\"aliases\":[\"o.X\"],\"symbols\":[\"B\",\"A\"]}", "\"A\"", "\"A\"" },
        { "{\"type\":\"fixed\",\"name\":\"X\",\"size\":2}", "{\"type\":\"fixed\",\"name\":\"Y\",\"aliases\":[\"X\"],\"size\":2}",
          "\"ab\"", "\"ab\"" },
        /* promotions */
        { "\"int\"", "\"long\"", "-7", "-7" },
        { "\"int\"", "\"float\"", "7", "7.0" },
        { "\"int\"", "\"double\"", "7", "7.0" },
        { "\"long\"", "\"float\"", "16777216", "16777216.0" },
        { "\"long\"", "\"double\"", "-9007199254740992", "-9007199254740992.0" },
        { "\"float\"", "\"double\"", "0.5", "0.5" },
        { "\"string\"", "\"bytes\"", "\"h\xc3\xa9\"", "\"h\\u00c3\\u00a9\"" },
        { "\"bytes\"", "\"string\"", "\"hi\"", "\"hi\"" },
        { ARRAY("\"int\""), ARRAY("\"double\""), "[1,2]", "[1.0,2.0]" },
        { MAP("\"int\""), MAP("\"long\""), "{\"a\":1}", "{\"a\":1}" },
        { "\"int\"", LOGICAL("long", "timestamp-millis"), "5", "\"1970-01-01T00:00:00.005Z\"" },
        { "\"string\"", LOGICAL("string", "uuid"), "\"0b6ce1c8-5f1d-5d0c-9a39-0b2c8a1e7f55\"",
          "\"0b6ce1c8-5f1d-5d0c-9a39-0b2c8a1e7f55\"" },
        { LOGICAL("string", "uuid"), "\"bytes\"", "\"0b6ce1c8-5f1d-5d0c-9a39-0b2c8a1e7f55\"",
          "\"0b6ce1c8-5f1d-5d0c-9a39-0b2c8a1e7f55\"" },
        { DECIMAL("4", "2"), DECIMAL("9", "2"), "\"-2.58\"", "\"-2.58\"" },
        /* enums */
        { ENUM("\"A\",\"B\",\"C\""), ENUM("\"C\",\"A\""), "\"C\"", "\"C\"" },
        { ENUM("\"A\",\"B\",\"C\""), ENUM_D("\"A\",\"OTHER\"", "OTHER"), "\"C\"", "\"OTHER\"" },
        /* unions */
        { "\"int\"", "[\"null\",\"int\"]", "3", "3" },
        { "[\"null\",\"int\"]", "\"int\"", "3", "3" },
        { "\"int\"", "[\"null\",\"double\"]", "3", "3.0" },
        { "\"null\"", "[\"string\",\"null\"]", "null", "null" },
        { "[\"null\",\"int\"]", "[\"long\",\"null\"]", "3", "3" },
        { "[\"null\",\"int\"]", "[\"long\",\"null\"]", "null", "null" },
        { "[\"null\",\"int\"]", "[\"null\",\"int\",\"string\"]", "3", "3" },
        { "[\"null\",\"int\",\"string\"]", "[\"null\",\"int\"]", "null", "null" },
        { "[\"int\",\"string\"]", "[\"string\",\"long\",\"int\"]", "3", "{\"int\":3}" },
        { "[\"int\",\"long\"]", "\"double\"", "{\"long\":4}", "4.0" },
        { "\"string\"", "[\"int\",\"bytes\"]", "\"x\"", "\"x\"" },
        { NAMED("t.A", F("x", "\"int\"")), "[\"null\"," NAMED("t.A", F("x", "\"long\"") "," D("y", "\"int\"", "1")) "]",
          "{\"x\":1}", "{\"x\":1,\"y\":1}" },
        { NAMED("t.A", F("x", "\"int\"")), "[\"string\"," NAMED("t.B", "") "," NAMED("t.A", F("x", "\"long\"")) "]", "{\"x\":1}",
          "{\"x\":1}" },
        { "[" NAMED("t.A", F("x", "\"int\"")) ",\"null\"]", NAMED("t.A", F("x", "\"int\"")), "{\"t.A\":{\"x\":1}}", "{\"x\":1}" },
        { ARRAY("[\"null\"," FIXED("1") "]"), ARRAY("[\"int\"," FIXED("1") ",\"null\"]"), "[null,\"x\"]", "[null,\"x\"]" },
        /* every branch of a union whose branches have moved and changed: of each kind that may be one */
        { MANY, MANY_LATER, "null", "null" },
        { MANY, MANY_LATER, "{\"int\":3}", "3.0" },
        { MANY, MANY_LATER, "{\"boolean\":true}", "true" },
        { MANY, MANY_LATER, "{\"string\":\"B\"}", "{\"string\":\"B\"}" },
        { MANY, MANY_LATER, "{\"t.E\":\"A\"}", "{\"t.E\":\"A\"}" },
        { MANY, MANY_LATER, "{\"t.E\":\"C\"}", "{\"t.E\":\"B\"}" },
        { MANY, MANY_LATER, "{\"array\":[1,2]}", "[1,2]" },
        { MANY, MANY_LATER, "{\"map\":{\"x\":1.5}}", "{\"map\":{\"x\":1.5}}" },
        { MANY, MANY_LATER, "{\"t.In\":{\"i\":3}}", "{\"t.In\":{\"new\":\"d\",\"i\":3}}" },
        { MANY, MANY_LATER, "{\"t.F\":\"ab\"}", "{\"t.F\":\"ab\"}" },
        /* logical types: moved, dropped, as new fields with defaults, in containers */
        { R(LOGICALS F("keep", "\"int\"")), R(F("keep", "\"long\"") "," LOGICALS_BACK), LOGICAL_VALUES("\"keep\":1"),
          "{\"keep\":1," LOGICAL_VALUES_BACK "}" },
        { R(LOGICALS F("keep", "\"int\"")), R(F("keep", "\"int\"")), LOGICAL_VALUES("\"keep\":1"), "{\"keep\":1}" },
        { R(F("keep", "\"int\"")),
          R(D("d", LOGICAL("int", "date"), "20778") "," D("tm", LOGICAL("int", "time-millis"), "1") "," D(
              "tu", LOGICAL("long", "time-micros"),
              "1") "," D("lm", LOGICAL("long", "local-timestamp-millis"),
                         "1") "," D("lu", LOGICAL("long", "local-timestamp-micros"),
                                    "1") "," D("du", SPAN,
                                               "\"\\u0001\\u0000\\u0000\\u0000\\u0002\\u0000\\u0000\\u0000\\u00e8\\u0003\\u0000\\u0000\"") "," F("keep",
                                                                                                                                                 "\"int\"")),
          "{\"keep\":1}",
          "{\"d\":\"2026-11-21\",\"tm\":\"00:00:00.001\",\"tu\":\"00:00:00.000001\",\"lm\":\"1970-01-01T00:00:00.001\",\"lu\":\"1970-01-01T00:00:00.000001\","
          "\"du\":\"P1M2DT1.000S\",\"keep\":1}" },
        { ARRAY(LOGICAL("long", "local-timestamp-micros")), ARRAY("[\"null\"," LOGICAL("long", "local-timestamp-micros") "]"),
          "[\"2026-11-21T08:00:00.000001\"]", "[\"2026-11-21T08:00:00.000001\"]" },
        { MAP(SPAN), MAP("[\"null\"," SPAN "]"), "{\"k\":\"P1M2DT3.004S\"}", "{\"k\":\"P1M2DT3.004S\"}" },
        { "\"int\"", LOGICAL("long", "local-timestamp-millis"), "5", "\"1970-01-01T00:00:00.005\"" },
        /* recursion, both sides changed */
        { TREE(F("n", "\"int\"") ","), TREE(D("new", "\"string\"", "\"d\"") "," F("n", "\"long\"") ","),
          "{\"n\":1,\"kids\":[{\"n\":2,\"kids\":[],\"next\":null}],\"next\":{\"n\":3,\"kids\":[],\"next\":null}}",
          "{\"new\":\"d\",\"n\":1,\"kids\":[{\"new\":\"d\",\"n\":2,\"kids\":[],\"next\":null}],\"next\":{\"new\":\"d\",\"n\":3,\"kids\":[],\"next\":null}}" },
        { TREE(F("n", "\"int\"") ","), TREE(""), "{\"n\":1,\"kids\":[{\"n\":2,\"kids\":[],\"next\":null}],\"next\":null}",
          "{\"kids\":[{\"kids\":[],\"next\":null}],\"next\":null}" },
        { R(F("t", TREE(F("n", "\"int\"") ",")) "," F("z", "\"int\"")), R(F("z", "\"int\"")),
          "{\"t\":{\"n\":1,\"kids\":[{\"n\":2,\"kids\":[],\"next\":null}],\"next\":null},\"z\":4}", "{\"z\":4}" },
        { R(F("t", TREE(F("n", "\"int\"") ",")) "," F("z", "\"int\"")),
          R(F("z", "\"int\"") "," F("t", TREE(F("n", "\"int\"") ","))),
          "{\"t\":{\"n\":1,\"kids\":[{\"n\":2,\"kids\":[],\"next\":null}],\"next\":null},\"z\":4}",
          "{\"z\":4,\"t\":{\"n\":1,\"kids\":[{\"n\":2,\"kids\":[],\"next\":null}],\"next\":null}}" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bus_error err;
        char *out = evolve(cases[i].writer, cases[i].reader, cases[i].in, &err);
        if (!out)
            fail_msg("%s as %s: %s", cases[i].writer, cases[i].reader, err.text);
        assert_string_equal(out, cases[i].out);
        free(out);
    }
}

static void refuses_with_the_path(void **state)
{
    (void)state;
    static const struct {
        const char *writer, *reader, *in;
        bus_status status;
        const char *text;
    } cases[] = {
        { R(F("a", "\"int\"")), R(F("b", "\"int\"")), "{\"a\":1}", BUS_SCHEMA,
          "t.R.b: the writer's t.R has no such field, and it has no default" },
        { R(F("a", ARRAY(NAMED("t.In", F("x", "\"string\""))))), R(F("a", ARRAY(NAMED("t.In", F("x", "\"int\""))))), "{\"a\":[]}",
          BUS_SCHEMA, "t.R.a[].x: the writer has string where the reader has int" },
        { R(F("a", MAP("\"long\""))), R(F("a", MAP("\"int\""))), "{\"a\":{}}", BUS_SCHEMA,
          "t.R.a{}: the writer has long where the reader has int" },
        { R(F("a", "\"int\"")), NAMED("t.Other", F("a", "\"int\"")), "{\"a\":1}", BUS_SCHEMA,
          "t.Other: the writer has t.R where the reader has t.Other, without an alias for it" },
        { FIXED("2"), FIXED("3"), "\"ab\"", BUS_SCHEMA, "t.F: the writer's t.F has 2 bytes, the reader's 3" },
        { ENUM("\"A\""), ENUM("\"B\""), "\"A\"", BUS_SCHEMA, "t.E: t.E has none of the symbols of the writer's, and no default" },
        { "[\"int\",\"null\"]", "[\"string\",\"boolean\"]", "1", BUS_SCHEMA,
          "union: the writer has int, which is not one of the "
          "union's branches" },
        { DECIMAL("9", "3"), DECIMAL("9", "2"), "\"1\"", BUS_SCHEMA,
          "bytes: the writer has a decimal of precision 9 and scale 3 where the reader has 9 and 2" },
        { LOGICAL("long", "timestamp-millis"), LOGICAL("long", "timestamp-micros"), "1", BUS_SCHEMA,
          "long: the writer has timestamp-millis where the reader has timestamp-micros: values would change their meaning" },
        { "\"long\"", "\"int\"", "1", BUS_SCHEMA, "int: the writer has long where the reader has int" },
        { "\"double\"", "\"float\"", "1", BUS_SCHEMA, "float: the writer has double where the reader has float" },
        /* a plan, but not for this value */
        { ENUM("\"A\",\"B\""), ENUM("\"A\""), "\"B\"", BUS_CORRUPT,
          "t.E: at byte 1: the writer's symbol \"B\" is not among those of t.E here, which has no default" },
        { R(F("a", "[\"null\",\"int\",\"string\"]")), R(F("a", "[\"null\",\"int\"]")), "{\"a\":\"x\"}", BUS_CORRUPT,
          "t.R.a: at byte 1: a value that cannot be read here: t.R.a: the writer has string, which is not one of the union's branches" },
        { R(F("a", "[\"null\"," NAMED("t.In", F("x", "\"int\"")) "]")),
          R(F("a", "[\"null\"," NAMED("t.In", F("y", "\"int\"")) "]")), "{\"a\":{\"x\":1}}", BUS_CORRUPT,
          "t.R.a: at byte 1: a value that cannot be read here: t.R.a.y: the writer's t.In has no such field, and it has no default" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bus_error err;
        char *out = evolve(cases[i].writer, cases[i].reader, cases[i].in, &err);
        if (out || strcmp(err.text, cases[i].text) != 0)
            fail_msg("%s as %s: \"%s\", not \"%s\"", cases[i].writer, cases[i].reader, out ? out : err.text, cases[i].text);
        assert_int_equal(err.status, cases[i].status);
    }
}

static bus_status decode_raw(const char *writer, const char *reader, const void *bytes, size_t len, bus_error *err)
{
    bui_schema *from, *to;
    bui_plan *plan;
    bui_arena arena;
    bui_arena_init(&arena, 0);
    *err = (bus_error){ .status = BUS_OK };
    assert_int_equal(bui_schema_parse(writer, strlen(writer), &from, err), BUS_OK);
    assert_int_equal(bui_schema_parse(reader, strlen(reader), &to, err), BUS_OK);
    const bus_shape *shape = test_shape_of(bui_schema_root(to), &arena);
    assert_int_equal(bui_plan_between(from, to, shape, &plan, err), BUS_OK);
    bus_status status = bui_plan_decode(plan, bytes, len, 0, &arena, bui_arena_alloc(&arena, shape->size), err);
    bui_plan_free(plan);
    bui_arena_free(&arena);
    bui_schema_free(from);
    bui_schema_free(to);
    return status;
}

/* What is skipped is as hostile as what is read. */
static void bounds_what_it_skips(void **state)
{
    (void)state;
    static const struct {
        const char *type, *bytes;
        size_t len;
        const char *text;
    } cases[] = {
        { "\"string\"", "\x04\xc3(", 3, "t.R.a: at byte 1: a string of 2 bytes is not UTF-8" },
        { "\"bytes\"",
          "\x06"
          "ab",
          3, "t.R.a: at byte 1: a length of 3, and 2 bytes remain" },
        { "\"int\"", "\x80\x80\x80\x80\x10", 5, "t.R.a: at byte 5: 2147483648 does not fit an int of 32 bits" },
        { "\"boolean\"", "\x02", 1, "t.R.a: at byte 0: a boolean of 2; it is 0 or 1" },
        { FIXED("4"), "abc", 3, "t.R.a: at byte 0: 4 bytes are needed, 3 remain" },
        { ENUM("\"A\",\"B\""), "\x04", 1, "t.R.a: at byte 1: an enum's symbol 2 of 2" },
        { "[\"null\",\"long\"]", "\x04", 1, "t.R.a: at byte 1: a union's branch 2 of 2" },
        { ARRAY("\"null\""), "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 10,
          "t.R.a: at byte 10: 4611686018427387904 items that take no bytes; a message may hold 1024" },
        { ARRAY("\"int\""), "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10,
          "t.R.a: at byte 10: a block count of -9223372036854775808" },
        { ARRAY("\"int\""), "\x01\x04\x02\x00", 4, "t.R.a: at byte 3: a block ends -1 bytes after where its size says" },
        { MAP("\"int\""), "\x02\x02\xff\x02\x00", 5, "t.R.a[0]: at byte 2: a string of 1 bytes is not UTF-8" },
        { "\"int\"", "\x02\x02", 2, "t.R: at byte 1: 1 bytes are left over" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char writer[300];
        bus_error err;
        strcpy(writer, "{\"type\":\"record\",\"name\":\"t.R\",\"fields\":[{\"name\":\"a\",\"type\":");
        strcat(strcat(writer, cases[i].type), "}]}");
        bus_status status = decode_raw(writer, R(""), cases[i].bytes, cases[i].len, &err);
        if (status != BUS_CORRUPT || strcmp(err.text, cases[i].text) != 0)
            fail_msg("%s gave \"%s\", not \"%s\"", cases[i].type, err.text, cases[i].text);
    }
    bus_error err;
    char deep[2 * 70];
    for (size_t i = 0; i < sizeof deep; i += 2) {
        deep[i] = 0;     /* no kids */
        deep[i + 1] = 2; /* next */
    }
    assert_int_equal(decode_raw(R(F("t", TREE(""))), R(""), deep, sizeof deep, &err), BUS_CORRUPT);
    assert_non_null(strstr(err.text, "nested deeper than 64"));
    assert_int_equal(decode_raw(TREE(""), TREE(D("n", "\"int\"", "1") ","), deep, sizeof deep, &err), BUS_CORRUPT);
    assert_non_null(strstr(err.text, "nested deeper than 64"));
}

static void survives_failing_allocations(void **state)
{
    (void)state;
    static const char writer[] = R(F("a", "\"int\"") "," F("t", TREE(F("n", "\"int\"") ","))),
                      reader[] = R(F("t", TREE(F("n", "\"long\"") ",")) "," D("s", "\"string\"", "\"x\""));
    bui_schema *from, *to;
    bui_plan *plan = NULL;
    bus_error err;
    bui_arena shapes;
    bui_arena_init(&shapes, 0);
    assert_int_equal(bui_schema_parse(writer, strlen(writer), &from, &err), BUS_OK);
    assert_int_equal(bui_schema_parse(reader, strlen(reader), &to, &err), BUS_OK);
    const bus_shape *shape = test_shape_of(bui_schema_root(to), &shapes);
    for (long n = 1;; n++) {
        alloc_fail_at(n, false);
        bus_status status = bui_plan_between(from, to, shape, &plan, &err);
        if (!alloc_fail_off()) {
            assert_int_equal(status, BUS_OK);
            break;
        }
        if (status == BUS_OK) { /* what was only an optimisation failed */
            bui_plan_free(plan);
            plan = NULL;
            continue;
        }
        assert_int_equal(status, BUS_NOMEM);
        assert_null(plan);
    }
    bui_plan_free(plan);
    bui_arena_free(&shapes);
    bui_schema_free(from);
    bui_schema_free(to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_can_be_read),
        cmocka_unit_test(refuses_with_the_path),
        cmocka_unit_test(bounds_what_it_skips),
        cmocka_unit_test(survives_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
