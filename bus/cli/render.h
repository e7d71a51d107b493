/* SPDX-License-Identifier: MIT
 * Render: one record for people or as a line of JSON. */
#ifndef BUS_CLI_RENDER_H
#define BUS_CLI_RENDER_H

#include "cli/output.h"
#include "ops/translator.h"

/* Several lines: place, time, key and type; the headers; the value, decoded unless `translator` is NULL. */
void cli_record_text(const bus_record *record, bus_translator *translator, bool colour, bus_buf *out);
/* One JSON object and a newline: topic, partition, offset, time, timestamp, key, type, id, headers, and "value" (decoded) or
 * "value_base64" with, where decoding failed, "undecodable" saying why. A key that is not UTF-8 is "key_base64". */
void cli_record_json(const bus_record *record, bus_translator *translator, bus_buf *out);

void cli_base64(const void *bytes, size_t len, bus_buf *out);
bool cli_is_utf8(const void *bytes, size_t len);

#endif
