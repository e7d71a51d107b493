/* SPDX-License-Identifier: MIT
 * Moves: what a plan is made of, between plan.c, which makes them, and plan_run.c, which runs them. */
#ifndef BUS_CODEC_PLAN_MOVE_H
#define BUS_CODEC_PLAN_MOVE_H

#include "codec/plan.h"

/* What becomes of one value of the writer's. */
typedef enum bus_act {
    BUS_ACT_DIRECT,       /* as the reader's own */
    BUS_ACT_INT_LONG, BUS_ACT_INT_FLOAT, BUS_ACT_INT_DOUBLE, BUS_ACT_LONG_FLOAT, BUS_ACT_LONG_DOUBLE, BUS_ACT_FLOAT_DOUBLE,
    BUS_ACT_STRING_BYTES, /* checked as a string, then as the reader's own */
    BUS_ACT_ENUM,         /* symbols[i] */
    BUS_ACT_RECORD,       /* steps in the writer's order, presets for the rest */
    BUS_ACT_ARRAY, BUS_ACT_MAP,
    BUS_ACT_UNION,        /* of the writer: moves[i] by its branch */
    BUS_ACT_INTO,         /* a value becomes branch `count` of the reader's union */
    BUS_ACT_REFUSE,       /* why */
    /* read by nobody here, but checked: */
    BUS_ACT_SKIP_BYTES, BUS_ACT_SKIP_STRING, BUS_ACT_SKIP_INT, BUS_ACT_SKIP_LONG, BUS_ACT_SKIP_BOOLEAN,
    BUS_ACT_SKIP_RAW,     /* count bytes */
    BUS_ACT_SKIP_ENUM,    /* of count symbols */
    BUS_ACT_SKIP_ARRAY, BUS_ACT_SKIP_MAP
} bus_act;

typedef struct bus_move bus_move;

/* One field of the writer's record. What takes no bytes and is not wanted has no step. */
typedef struct bus_step {
    const bus_move *move;
    const char *name;
    uint32_t offset;              /* in the reader's struct */
} bus_step;

/* A field that the writer has not. */
typedef struct bus_preset { const void *value; uint32_t offset, size; } bus_preset;

struct bus_move {
    bus_act act;
    uint32_t count;               /* steps, moves, symbols */
    uint32_t least;               /* array, map: of the writer's item */
    uint32_t preset_count;
    const bus_shape *shape;       /* the reader's */
    const bus_step *steps;
    const bus_preset *presets;
    const bus_move *inner;        /* array, map: of the items; into: NULL for null */
    const bus_move *const *moves;
    const int32_t *symbols;       /* the reader's; -1: none */
    const bus_node *writer;       /* enum: for what it says */
    const char *why;
};

struct bus_plan {
    bus_arena arena;              /* holds the moves and the defaults */
    bus_schema *own;              /* the reader's schema, parsed from its type */
    const bus_move *root;
    const char *name;             /* of the reader */
};

#endif
