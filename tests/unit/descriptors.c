/* SPDX-License-Identifier: MIT
 * Descriptors: the soft limit is raised to the hard one, and no further. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/descriptors.h"
#include <sys/resource.h>

static void the_soft_limit_is_raised_to_the_hard_one(void **state)
{
    (void)state;
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = 64;
    limit.rlim_max = 512;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(bui_descriptors_raise(), 512);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(limit.rlim_cur, 512);
    assert_int_equal(bui_descriptors_raise(), 512);
    assert_true(bui_descriptors_need(256) > 1085); /* as measured */
    assert_true(bui_descriptors_need(1) < 256);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(the_soft_limit_is_raised_to_the_hard_one) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
