/* SPDX-License-Identifier: MIT
 * UUIDs. Each event has one or two: libuuid's random ones cost microseconds (it stirs the system's bytes with srandom's and
 * asks for 16 at a time), and its SHA-1 does not use the processor's instructions for that. */
#include "base/uuid.h"

#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>
#include <uuid/uuid.h>
#ifdef __x86_64__
#include <cpuid.h>
#include <immintrin.h>
#endif

/* ---- SHA-1 (FIPS 180-4) */

static uint32_t turn(uint32_t x, unsigned n)
{
    return x << n | x >> (32 - n);
}

/* The working variables change places from round to round; here their names do, five rounds at a time, instead of moving. */
#define ROUND(a, b, c, d, e, f, k, i) (e += turn(a, 5) + (f) + (k) + w[i], b = turn(b, 30))
#define FIVE(F, k, i)                          \
    do {                                       \
        ROUND(a, b, c, d, e, F(b, c, d), k, i);     \
        ROUND(e, a, b, c, d, F(a, b, c), k, i + 1); \
        ROUND(d, e, a, b, c, F(e, a, b), k, i + 2); \
        ROUND(c, d, e, a, b, F(d, e, a), k, i + 3); \
        ROUND(b, c, d, e, a, F(c, d, e), k, i + 4); \
    } while (0)
#define CHOOSE(x, y, z) (z ^ (x & (y ^ z)))
#define PARITY(x, y, z) (x ^ y ^ z)
#define MAJORITY(x, y, z) ((x & y) | (z & (x | y)))

static void block_plain(uint32_t h[5], const unsigned char block[64])
{
    uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    int i;
    for (i = 0; i < 16; i++) {
        memcpy(&w[i], block + 4 * i, 4);
        w[i] = be32toh(w[i]);
    }
    for (; i < 80; i++)
        w[i] = turn(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (i = 0; i < 20; i += 5)
        FIVE(CHOOSE, UINT32_C(0x5A827999), i);
    for (; i < 40; i += 5)
        FIVE(PARITY, UINT32_C(0x6ED9EBA1), i);
    for (; i < 60; i += 5)
        FIVE(MAJORITY, UINT32_C(0x8F1BBCDC), i);
    for (; i < 80; i += 5)
        FIVE(PARITY, UINT32_C(0xCA62C1D6), i);
    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
    h[4] += e;
}

static atomic_bool plain;

void bus_uuid_plain(bool on)
{
    atomic_store(&plain, on);
}

#ifdef __x86_64__

/* Four rounds at a time, as Intel's manual has it: `e` is nexte's operand, the words of the schedule go round in four. */
#define FOUR(k, g)                                                                                              \
    do {                                                                                                        \
        if ((g) >= 4)                                                                                           \
            w[(g) & 3] = _mm_sha1msg2_epu32(_mm_xor_si128(_mm_sha1msg1_epu32(w[(g) & 3], w[((g) + 1) & 3]),     \
                                                          w[((g) + 2) & 3]), w[((g) + 3) & 3]);                 \
        __m128i before = abcd;                                                                                  \
        e = (g) ? _mm_sha1nexte_epu32(e, w[(g) & 3]) : _mm_add_epi32(e, w[0]);                                  \
        abcd = _mm_sha1rnds4_epu32(abcd, e, k);                                                                 \
        e = before;                                                                                             \
    } while (0)
#define TWENTY(k, g) do { FOUR(k, g); FOUR(k, g + 1); FOUR(k, g + 2); FOUR(k, g + 3); FOUR(k, g + 4); } while (0)

__attribute__((target("sha,sse4.1"))) static void block_sha(uint32_t h[5], const unsigned char block[64])
{
    const __m128i order = _mm_set_epi64x(0x0001020304050607, 0x08090a0b0c0d0e0f);
    __m128i w[4], abcd, e, first, last;
    for (int i = 0; i < 4; i++)
        w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)(block + 16 * i)), order);
    first = abcd = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(const void *)h), 0x1B);
    last = e = _mm_set_epi32((int)h[4], 0, 0, 0);
    TWENTY(0, 0);
    TWENTY(1, 5);
    TWENTY(2, 10);
    TWENTY(3, 15);
    e = _mm_sha1nexte_epu32(e, last);
    _mm_storeu_si128((__m128i *)(void *)h, _mm_shuffle_epi32(_mm_add_epi32(abcd, first), 0x1B));
    h[4] = (uint32_t)_mm_extract_epi32(e, 3);
}

