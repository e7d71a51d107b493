/* SPDX-License-Identifier: MIT
 * Cloud: the headers by which CloudEvents 1.0 describes an event (Kafka protocol binding, binary mode). Inline, because each
 * event that a handler emits has them. */
#ifndef BUI_CODEC_CLOUD_H
#define BUI_CODEC_CLOUD_H

#include "codec/envelope.h"
#include <string.h>

typedef struct bui_cloud {
    const char *id, *type;
    const char *correlation;
    const char *source, *causation, *traceparent;
} bui_cloud;

#define BUI_CLOUD_HEADERS 8
#define BUI_CLOUD_VERSION "1.0"
#define BUI_CLOUD_CONTENT_TYPE "application/avro"

static inline size_t bui_cloud_add(bus_header *out, size_t count, const char *name, const char *text)
{
    if (!text || !*text)
        return count;
    out[count] = (bus_header){ name, text, strlen(text) };
    return count + 1;
}

/* Their number; what is NULL or "" is left out. Texts are borrowed. */
static inline size_t bui_cloud_write(const bui_cloud *event, bus_header out[BUI_CLOUD_HEADERS])
{
    size_t n = bui_cloud_add(out, 0, BUI_HEADER_ID, event->id);
    n = bui_cloud_add(out, n, BUI_HEADER_TYPE, event->type);
    n = bui_cloud_add(out, n, BUI_HEADER_SPECVERSION, BUI_CLOUD_VERSION);
    n = bui_cloud_add(out, n, BUI_HEADER_SOURCE, event->source);
    n = bui_cloud_add(out, n, BUI_HEADER_CONTENT_TYPE, BUI_CLOUD_CONTENT_TYPE);
    n = bui_cloud_add(out, n, BUI_HEADER_CORRELATION, event->correlation);
    n = bui_cloud_add(out, n, BUI_HEADER_CAUSATION, event->causation);
    n = bui_cloud_add(out, n, BUI_HEADER_TRACEPARENT, event->traceparent);
    return n;
}

#endif
