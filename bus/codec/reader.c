/* SPDX-License-Identifier: MIT
 * Reader: the parts that are not worth being in line. */
#include "codec/reader.h"

bool bui_read_long_slow(bus_reader *in, int64_t *out)
{
    uint64_t raw = 0;
    const uint8_t *at = in->at;
    for (unsigned shift = 0;; shift += 7, at++) {
        if (at == in->end)
            return bui_reader_fail(in, "a number is cut off after %zu bytes", (size_t)(at - in->at));
        /* The tenth byte holds the last bit of 64. */
        if (shift == 63 && *at > 1)
            return bui_reader_fail(in, "a number of more than %d bits", 64);
        raw |= (uint64_t)(*at & 0x7F) << shift;
        if (*at < 0x80)
            break;
    }
    in->at = at + 1;
    *out = (int64_t)(raw >> 1) ^ -(int64_t)(raw & 1);
    return true;
}

bool bui_read_range(bus_reader *in, int64_t value)
{
    return bui_reader_fail(in, "%" PRId64 " does not fit an int of 32 bits", value);
}

bool bui_read_block(bus_reader *in, uint32_t least, size_t *count, const uint8_t **ends)
{
    int64_t n;
    *ends = NULL;
    if (!bui_read_long(in, &n))
        return false;
    if (n < 0) {
        int64_t size;
        if (n == INT64_MIN)
            return bui_reader_fail(in, "a block count of %" PRId64, n);
        n = -n;
        if (!bui_read_long(in, &size))
            return false;
        if (size < 0 || (uint64_t)size > bui_reader_left(in))
            return bui_reader_fail(in, "a block of %" PRId64 " bytes, and %zu remain", size, bui_reader_left(in));
        *ends = in->at + size;
    }
    size_t room = *ends ? (size_t)(*ends - in->at) : bui_reader_left(in);
    if (least == 0) {
        if ((uint64_t)n > BUI_NOTHING_MAX - in->nothing)
            return bui_reader_fail(in, "%" PRId64 " items that take no bytes; a message may hold %d", n, BUI_NOTHING_MAX);
        in->nothing += (size_t)n;
    } else if ((uint64_t)n > room / least) {
        return bui_reader_fail(in, "a block of %" PRId64 " items, of at least %u bytes each, and %zu bytes remain", n, least,
                               room);
    }
    *count = (size_t)n;
    return true;
}

bool bui_read_block_end(bus_reader *in, const uint8_t *ends)
{
    if (ends && in->at != ends)
        return bui_reader_fail(in, "a block ends %td bytes after where its size says", in->at - ends);
    return true;
}
