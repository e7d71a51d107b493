/* SPDX-License-Identifier: MIT
 * JSON: Avro bytes as JSON and back, for schemas known only at run time. No struct is involved. Any thread.
 *
 * The plain form is for people: a union's value stands alone, without Avro's {"branch": value} wrapper, unless another branch
 * would look the same; logical types are texts (codec/json_logical.h). Avro's JSON encoding has wrappers always and shows
 * logical types as their base type. In both, 64-bit integers are JSON integers; bytes and fixed are strings with one character
 * \u0000 to \u00ff a byte; NaN and the infinities are the strings "NaN", "Infinity", "-Infinity". Both lose nothing.
 * Reading the plain form takes both, but for decimals, whose text is digits there: a union's value may be wrapped, and must be
 * where it would fit several branches. A missing field takes its default; an unknown one is refused. */
#ifndef BUI_CODEC_JSON_H
#define BUI_CODEC_JSON_H

#include "base/buf.h"
#include "codec/schema.h"

typedef enum bui_json_form { BUI_JSON_PLAIN, BUI_JSON_AVRO } bui_json_form;

/* Appends as JSON the body that was written with exactly this schema; the body's bytes are hostile and all are consumed.
 * On failure what was appended is taken back. BUS_CORRUPT: path and offset in the text; BUS_TOO_BIG; BUS_NOMEM. */
bus_status bui_json_write_as(bui_json_form form, const bui_schema *schema, const void *body, size_t len, bui_buf *out,
                             bus_error *err);
bus_status bui_json_write(const bui_schema *schema, const void *body, size_t len, bui_buf *out, bus_error *err); /* plain */

/* As bui_json_write, plain, for a framed body (see codec/wire.h). BUS_MISSING: framed with another fingerprint. */
bus_status bui_json_write_framed(const bui_schema *schema, const void *bytes, size_t len, bui_buf *out, bus_error *err);

/* Appends the Avro body of a JSON value. On failure what was appended is taken back. BUS_INVALID: what does not fit the
 * schema, with the path, or line and column of broken JSON; BUS_TOO_BIG; BUS_NOMEM. */
bus_status bui_json_read_as(bui_json_form form, const bui_schema *schema, const char *json, size_t len, bui_buf *out,
                            bus_error *err);
bus_status bui_json_read(const bui_schema *schema, const char *json, size_t len, bui_buf *out, bus_error *err);

/* As bui_json_read, with single-object framing in front. */
bus_status bui_json_read_framed(const bui_schema *schema, const char *json, size_t len, bui_buf *out, bus_error *err);

#endif
