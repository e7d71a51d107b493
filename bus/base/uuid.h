/* SPDX-License-Identifier: MIT
 * UUIDs as bytes (RFC 9562): named and random. Any thread. */
#ifndef BUI_BASE_UUID_H
#define BUI_BASE_UUID_H

#include <stddef.h>

/* Version 5: SHA-1 of the name space's 16 bytes and the name. `space` may be `out`. */
void bui_uuid_named(unsigned char out[16], const unsigned char space[16], const void *name, size_t len);

/* Version 4. A child of fork draws others than its parent. */
void bui_uuid_random(unsigned char out[16]);

/* 36 characters in lower case, and a 0. */
void bui_uuid_print(const unsigned char id[16], char out[37]);

#endif
