/* SPDX-License-Identifier: MIT
 * Signatures: what they cover, where they hold, whom a key speaks for, and the file of keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "codec/mac.h"
#include <stdlib.h>
#include <string.h>

#define A "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define B "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"

static bui_keys *keys_of(const char *text)
{
    bui_keys *keys = NULL;
    bus_error err = { 0 };
    if (bui_keys_new(text, strlen(text), "keys", "order.events,svc.redrive", &keys, &err) != BUS_OK)
        fail_msg("%s", err.text);
    return keys;
}

static bus_header header(const char *name, const char *value)
{
    return (bus_header){ name, value, strlen(value) };
}

typedef struct sample {
    bui_sealed record;
    bus_header headers[12];
    char mac[BUI_MAC_TEXT];
} sample;

static void sign(sample *s, const bui_keys *keys)
{
    memset(s, 0, sizeof *s);
    s->headers[0] = header("ce_id", "0b6ce1c8-5f1d-5d0c-9a39-0b2c8a1e7f55");
    s->headers[1] = header("ce_type", "order.OrderPlaced");
    s->headers[2] = header("ce_source", "order");
    s->headers[3] = header("ce_correlationid", "5f1d");
    s->headers[4] = header("traceparent", "00-1-2-01");
    s->headers[5] = header("x-own", "1");
    s->headers[6] = header("bus-hop", "order/0#9f86d081884c7d65 order.events/2/1234");
    s->record = (bui_sealed){ .topic = "order.events",
                              .partition = 2,
                              .key = "k",
                              .key_len = 1,
                              .value = "body",
                              .value_len = 4,
                              .headers = s->headers,
                              .header_count = 7 };
    size_t n = bui_mac_write(keys, &s->record, s->mac);
    if (n)
        s->headers[s->record.header_count++] = (bus_header){ BUI_HEADER_MAC, s->mac, n };
}

static const char *why_not(const bui_keys *keys, const sample *s, const char *speaker)
{
    static bus_error err;
    memset(&err, 0, sizeof err);
    return bui_mac_check(keys, &s->record, speaker, &err) == BUS_OK ? "" : err.text;
}

static void a_change_of_what_is_covered_is_noticed(void **state)
{
    (void)state;
    bui_keys *keys = keys_of("k1 " A " write\n");
    sample s;
    sign(&s, keys);
    assert_string_equal(why_not(keys, &s, NULL), "");
    const char *other = "its bus-mac (key k1) is not that of this record in this place";
#define CHANGED(statement) \
    do { \
        sign(&s, keys); \
        statement; \
        assert_string_equal(why_not(keys, &s, NULL), other); \
    } while (0)
    CHANGED(s.record.topic = "order.events2");
    CHANGED(s.record.partition = 3);
    CHANGED(s.record.key = "l");
    CHANGED(s.record.key = NULL);
    CHANGED(s.record.value = "bodi");
    CHANGED(s.record.value = NULL);
    CHANGED(s.record.value_len = 3);
    CHANGED(s.headers[0].value = "1b6ce1c8-5f1d-5d0c-9a39-0b2c8a1e7f55");
    CHANGED(s.headers[1].value = "order.OrderPlacee");
    CHANGED(s.headers[2].value = "ordes");
    CHANGED(s.headers[3].value = "5f1e");
    CHANGED(s.headers[5].value = "2");
    CHANGED(s.headers[5].name = "x-owm");
    CHANGED(s.headers[5].value = NULL);
    CHANGED(s.headers[6].value = "order/0#9f86d081884c7d65 order.events/2/1235");
    CHANGED(s.headers[6] = s.headers[7]; s.record.header_count = 7);                         /* the hop taken away */
    CHANGED(s.headers[8] = header("bus-command", "redrive x 1"); s.record.header_count = 9); /* one more */
    CHANGED(s.headers[8] = header("ce_type", "order.OrderPlaced"); s.record.header_count = 9);
    /* What is not covered may change on the way. */
    sign(&s, keys);
    s.headers[4].value = "00-1-3-01";
    assert_string_equal(why_not(keys, &s, NULL), "");
    bui_keys_free(keys);
}

/* A record without a hop, or with one that names another place, is held to where it is by the signature alone. */
static void a_copy_elsewhere_does_not_verify(void **state)
{
    (void)state;
    bui_keys *keys = keys_of("k1 " A " write\n");
    sample s;
    for (int hop = 0; hop < 2; hop++) {
        sign(&s, keys);
        s.record.header_count = 6;
        if (hop)
            s.headers[s.record.header_count++] = header("bus-hop", "order/0#9f86d081884c7d65 other.events/2/1234");
        s.headers[s.record.header_count] = (bus_header){ BUI_HEADER_MAC, s.mac, bui_mac_write(keys, &s.record, s.mac) };
        s.record.header_count++;
        assert_string_equal(why_not(keys, &s, NULL), "");
        s.record.topic = "other.events";
        assert_string_not_equal(why_not(keys, &s, NULL), "");
        s.record.topic = "order.events";
        s.record.partition = 1;
        assert_string_not_equal(why_not(keys, &s, NULL), "");
    }
    bui_keys_free(keys);
}

