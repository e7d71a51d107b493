/* SPDX-License-Identifier: MIT
 * Encode: C structs into Avro's binary encoding, by the descriptor table. The struct comes from a program that may be
 * wrong: enums, lengths, NULLs and UTF-8 are checked, so that nothing leaves that its schema cannot read. */
#include "codec/body.h"
#include "codec/fault.h"
#include "codec/reader.h"
#include "codec/uuid_text.h"
#include "codec/varint.h"

typedef struct span { const void *at; size_t len; } span;

/* Writes into the buffer's free room directly and settles its length at the end. */
typedef struct encoder {
    uint8_t *at, *end;
    bus_buf *out;
    size_t nothing; /* items that take no bytes: no reader accepts many */
    unsigned depth;
    bus_fault fault;
} encoder;

static bool encode(encoder *e, const bus_shape *shape, const void *value);

static uint8_t *writable_end(const bus_buf *out)
{
    return out->data + (out->limit && out->limit < out->cap ? out->limit : out->cap);
}

static bool grow(encoder *e, size_t n)
{
    bus_buf *out = e->out;
    out->len = e->at ? (size_t)(e->at - out->data) : out->len;
    size_t len = out->len;
    uint8_t *at = bus_buf_grow(out, n);
    if (!at) {
        if (!out->over)
            return bus_fault_nomem(&e->fault);
        return bus_fault_set(&e->fault, BUS_TOO_BIG, "the encoded body is over %zu bytes", out->limit);
    }
    out->len = len;
    e->at = at;
    e->end = writable_end(out);
    return true;
}

static inline bool room(encoder *e, size_t n)
{
    return (size_t)(e->end - e->at) >= n || grow(e, n);
}

static bool put_raw(encoder *e, const void *bytes, size_t len)
{
    if (!room(e, len))
        return false;
    if (len > 0) {
        memcpy(e->at, bytes, len);
        e->at += len;
    }
    return true;
}

/* At the end of the buffer only what is needed must fit. */
BUS_COLD static bool put_long_tight(encoder *e, int64_t value)
{
    uint8_t number[BUS_VARINT_MAX];
    return put_raw(e, number, (size_t)(bus_varint_write(number, value) - number));
}

static inline bool put_long(encoder *e, int64_t value)
{
    if ((size_t)(e->end - e->at) < BUS_VARINT_MAX)
        return put_long_tight(e, value);
    e->at = bus_varint_write(e->at, value);
    return true;
}

static bool put_le(encoder *e, uint64_t value, size_t n)
{
    if (!room(e, n))
        return false;
    for (size_t i = 0; i < n; i++, value >>= 8)
        *e->at++ = (uint8_t)value;
    return true;
}

static bool put_bytes(encoder *e, const void *bytes, size_t len)
{
    size_t left = (size_t)(e->end - e->at);
    if (bytes && left > BUS_VARINT_MAX && len <= left - BUS_VARINT_MAX) { /* the common case: one check for all */
        e->at = bus_varint_write(e->at, (int64_t)len);
        memcpy(e->at, bytes, len);
        e->at += len;
        return true;
    }
    if (len > PTRDIFF_MAX)
        return bus_fault_set(&e->fault, BUS_INVALID, "a length of %zu", len);
    if (!bytes && len > 0)
        return bus_fault_set(&e->fault, BUS_INVALID, "NULL where %zu bytes should be", len);
    return put_long(e, (int64_t)len) && put_raw(e, bytes, len);
}

static bool put_string(encoder *e, const bus_string *string)
{
    if (string->at && string->len <= PTRDIFF_MAX && !bus_utf8_check(string->at, string->len))
        return bus_fault_set(&e->fault, BUS_INVALID, "a string of %zu bytes is not UTF-8", string->len);
    return put_bytes(e, string->at, string->len);
}

static bool enter(encoder *e)
{
    if (++e->depth > BUS_DEPTH_MAX)
        return bus_fault_set(&e->fault, BUS_INVALID, "nested deeper than %d", BUS_DEPTH_MAX);
    return true;
}

/* ---- the fast way: the end of the written value, or NULL where the careful way must be taken, which checks it all */

#define QUICK static inline __attribute__((always_inline))

