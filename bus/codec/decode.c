/* SPDX-License-Identifier: MIT
 * Decode: Avro's binary encoding into C structs, by the descriptor table. The bytes are hostile; the table is not. */
#include "codec/decoder.h"
#include "codec/uuid_text.h"

#define get bui_decoder_value /* the recursion below */

/* ---- memory and depth */

BUI_COLD static void *over_limit(bui_decoder *d, const uint8_t *at, size_t n)
{
    const size_t limit = d->arena->limit;
    bui_fault_set(&d->fault, BUS_TOO_BIG, "at byte %zu: another %zu bytes of memory would be over the limit of %zu",
                  (size_t)(at - d->in.start), n, limit && limit < BUI_BODY_MAX_MEMORY ? limit : BUI_BODY_MAX_MEMORY);
    return NULL;
}

void *bui_decoder_allocate(bui_decoder *d, const uint8_t *at, size_t n)
{
    bui_arena *arena = d->arena;
    if (n > BUI_BODY_MAX_MEMORY - d->memory || (arena->limit && n > arena->limit - arena->used))
        return over_limit(d, at, n);
    void *memory = bui_arena_alloc(arena, n);
    if (!memory)
        bui_fault_nomem(&d->fault);
    else
        d->memory += n;
    return memory;
}

/* Blocks after the first double the room, so that many small blocks cost no more than one big one. */
char *bui_decoder_extend(bui_decoder *d, const uint8_t *at, char *items, size_t len, size_t *room, size_t more, size_t stride)
{
    if (more <= *room - len)
        return items;
    size_t want = *room * 2 > len + more ? *room * 2 : len + more;
    /* No overflow: both are bounded by the message's length, the stride by the size of a C type. */
    char *memory = bui_decoder_allocate(d, at, want * stride);
    if (memory && len > 0)
        memcpy(memory, items, len * stride);
    *room = want;
    return memory;
}

bool bui_decoder_enter(bui_decoder *d, const uint8_t *at)
{
    return ++d->depth <= BUI_DEPTH_MAX || bui_reader_fail(bui_decoder_at(d, at), "nested deeper than %d", BUI_DEPTH_MAX);
}

/* ---- what holds other values */

BUI_HOT static const uint8_t *get_record(bui_decoder *d, const bus_shape *shape, const uint8_t *at, void *out)
{
    if (!bui_decoder_enter(d, at))
        return NULL;
    for (const bus_field *field = shape->fields, *end = field + shape->count; field < end; field++)
        if (!(at = bui_decoder_common(d, field->shape, at, (char *)out + field->offset)))
            return BUI_IN_FIELD(d, field->name);
    d->depth--;
    return at;
}

static const uint8_t *get_items(bui_decoder *d, const bus_shape *shape, const uint8_t *at, char *to, size_t from, size_t count)
{
    const bus_shape *item = shape->item;
    for (size_t i = 0; i < count; i++, to += shape->stride)
        if (!(at = item->kind == BUS_KIND_RECORD ? get_record(d, item, at, to) : bui_decoder_common(d, item, at, to)))
            return BUI_IN_ITEM(d, from + i);
    return at;
}

static const uint8_t *get_key(bui_decoder *d, const uint8_t *at, bus_string *key)
{
    return bui_decoder_next(d, bui_read_string(bui_decoder_at(d, at), &key->at, &key->len));
}

static const uint8_t *get_entries(bui_decoder *d, const bus_shape *shape, const uint8_t *at, char *to, size_t from, size_t count)
{
    for (size_t i = 0; i < count; i++, to += shape->stride) {
        bus_string *key = (bus_string *)(void *)to;
        const uint8_t *value = bui_quick_string(at, d->in.end, key);
        if (!BUI_LIKELY(value))
            value = get_key(d, at, key);
        if (!value || !(at = bui_decoder_common(d, shape->item, value, to + shape->offset)))
            return BUI_IN_ITEM(d, from + i);
    }
    return at;
}

const uint8_t *bui_decoder_block(bui_decoder *d, const uint8_t *at, uint32_t least, size_t *count, const uint8_t **ends)
{
    const uint8_t *const end = d->in.end;
    uint32_t few = 0;
    const uint8_t *items = bui_quick_index(at, end, 64, &few);
    if (items && least > 0 && (uint64_t)few * least <= (uint64_t)(end - items)) { /* at most 63, without their size in bytes */
        *count = few;
        *ends = NULL;
        return items;
    }
    return bui_decoder_next(d, bui_read_block(bui_decoder_at(d, at), least, count, ends));
}

