/* SPDX-License-Identifier: MIT
 * Encode: C structs into Avro's binary encoding, by the descriptor table. The struct comes from a program that may be
 * wrong: enums, lengths, NULLs and UTF-8 are checked, so that nothing leaves that its schema cannot read.
 *
 * Each put_ function takes the place to write at and returns the place after, or NULL with the fault noted: the place then
 * stays in a register all the way. */
#include "codec/body.h"
#include "codec/fault.h"
#include "codec/reader.h"
#include "codec/uuid_text.h"
#include "codec/varint.h"

#define INLINE static inline __attribute__((always_inline))
#define SHORT 64 /* a text of fewer bytes is short, and its length takes one byte */
#define SPARE 80 /* room that is always there, so that small values need one check: a number, a short text */

typedef struct span {
    const void *at;
    size_t len;
} span;

typedef struct encoder {
    bui_buf *out;
    const uint8_t *end; /* up to here SPARE bytes may be written. The buffer's limit is looked at when it grows and at the end. */
    size_t nothing;     /* items that take no bytes: no reader accepts many */
    unsigned depth;
    bui_fault fault;
} encoder;

static uint8_t *put(encoder *e, uint8_t *at, const bus_shape *shape, const void *value);
static uint8_t *put_blocks(encoder *e, uint8_t *at, const bus_shape *shape, const void *value);
static uint8_t *put_union(encoder *e, uint8_t *at, const bus_shape *shape, const void *value);

/* The place to write at, with n and SPARE bytes of room; NULL: no memory, or over the limit. */
BUI_COLD static uint8_t *grow(encoder *e, uint8_t *at, size_t n)
{
    bui_buf *out = e->out;
    out->len = at ? (size_t)(at - out->data) : out->len;
    if (!bui_buf_reserve(out, n, SPARE)) {
        if (out->over)
            bui_fault_set(&e->fault, BUS_TOO_BIG, "the encoded body is over %zu bytes", out->limit);
        else
            bui_fault_nomem(&e->fault);
        return NULL;
    }
    e->end = out->data + out->cap - SPARE;
    return out->data + out->len;
}

INLINE bool room(encoder *e, uint8_t **at)
{
    return __builtin_expect(*at <= e->end, 1) || (*at = grow(e, *at, 0));
}

#define BREAKS(e, ...) (bui_fault_set(&(e)->fault, BUS_INVALID, __VA_ARGS__), (uint8_t *)NULL)
#define IN_FIELD(e, field) (bui_fault_field(&(e)->fault, (field)->name), (uint8_t *)NULL)
#define IN_ITEM(e, i) (bui_fault_index(&(e)->fault, i), (uint8_t *)NULL)

static bool enter(encoder *e)
{
    return ++e->depth <= BUI_DEPTH_MAX || bui_fault_set(&e->fault, BUS_INVALID, "nested deeper than %d", BUI_DEPTH_MAX);
}

/* ---- numbers and bytes */

INLINE uint8_t *put_long(encoder *e, uint8_t *at, int64_t value)
{
    return room(e, &at) ? bui_varint_write(at, value) : NULL;
}

static uint8_t *put_raw(encoder *e, uint8_t *at, const void *bytes, size_t len)
{
    if (e->end - at < (ptrdiff_t)len && !(at = grow(e, at, len)))
        return NULL;
    if (len > 0)
        memcpy(at, bytes, len);
    return at + len;
}

static uint8_t *put_bytes(encoder *e, uint8_t *at, const void *bytes, size_t len)
{
    if (len > PTRDIFF_MAX)
        return BREAKS(e, "a length of %zu", len);
    if (!bytes && len > 0)
        return BREAKS(e, "NULL where %zu bytes should be", len);
    at = put_long(e, at, (int64_t)len);
    return at ? put_raw(e, at, bytes, len) : NULL;
}

static uint8_t *put_text(encoder *e, uint8_t *at, const bus_string *string)
{
    if (string->at && string->len <= PTRDIFF_MAX && !bui_utf8_check(string->at, string->len))
        return BREAKS(e, "a string of %zu bytes is not UTF-8", string->len);
    return put_bytes(e, at, string->at, string->len);
}

INLINE bui_pair copy_pair(uint8_t *to, const char *from)
{
    bui_pair pair;
    memcpy(&pair, from, sizeof pair);
    memcpy(to, &pair, sizeof pair);
    return pair;
}

INLINE uint64_t copy_word(uint8_t *to, const char *from)
{
    uint64_t word;
    memcpy(&word, from, sizeof word);
    memcpy(to, &word, sizeof word);
    return word;
}

INLINE uint32_t copy_half(uint8_t *to, const char *from)
{
    uint32_t half;
    memcpy(&half, from, sizeof half);
    memcpy(to, &half, sizeof half);
    return half;
}

