/* SPDX-License-Identifier: MIT
 * Compatibility: the cases of Apache Avro's Java tests (TestSchemaCompatibility and its siblings, Apache License 2.0) under
 * their names there, each with our text where it is refused; and the levels over several versions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "codec/compatibility.h"
#include "support/alloc_fail.h"
#include "support/parsed.h"
#include <stdio.h>
#include <string.h>

#define ENUM(name, symbols) "{\"type\":\"enum\",\"name\":\"" name "\",\"symbols\":[" symbols "]}"
#define ENUM_DEFAULT(name, symbols, preset) \
    "{\"type\":\"enum\",\"name\":\"" name "\",\"symbols\":[" symbols "],\"default\":\"" preset "\"}"
#define RECORD(name, fields) "{\"type\":\"record\",\"name\":\"" name "\",\"fields\":[" fields "]}"
#define FIELD(name, type) "{\"name\":\"" name "\",\"type\":" type "}"
#define WITH(name, type, preset) "{\"name\":\"" name "\",\"type\":" type ",\"default\":" preset "}"
#define ARRAY(type) "{\"type\":\"array\",\"items\":" type "}"
#define MAP(type) "{\"type\":\"map\",\"values\":" type "}"
#define FIXED(name, n) "{\"type\":\"fixed\",\"name\":\"" name "\",\"size\":" n "}"

#define NULL_S "\"null\""
#define BOOLEAN "\"boolean\""
#define INT "\"int\""
#define LONG "\"long\""
#define FLOAT "\"float\""
#define DOUBLE "\"double\""
#define STRING "\"string\""
#define BYTES "\"bytes\""
#define AB "\"A\",\"B\""
#define ABC "\"A\",\"B\",\"C\""
#define ENUM1_AB ENUM("Enum1", AB)
#define ENUM1_ABC ENUM("Enum1", ABC)
#define ENUM1_BC ENUM("Enum1", "\"B\",\"C\"")
#define ENUM2_AB ENUM("Enum2", AB)
#define UNION(branches) "[" branches "]"
#define INT_STRING INT "," STRING
#define INT_LONG_FLOAT_DOUBLE INT "," LONG "," FLOAT "," DOUBLE
#define FIXED_4 FIXED("Fixed", "4")
#define FIXED_8 FIXED("Fixed", "8")
#define RECORD1(fields) RECORD("Record1", fields)
#define A_INT FIELD("a", INT)
#define A_DINT WITH("a", INT, "0")
#define B_INT FIELD("b", INT)
#define B_DINT WITH("b", INT, "0")
#define NS_RECORD(space) RECORD1(FIELD("f1", UNION(NULL_S "," ARRAY(RECORD(space ".InnerRecord1", FIELD("a", INT))))))
/* Java's have no end; here the tail is optional. */
#define LIST(head) RECORD("List", FIELD("head", head) "," FIELD("tail", UNION(NULL_S ",\"List\"")))
#define FIELD1(name, type) RECORD(name, FIELD("field1", type))

static bus_status check(const char *reader, const char *writer, bus_error *err)
{
    bui_schema *to = test_schema(reader), *from = test_schema(writer);
    err->text[0] = '\0';
    bus_status status = bui_compatible_read(from, to, err);
    bui_schema_free(to);
    bui_schema_free(from);
    return status;
}

