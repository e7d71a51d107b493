/* SPDX-License-Identifier: MIT
 * UTF-8: the check that every string passes, on the way in and on the way out. */
#ifndef BUI_CODEC_UTF8_H
#define BUI_CODEC_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define BUI_NOT_ASCII 0x8080808080808080u /* the bits that no ASCII has */

/* Well-formed by RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
bool bui_utf8_ok(const void *bytes, size_t len);

/* What is wrong with a text's first bytes, for people: JSON has no byte order mark, and readers show it as nothing. NULL: none is there. */
const char *bui_utf8_mark(const void *bytes, size_t len);

/* Two words, in one register where the machine has such. */
typedef uint64_t bui_pair __attribute__((vector_size(16)));

static inline bool bui_pair_ascii(bui_pair pair)
{
#ifdef __SSE2__
    return _mm_movemask_epi8((__m128i)pair) == 0; /* the highest bit of each byte */
#else
    return !((pair[0] | pair[1]) & BUI_NOT_ASCII);
#endif
}

static inline bui_pair bui_pair_at(const uint8_t *at)
{
    bui_pair pair;
    memcpy(&pair, at, sizeof pair);
    return pair;
}

static inline uint64_t bui_word_at(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static inline uint32_t bui_half_at(const uint8_t *at)
{
    uint32_t half;
    memcpy(&half, at, sizeof half);
    return half;
}

/* Whether n <= 64 bytes are ASCII, by words that overlap rather than in a loop. */
static inline bool bui_ascii(const uint8_t *at, size_t n)
{
    if (n >= 16) {
        bui_pair all = bui_pair_at(at) | bui_pair_at(at + n - 16);
        if (n > 32)
            all |= bui_pair_at(at + 16) | bui_pair_at(at + n - 32);
        return bui_pair_ascii(all);
    }
    if (n >= 8)
        return !((bui_word_at(at) | bui_word_at(at + n - 8)) & BUI_NOT_ASCII);
    if (n >= 4)
        return !((bui_half_at(at) | bui_half_at(at + n - 4)) & (uint32_t)BUI_NOT_ASCII);
    return n == 0 || !((at[0] | at[n / 2] | at[n - 1]) & 0x80); /* the first, the middle and the last of one to three */
}

/* As bui_utf8_ok, with the common case in line. */
static inline bool bui_utf8_check(const void *bytes, size_t len)
{
    return (len <= 64 && bui_ascii(bytes, len)) || bui_utf8_ok(bytes, len);
}

#endif
