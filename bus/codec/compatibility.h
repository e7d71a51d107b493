/* SPDX-License-Identifier: MIT
 * Compatibility: whether a schema may follow the versions before it. Any thread. */
#ifndef BUI_CODEC_COMPATIBILITY_H
#define BUI_CODEC_COMPATIBILITY_H

#include "codec/schema.h"

/* BACKWARD: the new reads what the old wrote (consumers are deployed first). FORWARD: the old reads what the new writes
 * (producers first). FULL: both. Against the version before, or TRANSITIVE: against all of them. */
typedef enum bui_compatibility {
    BUI_COMPATIBILITY_NONE,
    BUI_COMPATIBILITY_BACKWARD,
    BUI_COMPATIBILITY_BACKWARD_TRANSITIVE,
    BUI_COMPATIBILITY_FORWARD,
    BUI_COMPATIBILITY_FORWARD_TRANSITIVE,
    BUI_COMPATIBILITY_FULL,
    BUI_COMPATIBILITY_FULL_TRANSITIVE
} bui_compatibility;

/* "backward-transitive", in either case, with - or _. false: no such level. */
bool bui_compatibility_of(const char *name, bui_compatibility *out);
const char *bui_compatibility_name(bui_compatibility level); /* in small letters, with - */

/* Whether the reader can read every value that the writer may write: stricter than a plan, which asks for some. BUS_SCHEMA:
 * no; the text has the path to the first field that stops it, and why. BUS_TOO_BIG, BUS_NOMEM. */
bus_status bui_compatible_read(const bui_schema *writer, const bui_schema *reader, bus_error *err);

/* The same of two types. */
bus_status bui_compatible_type(const bui_node *writer, const bui_node *reader, bus_error *err);

/* Which ways a level asks for. */
bool bui_compatibility_backward(bui_compatibility level);
bool bui_compatibility_forward(bui_compatibility level);

/* Whether `next` may follow `before`, the oldest first. BUS_SCHEMA: the text says which way and, for several, which version. */
bus_status bui_compatible(bui_compatibility level, const bui_schema *next, const bui_schema *const *before, size_t count,
                          bus_error *err);

#endif
