/* SPDX-License-Identifier: MIT
 * Plan: how a body written by one schema becomes the struct of another: read, skip, default, promote, alias, enum default,
 * unions. Made once from (writer's schema, reader's type), run straight from the bytes into the struct. Any thread. */
#ifndef BUS_CODEC_PLAN_H
#define BUS_CODEC_PLAN_H

#include "base/arena.h"
#include "codec/schema.h"

typedef struct bus_plan bus_plan;

/* `writer` must outlive the plan. What only some values of the writer's cannot be (a branch of its union, a symbol of its
 * enum) is refused when such a value comes. BUS_SCHEMA: no value can be read; the text has the path to the reader's field that
 * stops it and why. BUS_TOO_BIG, BUS_NOMEM. */
bus_status bus_plan_new(const bus_schema *writer, const bus_type *reader, bus_plan **out, bus_error *err);
/* The same where the reader is a schema with its shape at hand; all three must outlive the plan. */
bus_status bus_plan_between(const bus_schema *writer, const bus_schema *reader, const bus_shape *shape, bus_plan **out,
                            bus_error *err);
/* A plan that reads nothing: it checks that a body is the writer's. bus_plan_decode then needs neither arena nor value. */
bus_status bus_plan_check(const bus_schema *writer, bus_plan **out, bus_error *err);
void bus_plan_free(bus_plan *plan);

/* As bus_body_decode, with its bounds. Defaults borrow from the plan, which must outlive the struct. BUS_CORRUPT too if the
 * body holds a value that the reader has no place for. */
bus_status bus_plan_decode(const bus_plan *plan, const void *bytes, size_t len, size_t skip, bus_arena *arena, void *value,
                           bus_error *err);

#endif