/* ASCII of less than 64 bytes: checked while it is copied, in words that overlap. */
QUICK uint8_t *quick_string(uint8_t *at, const uint8_t *end, const bus_string *string)
{
    const size_t n = string->len;
    const char *from = string->at;
    uint64_t word, bad = 0;
    uint32_t half;
    if (n > 63 || !from || (size_t)(end - at) <= n)
        return NULL;
    *at++ = (uint8_t)(n << 1);
    if (n >= 8) {
        for (size_t i = 0; i + 8 < n; i += 8) {
            memcpy(&word, from + i, 8);
            memcpy(at + i, &word, 8);
            bad |= word;
        }
        memcpy(&word, from + n - 8, 8);
        memcpy(at + n - 8, &word, 8);
        bad |= word;
    } else if (n >= 4) {
        memcpy(&half, from, 4);
        memcpy(at, &half, 4);
        bad = half;
        memcpy(&half, from + n - 4, 4);
        memcpy(at + n - 4, &half, 4);
        bad |= half;
    } else {
        for (size_t i = 0; i < n; i++)
            bad |= at[i] = (uint8_t)from[i];
    }
    return bad & 0x8080808080808080u ? NULL : at + n; /* what was written is written over */
}

QUICK uint8_t *quick_long(uint8_t *at, const uint8_t *end, int64_t value)
{
    return end - at < BUS_VARINT_MAX ? NULL : bus_varint_write(at, value);
}

QUICK uint8_t *quick_scalar(const bus_shape *shape, uint8_t *at, const uint8_t *end, const void *value)
{
    switch (shape->kind) {
    case BUS_KIND_STRING: return quick_string(at, end, value);
    case BUS_KIND_LONG: return quick_long(at, end, *(const int64_t *)value);
    case BUS_KIND_INT: return quick_long(at, end, *(const int32_t *)value);
    case BUS_KIND_BOOLEAN:
        if (at == end)
            return NULL;
        *at = *(const uint8_t *)value != 0; /* as a byte: see encode_boolean */
        return at + 1;
    case BUS_KIND_ENUM: {
        uint32_t symbol;
        memcpy(&symbol, value, sizeof symbol);
        return symbol < shape->count ? quick_long(at, end, symbol) : NULL;
    }
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    case BUS_KIND_DOUBLE:
        if (end - at < 8)
            return NULL;
        memcpy(at, value, 8);
        return at + 8;
#endif
    default: return NULL;
    }
}

QUICK uint8_t *quick_value(const bus_shape *shape, uint8_t *at, const uint8_t *end, const void *value)
{
    if (shape->kind != BUS_KIND_OPTIONAL)
        return quick_scalar(shape, at, end, value);
    const bool present = *(const uint8_t *)value != 0;
    if (at == end)
        return NULL;
    *at = (uint8_t)((present ? 1 - shape->null_branch : shape->null_branch) << 1);
    return present ? quick_scalar(shape->item, at + 1, end, (const char *)value + shape->offset) : at + 1;
}

/* The position is kept at hand as long as values go quickly: in the encoder every byte stored would make it be read again. */
static bool encode_record(encoder *e, const bus_shape *shape, const void *value)
{
    if (!enter(e))
        return false;
    uint8_t *at = e->at;
    const uint8_t *end = e->end;
    for (uint32_t i = 0; i < shape->count; i++) {
        const bus_field *field = &shape->fields[i];
        const void *from = (const char *)value + field->offset;
        uint8_t *next = at ? quick_value(field->shape, at, end, from) : NULL;
        if (!next) {
            e->at = at;
            if (!encode(e, field->shape, from))
                return bus_fault_field(&e->fault, field->name);
            next = e->at;
            end = e->end; /* it may have grown */
        }
        at = next;
    }
    e->at = at;
    e->depth--;
    return true;
}

