/* SPDX-License-Identifier: MIT
 * UTF-8: the check that every string passes, on the way in and on the way out. */
#ifndef BUS_CODEC_UTF8_H
#define BUS_CODEC_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Well-formed by RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
bool bus_utf8_ok(const void *bytes, size_t len);

/* The same, with the common case in line: ASCII, eight bytes a step. */
static inline bool bus_utf8_check(const void *bytes, size_t len)
{
    const uint8_t *at = bytes;
    size_t left = len;
    for (; left >= 8; at += 8, left -= 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        if (word & 0x8080808080808080u)
            return bus_utf8_ok(at, left);
    }
    for (; left > 0; at++, left--)
        if (*at & 0x80)
            return bus_utf8_ok(at, left);
    return true;
}

#endif
