/* SPDX-License-Identifier: MIT
 * Plan run: a body through the moves of a plan. The bytes are hostile and so was the writer's schema; the moves are not. */
#include "codec/plan_move.h"

#include "codec/decoder.h"

static const uint8_t *run(bus_decoder *d, const bus_move *move, const uint8_t *at, void *out);

/* ---- numbers that become others */

static bool read_float(bus_reader *in, double *out)
{
    const uint8_t *at;
    if (!bus_read_raw(in, 4, &at))
        return false;
    uint32_t bits = (uint32_t)bus_load_le(at, 4);
    float value;
    memcpy(&value, &bits, sizeof value);
    *out = (double)value;
    return true;
}

static bool read_as_int(bus_reader *in, int64_t *out)
{
    int32_t narrow = 0;
    bool ok = bus_read_int(in, &narrow);
    *out = narrow;
    return ok;
}

static const uint8_t *run_whole(bus_decoder *d, const uint8_t *at, bool is_int, int64_t *out)
{
    const uint8_t *next = bus_quick_long(at, d->in.end, out);
    if (BUS_LIKELY(next && (!is_int || *out == (int32_t)*out)))
        return next;
    bus_reader *in = bus_decoder_at(d, at);
    return bus_decoder_next(d, is_int ? read_as_int(in, out) : bus_read_long(in, out));
}

static const uint8_t *run_number(bus_decoder *d, const bus_move *move, const uint8_t *at, void *out)
{
    int64_t whole;
    double real;
    float single;
    if (move->act == BUS_ACT_FLOAT_DOUBLE) {
        at = bus_decoder_next(d, read_float(bus_decoder_at(d, at), &real));
        if (at)
            memcpy(out, &real, sizeof real);
        return at;
    }
    if (!(at = run_whole(d, at, move->act < BUS_ACT_LONG_FLOAT, &whole)))
        return NULL;
    switch (move->act) {
    case BUS_ACT_INT_LONG: memcpy(out, &whole, sizeof whole); break;
    case BUS_ACT_INT_FLOAT:
    case BUS_ACT_LONG_FLOAT: single = (float)whole; memcpy(out, &single, sizeof single); break;
    default: real = (double)whole; memcpy(out, &real, sizeof real); break;
    }
    return at;
}

/* ---- what holds other values */

static const uint8_t *run_record(bus_decoder *d, const bus_move *move, const uint8_t *at, void *out)
{
    if (!bus_decoder_enter(d, at))
        return NULL;
    for (const bus_step *step = move->steps, *end = step + move->count; step < end; step++) {
        const bus_move *next = step->move;
        void *to = out ? (char *)out + step->offset : NULL; /* NULL: all of it is skipped */
        at = next->act == BUS_ACT_DIRECT ? bus_decoder_common(d, next->shape, at, to) : run(d, next, at, to);
        if (!at)
            return BUS_IN_FIELD(d, step->name);
    }
    for (uint32_t i = 0; i < move->preset_count; i++)
        memcpy((char *)out + move->presets[i].offset, move->presets[i].value, move->presets[i].size);
    d->depth--;
    return at;
}

static const uint8_t *run_key(bus_decoder *d, const uint8_t *at, bus_string *key)
{
    const uint8_t *next = bus_quick_string(at, d->in.end, key);
    return next ? next : bus_decoder_next(d, bus_read_string(bus_decoder_at(d, at), &key->at, &key->len));
}

static const uint8_t *run_items(bus_decoder *d, const bus_move *move, const uint8_t *at, char *items, size_t from, size_t count)
{
    const bool map = move->act == BUS_ACT_MAP || move->act == BUS_ACT_SKIP_MAP;
    const size_t stride = items ? move->shape->stride : 0, value_at = items && map ? move->shape->offset : 0;
    bus_string unread;
    for (size_t i = from; i < from + count; i++) {
        char *to = items ? items + i * stride : NULL;
        at = map ? run_key(d, at, to ? (bus_string *)(void *)to : &unread) : at;
        if (!at || !(at = run(d, move->inner, at, to ? to + value_at : NULL)))
            return BUS_IN_ITEM(d, i);
    }
    return at;
}

