/* SPDX-License-Identifier: MIT
 * TEST_FILTER='mark_*' runs only the tests of such names, in every program that links cmocka here (the linker is told to). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

void test_filter(void);

__attribute__((constructor)) void test_filter(void)
{
    if (getenv("TEST_FILTER"))
        cmocka_set_test_filter(getenv("TEST_FILTER"));
}
