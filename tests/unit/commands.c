/* SPDX-License-Identifier: MIT
 * Commands: which headers a redrive and a replayed copy have. */
#include "base/id.h"
#include "ops/commands.h"
#include <stdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *value(const bus_header *headers, size_t count, const char *name)
{
    static char out[700];
    for (size_t i = count; i-- > 0;)
        if (!strcmp(headers[i].name, name)) {
            snprintf(out, sizeof out, "%.*s", (int)headers[i].len, (const char *)headers[i].value);
            return out;
        }
    return NULL;
}

#define HEADER(name, text) \
    { \
        name, text, sizeof text - 1 \
    }

static void a_redrive_carries_the_event_as_it_came(void **state)
{
    (void)state;
    const bus_header letter[] = { HEADER("ce_id", "e1"),
                                  HEADER("x-own", "kept"),
                                  HEADER("bus-hop", "order/0#0123456789abcdef order.dlq/0/9"),
                                  HEADER("bus-letter", "L 2 open"),
                                  HEADER("bus-orig", "order.events/3/77/5 gw/0#a order.events/3/8"),
                                  HEADER("bus-held", "yes"),
                                  HEADER("__dlq.errors.message", "no"),
                                  HEADER("bus-reason", "old"),
                                  HEADER("bus-command", "redrive L 1") };
    bui_record record = { .topic = "order.dlq", .headers = letter, .header_count = sizeof letter / sizeof letter[0] };
    bui_command command = { BUI_COMMAND_REDRIVE, "L", 2, "fixed", "ann@host", NULL, NULL };
    bui_arena arena;
    bus_header *out;
    size_t count;
    bui_arena_init(&arena, 0);
    assert_int_equal(bui_command_headers(&command, &record, &arena, &out, &count, NULL), BUS_OK);
    assert_string_equal(value(out, count, "ce_id"), "e1");
    assert_string_equal(value(out, count, "x-own"), "kept");
    assert_string_equal(value(out, count, "bus-orig"), "order.events/3/77/5 gw/0#a order.events/3/8");
    assert_string_equal(value(out, count, "bus-command"), "redrive L 2");
    assert_string_equal(value(out, count, "bus-reason"), "fixed");
    assert_string_equal(value(out, count, "bus-operator"), "ann@host");
    assert_int_equal(count, 6); /* and nothing else: no hop, no state, no errors, no older command */
    bui_arena_free(&arena);
}

static void a_copy_for_a_service_can_be_received(void **state)
{
    (void)state;
    const bus_header original[] = { HEADER("ce_id", "e1"), HEADER("bus-hop", "gw/0#0123456789abcdef order.events/3/8") };
    bui_record record = {
        .topic = "order.events", .partition = 3, .offset = 77, .timestamp = 5, .headers = original, .header_count = 2
    };
    bui_command command = { BUI_COMMAND_REPLAY, "3e0f0c5e-0000-4000-8000-000000000000", 0, NULL, "ann@host", NULL, NULL };
    bui_copy_hop hop = { command.id, "stock.redrive", 1, 12 };
    bui_arena arena;
    bus_header *out;
    size_t count;
    bui_envelope envelope;
    bus_error err = { 0 };
    bui_arena_init(&arena, 0);
    assert_int_equal(bui_replay_headers(&record, &command, &hop, false, &arena, &out, &count, NULL), BUS_OK);
    if (bui_envelope_read(out, count, &envelope, &err) != BUS_OK)
        fail_msg("%s", err.text);
    assert_int_equal(envelope.command, BUI_COMMAND_REPLAY);
    assert_true(bui_slice_is(envelope.command_id, command.id));
    assert_true(bui_slice_is(envelope.hop.topic, "stock.redrive"));
    assert_int_equal(envelope.hop.partition, 1);
    assert_int_equal(envelope.hop.seq, 12);
    assert_true(bui_slice_is(envelope.orig.topic, "order.events"));
    assert_int_equal(envelope.orig.offset, 77);
    assert_true(bui_slice_is(envelope.orig.hop, "gw/0#0123456789abcdef order.events/3/8"));
    bui_arena_free(&arena);
}

static void a_copy_of_a_copy_keeps_its_first_place(void **state)
{
    (void)state;
    const bus_header original[] = { HEADER("ce_id", "e1"), HEADER("bus-orig", "order.events/3/77/5") };
    bui_record record = {
        .topic = "order.sample", .partition = 0, .offset = 1, .timestamp = 9, .headers = original, .header_count = 2
    };
    bui_arena arena;
    bus_header *out;
    size_t count;
    bui_arena_init(&arena, 0);
    assert_int_equal(bui_replay_headers(&record, NULL, NULL, true, &arena, &out, &count, NULL), BUS_OK);
    assert_string_equal(value(out, count, "bus-orig"), "order.events/3/77/5");
    assert_null(value(out, count, "bus-hop"));
    assert_null(value(out, count, "bus-command"));
    assert_int_equal(bui_replay_headers(&record, NULL, NULL, false, &arena, &out, &count, NULL), BUS_OK);
    assert_string_equal(value(out, count, "bus-orig"), "order.sample/0/1/9");
    assert_string_equal(value(out, count, "ce_id"), "e1");
    bui_arena_free(&arena);
}

static void a_copy_is_named_as_the_event_was_by_its_place(void **state)
{
    (void)state;
    bui_record record = { .topic = "order.events", .partition = 2, .offset = 5 };
    bui_copy_hop hop = { .run = "run", .topic = "stock.redrive", .partition = 0, .seq = 1 };
    bui_command command = { .kind = BUI_COMMAND_REPLAY, .id = "run" };
    char id[BUI_ID_TEXT];
    bui_arena arena;
    bus_header *out;
    size_t count;
    bui_id_of_place("order.events", 2, 5, 0, id);
    bui_arena_init(&arena, 0);
    assert_int_equal(bui_replay_headers(&record, NULL, NULL, true, &arena, &out, &count, NULL), BUS_OK);
    assert_string_equal(value(out, count, "ce_id"), id);
    /* A service finds it by bus-orig. */
    assert_int_equal(bui_replay_headers(&record, &command, &hop, false, &arena, &out, &count, NULL), BUS_OK);
    assert_null(value(out, count, "ce_id"));
    bui_arena_free(&arena);
}

static void no_memory_is_told(void **state)
{
    (void)state;
    bui_record record = { .topic = "t" };
    bui_arena arena;
    bus_header *out = NULL;
    size_t count = 99;
    bui_arena_init(&arena, 100);
    assert_int_equal(bui_replay_headers(&record, NULL, NULL, false, &arena, &out, &count, NULL), BUS_NOMEM);
    assert_int_equal(count, 99);
    bui_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_redrive_carries_the_event_as_it_came),
                                        cmocka_unit_test(a_copy_for_a_service_can_be_received),
                                        cmocka_unit_test(a_copy_of_a_copy_keeps_its_first_place),
                                        cmocka_unit_test(a_copy_is_named_as_the_event_was_by_its_place),
                                        cmocka_unit_test(no_memory_is_told) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
