/* SPDX-License-Identifier: MIT
 * Bytes: borrowed text and bytes, as keys and the strings of events are. Neither is terminated: what reads it goes by `len`. */
#ifndef BUS_BYTES_H
#define BUS_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Text, UTF-8 where Avro wrote it; may hold zero bytes. As a key it may be any bytes: `at` NULL is no key, `at` not NULL with
 * `len` 0 the empty key. */
typedef struct bus_string {
    const char *at;
    size_t len;
} bus_string;
typedef struct bus_bytes {
    const void *at;
    size_t len;
} bus_bytes;

/* A string from a literal, also as a constant initialiser. */
#ifdef __cplusplus
#define BUS_STR(literal) (bus_string{ "" literal "", sizeof(literal) - 1 })
#else
#define BUS_STR(literal) \
    (bus_string) \
    { \
        "" literal "", sizeof(literal) - 1 \
    }
#endif

/* The two arguments that "%.*s" takes: bus_retry(tx, "no item %.*s", BUS_TEXT(order->sku)). */
#define BUS_TEXT(string) (int)(string).len, (string).at ? (string).at : ""

/* A string from terminated text, borrowed. NULL: no key, or an empty string.
 * Thread: any.
 * Errors: none.
 * Owner: borrows `text`. */
bus_string bus_str(const char *text);

/* A string from bytes, borrowed.
 * Thread: any.
 * Errors: none.
 * Owner: borrows `at`. */
static inline bus_string bus_string_of(const void *at, size_t len)
{
    bus_string string = { (const char *)at, len };
    return string;
}

/* Do both have the same bytes? No key and the empty key are equal here.
 * Thread: any.
 * Errors: none.
 * Owner: keeps nothing. */
static inline bool bus_string_equal(bus_string a, bus_string b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

/* Is it this terminated text?
 * Thread: any.
 * Errors: none.
 * Owner: keeps nothing. */
static inline bool bus_string_is(bus_string string, const char *text)
{
    return bus_string_equal(string, bus_string_of(text, strlen(text)));
}

/* Makes a terminated copy, for functions that take one. false: it has no room there, or holds a zero byte; then `buffer` is empty.
 * Thread: any.
 * Errors: none.
 * Owner: keeps nothing. */
static inline bool bus_string_copy(bus_string string, char *buffer, size_t size)
{
    bool fits = string.len < size && (string.len == 0 || !memchr(string.at, '\0', string.len));
    if (fits && string.len > 0)
        memcpy(buffer, string.at, string.len);
    if (size > 0)
        buffer[fits ? string.len : 0] = '\0';
    return fits;
}

#ifdef __cplusplus
}
#endif
#endif
