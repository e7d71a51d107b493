/* SPDX-License-Identifier: MIT
 * Compatibility: whether a schema may follow the versions before it. Any thread. */
#ifndef BUS_CODEC_COMPATIBILITY_H
#define BUS_CODEC_COMPATIBILITY_H

#include "codec/schema.h"

/* BACKWARD: the new reads what the old wrote (consumers are deployed first). FORWARD: the old reads what the new writes
 * (producers first). FULL: both. Against the version before, or TRANSITIVE: against all of them. */
typedef enum bus_compatibility {
    BUS_COMPATIBILITY_NONE,
    BUS_COMPATIBILITY_BACKWARD, BUS_COMPATIBILITY_BACKWARD_TRANSITIVE,
    BUS_COMPATIBILITY_FORWARD, BUS_COMPATIBILITY_FORWARD_TRANSITIVE,
    BUS_COMPATIBILITY_FULL, BUS_COMPATIBILITY_FULL_TRANSITIVE
} bus_compatibility;

/* "backward-transitive", in either case, with - or _. false: no such level. */
bool bus_compatibility_of(const char *name, bus_compatibility *out);
const char *bus_compatibility_name(bus_compatibility level); /* in small letters, with - */

/* Whether the reader can read every value that the writer may write: stricter than a plan, which asks for some. BUS_SCHEMA:
 * no; the text has the path to the first field that stops it, and why. BUS_TOO_BIG, BUS_NOMEM. */
bus_status bus_compatible_read(const bus_schema *writer, const bus_schema *reader, bus_error *err);

/* The same of two types. */
bus_status bus_compatible_type(const bus_node *writer, const bus_node *reader, bus_error *err);

/* Which ways a level asks for. */
bool bus_compatibility_backward(bus_compatibility level);
bool bus_compatibility_forward(bus_compatibility level);

/* Whether `next` may follow `before`, the oldest first. BUS_SCHEMA: the text says which way and, for several, which version. */
bus_status bus_compatible(bus_compatibility level, const bus_schema *next, const bus_schema *const *before, size_t count,
                          bus_error *err);

#endif
