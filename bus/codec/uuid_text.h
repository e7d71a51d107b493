/* SPDX-License-Identifier: MIT
 * UUID text: RFC 4122's form with hyphens, read in either case and written in lower case. */
#ifndef BUI_CODEC_UUID_TEXT_H
#define BUI_CODEC_UUID_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUI_UUID_TEXT 36

bool bui_uuid_from_text(const char *text, size_t len, uint8_t out[16]); /* false: not a UUID; out untouched */
void bui_uuid_to_text(const uint8_t uuid[16], char out[BUI_UUID_TEXT]); /* not terminated */

#endif
