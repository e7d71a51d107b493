/* SPDX-License-Identifier: MIT
 * Plan: walks down the writer's and the reader's schema together and notes one move a value. The reader's aliases and
 * defaults come from the text that its type carries, the places of its fields from its descriptors. Pairs of records are
 * remembered, so that recursive types end. */
#include "codec/plan_move.h"

#include "base/error.h"
#include "base/map.h"
#include "codec/body.h"
#include "codec/json_value.h"
#include "codec/resolve.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 256
#define MOVES_MAX 200000
#define MEMORY_MAX (64u << 20)

typedef struct builder {
    bui_plan *plan;
    bui_map records; /* (writer, reader) to move; reader NULL: skipped */
    bus_error why;   /* what failed last */
    unsigned depth;
    size_t moves;
    char path[300];
} builder;

typedef struct pair {
    const bui_node *writer, *reader;
} pair;

static const bui_move *build(builder *b, const bui_node *writer, const bui_node *reader, const bus_shape *shape);
static const bui_move *skip(builder *b, const bui_node *writer);

__attribute__((format(printf, 2, 3))) static void *refuse(builder *b, const char *format, ...)
{
    char text[BUI_RESOLVE_TEXT];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    bui_fail(&b->why, BUS_SCHEMA, "%s: %s", b->path, text);
    return NULL;
}

static void *allocate(builder *b, size_t n)
{
    void *memory = bui_arena_zero(&b->plan->arena, n);
    if (!memory)
        bui_fail(&b->why, b->plan->arena.used + n > MEMORY_MAX ? BUS_TOO_BIG : BUS_NOMEM, "%s: no memory for a plan", b->path);
    return memory;
}

static bui_move *new_move(builder *b, bui_act act, const bus_shape *shape)
{
    if (++b->moves > MOVES_MAX) {
        bui_fail(&b->why, BUS_TOO_BIG, "%s: a plan of more than %d steps", b->path, MOVES_MAX);
        return NULL;
    }
    bui_move *move = allocate(b, sizeof *move);
    if (move) {
        move->act = act;
        move->shape = shape;
    }
    return move;
}

static bool enter(builder *b)
{
    if (++b->depth <= DEPTH_MAX)
        return true;
    bui_fail(&b->why, BUS_TOO_BIG, "%s: types nested deeper than %d", b->path, DEPTH_MAX);
    return false;
}

static size_t step_down(builder *b, const char *mark, const char *name)
{
    size_t len = strlen(b->path);
    snprintf(b->path + len, sizeof b->path - len, "%s%s", mark, name);
    return len;
}

/* A move that says, when it is run, why building it failed; NULL if memory ran out. */
static bui_move *as_refusal(builder *b, bui_move *move)
{
    if (b->why.status != BUS_SCHEMA)
        return NULL;
    if (!move)
        move = new_move(b, BUI_ACT_REFUSE, NULL);
    const char *why = move ? bui_arena_copy(&b->plan->arena, b->why.text, strlen(b->why.text)) : NULL;
    if (!why)
        return NULL;
    *move = (bui_move){ .act = BUI_ACT_REFUSE, .why = why };
    return move;
}

/* ---- what the reader does not want */

static const bui_move *skip_record(builder *b, const bui_node *writer)
{
    pair key = { writer, NULL };
    bui_move *move = bui_map_get(&b->records, &key, sizeof key);
    if (move)
        return move;
    move = new_move(b, BUI_ACT_RECORD, NULL);
    bui_step *steps = move ? allocate(b, (writer->count + 1) * sizeof *steps) : NULL;
    if (!steps)
        return NULL;
    if (!bui_map_put(&b->records, &key, sizeof key, move)) {
        bui_fail_nomem(&b->why);
        return NULL;
    }
    move->steps = steps;
    for (size_t i = 0; i < writer->count; i++) {
        if (writer->fields[i].type->least == 0) /* it takes no bytes at all */
            continue;
        bui_step *step = &steps[move->count];
        step->name = writer->fields[i].name;
        step->move = skip(b, writer->fields[i].type);
        if (!step->move)
            return NULL;
        move->count++;
    }
    return move;
}

