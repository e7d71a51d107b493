/* SPDX-License-Identifier: MIT
 * Decoder: what decode.c and plan_run.c share: the state of one body being decoded, and the fast way for values that are
 * whole and common. Each function takes the place to read at and returns the place after, so that it stays in a register all
 * the way; NULL: failed, and the fault is noted. */
#ifndef BUS_CODEC_DECODER_H
#define BUS_CODEC_DECODER_H

#include "codec/body.h"
#include "codec/reader.h"

typedef struct bus_decoder {
    bus_reader in;   /* its place is set only where the careful way is taken: see bus_decoder_at */
    bus_arena *arena;
    size_t memory;   /* taken from the arena so far */
    unsigned depth;
    bus_fault fault;
} bus_decoder;

/* How every generated array and map begins. Copied, never aliased: each has its own C type. */
typedef struct bus_items { const void *at; size_t len; } bus_items;

/* Where to begin. */
const uint8_t *bus_decoder_begin(bus_decoder *d, const void *bytes, size_t len, size_t skip, bus_arena *arena);
/* `at`: what decoding the whole returned. */
bus_status bus_decoder_end(bus_decoder *d, const uint8_t *at, const char *root, bus_error *err);

/* Any value, by its descriptor. */
const uint8_t *bus_decoder_value(bus_decoder *d, const bus_shape *shape, const uint8_t *at, void *out);
bool bus_decoder_enter(bus_decoder *d, const uint8_t *at);
void *bus_decoder_allocate(bus_decoder *d, const uint8_t *at, size_t n);
/* Room for `more` items after the `len` that there are. */
char *bus_decoder_extend(bus_decoder *d, const uint8_t *at, char *items, size_t len, size_t *room, size_t more, size_t stride);
/* The head of a block: see bus_read_block. */
const uint8_t *bus_decoder_block(bus_decoder *d, const uint8_t *at, uint32_t least, size_t *count, const uint8_t **ends);

/* The careful way of reader.h, which finds out what is wrong: bus_decoder_next(d, bus_read_long(bus_decoder_at(d, at), &value)). */
static inline bus_reader *bus_decoder_at(bus_decoder *d, const uint8_t *at)
{
    d->in.at = at;
    return &d->in;
}

static inline const uint8_t *bus_decoder_next(const bus_decoder *d, bool ok)
{
    return ok ? d->in.at : NULL;
}

#define BUS_IN_FIELD(d, name) (bus_fault_field(&(d)->fault, name), (const uint8_t *)NULL)
#define BUS_IN_ITEM(d, i) (bus_fault_index(&(d)->fault, i), (const uint8_t *)NULL)

/* ---- the fast way: the byte after the value, or NULL where the careful way must be taken */

#define BUS_INLINE static inline __attribute__((always_inline))
#define BUS_LIKELY(condition) __builtin_expect(!!(condition), 1)

/* Up to nine bytes. */
BUS_INLINE const uint8_t *bus_quick_long(const uint8_t *at, const uint8_t *end, int64_t *out)
{
    if (at == end)
        return NULL;
    uint64_t raw = *at++;
    if (raw & 0x80) {
        raw &= 0x7F;
        for (unsigned shift = 7;; shift += 7) {
            if (at == end || shift == 63)
                return NULL;
            uint64_t byte = *at++;
            raw |= (byte & 0x7F) << shift;
            if (byte < 0x80)
                break;
        }
    }
    *out = (int64_t)(raw >> 1) ^ -(int64_t)(raw & 1);
    return at;
}

/* ASCII of less than 64 bytes. */
BUS_INLINE const uint8_t *bus_quick_string(const uint8_t *at, const uint8_t *end, bus_string *out)
{
    if (at == end || *at & 0x81)
        return NULL;
    size_t n = *at++ >> 1;
    if ((size_t)(end - at) < n || !bus_ascii(at, n))
        return NULL;
    out->at = (const char *)at;
    out->len = n;
    return at + n;
}

BUS_INLINE const uint8_t *bus_quick_int(const uint8_t *at, const uint8_t *end, int32_t *out)
{
    int64_t value;
    at = bus_quick_long(at, end, &value);
    if (!at || value != (int32_t)value)
        return NULL;
    *out = (int32_t)value;
    return at;
}

BUS_INLINE const uint8_t *bus_quick_boolean(const uint8_t *at, const uint8_t *end, bool *out)
{
    if (at == end || *at > 1)
        return NULL;
    *out = *at == 1;
    return at + 1;
}

BUS_INLINE const uint8_t *bus_quick_double(const uint8_t *at, const uint8_t *end, void *out)
{
    uint64_t bits;
    if (end - at < 8)
        return NULL;
    memcpy(&bits, at, 8);
    bits = bus_le64(bits);
    memcpy(out, &bits, 8);
    return at + 8;
}

/* An index below 64: an enum's symbol, a union's branch. */
BUS_INLINE const uint8_t *bus_quick_index(const uint8_t *at, const uint8_t *end, uint32_t count, uint32_t *out)
{
    if (at == end || *at & 0x81 || *at >> 1 >= count)
        return NULL;
    *out = *at >> 1;
    return at + 1;
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

/* ---- the kinds that most values have, without a call */

BUS_INLINE const uint8_t *bus_decoder_scalar(bus_decoder *d, const bus_shape *shape, const uint8_t *at, void *out)
{
    const uint8_t *const end = d->in.end, *next = NULL;
    switch (shape->kind) {
    case BUS_KIND_STRING: next = bus_quick_string(at, end, out); break;
    case BUS_KIND_LONG: next = bus_quick_long(at, end, out); break;
    case BUS_KIND_INT: next = bus_quick_int(at, end, out); break;
    case BUS_KIND_BOOLEAN: next = bus_quick_boolean(at, end, out); break;
    case BUS_KIND_DOUBLE: next = bus_quick_double(at, end, out); break;
    case BUS_KIND_ENUM: next = bus_quick_index(at, end, shape->count, out); break;
    default: break;
    }
    return BUS_LIKELY(next) ? next : bus_decoder_value(d, shape, at, out);
}

BUS_INLINE const uint8_t *bus_decoder_optional(bus_decoder *d, const bus_shape *shape, const uint8_t *at, void *out)
{
    if (at == d->in.end || *at & 0xFD) /* neither 0 nor 2: the first branch or the second */
        return bus_decoder_value(d, shape, at, out);
    if (*at >> 1 == shape->null_branch) {
        bus_quick_zero(out, shape->size);
        return at + 1;
    }
    *(bool *)out = true;
    return bus_decoder_scalar(d, shape->item, at + 1, (char *)out + shape->offset);
}

BUS_INLINE const uint8_t *bus_decoder_common(bus_decoder *d, const bus_shape *shape, const uint8_t *at, void *out)
{
    return shape->kind == BUS_KIND_OPTIONAL ? bus_decoder_optional(d, shape, at, out) : bus_decoder_scalar(d, shape, at, out);
}

#endif
