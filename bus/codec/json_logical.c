/* SPDX-License-Identifier: MIT
 * JSON of logical types. Days are counted in the proleptic Gregorian calendar, as RFC 3339 has it. */
#include "codec/json_logical.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- dates: eras of 400 years, years from March, so that the leap day comes last */

static int64_t days_of(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400, of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void date_of(int64_t days, int64_t *year, int *month, int *day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097, of_era = days - era * 146097;
    int64_t years = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * years + years / 4 - years / 100), part = (5 * of_year + 2) / 153;
    *day = (int)(of_year - (153 * part + 2) / 5 + 1);
    *month = (int)(part < 10 ? part + 3 : part - 9);
    *year = years + era * 400 + (*month <= 2);
}

static bool is_millis(bus_logical logical)
{
    return logical == BUS_LOGICAL_TIME_MILLIS || logical == BUS_LOGICAL_TIMESTAMP_MILLIS ||
           logical == BUS_LOGICAL_LOCAL_TIMESTAMP_MILLIS;
}

static bool is_instant(bus_logical logical)
{
    return logical == BUS_LOGICAL_TIMESTAMP_MILLIS || logical == BUS_LOGICAL_TIMESTAMP_MICROS;
}

static bool is_time(bus_logical logical)
{
    return logical == BUS_LOGICAL_TIME_MILLIS || logical == BUS_LOGICAL_TIME_MICROS;
}

static int64_t divide_down(int64_t value, int64_t by)
{
    return value / by - (value % by < 0);
}

/* "13:07:59.042"; `of_day` in units of which a second has `unit`. */
static void write_time(char *out, size_t cap, int64_t of_day, int64_t unit)
{
    int64_t seconds = of_day / unit;
    snprintf(out, cap, "%02d:%02d:%02d.%0*d", (int)(seconds / 3600), (int)(seconds / 60 % 60), (int)(seconds % 60),
             unit == 1000 ? 3 : 6, (int)(of_day % unit));
}

bool bui_logical_write(bus_logical logical, int64_t value, char out[BUI_LOGICAL_TEXT])
{
    const int64_t unit = is_millis(logical) ? 1000 : 1000000, day = unit * 86400;
    char time[40] = "";
    if (is_time(logical)) {
        if (value < 0 || value >= day)
            return false;
        write_time(out, BUI_LOGICAL_TEXT, value, unit);
        return true;
    }
    bool whole = logical == BUS_LOGICAL_DATE;
    if (!whole && (logical < BUS_LOGICAL_TIMESTAMP_MILLIS || logical > BUS_LOGICAL_LOCAL_TIMESTAMP_MICROS))
        return false;
    int64_t days = whole ? value : divide_down(value, day), year;
    int month, of_month;
    date_of(days, &year, &month, &of_month);
    if (year < 0 || year > 9999)
        return false;
    if (!whole)
        write_time(time, sizeof time, value - days * day, unit);
    snprintf(out, BUI_LOGICAL_TEXT, "%04d-%02d-%02d%s%s%s", (int)year, month, of_month, whole ? "" : "T", time,
             is_instant(logical) ? "Z" : "");
    return true;
}

/* ---- reading: exact numbers of digits */

typedef struct scan {
    const char *at, *end;
} scan;

static bool digits(scan *s, int count, int64_t *out)
{
    *out = 0;
    for (; count > 0; count--, s->at++) {
        if (s->at == s->end || *s->at < '0' || *s->at > '9')
            return false;
        *out = *out * 10 + (*s->at - '0');
    }
    return true;
}

static bool mark(scan *s, char c)
{
    return s->at < s->end && *s->at++ == c;
}

/* Up to `most` digits after a point, as if there were `most`; none are zero. */
static bool fraction(scan *s, int most, int64_t *out)
{
    int given = 0;
    *out = 0;
    if (s->at < s->end && *s->at == '.') {
        for (s->at++; s->at < s->end && *s->at >= '0' && *s->at <= '9'; s->at++) {
            if (++given > most)
                return false; /* nothing may get lost */
            *out = *out * 10 + (*s->at - '0');
        }
        if (given == 0)
            return false;
    }
    for (; given < most; given++)
        *out *= 10;
    return true;
}

