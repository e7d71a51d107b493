/* SPDX-License-Identifier: MIT
 * Catalog: found by fingerprint and by name; the same text counts once; a failed addition leaves nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "codec/catalog.h"
#include "codec/wire.h"
#include "support/alloc_fail.h"
#include "support/shapes.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char first[] = "{\"type\":\"record\",\"name\":\"t.R\",\"fields\":[{\"name\":\"f\",\"type\":\"int\",\"default\":1}]}";
static const char other_default[] =
    "{\"type\":\"record\",\"name\":\"t.R\",\"fields\":[{\"name\":\"f\",\"type\":\"int\",\"default\":2}]}";

static void finds_what_was_added(void **state)
{
    (void)state;
    bus_error err;
    bui_catalog *catalog = bui_catalog_new();
    assert_int_equal(bui_catalog_add(catalog, first, strlen(first), &err), BUS_OK);
    assert_int_equal(bui_catalog_version(catalog), 1);
    assert_int_equal(bui_catalog_add(catalog, first, strlen(first), &err), BUS_OK);
    assert_int_equal(bui_catalog_version(catalog), 1);
    const bui_schema *schema = bui_catalog_named(catalog, "t.R");
    assert_string_equal(bui_schema_json(schema, NULL), first);
    /* Defaults are not in the fingerprint: another text, the same fingerprint. */
    assert_int_equal(bui_catalog_add(catalog, other_default, strlen(other_default), &err), BUS_OK);
    assert_ptr_equal(bui_catalog_find(catalog, bui_schema_fingerprint(schema)), schema);
    assert_string_equal(bui_schema_json(bui_catalog_named(catalog, "t.R"), NULL), other_default);
    assert_ptr_equal(bui_catalog_at(catalog, 0), schema);
    assert_non_null(bui_catalog_at(catalog, 1));
    assert_null(bui_catalog_at(catalog, 2));
    assert_null(bui_catalog_find(catalog, 1));
    assert_null(bui_catalog_named(catalog, "t.S"));
    assert_int_equal(bui_catalog_add(catalog, "nonsense", 8, &err), BUS_SCHEMA);
    assert_int_equal(bui_catalog_version(catalog), 2);
    bui_catalog_free(catalog);
}

static void survives_failing_allocations(void **state)
{
    (void)state;
    bui_catalog *catalog = bui_catalog_new();
    for (long n = 1;; n++) {
        bus_error err;
        alloc_fail_at(n, false);
        bus_status status = bui_catalog_add(catalog, first, strlen(first), &err);
        if (!alloc_fail_off()) {
            assert_int_equal(status, BUS_OK);
            break;
        }
        assert_int_equal(status, BUS_NOMEM);
        assert_int_equal(bui_catalog_version(catalog), 0);
        assert_null(bui_catalog_named(catalog, "t.R"));
    }
    assert_non_null(bui_catalog_named(catalog, "t.R"));
    bui_catalog_free(catalog);
}

static const char now_text[] =
    "{\"type\":\"record\",\"name\":\"t.R\",\"fields\":[{\"name\":\"g\",\"type\":\"string\",\"default\":\"new\"},"
    "{\"name\":\"f\",\"type\":\"long\"}]}";
static const char alien[] = "{\"type\":\"record\",\"name\":\"t.R\",\"fields\":[]}";

typedef struct now {
    bus_string g;
    int64_t f;
} now;

/* A type as the schema compiler would make it. */
static bus_type type_of(const bui_schema *schema, bui_arena *arena)
{
    return (bus_type){ .layout = BUS_TYPE_LAYOUT,
                       .name = bui_schema_name(schema),
                       .json = bui_schema_json(schema, NULL),
                       .canonical = bui_schema_canonical(schema),
                       .fingerprint = bui_schema_fingerprint(schema),
                       .shape = test_shape_of(bui_schema_root(schema), arena) };
}

static void frame(const char *json, const char *body, size_t len, uint8_t *out)
{
    bui_schema *schema;
    bus_error err;
    assert_int_equal(bui_schema_parse(json, strlen(json), &schema, &err), BUS_OK);
    bui_wire_frame(bui_schema_fingerprint(schema), out);
    memcpy(out + BUI_WIRE_FRAMING, body, len);
    bui_schema_free(schema);
}

