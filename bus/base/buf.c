/* SPDX-License-Identifier: MIT
 * A growable byte buffer with a bound and sticky failure. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 64

void bui_buf_init(bui_buf *buf, size_t limit)
{
    *buf = (bui_buf){ .limit = limit ? limit : SIZE_MAX / 2 };
}

void bui_buf_free(bui_buf *buf)
{
    free(buf->data);
    bui_buf_init(buf, buf->limit);
}

bool bui_buf_reserve(bui_buf *buf, size_t n, size_t spare)
{
    if (buf->failed)
        return false;
    if (buf->len > buf->limit || n > buf->limit - buf->len) {
        buf->failed = buf->over = true;
        return false;
    }
    size_t need = buf->len + n + spare;
    if (need <= buf->cap)
        return true;
    size_t cap = buf->cap ? buf->cap : FIRST_CAPACITY;
    while (cap < need)
        cap = cap > SIZE_MAX / 4 ? need : cap * 2;
    uint8_t *data = realloc(buf->data, cap);
    if (!data) {
        buf->failed = true;
        return false;
    }
    buf->data = data;
    buf->cap = cap;
    return true;
}

uint8_t *bui_buf_grow_more(bui_buf *buf, size_t n)
{
    /* One byte at least, so that room for nothing is not NULL. */
    if (!bui_buf_reserve(buf, n, 1))
        return NULL;
    uint8_t *at = buf->data + buf->len;
    buf->len += n;
    return at;
}

void bui_buf_add(bui_buf *buf, const void *bytes, size_t n)
{
    uint8_t *at = bui_buf_grow(buf, n);
    if (at && n)
        memcpy(at, bytes, n);
}

void bui_buf_byte(bui_buf *buf, uint8_t byte)
{
    uint8_t *at = bui_buf_grow(buf, 1);
    if (at)
        *at = byte;
}

void bui_buf_int(bui_buf *buf, int64_t value)
{
    char text[BUI_INT_DIGITS], *end = text + sizeof text, *at = bui_int_digits(value, end);
    bui_buf_add(buf, at, (size_t)(end - at));
}

void bui_buf_text(bui_buf *buf, const char *text)
{
    bui_buf_add(buf, text, strlen(text));
}

void bui_buf_printf(bui_buf *buf, const char *format, ...)
{
    char small[256];
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(small, sizeof small, format, args);
    if (n < 0) {
        buf->failed = true;
    } else if ((size_t)n < sizeof small) {
        bui_buf_add(buf, small, (size_t)n);
    } else if (bui_buf_reserve(buf, (size_t)n, 1)) {
        (void)vsnprintf((char *)buf->data + buf->len, (size_t)n + 1, format, again);
        buf->len += (size_t)n;
    }
    va_end(again);
    va_end(args);
}

/* How many plain characters stand at p: of ASCII, no controls, neither '"' nor '\\'. Eight at a time: in each byte the highest bit is set
 * if it is not below 0x7F, or below 0x20, or equal to one of the two, or above such a byte: then they are looked at one by one. */
static size_t plain(const unsigned char *p, size_t n)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        uint64_t word;
        memcpy(&word, p + i, 8);
        uint64_t quote = word ^ ones * '"', slash = word ^ ones * '\\';
        if ((word | (word + ones) | (word - ones * 0x20) | (quote - ones) | (slash - ones)) & high)
            break;
    }
    while (i < n && p[i] >= 0x20 && p[i] < 0x7F && p[i] != '"' && p[i] != '\\')
        i++;
    return i;
}

/* The length of the UTF-8 character at p (RFC 3629: no overlong forms, surrogates, or code points above U+10FFFF), 0 if
 * there is none. */
static size_t character(const unsigned char *p, size_t n)
{
    if (p[0] < 0x80)
        return 1;
    size_t len = p[0] >= 0xC2 && p[0] <= 0xDF ? 2 : (p[0] & 0xF0) == 0xE0 ? 3 : p[0] >= 0xF0 && p[0] <= 0xF4 ? 4 : 0;
    if (len == 0 || len > n)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    bool bad = (p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F) || (p[0] == 0xF0 && p[1] < 0x90) ||
               (p[0] == 0xF4 && p[1] > 0x8F);
    return bad ? 0 : len;
}

