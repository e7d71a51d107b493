/* SPDX-License-Identifier: MIT
 * JSON of structs: through Avro's bytes, so that there is one way to write a value and one to read it. */
#include "base/error.h"
#include "codec/body.h"
#include "codec/json.h"
#include "codec/wire.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define KEPT 256

/* Schemas stay parsed: types are constants, and a program has some dozens. One whose place is taken is parsed at each call. */
static _Atomic(bui_schema *) kept[KEPT];

static bus_status schema_of(const bus_type *type, bui_schema **out, bool *own, bus_error *err)
{
    _Atomic(bui_schema *) *place = &kept[type->fingerprint % KEPT];
    bui_schema *found = atomic_load_explicit(place, memory_order_acquire), *none = NULL;
    *own = false;
    *out = found;
    if (found && strcmp(bui_schema_json(found, NULL), type->json) == 0)
        return BUS_OK;
    bus_status status = bui_schema_parse(type->json, strlen(type->json), out, err);
    *own = status == BUS_OK && (found || !atomic_compare_exchange_strong(place, &none, *out));
    return status;
}

bus_status bus_to_json(const bus_type *type, const void *body, char **json, bus_error *err)
{
    bui_buf bytes, text;
    bui_schema *schema = NULL;
    bool own = false;
    bui_buf_init(&bytes, BUI_PUBLIC_BYTES);
    bui_buf_init(&text, 0);
    bus_status status = bui_wire_encode(type, body, &bytes, err);
    if (status == BUS_OK)
        status = schema_of(type, &schema, &own, err);
    if (status == BUS_OK)
        status = bui_json_write_framed(schema, bytes.data, bytes.len, &text, err);
    char *taken = status == BUS_OK ? bui_buf_take(&text) : NULL;
    if (taken)
        *json = taken;
    else if (status == BUS_OK)
        status = bui_fail_nomem(err);
    if (own)
        bui_schema_free(schema);
    bui_buf_free(&text);
    bui_buf_free(&bytes);
    return status;
}

bus_status bus_from_json(const bus_type *type, bus_string json, const void **body, bus_error *err)
{
    bui_buf bytes;
    bui_schema *schema = NULL;
    bool own = false;
    bui_buf_init(&bytes, BUI_PUBLIC_BYTES);
    bus_status status = schema_of(type, &schema, &own, err);
    if (status == BUS_OK)
        status = bui_json_read_framed(schema, json.at ? json.at : "", json.len, &bytes, err);
    if (status == BUS_OK)
        status = bui_body_own(type, bytes.data, bytes.len, true, body, err);
    if (own)
        bui_schema_free(schema);
    bui_buf_free(&bytes);
    return status;
}
