/* SPDX-License-Identifier: MIT
 * SHA-1 by the processor's own instructions (x86-64). Each emitted event's id is one. */
#include "base/sha1.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <endian.h>
#include <immintrin.h>
#include <pthread.h>
#include <string.h>

#define BLOCK ((size_t)64)

/* Four rounds: `e` holds the a..d of four rounds ago, of which the instruction takes the e. */
#define ROUNDS(i) \
    do { \
        __m128i in = _mm_sha1nexte_epu32(e, w[i]); \
        e = abcd; \
        abcd = _mm_sha1rnds4_epu32(abcd, in, (i) / 5); \
    } while (0)
#define MESSAGE(i) w[i] = _mm_sha1msg2_epu32(_mm_xor_si128(_mm_sha1msg1_epu32(w[(i)-4], w[(i)-3]), w[(i)-2]), w[(i)-1])
#define FIVE(do_it, i) \
    do_it(i); \
    do_it((i) + 1); \
    do_it((i) + 2); \
    do_it((i) + 3); \
    do_it((i) + 4)

__attribute__((target("sha,sse4.1"))) static void mix(uint32_t h[5], const uint8_t *bytes, size_t blocks)
{
    const __m128i flip = _mm_set_epi64x(0x0001020304050607, 0x08090A0B0C0D0E0F);
    __m128i abcd = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(const void *)h), 0x1B);
    __m128i fifth = _mm_set_epi32((int)h[4], 0, 0, 0);
    for (; blocks; blocks--, bytes += BLOCK) {
        __m128i w[20], before = abcd, e;
        for (int i = 0; i < 4; i++)
            w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)(bytes + 16 * i)), flip);
        MESSAGE(4);
        FIVE(MESSAGE, 5);
        FIVE(MESSAGE, 10);
        FIVE(MESSAGE, 15);
        __m128i first = _mm_add_epi32(fifth, w[0]);
        e = abcd;
        abcd = _mm_sha1rnds4_epu32(abcd, first, 0);
        ROUNDS(1);
        ROUNDS(2);
        ROUNDS(3);
        ROUNDS(4);
        FIVE(ROUNDS, 5);
        FIVE(ROUNDS, 10);
        FIVE(ROUNDS, 15);
        fifth = _mm_sha1nexte_epu32(e, fifth);
        abcd = _mm_add_epi32(abcd, before);
    }
    _mm_storeu_si128((__m128i *)(void *)h, _mm_shuffle_epi32(abcd, 0x1B));
    h[4] = (uint32_t)_mm_extract_epi32(fifth, 3);
}

static bool able;

static void look(void)
{
    unsigned a, b, c, d;
    bool has_sse41 = __get_cpuid(1, &a, &b, &c, &d) && c & bit_SSE4_1;
    able = has_sse41 && __get_cpuid_count(7, 0, &a, &b, &c, &d) && b & bit_SHA;
}

bool bui_sha1_named(uint8_t out[20], const uint8_t space[16], const void *name, size_t len)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, look);
    if (!able)
        return false;
    uint32_t h[5] = { 0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0 };
    uint8_t block[2 * BLOCK];
    const uint8_t *at = name;
    uint64_t bits = htobe64((uint64_t)(16 + len) * 8);
    size_t filled = 16;
    memcpy(block, space, 16);
    if (len >= BLOCK - filled) {
        memcpy(block + filled, at, BLOCK - filled);
        at += BLOCK - filled;
        len -= BLOCK - filled;
        filled = 0;
        mix(h, block, 1);
        mix(h, at, len / BLOCK);
        at += len / BLOCK * BLOCK;
        len %= BLOCK;
    }
    if (len)
        memcpy(block + filled, at, len);
    filled += len;
    size_t total = filled + 9 <= BLOCK ? BLOCK : 2 * BLOCK;
    block[filled++] = 0x80;
    memset(block + filled, 0, total - 8 - filled);
    memcpy(block + total - 8, &bits, 8);
    mix(h, block, total / BLOCK);
    for (int i = 0; i < 5; i++)
        h[i] = htobe32(h[i]);
    memcpy(out, h, 20);
    return true;
}

#else

bool bui_sha1_named(uint8_t out[20], const uint8_t space[16], const void *name, size_t len)
{
    (void)out;
    (void)space;
    (void)name;
    (void)len;
    return false;
}

#endif