static const uint8_t *get_blocks(bui_decoder *d, const bus_shape *shape, const uint8_t *at, void *out)
{
    const bool map = shape->kind == BUS_KIND_MAP;
    const uint32_t least = shape->item->least + map; /* a map's item has its key's length besides */
    bui_items result = { NULL, 0 };
    char *items = NULL;
    size_t room = 0, count;
    const uint8_t *ends;
    if (!bui_decoder_enter(d, at))
        return NULL;
    for (;;) {
        if (!(at = bui_decoder_block(d, at, least, &count, &ends)))
            return NULL;
        if (count > 0) {
            items = bui_decoder_extend(d, at, items, result.len, &room, count, shape->stride);
            char *to = items ? items + result.len * shape->stride : NULL;
            if (!to ||
                !(at = map ? get_entries(d, shape, at, to, result.len, count) : get_items(d, shape, at, to, result.len, count)))
                return NULL;
        }
        if (ends && !bui_read_block_end(bui_decoder_at(d, at), ends))
            return NULL;
        if (count == 0)
            break;
        result.len += count;
    }
    d->depth--;
    result.at = items;
    memcpy(out, &result, sizeof result);
    return at;
}

static const uint8_t *get_pointed(bui_decoder *d, const bus_shape *record, const uint8_t *at, void *out)
{
    void *memory = bui_decoder_allocate(d, at, record->size ? record->size : 1);
    if (!memory || !(at = get_record(d, record, at, memory)))
        return NULL;
    memcpy(out, &memory, sizeof memory);
    return at;
}

static const uint8_t *get_branch(bui_decoder *d, const uint8_t *at, uint32_t count, uint32_t *branch)
{
    const uint8_t *next = bui_quick_index(at, d->in.end, count, branch);
    return next ? next : bui_decoder_next(d, bui_read_index(bui_decoder_at(d, at), "a union's branch", count, branch));
}

static const uint8_t *get_pointer(bui_decoder *d, const bus_shape *shape, const uint8_t *at, void *out)
{
    if (shape->null_branch >= 0) {
        uint32_t branch;
        if (!(at = get_branch(d, at, 2, &branch)))
            return NULL;
        if (branch == (uint32_t)shape->null_branch) {
            memset(out, 0, sizeof(void *));
            return at;
        }
    }
    return get_pointed(d, shape->item, at, out);
}

static const uint8_t *get_optional(bui_decoder *d, const bus_shape *shape, const uint8_t *at, void *out)
{
    uint32_t branch;
    if (!(at = get_branch(d, at, 2, &branch)))
        return NULL;
    if (branch == (uint32_t)shape->null_branch) {
        memset(out, 0, shape->size);
        return at;
    }
    *(bool *)out = true;
    return get(d, shape->item, at, (char *)out + shape->offset);
}

static const uint8_t *get_union(bui_decoder *d, const bus_shape *shape, const uint8_t *at, void *out)
{
    uint32_t branch;
    if (!(at = get_branch(d, at, shape->count, &branch)))
        return NULL;
    bui_quick_zero(out, shape->size);
    memcpy(out, &branch, sizeof branch);
    const bus_field *field = &shape->fields[branch];
    at = bui_decoder_scalar(d, field->shape, at, (char *)out + field->offset);
    return at ? at : BUI_IN_FIELD(d, field->name);
}

/* ---- the careful way of what holds no other value: it takes all there is, and says what is wrong */

static bool read_uuid(bus_reader *in, const bus_shape *shape, uint8_t out[16])
{
    const uint8_t *raw;
    const void *text;
    size_t len;
    if (shape->wire == BUS_KIND_FIXED) {
        if (!bui_read_raw(in, 16, &raw))
            return false;
        memcpy(out, raw, 16);
        return true;
    }
    if (!bui_read_bytes(in, &text, &len))
        return false;
    if (!bui_uuid_from_text(text, len, out)) {
        in->at -= len;
        return bui_reader_fail(in, "%zu bytes that are not the text of a UUID", len);
    }
    return true;
}

/* Two's complement, most significant byte first; any number of bytes as long as 64 bits can hold the value. */
static bool read_decimal(bus_reader *in, const bus_shape *shape, bus_decimal *out)
{
    const void *bytes;
    const uint8_t *at;
    size_t len = shape->count;
    if (shape->wire == BUS_KIND_FIXED) {
        if (!bui_read_raw(in, len, &at))
            return false;
    } else {
        if (!bui_read_bytes(in, &bytes, &len))
            return false;
        at = bytes;
    }
    const uint8_t sign = len > 0 && at[0] & 0x80 ? 0xFF : 0;
    uint64_t value = sign ? UINT64_MAX : 0;
    for (size_t i = 0; i < len; i++) {
        bool spare = len - i > 8;
        if ((spare && at[i] != sign) || (len - i == 8 && (at[i] & 0x80) != (sign & 0x80)))
            return bui_reader_fail(in, "a decimal of %zu bytes is over 64 bits", len);
        value = value << 8 | at[i];
    }
    out->unscaled = (int64_t)value;
    out->scale = shape->scale;
    return true;
}