/* Copies n < SHORT bytes in words that overlap rather than in a loop; true if all are ASCII. */
INLINE bool copy_ascii(uint8_t *to, const char *from, size_t n)
{
    if (__builtin_expect(n >= 16, 1)) {
        bui_pair all = copy_pair(to, from) | copy_pair(to + n - 16, from + n - 16);
        if (n > 32)
            all |= copy_pair(to + 16, from + 16) | copy_pair(to + n - 32, from + n - 32);
        return bui_pair_ascii(all);
    }
    if (n >= 8)
        return !((copy_word(to, from) | copy_word(to + n - 8, from + n - 8)) & BUI_NOT_ASCII);
    if (n >= 4)
        return !((copy_half(to, from) | copy_half(to + n - 4, from + n - 4)) & (uint32_t)BUI_NOT_ASCII);
    if (n == 0)
        return true;
    /* The first, the middle and the last of one to three. */
    to[0] = (uint8_t)from[0];
    to[n / 2] = (uint8_t)from[n / 2];
    to[n - 1] = (uint8_t)from[n - 1];
    return !((to[0] | to[n / 2] | to[n - 1]) & 0x80);
}

/* A short text is nearly always ASCII, and then checked while it is copied. */
INLINE uint8_t *put_string(encoder *e, uint8_t *at, const bus_string *string)
{
    const size_t n = string->len;
    if (__builtin_expect(n < SHORT && string->at && at <= e->end, 1)) {
        *at = (uint8_t)(n << 1);
        if (__builtin_expect(copy_ascii(at + 1, string->at, n), 1))
            return at + 1 + n;
    }
    return put_text(e, at, string);
}

INLINE uint8_t *put_double(encoder *e, uint8_t *at, const void *value)
{
    uint64_t bits;
    if (!room(e, &at))
        return NULL;
    memcpy(&bits, value, 8);
    bits = bui_le64(bits);
    memcpy(at, &bits, 8);
    return at + 8;
}

static uint8_t *put_le32(encoder *e, uint8_t *at, uint32_t value)
{
    if (!room(e, &at))
        return NULL;
    for (int i = 0; i < 4; i++, value >>= 8)
        *at++ = (uint8_t)value;
    return at;
}

static uint8_t *put_float(encoder *e, uint8_t *at, const void *value)
{
    uint32_t bits;
    memcpy(&bits, value, 4);
    return put_le32(e, at, bits);
}

INLINE uint8_t *put_boolean(encoder *e, uint8_t *at, const void *value)
{
    if (!room(e, &at))
        return NULL;
    /* Read as a byte: a bool with another bit pattern is undefined to read as one. */
    *at = *(const uint8_t *)value != 0;
    return at + 1;
}

INLINE uint8_t *put_enum(encoder *e, uint8_t *at, const bus_shape *shape, const void *value)
{
    uint32_t symbol;
    memcpy(&symbol, value, sizeof symbol);
    if (symbol >= shape->count)
        return BREAKS(e, "%d is not a symbol of %s, which has %u", (int)symbol, shape->name, shape->count);
    return put_long(e, at, symbol);
}

/* ---- the kinds that most fields have, without a call */

INLINE uint8_t *put_scalar(encoder *e, uint8_t *at, const bus_shape *shape, const void *value)
{
    switch (shape->kind) {
    case BUS_KIND_STRING: return put_string(e, at, value);
    case BUS_KIND_LONG: return put_long(e, at, *(const int64_t *)value);
    case BUS_KIND_INT: return put_long(e, at, *(const int32_t *)value);
    case BUS_KIND_BOOLEAN: return put_boolean(e, at, value);
    case BUS_KIND_DOUBLE: return put_double(e, at, value);
    case BUS_KIND_ENUM: return put_enum(e, at, shape, value);
    default: return put(e, at, shape, value);
    }
}

INLINE uint8_t *put_optional(encoder *e, uint8_t *at, const bus_shape *shape, const void *value)
{
    const bool present = *(const uint8_t *)value != 0;
    if (!room(e, &at))
        return NULL;
    *at++ = (uint8_t)((present ? 1 - shape->null_branch : shape->null_branch) << 1);
    return present ? put_scalar(e, at, shape->item, (const char *)value + shape->offset) : at;
}

