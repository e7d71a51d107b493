/* SPDX-License-Identifier: MIT
 * Fuzz: headers as a broker may hand them over, and packed blobs as a damaged store may.
 * About: bus/codec/envelope.c bus/codec/headers.c */
#include "codec/envelope.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = { BUS_HEADER_HOP, BUS_HEADER_ORIG, BUS_HEADER_LETTER, BUS_HEADER_COMMAND, BUS_HEADER_ID };
    bus_header headers[32];
    bus_envelope envelope;
    bus_error err;
    if (size < 1 || size > 4096)
        return 0;
    bus_header one = { names[data[0] % 5], data + 1, size - 1 };
    if (bus_envelope_read(&one, 1, &envelope, &err) == BUS_OK && envelope.hop.source.at) {
        /* What is written from what was read reads the same. */
        char text[1024];
        bus_envelope again;
        one.len = bus_hop_write(&envelope.hop, text, sizeof text);
        one.value = text;
        if (one.len == 0 || bus_envelope_read(&one, 1, &again, &err) != BUS_OK || again.hop.seq != envelope.hop.seq)
            abort();
    }
    char topic[250];
    int32_t partition;
    if (bus_reply_address((bus_slice){ (const char *)data, size }, topic, &partition) && (partition < 0 || !bus_topic_takes_replies(topic)))
        abort();
    size_t count = bus_headers_unpack(data, size, headers, 32);
    if (count == SIZE_MAX)
        return 0;
    bus_buf packed;
    bus_buf_init(&packed, 0);
    bus_headers_pack(headers, count, &packed);
    if (bus_headers_count(packed.data, packed.len) != count)
        abort();
    (void)bus_envelope_read(headers, count, &envelope, &err);
    bus_buf_free(&packed);
    return 0;
}
