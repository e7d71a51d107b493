/* SPDX-License-Identifier: MIT
 * SHA-1 (RFC 3174), only for named UUIDs: it protects nothing. */
#ifndef BUI_BASE_SHA1_H
#define BUI_BASE_SHA1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of the 16 bytes of `space` and then the `len` of `name`. False: this processor has no instructions for it, use libuuid, which
 * is as fast as plain C can be. */
bool bui_sha1_named(uint8_t out[20], const uint8_t space[16], const void *name, size_t len);

#endif
