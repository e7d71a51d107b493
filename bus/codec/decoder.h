/* SPDX-License-Identifier: MIT
 * Decoder: what decode.c and plan_run.c share: the state of one body being decoded, and the fast path for values that are
 * complete and common. Each function takes the place to read at and returns the place after, so that it stays in a register
 * all the way; NULL: failed, and the fault is noted. */
#ifndef BUI_CODEC_DECODER_H
#define BUI_CODEC_DECODER_H

#include "codec/body.h"
#include "codec/reader.h"

typedef struct bui_decoder {
    bus_reader in; /* its place is set only where the careful way is taken: see bui_decoder_at */
    bui_arena *arena;
    size_t memory; /* taken from the arena so far */
    unsigned depth;
    bui_fault fault;
} bui_decoder;

/* How every generated array and map begins. Copied, never aliased: each has its own C type. */
typedef struct bui_items {
    const void *at;
    size_t len;
} bui_items;

/* Where to begin. */
const uint8_t *bui_decoder_begin(bui_decoder *d, const void *bytes, size_t len, size_t skip, bui_arena *arena);
/* `at`: what decoding the whole returned. */
bus_status bui_decoder_end(bui_decoder *d, const uint8_t *at, const char *root, bus_error *err);

/* Any value, by its descriptor. */
const uint8_t *bui_decoder_value(bui_decoder *d, const bus_shape *shape, const uint8_t *at, void *out);
bool bui_decoder_enter(bui_decoder *d, const uint8_t *at);
void *bui_decoder_allocate(bui_decoder *d, const uint8_t *at, size_t n);
/* Room for `more` items after the `len` that there are. */
char *bui_decoder_extend(bui_decoder *d, const uint8_t *at, char *items, size_t len, size_t *room, size_t more, size_t stride);
/* The head of a block: see bui_read_block. */
const uint8_t *bui_decoder_block(bui_decoder *d, const uint8_t *at, uint32_t least, size_t *count, const uint8_t **ends);

/* The careful way of reader.h, which finds out what is wrong: bui_decoder_next(d, bui_read_long(bui_decoder_at(d, at), &value)). */
static inline bus_reader *bui_decoder_at(bui_decoder *d, const uint8_t *at)
{
    d->in.at = at;
    return &d->in;
}

static inline const uint8_t *bui_decoder_next(const bui_decoder *d, bool ok)
{
    return ok ? d->in.at : NULL;
}

#define BUI_IN_FIELD(d, name) (bui_fault_field(&(d)->fault, name), (const uint8_t *)NULL)
#define BUI_IN_ITEM(d, i) (bui_fault_index(&(d)->fault, i), (const uint8_t *)NULL)

/* ---- the fast way: the byte after the value, or NULL where the careful way must be taken */

#define BUI_INLINE static inline __attribute__((always_inline))
#define BUI_LIKELY(condition) __builtin_expect(!!(condition), 1)

/* Up to nine bytes. */
BUI_INLINE const uint8_t *bui_quick_long(const uint8_t *at, const uint8_t *end, int64_t *out)
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
BUI_INLINE const uint8_t *bui_quick_string(const uint8_t *at, const uint8_t *end, bus_string *out)
{
    if (at == end || *at & 0x81)
        return NULL;
    size_t n = *at++ >> 1;
    if ((size_t)(end - at) < n || !bui_ascii(at, n))
        return NULL;
    out->at = (const char *)at;
    out->len = n;
    return at + n;
}

BUI_INLINE const uint8_t *bui_quick_int(const uint8_t *at, const uint8_t *end, int32_t *out)
{
    int64_t value;
    at = bui_quick_long(at, end, &value);
    if (!at || value != (int32_t)value)
        return NULL;
    *out = (int32_t)value;
    return at;
}

BUI_INLINE const uint8_t *bui_quick_boolean(const uint8_t *at, const uint8_t *end, bool *out)
{
    if (at == end || *at > 1)
        return NULL;
    *out = *at == 1;
    return at + 1;
}

BUI_INLINE const uint8_t *bui_quick_double(const uint8_t *at, const uint8_t *end, void *out)
{
    uint64_t bits;
    if (end - at < 8)
        return NULL;
    memcpy(&bits, at, 8);
    bits = bui_le64(bits);
    memcpy(out, &bits, 8);
    return at + 8;
}

/* An index below 64: an enum's symbol, a union's branch. */
BUI_INLINE const uint8_t *bui_quick_index(const uint8_t *at, const uint8_t *end, uint32_t count, uint32_t *out)
{
    if (at == end || *at & 0x81 || *at >> 1 >= count)
        return NULL;
    *out = *at >> 1;
    return at + 1;
}

BUI_INLINE void bui_quick_zero(void *out, size_t n)
{
    static const uint64_t zero;
    char *at = out;
    for (; n >= 8; n -= 8, at += 8)
        memcpy(at, &zero, 8);
    for (; n > 0; n--)
        *at++ = 0;
}

/* ---- the kinds that most values have, without a call */

BUI_INLINE const uint8_t *bui_decoder_scalar(bui_decoder *d, const bus_shape *shape, const uint8_t *at, void *out)
{
    const uint8_t *const end = d->in.end, *next = NULL;
    switch (shape->kind) {
    case BUS_KIND_STRING: next = bui_quick_string(at, end, out); break;
    case BUS_KIND_LONG: next = bui_quick_long(at, end, out); break;
    case BUS_KIND_INT: next = bui_quick_int(at, end, out); break;
    case BUS_KIND_BOOLEAN: next = bui_quick_boolean(at, end, out); break;
    case BUS_KIND_DOUBLE: next = bui_quick_double(at, end, out); break;
    case BUS_KIND_ENUM: next = bui_quick_index(at, end, shape->count, out); break;
    default: break;
    }
    return BUI_LIKELY(next) ? next : bui_decoder_value(d, shape, at, out);
}

BUI_INLINE const uint8_t *bui_decoder_optional(bui_decoder *d, const bus_shape *shape, const uint8_t *at, void *out)
{
    if (at == d->in.end || *at & 0xFD) /* neither 0 nor 2: the first branch or the second */
        return bui_decoder_value(d, shape, at, out);
    if (*at >> 1 == shape->null_branch) {
        bui_quick_zero(out, shape->size);
        return at + 1;
    }
    *(bool *)out = true;
    return bui_decoder_scalar(d, shape->item, at + 1, (char *)out + shape->offset);
}

BUI_INLINE const uint8_t *bui_decoder_common(bui_decoder *d, const bus_shape *shape, const uint8_t *at, void *out)
{
    return shape->kind == BUS_KIND_OPTIONAL ? bui_decoder_optional(d, shape, at, out) : bui_decoder_scalar(d, shape, at, out);
}

#endif
