/* SPDX-License-Identifier: MIT
 * Fuzz: headers as a broker may hand them over, and packed blobs as a damaged store may.
 * About: bus/codec/envelope.c bus/codec/compact.c bus/codec/headers.c */
#include "codec/compact.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same(bui_slice a, bui_slice b)
{
    return !a.at == !b.at && a.len == b.len && (!a.at || memcmp(a.at, b.at, a.len) == 0);
}

static void must_say(const bui_envelope *a, const bui_envelope *b)
{
    if (!same(a->id, b->id) || !same(a->type, b->type) || !same(a->source, b->source) ||
        !same(a->content_type, b->content_type) || !same(a->correlation, b->correlation) || !same(a->causation, b->causation) ||
        !same(a->traceparent, b->traceparent))
        abort();
}

/* What is unpacked says the same; so does what is packed, but for what the bus writes always and a hop implies. */
static void both_forms(const bus_header *headers, size_t count, const bui_envelope *envelope)
{
    bus_header full[32 + BUI_COMPACT_MORE], packed[32 + BUI_COMPACT_MORE + 1];
    bui_hop hop = { .source = { "s/0#1", 5 }, .topic = { "t", 1 }, .seq = 1 };
    char text[4096];
    bui_envelope again, wanted = *envelope;
    bus_error err;
    size_t n = bui_compact_unpack(headers, count, full), own = 0;
    if (n > count + BUI_COMPACT_MORE || bui_envelope_read(full, n, &again, &err) != BUS_OK)
        abort();
    must_say(envelope, &again);
    for (size_t i = 0; i < n; i++)
        if (strcmp(full[i].name, BUI_HEADER_HOP) != 0)
            full[own++] = full[i];
    n = bui_compact_pack(full, own, &hop, packed);
    packed[n++] = (bus_header){ BUI_HEADER_HOP, text, bui_hop_write(&hop, text, sizeof text) };
    if (bui_envelope_read(packed, n, &again, &err) != BUS_OK)
        abort();
    if (hop.id.at && !wanted.source.at)
        wanted.source = (bui_slice){ "s", 1 };
    if (hop.id.at && !wanted.content_type.at)
        wanted.content_type = again.content_type;
    must_say(&wanted, &again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = { BUI_HEADER_HOP, BUI_HEADER_ORIG, BUI_HEADER_LETTER, BUI_HEADER_COMMAND, BUI_HEADER_ID };
    bus_header headers[32];
    bui_envelope envelope;
    bus_error err;
    if (size < 1 || size > 4096)
        return 0;
    bus_header one = { names[data[0] % 5], data + 1, size - 1 };
    if (bui_envelope_read(&one, 1, &envelope, &err) == BUS_OK && envelope.hop.source.at) {
        /* What is written from what was read reads the same. */
        char text[4096];
        bui_envelope again;
        one.len = bui_hop_write(&envelope.hop, text, sizeof text);
        one.value = text;
        if (one.len == 0 || bui_envelope_read(&one, 1, &again, &err) != BUS_OK || again.hop.seq != envelope.hop.seq)
            abort();
        must_say(&envelope, &again);
    }
    char topic[250];
    int32_t partition;
    if (bui_reply_address((bui_slice){ (const char *)data, size }, topic, &partition) &&
        (partition < 0 || !bui_topic_takes_replies(topic)))
        abort();
    size_t count = bui_headers_unpack(data, size, headers, 32);
    if (count == SIZE_MAX)
        return 0;
    bui_buf packed;
    bui_buf_init(&packed, 0);
    bui_headers_pack(headers, count, &packed);
    if (bui_headers_count(packed.data, packed.len) != count)
        abort();
    if (bui_envelope_read(headers, count, &envelope, &err) == BUS_OK)
        both_forms(headers, count, &envelope);
    bui_buf_free(&packed);
    return 0;
}
