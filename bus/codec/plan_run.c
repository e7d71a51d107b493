/* SPDX-License-Identifier: MIT
 * Plan run: a body through the moves of a plan. The bytes are hostile and so was the writer's schema; the moves are not. */
#include "codec/plan_move.h"

#include "codec/decoder.h"

static bool run(bus_decoder *d, const bus_move *move, void *out);

static bool run_record(bus_decoder *d, const bus_move *move, void *out)
{
    if (!bus_decoder_enter(d))
        return false;
    for (uint32_t i = 0; i < move->count; i++) {
        const bus_step *step = &move->steps[i];
        void *to = out ? (char *)out + step->offset : NULL; /* NULL: all of it is skipped */
        if (step->move->act == BUS_ACT_DIRECT) {
            const uint8_t *next = bus_quick_value(step->move->shape, d->in.at, d->in.end, to);
            if (next) {
                d->in.at = next;
                continue;
            }
        }
        if (!run(d, step->move, to))
            return bus_fault_field(&d->fault, step->name);
    }
    for (uint32_t i = 0; i < move->preset_count; i++)
        memcpy((char *)out + move->presets[i].offset, move->presets[i].value, move->presets[i].size);
    d->depth--;
    return true;
}

static bool run_items(bus_decoder *d, const bus_move *move, char *items, size_t from, size_t count)
{
    const bool map = move->act == BUS_ACT_MAP || move->act == BUS_ACT_SKIP_MAP;
    const size_t stride = items ? move->shape->stride : 0, value_at = items && map ? move->shape->offset : 0;
    bus_string unread;
    for (size_t i = from; i < from + count; i++) {
        char *to = items ? items + i * stride : NULL;
        bus_string *key = to ? (bus_string *)(void *)to : &unread;
        if ((map && !bus_read_string(&d->in, &key->at, &key->len)) || !run(d, move->inner, to ? to + value_at : NULL))
            return bus_fault_index(&d->fault, i);
    }
    return true;
}

static bool run_blocks(bus_decoder *d, const bus_move *move, void *out)
{
    const bool kept = move->act == BUS_ACT_ARRAY || move->act == BUS_ACT_MAP;
    const uint32_t least = move->least + (move->act == BUS_ACT_MAP || move->act == BUS_ACT_SKIP_MAP ? 1 : 0);
    bus_items result = { NULL, 0 };
    char *items = NULL;
    size_t room = 0, count;
    const uint8_t *ends;
    if (!bus_decoder_enter(d))
        return false;
    do {
        if (!bus_read_block(&d->in, least, &count, &ends))
            return false;
        if (kept && count > 0) {
            items = bus_decoder_extend(d, items, result.len, &room, count, move->shape->stride);
            if (!items)
                return false;
        }
        /* What takes no bytes and is not kept needs no run. */
        if ((kept || least > 0) && !run_items(d, move, items, result.len, count))
            return false;
        if (!bus_read_block_end(&d->in, ends))
            return false;
        result.len += count;
    } while (count > 0);
    d->depth--;
    result.at = items;
    if (kept)
        memcpy(out, &result, sizeof result);
    return true;
}

/* Into a record on its own; `out` gets the pointer. */
static bool run_pointed(bus_decoder *d, const bus_move *move, const bus_shape *record, void *out)
{
    void *memory = bus_decoder_allocate(d, record->size ? record->size : 1);
    if (!memory || !run(d, move, memory))
        return false;
    memcpy(out, &memory, sizeof memory);
    return true;
}

static bool run_into(bus_decoder *d, const bus_move *move, void *out)
{
    const bus_shape *shape = move->shape;
    const uint32_t branch = move->count;
    if (shape->kind != BUS_KIND_UNION && !move->inner) {
        memset(out, 0, shape->size);
        return true;
    }
    if (shape->kind == BUS_KIND_POINTER)
        return run_pointed(d, move->inner, shape->item, out);
    if (shape->kind == BUS_KIND_OPTIONAL) {
        *(bool *)out = true;
        return run(d, move->inner, (char *)out + shape->offset);
    }
    const bus_field *field = &shape->fields[branch];
    void *to = (char *)out + field->offset;
    memset(out, 0, shape->size);
    memcpy(out, &branch, sizeof branch);
    if (!move->inner)
        return true;
    if (!bus_decoder_enter(d))
        return false;
    if (!(field->shape->kind == BUS_KIND_POINTER ? run_pointed(d, move->inner, field->shape->item, to) : run(d, move->inner, to)))
        return bus_fault_field(&d->fault, field->name);
    d->depth--;
    return true;
}

