/* SPDX-License-Identifier: MIT
 * JSON read: JSON values into Avro bytes, by the schema alone. Takes Avro's JSON encoding and the plain form. */
#include "codec/json.h"

#include "codec/json_reader.h"
#include "codec/json_value.h"
#include "codec/utf8.h"
#include "codec/wire.h"

#include <string.h>

#define STEPS_MAX 4000000         /* values looked at for one body: trying union branches may look several times */
#define PRESET_STEPS_MAX 100000   /* the same for all defaults of one schema */

static void begin(bus_json_reader *r, bus_map *fits, bus_buf *out, size_t steps, size_t steps_max)
{
    bus_map_init(fits);
    r->fits = fits;
    r->out = out;
    r->steps = steps;
    r->steps_max = steps_max;
    r->nothing = 0;
    r->depth = 0;
    r->preset = out == NULL;
    r->avro = false;
    r->trying = r->strict = false;
    r->fault.status = BUS_OK;
}

bus_status bus_json_check_preset(const bus_node *type, const json_t *value, size_t *steps, bus_error *err)
{
    bus_json_reader r;
    bus_map fits;
    begin(&r, &fits, NULL, *steps, PRESET_STEPS_MAX);
    bool ok = bus_json_reader_value(&r, type, value);
    bus_map_free(&fits, NULL);
    *steps = r.steps;
    return ok ? BUS_OK : bus_fault_report(&r.fault, type->name, err);
}

bus_status bus_json_encode_preset(const bus_node *type, const json_t *value, bus_buf *out, bus_error *err)
{
    bus_json_reader r;
    bus_map fits;
    size_t before = out->len;
    begin(&r, &fits, out, 0, PRESET_STEPS_MAX);
    r.preset = true;
    bool ok = bus_json_reader_value(&r, type, value);
    bus_map_free(&fits, NULL);
    if (ok)
        return BUS_OK;
    out->len = before;
    return bus_fault_report(&r.fault, type->name, err);
}

static bus_status read_into(bus_json_form form, const bus_schema *schema, const json_t *value, bool framed, bus_buf *out, bus_error *err)
{
    bus_json_reader r;
    uint8_t framing[BUS_WIRE_FRAMING];
    bus_map fits;
    size_t before = out->len;
    begin(&r, &fits, out, 0, STEPS_MAX);
    r.avro = form == BUS_JSON_AVRO;
    r.strict = true;
    bus_wire_frame(bus_schema_fingerprint(schema), framing);
    bool ok = (!framed || bus_json_put(&r, framing, sizeof framing)) && bus_json_reader_value(&r, bus_schema_root(schema), value);
    bus_map_free(&fits, NULL);
    if (ok)
        return BUS_OK;
    out->len = before;
    return bus_fault_report(&r.fault, bus_schema_name(schema), err);
}

static bus_status parse_into(bus_json_form form, const bus_schema *schema, const char *json, size_t len, bool framed, bus_buf *out, bus_error *err)
{
    json_error_t where;
    const char *mark = bus_utf8_mark(json, len);
    if (mark)
        return bus_fail(err, BUS_INVALID, "%s", mark);
    json_t *value = json_loadb(json, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &where);
    if (!value && json_error_code(&where) == json_error_out_of_memory)
        return bus_fail_nomem(err);
    if (!value)
        return bus_fail(err, BUS_INVALID, "line %d, column %d: %s", where.line, where.column, where.text);
    bus_status status = read_into(form, schema, value, framed, out, err);
    json_decref(value);
    return status;
}

bus_status bus_json_read_as(bus_json_form form, const bus_schema *schema, const char *json, size_t len, bus_buf *out,
                            bus_error *err)
{
    return parse_into(form, schema, json, len, false, out, err);
}

bus_status bus_json_read(const bus_schema *schema, const char *json, size_t len, bus_buf *out, bus_error *err)
{
    return parse_into(BUS_JSON_PLAIN, schema, json, len, false, out, err);
}

bus_status bus_json_read_framed(const bus_schema *schema, const char *json, size_t len, bus_buf *out, bus_error *err)
{
    return parse_into(BUS_JSON_PLAIN, schema, json, len, true, out, err);
}
