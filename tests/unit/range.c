/* SPDX-License-Identifier: MIT
 * Range: what operators write about parts of topics. */
#include "ops/range.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NOW 1795240000000 /* 2026-11-21T05:46:40Z */

static bui_edge edge(const char *text)
{
    bui_edge out = { BUI_EDGE_NEVER, -7 };
    bus_error err = { 0 };
    if (bui_edge_parse(text, NOW, &out, &err) != BUS_OK)
        fail_msg("%s: %s", text, err.text);
    return out;
}

static void edges(void **state)
{
    (void)state;
    assert_int_equal(edge("start").kind, BUI_EDGE_START);
    assert_int_equal(edge("@start").kind, BUI_EDGE_START);
    assert_int_equal(edge("end").kind, BUI_EDGE_END);
    assert_int_equal(edge("120").kind, BUI_EDGE_OFFSET);
    assert_int_equal(edge("120").at, 120);
    assert_int_equal(edge("@-1h").kind, BUI_EDGE_TIME);
    assert_int_equal(edge("@-1h").at, NOW - 3600000);
    assert_int_equal(edge("@2026-11-21T05:00:00Z").at, 1795237200000);
    assert_int_equal(edge("2026-11-21T05:00:00Z").at, 1795237200000);
    assert_int_equal(edge("@1795237200000").kind, BUI_EDGE_TIME);
    assert_int_equal(edge("@1795237200000").at, 1795237200000);
}

static void bad_edges(void **state)
{
    (void)state;
    const char *const bad[] = { "", "-5", "12x", "@", "@-1 parsec", "yesterday", "99999999999999999999", "0x10" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        bui_edge out = { BUI_EDGE_NEVER, -7 };
        bus_error err = { 0 };
        if (bui_edge_parse(bad[i], NOW, &out, &err) != BUS_INVALID)
            fail_msg("\"%s\" was taken", bad[i]);
        assert_int_equal(out.at, -7); /* untouched */
        assert_non_null(strstr(err.text, "offset"));
    }
    bui_range r = { 0 };
    bui_edge e;
    bus_error err = { 0 };
    static const char *const old[] = { "@1795237200", "@120", "@99999999999" }; /* seconds, an offset */
    for (size_t i = 0; i < sizeof old / sizeof *old; i++) {
        char text[40];
        assert_int_equal(bui_edge_parse(old[i], NOW, &e, &err), BUS_INVALID);
        assert_non_null(strstr(err.text, "milliseconds"));
        snprintf(text, sizeof text, "%s:end", old[i]);
        assert_int_equal(bui_range_parse(text, NOW, &r, &err), BUS_INVALID);
        assert_non_null(strstr(err.text, "milliseconds"));
        snprintf(text, sizeof text, "5:%s", old[i]);
        assert_int_equal(bui_range_parse(text, NOW, &r, &err), BUS_INVALID);
        assert_non_null(strstr(err.text, "milliseconds"));
    }
}

static bui_range range(const char *text)
{
    bui_range out = { .topic = "kept", .partition = 3 };
    bus_error err = { 0 };
    if (bui_range_parse(text, NOW, &out, &err) != BUS_OK)
        fail_msg("%s: %s", text, err.text);
    assert_string_equal(out.topic, "kept");
    assert_int_equal(out.partition, 3);
    return out;
}

static void ranges(void **state)
{
    (void)state;
    bui_range r = range("120:180");
    assert_int_equal(r.from.at, 120);
    assert_int_equal(r.to.at, 180);
    r = range("@-1h:end");
    assert_int_equal(r.from.at, NOW - 3600000);
    assert_int_equal(r.to.kind, BUI_EDGE_END);
    r = range(":180");
    assert_int_equal(r.from.kind, BUI_EDGE_START);
    r = range("5:");
    assert_int_equal(r.to.kind, BUI_EDGE_END);
    r = range("7:7"); /* empty, and not wrong */
    assert_int_equal(r.to.at, 7);
}

static void colons_inside_times(void **state)
{
    (void)state;
    bui_range r = range("@2026-11-21T05:00:00Z:@2026-11-21T05:30:00Z");
    assert_int_equal(r.from.at, 1795237200000);
    assert_int_equal(r.to.at, 1795239000000);
    r = range("start:2026-11-21T05:00:00Z");
    assert_int_equal(r.from.kind, BUI_EDGE_START);
    assert_int_equal(r.to.at, 1795237200000);
    r = range("@2026-11-21T05:00:00Z:");
    assert_int_equal(r.from.at, 1795237200000);
    assert_int_equal(r.to.kind, BUI_EDGE_END);
}

static void bad_ranges(void **state)
{
    (void)state;
    const char *const bad[] = { "120", "180:120", "@-1h:@-2h", "a:b", "1:2:3", "end:5", "5:start", "end:@-1h" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        bui_range out = { .partition = 9, .from = { BUI_EDGE_OFFSET, 1 } };
        bus_error err = { 0 };
        if (bui_range_parse(bad[i], NOW, &out, &err) != BUS_INVALID)
            fail_msg("\"%s\" was taken", bad[i]);
        assert_int_equal(out.from.at, 1);
        assert_true(strlen(err.text) > 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(edges), cmocka_unit_test(bad_edges), cmocka_unit_test(ranges),
                                        cmocka_unit_test(colons_inside_times), cmocka_unit_test(bad_ranges) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
