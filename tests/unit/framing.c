/* SPDX-License-Identifier: MIT
 * Framing: the kinds are told apart, and what a registry is asked about them. */
#include "codec/framing.h"

#include "codec/catalog.h"
#include "codec/wire.h"
#include "support/shapes.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static bui_framing read(const char *value, size_t len, const char *header, size_t header_len)
{
    bui_framing out;
    bui_framing_read(value, len, (bui_slice){ header, header_len }, &out);
    return out;
}

static void tells_kinds_apart(void **state)
{
    (void)state;
    char question[BUI_QUESTION];
    bui_framing f = read("\xC3\x01\x01\0\0\0\0\0\0\0x", 11, NULL, 0);
    assert_true(f.kind == BUI_FRAMED_FINGERPRINT && f.fingerprint == 1 && f.skip == 10);
    bui_framing_question(&f, question);
    assert_string_equal(question, "");
    f = read("\0\0\0\1\2x", 6, NULL, 0);
    assert_true(f.kind == BUI_FRAMED_ID && f.skip == 5 && f.reference_len == 5);
    bui_framing_question(&f, question);
    assert_string_equal(question, "schemas/ids/258");
    const char guid[] = "\1\x12\x34\x56\x78\x9a\xbc\xde\xf0\x12\x34\x56\x78\x9a\xbc\xde\xf0";
    f = read(guid, 17, NULL, 0);
    assert_true(f.kind == BUI_FRAMED_GUID && f.skip == 17 && f.reference_len == 17);
    bui_framing_question(&f, question);
    assert_string_equal(question, "schemas/guids/12345678-9abc-def0-1234-56789abcdef0");
    /* The header stands for the framing: all of the value is the body, whatever it begins with. */
    f = read("\0\0\0\1\2x", 6, guid, 17);
    assert_true(f.kind == BUI_FRAMED_GUID && f.skip == 0);
    f = read("\xC3\x01\x01\0\0\0\0\0\0\0x", 11, "\0\0\0\0\5", 5);
    assert_true(f.kind == BUI_FRAMED_ID && f.skip == 0);
    /* A header that holds no reference is not ours to judge. */
    f = read("\0\0\0\1\2x", 6, "\7abc", 4);
    assert_true(f.kind == BUI_FRAMED_ID && f.skip == 5);
    assert_int_equal(read("\0\0\0\1", 4, NULL, 0).kind, BUI_FRAMED_NOT);
    assert_int_equal(read(guid, 16, NULL, 0).kind, BUI_FRAMED_NOT);
    assert_int_equal(read("plain", 5, NULL, 0).kind, BUI_FRAMED_NOT);
    assert_int_equal(read("", 0, "", 0).kind, BUI_FRAMED_NOT);
    assert_int_equal(read(NULL, 0, NULL, 0).kind, BUI_FRAMED_NOT);
    const bus_header headers[] = { { "other", "x", 1 }, { "__value_schema_id", guid, 17 } };
    bui_framing_of("x", 1, headers, 2, &f);
    assert_true(f.kind == BUI_FRAMED_GUID && f.skip == 0);
}

static void reads_questions_back(void **state)
{
    (void)state;
    static const char *const good[] = { "schemas/ids/0", "schemas/ids/4294967295",
                                        "schemas/guids/12345678-9abc-def0-1234-56789abcdef0" };
    static const char *const bad[] = { "schemas/ids/",
                                       "schemas/ids/-1",
                                       "schemas/ids/4294967296",
                                       "schemas/ids/7x",
                                       "schemas/guids/12",
                                       "subjects/a/versions",
                                       "" };
    bui_framing f = { .kind = BUI_FRAMED_NOT };
    char question[BUI_QUESTION];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(bui_framing_of_question(bad[i], &f));
    assert_int_equal(f.kind, BUI_FRAMED_NOT);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(bui_framing_of_question(good[i], &f));
        bui_framing_question(&f, question);
        assert_string_equal(question, good[i]);
    }
}