static bool read_date(scan *s, int64_t *days)
{
    static const int lengths[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    int64_t year, month, day;
    if (!digits(s, 4, &year) || !mark(s, '-') || !digits(s, 2, &month) || !mark(s, '-') || !digits(s, 2, &day))
        return false;
    if (month < 1 || month > 12 || day < 1)
        return false;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (day > lengths[month - 1] + (month == 2 && leap))
        return false;
    *days = days_of(year, (int)month, (int)day);
    return true;
}

static bool read_time(scan *s, int64_t unit, int64_t *of_day)
{
    int64_t hour, minute, second, part;
    if (!digits(s, 2, &hour) || !mark(s, ':') || !digits(s, 2, &minute) || !mark(s, ':') || !digits(s, 2, &second) || hour > 23 ||
        minute > 59 || second > 59 || !fraction(s, unit == 1000 ? 3 : 6, &part))
        return false;
    *of_day = ((hour * 60 + minute) * 60 + second) * unit + part;
    return true;
}

/* "Z", "+01:00" or "-00:30", as what is to be taken off, in seconds. */
static bool read_zone(scan *s, int64_t *seconds)
{
    int64_t hour, minute;
    *seconds = 0;
    if (s->at < s->end && (*s->at == 'Z' || *s->at == 'z'))
        return s->at++, true;
    if (s->at == s->end || (*s->at != '+' && *s->at != '-'))
        return false;
    int64_t sign = *s->at++ == '-' ? -1 : 1;
    if (!digits(s, 2, &hour) || !mark(s, ':') || !digits(s, 2, &minute) || hour > 23 || minute > 59)
        return false;
    *seconds = sign * (hour * 3600 + minute * 60);
    return true;
}

bool bui_logical_read(bus_logical logical, const char *text, size_t len, int64_t *out)
{
    scan s = { text, text + len };
    const int64_t unit = is_millis(logical) ? 1000 : 1000000;
    int64_t days = 0, of_day = 0, zone = 0;
    if (logical == BUS_LOGICAL_DATE) {
        if (!read_date(&s, &days) || s.at != s.end)
            return false;
        *out = days;
        return true;
    }
    if (is_time(logical)) {
        if (!read_time(&s, unit, &of_day) || s.at != s.end)
            return false;
        *out = of_day;
        return true;
    }
    if (logical < BUS_LOGICAL_TIMESTAMP_MILLIS || logical > BUS_LOGICAL_LOCAL_TIMESTAMP_MICROS)
        return false;
    if (!read_date(&s, &days) || s.at == s.end || (*s.at != 'T' && *s.at != 't' && *s.at != ' ') ||
        !(s.at++, read_time(&s, unit, &of_day)) || (is_instant(logical) && !read_zone(&s, &zone)) || s.at != s.end)
        return false;
    *out = (days * 86400 - zone) * unit + of_day;
    return true;
}

/* ---- decimals: long division by ten of the magnitude, in place */

static void negate(uint8_t *bytes, size_t len)
{
    unsigned carry = 1;
    for (size_t i = len; i-- > 0; carry >>= 8) {
        carry += (uint8_t)~bytes[i];
        bytes[i] = (uint8_t)carry;
    }
}

bool bui_decimal_write(const uint8_t *bytes, size_t len, int32_t scale, bui_buf *out)
{
    uint8_t rest[BUI_DECIMAL_BYTES];
    char text[BUI_DECIMAL_BYTES * 3]; /* 2.41 digits a byte */
    size_t at = sizeof text, first = 0;
    if (len > BUI_DECIMAL_BYTES || scale < 0 || (size_t)scale > sizeof text - 2)
        return false;
    if (len > 0)
        memcpy(rest, bytes, len);
    bool minus = len > 0 && rest[0] & 0x80;
    if (minus)
        negate(rest, len); /* of the least value the magnitude is the same bytes, read without a sign */
    for (int32_t place = 0;; place++) {
        unsigned left = 0;
        while (first < len && rest[first] == 0)
            first++;
        if (first == len && place > scale)
            break;
        for (size_t i = first; i < len; i++) {
            left = left << 8 | rest[i];
            rest[i] = (uint8_t)(left / 10);
            left %= 10;
        }
        if (place == scale && scale > 0)
            text[--at] = '.';
        text[--at] = (char)('0' + left);
    }
    if (minus)
        text[--at] = '-';
    bui_buf_add(out, text + at, sizeof text - at);
    return bui_buf_ok(out);
}

/* value * 10 + digit, in place; *used: bytes from the end that may not be zero. false: no room. */
static bool push_digit(uint8_t *value, size_t room, size_t *used, unsigned digit)
{
    unsigned carry = digit;
    for (size_t i = 0; i < *used || carry; i++) {
        if (i == room)
            return false;
        carry += value[room - 1 - i] * 10u;
        value[room - 1 - i] = (uint8_t)carry;
        carry >>= 8;
        if (i + 1 > *used)
            *used = i + 1;
    }
    return true;
}

bool bui_decimal_read(const char *text, size_t text_len, int32_t scale, uint8_t out[BUI_DECIMAL_BYTES], size_t *len)
{
    uint8_t value[BUI_DECIMAL_BYTES + 1] = { 0 };
    const size_t room = sizeof value;
    const char *at = text, *end = text + text_len;
    size_t used = 1;
    int32_t places = -1, given = 0;
    bool minus = at < end && *at == '-';
    for (at += minus; at < end; at++) {
        if (*at == '.' && places < 0 && given > 0) {
            places = 0;
            continue;
        }
        if (*at < '0' || *at > '9' || (places >= 0 && ++places > scale))
            return false;
        given++;
        if (!push_digit(value, room, &used, (unsigned)(*at - '0')))
            return false;
    }
    if (given == 0 || places == 0)
        return false;
    for (int32_t missing = scale - (places < 0 ? 0 : places); missing > 0; missing--)
        if (!push_digit(value, room, &used, 0))
            return false;
    if (value[0] & 0x80)
        return false;
    if (minus)
        negate(value, room);
    size_t skip = 0;
    while (skip + 1 < room &&
           ((value[skip] == 0 && !(value[skip + 1] & 0x80)) || (value[skip] == 0xFF && value[skip + 1] & 0x80)))
        skip++;
    if (room - skip > BUI_DECIMAL_BYTES)
        return false;
    *len = room - skip;
    memcpy(out, value + skip, *len);
    return true;
}

size_t bui_decimal_digits(const uint8_t *bytes, size_t len)
{
    bui_buf text;
    while (len > 1 && ((bytes[0] == 0 && !(bytes[1] & 0x80)) || (bytes[0] == 0xFF && bytes[1] & 0x80))) {
        bytes++;
        len--;
    }
    if (len > BUI_DECIMAL_BYTES)
        return (size_t)((double)(8 * len - 9) * 0.30102999566398120) + 1;
    bui_buf_init(&text, 0);
    size_t digits = bui_decimal_write(bytes, len, 0, &text) ? text.len - (text.data[0] == '-') : 1;
    bui_buf_free(&text);
    return digits;
}

/* ---- durations */

void bui_duration_write(const uint8_t bytes[12], char out[BUI_LOGICAL_TEXT])
{
    uint32_t part[3];
    for (int i = 0; i < 3; i++)
        part[i] = (uint32_t)bytes[4 * i] | (uint32_t)bytes[4 * i + 1] << 8 | (uint32_t)bytes[4 * i + 2] << 16 |
                  (uint32_t)bytes[4 * i + 3] << 24;
    snprintf(out, BUI_LOGICAL_TEXT, "P%" PRIu32 "M%" PRIu32 "DT%" PRIu32 ".%03" PRIu32 "S", part[0], part[1], part[2] / 1000,
             part[2] % 1000);
}

static bool count_of(scan *s, int64_t *out)
{
    const char *start = s->at;
    for (*out = 0; s->at < s->end && *s->at >= '0' && *s->at <= '9' && *out <= UINT32_MAX; s->at++)
        *out = *out * 10 + (*s->at - '0');
    return s->at > start && *out <= UINT32_MAX;
}

bool bui_duration_read(const char *text, size_t len, uint8_t out[12])
{
    scan s = { text, text + len };
    int64_t part[3], ms;
    if (!mark(&s, 'P') || !count_of(&s, &part[0]) || !mark(&s, 'M') || !count_of(&s, &part[1]) || !mark(&s, 'D') ||
        !mark(&s, 'T') || !count_of(&s, &part[2]) || !fraction(&s, 3, &ms) || !mark(&s, 'S') || s.at != s.end)
        return false;
    part[2] = part[2] * 1000 + ms;
    if (part[2] > UINT32_MAX)
        return false;
    for (int i = 0; i < 12; i++)
        out[i] = (uint8_t)(part[i / 4] >> 8 * (i % 4));
    return true;
}
