/* SPDX-License-Identifier: MIT
 * Headers packed: a record's headers as one blob for the store. A count, then for each header a code (0: the name follows,
 * with its length, terminated), the value's length plus one (0: a null value), and the value. Numbers are LEB128.
 * Codes are kept in stores: append, never renumber. */
#include "codec/envelope.h"

#include <string.h>

#define HEADERS_MAX (1u << 20) /* far beyond what a broker takes; keeps a broken blob from promising billions */

#define NAME(text) \
    { \
        text, sizeof(text) - 1 \
    }
static const struct {
    const char *name;
    size_t len;
} known[] = {
    { NULL, 0 }, /* 0: the name is in the blob */
    NAME(BUI_HEADER_SPECVERSION),
    NAME(BUI_HEADER_ID),
    NAME(BUI_HEADER_SOURCE),
    NAME(BUI_HEADER_TYPE),
    NAME(BUI_HEADER_CONTENT_TYPE),
    NAME(BUI_HEADER_CORRELATION),
    NAME(BUI_HEADER_CAUSATION),
    NAME(BUI_HEADER_TRACEPARENT),
    NAME(BUI_HEADER_HOP),
    NAME(BUI_HEADER_ORIG),
    NAME(BUI_HEADER_LETTER),
    NAME(BUI_HEADER_COMMAND),
    NAME(BUI_HEADER_REPLY_TO),
    NAME(BUI_HEADER_ERROR_CLASS),
    NAME(BUI_HEADER_ERROR_MESSAGE),
    NAME("__dlq.errors.topic"),
    NAME("__dlq.errors.partition"),
    NAME("__dlq.errors.offset"),
    NAME("__dlq.errors.group"),
    NAME("__dlq.errors.delivery.count"),
    NAME("ce_time"),
    NAME("ce_subject"),
    NAME("ce_dataschema"),
    NAME("tracestate"),
    NAME("bus-mac"),
};
#define CODE_HOP 9 /* its place */
#define KNOWN (sizeof known / sizeof *known)
_Static_assert(KNOWN < 128, "a code takes one byte");

static uint8_t code_of(const char *name, size_t len)
{
    if (len == sizeof BUI_HEADER_HOP - 1 && memcmp(name, BUI_HEADER_HOP, sizeof BUI_HEADER_HOP - 1) == 0)
        return CODE_HOP; /* each event that is sent has one, and most nothing else */
    for (size_t i = 1; i < KNOWN; i++)
        if (known[i].len == len && memcmp(known[i].name, name, len) == 0)
            return (uint8_t)i;
    return 0;
}

#define SIZE_BYTES 10

static uint8_t *put_size(uint8_t *at, size_t value)
{
    for (; value > 0x7F; value >>= 7)
        *at++ = (uint8_t)(value | 0x80);
    *at++ = (uint8_t)value;
    return at;
}

static uint8_t *put_bytes(uint8_t *at, const void *bytes, size_t len)
{
    memcpy(at, bytes, len);
    return at + len;
}

/* A header at a time: room for all that it can take, of which the rest is given back. */
static void put_all(const bus_header *headers, size_t count, bui_buf *out)
{
    for (size_t i = 0; i < count; i++) {
        const bus_header *header = &headers[i];
        size_t len = strlen(header->name), value_len = header->value ? header->len : 0;
        uint8_t code = code_of(header->name, len);
        uint8_t *at = bui_buf_grow(out, 1 + (code ? 0 : SIZE_BYTES + len + 1) + SIZE_BYTES + value_len);
        if (!at)
            return;
        *at++ = code;
        if (code == 0)
            at = put_bytes(put_size(at, len), header->name, len + 1);
        at = put_size(at, header->value ? value_len + 1 : 0);
        if (value_len > 0)
            at = put_bytes(at, header->value, value_len);
        out->len = (size_t)(at - out->data);
    }
}

void bui_headers_pack_both(const bus_header *a, size_t a_count, const bus_header *b, size_t b_count, bui_buf *out)
{
    uint8_t *at = bui_buf_grow(out, SIZE_BYTES);
    if (!at)
        return;
    out->len = (size_t)(put_size(at, a_count + b_count) - out->data);
    put_all(a, a_count, out);
    put_all(b, b_count, out);
}

void bui_headers_pack(const bus_header *headers, size_t count, bui_buf *out)
{
    bui_headers_pack_both(headers, count, NULL, 0, out);
}

typedef struct cursor {
    const uint8_t *at, *end;
} cursor;

static bool get_size(cursor *c, size_t *out)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 35; shift += 7) {
        if (c->at == c->end)
            return false;
        uint8_t byte = *c->at++;
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            *out = (size_t)value;
            return true;
        }
    }
    return false;
}

static bool get_bytes(cursor *c, size_t len, const void **out)
{
    if (len > (size_t)(c->end - c->at))
        return false;
    *out = c->at;
    c->at += len;
    return true;
}

static bool get_name(cursor *c, const char **name)
{
    size_t len;
    const void *bytes;
    if (c->at == c->end)
        return false;
    uint8_t code = *c->at++;
    if (code != 0) {
        *name = code < KNOWN ? known[code].name : NULL;
        return *name != NULL;
    }
    if (!get_size(c, &len) || len >= (size_t)(c->end - c->at) || !get_bytes(c, len + 1, &bytes))
        return false;
    *name = bytes;
    return memchr(bytes, 0, len + 1) == (const char *)bytes + len;
}

static bool get_value(cursor *c, bus_header *header)
{
    size_t len;
    if (!get_size(c, &len))
        return false;
    header->len = len ? len - 1 : 0;
    if (len == 0)
        header->value = NULL;
    else if (!get_bytes(c, len - 1, &header->value))
        return false;
    return true;
}

static bool open_blob(const void *blob, size_t len, cursor *c, size_t *count)
{
    *c = (cursor){ blob, (const uint8_t *)blob + (blob ? len : 0) };
    *count = 0;
    return len == 0 || (blob && get_size(c, count) && *count <= HEADERS_MAX);
}

size_t bui_headers_unpack(const void *blob, size_t len, bus_header *out, size_t max)
{
    cursor c;
    size_t count;
    if (!open_blob(blob, len, &c, &count) || count > max)
        return SIZE_MAX;
    for (size_t i = 0; i < count; i++)
        if (!get_name(&c, &out[i].name) || !get_value(&c, &out[i]))
            return SIZE_MAX;
    return c.at == c.end ? count : SIZE_MAX;
}

size_t bui_headers_count(const void *blob, size_t len)
{
    cursor c;
    size_t count;
    bus_header header;
    if (!open_blob(blob, len, &c, &count))
        return SIZE_MAX;
    for (size_t i = 0; i < count; i++)
        if (!get_name(&c, &header.name) || !get_value(&c, &header))
            return SIZE_MAX;
    return c.at == c.end ? count : SIZE_MAX;
}
