/* SPDX-License-Identifier: MIT
 * Render: one record for people or as a line of JSON. */
#ifndef BUI_CLI_RENDER_H
#define BUI_CLI_RENDER_H

#include "cli/output.h"
#include "ops/translator.h"

/* Several lines: place, time, key and type; the headers; the value, decoded unless `translator` is NULL. */
void cli_record_text(const bui_record *record, bui_translator *translator, bool colour, bui_buf *out);
/* One JSON object and a newline: topic, partition, offset, time, timestamp, key, type, id, headers, and "value" (decoded) or
 * "value_base64" with, where decoding failed, "undecodable" saying why. A key that is not UTF-8 is "key_base64". */
void cli_record_json(const bui_record *record, bui_translator *translator, bui_buf *out);

void cli_base64(const void *bytes, size_t len, bui_buf *out);
bool cli_is_utf8(const void *bytes, size_t len);

#endif
