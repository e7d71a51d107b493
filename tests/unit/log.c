/* SPDX-License-Identifier: MIT
 * Log: lines are JSON (read back by jansson), levels are kept, nothing without a hook. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/log.h"
#include "support/alloc_fail.h"
#include <jansson.h>
#include <string.h>

static struct { int count; bus_level level; char line[20000]; } got;

static void keep(void *opaque, bus_level level, const char *line, size_t len)
{
    assert_ptr_equal(opaque, &got);
    got.count++;
    got.level = level;
    assert_true(len < sizeof got.line);
    memcpy(got.line, line, len);
    got.line[len] = 0;
}

static int reset(void **state)
{
    (void)state;
    got.count = 0;
    bus_log_to(keep, &got, BUS_INFO);
    return 0;
}

static void is(json_t *object, const char *name, const char *expected)
{
    const char *text = json_string_value(json_object_get(object, name));
    assert_non_null(text);
    assert_string_equal(text, expected);
}

static void writes_json(void **state)
{
    (void)state;
    bus_log(BUS_WARN, "order/3", "gap_alarm", "%d lost of \"%s\"\n\xFF.", 7, "a\\b");
    assert_int_equal(got.count, 1);
    assert_int_equal(got.level, BUS_WARN);
    assert_null(strchr(got.line, '\n'));
    json_t *line = json_loads(got.line, 0, NULL);
    assert_non_null(line);
    assert_int_equal(json_object_size(line), 5);
    is(line, "level", "warn");
    is(line, "where", "order/3");
    is(line, "event", "gap_alarm");
    is(line, "msg", "7 lost of \"a\\b\"\n\xEF\xBF\xBD.");
    const char *ts = json_string_value(json_object_get(line, "ts"));
    assert_int_equal(strlen(ts), 24);
    assert_int_equal(ts[23], 'Z');
    json_decref(line);
}

static void keeps_the_level(void **state)
{
    (void)state;
    assert_false(bus_log_wants(BUS_DEBUG));
    assert_true(bus_log_wants(BUS_INFO));
    bus_log(BUS_DEBUG, "x", "y", "z");
    assert_int_equal(got.count, 0);
    bus_log_to(keep, &got, BUS_DEBUG);
    bus_log(BUS_DEBUG, "x", "y", "z");
    assert_int_equal(got.count, 1);
    bus_log_to(NULL, NULL, BUS_DEBUG);
    assert_false(bus_log_wants(BUS_ERROR));
    bus_log(BUS_ERROR, "x", "y", "z");
    assert_int_equal(got.count, 1);
}

static void cuts_long_messages_at_a_character(void **state)
{
    (void)state;
    static char text[9001];
    for (size_t i = 0; i < 9000; i += 3)
        memcpy(text + i, "\xE2\x82\xAC", 3);
    bus_log(BUS_ERROR, "x", "y", "%s", text);
    json_t *line = json_loads(got.line, 0, NULL);
    assert_non_null(line);
    const char *msg = json_string_value(json_object_get(line, "msg"));
    assert_in_range(strlen(msg), 1900, 2000);
    assert_int_equal(strlen(msg) % 3, 0);
    assert_null(strstr(msg, "\xEF\xBF\xBD"));
    json_decref(line);
}

static void says_that_a_line_was_lost(void **state)
{
    (void)state;
    alloc_fail_at(1, true);
    bus_log(BUS_INFO, "x", "y", "z");
    assert_true(alloc_fail_off());
    assert_int_equal(got.count, 1);
    assert_non_null(strstr(got.line, "line_lost"));
    json_t *line = json_loads(got.line, 0, NULL);
    assert_non_null(line);
    json_decref(line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(writes_json, reset), cmocka_unit_test_setup(keeps_the_level, reset),
        cmocka_unit_test_setup(cuts_long_messages_at_a_character, reset), cmocka_unit_test_setup(says_that_a_line_was_lost, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