static const bui_move *skip_union(builder *b, const bui_node *writer)
{
    bui_move *move = new_move(b, BUI_ACT_UNION, NULL);
    const bui_move **moves = move ? allocate(b, (writer->count + 1) * sizeof *moves) : NULL;
    for (size_t i = 0; moves && i < writer->count; i++) {
        moves[i] = skip(b, writer->fields[i].type);
        if (!moves[i])
            return NULL;
    }
    if (!moves)
        return NULL;
    move->moves = moves;
    move->count = (uint32_t)writer->count;
    return move;
}

static const bui_move *skip_plain(builder *b, const bui_node *writer)
{
    static const struct {
        bui_act act;
        uint32_t count;
    } acts[] = {
        [BUS_KIND_NULL] = { BUI_ACT_SKIP_RAW, 0 },    [BUS_KIND_BOOLEAN] = { BUI_ACT_SKIP_BOOLEAN, 0 },
        [BUS_KIND_INT] = { BUI_ACT_SKIP_INT, 0 },     [BUS_KIND_LONG] = { BUI_ACT_SKIP_LONG, 0 },
        [BUS_KIND_FLOAT] = { BUI_ACT_SKIP_RAW, 4 },   [BUS_KIND_DOUBLE] = { BUI_ACT_SKIP_RAW, 8 },
        [BUS_KIND_BYTES] = { BUI_ACT_SKIP_BYTES, 0 }, [BUS_KIND_STRING] = { BUI_ACT_SKIP_STRING, 0 },
        [BUS_KIND_ENUM] = { BUI_ACT_SKIP_ENUM, 0 },   [BUS_KIND_FIXED] = { BUI_ACT_SKIP_RAW, 0 },
        [BUS_KIND_ARRAY] = { BUI_ACT_SKIP_ARRAY, 0 }, [BUS_KIND_MAP] = { BUI_ACT_SKIP_MAP, 0 },
    };
    bui_move *move = new_move(b, acts[writer->kind].act, NULL);
    if (!move)
        return NULL;
    move->count =
        writer->kind == BUS_KIND_ENUM || writer->kind == BUS_KIND_FIXED ? (uint32_t)writer->count : acts[writer->kind].count;
    if (writer->item) {
        move->least = writer->item->least;
        move->inner = skip(b, writer->item);
        if (!move->inner)
            return NULL;
    }
    return move;
}

static const bui_move *skip(builder *b, const bui_node *writer)
{
    if (!enter(b))
        return NULL;
    const bui_move *move = writer->kind == BUS_KIND_RECORD  ? skip_record(b, writer)
                           : writer->kind == BUS_KIND_UNION ? skip_union(b, writer)
                                                            : skip_plain(b, writer);
    b->depth--;
    return move;
}

/* ---- records */

/* The default, as the struct's value: made once, copied into each struct. */
static bool build_default(builder *b, const bui_node *writer, const bui_node_field *field, const bus_field *place,
                          bui_default *out)
{
    bui_buf bytes;
    bus_error why;
    if (!field->default_value) {
        refuse(b, "the writer's %.100s has no such field, and it has no default", writer->name);
        return false;
    }
    bui_buf_init(&bytes, BUI_SCHEMA_MAX_BYTES);
    void *value = allocate(b, place->shape->size ? place->shape->size : 1);
    bus_status status = value ? bui_json_encode_default(field->type, field->default_value, &bytes, &why) : BUS_NOMEM;
    void *kept = status == BUS_OK ? bui_arena_copy(&b->plan->arena, bytes.data, bytes.len) : NULL;
    if (value && status == BUS_OK)
        status = kept ? bui_body_decode(place->shape, kept, bytes.len, 0, &b->plan->arena, value, &why) : bui_fail_nomem(&why);
    if (value && status != BUS_OK)
        bui_fail(&b->why, status == BUS_NOMEM ? BUS_NOMEM : BUS_SCHEMA, "%s: its default: %s", b->path, why.text);
    bui_buf_free(&bytes);
    *out = (bui_default){ value, place->offset, place->shape->size };
    return value && status == BUS_OK;
}