/* What a terminal obeys or an eye cannot see: C1 controls, marks of direction, joiners of no width, separators of lines, the byte order
 * mark. As a code point; 0: none of them. `len` bytes of UTF-8. */
static unsigned hidden(const unsigned char *p, size_t len)
{
    unsigned code = len == 2   ? (p[0] & 0x1Fu) << 6 | (p[1] & 0x3Fu)
                    : len == 3 ? (p[0] & 0x0Fu) << 12 | (p[1] & 0x3Fu) << 6 | (p[2] & 0x3Fu)
                               : 0;
    bool is = (code >= 0x80 && code <= 0x9F) || code == 0x61C || code == 0x180E || (code >= 0x200B && code <= 0x200F) ||
              (code >= 0x2028 && code <= 0x202E) || (code >= 0x2060 && code <= 0x206F) || code == 0xFEFF;
    return is ? code : 0;
}

void bui_buf_clean(bui_buf *buf, const void *bytes, size_t n, bool lines)
{
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n && !buf->failed;) {
        size_t run = plain(p + i, n - i);
        if (run) {
            bui_buf_add(buf, p + i, run);
            i += run;
            continue;
        }
        size_t len = character(p + i, n - i);
        bool control = len == 1 && (p[i] < 0x20 || p[i] == 0x7F) && !(lines && (p[i] == '\n' || p[i] == '\t'));
        if (len == 0 || control || hidden(p + i, len))
            bui_buf_byte(buf, '?');
        else
            bui_buf_add(buf, p + i, len);
        i += len ? len : 1;
    }
}

void bui_buf_real(bui_buf *buf, int digits, double value)
{
    char text[64];
    (void)snprintf(text, sizeof text, "%.*g", digits, value);
    char *comma = strchr(text, ',');
    if (comma)
        *comma = '.';
    bui_buf_text(buf, text);
}

size_t bui_text_cut(const char *text, size_t len, size_t most)
{
    if (len <= most)
        return len;
    while (most && ((unsigned char)text[most] & 0xC0) == 0x80)
        most--;
    return most;
}

void bui_buf_json(bui_buf *buf, const char *bytes, size_t n)
{
    static const char hex[] = "0123456789abcdef";
    const unsigned char *p = (const unsigned char *)bytes;
    bui_buf_byte(buf, '"');
    for (size_t i = 0; i < n && !buf->failed;) {
        /* Runs of plain characters are added at once. */
        size_t run = plain(p + i, n - i);
        if (run) {
            bui_buf_add(buf, bytes + i, run);
            i += run;
            continue;
        }
        size_t len = character(p + i, n - i);
        unsigned code = len > 1 ? hidden(p + i, len) : 0;
        if (code) {
            char quoted[6] = { '\\', 'u', hex[code >> 12], hex[code >> 8 & 15], hex[code >> 4 & 15], hex[code & 15] };
            bui_buf_add(buf, quoted, 6);
        } else if (len > 1) {
            bui_buf_add(buf, bytes + i, len);
        } else if (len == 0) {
            bui_buf_add(buf, "\xEF\xBF\xBD", 3);
            len = 1;
        } else if (p[i] == '"' || p[i] == '\\') {
            char quoted[2] = { '\\', bytes[i] };
            bui_buf_add(buf, quoted, 2);
        } else if (p[i] == '\n' || p[i] == '\r' || p[i] == '\t') {
            char quoted[2] = { '\\', p[i] == '\n' ? 'n' : p[i] == '\r' ? 'r' : 't' };
            bui_buf_add(buf, quoted, 2);
        } else {
            char quoted[6] = { '\\', 'u', '0', '0', hex[p[i] >> 4], hex[p[i] & 15] };
            bui_buf_add(buf, quoted, 6);
        }
        i += len;
    }
    bui_buf_byte(buf, '"');
}

char *bui_buf_take(bui_buf *buf)
{
    char *text = NULL;
    if (bui_buf_reserve(buf, 0, 1)) {
        text = (char *)buf->data;
        text[buf->len] = 0;
        buf->data = NULL;
    }
    bui_buf_free(buf);
    return text;
}
