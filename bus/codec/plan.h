/* SPDX-License-Identifier: MIT
 * Plan: how a body written by one schema becomes the struct of another: read, skip, default, promote, alias, enum default,
 * unions. Made once from (writer's schema, reader's type), run straight from the bytes into the struct. Any thread. */
#ifndef BUI_CODEC_PLAN_H
#define BUI_CODEC_PLAN_H

#include "base/arena.h"
#include "codec/schema.h"

typedef struct bui_plan bui_plan;

/* `writer` must outlive the plan. What only some values of the writer's cannot be (a branch of its union, a symbol of its
 * enum) is refused when such a value comes. BUS_SCHEMA: no value can be read; the text has the path to the reader's field that
 * stops it and why. BUS_TOO_BIG, BUS_NOMEM. */
bus_status bui_plan_new(const bui_schema *writer, const bus_type *reader, bui_plan **out, bus_error *err);
/* The same where the reader is a schema with its shape at hand; all three must outlive the plan. */
bus_status bui_plan_between(const bui_schema *writer, const bui_schema *reader, const bus_shape *shape, bui_plan **out,
                            bus_error *err);
/* A plan that reads nothing: it checks that a body is the writer's. bui_plan_decode then needs neither arena nor value. */
bus_status bui_plan_check(const bui_schema *writer, bui_plan **out, bus_error *err);
void bui_plan_free(bui_plan *plan);

/* As bui_body_decode, with its bounds. Defaults borrow from the plan, which must outlive the struct. BUS_CORRUPT too if the
 * body holds a value that the reader has no place for. */
bus_status bui_plan_decode(const bui_plan *plan, const void *bytes, size_t len, size_t skip, bui_arena *arena, void *value,
                           bus_error *err);

#endif
