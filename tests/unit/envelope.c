/* SPDX-License-Identifier: MIT
 * Envelope: headers read and written, and what is malformed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "codec/envelope.h"
#include <string.h>

#define H(name, text) \
    { \
        name, text, sizeof(text) - 1 \
    }

static bool is(bui_slice slice, const char *text)
{
    return slice.at && slice.len == strlen(text) && memcmp(slice.at, text, slice.len) == 0;
}

static void reads_all(void **state)
{
    (void)state;
    static const bus_header headers[] = {
        H("ce_specversion", "1.0"),
        H("ce_id", "first"),
        H("ce_id", "7"),
        H("ce_source", "/shop"),
        H("ce_type", "order.OrderPlaced"),
        H("content-type", "application/avro"),
        H("ce_correlationid", "c"),
        H("ce_causationid", "d"),
        H("traceparent", "00-1-2-01"),
        H("unknown", "x"),
        { "ce_subject", NULL, 0 },
        H("bus-reply-to", "shop.replies/3"),
        H("bus-hop", "order/1#0123456789abcdef order.events/5/42 a=3 n=1700000000000 s=1 z=later t=k77"),
        H("bus-orig", "cart.events/0/9/-1 cart/0#a order.events/0/1"),
        H("bus-letter", "L1 2 redriven"),
        H("bus-command", "discard L1 2"),
        H("__dlq.errors.class", "BUS_CORRUPT"),
        H("__dlq.errors.message", "bad"),
    };
    bui_envelope e;
    bus_error err;
    assert_int_equal(bui_envelope_read(headers, sizeof headers / sizeof *headers, &e, &err), BUS_OK);
    assert_true(is(e.id, "7") && is(e.source, "/shop") && is(e.type, "order.OrderPlaced") &&
                is(e.content_type, "application/avro"));
    assert_true(is(e.correlation, "c") && is(e.causation, "d") && is(e.traceparent, "00-1-2-01") &&
                is(e.reply_to, "shop.replies/3"));
    assert_true(is(e.hop.source, "order/1#0123456789abcdef") && is(e.hop.topic, "order.events") && is(e.hop.token, "k77"));
    assert_true(e.hop.partition == 5 && e.hop.seq == 42 && e.hop.attempt == 3 && e.hop.not_before == 1700000000000 &&
                e.hop.scheduled);
    assert_true(is(e.orig.topic, "cart.events") && e.orig.offset == 9 && e.orig.timestamp == -1 &&
                is(e.orig.hop, "cart/0#a order.events/0/1"));
    assert_true(is(e.letter_id, "L1") && e.letter_round == 2 && e.letter == BUI_DEADLETTER_REDRIVEN);
    assert_true(is(e.command_id, "L1") && e.command_round == 2 && e.command == BUI_COMMAND_DISCARD);
    assert_true(is(e.error_class, "BUS_CORRUPT") && is(e.error_message, "bad"));
}

static void refuses_malformed(void **state)
{
    (void)state;
    static const bus_header cases[] = {
        H("bus-hop", ""),
        H("bus-hop", "order/1#a"),
        H("bus-hop", "order/1#a t/0"),
        H("bus-hop", "order/1#a t/0/0"),
        H("bus-hop", "order/1#a t/-1/1"),
        H("bus-hop", "order/1#a t/2147483648/1"),
        H("bus-hop", "order/1#a t/0/9223372036854775808"),
        H("bus-hop", "order/1#a t/0/1x"),
        H("bus-hop", "order/1#a t/0/1 a="),
        H("bus-hop", "order/1#a t/0/1 a=0"),
        H("bus-hop", "order/1#a t/0/1 s=2"),
        H("bus-hop", " order t/0/1"),
        H("bus-hop", "order/1#a /0/1"),
        H("bus-orig", "t/0/1"),
        H("bus-orig", "t/0/1/2 nonsense"),
        H("bus-orig", "t/0/-1/2"),
        H("bus-letter", "L 0 open"),
        H("bus-letter", "L 1 gone"),
        H("bus-letter", "L 1 open "),
        H("bus-command", "explode L 1"),
        H("bus-command", "redrive L"),
        { "bus-hop", NULL, 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bui_envelope e = { .letter_round = 77 };
        bus_error err = { .status = BUS_OK };
        if (bui_envelope_read(&cases[i], 1, &e, &err) != BUS_CORRUPT || strncmp(err.text, "header bus-", 11) != 0)
            fail_msg("%s: \"%s\" was taken: %s", cases[i].name, (const char *)cases[i].value, err.text);
        assert_int_equal(e.letter_round, 77);
    }
    char text[300];
    memset(text, 'x', sizeof text);
    bus_header big = { "ce_id", text, 256 };
    bui_envelope e;
    bus_error err;
    assert_int_equal(bui_envelope_read(&big, 1, &e, &err), BUS_CORRUPT);
    assert_string_equal(err.text, "header ce_id has 256 bytes; 255 are allowed");
    big.len = 255;
    assert_int_equal(bui_envelope_read(&big, 1, &e, &err), BUS_OK);
}

static void writes_what_it_reads(void **state)
{
    (void)state;
    char text[512];
    bui_hop hop = { .source = { "a/0#b", 5 }, .topic = { "t", 1 }, .partition = 3, .seq = INT64_MAX };
    assert_int_equal(bui_hop_write(&hop, text, sizeof text), strlen("a/0#b t/3/9223372036854775807"));
    assert_string_equal(text, "a/0#b t/3/9223372036854775807");
    hop.attempt = 2;
    hop.not_before = 5;
    hop.token = (bui_slice){ "k", 1 };
    hop.scheduled = true;
    size_t len = bui_hop_write(&hop, text, sizeof text);
    assert_string_equal(text, "a/0#b t/3/9223372036854775807 a=2 n=5 s=1 t=k");
    char exact[64];
    assert_int_equal(bui_hop_write(&hop, exact, len + 1), len);
    assert_int_equal(bui_hop_write(&hop, exact, len), 0);
    bui_orig orig = { .topic = { "t", 1 }, .partition = 0, .offset = 7, .timestamp = -1, .hop = { "a/0#b t/0/1", 11 } };
    bui_orig_write(&orig, text, sizeof text);
    assert_string_equal(text, "t/0/7/-1 a/0#b t/0/1");
    assert_string_equal(bui_deadletter_state_name(BUI_DEADLETTER_OPEN), "open");
    assert_string_equal(bui_command_name(BUI_COMMAND_REPLAY), "replay");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_all),
        cmocka_unit_test(refuses_malformed),
        cmocka_unit_test(writes_what_it_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
