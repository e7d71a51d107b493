/* SPDX-License-Identifier: MIT
 * Decode: Avro's binary encoding into C structs, by the descriptor table. The bytes are hostile; the table is not. */
#include "codec/decoder.h"
#include "codec/uuid_text.h"

#define decode bus_decoder_value /* the recursion below */

void *bus_decoder_allocate(bus_decoder *d, size_t n)
{
    bus_arena *arena = d->arena;
    if (n > BUS_BODY_MAX_MEMORY - d->memory || (arena->limit && n > arena->limit - arena->used)) {
        bus_fault_set(&d->fault, BUS_TOO_BIG, "at byte %zu: another %zu bytes of memory would be over the limit of %zu",
                      (size_t)(d->in.at - d->in.start), n,
                      arena->limit && arena->limit < BUS_BODY_MAX_MEMORY ? arena->limit : BUS_BODY_MAX_MEMORY);
        return NULL;
    }
    void *memory = bus_arena_alloc(arena, n);
    if (!memory)
        bus_fault_nomem(&d->fault);
    else
        d->memory += n;
    return memory;
}

bool bus_decoder_enter(bus_decoder *d)
{
    if (++d->depth > BUS_DEPTH_MAX)
        return bus_reader_fail(&d->in, "nested deeper than %d", BUS_DEPTH_MAX);
    return true;
}

/* The position is kept at hand as long as values come quickly: in the decoder every store to the struct would make it be
 * read again. */
static bool decode_record(bus_decoder *d, const bus_shape *shape, void *out)
{
    if (!bus_decoder_enter(d))
        return false;
    const uint8_t *at = d->in.at, *const end = d->in.end;
    for (uint32_t i = 0; i < shape->count; i++) {
        const bus_field *field = &shape->fields[i];
        const uint8_t *next = bus_quick_value(field->shape, at, end, (char *)out + field->offset);
        if (!next) {
            d->in.at = at;
            if (!decode(d, field->shape, (char *)out + field->offset))
                return bus_fault_field(&d->fault, field->name);
            next = d->in.at;
        }
        at = next;
    }
    d->in.at = at;
    d->depth--;
    return true;
}

/* Blocks after the first double the room, so that many small blocks cost no more than one big one. */
char *bus_decoder_extend(bus_decoder *d, char *items, size_t len, size_t *room, size_t more, size_t stride)
{
    if (more <= *room - len)
        return items;
    size_t want = *room * 2 > len + more ? *room * 2 : len + more;
    /* No overflow: both are bounded by the message's length, the stride by the size of a C type. */
    char *memory = bus_decoder_allocate(d, want * stride);
    if (memory && len > 0)
        memcpy(memory, items, len * stride);
    *room = want;
    return memory;
}

static bool decode_items(bus_decoder *d, const bus_shape *shape, char *items, size_t from, size_t count)
{
    const bus_shape *item = shape->item;
    const bool map = shape->kind == BUS_KIND_MAP;
    const size_t value_at = map ? shape->offset : 0;
    char *to = items + from * shape->stride;
    if (!map && item->kind == BUS_KIND_RECORD) { /* the usual lines of an order: no choice for each */
        for (size_t i = from; i < from + count; i++, to += shape->stride)
            if (!decode_record(d, item, to))
                return bus_fault_index(&d->fault, i);
        return true;
    }
    for (size_t i = from; i < from + count; i++, to += shape->stride) {
        const uint8_t *at = d->in.at, *next;
        if (map) {
            bus_string *key = (bus_string *)(void *)to;
            next = bus_quick_string(at, d->in.end, key);
            if (next)
                d->in.at = next;
            else if (!bus_read_string(&d->in, &key->at, &key->len))
                return bus_fault_index(&d->fault, i);
        }
        next = bus_quick_value(item, d->in.at, d->in.end, to + value_at);
        if (next)
            d->in.at = next;
        else if (!decode(d, item, to + value_at))
            return bus_fault_index(&d->fault, i);
    }
    return true;
}

