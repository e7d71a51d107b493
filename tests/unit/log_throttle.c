/* SPDX-License-Identifier: MIT
 * Log throttle: one line of a facility in half a minute, then the next with the number of those in between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "kafka/log_throttle.h"

static void repeats_are_for_debugging_only(void **state)
{
    (void)state;
    bui_log_throttle log_throttle = { 0 };
    unsigned hidden = 9;
    assert_int_equal(bui_log_throttle_level(&log_throttle, 3, "FAIL", 1000, &hidden), BUS_WARN);
    assert_int_equal(hidden, 0);
    for (int64_t at = 1001; at < 1000 + BUI_LOG_THROTTLE_MS; at += 1000)
        assert_int_equal(bui_log_throttle_level(&log_throttle, 3, "FAIL", at, &hidden), BUS_DEBUG);
    assert_int_equal(hidden, 0);
    assert_int_equal(bui_log_throttle_level(&log_throttle, 3, "FAIL", 1000 + BUI_LOG_THROTTLE_MS, &hidden), BUS_WARN);
    assert_int_equal(hidden, 30);
    assert_int_equal(bui_log_throttle_level(&log_throttle, 3, "FAIL", 1001 + BUI_LOG_THROTTLE_MS, &hidden), BUS_DEBUG);
    assert_int_equal(bui_log_throttle_level(&log_throttle, 3, "FAIL", 1000 + 3 * BUI_LOG_THROTTLE_MS, &hidden), BUS_WARN);
    assert_int_equal(hidden, 1);
}

static void facilities_do_not_hide_each_other(void **state)
{
    (void)state;
    bui_log_throttle log_throttle = { 0 };
    unsigned hidden;
    assert_int_equal(bui_log_throttle_level(&log_throttle, 3, "FAIL", 0, &hidden), BUS_WARN);
    assert_int_equal(bui_log_throttle_level(&log_throttle, 3, "ERROR", 0, &hidden), BUS_WARN);
    assert_int_equal(bui_log_throttle_level(&log_throttle, 5, "REQTMOUT", 0, &hidden), BUS_INFO);
    assert_int_equal(bui_log_throttle_level(&log_throttle, 5, "REQTMOUT", 1, &hidden), BUS_DEBUG);
}

static void what_tells_nothing_is_for_debugging_only(void **state)
{
    (void)state;
    bui_log_throttle log_throttle = { 0 };
    unsigned hidden;
    assert_int_equal(bui_log_throttle_level(&log_throttle, 4, "CONFWARN", 0, &hidden), BUS_DEBUG);
    assert_int_equal(bui_log_throttle_level(&log_throttle, 3, "AUTOCREATE", 0, &hidden), BUS_DEBUG);
    assert_int_equal(bui_log_throttle_level(&log_throttle, 7, "FETCH", 0, &hidden), BUS_DEBUG);
    assert_int_equal(bui_log_throttle_level(&log_throttle, 3, "FETCH", 0, &hidden),
                     BUS_WARN); /* a line for debugging hides no other */
}

static void more_facilities_than_it_holds_are_loud(void **state)
{
    (void)state;
    bui_log_throttle log_throttle = { 0 };
    unsigned hidden;
    char name[32];
    for (int i = 0; i < BUI_LOG_THROTTLE_KINDS; i++) {
        snprintf(name, sizeof name, "A%dWITHAVERYLONGNAMEINDEED", i);
        assert_int_equal(bui_log_throttle_level(&log_throttle, 3, name, 0, &hidden), BUS_WARN);
        assert_int_equal(bui_log_throttle_level(&log_throttle, 3, name, 0, &hidden), BUS_DEBUG);
    }
    assert_int_equal(bui_log_throttle_level(&log_throttle, 3, "FAIL", 0, &hidden), BUS_WARN);
    assert_int_equal(bui_log_throttle_level(&log_throttle, 3, "FAIL", 0, &hidden), BUS_WARN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(repeats_are_for_debugging_only),
        cmocka_unit_test(facilities_do_not_hide_each_other),
        cmocka_unit_test(what_tells_nothing_is_for_debugging_only),
        cmocka_unit_test(more_facilities_than_it_holds_are_loud),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
