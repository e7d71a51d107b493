/* SPDX-License-Identifier: MIT
 * Reader: Avro's primitives from hostile bytes. Every length is compared with what remains before it is used. */
#ifndef BUI_CODEC_READER_H
#define BUI_CODEC_READER_H

#include "codec/fault.h"
#include "codec/utf8.h"
#include <inttypes.h>

#define BUI_DEPTH_MAX 64     /* of nesting in a value: of records, arrays and maps; a union is no level */
#define BUI_NOTHING_MAX 1024 /* items in one message that take no bytes, such as array<null> */

typedef struct bus_reader {
    const uint8_t *start, *at, *end;
    size_t nothing; /* items without bytes so far */
    bui_fault *fault;
} bus_reader;

static inline size_t bui_reader_left(const bus_reader *in)
{
    return (size_t)(in->end - in->at);
}

/* Notes what is wrong at this byte and is false. */
#define bui_reader_fail(in, format, ...) \
    (bui_fault_set((in)->fault, BUS_CORRUPT, "at byte %zu: " format, (size_t)((in)->at - (in)->start), __VA_ARGS__), false)

bool bui_read_long_slow(bus_reader *in, int64_t *out);
bool bui_read_range(bus_reader *in, int64_t value); /* says that an int is out of range */

static inline bool bui_read_long(bus_reader *in, int64_t *out)
{
    if (in->at < in->end && *in->at < 0x80) {
        uint64_t raw = *in->at++;
        *out = (int64_t)(raw >> 1) ^ -(int64_t)(raw & 1);
        return true;
    }
    return bui_read_long_slow(in, out);
}

static inline bool bui_read_int(bus_reader *in, int32_t *out)
{
    int64_t value;
    if (!bui_read_long(in, &value))
        return false;
    if (value < INT32_MIN || value > INT32_MAX)
        return bui_read_range(in, value);
    *out = (int32_t)value;
    return true;
}

/* `n` bytes as they are, borrowed. */
static inline bool bui_read_raw(bus_reader *in, size_t n, const uint8_t **out)
{
    if (n > bui_reader_left(in))
        return bui_reader_fail(in, "%zu bytes are needed, %zu remain", n, bui_reader_left(in));
    *out = in->at;
    in->at += n;
    return true;
}

static inline bool bui_read_boolean(bus_reader *in, bool *out)
{
    const uint8_t *at;
    if (!bui_read_raw(in, 1, &at))
        return false;
    if (*at > 1) {
        in->at = at;
        return bui_reader_fail(in, "a boolean of %u; it is 0 or 1", (unsigned)*at);
    }
    *out = *at == 1;
    return true;
}

/* A length and that many bytes, borrowed. */
static inline bool bui_read_bytes(bus_reader *in, const void **at, size_t *len)
{
    int64_t n;
    if (!bui_read_long(in, &n))
        return false;
    if (n < 0 || (uint64_t)n > bui_reader_left(in))
        return bui_reader_fail(in, "a length of %" PRId64 ", and %zu bytes remain", n, bui_reader_left(in));
    *at = in->at;
    *len = (size_t)n;
    in->at += n;
    return true;
}

static inline bool bui_read_string(bus_reader *in, const char **at, size_t *len)
{
    const void *bytes;
    size_t n;
    if (!bui_read_bytes(in, &bytes, &n))
        return false;
    if (!bui_utf8_check(bytes, n)) {
        in->at -= n;
        return bui_reader_fail(in, "a string of %zu bytes is not UTF-8", n);
    }
    *at = bytes;
    *len = n;
    return true;
}

/* An index from 0 to count-1: of an enum's symbol, of a union's branch. */
static inline bool bui_read_index(bus_reader *in, const char *what, size_t count, uint32_t *out)
{
    int64_t index;
    if (!bui_read_long(in, &index))
        return false;
    if (index < 0 || (uint64_t)index >= count)
        return bui_reader_fail(in, "%s %" PRId64 " of %zu", what, index, count);
    *out = (uint32_t)index;
    return true;
}

/* Eight bytes as memcpy took them or will put them, to and from little-endian order. */
static inline uint64_t bui_le64(uint64_t bits)
{
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? bits : __builtin_bswap64(bits);
}

/* Little-endian, whatever the host is. */
static inline uint64_t bui_load_le(const uint8_t *at, size_t n)
{
    uint64_t value = 0;
    for (size_t i = n; i-- > 0;)
        value = value << 8 | at[i];
    return value;
}

/* The head of a block of an array or map: how many items (0: the end), of at least `least` bytes each, so that the count
 * is known to be possible before anything is allocated. `ends` is where a block that gives its size must end, else NULL. */
bool bui_read_block(bus_reader *in, uint32_t least, size_t *count, const uint8_t **ends);
/* After the items of a block: it must have been as long as it said. */
bool bui_read_block_end(bus_reader *in, const uint8_t *ends);

#endif
