/* SPDX-License-Identifier: MIT
 * A growable byte buffer with a bound. Sticky failure: after the first failed append further appends
 * do nothing and bus_buf_ok says false, so that a writer checks once at its end. */
#ifndef BUS_BASE_BUF_H
#define BUS_BASE_BUF_H

#include <bus/tx.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct bus_buf {
    uint8_t *data;
    size_t len, cap;
    size_t limit;  /* 0: SIZE_MAX / 2 */
    bool failed;   /* no memory or over the limit */
    bool over;     /* it was the limit */
} bus_buf;

void bus_buf_init(bus_buf *buf, size_t limit);
void bus_buf_free(bus_buf *buf);               /* back to the state after init */
/* Room for n bytes after len, and for `spare` more that do not count against the limit: a terminator, or what a writer may
 * write before it looks at the limit. False: failed. */
bool bus_buf_reserve(bus_buf *buf, size_t n, size_t spare);
uint8_t *bus_buf_grow(bus_buf *buf, size_t n); /* room for n more bytes, len advanced; NULL on failure */
void bus_buf_add(bus_buf *buf, const void *bytes, size_t n);
void bus_buf_byte(bus_buf *buf, uint8_t byte);
void bus_buf_text(bus_buf *buf, const char *text);
void bus_buf_printf(bus_buf *buf, const char *format, ...) BUS_PRINTF(2, 3);
void bus_buf_json(bus_buf *buf, const char *bytes, size_t n); /* a quoted JSON string; bad UTF-8 becomes U+FFFD */
/* Appends text for people: whatever a terminal would obey, or an eye not see, and what is no UTF-8, as '?'. `lines`: keeps line ends and
 * tabs. (bus_buf_json escapes the same as \uXXXX.) */
void bus_buf_clean(bus_buf *buf, const void *bytes, size_t n, bool lines);
/* Length 0, failure forgotten, memory kept. */
static inline void bus_buf_clear(bus_buf *buf)
{
    buf->len = 0;
    buf->failed = buf->over = false;
}

static inline bool bus_buf_ok(const bus_buf *buf) { return !buf->failed; }
/* Terminates and hands the bytes to the caller (free()); NULL on failure. The buffer is empty after. */
char *bus_buf_take(bus_buf *buf);

#endif
