/* SPDX-License-Identifier: MIT
 * The compact form: what becomes a letter, what stays a header, and that both forms say the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "codec/cloud.h"
#include "codec/compact.h"
#include <stdlib.h>

#define SOURCE "order/0#9f86d081884c7d65"
#define PLACE SOURCE " order.events/2/7"
#define TRACE "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

static const bui_cloud event = {
    .id = "e-1", .type = "order.Placed", .source = "order", .correlation = "c-1", .causation = "c-1", .traceparent = TRACE
};

typedef struct packed {
    bus_header headers[24]; /* bus-hop is the last */
    size_t count;
    char hop[2048];
} packed;

static const bui_hop place = {
    .source = { SOURCE, sizeof SOURCE - 1 }, .topic = { "order.events", 12 }, .partition = 2, .seq = 7, .attempt = 0
};

static void add_hop(const bui_hop *hop, packed *out)
{
    size_t len = bui_hop_write(hop, out->hop, sizeof out->hop);
    assert_true(len > 0);
    out->headers[out->count++] = (bus_header){ BUI_HEADER_HOP, out->hop, len };
}

static void pack(const bus_header *headers, size_t count, packed *out)
{
    bui_hop hop = place;
    out->count = bui_compact_pack(headers, count, &hop, out->headers);
    add_hop(&hop, out);
}

/* Of its headers, and without any: both must come to the same. */
static void pack_event(const bui_cloud *cloud, packed *out)
{
    bus_header headers[BUI_CLOUD_HEADERS];
    packed said;
    bui_hop hop = place;
    pack(headers, bui_cloud_write(cloud, headers), out);
    said.count = bui_compact_say(cloud, &hop, said.headers);
    add_hop(&hop, &said);
    assert_string_equal(said.hop, out->hop);
    assert_int_equal(said.count, out->count);
    for (size_t i = 0; i + 1 < said.count; i++) {
        assert_string_equal(said.headers[i].name, out->headers[i].name);
        assert_int_equal(said.headers[i].len, out->headers[i].len);
        assert_memory_equal(said.headers[i].value, out->headers[i].value, out->headers[i].len);
    }
}

static bool is(bui_slice slice, const char *text)
{
    return text ? slice.at && slice.len == strlen(text) && memcmp(slice.at, text, slice.len) == 0 : !slice.at;
}

static void says(const bus_header *headers, size_t count, const bui_cloud *wanted)
{
    bui_envelope e;
    assert_int_equal(bui_envelope_read(headers, count, &e, NULL), BUS_OK);
    assert_true(is(e.id, wanted->id) && is(e.type, wanted->type) && is(e.source, wanted->source));
    assert_true(is(e.correlation, wanted->correlation) && is(e.causation, wanted->causation) &&
                is(e.traceparent, wanted->traceparent));
    assert_true(is(e.content_type, "application/avro"));
}

static bool text_is(const bus_header *header, const char *name, const char *text)
{
    return strcmp(header->name, name) == 0 && header->len == strlen(text) && memcmp(header->value, text, header->len) == 0;
}

static void an_event_is_one_header_and_back(void **state)
{
    (void)state;
    packed p;
    bus_header full[BUI_CLOUD_HEADERS], again[BUI_CLOUD_HEADERS + 1];
    pack_event(&event, &p);
    assert_int_equal(p.count, 1);
    assert_string_equal(p.hop, PLACE " i=e-1 y=order.Placed c=c-1 p=" TRACE);
    says(p.headers, p.count, &event);
    size_t count = bui_cloud_write(&event, full);
    assert_int_equal(bui_compact_unpack(p.headers, p.count, again), count + 1);
    for (size_t i = 0; i < count; i++)
        assert_true(text_is(&again[i], full[i].name, full[i].value));
    assert_ptr_equal(again[count].value, p.hop);
}

