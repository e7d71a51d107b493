/* SPDX-License-Identifier: MIT
 * Wire: an Avro body in its framing (Avro single-object encoding: C3 01, the 8 bytes of the schema's CRC-64-AVRO in
 * little-endian order, the body; Avro 1.11 specification, "Single-object encoding"). */
#ifndef BUS_CODEC_WIRE_H
#define BUS_CODEC_WIRE_H

#include "base/arena.h"
#include "base/buf.h"
#include <bus/type.h>

#define BUS_WIRE_FRAMING 10 /* bytes before the body */

/* Writes the framing alone. */
void bus_wire_frame(uint64_t fingerprint, uint8_t out[BUS_WIRE_FRAMING]);

/* Appends framing and body. BUS_INVALID: the struct breaks its schema (enum out of range, negative length, bad UTF-8,
 * NULL where a value is needed), with the field's path; BUS_NOMEM; BUS_TOO_BIG (the buffer's limit). */
bus_status bus_wire_encode(const bus_type *type, const void *body, bus_buf *out, bus_error *err);

/* The same with `n` bytes of another framing in front (codec/framing.h). */
bus_status bus_wire_encode_with(const bus_type *type, const void *framing, size_t n, const void *body, bus_buf *out, bus_error *err);

/* What the framing says; true if it is single-object encoding. */
bool bus_wire_fingerprint(const void *bytes, size_t len, uint64_t *fingerprint);

/* Decodes what was written with exactly the type's schema. The struct comes from the arena; strings and bytes
 * borrow from `bytes`. BUS_MISSING: another fingerprint (the text has it in hex); BUS_CORRUPT: not framed, or the body
 * breaks the schema or a bound (path and offset in the text). */
bus_status bus_wire_decode(const bus_type *type, const void *bytes, size_t len, bus_arena *arena, const void **body, bus_error *err);

#endif
