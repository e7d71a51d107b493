/* SPDX-License-Identifier: MIT
 * JSON read: JSON values into Avro bytes, by the schema alone. Takes Avro's JSON encoding and the plain form. */
#include "codec/json.h"

#include "codec/json_reader.h"
#include "codec/json_value.h"
#include "codec/utf8.h"
#include "codec/wire.h"

#include <string.h>

#define STEPS_MAX 4000000        /* values looked at for one body: trying union branches may look several times */
#define DEFAULT_STEPS_MAX 100000 /* the same for all defaults of one schema */

static void begin(bui_json_reader *r, bui_map *fits, bui_buf *out, size_t steps, size_t steps_max)
{
    bui_map_init(fits);
    r->fits = fits;
    r->out = out;
    r->steps = steps;
    r->steps_max = steps_max;
    r->nothing = 0;
    r->depth = 0;
    r->in_default = out == NULL;
    r->avro = false;
    r->trying = r->strict = false;
    r->fault.status = BUS_OK;
}

bus_status bui_json_check_default(const bui_node *type, const json_t *value, size_t *steps, bus_error *err)
{
    bui_json_reader r;
    bui_map fits;
    begin(&r, &fits, NULL, *steps, DEFAULT_STEPS_MAX);
    bool ok = bui_json_reader_value(&r, type, value);
    bui_map_free(&fits, NULL);
    *steps = r.steps;
    return ok ? BUS_OK : bui_fault_report(&r.fault, type->name, err);
}

bus_status bui_json_encode_default(const bui_node *type, const json_t *value, bui_buf *out, bus_error *err)
{
    bui_json_reader r;
    bui_map fits;
    size_t before = out->len;
    begin(&r, &fits, out, 0, DEFAULT_STEPS_MAX);
    r.in_default = true;
    bool ok = bui_json_reader_value(&r, type, value);
    bui_map_free(&fits, NULL);
    if (ok)
        return BUS_OK;
    out->len = before;
    return bui_fault_report(&r.fault, type->name, err);
}

static bus_status read_into(bui_json_form form, const bui_schema *schema, const json_t *value, bool framed, bui_buf *out,
                            bus_error *err)
{
    bui_json_reader r;
    uint8_t framing[BUI_WIRE_FRAMING];
    bui_map fits;
    size_t before = out->len;
    begin(&r, &fits, out, 0, STEPS_MAX);
    r.avro = form == BUI_JSON_AVRO;
    r.strict = true;
    bui_wire_frame(bui_schema_fingerprint(schema), framing);
    bool ok = (!framed || bui_json_put(&r, framing, sizeof framing)) && bui_json_reader_value(&r, bui_schema_root(schema), value);
    bui_map_free(&fits, NULL);
    if (ok)
        return BUS_OK;
    out->len = before;
    return bui_fault_report(&r.fault, bui_schema_name(schema), err);
}

static bus_status parse_into(bui_json_form form, const bui_schema *schema, const char *json, size_t len, bool framed,
                             bui_buf *out, bus_error *err)
{
    json_error_t where;
    const char *mark = bui_utf8_mark(json, len);
    if (mark)
        return bui_fail(err, BUS_INVALID, "%s", mark);
    json_t *value = json_loadb(json, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &where);
    if (!value && json_error_code(&where) == json_error_out_of_memory)
        return bui_fail_nomem(err);
    if (!value)
        return bui_fail(err, BUS_INVALID, "line %d, column %d: %s", where.line, where.column, where.text);
    bus_status status = read_into(form, schema, value, framed, out, err);
    json_decref(value);
    return status;
}

bus_status bui_json_read_as(bui_json_form form, const bui_schema *schema, const char *json, size_t len, bui_buf *out,
                            bus_error *err)
{
    return parse_into(form, schema, json, len, false, out, err);
}

bus_status bui_json_read(const bui_schema *schema, const char *json, size_t len, bui_buf *out, bus_error *err)
{
    return parse_into(BUI_JSON_PLAIN, schema, json, len, false, out, err);
}

bus_status bui_json_read_framed(const bui_schema *schema, const char *json, size_t len, bui_buf *out, bus_error *err)
{
    return parse_into(BUI_JSON_PLAIN, schema, json, len, true, out, err);
}
