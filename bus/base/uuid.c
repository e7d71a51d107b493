/* SPDX-License-Identifier: MIT
 * UUIDs. Each event has one or two, and libuuid took 0.5 us for a named and 1.7 us for a random one (it stirs the system's
 * random bytes with srandom's, and asks for 16 at a time); these take a fifth of it. */
#include "base/uuid.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>
#include <uuid/uuid.h>

/* ---- SHA-1 (FIPS 180-4) */

static uint32_t turn(uint32_t x, unsigned n)
{
    return x << n | x >> (32 - n);
}

#define ROUND(f, k)                                                  \
    do {                                                             \
        uint32_t sum = turn(a, 5) + (f) + e + (k) + w[i];            \
        e = d;                                                       \
        d = c;                                                       \
        c = turn(b, 30);                                             \
        b = a;                                                       \
        a = sum;                                                     \
    } while (0)

static void sha1_block(uint32_t h[5], const unsigned char block[64])
{
    uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    int i;
    for (i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 | (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    for (; i < 80; i++)
        w[i] = turn(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (i = 0; i < 20; i++)
        ROUND((b & c) | (~b & d), UINT32_C(0x5A827999));
    for (; i < 40; i++)
        ROUND(b ^ c ^ d, UINT32_C(0x6ED9EBA1));
    for (; i < 60; i++)
        ROUND((b & c) | (b & d) | (c & d), UINT32_C(0x8F1BBCDC));
    for (; i < 80; i++)
        ROUND(b ^ c ^ d, UINT32_C(0xCA62C1D6));
    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
    h[4] += e;
}

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
