/* SPDX-License-Identifier: MIT
 * Body: the table-driven codec, straight between a C struct and Avro's binary encoding. No framing. Any thread. */
#ifndef BUI_CODEC_BODY_H
#define BUI_CODEC_BODY_H

#include "base/arena.h"
#include "base/buf.h"
#include <bus/type.h>

#define BUI_BODY_MAX_MEMORY (64u << 20) /* that one body may take when decoded, in bytes */

/* Appends the struct at `value`. On failure `out` is as it was, but for its own record of a failed append. BUS_INVALID
 * with the path; BUS_NOMEM; BUS_TOO_BIG. */
bus_status bui_body_encode(const bus_shape *shape, const void *value, bui_buf *out, bus_error *err);

/* Fills `value` (shape->size bytes); what it points to is in the arena or borrowed from `bytes`. All bytes must be
 * consumed. `skip`: how many bytes came before in the message, for the offsets in error texts. BUS_CORRUPT with path and
 * offset; BUS_NOMEM; BUS_TOO_BIG: more than BUI_BODY_MAX_MEMORY or the arena's limit. */
bus_status bui_body_decode(const bus_shape *shape, const void *bytes, size_t len, size_t skip, bui_arena *arena, void *value,
                           bus_error *err);

#endif