/* The steps, in the writer's order: `to` has the reader's field for each of the writer's. */
static bool build_steps(builder *b, const bui_node *writer, const bui_node *reader, const int32_t *to, bui_move *move)
{
    bui_step *steps = allocate(b, (writer->count + 1) * sizeof *steps);
    if (!steps)
        return false;
    move->steps = steps;
    for (size_t i = 0; i < writer->count; i++) {
        const bui_node *from = writer->fields[i].type;
        bui_step *step = &steps[move->count];
        if (to[i] < 0 && from->least == 0)
            continue;
        step->name = writer->fields[i].name;
        if (to[i] < 0) {
            step->move = skip(b, from);
        } else {
            const bus_field *place = &move->shape->fields[to[i]];
            size_t len = step_down(b, ".", place->name);
            step->move = build(b, from, reader->fields[to[i]].type, place->shape);
            step->offset = place->offset;
            if (!step->move)
                return false;
            b->path[len] = '\0';
        }
        if (!step->move)
            return false;
        move->count++;
    }
    return true;
}

static bool build_defaults(builder *b, const bui_node *writer, const bui_node *reader, const int32_t *from, bui_move *move)
{
    bui_default *defaults = allocate(b, (reader->count + 1) * sizeof *defaults);
    if (!defaults)
        return false;
    move->defaults = defaults;
    for (size_t i = 0; i < reader->count; i++) {
        if (from[i] >= 0)
            continue;
        size_t len = step_down(b, ".", reader->fields[i].name);
        if (!build_default(b, writer, &reader->fields[i], &move->shape->fields[i], &defaults[move->default_count++]))
            return false;
        b->path[len] = '\0';
    }
    return true;
}

static bool build_fields(builder *b, const bui_node *writer, const bui_node *reader, bui_move *move)
{
    int32_t *from = malloc((reader->count + 1) * sizeof *from), *to = malloc((writer->count + 1) * sizeof *to);
    bool *taken = malloc(writer->count + 1), ok = from && to && taken;
    if (ok) {
        bui_resolve_fields(writer, reader, from, taken);
        for (size_t i = 0; i < writer->count; i++)
            to[i] = -1;
        for (size_t i = 0; i < reader->count; i++)
            if (from[i] >= 0)
                to[from[i]] = (int32_t)i;
        ok = build_defaults(b, writer, reader, from, move) && build_steps(b, writer, reader, to, move);
    } else {
        bui_fail_nomem(&b->why);
    }
    free(from);
    free(to);
    free(taken);
    return ok;
}

static const bui_move *build_record(builder *b, const bui_node *writer, const bui_node *reader, const bus_shape *shape)
{
    pair key = { writer, reader };
    bui_move *move = bui_map_get(&b->records, &key, sizeof key);
    if (move && move->act == BUI_ACT_REFUSE) {
        bui_fail(&b->why, BUS_SCHEMA, "%s", move->why);
        return NULL;
    }
    if (move)
        return move;
    move = new_move(b, bui_resolve_same(writer, reader) ? BUI_ACT_DIRECT : BUI_ACT_RECORD, shape);
    if (!move)
        return NULL;
    if (!bui_map_put(&b->records, &key, sizeof key, move)) {
        bui_fail_nomem(&b->why);
        return NULL;
    }
    if (move->act == BUI_ACT_DIRECT || build_fields(b, writer, reader, move))
        return move;
    as_refusal(b, move); /* a plan that has it already must not run half a move */
    return NULL;
}

/* ---- enums, containers, unions */

