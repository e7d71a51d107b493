/* SPDX-License-Identifier: MIT
 * What the tests of a whole service share: calls that must succeed, and `service`, the program's own, on topics in memory. */
#ifndef TESTS_SUPPORT_SERVICE_TEST_H
#define TESTS_SUPPORT_SERVICE_TEST_H

#include <bus/test.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Runs a call that takes its error last, as ERR, and must succeed. */
#define OK(call) \
    do { \
        bus_error error_ = { .text = "" }; \
        if ((call) != BUS_OK) \
            fail_msg("%s: %s", #call, error_.text); \
    } while (0)
#define ERR (&error_)

/* cmocka's set-up and tear-down: *state is the service's bus_test. */
static inline int service_opened(void **state, const bus_service *tested)
{
    bus_test *t = NULL;
    OK(bus_test_open(tested, &(bus_test_options){ .shards = 2 }, &t, ERR));
    *state = t;
    return t != NULL ? 0 : -1;
}

static inline int service_closed(void **state)
{
    bus_test_close(*state);
    return 0;
}

#endif