static void what_is_absent_stays_absent(void **state)
{
    (void)state;
    packed p;
    bui_cloud cloud = event;
    cloud.correlation = "of-the-first";
    pack_event(&cloud, &p);
    assert_string_equal(p.hop, PLACE " i=e-1 y=order.Placed c=c-1 r=of-the-first p=" TRACE);
    says(p.headers, p.count, &cloud);
    cloud.traceparent = cloud.causation = NULL;
    pack_event(&cloud, &p);
    assert_string_equal(p.hop, PLACE " i=e-1 y=order.Placed r=of-the-first");
    says(p.headers, p.count, &cloud);
    cloud.correlation = NULL;
    pack_event(&cloud, &p);
    assert_string_equal(p.hop, PLACE " i=e-1 y=order.Placed");
    says(p.headers, p.count, &cloud);
    cloud.causation = "c-1"; /* alone it would say a correlation, too */
    pack_event(&cloud, &p);
    assert_string_equal(p.hop, PLACE " i=e-1 y=order.Placed");
    assert_true(p.count == 2 && text_is(&p.headers[0], BUI_HEADER_CAUSATION, "c-1"));
    says(p.headers, p.count, &cloud);
}

static void what_is_no_word_stays_a_header(void **state)
{
    (void)state;
    packed p;
    char longest[BUI_WORD_MOST + 2];
    memset(longest, 'x', sizeof longest);
    longest[BUI_WORD_MOST + 1] = 0;
    const char *const no_words[] = { "x i=e-2 y=other.Type", " ", "tab\there", "line\nend", "caf\xc3\xa9", "\x7f" };
    for (size_t i = 0; i < sizeof no_words / sizeof *no_words; i++) {
        bui_cloud cloud = event;
        cloud.correlation = no_words[i];
        pack_event(&cloud, &p);
        assert_string_equal(p.hop, PLACE " i=e-1 y=order.Placed c=c-1 p=" TRACE);
        assert_true(p.count == 2 && text_is(&p.headers[0], BUI_HEADER_CORRELATION, no_words[i]));
        says(p.headers, p.count, &cloud);
        cloud.causation = cloud.traceparent = cloud.type = no_words[i];
        pack_event(&cloud, &p);
        assert_string_equal(p.hop, PLACE " i=e-1");
        assert_int_equal(p.count, 5);
        says(p.headers, p.count, &cloud);
    }
    bui_cloud nameless = event;
    nameless.id = "two words";
    pack_event(&nameless, &p);
    assert_string_equal(p.hop, PLACE);
    assert_int_equal(p.count, BUI_CLOUD_HEADERS + 1);
    assert_false(bui_is_word(longest, BUI_WORD_MOST + 1));
    assert_true(bui_is_word(longest, BUI_WORD_MOST));
}

static void other_values_and_headers_stay(void **state)
{
    (void)state;
    packed p;
    const bus_header headers[] = { { "colour", "blue", 4 },           { BUI_HEADER_ID, "old", 3 },
                                   { BUI_HEADER_SOURCE, "cart", 4 },  { BUI_HEADER_ID, "e-1", 3 },
                                   { BUI_HEADER_REPLY_TO, "x", 1 },   { BUI_HEADER_CONTENT_TYPE, "text/plain", 10 },
                                   { BUI_HEADER_SPECVERSION, "2", 1 } };
    bus_header again[24];
    pack(headers, 7, &p);
    assert_string_equal(p.hop, PLACE " i=e-1");
    assert_int_equal(p.count, 6);
    size_t count = bui_compact_unpack(p.headers, p.count, again);
    assert_int_equal(count, 7);
    assert_true(text_is(&again[0], BUI_HEADER_ID, "e-1") && text_is(&again[1], BUI_HEADER_SPECVERSION, "2") &&
                text_is(&again[2], BUI_HEADER_SOURCE, "cart") && text_is(&again[3], BUI_HEADER_CONTENT_TYPE, "text/plain"));
    assert_true(text_is(&again[4], "colour", "blue") && text_is(&again[5], BUI_HEADER_REPLY_TO, "x"));
}

