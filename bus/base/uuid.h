/* SPDX-License-Identifier: MIT
 * UUIDs as bytes (RFC 9562): by name and by chance. Any thread. */
#ifndef BUS_BASE_UUID_H
#define BUS_BASE_UUID_H

#include <stddef.h>

/* Version 5: SHA-1 of the name space's 16 bytes and the name. `space` may be `out`. */
void bus_uuid_named(unsigned char out[16], const unsigned char space[16], const void *name, size_t len);

/* Version 4. A child of fork draws others than its parent. */
void bus_uuid_random(unsigned char out[16]);

/* 36 characters in lower case, and a 0. */
void bus_uuid_print(const unsigned char id[16], char out[37]);

#endif
