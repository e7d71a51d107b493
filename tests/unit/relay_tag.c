/* SPDX-License-Identifier: MIT
 * What travels with a row of the relay and names it in its report. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kafka/sender.h"
#include "shard/relay.h"

#define ROWS 16

static void made(route *r, bui_destination *destination, bui_relay_out *ring, int64_t id, uint32_t first)
{
    *destination = (bui_destination){ .id = id };
    *r = (route){ .destination = destination, .out = ring, .cap = ROWS, .count = ROWS, .head = 5, .first = first };
    for (size_t i = 0; i < ROWS; i++)
        *out_at(r, i) = (bui_relay_out){ .id = 100 + (int64_t)i };
}

static void a_tag_names_its_destination_and_row(void **state)
{
    const int64_t ids[] = { 1, 65536, 10000000, (1 << 28) - 1 }; /* replies.destinations.max is 10,000,000 at most */
    const uint32_t firsts[] = { 0, (1 << TAG_BITS) - 3, UINT32_MAX - 3 };
    bui_relay_out ring[ROWS];
    bui_destination destination;
    route r;
    (void)state;
    for (size_t k = 0; k < sizeof ids / sizeof *ids; k++)
        for (size_t m = 0; m < sizeof firsts / sizeof *firsts; m++) {
            made(&r, &destination, ring, ids[k], firsts[m]);
            for (size_t i = 0; i < ROWS; i++) {
                int64_t tag = tag_of(&r, i);
                assert_true(tag > 0);
                assert_int_equal(tag >> KAFKA_ID_BITS, 0);
                assert_int_equal(tag_destination(tag), ids[k]);
                assert_ptr_equal(out_find(&r, tag), out_at(&r, i));
                assert_int_equal(out_find(&r, tag)->id, 100 + (int64_t)i);
            }
        }
}

static void a_row_that_is_no_longer_out_is_not_found(void **state)
{
    bui_relay_out ring[ROWS];
    bui_destination destination;
    route r;
    (void)state;
    made(&r, &destination, ring, 7, (1 << TAG_BITS) - 3);
    int64_t gone = tag_of(&r, 4), there = tag_of(&r, 5), last = tag_of(&r, ROWS - 1);
    out_drop(&r, 5);
    assert_null(out_find(&r, gone));
    assert_int_equal(out_find(&r, there)->id, 105);
    assert_int_equal(out_find(&r, last)->id, 100 + ROWS - 1);
    out_drop(&r, r.count);
    assert_null(out_find(&r, there));
    assert_null(out_find(&r, last));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tag_names_its_destination_and_row),
        cmocka_unit_test(a_row_that_is_no_longer_out_is_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