/* What the hop says is signed whole, and a header could be added. */
static void a_letter_counts_more_than_a_header(void **state)
{
    (void)state;
    packed p;
    pack_event(&event, &p);
    p.headers[p.count++] = (bus_header){ BUI_HEADER_ID, "forged", 6 };
    p.headers[p.count++] = (bus_header){ BUI_HEADER_TYPE, "forged", 6 };
    p.headers[p.count++] = (bus_header){ BUI_HEADER_CAUSATION, "forged", 6 };
    p.headers[p.count++] = (bus_header){ BUI_HEADER_TRACEPARENT, NULL, 0 };
    says(p.headers, p.count, &event);
    bus_header again[24];
    size_t count = bui_compact_unpack(p.headers, p.count, again);
    assert_int_equal(count, BUI_CLOUD_HEADERS + 1);
    says(again, count, &event);
    assert_true(is(bui_compact_header(p.headers, p.count, BUI_HEADER_ID), "e-1"));
    assert_true(is(bui_compact_header(p.headers, p.count, BUI_HEADER_CORRELATION), "c-1"));
    assert_true(is(bui_compact_header(p.headers, p.count, BUI_HEADER_SPECVERSION), "1.0"));
    assert_true(is(bui_compact_header(p.headers, p.count, BUI_HEADER_SOURCE), "order"));
    assert_true(is(bui_compact_header(p.headers, p.count, BUI_HEADER_HOP), p.hop));
    assert_true(is(bui_compact_header(p.headers, p.count, "colour"), NULL));
}

static void without_letters_headers_say_all(void **state)
{
    (void)state;
    const bus_header old[] = { { BUI_HEADER_ID, "e-1", 3 }, { BUI_HEADER_HOP, PLACE " a=2 z=later", sizeof PLACE + 11 } };
    bus_header again[24];
    bui_envelope e;
    assert_int_equal(bui_envelope_read(old, 2, &e, NULL), BUS_OK);
    assert_true(is(e.id, "e-1") && is(e.source, NULL) && is(e.content_type, NULL) && e.hop.attempt == 2);
    assert_true(is(e.hop.own, old[1].value));
    assert_int_equal(bui_compact_unpack(old, 2, again), 2);
    assert_true(is(bui_compact_header(old, 2, BUI_HEADER_ID), "e-1") && is(bui_compact_header(old, 2, BUI_HEADER_SOURCE), NULL));
    /* Of a hop that nobody can read, neither. */
    const bus_header torn[] = { { BUI_HEADER_ID, "e-1", 3 }, { BUI_HEADER_HOP, PLACE " i=", sizeof PLACE + 2 } };
    assert_int_equal(bui_envelope_read(torn, 2, &e, NULL), BUS_CORRUPT);
    assert_int_equal(bui_compact_unpack(torn, 2, again), 2);
    assert_true(is(bui_compact_header(torn, 2, BUI_HEADER_ID), "e-1"));
}

static void a_word_is_printable(void **state)
{
    (void)state;
    unsigned char bytes[40];
    for (size_t len = 1; len < sizeof bytes; len++)
        for (size_t at = 0; at < len; at++)
            for (int c = 0; c < 256; c++) {
                for (size_t i = 0; i < len; i++)
                    bytes[i] = (unsigned char)"!~aZ09-"[i % 7];
                bytes[at] = (unsigned char)c;
                assert_int_equal(bui_is_word(bytes, len), c >= '!' && c <= '~');
            }
    assert_false(bui_is_word("", 0));
    assert_false(bui_is_word(NULL, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_is_one_header_and_back),
        cmocka_unit_test(what_is_absent_stays_absent),
        cmocka_unit_test(what_is_no_word_stays_a_header),
        cmocka_unit_test(other_values_and_headers_stay),
        cmocka_unit_test(a_letter_counts_more_than_a_header),
        cmocka_unit_test(without_letters_headers_say_all),
        cmocka_unit_test(a_word_is_printable),
    };
    return cmocka_run_group_tests_name("compact", tests, NULL, NULL);
}
