/* SPDX-License-Identifier: MIT
 * JSON values against types, for the codec's own files: what a default must be. */
#ifndef BUI_CODEC_JSON_VALUE_H
#define BUI_CODEC_JSON_VALUE_H

#include "base/buf.h"
#include "codec/schema.h"

/* Whether `value` is a default of `type`: as Avro's JSON encoding, but a union's default stands alone and fits one of its
 * branches. *steps counts the work over several calls, so that nested defaults cannot multiply without end. BUS_INVALID
 * with the reason; BUS_TOO_BIG; BUS_NOMEM. */
bus_status bui_json_check_default(const bui_node *type, const struct json_t *value, size_t *steps, bus_error *err);

/* Appends the Avro bytes of a default that has been checked. On failure what was appended is taken back. */
bus_status bui_json_encode_default(const bui_node *type, const struct json_t *value, bui_buf *out, bus_error *err);

#endif