static bool encode_blocks(encoder *e, const bus_shape *shape, const void *value)
{
    span items;
    memcpy(&items, value, sizeof items);
    bool map = shape->kind == BUS_KIND_MAP;
    if (items.len > PTRDIFF_MAX / (shape->stride ? shape->stride : 1))
        return bus_fault_set(&e->fault, BUS_INVALID, "a length of %zu items", items.len);
    if (!items.at && items.len > 0)
        return bus_fault_set(&e->fault, BUS_INVALID, "NULL where %zu items should be", items.len);
    if (shape->item->least == 0 && !map) {
        if (items.len > BUS_NOTHING_MAX - e->nothing)
            return bus_fault_set(&e->fault, BUS_INVALID, "%zu items that take no bytes; a message may hold %d", items.len,
                                 BUS_NOTHING_MAX);
        e->nothing += items.len;
    }
    if (!enter(e) || (items.len > 0 && !put_long(e, (int64_t)items.len)))
        return false;
    const char *record = items.at;
    for (size_t i = 0; !map && shape->item->kind == BUS_KIND_RECORD && i < items.len; i++, record += shape->stride)
        if (!encode_record(e, shape->item, record))
            return bus_fault_index(&e->fault, i);
    for (size_t i = 0; (map || shape->item->kind != BUS_KIND_RECORD) && i < items.len; i++) {
        const char *at = (const char *)items.at + i * shape->stride;
        uint8_t *next = map || !e->at ? NULL : quick_value(shape->item, e->at, e->end, at);
        if (next) {
            e->at = next;
            continue;
        }
        if ((map && !put_string(e, (const bus_string *)(const void *)at)) ||
            !encode(e, shape->item, map ? at + shape->offset : at))
            return bus_fault_index(&e->fault, i);
    }
    e->depth--;
    return put_long(e, 0);
}

static bool encode_pointer(encoder *e, const bus_shape *shape, const void *value)
{
    const void *record;
    memcpy(&record, value, sizeof record);
    if (shape->null_branch >= 0 && !put_long(e, record ? 1 - shape->null_branch : shape->null_branch))
        return false;
    if (record)
        return encode_record(e, shape->item, record);
    return shape->null_branch >= 0 ||
           bus_fault_set(&e->fault, BUS_INVALID, "NULL where a %s should be", shape->item->name);
}

static bool encode_optional(encoder *e, const bus_shape *shape, const void *value)
{
    bool present = *(const bool *)value;
    if (!put_long(e, present ? 1 - shape->null_branch : shape->null_branch))
        return false;
    return !present || encode(e, shape->item, (const char *)value + shape->offset);
}

static bool encode_union(encoder *e, const bus_shape *shape, const void *value)
{
    uint32_t branch;
    memcpy(&branch, value, sizeof branch);
    if (branch >= shape->count)
        return bus_fault_set(&e->fault, BUS_INVALID, "a union's tag of %u; it has %u branches", branch, shape->count);
    const bus_field *field = &shape->fields[branch];
    if (!enter(e) || !put_long(e, branch) || !encode(e, field->shape, (const char *)value + field->offset))
        return bus_fault_field(&e->fault, field->name);
    e->depth--;
    return true;
}

static bool encode_enum(encoder *e, const bus_shape *shape, const void *value)
{
    uint32_t symbol;
    memcpy(&symbol, value, sizeof symbol);
    if (symbol >= shape->count)
        return bus_fault_set(&e->fault, BUS_INVALID, "%d is no symbol of %s, which has %u", (int)symbol, shape->name,
                             shape->count);
    return put_long(e, symbol);
}

static bool encode_uuid(encoder *e, const bus_shape *shape, const bus_uuid *uuid)
{
    char text[BUS_UUID_TEXT];
    if (shape->wire == BUS_KIND_FIXED)
        return put_raw(e, uuid->at, sizeof uuid->at);
    bus_uuid_to_text(uuid->at, text);
    return put_bytes(e, text, sizeof text);
}

/* Whether the value has at most `precision` digits. */
static bool digits_fit(int64_t value, int32_t precision)
{
    int32_t digits = 0;
    for (; value != 0; value /= 10)
        digits++;
    return digits <= precision;
}