static void says_yes_as_java_does(void **state)
{
    (void)state;
    static const struct {
        const char *reader, *writer;
    } cases[] = {
        { BOOLEAN, BOOLEAN },
        { INT, INT },
        { LONG, INT },
        { LONG, LONG },
        { FLOAT, INT },
        { FLOAT, LONG },
        { DOUBLE, LONG },
        { DOUBLE, INT },
        { DOUBLE, FLOAT },
        { STRING, STRING },
        { BYTES, BYTES },
        { ARRAY(INT), ARRAY(INT) },
        { ARRAY(LONG), ARRAY(INT) },
        { MAP(INT), MAP(INT) },
        { MAP(LONG), MAP(INT) },
        { ENUM1_AB, ENUM1_AB },
        { ENUM1_ABC, ENUM1_AB },
        { ENUM_DEFAULT("Enum1", AB, "A"), ENUM1_ABC },
        { ENUM1_AB, ENUM("namespace1.Enum1", AB) },
        { ENUM("namespace1.Enum1", AB), ENUM1_AB },
        { ENUM("namespace1.Enum1", AB), ENUM("namespace2.Enum1", AB) },
        { STRING, BYTES },
        { BYTES, STRING },
        { UNION(""), UNION("") },
        { UNION(FLOAT), UNION("") },
        { UNION(FLOAT), UNION(INT) },
        { UNION(FLOAT), UNION(LONG) },
        { UNION(FLOAT), UNION(INT "," LONG) },
        { UNION(INT), UNION(INT) },
        { UNION(INT_STRING), UNION(STRING "," INT) },
        { UNION(INT), UNION("") },
        { UNION(LONG), UNION("") },
        { UNION(LONG), UNION(INT) },
        { UNION(DOUBLE), UNION(INT) },
        { UNION(DOUBLE), UNION(LONG) },
        { UNION(DOUBLE), UNION(FLOAT) },
        { UNION(STRING), UNION("") },
        { UNION(STRING), UNION(BYTES) },
        { UNION(BYTES), UNION("") },
        { UNION(BYTES), UNION(STRING) },
        { UNION(DOUBLE), UNION(INT "," FLOAT) },
        { FLOAT, UNION(INT "," FLOAT) },
        { LONG, UNION(INT "," LONG) },
        { DOUBLE, UNION(INT "," FLOAT) },
        { DOUBLE, UNION(INT_LONG_FLOAT_DOUBLE) },
        { FLOAT, UNION(FLOAT) },
        { UNION(INT), INT },
        { INT, UNION(INT) },
        { FIXED_4, FIXED_4 },
        { RECORD1(""), RECORD1("") },
        { RECORD1(""), RECORD1(A_INT) },
        { RECORD1(A_INT), RECORD1(A_INT) },
        { RECORD1(A_DINT), RECORD1(A_INT) },
        { RECORD1(A_DINT), RECORD1(A_DINT) },
        { RECORD1(A_INT), RECORD1(A_DINT) },
        { RECORD1(FIELD("a", LONG)), RECORD1(A_INT) },
        { RECORD1(A_INT), RECORD1(A_INT "," B_INT) },
        { RECORD1(A_DINT), RECORD1(A_INT "," B_INT) },
        { RECORD1(A_INT "," B_DINT), RECORD1(A_INT) },
        { RECORD1(A_DINT "," B_DINT), RECORD1("") },
        { RECORD1(A_DINT "," B_DINT), RECORD1(A_INT) },
        { RECORD1(A_INT "," B_INT), RECORD1(A_DINT "," B_DINT) },
        { LIST(INT), LIST(INT) },
        { LIST(LONG), LIST(LONG) },
        { LIST(LONG), LIST(INT) },
        { NULL_S, NULL_S },
        { RECORD("Record", FIELD("Field", ENUM_DEFAULT("Schema", AB, "A"))),
          RECORD("Record", FIELD("Field", ENUM_DEFAULT("Schema", ABC, "A"))) },
        { RECORD("Record", WITH("Field", ENUM_DEFAULT("Schema", AB, "B"), "\"A\"")),
          RECORD("Record", WITH("Field", ENUM_DEFAULT("Schema", ABC, "A"), "\"B\"")) },
        { NS_RECORD("ns1"), NS_RECORD("ns2") },
        { RECORD("Record", FIELD("f1", INT)), RECORD("ns.Record", FIELD("f1", INT)) },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bus_error err;
        if (check(cases[i].reader, cases[i].writer, &err) != BUS_OK)
            fail_msg("%s cannot read %s: %s", cases[i].reader, cases[i].writer, err.text);
    }
}

