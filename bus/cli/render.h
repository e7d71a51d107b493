/* SPDX-License-Identifier: MIT
 * Render: one record for people or as a line of JSON. */
#ifndef BUS_CLI_RENDER_H
#define BUS_CLI_RENDER_H

#include "codec/catalog.h"
#include "cli/output.h"
#include "shard/transport.h"

/* Several lines: place, time, key and type; the headers; the value, decoded unless `raw`. */
void cli_record_text(const bus_record *record, const bus_catalog *catalog, bool raw, bool colour, bus_buf *out);
/* One JSON object and a newline: topic, partition, offset, time, timestamp, key, type, id, headers, and "value" (decoded) or
 * "value_base64" with, where decoding failed, "undecodable" saying why. A key that is not UTF-8 is "key_base64". */
void cli_record_json(const bus_record *record, const bus_catalog *catalog, bool raw, bus_buf *out);
/* The members of that object that tell the value, with a comma in front. */
void cli_value_json(const bus_record *record, const bus_catalog *catalog, bool raw, bus_buf *out);

void cli_base64(const void *bytes, size_t len, bus_buf *out);
bool cli_is_utf8(const void *bytes, size_t len);

#endif