static void what_is_no_signature_is_told(void **state)
{
    (void)state;
    bui_keys *keys = keys_of("k1 " A " write\n"), *others = keys_of("k2 " A " write\n");
    sample s;
    sign(&s, others);
    assert_string_equal(why_not(keys, &s, NULL), "it is signed with key k2, which hop.key.file does not have");
    s.record.header_count--;
    assert_string_equal(why_not(keys, &s, NULL), "it is not signed (no bus-mac header)");
    static const char *const malformed[] = { "",
                                             "k1",
                                             "k1 ",
                                             "k1  00112233445566778899aabbccddeeff",
                                             "k1 00112233445566778899aabbccddeef",
                                             "k1 00112233445566778899aabbccddeeff0",
                                             "k1 g0112233445566778899aabbccddeeff",
                                             " 00112233445566778899aabbccddeeff",
                                             "k/1 00112233445566778899aabbccddeeff",
                                             "0123456789012345678901234567890123 00112233445566778899aabbccddeeff" };
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        s.headers[7] = header(BUI_HEADER_MAC, malformed[i]);
        s.record.header_count = 8;
        assert_string_equal(why_not(keys, &s, NULL), "its bus-mac header is malformed");
    }
    s.headers[7] = (bus_header){ BUI_HEADER_MAC, NULL, 0 };
    assert_string_equal(why_not(keys, &s, NULL), "its bus-mac header is malformed");
    bui_keys_free(keys);
    bui_keys_free(others);
}

static void keys_are_changed_one_after_the_other(void **state)
{
    (void)state;
    char id[BUI_MAC_ID_MOST + 1];
    bui_keys *before = keys_of("old " A " write\n"),
             *between = keys_of("# both\nold " A " read\nnew " B " write # from now on\n\n");
    bui_keys *after = keys_of("new " B " write");
    sample s;
    sign(&s, before);
    assert_string_equal(why_not(between, &s, NULL), "");
    assert_string_not_equal(why_not(after, &s, NULL), "");
    sign(&s, between);
    assert_string_equal(bui_mac_id(s.headers, s.record.header_count, id), "new");
    assert_string_equal(why_not(after, &s, NULL), "");
    assert_string_not_equal(why_not(before, &s, NULL), "");
    /* Without a key to write with nothing is signed. */
    bui_keys *reader = keys_of("old " A " read\n");
    sign(&s, reader);
    assert_int_equal(s.record.header_count, 7);
    bui_keys_free(before);
    bui_keys_free(between);
    bui_keys_free(after);
    bui_keys_free(reader);
}

static void a_key_speaks_for_its_services(void **state)
{
    (void)state;
    bui_keys *writer = keys_of("k " A " write\n"), *order = keys_of("k " A " read order,shop\n"),
             *pay = keys_of("k " A " read pay,orde\n");
    sample s;
    sign(&s, writer);
    assert_string_equal(why_not(order, &s, NULL), "");
    assert_string_equal(why_not(pay, &s, NULL), "key k does not speak for order");
    assert_string_equal(why_not(order, &s, BUI_MAC_COMMANDER), "key k does not speak for bus");
    /* Without a hop it is ce_source that counts. */
    s.record.header_count = 6;
    s.headers[6] = (bus_header){ BUI_HEADER_MAC, s.mac, bui_mac_write(writer, &s.record, s.mac) };
    s.record.header_count = 7;
    assert_string_equal(why_not(order, &s, NULL), "");
    assert_string_equal(why_not(pay, &s, NULL), "key k does not speak for order");
    assert_true(bui_keys_require(order, "order.events"));
    assert_true(bui_keys_require(order, "svc.redrive"));
    assert_false(bui_keys_require(order, "order.event"));
    assert_false(bui_keys_require(order, "svc"));
    assert_false(bui_keys_require(NULL, "order.events"));
    bui_keys_free(writer);
    bui_keys_free(order);
    bui_keys_free(pay);
}

static void a_bad_file_is_refused_with_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } cases[] = {
        { "", "keys has no key" },
        { "# nothing\n", "keys has no key" },
        { "k\n", "keys line 1: the key is not 64 hex digits" },
        { "k1 " A " write\nk/2 " A " read\n", "keys line 2: a key id has" },
        { "k " A "0 read\n", "keys line 1: the key is not" },
        { "k " A "\n", "keys line 1: what the key is for" },
        { "k " A " both\n", "keys line 1: what the key is for" },
        { "k " A " read\nk " B " read\n", "keys line 2: two keys with one id" },
        { "k " A " write\nl " B " write\n", "keys line 2: two keys to write with" },
        { "k " A " read a b\n", "keys line 1: more than four words" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bui_keys *keys = NULL;
        bus_error err = { 0 };
        assert_int_equal(bui_keys_new(cases[i].text, strlen(cases[i].text), "keys", "*", &keys, &err), BUS_INVALID);
        if (strncmp(err.text, cases[i].why, strlen(cases[i].why)) != 0)
            fail_msg("\"%s\", not \"%s\"", err.text, cases[i].why);
        assert_null(strstr(err.text, "0123456789abcdef")); /* a key is never told */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_of_what_is_covered_is_noticed), cmocka_unit_test(a_copy_elsewhere_does_not_verify),
        cmocka_unit_test(what_is_no_signature_is_told),           cmocka_unit_test(keys_are_changed_one_after_the_other),
        cmocka_unit_test(a_key_speaks_for_its_services),          cmocka_unit_test(a_bad_file_is_refused_with_its_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
