/* SPDX-License-Identifier: MIT
 * Skip: a test that this machine cannot run says why, and counts neither as passed nor as failed (scripts/run-tests). */
#ifndef TEST_SKIP_H
#define TEST_SKIP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

/* Ends the test. `why`: what is missing here, as text. */
#define TEST_SKIP(why) \
    do { \
        printf("SKIPPED %s: %s\n", __func__, why); \
        fflush(stdout); \
        skip(); \
    } while (0)

#endif
