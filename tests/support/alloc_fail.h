/* SPDX-License-Identifier: MIT
 * Allocation failure for tests: the n-th malloc, calloc or realloc of this project's code (not of shared libraries)
 * gives NULL. Test programs are linked with --wrap, see Makefile. */
#ifndef TESTS_SUPPORT_ALLOC_FAIL_H
#define TESTS_SUPPORT_ALLOC_FAIL_H

#include <stdbool.h>

/* The n-th allocation from now fails, n >= 1, and with `all` every later one too; 0 turns it off. On the calling
 * thread only, unless alloc_fail_everywhere is called. */
void alloc_fail_at(long n, bool all);
void alloc_fail_everywhere(long n, bool all);

/* Turns failing off and returns whether an allocation was failed since it was turned on: when not, n was beyond the
 * last allocation, and the loop over n is done:
 *
 *     for (long n = 1;; n++) {
 *         alloc_fail_at(n, false);
 *         bus_status status = thing_new(&thing, &err);
 *         if (!alloc_fail_off()) { assert_int_equal(status, BUS_OK); break; }
 *         assert_int_equal(status, BUS_NOMEM);
 *     } */
bool alloc_fail_off(void);

#endif
