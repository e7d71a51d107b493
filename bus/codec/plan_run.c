/* SPDX-License-Identifier: MIT
 * Plan run: a body through the moves of a plan. The bytes are hostile and so was the writer's schema; the moves are not. */
#include "codec/plan_move.h"

#include "codec/decoder.h"

static const uint8_t *run(bui_decoder *d, const bui_move *move, const uint8_t *at, void *out);

/* ---- numbers that become others */

static bool read_float(bus_reader *in, double *out)
{
    const uint8_t *at;
    if (!bui_read_raw(in, 4, &at))
        return false;
    uint32_t bits = (uint32_t)bui_load_le(at, 4);
    float value;
    memcpy(&value, &bits, sizeof value);
    *out = (double)value;
    return true;
}

static bool read_as_int(bus_reader *in, int64_t *out)
{
    int32_t narrow = 0;
    bool ok = bui_read_int(in, &narrow);
    *out = narrow;
    return ok;
}

static const uint8_t *run_whole(bui_decoder *d, const uint8_t *at, bool is_int, int64_t *out)
{
    const uint8_t *next = bui_quick_long(at, d->in.end, out);
    if (BUI_LIKELY(next && (!is_int || *out == (int32_t)*out)))
        return next;
    bus_reader *in = bui_decoder_at(d, at);
    return bui_decoder_next(d, is_int ? read_as_int(in, out) : bui_read_long(in, out));
}

static const uint8_t *run_number(bui_decoder *d, const bui_move *move, const uint8_t *at, void *out)
{
    int64_t whole;
    double real;
    float single;
    if (move->act == BUI_ACT_FLOAT_DOUBLE) {
        at = bui_decoder_next(d, read_float(bui_decoder_at(d, at), &real));
        if (at)
            memcpy(out, &real, sizeof real);
        return at;
    }
    if (!(at = run_whole(d, at, move->act < BUI_ACT_LONG_FLOAT, &whole)))
        return NULL;
    switch (move->act) {
    case BUI_ACT_INT_LONG: memcpy(out, &whole, sizeof whole); break;
    case BUI_ACT_INT_FLOAT:
    case BUI_ACT_LONG_FLOAT:
        single = (float)whole;
        memcpy(out, &single, sizeof single);
        break;
    default:
        real = (double)whole;
        memcpy(out, &real, sizeof real);
        break;
    }
    return at;
}

/* ---- what holds other values */

static const uint8_t *run_record(bui_decoder *d, const bui_move *move, const uint8_t *at, void *out)
{
    if (!bui_decoder_enter(d, at))
        return NULL;
    for (const bui_step *step = move->steps, *end = step + move->count; step < end; step++) {
        const bui_move *next = step->move;
        void *to = out ? (char *)out + step->offset : NULL; /* NULL: all of it is skipped */
        at = next->act == BUI_ACT_DIRECT ? bui_decoder_common(d, next->shape, at, to) : run(d, next, at, to);
        if (!at)
            return BUI_IN_FIELD(d, step->name);
    }
    for (uint32_t i = 0; i < move->default_count; i++)
        memcpy((char *)out + move->defaults[i].offset, move->defaults[i].value, move->defaults[i].size);
    d->depth--;
    return at;
}

static const uint8_t *run_key(bui_decoder *d, const uint8_t *at, bus_string *key)
{
    const uint8_t *next = bui_quick_string(at, d->in.end, key);
    return next ? next : bui_decoder_next(d, bui_read_string(bui_decoder_at(d, at), &key->at, &key->len));
}

static const uint8_t *run_items(bui_decoder *d, const bui_move *move, const uint8_t *at, char *items, size_t from, size_t count)
{
    const bool map = move->act == BUI_ACT_MAP || move->act == BUI_ACT_SKIP_MAP;
    const size_t stride = items ? move->shape->stride : 0, value_at = items && map ? move->shape->offset : 0;
    bus_string unread;
    for (size_t i = from; i < from + count; i++) {
        char *to = items ? items + i * stride : NULL;
        at = map ? run_key(d, at, to ? (bus_string *)(void *)to : &unread) : at;
        if (!at || !(at = run(d, move->inner, at, to ? to + value_at : NULL)))
            return BUI_IN_ITEM(d, i);
    }
    return at;
}

static const uint8_t *run_blocks(bui_decoder *d, const bui_move *move, const uint8_t *at, void *out)
{
    const bool kept = move->act == BUI_ACT_ARRAY || move->act == BUI_ACT_MAP;
    const uint32_t least = move->least + (move->act == BUI_ACT_MAP || move->act == BUI_ACT_SKIP_MAP ? 1 : 0);
    bui_items result = { NULL, 0 };
    char *items = NULL;
    size_t room = 0, count;
    const uint8_t *ends;
    if (!bui_decoder_enter(d, at))
        return NULL;
    do {
        if (!(at = bui_decoder_block(d, at, least, &count, &ends)))
            return NULL;
        if (kept && count > 0) {
            items = bui_decoder_extend(d, at, items, result.len, &room, count, move->shape->stride);
            if (!items)
                return NULL;
        }
        /* What takes no bytes and is not kept needs no run. */
        if ((kept || least > 0) && !(at = run_items(d, move, at, items, result.len, count)))
            return NULL;
        if (ends && !bui_read_block_end(bui_decoder_at(d, at), ends))
            return NULL;
        result.len += count;
    } while (count > 0);
    d->depth--;
    result.at = items;
    if (kept)
        memcpy(out, &result, sizeof result);
    return at;
}

