/* SPDX-License-Identifier: MIT
 * Backoff: doubles up to the most, waits between half of the step and the step, differs by seed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/backoff.h"

static void doubles_up_to_the_most(void **state)
{
    (void)state;
    bui_backoff backoff;
    bui_backoff_init(&backoff, 100, 3000, 1);
    static const int64_t steps[] = { 100, 200, 400, 800, 1600, 3000, 3000, 3000 };
    for (int round = 0; round < 50; round++) {
        for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
            int64_t wait = bui_backoff_next(&backoff);
            assert_in_range(wait, steps[i] / 2, steps[i]);
        }
        bui_backoff_reset(&backoff);
    }
}

static void differs_by_seed(void **state)
{
    (void)state;
    bui_backoff a, b, c;
    bui_backoff_init(&a, 1000000, 1000000, 1);
    bui_backoff_init(&b, 1000000, 1000000, 2);
    bui_backoff_init(&c, 1000000, 1000000, 1);
    int same = 0;
    for (int i = 0; i < 100; i++) {
        int64_t wait = bui_backoff_next(&a);
        same += wait == bui_backoff_next(&b);
        assert_int_equal(wait, bui_backoff_next(&c));
    }
    assert_true(same < 5);
}

static void never_waits_for_nothing(void **state)
{
    (void)state;
    bui_backoff backoff;
    bui_backoff_init(&backoff, 0, 0, 0);
    for (int i = 0; i < 10; i++)
        assert_int_equal(bui_backoff_next(&backoff), 1);
    bui_backoff_init(&backoff, 500, 100, 0); /* most below first: first counts */
    assert_in_range(bui_backoff_next(&backoff), 250, 500);
    assert_in_range(bui_backoff_next(&backoff), 250, 500);
    bui_backoff_init(&backoff, INT64_MAX / 2, INT64_MAX, 0);
    for (int i = 0; i < 5; i++)
        assert_true(bui_backoff_next(&backoff) >= INT64_MAX / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doubles_up_to_the_most),
        cmocka_unit_test(differs_by_seed),
        cmocka_unit_test(never_waits_for_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
