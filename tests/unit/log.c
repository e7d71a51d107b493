/* SPDX-License-Identifier: MIT
 * Log: lines are JSON (read back by jansson), levels are kept, nothing without a hook. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/log.h"
#include "base/log_line.h"
#include "support/alloc_fail.h"
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static struct {
    int count;
    bus_level level;
    char line[20000];
} got;

static void keep(bus_level level, const char *line, size_t len, void *opaque)
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
    bus_log_to(BUS_INFO, keep, &got);
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
    bui_log(BUS_WARN, "order/3", "gap_alarm", "%d lost of \"%s\"\n\xFF.", 7, "a\\b");
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
    assert_false(bui_log_wants(BUS_DEBUG));
    assert_true(bui_log_wants(BUS_INFO));
    bui_log(BUS_DEBUG, "x", "y", "z");
    assert_int_equal(got.count, 0);
    bus_log_to(BUS_DEBUG, keep, &got);
    bui_log(BUS_DEBUG, "x", "y", "z");
    assert_int_equal(got.count, 1);
    bus_log_to(BUS_DEBUG, NULL, NULL);
    assert_false(bui_log_wants(BUS_ERROR));
    bui_log(BUS_ERROR, "x", "y", "z");
    assert_int_equal(got.count, 1);
}

static void cuts_long_messages_at_a_character(void **state)
{
    (void)state;
    static char text[9001];
    for (size_t i = 0; i < 9000; i += 3)
        memcpy(text + i, "\xE2\x82\xAC", 3);
    bui_log(BUS_ERROR, "x", "y", "%s", text);
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
    bui_log(BUS_INFO, "x", "y", "z");
    assert_true(alloc_fail_off());
    assert_int_equal(got.count, 1);
    assert_non_null(strstr(got.line, "line_lost"));
    json_t *line = json_loads(got.line, 0, NULL);
    assert_non_null(line);
    json_decref(line);
}

/* ---- lines of a program's own */

static json_t *last(void)
{
    json_t *line = json_loads(got.line, 0, NULL);
    assert_non_null(line);
    return line;
}

static void own_lines_have_fields(void **state)
{
    (void)state;
    bus_log_line(BUS_WARN, "stock_low", "an item \"runs\" low",
                 BUS_FIELDS(bus_log_text("sku", BUS_STR("L\n1")), bus_log_int("left", -3), bus_log_real("share", 0.25),
                            bus_log_bool("urgent", true), bus_log_text("none", bus_str(NULL)), bus_log_real("odd", NAN),
                            bus_log_text("Big Name", BUS_STR("x")), bus_log_text("msg", BUS_STR("y"))),
                 NULL);
    json_t *line = last();
    assert_int_equal(json_object_size(line), 5 + 8);
    is(line, "level", "warn");
    is(line, "where", "program");
    is(line, "event", "stock_low");
    is(line, "msg", "an item \"runs\" low");
    is(line, "sku", "L\n1");
    is(line, "_ig__ame", "x");
    is(line, "msg_", "y");
    assert_int_equal(json_integer_value(json_object_get(line, "left")), -3);
    assert_float_equal(json_real_value(json_object_get(line, "share")), 0.25, 0);
    assert_true(json_is_true(json_object_get(line, "urgent")));
    assert_true(json_is_null(json_object_get(line, "none")));
    assert_true(json_is_null(json_object_get(line, "odd")));
    json_decref(line);
    bui_log_program("desk");
    bus_log_line(BUS_INFO, "", NULL, NULL, 0, NULL);
    line = last();
    is(line, "where", "desk");
    is(line, "event", "unnamed");
    json_decref(line);
    bus_log_line(BUS_INFO, "x", "y", NULL, 0, &(bus_log_options){ .where = "gate" });
    line = last();
    is(line, "where", "gate");
    json_decref(line);
    bui_log_program("program");
    int count = got.count;
    bus_log_line(BUS_DEBUG, "x", "y", NULL, 0, NULL);
    assert_int_equal(got.count, count);
}

static void own_lines_are_limited_by_their_event(void **state)
{
    (void)state;
    for (int i = 0; i < 300; i++)
        bui_log_line_at(1000, BUS_INFO, "often", "m", NULL, 0, NULL);
    assert_int_equal(got.count, 10);
    bui_log_line_at(1000, BUS_INFO, "seldom", "m", NULL, 0, NULL);
    bui_log_line_at(1000, BUS_INFO, "often", "m", NULL, 0, &(bus_log_options){ .every = true });
    assert_int_equal(got.count, 12);
    bui_log_line_at(61000000, BUS_INFO, "often", "m", NULL, 0, NULL);
    assert_int_equal(got.count, 13);
    assert_non_null(strstr(got.line, "\"msg\":\"m; before it 290 more were not written\""));
    /* A foreigner may make up any number of events: those above the bound share a limit. */
    int count = got.count;
    for (int i = 0; i < 1000; i++) {
        char event[16];
        snprintf(event, sizeof event, "e%d", i);
        bui_log_line_at(1000, BUS_INFO, event, "m", NULL, 0, NULL);
    }
    assert_in_range(got.count - count, 200, 266);
}

static void own_lines_stay_within_their_bound(void **state)
{
    (void)state;
    bus_log_field many[40];
    static char text[1500];
    memset(text, 1, sizeof text);
    for (int i = 0; i < 40; i++)
        many[i] = bus_log_text("text", (bus_string){ "x", 1 });
    bus_log_line(BUS_ERROR, "many", "m", many, 40, NULL);
    assert_non_null(strstr(got.line, "\"fields_left_out\":8}"));
    for (int i = 0; i < 40; i++)
        many[i] = bus_log_text("text", (bus_string){ text, sizeof text });
    bus_log_line(BUS_ERROR, "large", "m", many, 1, NULL);
    assert_int_equal(strlen(strstr(got.line, "\"text\":")), strlen("\"text\":\"\"}") + 6000);
    bus_log_line(BUS_ERROR, "huge", "m", many, 32, NULL);
    assert_non_null(strstr(got.line, "\"fields_left_out\":32}"));
    json_decref(last());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(writes_json, reset),
        cmocka_unit_test_setup(keeps_the_level, reset),
        cmocka_unit_test_setup(cuts_long_messages_at_a_character, reset),
        cmocka_unit_test_setup(says_that_a_line_was_lost, reset),
        cmocka_unit_test_setup(own_lines_have_fields, reset),
        cmocka_unit_test_setup(own_lines_are_limited_by_their_event, reset),
        cmocka_unit_test_setup(own_lines_stay_within_their_bound, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
