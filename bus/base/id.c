/* SPDX-License-Identifier: MIT
 * Ids, Kafka's murmur2, and wyhash for tables in memory. */
#include "base/id.h"
#include "base/uuid.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include <uuid/uuid.h>

void bui_id_random(char out[BUI_ID_TEXT])
{
    unsigned char id[16];
    bui_uuid_random(id);
    bui_uuid_print(id, out);
}

/* The name space of the bus's own ids; must never change: a rerun has to make the same ids. */
static const unsigned char name_space[16] = { 0x3b, 0x2e, 0x7c, 0x5a, 0x90, 0x14, 0x4f, 0x6d,
                                              0xa8, 0xd1, 0x5c, 0x07, 0xe9, 0x42, 0xb6, 0x1f };

/* A name longer than the piece is hashed piece by piece, each under the id of the one before: so it was when these ids were
 * first made, and so it must stay. */
typedef struct naming {
    unsigned char id[16];
    char piece[1024];
    size_t len;
} naming;

static void name_piece(naming *n)
{
    bui_uuid_named(n->id, n->id, n->piece, n->len);
    n->len = 0;
}

static inline void name_add(naming *n, const void *bytes, size_t len)
{
    const char *at = bytes;
    if (len <= sizeof n->piece - n->len) { /* nearly always */
        if (len)
            memcpy(n->piece + n->len, at, len);
        n->len += len;
        return;
    }
    while (len) {
        if (n->len == sizeof n->piece)
            name_piece(n);
        size_t room = sizeof n->piece - n->len, take = len < room ? len : room;
        memcpy(n->piece + n->len, at, take);
        n->len += take;
        at += take;
        len -= take;
    }
}

void bui_id_of(const bui_part *parts, size_t n, char out[BUI_ID_TEXT])
{
    naming name;
    memcpy(name.id, name_space, sizeof name.id);
    name.len = 0;
    for (size_t i = 0; i < n; i++) {
        if (i)
            name_add(&name, "\x1F", 1);
        name_add(&name, parts[i].bytes, parts[i].len);
    }
    name_piece(&name);
    bui_uuid_print(name.id, out);
}

void bui_id_of_place(const char *topic, int32_t partition, int64_t offset, int64_t life, char out[BUI_ID_TEXT])
{
    char place[64];
    int n = snprintf(place, sizeof place, "%" PRId32 "/%" PRId64, partition, offset);
    if (life)
        n += snprintf(place + n, sizeof place - (size_t)n, "#%" PRId64, life);
    bui_part parts[] = { { topic, strlen(topic) }, { place, (size_t)n } };
    bui_id_of(parts, 2, out);
}

void bui_token_random(char out[17])
{
    static const char hex[] = "0123456789abcdef";
    unsigned char bytes[16];
    size_t got = 0;
    while (got < 8) {
        ssize_t n = getrandom(bytes + got, 8 - got, 0);
        if (n > 0)
            got += (size_t)n;
        else if (errno != EINTR)
            break;
    }
    if (got < 8) /* a kernel without getrandom: libuuid has its own ways, and its first 6 bytes are all random */
        uuid_generate_random(bytes);
    for (size_t i = 0; i < 8; i++) {
        out[2 * i] = hex[bytes[i] >> 4];
        out[2 * i + 1] = hex[bytes[i] & 15];
    }
    out[16] = 0;
}

/* org.apache.kafka.common.utils.Utils.murmur2: MurmurHash2 with this seed; little-endian whatever the host is. */
uint32_t bui_murmur2(const void *bytes, size_t n)
{
    const uint32_t m = UINT32_C(0x5bd1e995);
    const unsigned char *p = bytes;
    uint32_t h = UINT32_C(0x9747b28c) ^ (uint32_t)n;
    for (; n >= 4; p += 4, n -= 4) {
        uint32_t k;
        memcpy(&k, p, 4);
        k = le32toh(k) * m;
        k ^= k >> 24;
        h = h * m ^ k * m;
    }
    if (n >= 3)
        h ^= (uint32_t)p[2] << 16;
    if (n >= 2)
        h ^= (uint32_t)p[1] << 8;
    if (n >= 1) {
        h ^= p[0];
        h *= m;
    }
    h ^= h >> 13;
    h *= m;
    return h ^ h >> 15;
}

int32_t bui_partition_of(const void *key, size_t n, int32_t partitions)
{
    return partitions > 0 ? (int32_t)(bui_murmur2(key, n) & INT32_MAX) % partitions : 0;
}

/* wyhash final version 4, by Wang Yi, public domain (Unlicense). Its values are stored (anchors), so it must not change. */
static const uint64_t secret[4] = { UINT64_C(0x2d358dccaa6c78a5), UINT64_C(0x8bb84b93962eacc9), UINT64_C(0x4b33a62ed433d4a3),
                                    UINT64_C(0x4d5a2da51de1aa47) };

static uint64_t read8(const unsigned char *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return le64toh(v);
}

static uint64_t read4(const unsigned char *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return le32toh(v);
}

static void multiply(uint64_t *a, uint64_t *b)
{
    unsigned __int128 product = (unsigned __int128)*a * *b;
    *a = (uint64_t)product;
    *b = (uint64_t)(product >> 64);
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    multiply(&a, &b);
    return a ^ b;
}

uint64_t bui_hash(const void *bytes, size_t n, uint64_t seed)
{
    const unsigned char *p = bytes;
    uint64_t a = 0, b = 0;
    seed ^= mix(seed ^ secret[0], secret[1]);
    if (n > 16) {
        size_t left = n;
        if (left > 48) {
            uint64_t seed1 = seed, seed2 = seed;
            for (; left > 48; p += 48, left -= 48) {
                seed = mix(read8(p) ^ secret[1], read8(p + 8) ^ seed);
                seed1 = mix(read8(p + 16) ^ secret[2], read8(p + 24) ^ seed1);
                seed2 = mix(read8(p + 32) ^ secret[3], read8(p + 40) ^ seed2);
            }
            seed ^= seed1 ^ seed2;
        }
        for (; left > 16; p += 16, left -= 16)
            seed = mix(read8(p) ^ secret[1], read8(p + 8) ^ seed);
        a = read8(p + left - 16);
        b = read8(p + left - 8);
    } else if (n >= 4) {
        size_t quarter = (n >> 3) << 2;
        a = read4(p) << 32 | read4(p + quarter);
        b = read4(p + n - 4) << 32 | read4(p + n - 4 - quarter);
    } else if (n > 0) {
        a = (uint64_t)p[0] << 16 | (uint64_t)p[n >> 1] << 8 | p[n - 1];
    }
    a ^= secret[1];
    b ^= seed;
    multiply(&a, &b);
    return mix(a ^ secret[0] ^ n, b ^ secret[1]);
}
