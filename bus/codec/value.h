/* SPDX-License-Identifier: MIT
 * Value: avro-c's generic values, for programs without a compiled type. Bytes reach avro-c only after our own reader has
 * been through them, and each value has a schema of its own: avro-c counts references without locks. */
#ifndef BUI_CODEC_VALUE_H
#define BUI_CODEC_VALUE_H

#include "base/buf.h"
#include "codec/schema.h"

struct avro_value;

/* Fills *out from an unframed body written by exactly this schema; avro_value_decref frees it and its schema. BUS_CORRUPT;
 * BUS_SCHEMA: avro-c cannot hold such a type (an enum without symbols, a union without branches); BUS_NOMEM. */
bus_status bui_value_decode(const bui_schema *schema, const void *body, size_t len, size_t skip, struct avro_value *out,
                            bus_error *err);

/* Appends the value's body. BUS_INVALID: its schema is another (by canonical form), or it breaks it; BUS_TOO_BIG; BUS_NOMEM. */
bus_status bui_value_encode(const bui_schema *schema, struct avro_value *value, bui_buf *out, bus_error *err);

/* Whether the bytes are one body of this schema, within all bounds. */
bus_status bui_body_check(const bui_schema *schema, const void *body, size_t len, size_t skip, bus_error *err);

#endif
