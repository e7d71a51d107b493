/* SPDX-License-Identifier: MIT
 * Cloud: the headers by which CloudEvents 1.0 describes an event (Kafka protocol binding, binary mode). Inline, for each event that a
 * handler emits has them. */
#ifndef BUS_CODEC_CLOUD_H
#define BUS_CODEC_CLOUD_H

#include "codec/envelope.h"
#include <string.h>

typedef struct bus_cloud {
    const char *id, *type;
    const char *correlation;
    const char *source, *causation, *traceparent; /* left out of the compact envelope, as are version and content type */
    bool compact;
} bus_cloud;

#define BUS_CLOUD_HEADERS 8
#define BUS_CLOUD_CONTENT_TYPE "application/avro"

static inline size_t bus_cloud_add(bus_header *out, size_t count, const char *name, const char *text)
{
    if (!text || !*text)
        return count;
    out[count] = (bus_header){ name, text, strlen(text) };
    return count + 1;
}

/* Their number; what is NULL or "" is left out. Texts are borrowed. */
static inline size_t bus_cloud_write(const bus_cloud *event, bus_header out[BUS_CLOUD_HEADERS])
{
    size_t n = bus_cloud_add(out, 0, BUS_HEADER_ID, event->id);
    n = bus_cloud_add(out, n, BUS_HEADER_TYPE, event->type);
    if (!event->compact) {
        n = bus_cloud_add(out, n, BUS_HEADER_SPECVERSION, "1.0");
        n = bus_cloud_add(out, n, BUS_HEADER_SOURCE, event->source);
        n = bus_cloud_add(out, n, BUS_HEADER_CONTENT_TYPE, BUS_CLOUD_CONTENT_TYPE);
    }
    n = bus_cloud_add(out, n, BUS_HEADER_CORRELATION, event->correlation);
    if (!event->compact) {
        n = bus_cloud_add(out, n, BUS_HEADER_CAUSATION, event->causation);
        n = bus_cloud_add(out, n, BUS_HEADER_TRACEPARENT, event->traceparent);
    }
    return n;
}

#endif