static const char old_text[] = "{\"type\":\"record\",\"name\":\"t.R\",\"fields\":[{\"name\":\"f\",\"type\":\"long\"}]}";
static const char own_text[] =
    "{\"type\":\"record\",\"name\":\"t.R\",\"fields\":[{\"name\":\"g\",\"type\":\"string\",\"default\":\"new\"},"
    "{\"name\":\"f\",\"type\":\"long\"}]}";
typedef struct body {
    bus_string g;
    int64_t f;
} body;

static void decodes_by_reference(void **state)
{
    (void)state;
    bus_error err;
    bui_schema *schema;
    bui_arena arena;
    const void *at = NULL;
    bui_framing f;
    bui_catalog *catalog = bui_catalog_new();
    bui_arena_init(&arena, 0);
    assert_int_equal(bui_schema_parse(own_text, sizeof own_text - 1, &schema, &err), BUS_OK);
    bus_type type = { .layout = BUS_TYPE_LAYOUT,
                      .name = "t.R",
                      .json = own_text,
                      .canonical = bui_schema_canonical(schema),
                      .fingerprint = bui_schema_fingerprint(schema),
                      .shape = test_shape_of(bui_schema_root(schema), &arena) };
    bui_buf out;
    bui_buf_init(&out, 0);
    uint8_t framing[BUI_CONFLUENT_FRAMING];
    bui_framing_write_id(7, framing);
    body said = { BUS_STR("a"), 3 };
    assert_int_equal(bui_wire_encode_with(&type, framing, sizeof framing, &said, &out, &err), BUS_OK);
    assert_int_equal(out.len, 8);
    assert_memory_equal(out.data, "\0\0\0\0\7\2a\6", 8);

    bui_framing_read(out.data, out.len, (bui_slice){ 0 }, &f);
    assert_null(bui_catalog_writer(catalog, &f));
    assert_int_equal(bui_catalog_decode_framed(catalog, &f, &type, out.data, out.len, &arena, &at, &err), BUS_MISSING);
    assert_string_equal(err.text,
                        "written with the schema that a registry calls schemas/ids/7, which is not known here; expected t.R");
    uint64_t version = bui_catalog_version(catalog);
    assert_int_equal(bui_catalog_bind(catalog, &f, own_text, sizeof own_text - 1, &err), BUS_OK);
    assert_true(bui_catalog_version(catalog) > version);
    assert_int_equal(bui_catalog_decode_framed(catalog, &f, &type, out.data, out.len, &arena, &at, &err), BUS_OK);
    assert_true(bus_string_is(((const body *)at)->g, "a") && ((const body *)at)->f == 3);
    assert_int_equal(bui_catalog_decode_framed(catalog, &f, &type, out.data, out.len - 1, &arena, &at, &err), BUS_CORRUPT);

    /* A known schema under a new reference is news, too. */
    version = bui_catalog_version(catalog);
    bui_framing other;
    assert_true(bui_framing_of_question("schemas/ids/8", &other));
    assert_int_equal(bui_catalog_bind(catalog, &other, own_text, sizeof own_text - 1, &err), BUS_OK);
    assert_true(bui_catalog_version(catalog) > version);
    assert_int_equal(bui_catalog_bind(catalog, &other, "nonsense", 8, &err), BUS_SCHEMA);

    /* Another version, by a header; the body is all of the value. */
    bui_framing_read("\x0a", 1, (bui_slice){ "\0\0\0\0\11", 5 }, &f);
    assert_int_equal(bui_catalog_bind(catalog, &f, old_text, sizeof old_text - 1, &err), BUS_OK);
    assert_int_equal(bui_catalog_decode_framed(catalog, &f, &type, "\x0a", 1, &arena, &at, &err), BUS_OK);
    assert_true(bus_string_is(((const body *)at)->g, "new") && ((const body *)at)->f == 5);
    assert_string_equal(bui_schema_json(bui_catalog_writer(catalog, &f), NULL), old_text);
    bui_buf_free(&out);
    bui_catalog_free(catalog);
    bui_schema_free(schema);
    bui_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(tells_kinds_apart), cmocka_unit_test(reads_questions_back),
                                        cmocka_unit_test(decodes_by_reference) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