INLINE uint8_t *put_value(encoder *e, uint8_t *at, const bus_shape *shape, const void *value)
{
    if (shape->kind == BUS_KIND_STRING) /* half of all fields: not worth a jump by table */
        return put_string(e, at, value);
    switch (shape->kind) {
    case BUS_KIND_LONG: return put_long(e, at, *(const int64_t *)value);
    case BUS_KIND_INT: return put_long(e, at, *(const int32_t *)value);
    case BUS_KIND_BOOLEAN: return put_boolean(e, at, value);
    case BUS_KIND_DOUBLE: return put_double(e, at, value);
    case BUS_KIND_ENUM: return put_enum(e, at, shape, value);
    case BUS_KIND_OPTIONAL: return put_optional(e, at, shape, value);
    case BUS_KIND_ARRAY:
    case BUS_KIND_MAP: return put_blocks(e, at, shape, value);
    case BUS_KIND_UNION: return put_union(e, at, shape, value);
    default: return put(e, at, shape, value);
    }
}

/* ---- what holds other values */

BUI_HOT static uint8_t *put_record(encoder *e, uint8_t *at, const bus_shape *shape, const void *value)
{
    if (!enter(e))
        return NULL;
    for (const bus_field *field = shape->fields, *end = field + shape->count; field < end; field++)
        if (!(at = put_value(e, at, field->shape, (const char *)value + field->offset)))
            return IN_FIELD(e, field);
    e->depth--;
    return at;
}

static uint8_t *put_items(encoder *e, uint8_t *at, const bus_shape *shape, const span *items)
{
    const char *item = items->at;
    for (size_t i = 0; i < items->len; i++, item += shape->stride)
        if (!(at = shape->item->kind == BUS_KIND_RECORD ? put_record(e, at, shape->item, item)
                                                        : put_value(e, at, shape->item, item)))
            return IN_ITEM(e, i);
    return at;
}

static uint8_t *put_entries(encoder *e, uint8_t *at, const bus_shape *shape, const span *entries)
{
    const char *entry = entries->at;
    for (size_t i = 0; i < entries->len; i++, entry += shape->stride) {
        at = put_string(e, at, (const bus_string *)(const void *)entry);
        if (!at || !(at = put_value(e, at, shape->item, entry + shape->offset)))
            return IN_ITEM(e, i);
    }
    return at;
}

__attribute__((noinline)) static uint8_t *put_blocks(encoder *e, uint8_t *at, const bus_shape *shape, const void *value)
{
    span items;
    memcpy(&items, value, sizeof items);
    const bool map = shape->kind == BUS_KIND_MAP;
    if (items.len > PTRDIFF_MAX / (shape->stride ? shape->stride : 1))
        return BREAKS(e, "a length of %zu items", items.len);
    if (!items.at && items.len > 0)
        return BREAKS(e, "NULL where %zu items should be", items.len);
    if (shape->item->least == 0 && !map) {
        if (items.len > BUI_NOTHING_MAX - e->nothing)
            return BREAKS(e, "%zu items that take no bytes; a message may hold %d", items.len, BUI_NOTHING_MAX);
        e->nothing += items.len;
    }
    if (!enter(e) || (items.len > 0 && !(at = put_long(e, at, (int64_t)items.len))))
        return NULL;
    at = map ? put_entries(e, at, shape, &items) : put_items(e, at, shape, &items);
    e->depth--;
    return at ? put_long(e, at, 0) : NULL;
}

static uint8_t *put_pointer(encoder *e, uint8_t *at, const bus_shape *shape, const void *value)
{
    const void *record;
    memcpy(&record, value, sizeof record);
    if (shape->null_branch >= 0 && !(at = put_long(e, at, record ? 1 - shape->null_branch : shape->null_branch)))
        return NULL;
    if (record)
        return put_record(e, at, shape->item, record);
    return shape->null_branch >= 0 ? at : BREAKS(e, "NULL where a %s should be", shape->item->name);
}

__attribute__((noinline)) static uint8_t *put_union(encoder *e, uint8_t *at, const bus_shape *shape, const void *value)
{
    uint32_t branch;
    memcpy(&branch, value, sizeof branch);
    if (branch >= shape->count)
        return BREAKS(e, "a union's tag of %u; it has %u branches", branch, shape->count);
    const bus_field *field = &shape->fields[branch];
    if (!(at = put_long(e, at, branch)) || !(at = put_scalar(e, at, field->shape, (const char *)value + field->offset)))
        return IN_FIELD(e, field);
    return at;
}

/* ---- logical types with values of their own */

static uint8_t *put_uuid(encoder *e, uint8_t *at, const bus_shape *shape, const bus_uuid *uuid)
{
    char text[BUI_UUID_TEXT];
    if (shape->wire == BUS_KIND_FIXED)
        return put_raw(e, at, uuid->at, sizeof uuid->at);
    bui_uuid_to_text(uuid->at, text);
    return put_bytes(e, at, text, sizeof text);
}

/* Whether the value has at most `precision` digits. */
static bool digits_fit(int64_t value, int32_t precision)
{
    int32_t digits = 0;
    for (; value != 0; value /= 10)
        digits++;
    return digits <= precision;
}

