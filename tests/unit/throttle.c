/* SPDX-License-Identifier: MIT
 * A few lines a minute, and then how many were not written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/throttle.h"

static void a_few_a_minute_then_how_many(void **state)
{
    (void)state;
    bui_throttle throttle = { 0 };
    uint64_t hidden;
    char text[BUI_THROTTLE_TEXT];
    for (int i = 0; i < 1000; i++)
        assert_int_equal(bui_throttle_pass(&throttle, 5 + i, &hidden), i < BUI_THROTTLE_LINES);
    assert_true(bui_throttle_pass(&throttle, 5 + BUI_THROTTLE_US, &hidden));
    assert_int_equal(hidden, 1000 - BUI_THROTTLE_LINES);
    assert_string_equal(bui_throttle_text(hidden, text), "; before it 990 more were not written");
    assert_true(bui_throttle_pass(&throttle, 6 + BUI_THROTTLE_US, &hidden));
    assert_int_equal(hidden, 0);
    assert_string_equal(bui_throttle_text(hidden, text), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_few_a_minute_then_how_many) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
