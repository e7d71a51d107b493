/* SPDX-License-Identifier: MIT
 * Moves: what a plan is made of, between plan.c, which makes them, and plan_run.c, which runs them. */
#ifndef BUI_CODEC_PLAN_MOVE_H
#define BUI_CODEC_PLAN_MOVE_H

#include "codec/plan.h"

/* What becomes of one value of the writer's. */
typedef enum bui_act {
    BUI_ACT_DIRECT, /* as the reader's own */
    BUI_ACT_INT_LONG,
    BUI_ACT_INT_FLOAT,
    BUI_ACT_INT_DOUBLE,
    BUI_ACT_LONG_FLOAT,
    BUI_ACT_LONG_DOUBLE,
    BUI_ACT_FLOAT_DOUBLE,
    BUI_ACT_STRING_BYTES, /* checked as a string, then as the reader's own */
    BUI_ACT_ENUM,         /* symbols[i] */
    BUI_ACT_RECORD,       /* steps in the writer's order, defaults for the rest */
    BUI_ACT_ARRAY,
    BUI_ACT_MAP,
    BUI_ACT_UNION,  /* of the writer: moves[i] by its branch */
    BUI_ACT_INTO,   /* a value becomes branch `count` of the reader's union */
    BUI_ACT_REFUSE, /* why */
    /* read by nobody here, but checked: */
    BUI_ACT_SKIP_BYTES,
    BUI_ACT_SKIP_STRING,
    BUI_ACT_SKIP_INT,
    BUI_ACT_SKIP_LONG,
    BUI_ACT_SKIP_BOOLEAN,
    BUI_ACT_SKIP_RAW,  /* count bytes */
    BUI_ACT_SKIP_ENUM, /* of count symbols */
    BUI_ACT_SKIP_ARRAY,
    BUI_ACT_SKIP_MAP
} bui_act;

typedef struct bui_move bui_move;

/* One field of the writer's record. What takes no bytes and is not wanted has no step. */
typedef struct bui_step {
    const bui_move *move;
    const char *name;
    uint32_t offset; /* in the reader's struct */
} bui_step;

/* A field that the writer has not. */
typedef struct bui_default {
    const void *value;
    uint32_t offset, size;
} bui_default;

struct bui_move {
    bui_act act;
    uint32_t count; /* steps, moves, symbols */
    uint32_t least; /* array, map: of the writer's item */
    uint32_t default_count;
    const bus_shape *shape; /* the reader's */
    const bui_step *steps;
    const bui_default *defaults;
    const bui_move *inner; /* array, map: of the items; into: NULL for null */
    const bui_move *const *moves;
    const int32_t *symbols; /* the reader's; -1: none */
    const bui_node *writer; /* enum: for what it says */
    const char *why;
};

struct bui_plan {
    bui_arena arena; /* holds the moves and the defaults */
    bui_schema *own; /* the reader's schema, parsed from its type */
    const bui_move *root;
    const char *name; /* of the reader */
};

#endif
