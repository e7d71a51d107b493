/* SPDX-License-Identifier: MIT
 * A growable byte buffer with a bound. Sticky failure: after the first failed append further appends
 * do nothing and bui_buf_ok says false, so that a writer checks once at its end. */
#ifndef BUI_BASE_BUF_H
#define BUI_BASE_BUF_H

#include <bus/tx.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct bui_buf {
    uint8_t *data;
    size_t len, cap;
    size_t limit; /* 0: SIZE_MAX / 2 */
    bool failed;  /* no memory or over the limit */
    bool over;    /* it was the limit */
} bui_buf;

void bui_buf_init(bui_buf *buf, size_t limit);
void bui_buf_free(bui_buf *buf); /* back to the state after init */
/* Room for n bytes after len, and for `spare` more that do not count against the limit: a terminator, or what a writer may
 * write before it looks at the limit. False: failed. */
bool bui_buf_reserve(bui_buf *buf, size_t n, size_t spare);
uint8_t *bui_buf_grow_more(bui_buf *buf, size_t n); /* bui_buf_grow, where there is no room yet */
/* Room for n more bytes, len advanced; NULL on failure. In line while there is room. */
static inline uint8_t *bui_buf_grow(bui_buf *buf, size_t n)
{
    if (buf->failed || n >= buf->cap - buf->len || buf->len > buf->limit || n > buf->limit - buf->len)
        return bui_buf_grow_more(buf, n);
    uint8_t *at = buf->data + buf->len;
    buf->len += n;
    return at;
}
void bui_buf_add(bui_buf *buf, const void *bytes, size_t n);
void bui_buf_byte(bui_buf *buf, uint8_t byte);
void bui_buf_int(bui_buf *buf, int64_t value); /* as %lld, without the way through printf */
/* The decimal digits of `value`, with its sign, up to `end`: at most BUI_INT_DIGITS. Where they begin. */
#define BUI_INT_DIGITS 20
static inline char *bui_int_digits(int64_t value, char *end)
{
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do
        *--end = (char)('0' + left % 10);
    while (left /= 10);
    if (value < 0)
        *--end = '-';
    return end;
}
void bui_buf_text(bui_buf *buf, const char *text);
void bui_buf_printf(bui_buf *buf, const char *format, ...) BUS_PRINTF(2, 3);
void bui_buf_real(bui_buf *buf, int digits, double value);    /* as %.*g, with a point whatever the program's locale says */
void bui_buf_json(bui_buf *buf, const char *bytes, size_t n); /* a quoted JSON string; bad UTF-8 becomes U+FFFD */
/* Appends text for people: whatever a terminal would obey, or an eye not see, and what is no UTF-8, as '?'. `lines`: keeps line ends and
 * tabs. (bui_buf_json escapes the same as \uXXXX.) */
void bui_buf_clean(bui_buf *buf, const void *bytes, size_t n, bool lines);
/* How much of `text` fits into `most` bytes without cutting a character of UTF-8. */
size_t bui_text_cut(const char *text, size_t len, size_t most);
/* Length 0, failure forgotten, memory kept. */
static inline void bui_buf_clear(bui_buf *buf)
{
    buf->len = 0;
    buf->failed = buf->over = false;
}

static inline bool bui_buf_ok(const bui_buf *buf)
{
    return !buf->failed;
}
/* Terminates and hands the bytes to the caller (free()); NULL on failure. The buffer is empty after. */
char *bui_buf_take(bui_buf *buf);

#endif