static bool encode_decimal(encoder *e, const bus_shape *shape, const bus_decimal *decimal)
{
    /* Zero is zero at any scale, so a struct of zeros encodes. */
    if (decimal->scale != shape->scale && decimal->unscaled != 0)
        return bus_fault_set(&e->fault, BUS_INVALID, "a decimal of scale %d; the schema's is %d", decimal->scale,
                             shape->scale);
    if (!digits_fit(decimal->unscaled, shape->precision))
        return bus_fault_set(&e->fault, BUS_INVALID, "a decimal of more than %d digits", shape->precision);
    uint8_t bytes[8];
    uint64_t raw = (uint64_t)decimal->unscaled;
    for (size_t i = 8; i-- > 0; raw >>= 8)
        bytes[i] = (uint8_t)raw;
    uint8_t sign = decimal->unscaled < 0 ? 0xFF : 0;
    size_t skip = 0; /* leading bytes that only repeat the sign */
    while (skip < 7 && bytes[skip] == sign && (bytes[skip + 1] & 0x80) == (sign & 0x80))
        skip++;
    if (shape->wire == BUS_KIND_BYTES)
        return put_bytes(e, bytes + skip, 8 - skip);
    for (size_t pad = shape->count; pad > 8 - skip; pad--)
        if (!put_raw(e, &sign, 1))
            return false;
    return put_raw(e, bytes + skip, 8 - skip);
}

static bool encode_duration(encoder *e, const bus_duration *duration)
{
    return put_le(e, duration->months, 4) && put_le(e, duration->days, 4) && put_le(e, duration->ms, 4);
}

static bool encode_double(encoder *e, const void *value, size_t n)
{
    uint32_t narrow;
    uint64_t bits;
    if (n == 4) {
        memcpy(&narrow, value, 4);
        return put_le(e, narrow, 4);
    }
    memcpy(&bits, value, 8);
    return put_le(e, bits, 8);
}

static bool encode_boolean(encoder *e, const void *value)
{
    /* Read as a byte: a bool with another bit pattern is undefined to read as one. */
    uint8_t byte = *(const uint8_t *)value != 0;
    return put_raw(e, &byte, 1);
}

static bool encode(encoder *e, const bus_shape *shape, const void *value)
{
    switch (shape->kind) {
    case BUS_KIND_STRING: return put_string(e, value);
    case BUS_KIND_BYTES: return put_bytes(e, ((const bus_bytes *)value)->at, ((const bus_bytes *)value)->len);
    case BUS_KIND_LONG: return put_long(e, *(const int64_t *)value);
    case BUS_KIND_INT: return put_long(e, *(const int32_t *)value);
    case BUS_KIND_BOOLEAN: return encode_boolean(e, value);
    case BUS_KIND_FLOAT: return encode_double(e, value, 4);
    case BUS_KIND_DOUBLE: return encode_double(e, value, 8);
    case BUS_KIND_NULL: return true;
    case BUS_KIND_RECORD: return encode_record(e, shape, value);
    case BUS_KIND_ENUM: return encode_enum(e, shape, value);
    case BUS_KIND_FIXED: return put_raw(e, value, shape->count);
    case BUS_KIND_ARRAY:
    case BUS_KIND_MAP: return encode_blocks(e, shape, value);
    case BUS_KIND_OPTIONAL: return encode_optional(e, shape, value);
    case BUS_KIND_POINTER: return encode_pointer(e, shape, value);
    case BUS_KIND_UNION: return encode_union(e, shape, value);
    case BUS_KIND_UUID: return encode_uuid(e, shape, value);
    case BUS_KIND_DECIMAL: return encode_decimal(e, shape, value);
    case BUS_KIND_DURATION: return encode_duration(e, value);
    }
    return bus_fault_set(&e->fault, BUS_BUG, "a descriptor of unknown kind %d", (int)shape->kind);
}

bus_status bus_body_encode(const bus_shape *shape, const void *value, bus_buf *out, bus_error *err)
{
    encoder e;
    size_t before = out->len;
    e.at = out->data ? out->data + before : NULL;
    e.end = out->data ? writable_end(out) : NULL;
    e.out = out;
    e.nothing = 0;
    e.depth = 0;
    e.fault.status = BUS_OK;
    if (!bus_buf_ok(out))
        return bus_fail(err, out->over ? BUS_TOO_BIG : BUS_NOMEM, "the buffer has failed before");
    if (encode(&e, shape, value)) {
        if (e.at)
            out->len = (size_t)(e.at - out->data);
        return BUS_OK;
    }
    out->len = before;
    return bus_fault_report(&e.fault, shape->name ? shape->name : "value", err);
}
