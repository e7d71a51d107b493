/* SPDX-License-Identifier: MIT
 * Shapes: descriptors made at run time from any schema, laid out as the schema compiler would have it, so that tests can
 * put random schemas through the table-driven codec. */
#ifndef TESTS_SUPPORT_SHAPES_H
#define TESTS_SUPPORT_SHAPES_H

#include "base/arena.h"
#include "codec/schema.h"

/* NULL: no memory, or a schema that has no C form (a fixed without bytes, an empty enum or union) or one over 1 MiB. */
const bus_shape *test_shape_of(const bui_node *node, bui_arena *arena);

#endif
