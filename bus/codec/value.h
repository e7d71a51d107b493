/* SPDX-License-Identifier: MIT
 * Value: avro-c's generic values, for programs without a compiled type. Bytes reach avro-c only after our own reader has
 * been through them, and each value has a schema of its own: avro-c counts references without locks. */
#ifndef BUS_CODEC_VALUE_H
#define BUS_CODEC_VALUE_H

#include "base/buf.h"
#include "codec/schema.h"

struct avro_value;

/* Fills *out from an unframed body written by exactly this schema; avro_value_decref frees it and its schema. BUS_CORRUPT;
 * BUS_SCHEMA: avro-c cannot hold such a type (an enum without symbols, a union without branches); BUS_NOMEM. */
bus_status bus_value_decode(const bus_schema *schema, const void *body, size_t len, size_t skip, struct avro_value *out,
                            bus_error *err);

/* Appends the value's body. BUS_INVALID: its schema is another (by canonical form), or it breaks it; BUS_TOO_BIG; BUS_NOMEM. */
bus_status bus_value_encode(const bus_schema *schema, struct avro_value *value, bus_buf *out, bus_error *err);

/* Whether the bytes are one body of this schema, within all bounds. */
bus_status bus_body_check(const bus_schema *schema, const void *body, size_t len, size_t skip, bus_error *err);

#endif
