/* SPDX-License-Identifier: MIT
 * Schema key: the key of a schema's record on `bus.schemas`. */
#ifndef BUI_CODEC_SCHEMA_KEY_H
#define BUI_CODEC_SCHEMA_KEY_H

#include <stddef.h>

/* SHA-256 of its exact text, in hex. (Before, the version 5 id of it; those are read as well.) */
#define BUI_SCHEMA_KEY 65
void bui_schema_key(const char *json, size_t len, char out[BUI_SCHEMA_KEY]);

#endif
