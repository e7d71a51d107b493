/* SPDX-License-Identifier: MIT
 * Size: what a record counts at a broker. The sums are those that Kafka 4.1 gave for batches of librdkafka; tests/integration/test_e_sizes
 * proves the edge on a real one. */
#include "codec/size.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int64_t of_value(size_t len)
{
    return bui_record_size(NULL, 0, "", len, NULL, 0);
}

static void counts_what_a_batch_of_one_has(void **state)
{
    (void)state;
    /* 61, the record's length, attributes, two deltas, no key, no value, no headers */
    assert_int_equal(bui_record_size(NULL, 0, NULL, 0, NULL, 0), 61 + 1 + 6);
    assert_int_equal(bui_record_size("", 0, "", 0, NULL, 0), 61 + 1 + 6); /* empty and none have a length of one byte both */
    assert_int_equal(bui_record_size("abc", 3, "defg", 4, NULL, 0), 61 + 1 + 6 + 7);
    bus_header headers[] = { { "ab", "cde", 3 }, { "f", NULL, 0 } };
    assert_int_equal(bui_record_size(NULL, 0, NULL, 0, headers, 2), 61 + 1 + 6 + (1 + 2 + 1 + 3) + (1 + 1 + 1));
}

static void lengths_are_zigzag_varints(void **state)
{
    (void)state;
    assert_int_equal(of_value(57), 61 + 1 + 6 + 57); /* a body of 63 */
    assert_int_equal(of_value(58), 61 + 2 + 6 + 58); /* of 64 */
    assert_int_equal(of_value(63), 61 + 2 + 6 + 63);
    assert_int_equal(of_value(64), 61 + 2 + 7 + 64);
    assert_int_equal(of_value(8191), 61 + 3 + 7 + 8191);
    assert_int_equal(of_value(8192), 61 + 3 + 8 + 8192);
    assert_int_equal(of_value(1048500), 61 + 3 + 8 + 1048500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_what_a_batch_of_one_has),
        cmocka_unit_test(lengths_are_zigzag_varints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