static const bui_move *build_enum(builder *b, const bui_node *writer, const bui_node *reader, const bus_shape *shape)
{
    if (bui_resolve_same(writer, reader))
        return new_move(b, BUI_ACT_DIRECT, shape);
    bui_move *move = new_move(b, BUI_ACT_ENUM, shape);
    int32_t *symbols = move ? allocate(b, (writer->count + 1) * sizeof *symbols) : NULL;
    size_t known = 0;
    if (!symbols)
        return NULL;
    for (size_t i = 0; i < writer->count; i++) {
        symbols[i] = bui_resolve_symbol(reader, writer->symbols[i]);
        known += symbols[i] >= 0;
    }
    if (known == 0 && writer->count > 0)
        return refuse(b, "%.100s has none of the symbols of the writer's, and no default", reader->name);
    move->symbols = symbols;
    move->count = (uint32_t)writer->count;
    move->writer = writer;
    return move;
}

static const bui_move *build_container(builder *b, const bui_node *writer, const bui_node *reader, const bus_shape *shape)
{
    bui_move *move = new_move(b, reader->kind == BUS_KIND_MAP ? BUI_ACT_MAP : BUI_ACT_ARRAY, shape);
    if (!move)
        return NULL;
    size_t len = step_down(b, reader->kind == BUS_KIND_MAP ? "{}" : "[]", "");
    move->inner = build(b, writer->item, reader->item, shape->item);
    if (!move->inner)
        return NULL;
    b->path[len] = '\0';
    move->least = writer->item->least;
    if (move->inner->act == BUI_ACT_DIRECT)
        move->act = BUI_ACT_DIRECT;
    return move;
}

/* Where the value of a branch of the reader's union lies: the descriptor that its own type would have. */
static const bus_shape *branch_shape(const bus_shape *shape, size_t branch)
{
    const bus_shape *place = shape->kind == BUS_KIND_UNION ? shape->fields[branch].shape : shape->item;
    return shape->kind == BUS_KIND_UNION && place->kind == BUS_KIND_POINTER ? place->item : place;
}

static const bui_move *build_into(builder *b, const bui_node *writer, const bui_node *reader, const bus_shape *shape)
{
    int branch = bui_resolve_branch(writer, reader);
    if (branch < 0)
        return refuse(b, "the writer has %.100s, which is not one of the union's branches", writer->name);
    bui_move *move = new_move(b, BUI_ACT_INTO, shape);
    if (!move)
        return NULL;
    move->count = (uint32_t)branch;
    if (writer->kind == BUS_KIND_NULL)
        return move;
    move->inner = build(b, writer, reader->fields[branch].type, branch_shape(shape, (size_t)branch));
    return move->inner ? move : NULL;
}

static const bui_move *build_from_union(builder *b, const bui_node *writer, const bui_node *reader, const bus_shape *shape)
{
    char path[sizeof b->path];
    const unsigned depth = b->depth;
    memcpy(path, b->path, sizeof path);
    bui_move *move = new_move(b, BUI_ACT_UNION, shape);
    const bui_move **moves = move ? allocate(b, (writer->count + 1) * sizeof *moves) : NULL;
    size_t readable = 0;
    if (!moves)
        return NULL;
    for (size_t i = 0; i < writer->count; i++) {
        moves[i] = build(b, writer->fields[i].type, reader, shape);
        readable += moves[i] != NULL;
        if (!moves[i])
            moves[i] = as_refusal(b, NULL);
        if (!moves[i])
            return NULL;
        memcpy(b->path, path, sizeof path);
        b->depth = depth;
    }
    if (readable == 0 && writer->count > 0) {
        bui_fail(&b->why, BUS_SCHEMA, "%s", moves[0]->why);
        return NULL;
    }
    move->moves = moves;
    move->count = (uint32_t)writer->count;
    if (reader->kind == BUS_KIND_UNION && bui_resolve_same(writer, reader))
        move->act = BUI_ACT_DIRECT;
    return move;
}

