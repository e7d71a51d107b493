/* SPDX-License-Identifier: MIT
 * Decoder: what decode.c and plan_run.c share: the state of one body being decoded, and the fast way for values that are
 * whole, small and common. */
#ifndef BUS_CODEC_DECODER_H
#define BUS_CODEC_DECODER_H

#include "codec/body.h"
#include "codec/reader.h"

typedef struct bus_decoder {
    bus_reader in;
    bus_arena *arena;
    size_t memory;   /* taken from the arena so far */
    unsigned depth;
    bus_fault fault;
} bus_decoder;

/* How every generated array and map begins. Copied, never aliased: each has its own C type. */
typedef struct bus_items { const void *at; size_t len; } bus_items;

void bus_decoder_begin(bus_decoder *d, const void *bytes, size_t len, size_t skip, bus_arena *arena);
bus_status bus_decoder_end(bus_decoder *d, bool ok, const char *root, bus_error *err);

/* These note what is wrong and return false or NULL. */
bool bus_decoder_value(bus_decoder *d, const bus_shape *shape, void *out);
bool bus_decoder_enter(bus_decoder *d);
void *bus_decoder_allocate(bus_decoder *d, size_t n);
/* Room for `more` items after the `len` that there are. */
char *bus_decoder_extend(bus_decoder *d, char *items, size_t len, size_t *room, size_t more, size_t stride);

/* ---- the fast way: the byte after the value, or NULL where the careful way must be taken, which finds out why */

#define BUS_INLINE static inline __attribute__((always_inline))

BUS_INLINE const uint8_t *bus_quick_long(const uint8_t *at, const uint8_t *end, int64_t *out)
{
    if (end - at < 10)
        return NULL;
    uint64_t raw = *at++;
    if (raw & 0x80) {
        raw &= 0x7F;
        for (unsigned shift = 7;; shift += 7) {
            uint64_t byte = *at++;
            raw |= (byte & 0x7F) << shift;
            if (byte < 0x80)
                break;
            if (shift == 56)
                return NULL;
        }
    }
    *out = (int64_t)(raw >> 1) ^ -(int64_t)(raw & 1);
    return at;
}

/* ASCII of less than 64 bytes, with eight more bytes behind it to look over. */
BUS_INLINE const uint8_t *bus_quick_string(const uint8_t *at, const uint8_t *end, bus_string *out)
{
    const uint64_t high = 0x8080808080808080u;
    if (end - at < 9 || *at & 0x81)
        return NULL;
    size_t n = *at++ >> 1;
    if ((size_t)(end - at) < n + 8)
        return NULL;
    uint64_t word, bad = 0;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        memcpy(&word, at + i, 8);
        bad |= word;
    }
    memcpy(&word, at + i, 8);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    bad |= word & (((uint64_t)1 << (n - i) * 8) - 1);
#else
    bad |= word;
#endif
    if (bad & high)
        return NULL;
    out->at = (const char *)at;
    out->len = n;
    return at + n;
}

BUS_INLINE const uint8_t *bus_quick_scalar(const bus_shape *shape, const uint8_t *at, const uint8_t *end, void *out)
{
    int64_t value;
    switch (shape->kind) {
    case BUS_KIND_STRING: return bus_quick_string(at, end, out);
    case BUS_KIND_LONG: return bus_quick_long(at, end, out);
    case BUS_KIND_INT:
        at = bus_quick_long(at, end, &value);
        if (!at || value != (int32_t)value)
            return NULL;
        *(int32_t *)out = (int32_t)value;
        return at;
    case BUS_KIND_BOOLEAN:
        if (at == end || *at > 1)
            return NULL;
        *(bool *)out = *at == 1;
        return at + 1;
    case BUS_KIND_DOUBLE: {
        if (end - at < 8)
            return NULL;
        uint64_t bits = bus_load_le(at, 8);
        memcpy(out, &bits, 8);
        return at + 8;
    }
    case BUS_KIND_ENUM:
        if (at == end || *at & 0x81 || *at >> 1 >= shape->count)
            return NULL;
        *(uint32_t *)out = *at >> 1;
        return at + 1;
    default: return NULL;
    }
}

BUS_INLINE void bus_quick_zero(void *out, size_t n)
{
    static const uint64_t zero;
    char *at = out;
    for (; n >= 8; n -= 8, at += 8)
        memcpy(at, &zero, 8);
    for (; n > 0; n--)
        *at++ = 0;
}

BUS_INLINE const uint8_t *bus_quick_value(const bus_shape *shape, const uint8_t *at, const uint8_t *end, void *out)
{
    if (shape->kind != BUS_KIND_OPTIONAL)
        return bus_quick_scalar(shape, at, end, out);
    if (at == end || *at & 0xFD) /* 0 or 2: the first branch or the second */
        return NULL;
    if (*at >> 1 == shape->null_branch) {
        bus_quick_zero(out, shape->size);
        return at + 1;
    }
    *(bool *)out = true;
    return bus_quick_scalar(shape->item, at + 1, end, (char *)out + shape->offset);
}

#endif