static bool run_enum(bus_decoder *d, const bus_move *move, void *out)
{
    uint32_t symbol;
    if (!bus_read_index(&d->in, "an enum's symbol", move->count, &symbol))
        return false;
    if (move->symbols[symbol] < 0)
        return bus_reader_fail(&d->in, "the writer's symbol \"%.100s\" is not among those of %.100s here, which has no default",
                               move->writer->symbols[symbol], move->shape->name);
    memcpy(out, &move->symbols[symbol], sizeof symbol);
    return true;
}

static bool run_union(bus_decoder *d, const bus_move *move, void *out)
{
    uint32_t branch;
    return bus_read_index(&d->in, "a union's branch", move->count, &branch) && run(d, move->moves[branch], out);
}

static bool store_float(void *out, float value)
{
    memcpy(out, &value, sizeof value);
    return true;
}

static bool store_double(void *out, double value)
{
    memcpy(out, &value, sizeof value);
    return true;
}

static bool run_number(bus_decoder *d, const bus_move *move, void *out)
{
    int32_t narrow = 0;
    int64_t whole = 0;
    const uint8_t *at = NULL;
    switch (move->act) {
    case BUS_ACT_INT_LONG:
    case BUS_ACT_INT_FLOAT:
    case BUS_ACT_INT_DOUBLE:
        if (!bus_read_int(&d->in, &narrow))
            return false;
        whole = narrow;
        break;
    case BUS_ACT_FLOAT_DOUBLE:
        if (!bus_read_raw(&d->in, 4, &at))
            return false;
        break;
    default:
        if (!bus_read_long(&d->in, &whole))
            return false;
        break;
    }
    switch (move->act) {
    case BUS_ACT_INT_LONG: memcpy(out, &whole, sizeof whole); return true;
    case BUS_ACT_INT_FLOAT:
    case BUS_ACT_LONG_FLOAT: return store_float(out, (float)whole);
    case BUS_ACT_INT_DOUBLE:
    case BUS_ACT_LONG_DOUBLE: return store_double(out, (double)whole);
    default: {
        uint32_t bits = (uint32_t)bus_load_le(at, 4);
        float value;
        memcpy(&value, &bits, sizeof value);
        return store_double(out, (double)value);
    }
    }
}

static bool run_string_as_bytes(bus_decoder *d, const bus_move *move, void *out)
{
    const uint8_t *before = d->in.at;
    const char *text;
    size_t len;
    if (!bus_read_string(&d->in, &text, &len))
        return false;
    d->in.at = before;
    return bus_decoder_value(d, move->shape, out);
}

static bool run_skip(bus_decoder *d, const bus_move *move)
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
    case BUS_ACT_SKIP_BYTES: return bus_read_bytes(&d->in, &bytes, &len);
    case BUS_ACT_SKIP_STRING: return bus_read_string(&d->in, &text, &len);
    case BUS_ACT_SKIP_INT: return bus_read_int(&d->in, &narrow);
    case BUS_ACT_SKIP_LONG: return bus_read_long(&d->in, &whole);
    case BUS_ACT_SKIP_BOOLEAN: return bus_read_boolean(&d->in, &boolean);
    case BUS_ACT_SKIP_ENUM: return bus_read_index(&d->in, "an enum's symbol", move->count, &symbol);
    default: return bus_read_raw(&d->in, move->count, &raw);
    }
}

static bool run(bus_decoder *d, const bus_move *move, void *out)
{
    switch (move->act) {
    case BUS_ACT_DIRECT: return bus_decoder_value(d, move->shape, out);
    case BUS_ACT_INT_LONG:
    case BUS_ACT_INT_FLOAT:
    case BUS_ACT_INT_DOUBLE:
    case BUS_ACT_LONG_FLOAT:
    case BUS_ACT_LONG_DOUBLE:
    case BUS_ACT_FLOAT_DOUBLE: return run_number(d, move, out);
    case BUS_ACT_STRING_BYTES: return run_string_as_bytes(d, move, out);
    case BUS_ACT_ENUM: return run_enum(d, move, out);
    case BUS_ACT_RECORD: return run_record(d, move, out);
    case BUS_ACT_UNION: return run_union(d, move, out);
    case BUS_ACT_INTO: return run_into(d, move, out);
    case BUS_ACT_ARRAY:
    case BUS_ACT_MAP:
    case BUS_ACT_SKIP_ARRAY:
    case BUS_ACT_SKIP_MAP: return run_blocks(d, move, out);
    case BUS_ACT_REFUSE: return bus_reader_fail(&d->in, "a value that cannot be read here: %s", move->why);
    default: return run_skip(d, move);
    }
}

bus_status bus_plan_decode(const bus_plan *plan, const void *bytes, size_t len, size_t skip, bus_arena *arena, void *value,
                           bus_error *err)
{
    bus_decoder d;
    bus_decoder_begin(&d, bytes, len, skip, arena);
    bool ok = run(&d, plan->root, value);
    return bus_decoder_end(&d, ok, plan->name, err);
}