static bool decode_blocks(bus_decoder *d, const bus_shape *shape, void *out)
{
    /* A map's item has its key's length besides. */
    uint32_t least = shape->item->least + (shape->kind == BUS_KIND_MAP ? 1 : 0);
    char *items = NULL;
    size_t len = 0, room = 0, count;
    const uint8_t *ends;
    if (!bus_decoder_enter(d))
        return false;
    for (;;) {
        if (d->in.at < d->in.end && *d->in.at == 0) { /* the end, as almost always after one block */
            d->in.at++;
            break;
        }
        if (!bus_read_block(&d->in, least, &count, &ends))
            return false;
        if (count == 0) {
            if (!bus_read_block_end(&d->in, ends))
                return false;
            break;
        }
        items = bus_decoder_extend(d, items, len, &room, count, shape->stride);
        if (!items || !decode_items(d, shape, items, len, count) || !bus_read_block_end(&d->in, ends))
            return false;
        len += count;
    }
    d->depth--;
    bus_items result = { items, len };
    memcpy(out, &result, sizeof result);
    return true;
}

static bool decode_pointed(bus_decoder *d, const bus_shape *record, void *out)
{
    void *memory = bus_decoder_allocate(d, record->size ? record->size : 1);
    if (!memory || !decode_record(d, record, memory))
        return false;
    memcpy(out, &memory, sizeof memory);
    return true;
}

static bool decode_pointer(bus_decoder *d, const bus_shape *shape, void *out)
{
    if (shape->null_branch >= 0) {
        uint32_t branch;
        if (!bus_read_index(&d->in, "a union's branch", 2, &branch))
            return false;
        if (branch == (uint32_t)shape->null_branch) {
            memset(out, 0, sizeof(void *));
            return true;
        }
    }
    return decode_pointed(d, shape->item, out);
}

static bool decode_optional(bus_decoder *d, const bus_shape *shape, void *out)
{
    uint32_t branch;
    if (!bus_read_index(&d->in, "a union's branch", 2, &branch))
        return false;
    if (branch == (uint32_t)shape->null_branch) {
        memset(out, 0, shape->size);
        return true;
    }
    *(bool *)out = true;
    return decode(d, shape->item, (char *)out + shape->offset);
}

static bool decode_union(bus_decoder *d, const bus_shape *shape, void *out)
{
    uint32_t branch;
    if (!bus_read_index(&d->in, "a union's branch", shape->count, &branch))
        return false;
    bus_quick_zero(out, shape->size);
    memcpy(out, &branch, sizeof branch);
    const bus_field *field = &shape->fields[branch];
    const uint8_t *next = bus_quick_scalar(field->shape, d->in.at, d->in.end, (char *)out + field->offset);
    if (next) {
        d->in.at = next;
        return true;
    }
    if (!bus_decoder_enter(d) || !decode(d, field->shape, (char *)out + field->offset))
        return bus_fault_field(&d->fault, field->name);
    d->depth--;
    return true;
}

static bool decode_uuid(bus_decoder *d, const bus_shape *shape, uint8_t out[16])
{
    const uint8_t *raw;
    const void *text;
    size_t len;
    if (shape->wire == BUS_KIND_FIXED) {
        if (!bus_read_raw(&d->in, 16, &raw))
            return false;
        memcpy(out, raw, 16);
        return true;
    }
    if (!bus_read_bytes(&d->in, &text, &len))
        return false;
    if (!bus_uuid_from_text(text, len, out)) {
        d->in.at -= len;
        return bus_reader_fail(&d->in, "%zu bytes that are not the text of a UUID", len);
    }
    return true;
}

/* Two's complement, most significant byte first; any number of bytes as long as 64 bits can hold the value. */
static bool decode_decimal(bus_decoder *d, const bus_shape *shape, bus_decimal *out)
{
    const void *bytes;
    const uint8_t *at;
    size_t len = shape->count;
    if (shape->wire == BUS_KIND_FIXED) {
        if (!bus_read_raw(&d->in, len, &at))
            return false;
    } else {
        if (!bus_read_bytes(&d->in, &bytes, &len))
            return false;
        at = bytes;
    }
    const uint8_t sign = len > 0 && at[0] & 0x80 ? 0xFF : 0;
    uint64_t value = sign ? UINT64_MAX : 0;
    for (size_t i = 0; i < len; i++) {
        bool spare = len - i > 8;
        if ((spare && at[i] != sign) || (len - i == 8 && (at[i] & 0x80) != (sign & 0x80)))
            return bus_reader_fail(&d->in, "a decimal of %zu bytes is over 64 bits", len);
        value = value << 8 | at[i];
    }
    out->unscaled = (int64_t)value;
    out->scale = shape->scale;
    return true;
}

