/* SPDX-License-Identifier: MIT
 * Size: the sums of Kafka's record format 2. */
#include "codec/size.h"

#include <stdint.h>
#include <string.h>

#define BATCH 61 /* base offset to record count */

/* A zigzag varint of a number that is not negative. */
static int64_t varint(uint64_t value)
{
    int64_t n = 1;
    for (value <<= 1; value > 0x7F; value >>= 7)
        n++;
    return n;
}

/* A length and the bytes; none is the length -1, one byte. */
static int64_t part(const void *bytes, size_t len)
{
    return bytes ? varint(len) + (int64_t)len : 1;
}

static int64_t of_headers(const bus_header *headers, size_t count)
{
    int64_t size = 0;
    for (size_t i = 0; i < count; i++) {
        size_t name = strlen(headers[i].name);
        size += varint(name) + (int64_t)name + part(headers[i].value, headers[i].len);
    }
    return size;
}

int64_t bui_record_size_both(const void *key, size_t key_len, const void *value, size_t value_len, const bus_header *headers,
                             size_t count, const bus_header *more, size_t more_count)
{
    int64_t body = 3 + part(key, key_len) + part(value, value_len) + varint(count + more_count) + of_headers(headers, count) +
                   of_headers(more, more_count); /* 3: attributes, both deltas of a first record */
    return BATCH + varint((uint64_t)body) + body;
}

int64_t bui_record_size(const void *key, size_t key_len, const void *value, size_t value_len, const bus_header *headers,
                        size_t count)
{
    return bui_record_size_both(key, key_len, value, value_len, headers, count, NULL, 0);
}