static void decodes_every_version(void **state)
{
    (void)state;
    bus_error err;
    bui_schema *schema;
    bui_arena arena;
    bui_arena_init(&arena, 0);
    uint8_t old[BUI_WIRE_FRAMING + 1], same[BUI_WIRE_FRAMING + 3], other[BUI_WIRE_FRAMING];
    const void *body = NULL;
    bui_catalog *catalog = bui_catalog_new();
    assert_int_equal(bui_schema_parse(now_text, strlen(now_text), &schema, &err), BUS_OK);
    bus_type type = type_of(schema, &arena);
    frame(first, "\x0c", 1, old);
    frame(now_text, "\x02x\x0e", 3, same);
    frame(alien, "", 0, other);
    assert_int_equal(bui_catalog_decode(catalog, &type, same, sizeof same, &arena, &body, &err), BUS_OK);
    assert_int_equal(((const now *)body)->f, 7);
    assert_int_equal(bui_catalog_decode(catalog, &type, old, sizeof old, &arena, &body, &err), BUS_MISSING);
    assert_int_equal(bui_catalog_add(catalog, first, strlen(first), &err), BUS_OK);
    assert_int_equal(bui_catalog_add(catalog, alien, strlen(alien), &err), BUS_OK);
    for (int i = 0; i < 3; i++) { /* the first time the plan is made, then it is found */
        assert_int_equal(bui_catalog_decode(catalog, &type, old, sizeof old, &arena, &body, &err), BUS_OK);
        assert_int_equal(((const now *)body)->f, 6);
        assert_true(bus_string_is(((const now *)body)->g, "new"));
        assert_int_equal(bui_catalog_decode(catalog, &type, other, sizeof other, &arena, &body, &err), BUS_SCHEMA);
        assert_non_null(strstr(err.text, "another version of its schema"));
        assert_non_null(strstr(err.text, "t.R.f: the writer's t.R has no such field, and it has no default"));
        assert_int_equal(bui_catalog_decode(catalog, &type, old, sizeof old - 1, &arena, &body, &err), BUS_CORRUPT);
        assert_string_equal(err.text, "t.R.f: at byte 10: a number is cut off after 0 bytes");
        assert_int_equal(bui_catalog_decode(catalog, &type, "plain", 5, &arena, &body, &err), BUS_CORRUPT);
    }
    /* Once warm, nothing is allocated. */
    bui_arena_reset(&arena);
    alloc_fail_at(1, false);
    bus_status status = bui_catalog_decode(catalog, &type, old, sizeof old, &arena, &body, &err);
    assert_false(alloc_fail_off());
    assert_int_equal(status, BUS_OK);
    bui_catalog_free(catalog);
    bui_schema_free(schema);
    bui_arena_free(&arena);
}

/* A flood on bus.schemas: the memory is bounded, what was known before it still serves, and the refusal says what to do. */
static void takes_no_more_than_it_may(void **state)
{
    (void)state;
    bus_error err = { 0 };
    char text[200];
    size_t taken = 0;
    bui_catalog *catalog = bui_catalog_new();
    assert_int_equal(bui_catalog_add(catalog, first, strlen(first), &err), BUS_OK);
    for (size_t i = 0; i < BUI_CATALOG_MOST + 10; i++) {
        int len = snprintf(text, sizeof text, "{\"type\":\"fixed\",\"name\":\"flood.F%zu\",\"size\":1}", i);
        bus_status status = bui_catalog_add(catalog, text, (size_t)len, &err);
        assert_int_equal(status, i + 1 < BUI_CATALOG_MOST ? BUS_OK : BUS_FULL);
        taken += status == BUS_OK;
    }
    assert_int_equal(taken, BUI_CATALOG_MOST - 1);
    assert_string_equal(err.text,
                        "10000 schemas are known here, the most that are kept: delete those that no event needs any more "
                        "from bus.schemas and start again");
    assert_int_equal(bui_catalog_room(catalog, 1, &err), BUS_FULL);
    assert_int_equal(bui_catalog_version(catalog), BUI_CATALOG_MOST);
    assert_int_equal(bui_catalog_add(catalog, first, strlen(first), &err), BUS_OK);
    assert_non_null(bui_catalog_named(catalog, "t.R"));
    bui_framing reference = { .kind = BUI_FRAMED_ID, .reference = { 0, 0, 0, 0, 7 }, .reference_len = 5 };
    assert_int_equal(bui_catalog_bind(catalog, &reference, first, strlen(first), &err), BUS_OK);
    assert_int_equal(bui_catalog_bind(catalog, &reference, "\"long\"", 6, &err), BUS_FULL);
    bui_catalog_free(catalog);
}

static void takes_no_more_text_than_it_may(void **state)
{
    (void)state;
    bus_error err = { 0 };
    const size_t big = BUI_SCHEMA_MAX_BYTES - 100;
    char *text = malloc(big);
    assert_non_null(text);
    bui_catalog *catalog = bui_catalog_new();
    size_t taken = 0;
    bus_status status = BUS_OK;
    for (; status == BUS_OK && taken < 1000; taken += status == BUS_OK) {
        memset(text, ' ', big);
        int len = snprintf(text, big, "{\"type\":\"fixed\",\"name\":\"flood.F%zu\",\"size\":1,\"doc\":\"", taken);
        memset(text + len, 'x', big - (size_t)len - 2);
        memcpy(text + big - 2, "\"}", 2);
        status = bui_catalog_add(catalog, text, big, &err);
    }
    assert_int_equal(status, BUS_FULL);
    assert_int_equal(taken, BUI_CATALOG_BYTES / big);
    assert_non_null(strstr(err.text, "over 16777216 bytes"));
    assert_int_equal(bui_catalog_add(catalog, first, strlen(first), &err), BUS_OK); /* a small one still fits */
    free(text);
    bui_catalog_free(catalog);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(finds_what_was_added), cmocka_unit_test(decodes_every_version),
                                        cmocka_unit_test(survives_failing_allocations),
                                        cmocka_unit_test(takes_no_more_than_it_may),
                                        cmocka_unit_test(takes_no_more_text_than_it_may) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
