/* SPDX-License-Identifier: MIT
 * Varint: Avro's int and long on the way out: zigzag, then seven bits a byte, the lowest first. */
#ifndef BUI_CODEC_VARINT_H
#define BUI_CODEC_VARINT_H

#include <stdint.h>

#define BUI_VARINT_MAX 10

/* Writes up to BUI_VARINT_MAX bytes and returns the end. */
static inline uint8_t *bui_varint_write(uint8_t *at, int64_t value)
{
    uint64_t raw = (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
    for (; raw > 0x7F; raw >>= 7)
        *at++ = (uint8_t)(raw | 0x80);
    *at++ = (uint8_t)raw;
    return at;
}

#endif
