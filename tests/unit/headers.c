/* SPDX-License-Identifier: MIT
 * Headers packed: order, nulls and unknown names survive; a broken blob is noticed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "codec/envelope.h"
#include <stdlib.h>
#include <string.h>

#define H(name, text) \
    { \
        name, text, sizeof(text) - 1 \
    }

static const bus_header headers[] = {
    H("ce_id", "7"),     H("custom", "a\0b"), { "bus-hop", NULL, 0 }, H("bus-hop", ""),
    H("ce_id", "again"), H("", "no name"),    H("ce_idx", "near"),
};
#define COUNT (sizeof headers / sizeof *headers)

static void keeps_everything(void **state)
{
    (void)state;
    bui_buf blob;
    bus_header out[COUNT];
    bui_buf_init(&blob, 0);
    bui_headers_pack(headers, COUNT, &blob);
    assert_true(bui_buf_ok(&blob));
    assert_int_equal(bui_headers_count(blob.data, blob.len), COUNT);
    assert_int_equal(bui_headers_unpack(blob.data, blob.len, out, COUNT), COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        assert_string_equal(out[i].name, headers[i].name);
        assert_int_equal(out[i].len, headers[i].len);
        assert_int_equal(out[i].value == NULL, headers[i].value == NULL);
        if (headers[i].len > 0)
            assert_memory_equal(out[i].value, headers[i].value, headers[i].len);
    }
    assert_true(bui_headers_unpack(blob.data, blob.len, out, COUNT - 1) == SIZE_MAX);
    assert_int_equal(bui_headers_unpack(NULL, 0, out, COUNT), 0);
    bui_buf_free(&blob);
}

static void notices_cuts(void **state)
{
    (void)state;
    bui_buf blob;
    bus_header out[COUNT];
    bui_buf_init(&blob, 0);
    bui_headers_pack(headers, COUNT, &blob);
    for (size_t cut = 1; cut < blob.len; cut++) {
        uint8_t *exact = malloc(cut);
        assert_non_null(exact);
        memcpy(exact, blob.data, cut);
        assert_true(bui_headers_unpack(exact, cut, out, COUNT) == SIZE_MAX);
        assert_true(bui_headers_count(exact, cut) == SIZE_MAX);
        free(exact);
    }
    bui_buf_byte(&blob, 0);
    assert_true(bui_headers_count(blob.data, blob.len) == SIZE_MAX);
    bui_buf_free(&blob);
    assert_true(bui_headers_count("\x01\x7f\x01", 3) == SIZE_MAX);         /* a code that nobody knows */
    assert_true(bui_headers_count("\xff\xff\xff\xff\x0f", 5) == SIZE_MAX); /* billions */
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(keeps_everything), cmocka_unit_test(notices_cuts) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