/* Into a record on its own; `out` gets the pointer. */
static const uint8_t *run_pointed(bui_decoder *d, const bui_move *move, const bus_shape *record, const uint8_t *at, void *out)
{
    void *memory = bui_decoder_allocate(d, at, record->size ? record->size : 1);
    if (!memory || !(at = run(d, move, at, memory)))
        return NULL;
    memcpy(out, &memory, sizeof memory);
    return at;
}

static const uint8_t *run_into(bui_decoder *d, const bui_move *move, const uint8_t *at, void *out)
{
    const bus_shape *shape = move->shape;
    const uint32_t branch = move->count;
    if (shape->kind != BUS_KIND_UNION && !move->inner) {
        memset(out, 0, shape->size);
        return at;
    }
    if (shape->kind == BUS_KIND_POINTER)
        return run_pointed(d, move->inner, shape->item, at, out);
    if (shape->kind == BUS_KIND_OPTIONAL) {
        *(bool *)out = true;
        return run(d, move->inner, at, (char *)out + shape->offset);
    }
    const bus_field *field = &shape->fields[branch];
    void *to = (char *)out + field->offset;
    memset(out, 0, shape->size);
    memcpy(out, &branch, sizeof branch);
    if (!move->inner)
        return at;
    at = field->shape->kind == BUS_KIND_POINTER ? run_pointed(d, move->inner, field->shape->item, at, to)
                                                : run(d, move->inner, at, to);
    return at ? at : BUI_IN_FIELD(d, field->name);
}

static const uint8_t *run_union(bui_decoder *d, const bui_move *move, const uint8_t *at, void *out)
{
    uint32_t branch;
    const uint8_t *next = bui_quick_index(at, d->in.end, move->count, &branch);
    if (!next)
        next = bui_decoder_next(d, bui_read_index(bui_decoder_at(d, at), "a union's branch", move->count, &branch));
    return next ? run(d, move->moves[branch], next, out) : NULL;
}

/* ---- the careful way of the rest */

static bool read_enum(bus_reader *in, const bui_move *move, void *out)
{
    uint32_t symbol;
    if (!bui_read_index(in, "an enum's symbol", move->count, &symbol))
        return false;
    if (move->symbols[symbol] < 0)
        return bui_reader_fail(in, "the writer's symbol \"%.100s\" is not among those of %.100s here, which has no default",
                               move->writer->symbols[symbol], move->shape->name);
    memcpy(out, &move->symbols[symbol], sizeof symbol);
    return true;
}

static bool skip(bus_reader *in, const bui_move *move)
{
    const void *bytes;
    const uint8_t *raw;
    const char *text;
    size_t len;
    int32_t narrow;
    int64_t whole;
    bool boolean;
    uint32_t symbol;
    switch (move->act) {
    case BUI_ACT_SKIP_BYTES: return bui_read_bytes(in, &bytes, &len);
    case BUI_ACT_SKIP_STRING: return bui_read_string(in, &text, &len);
    case BUI_ACT_SKIP_INT: return bui_read_int(in, &narrow);
    case BUI_ACT_SKIP_LONG: return bui_read_long(in, &whole);
    case BUI_ACT_SKIP_BOOLEAN: return bui_read_boolean(in, &boolean);
    case BUI_ACT_SKIP_ENUM: return bui_read_index(in, "an enum's symbol", move->count, &symbol);
    case BUI_ACT_SKIP_RAW: return bui_read_raw(in, move->count, &raw);
    case BUI_ACT_REFUSE: return bui_reader_fail(in, "a value that cannot be read here: %s", move->why);
    default: return bui_fault_set(in->fault, BUS_BUG, "a plan's step of unknown kind %d", (int)move->act);
    }
}

static const uint8_t *run_string_as_bytes(bui_decoder *d, const bui_move *move, const uint8_t *at, void *out)
{
    const char *text;
    size_t len;
    return bui_read_string(bui_decoder_at(d, at), &text, &len) ? bui_decoder_value(d, move->shape, at, out) : NULL;
}

static const uint8_t *run(bui_decoder *d, const bui_move *move, const uint8_t *at, void *out)
{
    switch (move->act) {
    case BUI_ACT_DIRECT: return bui_decoder_value(d, move->shape, at, out);
    case BUI_ACT_INT_LONG:
    case BUI_ACT_INT_FLOAT:
    case BUI_ACT_INT_DOUBLE:
    case BUI_ACT_LONG_FLOAT:
    case BUI_ACT_LONG_DOUBLE:
    case BUI_ACT_FLOAT_DOUBLE: return run_number(d, move, at, out);
    case BUI_ACT_STRING_BYTES: return run_string_as_bytes(d, move, at, out);
    case BUI_ACT_ENUM: return bui_decoder_next(d, read_enum(bui_decoder_at(d, at), move, out));
    case BUI_ACT_RECORD: return run_record(d, move, at, out);
    case BUI_ACT_UNION: return run_union(d, move, at, out);
    case BUI_ACT_INTO: return run_into(d, move, at, out);
    case BUI_ACT_ARRAY:
    case BUI_ACT_MAP:
    case BUI_ACT_SKIP_ARRAY:
    case BUI_ACT_SKIP_MAP: return run_blocks(d, move, at, out);
    default: return bui_decoder_next(d, skip(bui_decoder_at(d, at), move));
    }
}

bus_status bui_plan_decode(const bui_plan *plan, const void *bytes, size_t len, size_t skipped, bui_arena *arena, void *value,
                           bus_error *err)
{
    bui_decoder d;
    const uint8_t *at = bui_decoder_begin(&d, bytes, len, skipped, arena);
    return bui_decoder_end(&d, run(&d, plan->root, at, value), plan->name, err);
}