static uint8_t *put_decimal(encoder *e, uint8_t *at, const bus_shape *shape, const bus_decimal *decimal)
{
    /* Zero is zero at any scale, so a struct of zeros encodes. */
    if (decimal->scale != shape->scale && decimal->unscaled != 0)
        return BREAKS(e, "a decimal of scale %d; the schema's is %d", decimal->scale, shape->scale);
    if (!digits_fit(decimal->unscaled, shape->precision))
        return BREAKS(e, "a decimal of more than %d digits", shape->precision);
    uint8_t bytes[8];
    uint64_t raw = (uint64_t)decimal->unscaled;
    for (size_t i = 8; i-- > 0; raw >>= 8)
        bytes[i] = (uint8_t)raw;
    uint8_t sign = decimal->unscaled < 0 ? 0xFF : 0;
    size_t skip = 0; /* leading bytes that only repeat the sign */
    while (skip < 7 && bytes[skip] == sign && (bytes[skip + 1] & 0x80) == (sign & 0x80))
        skip++;
    if (shape->wire == BUS_KIND_BYTES)
        return put_bytes(e, at, bytes + skip, 8 - skip);
    for (size_t pad = shape->count; at && pad > 8 - skip; pad--)
        at = put_raw(e, at, &sign, 1);
    return at ? put_raw(e, at, bytes + skip, 8 - skip) : NULL;
}

static uint8_t *put_duration(encoder *e, uint8_t *at, const bus_duration *duration)
{
    at = put_le32(e, at, duration->months);
    at = at ? put_le32(e, at, duration->days) : NULL;
    return at ? put_le32(e, at, duration->ms) : NULL;
}

/* ---- any value */

static uint8_t *put(encoder *e, uint8_t *at, const bus_shape *shape, const void *value)
{
    switch (shape->kind) {
    case BUS_KIND_STRING: return put_text(e, at, value);
    case BUS_KIND_BYTES: return put_bytes(e, at, ((const bus_bytes *)value)->at, ((const bus_bytes *)value)->len);
    case BUS_KIND_LONG: return put_long(e, at, *(const int64_t *)value);
    case BUS_KIND_INT: return put_long(e, at, *(const int32_t *)value);
    case BUS_KIND_BOOLEAN: return put_boolean(e, at, value);
    case BUS_KIND_FLOAT: return put_float(e, at, value);
    case BUS_KIND_DOUBLE: return put_double(e, at, value);
    case BUS_KIND_NULL: return at;
    case BUS_KIND_RECORD: return put_record(e, at, shape, value);
    case BUS_KIND_ENUM: return put_enum(e, at, shape, value);
    case BUS_KIND_FIXED: return put_raw(e, at, value, shape->count);
    case BUS_KIND_ARRAY:
    case BUS_KIND_MAP: return put_blocks(e, at, shape, value);
    case BUS_KIND_OPTIONAL: return put_optional(e, at, shape, value);
    case BUS_KIND_POINTER: return put_pointer(e, at, shape, value);
    case BUS_KIND_UNION: return put_union(e, at, shape, value);
    case BUS_KIND_UUID: return put_uuid(e, at, shape, value);
    case BUS_KIND_DECIMAL: return put_decimal(e, at, shape, value);
    case BUS_KIND_DURATION: return put_duration(e, at, value);
    }
    bui_fault_set(&e->fault, BUS_BUG, "a descriptor of unknown kind %d", (int)shape->kind);
    return NULL;
}

BUI_COLD static bus_status encode_failed(encoder *e, uint8_t *at, size_t before, const bus_shape *shape, bus_error *err)
{
    if (at) /* it is written, but over the limit: growing finds that out */
        grow(e, at, 0);
    e->out->len = before;
    return bui_fault_report(&e->fault, shape->name ? shape->name : "value", err);
}

bus_status bui_body_encode(const bus_shape *shape, const void *value, bui_buf *out, bus_error *err)
{
    encoder e;
    const size_t before = out->len;
    e.out = out;
    e.nothing = 0;
    e.depth = 0;
    e.fault.status = BUS_OK;
    if (!bui_buf_ok(out))
        return bui_fail(err, out->over ? BUS_TOO_BIG : BUS_NOMEM, "the buffer has failed before");
    uint8_t *at;
    if (__builtin_expect(out->cap - before >= SPARE, 1)) {
        at = out->data + before;
        e.end = out->data + out->cap - SPARE;
    } else if (!(at = grow(&e, NULL, 0))) {
        return encode_failed(&e, NULL, before, shape, err);
    }
    at = shape->kind == BUS_KIND_RECORD ? put_record(&e, at, shape, value) : put(&e, at, shape, value);
    if (!at || (size_t)(at - out->data) > out->limit)
        return encode_failed(&e, at, before, shape, err);
    out->len = (size_t)(at - out->data);
    return BUS_OK;
}
