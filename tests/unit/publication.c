/* SPDX-License-Identifier: MIT
 * What may be published: one record, and only headers that are the caller's to write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "codec/publication.h"
#include "inventory.events.h"

#define TYPE &inventory_ReleaseStock_type

static const inventory_ReleaseStock body;
static const bus_header mine[] = { { "colour", "blue", 4 } }, ce[] = { { "ce_id", "x", 1 } }, hop[] = { { "bus-hop", "x", 1 } },
                        dlq[] = { { "__dlq.errors.message", "x", 1 } }, content[] = { { "content-type", "x", 1 } };
static bus_header many[BUI_OWN_HEADERS + 1];

static void one_record_is_taken(void **state)
{
    (void)state;
    const bus_publication good[] = {
        { .topic = "t", .type = TYPE, .body = &body },
        { .topic = "t", .type = TYPE, .body = &body, .headers = mine, .header_count = 1, .has_partition = true, .time_ms = 1 },
        { .topic = "t", .type = TYPE, .body = &body, .headers = many, .header_count = BUI_OWN_HEADERS },
        { .topic = "t", .type = TYPE, .body = &body, .partition = -1 }, /* not looked at */
        { .topic = "t", .value = { "", 0 } },
        { .topic = "t", .value = { "x", 1 }, .headers = ce, .header_count = 1 },
        { .topic = "t", .value = { "x", 1 }, .headers = content, .header_count = 1 },
        { .topic = "t", .tombstone = true, .key = BUS_STR("k") },
    };
    for (size_t i = 0; i < BUI_OWN_HEADERS + 1; i++)
        many[i] = mine[0];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        bus_error err = { 0 };
        if (bui_publication_check(&good[i], "call", false, &err) != BUS_OK)
            fail_msg("%zu: %s", i, err.text);
    }
}

static void all_else_is_refused_and_told(void **state)
{
    (void)state;
    static const struct {
        bus_publication wrong;
        const char *text;
    } cases[] = {
        { { .type = TYPE, .body = &body }, "call needs a topic" },
        { { .topic = "t" },
          "call to t: give a type and its body, or a value, or say tombstone: one of the three" }, /* forgotten, no tombstone */
        { { .topic = "t", .body = &body }, "one of the three" },
        { { .topic = "t", .type = TYPE }, "one of the three" },
        { { .topic = "t", .type = TYPE, .body = &body, .value = { "x", 1 } }, "one of the three" },
        { { .topic = "t", .type = TYPE, .body = &body, .tombstone = true }, "one of the three" },
        { { .topic = "t", .value = { "x", 1 }, .tombstone = true }, "one of the three" },
        { { .topic = "t", .type = TYPE, .body = &body, .has_partition = true, .partition = -1 },
          "partition -1: partitions begin at 0" },
        { { .topic = "t", .type = TYPE, .body = &body, .time_ms = -1 }, "time_ms -1" },
        { { .topic = "t", .type = TYPE, .body = &body, .headers = many, .header_count = BUI_OWN_HEADERS + 1 },
          "with 55 headers of its own; 54" },
        { { .topic = "t", .type = TYPE, .body = &body, .headers = ce, .header_count = 1 },
          "header ce_id is the bus's own to write" },
        { { .topic = "t", .type = TYPE, .body = &body, .headers = content, .header_count = 1 }, "header content-type" },
        { { .topic = "t", .type = TYPE, .body = &body, .headers = hop, .header_count = 1 }, "header bus-hop" },
        { { .topic = "t", .value = { "x", 1 }, .headers = hop, .header_count = 1 }, "header bus-hop" },
        { { .topic = "t", .tombstone = true, .headers = dlq, .header_count = 1 }, "header __dlq.errors.message" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bus_error err = { 0 };
        assert_int_equal(bui_publication_check(&cases[i].wrong, "call", false, &err), BUS_INVALID);
        if (!strstr(err.text, cases[i].text))
            fail_msg("%zu: %s", i, err.text);
    }
    assert_int_equal(bui_publication_check(NULL, "call", false, NULL), BUS_INVALID);
    assert_int_equal(
        bui_publication_check(&(bus_publication){ .topic = "t", .value = { "x", 1 }, .headers = hop, .header_count = 1 }, "call",
                              true, NULL),
        BUS_OK); /* a test may */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_record_is_taken),
        cmocka_unit_test(all_else_is_refused_and_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
