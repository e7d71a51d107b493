/* SPDX-License-Identifier: MIT
 * Clock: times and durations as text, both ways; the real clocks move. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include <time.h>

#define NOW INT64_C(1795238040123) /* 2026-11-21T05:14:00.123Z */

static void writes_times(void **state)
{
    (void)state;
    char text[32];
    assert_string_equal(bui_time_text(NOW, text), "2026-11-21T05:14:00.123Z");
    assert_string_equal(bui_time_text(0, text), "1970-01-01T00:00:00.000Z");
    assert_string_equal(bui_time_text(-1, text), "1969-12-31T23:59:59.999Z");
    assert_string_equal(bui_time_text(INT64_C(951782400000), text), "2000-02-29T00:00:00.000Z");
    assert_string_equal(bui_time_text(INT64_MAX, text), "9999-12-31T23:59:59.999Z");
    assert_string_equal(bui_time_text(INT64_MIN, text), "0001-01-01T00:00:00.000Z");
}

/* Every day of 400 years against the C library. */
static void agrees_with_the_c_library(void **state)
{
    (void)state;
    for (int64_t day = -25000; day < 121097; day += 11) {
        time_t seconds = (time_t)(day * 86400 + 3661);
        struct tm tm;
        assert_non_null(gmtime_r(&seconds, &tm));
        char expected[40], text[32];
        assert_true(strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%S.000Z", &tm) > 0);
        assert_string_equal(bui_time_text((int64_t)seconds * 1000, text), expected);
        int64_t back;
        assert_true(bui_time_parse(text, 0, &back));
        assert_int_equal(back, (int64_t)seconds * 1000);
    }
}

static void parses(const char *text, int64_t expected)
{
    int64_t ms = 7;
    if (!bui_time_parse(text, NOW, &ms))
        fail_msg("%s is refused", text);
    if (ms != expected)
        fail_msg("%s is %lld, not %lld", text, (long long)ms, (long long)expected);
}

static void reads_times(void **state)
{
    (void)state;
    parses("@-1h", NOW - 3600000);
    parses("@-90s", NOW - 90000);
    parses("@-2d", NOW - 2 * 86400000);
    parses("-250ms", NOW - 250);
    parses("@end", INT64_MAX);
    parses("end", INT64_MAX);
    parses("@start", INT64_MIN);
    parses("now", NOW);
    parses("1795238040123", NOW);
    parses("0", 0);
    parses("2026-11-21T05:14:00.123Z", NOW);
    parses("@2026-11-21T05:14:00.123Z", NOW);
    parses("2026-11-21t05:14:00.1239999z", NOW);
    parses("2026-11-21 07:14:00.123+02:00", NOW);
    parses("2026-11-21T05:14:00.1230-0000", NOW);
    parses("2026-11-20T23:44:00.123-05:30", NOW);
    parses("2026-11-21T05:14", NOW - 123);
    parses("2026-11-21", INT64_C(1795219200000));
    parses("2016-12-31T23:59:60Z", INT64_C(1483228800000)); /* a leap second is the next second */
}

static void refuses_what_is_no_time(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "@",
        "@-",
        "yesterday",
        "2026-13-01",
        "2026-02-29",
        "2026-11-31",
        "2026-1-1",
        "2026-11-21T",
        "2026-11-21T5:14",
        "2026-11-21T24:00:00Z",
        "2026-11-21T05:60",
        "2026-11-21T05:14:61Z",
        "2026-11-21T05:14:00.Z",
        "2026-11-21T05:14:00Zx",
        "2026-11-21T05:14:00+25:00",
        "0000-01-01",
        "99999999999999999999",
        "@-99999999999999999d",
        "12x",
        " 1",
        "-9223372036854775807d",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int64_t ms = 42;
        if (bui_time_parse(wrong[i], NOW, &ms))
            fail_msg("\"%s\" is taken as %lld", wrong[i], (long long)ms);
        assert_int_equal(ms, 42);
    }
}

static void reads_durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } right[] = {
        { "250ms", 250 },    { "1s", 1000 }, { "5m", 300000 }, { "2h", 7200000 },
        { "7d", 604800000 }, { "0", 0 },     { "42", 42 },     { "106751991167d", INT64_C(106751991167) * 86400000 },
    };
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        int64_t ms;
        assert_true(bui_duration_parse(right[i].text, &ms));
        assert_int_equal(ms, right[i].ms);
    }
    static const char *const wrong[] = { "",   "s",    "-1s", "+1s",           "1 s",
                                         "1S", "1.5s", "1sm", "106751991168d", "9223372036854775808",
                                         "1w" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int64_t ms = 42;
        if (bui_duration_parse(wrong[i], &ms))
            fail_msg("\"%s\" is taken", wrong[i]);
        assert_int_equal(ms, 42);
    }
}

static void real_clocks_move(void **state)
{
    (void)state;
    const bui_clock *clock = bui_clock_real();
    int64_t wall = clock->wall_ms(clock), mono = clock->mono_us(clock);
    assert_true(wall > INT64_C(1700000000000));
    const struct timespec nap = { 0, 5000000 };
    assert_int_equal(nanosleep(&nap, NULL), 0);
    assert_in_range(clock->mono_us(clock) - mono, 5000, 60000000);
    assert_true(clock->wall_ms(clock) != wall);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_times),    cmocka_unit_test(agrees_with_the_c_library),
        cmocka_unit_test(reads_times),     cmocka_unit_test(refuses_what_is_no_time),
        cmocka_unit_test(reads_durations), cmocka_unit_test(real_clocks_move),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