static bool decode_duration(bus_decoder *d, bus_duration *out)
{
    const uint8_t *at;
    if (!bus_read_raw(&d->in, 12, &at))
        return false;
    *out = (bus_duration){ (uint32_t)bus_load_le(at, 4), (uint32_t)bus_load_le(at + 4, 4), (uint32_t)bus_load_le(at + 8, 4) };
    return true;
}

static bool decode_float(bus_decoder *d, void *out)
{
    const uint8_t *at;
    if (!bus_read_raw(&d->in, 4, &at))
        return false;
    uint32_t bits = (uint32_t)bus_load_le(at, 4);
    memcpy(out, &bits, 4);
    return true;
}

static bool decode_double(bus_decoder *d, void *out)
{
    const uint8_t *at;
    if (!bus_read_raw(&d->in, 8, &at))
        return false;
    uint64_t bits = bus_load_le(at, 8);
    memcpy(out, &bits, 8);
    return true;
}

static bool decode_fixed(bus_decoder *d, const bus_shape *shape, void *out)
{
    const uint8_t *at;
    if (!bus_read_raw(&d->in, shape->count, &at))
        return false;
    memcpy(out, at, shape->count);
    return true;
}

static bool decode_enum(bus_decoder *d, const bus_shape *shape, void *out)
{
    uint32_t symbol;
    if (!bus_read_index(&d->in, "an enum's symbol", shape->count, &symbol))
        return false;
    memcpy(out, &symbol, sizeof symbol);
    return true;
}

bool decode(bus_decoder *d, const bus_shape *shape, void *out)
{
    switch (shape->kind) {
    case BUS_KIND_STRING: return bus_read_string(&d->in, &((bus_string *)out)->at, &((bus_string *)out)->len);
    case BUS_KIND_BYTES: return bus_read_bytes(&d->in, &((bus_bytes *)out)->at, &((bus_bytes *)out)->len);
    case BUS_KIND_LONG: return bus_read_long(&d->in, out);
    case BUS_KIND_INT: return bus_read_int(&d->in, out);
    case BUS_KIND_BOOLEAN: return bus_read_boolean(&d->in, out);
    case BUS_KIND_FLOAT: return decode_float(d, out);
    case BUS_KIND_DOUBLE: return decode_double(d, out);
    case BUS_KIND_NULL: *(bus_null *)out = (bus_null){ 0 }; return true;
    case BUS_KIND_RECORD: return decode_record(d, shape, out);
    case BUS_KIND_ENUM: return decode_enum(d, shape, out);
    case BUS_KIND_FIXED: return decode_fixed(d, shape, out);
    case BUS_KIND_ARRAY:
    case BUS_KIND_MAP: return decode_blocks(d, shape, out);
    case BUS_KIND_OPTIONAL: return decode_optional(d, shape, out);
    case BUS_KIND_POINTER: return decode_pointer(d, shape, out);
    case BUS_KIND_UNION: return decode_union(d, shape, out);
    case BUS_KIND_UUID: return decode_uuid(d, shape, out);
    case BUS_KIND_DECIMAL: return decode_decimal(d, shape, out);
    case BUS_KIND_DURATION: return decode_duration(d, out);
    }
    return bus_fault_set(&d->fault, BUS_BUG, "a descriptor of unknown kind %d", (int)shape->kind);
}

void bus_decoder_begin(bus_decoder *d, const void *bytes, size_t len, size_t skip, bus_arena *arena)
{
    const uint8_t *at = bytes;
    /* Field by field: clearing the fault's texts would cost as much as a small record. */
    d->in = (bus_reader){ .start = at - skip, .at = at, .end = at + len, .fault = &d->fault };
    d->arena = arena;
    d->memory = 0;
    d->depth = 0;
    d->fault.status = BUS_OK;
}

bus_status bus_decoder_end(bus_decoder *d, bool ok, const char *root, bus_error *err)
{
    if (ok && d->in.at != d->in.end)
        (void)bus_reader_fail(&d->in, "%zu bytes are left over", bus_reader_left(&d->in));
    return d->fault.status == BUS_OK ? BUS_OK : bus_fault_report(&d->fault, root, err);
}

bus_status bus_body_decode(const bus_shape *shape, const void *bytes, size_t len, size_t skip, bus_arena *arena,
                           void *value, bus_error *err)
{
    bus_decoder d;
    bus_decoder_begin(&d, bytes, len, skip, arena);
    bool ok = shape->kind == BUS_KIND_RECORD ? decode_record(&d, shape, value) : decode(&d, shape, value);
    return bus_decoder_end(&d, ok, shape->name ? shape->name : "value", err);
}
