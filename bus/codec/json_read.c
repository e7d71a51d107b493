/* SPDX-License-Identifier: MIT
 * JSON read: JSON values into Avro bytes, by the schema alone. Takes Avro's JSON encoding and the plain form. */
#include "codec/json.h"

#include "codec/json_reader.h"
#include "codec/json_value.h"
#include "codec/reader.h"
#include "codec/utf8.h"
#include "codec/wire.h"

#include <string.h>

#define STEPS_MAX 4000000         /* values looked at for one body: trying union branches may look several times */
#define PRESET_STEPS_MAX 100000   /* the same for all defaults of one schema */

bool bus_json_enter(bus_json_reader *r)
{
    if (++r->depth > BUS_DEPTH_MAX)
        return bus_fault_set(&r->fault, BUS_INVALID, "nested deeper than %d", BUS_DEPTH_MAX);
    return true;
}

/* Says which member of the object the schema does not know. */
static bool unknown_member(bus_json_reader *r, const bus_node *node, const json_t *json)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)json, name, value) {
        bool known = false;
        for (size_t i = 0; i < node->count && !known; i++)
            known = strcmp(node->fields[i].name, name) == 0;
        if (!known)
            return bus_fault_set(&r->fault, BUS_INVALID, "%s has no field \"%.60s\"", node->name, name);
    }
    return true;
}

static bool read_field(bus_json_reader *r, const bus_node_field *field, const json_t *value)
{
    bool preset = r->preset;
    if (!value && !field->preset)
        return bus_fault_set(&r->fault, BUS_INVALID, "the field is missing and has no default");
    r->preset = preset || !value;
    if (!bus_json_reader_value(r, field->type, value ? value : field->preset))
        return false;
    r->preset = preset;
    return true;
}

static bool read_record(bus_json_reader *r, const bus_node *node, const json_t *json)
{
    size_t given = 0;
    if (!json_is_object(json))
        return bus_json_unfit(r, node, json);
    if (!bus_json_enter(r))
        return false;
    for (size_t i = 0; i < node->count; i++) {
        const json_t *value = json_object_get(json, node->fields[i].name);
        given += value != NULL;
        if (!read_field(r, &node->fields[i], value))
            return bus_fault_field(&r->fault, node->fields[i].name);
    }
    r->depth--;
    return given == json_object_size(json) || unknown_member(r, node, json);
}

static bool read_array(bus_json_reader *r, const bus_node *node, const json_t *json)
{
    size_t count = json_array_size(json);
    if (!json_is_array(json))
        return bus_json_unfit(r, node, json);
    if (node->item->least == 0 && count > BUS_NOTHING_MAX - r->nothing)
        return bus_fault_set(&r->fault, BUS_INVALID, "%zu items that take no bytes; a message may hold %d", count, BUS_NOTHING_MAX);
    r->nothing += node->item->least == 0 ? count : 0;
    if (!bus_json_enter(r) || (count > 0 && !bus_json_put_long(r, (int64_t)count)))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!bus_json_reader_value(r, node->item, json_array_get(json, i)))
            return bus_fault_index(&r->fault, i);
    r->depth--;
    return bus_json_put_long(r, 0);
}

static bool read_map(bus_json_reader *r, const bus_node *node, const json_t *json)
{
    size_t count = json_object_size(json), i = 0;
    if (!json_is_object(json))
        return bus_json_unfit(r, node, json);
    if (!bus_json_enter(r) || (count > 0 && !bus_json_put_long(r, (int64_t)count)))
        return false;
    /* jansson keeps the order in which the members were written. */
    json_t *object = (json_t *)(uintptr_t)json;
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at), i++) {
        const char *key = json_object_iter_key(at);
        size_t len = json_object_iter_key_len(at);
        if (!bus_json_put_long(r, (int64_t)len) || !bus_json_put(r, key, len) || !bus_json_reader_value(r, node->item, json_object_iter_value(at)))
            return bus_fault_index(&r->fault, i);
    }
    r->depth--;
    return bus_json_put_long(r, 0);
}

/* ---- any value */

bool bus_json_reader_value(bus_json_reader *r, const bus_node *node, const json_t *json)
{
    if (++r->steps > r->steps_max)
        return bus_fault_set(&r->fault, BUS_TOO_BIG, "more than %zu values", r->steps_max);
    switch (node->kind) {
    case BUS_KIND_RECORD: return read_record(r, node, json);
    case BUS_KIND_ARRAY: return read_array(r, node, json);
    case BUS_KIND_MAP: return read_map(r, node, json);
    case BUS_KIND_UNION: return bus_json_reader_union(r, node, json);
    default: return bus_json_reader_scalar(r, node, json);
    }
}

/* ---- entry points */

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