static void says_no_as_java_does(void **state)
{
    (void)state;
    static const struct {
        const char *reader, *writer, *text;
    } cases[] = {
        /* FixedSizeMismatch */
        { FIXED_4, FIXED_8, "Fixed: the writer's Fixed has 8 bytes, the reader's 4" },
        { FIXED_8, FIXED_4, "Fixed: the writer's Fixed has 4 bytes, the reader's 8" },
        { RECORD1(A_DINT "," FIELD("b", FIXED_8)), RECORD1(A_DINT "," FIELD("b", FIXED_4)),
          "Record1.b: the writer's Fixed has 4 bytes, the reader's 8" },
        { RECORD1(A_DINT "," FIELD("b", FIXED_4)), RECORD1(A_DINT "," FIELD("b", FIXED_8)),
          "Record1.b: the writer's Fixed has 8 bytes, the reader's 4" },
        /* MissingEnumSymbols */
        { ENUM1_AB, ENUM1_ABC, "Enum1: the writer's symbol \"C\" is not among the reader's, which has no default" },
        { ENUM1_BC, ENUM1_ABC, "Enum1: the writer's symbol \"A\" is not among the reader's, which has no default" },
        { FIELD1("Record1", ENUM1_AB), FIELD1("Record1", ENUM1_ABC),
          "Record1.field1: the writer's symbol \"C\" is not among the reader's, which has no default" },
        /* MissingUnionBranch */
        { UNION(INT), UNION(INT_STRING), "union: the writer has string, which is not one of the union's branches" },
        { UNION(STRING), UNION(INT_STRING), "union: the writer has int, which is not one of the union's branches" },
        { UNION(INT), UNION(INT "," FIELD1("Record1", INT)),
          "union: the writer has Record1, which is not one of the union's branches" },
        { UNION(INT), UNION(INT "," FIELD1("Record2", INT)),
          "union: the writer has Record2, which is not one of the union's branches" },
        { UNION(INT "," FIELD1("Record1", INT)), UNION(INT "," FIELD1("Record2", INT)),
          "union: the writer has Record2, which is not one of the union's branches" },
        { UNION(INT), UNION(INT "," ENUM1_AB), "union: the writer has Enum1, which is not one of the union's branches" },
        { UNION(INT), UNION(INT "," FIXED_4), "union: the writer has Fixed, which is not one of the union's branches" },
        { UNION(INT), UNION(INT "," BOOLEAN), "union: the writer has boolean, which is not one of the union's branches" },
        { UNION(INT), UNION(LONG), "union: the writer has long, which is not one of the union's branches" },
        { UNION(INT), UNION(FLOAT), "union: the writer has float, which is not one of the union's branches" },
        { UNION(INT), UNION(DOUBLE), "union: the writer has double, which is not one of the union's branches" },
        { UNION(INT), UNION(BYTES), "union: the writer has bytes, which is not one of the union's branches" },
        { UNION(INT), UNION(INT "," ARRAY(INT)), "union: the writer has array, which is not one of the union's branches" },
        { UNION(INT), UNION(INT "," MAP(INT)), "union: the writer has map, which is not one of the union's branches" },
        { UNION(INT), UNION(INT "," NULL_S), "union: the writer has null, which is not one of the union's branches" },
        { UNION(INT), UNION(INT_LONG_FLOAT_DOUBLE), "union: the writer has long, which is not one of the union's branches" },
        { RECORD1(A_DINT "," WITH("b", UNION(INT), "0")), RECORD1(A_DINT "," WITH("b", UNION(INT_STRING), "0")),
          "Record1.b: the writer has string, which is not one of the union's branches" },
        { UNION(INT_STRING), UNION(INT_STRING "," LONG), "union: the writer has long, which is not one of the union's branches" },
        /* NameMismatch */
        { ENUM1_AB, ENUM2_AB, "Enum1: the writer has Enum2 where the reader has Enum1, without an alias for it" },
        { RECORD("Record2", ""), RECORD1(""),
          "Record2: the writer has Record1 where the reader has Record2, without an alias for it" },
        { FIXED_4, FIXED("AnotherName", "4"),
          "Fixed: the writer has AnotherName where the reader has Fixed, without an alias for it" },
        { RECORD1(A_DINT "," FIELD("b", ENUM1_AB)), RECORD1(A_DINT "," FIELD("b", ENUM2_AB)),
          "Record1.b: the writer has Enum2 where the reader has Enum1, without an alias for it" },
        /* ReaderFieldMissingDefaultValue */
        { RECORD1(A_INT), RECORD1(""), "Record1.a: the writer's Record1 has no such field, and it has no default" },
        { RECORD1(A_INT "," B_DINT), RECORD1(""), "Record1.a: the writer's Record1 has no such field, and it has no default" },
        /* TypeMismatch */
        { NULL_S, INT, "null: the writer has int where the reader has null" },
        { NULL_S, LONG, "null: the writer has long where the reader has null" },
        { BOOLEAN, INT, "boolean: the writer has int where the reader has boolean" },
        { INT, NULL_S, "int: the writer has null where the reader has int" },
        { INT, BOOLEAN, "int: the writer has boolean where the reader has int" },
        { INT, LONG, "int: the writer has long where the reader has int" },
        { INT, FLOAT, "int: the writer has float where the reader has int" },
        { INT, DOUBLE, "int: the writer has double where the reader has int" },
        { LONG, FLOAT, "long: the writer has float where the reader has long" },
        { LONG, DOUBLE, "long: the writer has double where the reader has long" },
        { FLOAT, DOUBLE, "float: the writer has double where the reader has float" },
        { DOUBLE, STRING, "double: the writer has string where the reader has double" },
        { FIXED_4, STRING, "Fixed: the writer has string where the reader has Fixed" },
        { STRING, BOOLEAN, "string: the writer has boolean where the reader has string" },
        { STRING, INT, "string: the writer has int where the reader has string" },
        { BYTES, NULL_S, "bytes: the writer has null where the reader has bytes" },
        { BYTES, INT, "bytes: the writer has int where the reader has bytes" },
        { RECORD1(A_INT), INT, "Record1: the writer has int where the reader has Record1" },
        { ARRAY(INT), ARRAY(LONG), "array[]: the writer has long where the reader has int" },
        { MAP(INT), ARRAY(INT), "map: the writer has array where the reader has map" },
        { ARRAY(INT), MAP(INT), "array: the writer has map where the reader has array" },
        { MAP(INT), MAP(LONG), "map{}: the writer has long where the reader has int" },
        { INT, ENUM2_AB, "int: the writer has Enum2 where the reader has int" },
        { ENUM2_AB, INT, "Enum2: the writer has int where the reader has Enum2" },
        { FLOAT, UNION(INT_LONG_FLOAT_DOUBLE), "float: the writer has double where the reader has float" },
        { LONG, UNION(INT "," FLOAT), "long: the writer has float where the reader has long" },
        { INT, UNION(INT "," FLOAT), "int: the writer has float where the reader has int" },
        { LIST(INT), LIST(LONG), "List.head: the writer has long where the reader has int" },
        { FIELD1("Account", INT), FIELD1("Account", UNION(NULL_S "," INT)),
          "Account.field1: the writer has null where the reader has int" },
        /* EnumDefaults: the field's default is not the enum's */
        { RECORD1(WITH("field1", ENUM1_AB, "\"A\"")), FIELD1("Record1", ENUM1_ABC),
          "Record1.field1: the writer's symbol \"C\" is not among the reader's, which has no default" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bus_error err;
        bus_status status = check(cases[i].reader, cases[i].writer, &err);
        if (status != BUS_SCHEMA || strcmp(err.text, cases[i].text) != 0)
            fail_msg("%s reading %s: \"%s\", not \"%s\"", cases[i].reader, cases[i].writer, err.text, cases[i].text);
    }
}

static void weighs_the_levels(void **state)
{
    (void)state;
    /* one -> two adds a field with a default (full); two -> three requires it: backward only against two. */
    bui_schema *one = test_schema(RECORD1(A_INT)), *two = test_schema(RECORD1(A_INT "," B_DINT)),
               *three = test_schema(RECORD1(A_INT "," B_INT)), *wide = test_schema(RECORD1(FIELD("a", LONG)));
    const bui_schema *history[] = { one, two };
    bus_error err;
    static const struct {
        const char *level;
        bus_status three, wide;
    } cases[] = {
        { "none", BUS_OK, BUS_OK },
        { "backward", BUS_OK, BUS_OK },
        { "BACKWARD_TRANSITIVE", BUS_SCHEMA, BUS_OK },
        { "forward", BUS_OK, BUS_SCHEMA },
        { "forward-transitive", BUS_OK, BUS_SCHEMA },
        { "Full", BUS_OK, BUS_SCHEMA },
        { "full-transitive", BUS_SCHEMA, BUS_SCHEMA },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bui_compatibility level;
        assert_true(bui_compatibility_of(cases[i].level, &level));
        assert_int_equal((size_t)level, i);
        assert_int_equal(bui_compatible(level, three, history, 2, &err), cases[i].three);
        assert_int_equal(bui_compatible(level, wide, history, 2, &err), cases[i].wide);
        assert_int_equal(bui_compatible(level, three, NULL, 0, &err), BUS_OK);
    }
    assert_int_equal(bui_compatible(BUI_COMPATIBILITY_BACKWARD_TRANSITIVE, three, history, 2, &err), BUS_SCHEMA);
    char expected[300];
    snprintf(expected, sizeof expected,
             "not backward-transitive compatible with version %016llx: the new schema cannot read what that wrote: "
             "Record1.b: the writer's Record1 has no such field, and it has no default",
             (unsigned long long)bui_schema_fingerprint(one));
    assert_string_equal(err.text, expected);
    bui_compatibility level = BUI_COMPATIBILITY_FULL;
    assert_false(bui_compatibility_of("sideways", &level));
    assert_false(bui_compatibility_of("backward-", &level));
    assert_false(bui_compatibility_of("", &level));
    assert_int_equal(level, BUI_COMPATIBILITY_FULL);
    assert_string_equal(bui_compatibility_name(BUI_COMPATIBILITY_FULL_TRANSITIVE), "full-transitive");
    bui_schema_free(one);
    bui_schema_free(two);
    bui_schema_free(three);
    bui_schema_free(wide);
}

static void survives_failing_allocations(void **state)
{
    (void)state;
    bui_schema *reader = test_schema(LIST(LONG)), *writer = test_schema(LIST(INT));
    for (long n = 1;; n++) {
        bus_error err = { .status = BUS_OK };
        alloc_fail_at(n, false);
        bus_status status = bui_compatible_read(writer, reader, &err);
        if (!alloc_fail_off()) {
            assert_int_equal(status, BUS_OK);
            break;
        }
        assert_int_equal(status, BUS_NOMEM);
    }
    bui_schema_free(reader);
    bui_schema_free(writer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_yes_as_java_does),
        cmocka_unit_test(says_no_as_java_does),
        cmocka_unit_test(weighs_the_levels),
        cmocka_unit_test(survives_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
