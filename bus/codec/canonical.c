/* SPDX-License-Identifier: MIT
 * Canonical: the Parsing Canonical Form of a schema, and its CRC-64-AVRO. */
#include "codec/canonical.h"

#include "base/map.h"

#include <inttypes.h>
#include <string.h>

static bool write_node(const bui_node *node, bui_map *seen, bui_buf *out);

/* Names are checked to be plain ASCII, so they need no escapes. */
static void quote(bui_buf *out, const char *name)
{
    bui_buf_byte(out, '"');
    bui_buf_text(out, name);
    bui_buf_byte(out, '"');
}

static bool write_fields(const bui_node *node, bui_map *seen, bui_buf *out)
{
    bool record = node->kind == BUS_KIND_RECORD;
    bui_buf_byte(out, '[');
    for (size_t i = 0; i < node->count; i++) {
        if (i > 0)
            bui_buf_byte(out, ',');
        if (record) {
            bui_buf_text(out, "{\"name\":");
            quote(out, node->fields[i].name);
            bui_buf_text(out, ",\"type\":");
        }
        if (!write_node(node->fields[i].type, seen, out))
            return false;
        if (record)
            bui_buf_byte(out, '}');
    }
    bui_buf_byte(out, ']');
    return true;
}

/* A named type is written out where it is met first and by its name after that. */
static bool write_named(const bui_node *node, bui_map *seen, bui_buf *out)
{
    if (bui_map_get(seen, node->name, strlen(node->name))) {
        quote(out, node->name);
        return true;
    }
    if (!bui_map_put(seen, node->name, strlen(node->name), (void *)(uintptr_t)node))
        return false;
    bui_buf_text(out, "{\"name\":");
    quote(out, node->name);
    switch (node->kind) {
    case BUS_KIND_RECORD:
        bui_buf_text(out, ",\"type\":\"record\",\"fields\":");
        if (!write_fields(node, seen, out))
            return false;
        break;
    case BUS_KIND_ENUM:
        bui_buf_text(out, ",\"type\":\"enum\",\"symbols\":[");
        for (size_t i = 0; i < node->count; i++) {
            if (i > 0)
                bui_buf_byte(out, ',');
            quote(out, node->symbols[i]);
        }
        bui_buf_byte(out, ']');
        break;
    default: bui_buf_printf(out, ",\"type\":\"fixed\",\"size\":%zu", node->count); break;
    }
    bui_buf_byte(out, '}');
    return true;
}

static bool write_node(const bui_node *node, bui_map *seen, bui_buf *out)
{
    switch (node->kind) {
    case BUS_KIND_RECORD:
    case BUS_KIND_ENUM:
    case BUS_KIND_FIXED: return write_named(node, seen, out);
    case BUS_KIND_ARRAY:
    case BUS_KIND_MAP:
        bui_buf_text(out, node->kind == BUS_KIND_ARRAY ? "{\"type\":\"array\",\"items\":" : "{\"type\":\"map\",\"values\":");
        if (!write_node(node->item, seen, out))
            return false;
        bui_buf_byte(out, '}');
        return true;
    case BUS_KIND_UNION: return write_fields(node, seen, out);
    default: quote(out, node->name); return true;
    }
}

bool bui_canonical_write(const bui_node *root, bui_buf *out)
{
    bui_map seen;
    bui_map_init(&seen);
    bool ok = write_node(root, &seen, out);
    bui_map_free(&seen, NULL);
    return ok && bui_buf_ok(out);
}

/* Half a byte a step, so that the table is short enough to be read: entry i is i shifted right four times, each time with
 * the polynomial 0xC15D213AA4D7A795 folded in when a bit falls out. */
uint64_t bui_fingerprint(const void *bytes, size_t len)
{
    static const uint64_t polynomial = 0xC15D213AA4D7A795u;
    uint64_t table[16];
    for (uint64_t i = 0; i < 16; i++) {
        table[i] = i;
        for (int bit = 0; bit < 4; bit++)
            table[i] = table[i] >> 1 ^ (polynomial & -(table[i] & 1));
    }
    uint64_t crc = polynomial;
    const uint8_t *at = bytes;
    for (size_t i = 0; i < len; i++) {
        crc ^= at[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return crc;
}
