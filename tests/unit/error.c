/* SPDX-License-Identifier: MIT
 * Errors: texts are bounded lines of UTF-8, flags follow from the status. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/error.h"
#include <string.h>

static void names_every_status(void **state)
{
    (void)state;
    for (int s = BUS_OK; s <= BUS_BUG; s++)
        assert_int_equal(strncmp(bus_status_name((bus_status)s), "BUS_", 4), 0);
    assert_string_equal(bus_status_name(BUS_REFUSED), "BUS_REFUSED");
    assert_string_equal(bus_status_name((bus_status)999), "BUS_UNKNOWN");
    assert_string_equal(bus_status_name((bus_status)-1), "BUS_UNKNOWN");
}

static void fills_text_and_flags(void **state)
{
    (void)state;
    bus_error err = { .fatal = true };
    assert_int_equal(bui_fail(&err, BUS_LOCKED, "shard %d is held", 3), BUS_LOCKED);
    assert_int_equal(err.status, BUS_LOCKED);
    assert_string_equal(err.text, "shard 3 is held");
    assert_true(err.retriable);
    assert_false(err.fatal);
    (void)bui_fail(&err, BUS_CONFIG, "no");
    assert_false(err.retriable);
    assert_int_equal(bui_fail(NULL, BUS_IO, "nobody listens"), BUS_IO);
    assert_int_equal(bui_fail_nomem(&err), BUS_NOMEM);
    assert_true(err.retriable);
}

static void cuts_at_a_character(void **state)
{
    (void)state;
    bus_error err;
    char text[1200];
    /* 499 is odd: two-byte characters cannot fill it */
    for (size_t i = 0; i < 1199; i += 2)
        memcpy(text + i, "\xC3\xA4", 2);
    text[1198] = 0;
    (void)bui_fail(&err, BUS_INVALID, "%s", text);
    assert_int_equal(strlen(err.text), 498);
    assert_memory_equal(err.text, text, 498);
    /* four-byte characters, one of them after a shift */
    for (size_t i = 0; i + 4 < sizeof text; i += 4)
        memcpy(text + i, "\xF0\x9F\x9A\x8C", 4);
    text[1196] = 0;
    (void)bui_fail(&err, BUS_INVALID, "x%s", text);
    assert_int_equal(strlen(err.text), 497);
}

static void keeps_to_one_line_of_utf8(void **state)
{
    (void)state;
    bus_error err;
    (void)bui_fail(&err, BUS_INVALID, "%s",
                   "a\nb\tc\x7F\x01 d\xFF"
                   "e\xC3(f\x80");
    assert_string_equal(err.text, "a b c   d e (f ");
}

static void quotes_itself(void **state)
{
    (void)state;
    bus_error err;
    (void)bui_fail(&err, BUS_IO, "inner");
    (void)bui_fail(&err, BUS_STORE, "outer %s", err.text);
    assert_string_equal(err.text, "outer inner");
    assert_int_equal(err.status, BUS_STORE);
}

static void puts_a_prefix_before(void **state)
{
    (void)state;
    bus_error err;
    (void)bui_fail(&err, BUS_MISSING, "no such topic");
    assert_int_equal(bui_fail_in(&err, "shard %d", 7), BUS_MISSING);
    assert_string_equal(err.text, "shard 7: no such topic");
    char longer[600];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    assert_int_equal(bui_fail_in(&err, "%s", longer), BUS_MISSING);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_every_status),  cmocka_unit_test(fills_text_and_flags),
        cmocka_unit_test(cuts_at_a_character), cmocka_unit_test(keeps_to_one_line_of_utf8),
        cmocka_unit_test(quotes_itself),       cmocka_unit_test(puts_a_prefix_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
