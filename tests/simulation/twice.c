/* SPDX-License-Identifier: MIT
 * Twice: a seed is a history. Played again it does the same to every disk, byte by byte, and comes to the same end. */
#include "support/sim_plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define HISTORIES 30

static void a_seed_is_one_history(void **state)
{
    (void)state;
    uint64_t before = 0;
    for (uint64_t seed = 1; seed <= HISTORIES; seed++) {
        sim_plan plan;
        sim_result first, second;
        sim_plan_init(&plan, seed);
        sim_run(&plan, NULL, false, &first);
        sim_run(&plan, NULL, false, &second);
        assert_false(first.failed);
        assert_int_equal(first.print, second.print);
        assert_int_equal(first.events, second.events);
        assert_memory_equal(first.count, second.count, sizeof first.count);
        assert_int_not_equal(first.print, before);
        before = first.print;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seed_is_one_history),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