static bool read_duration(bus_reader *in, bus_duration *out)
{
    const uint8_t *at;
    if (!bui_read_raw(in, 12, &at))
        return false;
    *out = (bus_duration){ (uint32_t)bui_load_le(at, 4), (uint32_t)bui_load_le(at + 4, 4), (uint32_t)bui_load_le(at + 8, 4) };
    return true;
}

static bool read_float(bus_reader *in, void *out)
{
    const uint8_t *at;
    if (!bui_read_raw(in, 4, &at))
        return false;
    uint32_t bits = (uint32_t)bui_load_le(at, 4);
    memcpy(out, &bits, 4);
    return true;
}

static bool read_double(bus_reader *in, void *out)
{
    const uint8_t *at;
    if (!bui_read_raw(in, 8, &at))
        return false;
    (void)bui_quick_double(at, in->end, out);
    return true;
}

static bool read_fixed(bus_reader *in, const bus_shape *shape, void *out)
{
    const uint8_t *at;
    if (!bui_read_raw(in, shape->count, &at))
        return false;
    memcpy(out, at, shape->count);
    return true;
}

static bool read_enum(bus_reader *in, const bus_shape *shape, void *out)
{
    uint32_t symbol;
    if (!bui_read_index(in, "an enum's symbol", shape->count, &symbol))
        return false;
    memcpy(out, &symbol, sizeof symbol);
    return true;
}

static bool read_plain(bus_reader *in, const bus_shape *shape, void *out)
{
    switch (shape->kind) {
    case BUS_KIND_STRING: return bui_read_string(in, &((bus_string *)out)->at, &((bus_string *)out)->len);
    case BUS_KIND_BYTES: return bui_read_bytes(in, &((bus_bytes *)out)->at, &((bus_bytes *)out)->len);
    case BUS_KIND_LONG: return bui_read_long(in, out);
    case BUS_KIND_INT: return bui_read_int(in, out);
    case BUS_KIND_BOOLEAN: return bui_read_boolean(in, out);
    case BUS_KIND_FLOAT: return read_float(in, out);
    case BUS_KIND_DOUBLE: return read_double(in, out);
    case BUS_KIND_NULL: *(bus_null *)out = (bus_null){ 0 }; return true;
    case BUS_KIND_ENUM: return read_enum(in, shape, out);
    case BUS_KIND_FIXED: return read_fixed(in, shape, out);
    case BUS_KIND_UUID: return read_uuid(in, shape, out);
    case BUS_KIND_DECIMAL: return read_decimal(in, shape, out);
    case BUS_KIND_DURATION: return read_duration(in, out);
    default: return bui_fault_set(in->fault, BUS_BUG, "a descriptor of unknown kind %d", (int)shape->kind);
    }
}

/* ---- any value */

const uint8_t *get(bui_decoder *d, const bus_shape *shape, const uint8_t *at, void *out)
{
    switch (shape->kind) {
    case BUS_KIND_RECORD: return get_record(d, shape, at, out);
    case BUS_KIND_ARRAY:
    case BUS_KIND_MAP: return get_blocks(d, shape, at, out);
    case BUS_KIND_OPTIONAL: return get_optional(d, shape, at, out);
    case BUS_KIND_POINTER: return get_pointer(d, shape, at, out);
    case BUS_KIND_UNION: return get_union(d, shape, at, out);
    default: return bui_decoder_next(d, read_plain(bui_decoder_at(d, at), shape, out));
    }
}

const uint8_t *bui_decoder_begin(bui_decoder *d, const void *bytes, size_t len, size_t skip, bui_arena *arena)
{
    static const uint8_t nothing[1]; /* its place is not NULL, which means failure */
    const uint8_t *at = bytes ? bytes : nothing;
    /* Field by field: clearing the fault's texts would cost as much as a small record. */
    d->in = (bus_reader){ .start = bytes ? at - skip : at, .at = at, .end = bytes ? at + len : at, .fault = &d->fault };
    d->arena = arena;
    d->memory = 0;
    d->depth = 0;
    d->fault.status = BUS_OK;
    return at;
}

bus_status bui_decoder_end(bui_decoder *d, const uint8_t *at, const char *root, bus_error *err)
{
    if (at == d->in.end)
        return BUS_OK;
    if (at) {
        bus_reader *in = bui_decoder_at(d, at);
        (void)bui_reader_fail(in, "%zu bytes are left over", bui_reader_left(in));
    }
    return bui_fault_report(&d->fault, root, err);
}

bus_status bui_body_decode(const bus_shape *shape, const void *bytes, size_t len, size_t skip, bui_arena *arena, void *value,
                           bus_error *err)
{
    bui_decoder d;
    const uint8_t *at = bui_decoder_begin(&d, bytes, len, skip, arena);
    at = shape->kind == BUS_KIND_RECORD ? get_record(&d, shape, at, value) : get(&d, shape, at, value);
    return bui_decoder_end(&d, at, shape->name ? shape->name : "value", err);
}
