/* SPDX-License-Identifier: MIT
 * JSON of logical types: the texts that people read and write for them in the plain form.
 *
 *   date                          "2026-11-21"
 *   time-millis, -micros          "13:07:59.042", "13:07:59.042000"
 *   timestamp-millis, -micros     "2026-11-21T13:07:59.042Z", with six digits
 *   local-timestamp-...           the same without Z
 *   decimal                       "-12.50", with as many digits after the point as the scale
 *   uuid                          "0b6ce1c8-5f1d-5d0c-9a39-0b2c8a1e7f55"
 *   duration                      "P14M3DT7.250S": months, days, seconds with milliseconds
 *
 * What has no such text (a year beyond 0000 to 9999, a decimal of more than 1024 bytes) is written as its base type. */
#ifndef BUI_CODEC_JSON_LOGICAL_H
#define BUI_CODEC_JSON_LOGICAL_H

#include "base/buf.h"
#include "codec/schema.h"

#define BUI_LOGICAL_TEXT 64
#define BUI_DECIMAL_BYTES 1024

/* Those on int and long. false: no text for this value or type; out is untouched. */
bool bui_logical_write(bus_logical logical, int64_t value, char out[BUI_LOGICAL_TEXT]);
/* false: not the text of one. */
bool bui_logical_read(bus_logical logical, const char *text, size_t len, int64_t *out);

/* Two's complement, most significant byte first, at most BUI_DECIMAL_BYTES, as digits. false: no memory, or too long. */
bool bui_decimal_write(const uint8_t *bytes, size_t len, int32_t scale, bui_buf *out);
/* The shortest bytes of a text; *len is what they take of `out`. false: no decimal of that scale, or too long. */
bool bui_decimal_read(const char *text, size_t text_len, int32_t scale, uint8_t out[BUI_DECIMAL_BYTES], size_t *len);
/* How many digits the number has, scale or not; at least 1. More than BUI_DECIMAL_BYTES that count: the fewest it can have. */
size_t bui_decimal_digits(const uint8_t *bytes, size_t len);

void bui_duration_write(const uint8_t bytes[12], char out[BUI_LOGICAL_TEXT]);
bool bui_duration_read(const char *text, size_t len, uint8_t out[12]);

#endif