static bool has_sha(void)
{
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && b >> 29 & 1;
}

static void sha1_block(uint32_t h[5], const unsigned char block[64])
{
    static atomic_int known; /* 0: not asked yet, 1: yes, 2: no. Asked twice by two threads it answers the same. */
    int sha = atomic_load_explicit(&known, memory_order_relaxed);
    if (!sha)
        atomic_store_explicit(&known, sha = has_sha() ? 1 : 2, memory_order_relaxed);
    if (sha == 1 && !atomic_load_explicit(&plain, memory_order_relaxed))
        block_sha(h, block);
    else
        block_plain(h, block);
}

#else

static void sha1_block(uint32_t h[5], const unsigned char block[64])
{
    block_plain(h, block);
}

#endif

typedef struct sha1 {
    uint32_t h[5];
    uint64_t len;
    unsigned char block[64];
} sha1;

static void sha1_add(sha1 *s, const void *bytes, size_t len)
{
    const unsigned char *at = bytes;
    while (len) {
        size_t have = s->len % 64, room = 64 - have, take = len < room ? len : room;
        memcpy(s->block + have, at, take);
        s->len += take;
        at += take;
        len -= take;
        if (s->len % 64 == 0)
            sha1_block(s->h, s->block);
    }
}

static void sha1_end(sha1 *s, unsigned char out[20])
{
    static const unsigned char padding[64] = { 0x80 };
    unsigned char bits[8];
    uint64_t len = s->len * 8;
    for (int i = 0; i < 8; i++)
        bits[i] = (unsigned char)(len >> (56 - 8 * i));
    sha1_add(s, padding, 1 + (119 - s->len % 64) % 64);
    sha1_add(s, bits, 8);
    for (int i = 0; i < 20; i++)
        out[i] = (unsigned char)(s->h[i / 4] >> (24 - 8 * (i % 4)));
}

static void brand(unsigned char id[16], unsigned version)
{
    id[6] = (unsigned char)((id[6] & 0x0F) | version << 4);
    id[8] = (unsigned char)((id[8] & 0x3F) | 0x80);
}

void bus_uuid_named(unsigned char out[16], const unsigned char space[16], const void *name, size_t len)
{
    sha1 s = { .h = { 0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0 } };
    unsigned char digest[20];
    sha1_add(&s, space, 16);
    sha1_add(&s, name, len);
    sha1_end(&s, digest);
    memcpy(out, digest, 16);
    brand(out, 5);
}

/* ---- random */

#define POOL 1024

/* A child must not hand out what its parent has drawn: it counts, and each thread's pool says of which count it is. */
static atomic_uint forks;

static void forked(void)
{
    atomic_fetch_add(&forks, 1);
}

static void watch_forks(void)
{
    (void)pthread_atfork(NULL, NULL, forked);
}

static _Thread_local struct { unsigned char bytes[POOL]; size_t left; unsigned forks; } pool;

static int refill(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, watch_forks);
    size_t got = 0;
    while (got < POOL) {
        ssize_t n = getrandom(pool.bytes + got, POOL - got, 0);
        if (n > 0)
            got += (size_t)n;
        else if (errno != EINTR)
            return 0;
    }
    pool.left = POOL;
    pool.forks = atomic_load_explicit(&forks, memory_order_relaxed);
    return 1;
}

void bus_uuid_random(unsigned char out[16])
{
    if ((pool.left < 16 || pool.forks != atomic_load_explicit(&forks, memory_order_relaxed)) && !refill()) {
        uuid_generate_random(out); /* a kernel without getrandom: libuuid has its own ways */
        return;
    }
    pool.left -= 16;
    memcpy(out, pool.bytes + pool.left, 16);
    brand(out, 4);
}

void bus_uuid_print(const unsigned char id[16], char out[37])
{
    static const char hex[] = "0123456789abcdef";
    for (int i = 0; i < 16; i++) {
        *out++ = hex[id[i] >> 4];
        *out++ = hex[id[i] & 15];
        if (i == 3 || i == 5 || i == 7 || i == 9)
            *out++ = '-';
    }
    *out = 0;
}
