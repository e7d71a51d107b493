/* SPDX-License-Identifier: MIT
 * Catalog: found by fingerprint and by name; the same text counts once; a failed addition leaves nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "codec/catalog.h"
#include "support/alloc_fail.h"
#include <string.h>

static const char first[] = "{\"type\":\"record\",\"name\":\"t.R\",\"fields\":[{\"name\":\"f\",\"type\":\"int\",\"default\":1}]}";
static const char other_default[] = "{\"type\":\"record\",\"name\":\"t.R\",\"fields\":[{\"name\":\"f\",\"type\":\"int\",\"default\":2}]}";

static void finds_what_was_added(void **state)
{
    (void)state;
    bus_error err;
    bus_catalog *catalog = bus_catalog_new();
    assert_int_equal(bus_catalog_add(catalog, first, strlen(first), &err), BUS_OK);
    assert_int_equal(bus_catalog_version(catalog), 1);
    assert_int_equal(bus_catalog_add(catalog, first, strlen(first), &err), BUS_OK);
    assert_int_equal(bus_catalog_version(catalog), 1);
    const bus_schema *schema = bus_catalog_named(catalog, "t.R");
    assert_string_equal(bus_schema_json(schema, NULL), first);
    /* Defaults are not in the fingerprint: another text, the same fingerprint. */
    assert_int_equal(bus_catalog_add(catalog, other_default, strlen(other_default), &err), BUS_OK);
    assert_ptr_equal(bus_catalog_find(catalog, bus_schema_fingerprint(schema)), schema);
    assert_string_equal(bus_schema_json(bus_catalog_named(catalog, "t.R"), NULL), other_default);
    assert_ptr_equal(bus_catalog_at(catalog, 0), schema);
    assert_non_null(bus_catalog_at(catalog, 1));
    assert_null(bus_catalog_at(catalog, 2));
    assert_null(bus_catalog_find(catalog, 1));
    assert_null(bus_catalog_named(catalog, "t.S"));
    assert_int_equal(bus_catalog_add(catalog, "nonsense", 8, &err), BUS_SCHEMA);
    assert_int_equal(bus_catalog_version(catalog), 2);
    bus_catalog_free(catalog);
}

static void survives_failing_allocations(void **state)
{
    (void)state;
    bus_catalog *catalog = bus_catalog_new();
    for (long n = 1;; n++) {
        bus_error err;
        alloc_fail_at(n, false);
        bus_status status = bus_catalog_add(catalog, first, strlen(first), &err);
        if (!alloc_fail_off()) {
            assert_int_equal(status, BUS_OK);
            break;
        }
        assert_int_equal(status, BUS_NOMEM);
        assert_int_equal(bus_catalog_version(catalog), 0);
        assert_null(bus_catalog_named(catalog, "t.R"));
    }
    assert_non_null(bus_catalog_named(catalog, "t.R"));
    bus_catalog_free(catalog);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(finds_what_was_added), cmocka_unit_test(survives_failing_allocations) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