static bui_act scalar_act(bus_kind from, bus_kind to)
{
    if (from == BUS_KIND_STRING && to == BUS_KIND_BYTES)
        return BUI_ACT_STRING_BYTES;
    if (from == to || from == BUS_KIND_BYTES) /* bytes are read as a string is, and checked as one */
        return BUI_ACT_DIRECT;
    if (from == BUS_KIND_INT)
        return to == BUS_KIND_LONG ? BUI_ACT_INT_LONG : to == BUS_KIND_FLOAT ? BUI_ACT_INT_FLOAT : BUI_ACT_INT_DOUBLE;
    return from == BUS_KIND_FLOAT ? BUI_ACT_FLOAT_DOUBLE : to == BUS_KIND_FLOAT ? BUI_ACT_LONG_FLOAT : BUI_ACT_LONG_DOUBLE;
}

static const bui_move *build_one(builder *b, const bui_node *writer, const bui_node *reader, const bus_shape *shape)
{
    char why[BUI_RESOLVE_TEXT];
    if (writer->kind == BUS_KIND_UNION)
        return build_from_union(b, writer, reader, shape);
    if (reader->kind == BUS_KIND_UNION)
        return build_into(b, writer, reader, shape);
    if (bui_resolve_match(writer, reader, why) == BUI_MATCH_NONE)
        return refuse(b, "%s", why);
    switch (reader->kind) {
    case BUS_KIND_RECORD: return build_record(b, writer, reader, shape);
    case BUS_KIND_ENUM: return build_enum(b, writer, reader, shape);
    case BUS_KIND_ARRAY:
    case BUS_KIND_MAP: return build_container(b, writer, reader, shape);
    default: return new_move(b, scalar_act(writer->kind, reader->kind), shape);
    }
}

static const bui_move *build(builder *b, const bui_node *writer, const bui_node *reader, const bus_shape *shape)
{
    if (shape->wire != reader->kind || (reader->kind == BUS_KIND_RECORD && shape->count != reader->count)) {
        bui_fail(&b->why, BUS_BUG, "%s: the type's descriptors and its schema differ", b->path);
        return NULL;
    }
    if (!enter(b))
        return NULL;
    const bui_move *move = build_one(b, writer, reader, shape);
    b->depth--;
    return move;
}

/* ---- the whole */

/* Without a reader all is skipped. */
static bus_status make(const bui_schema *writer, const bui_schema *reader, const bus_shape *shape, bui_plan **out, bus_error *err)
{
    bui_plan *plan = calloc(1, sizeof *plan);
    if (!plan)
        return bui_fail_nomem(err);
    bui_arena_init(&plan->arena, MEMORY_MAX);
    plan->name = bui_schema_name(reader ? reader : writer);
    builder b = { .plan = plan, .why = { .status = BUS_OK } };
    bui_map_init(&b.records);
    snprintf(b.path, sizeof b.path, "%.250s", plan->name);
    plan->root = reader ? build(&b, bui_schema_root(writer), bui_schema_root(reader), shape) : skip(&b, bui_schema_root(writer));
    bui_map_free(&b.records, NULL);
    if (plan->root) {
        *out = plan;
        return BUS_OK;
    }
    bui_plan_free(plan);
    return bui_fail(err, b.why.status, "%s", b.why.text);
}

bus_status bui_plan_between(const bui_schema *writer, const bui_schema *reader, const bus_shape *shape, bui_plan **out,
                            bus_error *err)
{
    return make(writer, reader, shape, out, err);
}

bus_status bui_plan_check(const bui_schema *writer, bui_plan **out, bus_error *err)
{
    return make(writer, NULL, NULL, out, err);
}

bus_status bui_plan_new(const bui_schema *writer, const bus_type *reader, bui_plan **out, bus_error *err)
{
    bui_schema *own;
    bus_status status = bui_schema_parse(reader->json, strlen(reader->json), &own, err);
    if (status != BUS_OK)
        return status;
    status = bui_plan_between(writer, own, reader->shape, out, err);
    if (status == BUS_OK)
        (*out)->own = own;
    else
        bui_schema_free(own);
    return status;
}

void bui_plan_free(bui_plan *plan)
{
    if (!plan)
        return;
    bui_arena_free(&plan->arena);
    bui_schema_free(plan->own);
    free(plan);
}
