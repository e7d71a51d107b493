/* SPDX-License-Identifier: MIT
 * UTF-8: the edges of every range, wherever they stand among eight-byte steps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "codec/utf8.h"

static void knows_the_edges(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        bool ok;
    } cases[] = {
        { "", true },
        { "plain text of more than eight", true },
        { "\x7f", true },
        { "\x80", false },
        { "\xc1\xbf", false },
        { "\xc2\x80", true },
        { "\xdf\xbf", true },
        { "\xdf", false },
        { "\xe0\x9f\xbf", false },
        { "\xe0\xa0\x80", true },
        { "\xed\x9f\xbf", true },
        { "\xed\xa0\x80", false },
        { "\xee\x80\x80", true },
        { "\xef\xbf\xbf", true },
        { "\xef\xbf", false },
        { "\xf0\x8f\xbf\xbf", false },
        { "\xf0\x90\x80\x80", true },
        { "\xf4\x8f\xbf\xbf", true },
        { "\xf4\x90\x80\x80", false },
        { "\xf5\x80\x80\x80", false },
        { "\xff", false },
        { "\xe2\x82", false },
        { "\xe2\x28\xa1", false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t before = 0; before < 17; before++) {
            char text[64];
            memset(text, 'a', sizeof text);
            size_t len = strlen(cases[i].bytes);
            memcpy(text + before, cases[i].bytes, len);
            if (bui_utf8_check(text, before + len) != cases[i].ok)
                fail_msg("case %zu after %zu bytes", i, before);
        }
    assert_true(bui_utf8_check("a\0b", 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(knows_the_edges) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
