/* SPDX-License-Identifier: MIT
 * Wire: an Avro body in its framing (Avro single-object encoding: C3 01, the 8 bytes of the schema's CRC-64-AVRO in
 * little-endian order, the body; Avro 1.11 specification, "Single-object encoding"). */
#ifndef BUI_CODEC_WIRE_H
#define BUI_CODEC_WIRE_H

#include "base/arena.h"
#include "base/buf.h"
#include <bus/type.h>

#define BUI_WIRE_FRAMING 10          /* bytes before the body */
#define BUI_PUBLIC_BYTES (64u << 20) /* of one event, for the public functions on types */

/* Writes the framing alone. */
void bui_wire_frame(uint64_t fingerprint, uint8_t out[BUI_WIRE_FRAMING]);

/* Appends framing and body. BUS_INVALID: the struct breaks its schema (enum out of range, negative length, bad UTF-8,
 * NULL where a value is needed), with the field's path; BUS_NOMEM; BUS_TOO_BIG (the buffer's limit). */
bus_status bui_wire_encode(const bus_type *type, const void *body, bui_buf *out, bus_error *err);

/* The same with `n` bytes of another framing in front (codec/framing.h). */
bus_status bui_wire_encode_with(const bus_type *type, const void *framing, size_t n, const void *body, bui_buf *out,
                                bus_error *err);

/* What the framing says; true if it is single-object encoding. */
bool bui_wire_fingerprint(const void *bytes, size_t len, uint64_t *fingerprint);

/* Decodes what was written with exactly the type's schema. The struct comes from the arena; strings and bytes
 * borrow from `bytes`. BUS_MISSING: another fingerprint (the text has it in hex); BUS_CORRUPT: not framed, or the body
 * breaks the schema or a bound (path and offset in the text). */
bus_status bui_wire_decode(const bus_type *type, const void *bytes, size_t len, bui_arena *arena, const void **body,
                           bus_error *err);

/* As bus_decode; `copy`: the struct borrows from a copy of `bytes` that bus_body_free frees as well. */
bus_status bui_body_own(const bus_type *type, const void *bytes, size_t len, bool copy, const void **body, bus_error *err);

#endif
