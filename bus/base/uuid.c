/* SPDX-License-Identifier: MIT
 * UUIDs as libuuid makes them, where it was too slow: random ones come from a pool (it stirs the system's bytes with srandom's
 * and asks for 16 at a time, a third of the time of a publish), named ones by the processor's own SHA-1, and printing needs no snprintf. */
#include "base/uuid.h"

#include "base/sha1.h"

#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>
#include <uuid/uuid.h>

void bui_uuid_named(unsigned char out[16], const unsigned char space[16], const void *name, size_t len)
{
    uint8_t hash[20]; /* `space` may be `out` */
    if (!bui_sha1_named(hash, space, name, len)) {
        uuid_t id;
        uuid_generate_sha1(id, space, name, len);
        memcpy(out, id, sizeof id);
        return;
    }
    hash[6] = (uint8_t)((hash[6] & 0x0F) | 0x50); /* version 5 */
    hash[8] = (uint8_t)((hash[8] & 0x3F) | 0x80); /* variant of RFC 9562 */
    memcpy(out, hash, 16);
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

static _Thread_local struct {
    unsigned char bytes[POOL];
    size_t left;
    unsigned forks;
} pool;

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

void bui_uuid_random(unsigned char out[16])
{
    if ((pool.left < 16 || pool.forks != atomic_load_explicit(&forks, memory_order_relaxed)) && !refill()) {
        uuid_generate_random(out); /* a kernel without getrandom: libuuid has its own ways */
        return;
    }
    pool.left -= 16;
    memcpy(out, pool.bytes + pool.left, 16);
    out[6] = (unsigned char)((out[6] & 0x0F) | 0x40); /* version 4 */
    out[8] = (unsigned char)((out[8] & 0x3F) | 0x80); /* variant of RFC 9562 */
}

/* Four bytes as eight digits, all at once: first each half byte gets a byte of its own. */
static void print_four(const unsigned char bytes[4], char out[8])
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint32_t word;
    memcpy(&word, bytes, 4);
    uint64_t half = be32toh(word);
    half = (half & 0xFFFF0000) << 16 | (half & 0xFFFF);
    half = (half & UINT64_C(0x0000FF000000FF00)) << 8 | (half & UINT64_C(0x000000FF000000FF));
    half = (half & UINT64_C(0x00F000F000F000F0)) << 4 | (half & UINT64_C(0x000F000F000F000F));
    uint64_t letter = (half + ones * 6) >> 4 & ones; /* 10 and above */
    half = htobe64(half + ones * '0' + letter * ('a' - '0' - 10));
    memcpy(out, &half, 8);
}

void bui_uuid_print(const unsigned char id[16], char out[37])
{
    char digits[32];
    for (int i = 0; i < 4; i++)
        print_four(id + 4 * i, digits + 8 * i);
    memcpy(out, digits, 8);
    memcpy(out + 9, digits + 8, 4);
    memcpy(out + 14, digits + 12, 4);
    memcpy(out + 19, digits + 16, 4);
    memcpy(out + 24, digits + 20, 12);
    out[8] = out[13] = out[18] = out[23] = '-';
    out[36] = 0;
}
