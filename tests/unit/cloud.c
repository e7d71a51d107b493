/* SPDX-License-Identifier: MIT
 * The headers that describe an event: which there are, and that the envelope reads them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "codec/cloud.h"

static const bui_cloud whole = {
    .id = "i", .type = "a.B", .source = "s", .correlation = "c", .causation = "p", .traceparent = "t"
};

static void the_whole_is_read_back(void **state)
{
    (void)state;
    bus_header headers[BUI_CLOUD_HEADERS];
    bui_envelope envelope;
    size_t count = bui_cloud_write(&whole, headers);
    assert_int_equal(count, BUI_CLOUD_HEADERS);
    assert_int_equal(bui_envelope_read(headers, count, &envelope, NULL), BUS_OK);
    assert_memory_equal(envelope.id.at, "i", 1);
    assert_memory_equal(envelope.type.at, "a.B", 3);
    assert_memory_equal(envelope.source.at, "s", 1);
    assert_memory_equal(envelope.correlation.at, "c", 1);
    assert_memory_equal(envelope.causation.at, "p", 1);
    assert_memory_equal(envelope.traceparent.at, "t", 1);
}

static void what_is_absent_or_empty_is_left_out(void **state)
{
    (void)state;
    bus_header headers[BUI_CLOUD_HEADERS];
    const bui_cloud little = { .id = "i", .type = "a.B", .source = "s", .causation = "", .correlation = NULL };
    assert_int_equal(bui_cloud_write(&little, headers), 5);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(headers[i].len, strlen(headers[i].value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_whole_is_read_back),
        cmocka_unit_test(what_is_absent_or_empty_is_left_out),
    };
    return cmocka_run_group_tests_name("cloud", tests, NULL, NULL);
}
