/* SPDX-License-Identifier: MIT
 * The system's clocks, and times and durations as text. */
#include "base/clock.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t real_wall_ms(const bui_clock *clock)
{
    (void)clock;
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int64_t real_mono_us(const bui_clock *clock)
{
    (void)clock;
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

const bui_clock *bui_clock_real(void)
{
    static const bui_clock real = { real_wall_ms, real_mono_us };
    return &real;
}

int64_t bui_clock_now_us(void)
{
    return real_mono_us(NULL);
}

/* Days since 1970-01-01 of a proleptic Gregorian date, and back: Howard Hinnant's "chrono-compatible low-level date
 * algorithms". Not timegm and gmtime_r: those normalise 31 February instead of refusing it. */
static int64_t days_of(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void date_of(int64_t days, int64_t *year, int *month, int *day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t of_era = days - era * 146097;
    int64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * y + y / 4 - y / 100);
    int64_t m = (5 * of_year + 2) / 153;
    *day = (int)(of_year - (153 * m + 2) / 5 + 1);
    *month = (int)(m < 10 ? m + 3 : m - 9);
    *year = y + era * 400 + (*month <= 2);
}

#define FIRST_MS (INT64_C(-62135596800) * 1000)      /* 0001-01-01 */
#define LAST_MS (INT64_C(253402300799) * 1000 + 999) /* the end of 9999 */

static void put_digits(char *out, int count, int64_t value)
{
    for (; count--; value /= 10)
        out[count] = (char)('0' + value % 10);
}

char *bui_time_text(int64_t wall_ms, char *out)
{
    if (wall_ms < FIRST_MS)
        wall_ms = FIRST_MS;
    if (wall_ms > LAST_MS)
        wall_ms = LAST_MS;
    int64_t days = wall_ms / 86400000, rest = wall_ms % 86400000;
    if (rest < 0) {
        rest += 86400000;
        days--;
    }
    int64_t year;
    int month, day;
    date_of(days, &year, &month, &day);
    /* Without printf: one for each record that a tool shows. */
    memcpy(out, "....-..-..T..:..:...", 20);
    put_digits(out, 4, year);
    put_digits(out + 5, 2, month);
    put_digits(out + 8, 2, day);
    put_digits(out + 11, 2, rest / 3600000);
    put_digits(out + 14, 2, rest / 60000 % 60);
    put_digits(out + 17, 2, rest / 1000 % 60);
    put_digits(out + 20, 3, rest % 1000);
    memcpy(out + 23, "Z", 2);
    return out;
}

/* Reads digits, at most INT64_MAX; returns how many there were, 0 if none or too large. */
static size_t digits(const char *text, int64_t *out)
{
    int64_t n = 0;
    size_t i = 0;
    for (; text[i] >= '0' && text[i] <= '9'; i++)
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, text[i] - '0', &n))
            return 0;
    *out = n;
    return i;
}

bool bui_duration_parse(const char *text, int64_t *out_ms)
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {
        { "", 1 }, { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 },
    };
    int64_t n, ms;
    size_t used = digits(text, &n);
    for (size_t i = 0; used && i < sizeof units / sizeof *units; i++) {
        if (strcmp(text + used, units[i].unit) == 0) {
            if (__builtin_mul_overflow(n, units[i].ms, &ms))
                return false;
            *out_ms = ms;
            return true;
        }
    }
    return false;
}

/* Exactly `count` digits and then `after` (0: nothing is looked for); moves *at past both. */
static bool field(const char **at, int count, char after, int *out)
{
    int n = 0;
    for (int i = 0; i < count; i++, (*at)++) {
        if (**at < '0' || **at > '9')
            return false;
        n = n * 10 + (**at - '0');
    }
    if (after) {
        if (**at != after)
            return false;
        (*at)++;
    }
    *out = n;
    return true;
}

/* "Z", "+02:00", "-0530" or nothing (then UTC): the offset in minutes. */
static bool zone(const char **at, int *minutes)
{
    *minutes = 0;
    if (**at == 'Z' || **at == 'z') {
        (*at)++;
        return true;
    }
    if (**at != '+' && **at != '-')
        return true;
    int sign = *(*at)++ == '-' ? -1 : 1, h, m;
    if (!field(at, 2, 0, &h))
        return false;
    if (**at == ':')
        (*at)++;
    if (!field(at, 2, 0, &m) || h > 23 || m > 59)
        return false;
    *minutes = sign * (h * 60 + m);
    return true;
}

/* RFC 3339, the time of day and seconds optional. */
static bool rfc3339(const char *text, int64_t *out_ms)
{
    static const int lengths[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    const char *at = text;
    int year, month, day, hour = 0, minute = 0, second = 0, ms = 0, offset = 0;
    if (!field(&at, 4, '-', &year) || !field(&at, 2, '-', &month) || !field(&at, 2, 0, &day))
        return false;
    if (*at == 'T' || *at == 't' || *at == ' ') {
        at++;
        if (!field(&at, 2, ':', &hour) || !field(&at, 2, 0, &minute))
            return false;
        if (*at == ':' && (at++, !field(&at, 2, 0, &second)))
            return false;
        if (*at == '.') {
            at++;
            if (*at < '0' || *at > '9')
                return false;
            for (int scale = 100; *at >= '0' && *at <= '9'; at++, scale /= 10)
                ms += (*at - '0') * scale;
        }
        if (!zone(&at, &offset))
            return false;
    }
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (*at || year < 1 || month < 1 || month > 12 || day < 1 || day > lengths[month - 1] + (leap && month == 2) || hour > 23 ||
        minute > 59 || second > 60)
        return false;
    int64_t seconds = (days_of(year, month, day) * 24 + hour) * 3600 + (minute - offset) * 60 + second;
    *out_ms = seconds * 1000 + ms;
    return true;
}

bool bui_time_is_old(const char *text)
{
    int64_t n;
    text += *text == '@';
    size_t used = digits(text, &n);
    return used && !text[used] && n > 0 && n < INT64_C(100000000000);
}

bool bui_time_parse(const char *text, int64_t now_ms, int64_t *out_ms)
{
    if (*text == '@')
        text++;
    int64_t n;
    if (strcmp(text, "start") == 0) {
        *out_ms = INT64_MIN;
        return true;
    }
    if (strcmp(text, "end") == 0) {
        *out_ms = INT64_MAX;
        return true;
    }
    if (strcmp(text, "now") == 0) {
        *out_ms = now_ms;
        return true;
    }
    if (*text == '-') {
        if (!bui_duration_parse(text + 1, &n) || __builtin_sub_overflow(now_ms, n, &n))
            return false;
        *out_ms = n;
        return true;
    }
    size_t used = digits(text, &n);
    if (used && !text[used]) {
        *out_ms = n;
        return true;
    }
    return rfc3339(text, out_ms);
}
