/* SPDX-License-Identifier: MIT
 * Buffer: bound, sticky failure, JSON strings, allocation failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "support/alloc_fail.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void grows_and_hands_over(void **state)
{
    (void)state;
    bui_buf buf;
    bui_buf_init(&buf, 0);
    char expected[5001] = "";
    for (int i = 0; i < 1000; i++) {
        bui_buf_printf(&buf, "%04d,", i);
        (void)sprintf(expected + i * 5, "%04d,", i);
    }
    assert_true(bui_buf_ok(&buf));
    assert_int_equal(buf.len, 5000);
    char *text = bui_buf_take(&buf);
    assert_string_equal(text, expected);
    free(text);
    assert_null(buf.data);
    text = bui_buf_take(&buf); /* empty is a string too */
    assert_string_equal(text, "");
    free(text);
}

static void prints_long_texts_whole(void **state)
{
    (void)state;
    char longer[700];
    memset(longer, 'y', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    bui_buf buf;
    bui_buf_init(&buf, 0);
    bui_buf_printf(&buf, "<%s>", longer);
    assert_int_equal(buf.len, 701);
    assert_memory_equal(buf.data + 1, longer, 699);
    assert_int_equal(buf.data[700], '>');
    bui_buf_free(&buf);
}

static void keeps_its_bound(void **state)
{
    (void)state;
    bui_buf buf;
    bui_buf_init(&buf, 8);
    bui_buf_text(&buf, "12345678");
    assert_true(bui_buf_ok(&buf));
    bui_buf_byte(&buf, '9');
    assert_false(bui_buf_ok(&buf));
    assert_true(buf.over);
    bui_buf_text(&buf, "");
    assert_null(bui_buf_grow(&buf, 0)); /* sticky */
    assert_int_equal(buf.len, 8);
    bui_buf_clear(&buf);
    assert_true(bui_buf_ok(&buf));
    bui_buf_printf(&buf, "%d", 12345678);
    assert_true(bui_buf_ok(&buf));
    bui_buf_printf(&buf, "%d", 1);
    assert_null(bui_buf_take(&buf));
    assert_true(bui_buf_ok(&buf));             /* empty again */
    assert_null(bui_buf_grow(&buf, SIZE_MAX)); /* no overflow */
    bui_buf_free(&buf);
    assert_int_equal(buf.limit, 8);
}

static void is_json(const char *bytes, size_t n, const char *expected)
{
    bui_buf buf;
    bui_buf_init(&buf, 0);
    bui_buf_json(&buf, bytes, n);
    char *text = bui_buf_take(&buf);
    assert_string_equal(text, expected);
    free(text);
}

static void writes_json_strings(void **state)
{
    (void)state;
    is_json("", 0, "\"\"");
    is_json("a\"b\\c/\n\r\t", 9, "\"a\\\"b\\\\c/\\n\\r\\t\"");
    is_json("\0\x1F\x7F", 3, "\"\\u0000\\u001f\\u007f\"");
    is_json("\xC3\xA4\xE2\x82\xAC\xF0\x9F\x9A\x8C", 9, "\"\xC3\xA4\xE2\x82\xAC\xF0\x9F\x9A\x8C\"");
#define R "\xEF\xBF\xBD"
    is_json("\xFF"
            "a",
            2, "\"" R "a\"");
    is_json("\xC3", 1, "\"" R "\"");                   /* cut */
    is_json("\xC0\xAF", 2, "\"" R R "\"");             /* overlong */
    is_json("\xED\xA0\x80", 3, "\"" R R R "\"");       /* surrogate */
    is_json("\xF4\x90\x80\x80", 4, "\"" R R R R "\""); /* beyond U+10FFFF */
    is_json("\xE0\x80\x80", 3, "\"" R R R "\"");
    is_json("\xF0\x8F\xBF\xBF", 4, "\"" R R R R "\"");
}

static void survives_no_memory(void **state)
{
    (void)state;
    for (long n = 1;; n++) {
        bui_buf buf;
        bui_buf_init(&buf, 0);
        alloc_fail_at(n, false);
        for (int i = 0; i < 500; i++)
            bui_buf_printf(&buf, "line %d\n", i);
        char *text = bui_buf_take(&buf);
        if (!alloc_fail_off()) {
            assert_non_null(text);
            assert_true(n > 3); /* it did allocate */
            free(text);
            break;
        }
        assert_null(text);
    }
}

static void is_clean(const char *bytes, size_t n, bool lines, const char *expected)
{
    bui_buf buf;
    bui_buf_init(&buf, 0);
    bui_buf_clean(&buf, bytes, n, lines);
    bui_buf_byte(&buf, 0);
    assert_string_equal((char *)buf.data, expected);
    bui_buf_free(&buf);
}

/* What a terminal obeys, and what turns the order of what is read or cannot be seen: nobody must be shown another text than the one there. */
static void hides_nothing_from_people(void **state)
{
    (void)state;
    is_clean("a\x1b[2J\x7f\xc2\x9b"
             "1m\n\t",
             12, false, "a?[2J??1m??");
    is_clean("a\n\tb\r", 5, true, "a\n\tb?");
    is_clean("pay \xe2\x80\xae"
             "eur\xe2\x80\xac\xe2\x81\xa6\xe2\x80\x8b\xef\xbb\xbf",
             22, false, "pay ?eur????");
    is_clean("\x9b"
             "1m \xe2\x80",
             6, false, "?1m ??");
    is_clean("\xc3\xa9 \xe4\xb8\xad \xf0\x9f\x98\x80", 11, false, "\xc3\xa9 \xe4\xb8\xad \xf0\x9f\x98\x80");
    is_json("a\xe2\x80\xae"
            "b\xc2\x9b\xef\xbb\xbf\xc3\xa9",
            12, "\"a\\u202eb\\u009b\\ufeff\xc3\xa9\"");
}

/* Plain characters are found eight at a time: each character at each place among them comes out as it does alone. */
static void quotes_each_character_at_each_place(void **state)
{
    (void)state;
    for (int c = 0; c < 0x80; c++) {
        char alone[24], text[20], expected[64];
        bui_buf buf;
        bui_buf_init(&buf, 0);
        bui_buf_json(&buf, (const char[]){ (char)c }, 1);
        memcpy(alone, buf.data + 1, buf.len - 2);
        alone[buf.len - 2] = 0;
        assert_true((strlen(alone) == 1) == (c >= 0x20 && c != '"' && c != '\\' && c != 0x7F));
        bui_buf_free(&buf);
        for (int at = 0; at < 19; at++) {
            memset(text, at % 2 ? '~' : ' ', sizeof text - 1);
            int len = snprintf(expected, sizeof expected, "\"%.*s%s%.*s\"", at, text, alone, 18 - at, text);
            text[at] = (char)c;
            bui_buf_json(&buf, text, 19);
            assert_int_equal(buf.len, len);
            assert_memory_equal(buf.data, expected, (size_t)len);
            bui_buf_free(&buf);
        }
    }
}

static void writes_whole_numbers(void **state)
{
    (void)state;
    static const int64_t values[] = { 0, 7, -7, 10, 1796081546172, INT64_MAX, INT64_MIN };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char expected[24];
        bui_buf buf;
        bui_buf_init(&buf, 0);
        bui_buf_int(&buf, values[i]);
        int len = snprintf(expected, sizeof expected, "%" PRId64, values[i]);
        assert_int_equal(buf.len, len);
        assert_memory_equal(buf.data, expected, (size_t)len);
        bui_buf_free(&buf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows_and_hands_over),
        cmocka_unit_test(prints_long_texts_whole),
        cmocka_unit_test(keeps_its_bound),
        cmocka_unit_test(writes_json_strings),
        cmocka_unit_test(survives_no_memory),
        cmocka_unit_test(hides_nothing_from_people),
        cmocka_unit_test(quotes_each_character_at_each_place),
        cmocka_unit_test(writes_whole_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
