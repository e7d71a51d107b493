/* SPDX-License-Identifier: MIT
 * Varint: Avro's int and long on the way out: zigzag, then seven bits a byte, the lowest first. */
#ifndef BUS_CODEC_VARINT_H
#define BUS_CODEC_VARINT_H

#include <stdint.h>

#define BUS_VARINT_MAX 10

/* Writes up to BUS_VARINT_MAX bytes and returns the end. */
static inline uint8_t *bus_varint_write(uint8_t *at, int64_t value)
{
    uint64_t raw = (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
    for (; raw > 0x7F; raw >>= 7)
        *at++ = (uint8_t)(raw | 0x80);
    *at++ = (uint8_t)raw;
    return at;
}

#endif
