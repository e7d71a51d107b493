/* SPDX-License-Identifier: MIT
 * UTF-8: the check that every string passes. */
#include "codec/utf8.h"

/* The length of the well-formed sequence at `at`, 0 if there is none (Unicode, table 3-7). */
static size_t sequence(const uint8_t *at, size_t left)
{
    uint8_t first = at[0];
    if (first < 0x80)
        return 1;
    size_t n = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || left < n)
        return 0;
    uint8_t low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    uint8_t high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    if (at[1] < low || at[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((at[i] & 0xC0) != 0x80)
            return 0;
    return n;
}

bool bui_utf8_ok(const void *bytes, size_t len)
{
    const uint8_t *at = bytes;
    while (len > 0) {
        if (len >= 16 && bui_pair_ascii(bui_pair_at(at))) { /* most texts are ASCII most of the way */
            at += 16;
            len -= 16;
            continue;
        }
        if (len < 16 && bui_ascii(at, len)) /* and at its end */
            return true;
        size_t n = sequence(at, len);
        if (n == 0)
            return false;
        at += n;
        len -= n;
    }
    return true;
}

const char *bui_utf8_mark(const void *bytes, size_t len)
{
    if (len >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0)
        return "it begins with a byte order mark (bytes EF BB BF): save it as UTF-8 without one";
    if (len >= 2 && (memcmp(bytes, "\xFF\xFE", 2) == 0 || memcmp(bytes, "\xFE\xFF", 2) == 0))
        return "it is UTF-16: save it as UTF-8";
    return NULL;
}
