/* SPDX-License-Identifier: MIT
 * Wire: an Avro body in its framing, and the public functions on types. */
#include "codec/wire.h"

#include "base/error.h"
#include "codec/body.h"
#include "codec/reader.h"

#include <stdlib.h>

static bus_status check_layout(const bus_type *type, bus_error *err)
{
    if (type->layout == BUS_TYPE_LAYOUT)
        return BUS_OK;
    return bui_fail(err, BUS_INVALID,
                    "%s was generated for layout %u of descriptors; this library reads %d: run bus-schemac again", type->name,
                    type->layout, BUS_TYPE_LAYOUT);
}

void bui_wire_frame(uint64_t fingerprint, uint8_t out[BUI_WIRE_FRAMING])
{
    out[0] = 0xC3;
    out[1] = 0x01;
    for (size_t i = 2; i < BUI_WIRE_FRAMING; i++, fingerprint >>= 8)
        out[i] = (uint8_t)fingerprint;
}

bus_status bui_wire_encode_with(const bus_type *type, const void *framing, size_t n, const void *body, bui_buf *out,
                                bus_error *err)
{
    size_t before = out->len;
    bus_status status = check_layout(type, err);
    if (status != BUS_OK)
        return status;
    bui_buf_add(out, framing, n);
    if (!bui_buf_ok(out) && out->over)
        return bui_fail(err, BUS_TOO_BIG, "%s: over %zu bytes", type->name, out->limit);
    if (!bui_buf_ok(out))
        return bui_fail_nomem(err);
    status = bui_body_encode(type->shape, body, out, err);
    if (status != BUS_OK)
        out->len = before;
    return status;
}

bus_status bui_wire_encode(const bus_type *type, const void *body, bui_buf *out, bus_error *err)
{
    uint8_t framing[BUI_WIRE_FRAMING];
    bui_wire_frame(type->fingerprint, framing);
    return bui_wire_encode_with(type, framing, sizeof framing, body, out, err);
}

bool bui_wire_fingerprint(const void *bytes, size_t len, uint64_t *fingerprint)
{
    const uint8_t *at = bytes;
    if (len < BUI_WIRE_FRAMING || at[0] != 0xC3 || at[1] != 0x01)
        return false;
    *fingerprint = bui_load_le(at + 2, 8);
    return true;
}

bus_status bui_wire_decode(const bus_type *type, const void *bytes, size_t len, bui_arena *arena, const void **body,
                           bus_error *err)
{
    uint64_t fingerprint;
    bus_status status = check_layout(type, err);
    if (status != BUS_OK)
        return status;
    if (!bytes || !bui_wire_fingerprint(bytes, len, &fingerprint))
        return bui_fail(err, BUS_CORRUPT,
                        "%zu bytes that are not in Avro's single-object encoding (C3 01 and a fingerprint); "
                        "expected %s",
                        len, type->name);
    if (fingerprint != type->fingerprint)
        return bui_fail(err, BUS_MISSING, "written with schema %016" PRIx64 "; %s here is %016" PRIx64, fingerprint, type->name,
                        type->fingerprint);
    void *value = bui_arena_alloc(arena, type->shape->size);
    if (!value)
        return bui_fail_nomem(err);
    status = bui_body_decode(type->shape, (const uint8_t *)bytes + BUI_WIRE_FRAMING, len - BUI_WIRE_FRAMING, BUI_WIRE_FRAMING,
                             arena, value, err);
    if (status == BUS_OK)
        *body = value;
    return status;
}

/* ---- public */

const char *bus_type_name(const bus_type *type)
{
    return type->name;
}

const char *bus_type_schema(const bus_type *type)
{
    return type->json;
}

const char *bus_type_canonical(const bus_type *type)
{
    return type->canonical;
}

uint64_t bus_type_fingerprint(const bus_type *type)
{
    return type->fingerprint;
}

bus_status bus_encode(const bus_type *type, const void *body, void **bytes, size_t *len, bus_error *err)
{
    bui_buf out;
    bui_buf_init(&out, BUI_PUBLIC_BYTES);
    bus_status status = bui_wire_encode(type, body, &out, err);
    size_t n = out.len;
    char *taken = status == BUS_OK ? bui_buf_take(&out) : NULL;
    bui_buf_free(&out);
    if (status != BUS_OK)
        return status;
    if (!taken)
        return bui_fail_nomem(err);
    *bytes = taken;
    *len = n;
    return BUS_OK;
}

/* What bus_decode gives out lies in an arena of its own, whose handle is kept in front of the struct. */
typedef struct decoded {
    bui_arena arena;
    _Alignas(16) unsigned char body[];
} decoded;

bus_status bui_body_own(const bus_type *type, const void *bytes, size_t len, bool copy, const void **body, bus_error *err)
{
    bui_arena arena;
    const void *value;
    bui_arena_init(&arena, 0);
    bus_status status;
    decoded *out = bui_arena_alloc(&arena, sizeof *out + type->shape->size);
    if (!out || (copy && !(bytes = bui_arena_copy(&arena, bytes, len)))) {
        status = bui_fail_nomem(err);
        goto out;
    }
    status = bui_wire_decode(type, bytes, len, &arena, &value, err);
    if (status != BUS_OK)
        goto out;
    memcpy(out->body, value, type->shape->size);
    out->arena = arena;
    *body = out->body;
    return BUS_OK;
out:
    bui_arena_free(&arena);
    return status;
}

bus_status bus_decode(const bus_type *type, const void *bytes, size_t len, const void **body, bus_error *err)
{
    return bui_body_own(type, bytes, len, false, body, err);
}

void bus_body_free(const void *body)
{
    if (!body)
        return;
    const decoded *found = (const decoded *)(const void *)((const char *)body - offsetof(decoded, body));
    bui_arena arena = found->arena; /* it lies in itself */
    bui_arena_free(&arena);
}