static const uint8_t *run_blocks(bus_decoder *d, const bus_move *move, const uint8_t *at, void *out)
{
    const bool kept = move->act == BUS_ACT_ARRAY || move->act == BUS_ACT_MAP;
    const uint32_t least = move->least + (move->act == BUS_ACT_MAP || move->act == BUS_ACT_SKIP_MAP ? 1 : 0);
    bus_items result = { NULL, 0 };
    char *items = NULL;
    size_t room = 0, count;
    const uint8_t *ends;
    if (!bus_decoder_enter(d, at))
        return NULL;
    do {
        if (!(at = bus_decoder_block(d, at, least, &count, &ends)))
            return NULL;
        if (kept && count > 0) {
            items = bus_decoder_extend(d, at, items, result.len, &room, count, move->shape->stride);
            if (!items)
                return NULL;
        }
        /* What takes no bytes and is not kept needs no run. */
        if ((kept || least > 0) && !(at = run_items(d, move, at, items, result.len, count)))
            return NULL;
        if (ends && !bus_read_block_end(bus_decoder_at(d, at), ends))
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
static const uint8_t *run_pointed(bus_decoder *d, const bus_move *move, const bus_shape *record, const uint8_t *at, void *out)
{
    void *memory = bus_decoder_allocate(d, at, record->size ? record->size : 1);
    if (!memory || !(at = run(d, move, at, memory)))
        return NULL;
    memcpy(out, &memory, sizeof memory);
    return at;
}

static const uint8_t *run_into(bus_decoder *d, const bus_move *move, const uint8_t *at, void *out)
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
    at = field->shape->kind == BUS_KIND_POINTER ? run_pointed(d, move->inner, field->shape->item, at, to) : run(d, move->inner, at, to);
    return at ? at : BUS_IN_FIELD(d, field->name);
}

static const uint8_t *run_union(bus_decoder *d, const bus_move *move, const uint8_t *at, void *out)
{
    uint32_t branch;
    const uint8_t *next = bus_quick_index(at, d->in.end, move->count, &branch);
    if (!next)
        next = bus_decoder_next(d, bus_read_index(bus_decoder_at(d, at), "a union's branch", move->count, &branch));
    return next ? run(d, move->moves[branch], next, out) : NULL;
}

/* ---- the careful way of the rest */

static bool read_enum(bus_reader *in, const bus_move *move, void *out)
{
    uint32_t symbol;
    if (!bus_read_index(in, "an enum's symbol", move->count, &symbol))
        return false;
    if (move->symbols[symbol] < 0)
        return bus_reader_fail(in, "the writer's symbol \"%.100s\" is not among those of %.100s here, which has no default",
                               move->writer->symbols[symbol], move->shape->name);
    memcpy(out, &move->symbols[symbol], sizeof symbol);
    return true;
}

static bool skip(bus_reader *in, const bus_move *move)
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
    case BUS_ACT_SKIP_BYTES: return bus_read_bytes(in, &bytes, &len);
    case BUS_ACT_SKIP_STRING: return bus_read_string(in, &text, &len);
    case BUS_ACT_SKIP_INT: return bus_read_int(in, &narrow);
    case BUS_ACT_SKIP_LONG: return bus_read_long(in, &whole);
    case BUS_ACT_SKIP_BOOLEAN: return bus_read_boolean(in, &boolean);
    case BUS_ACT_SKIP_ENUM: return bus_read_index(in, "an enum's symbol", move->count, &symbol);
    case BUS_ACT_SKIP_RAW: return bus_read_raw(in, move->count, &raw);
    case BUS_ACT_REFUSE: return bus_reader_fail(in, "a value that cannot be read here: %s", move->why);
    default: return bus_fault_set(in->fault, BUS_BUG, "a plan's step of unknown kind %d", (int)move->act);
    }
}

static const uint8_t *run_string_as_bytes(bus_decoder *d, const bus_move *move, const uint8_t *at, void *out)
{
    const char *text;
    size_t len;
    return bus_read_string(bus_decoder_at(d, at), &text, &len) ? bus_decoder_value(d, move->shape, at, out) : NULL;
}

static const uint8_t *run(bus_decoder *d, const bus_move *move, const uint8_t *at, void *out)
{
    switch (move->act) {
    case BUS_ACT_DIRECT: return bus_decoder_value(d, move->shape, at, out);
    case BUS_ACT_INT_LONG:
    case BUS_ACT_INT_FLOAT:
    case BUS_ACT_INT_DOUBLE:
    case BUS_ACT_LONG_FLOAT:
    case BUS_ACT_LONG_DOUBLE:
    case BUS_ACT_FLOAT_DOUBLE: return run_number(d, move, at, out);
    case BUS_ACT_STRING_BYTES: return run_string_as_bytes(d, move, at, out);
    case BUS_ACT_ENUM: return bus_decoder_next(d, read_enum(bus_decoder_at(d, at), move, out));
    case BUS_ACT_RECORD: return run_record(d, move, at, out);
    case BUS_ACT_UNION: return run_union(d, move, at, out);
    case BUS_ACT_INTO: return run_into(d, move, at, out);
    case BUS_ACT_ARRAY:
    case BUS_ACT_MAP:
    case BUS_ACT_SKIP_ARRAY:
    case BUS_ACT_SKIP_MAP: return run_blocks(d, move, at, out);
    default: return bus_decoder_next(d, skip(bus_decoder_at(d, at), move));
    }
}

bus_status bus_plan_decode(const bus_plan *plan, const void *bytes, size_t len, size_t skipped, bus_arena *arena, void *value,
                           bus_error *err)
{
    bus_decoder d;
    const uint8_t *at = bus_decoder_begin(&d, bytes, len, skipped, arena);
    return bus_decoder_end(&d, run(&d, plan->root, at, value), plan->name, err);
}
