/* SPDX-License-Identifier: MIT
 * The headers that describe an event: which there are, and that the envelope reads them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "codec/cloud.h"

static const bus_cloud whole = { .id = "i", .type = "a.B", .source = "s", .correlation = "c", .causation = "p", .traceparent = "t" };

static void the_whole_is_read_back(void **state)
{
    (void)state;
    bus_header headers[BUS_CLOUD_HEADERS];
    bus_envelope envelope;
    size_t count = bus_cloud_write(&whole, headers);
    assert_int_equal(count, BUS_CLOUD_HEADERS);
    assert_int_equal(bus_envelope_read(headers, count, &envelope, NULL), BUS_OK);
    assert_memory_equal(envelope.id.at, "i", 1);
    assert_memory_equal(envelope.type.at, "a.B", 3);
    assert_memory_equal(envelope.source.at, "s", 1);
    assert_memory_equal(envelope.correlation.at, "c", 1);
    assert_memory_equal(envelope.causation.at, "p", 1);
    assert_memory_equal(envelope.traceparent.at, "t", 1);
}

static void the_compact_envelope_has_three(void **state)
{
    (void)state;
    bus_header headers[BUS_CLOUD_HEADERS];
    bus_cloud compact = whole;
    compact.compact = true;
    assert_int_equal(bus_cloud_write(&compact, headers), 3);
    assert_string_equal(headers[0].name, "ce_id");
    assert_string_equal(headers[1].name, "ce_type");
    assert_string_equal(headers[2].name, "ce_correlationid");
}

static void what_is_absent_or_empty_is_left_out(void **state)
{
    (void)state;
    bus_header headers[BUS_CLOUD_HEADERS];
    const bus_cloud little = { .id = "i", .type = "a.B", .source = "s", .causation = "", .correlation = NULL };
    assert_int_equal(bus_cloud_write(&little, headers), 5);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(headers[i].len, strlen(headers[i].value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_whole_is_read_back),
        cmocka_unit_test(the_compact_envelope_has_three),
        cmocka_unit_test(what_is_absent_or_empty_is_left_out),
    };
    return cmocka_run_group_tests_name("cloud", tests, NULL, NULL);
}
