/* SPDX-License-Identifier: MIT
 * JSON read: JSON values into Avro bytes, by the schema alone. Takes Avro's JSON encoding and the plain form. */
#include "codec/json.h"

#include "base/map.h"
#include "codec/fault.h"
#include "codec/json_logical.h"
#include "codec/json_value.h"
#include "codec/reader.h"
#include "codec/uuid_text.h"
#include "codec/varint.h"
#include "codec/wire.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>

#define STEPS_MAX 4000000         /* values looked at for one body: trying union branches may look several times */
#define PRESET_STEPS_MAX 100000   /* the same for all defaults of one schema */

typedef struct reader {
    bus_buf *out;        /* NULL: only look */
    size_t steps, steps_max;
    size_t nothing;
    unsigned depth;
    bool preset;         /* reading a default: unions are never wrapped, logical types are their base type */
    bool avro;           /* reading Avro's JSON encoding: so they are here */
    bus_map *fits;       /* (type, value) to whether it fits: else objects in unions in objects would be tried again and again */
    bus_fault fault;
} reader;

static bool read_value(reader *r, const bus_node *node, const json_t *json);

/* ---- output */

static bool put(reader *r, const void *bytes, size_t len)
{
    if (!r->out || len == 0)
        return true;
    bus_buf_add(r->out, bytes, len);
    if (bus_buf_ok(r->out))
        return true;
    return r->out->over ? bus_fault_set(&r->fault, BUS_TOO_BIG, "the body is over %zu bytes", r->out->limit)
                        : bus_fault_nomem(&r->fault);
}

static bool put_long(reader *r, int64_t value)
{
    uint8_t bytes[BUS_VARINT_MAX];
    return put(r, bytes, (size_t)(bus_varint_write(bytes, value) - bytes));
}

static bool put_le(reader *r, uint64_t value, size_t n)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < n; i++, value >>= 8)
        bytes[i] = (uint8_t)value;
    return put(r, bytes, n);
}

/* ---- scalars */

static const char *kind_of(const json_t *json)
{
    static const char *const names[] = { "an object", "an array", "a string", "an integer", "a number", "true", "false", "null" };
    return names[json_typeof(json)];
}

static bool unfit(reader *r, const bus_node *node, const json_t *json)
{
    return bus_fault_set(&r->fault, BUS_INVALID, "%s where the schema has %s", kind_of(json), node->name);
}

/* The next character as a byte; false above U+00FF. jansson gives well-formed UTF-8. */
static bool next_byte(const char **at, uint8_t *out)
{
    uint8_t first = (uint8_t)**at;
    if (first < 0x80) {
        *out = first;
        *at += 1;
        return true;
    }
    if (first > 0xC3)
        return false;
    *out = (uint8_t)(first << 6 | ((uint8_t)(*at)[1] & 0x3F));
    *at += 2;
    return true;
}

/* How many bytes the string stands for; false if a character is no byte. */
static bool count_bytes(const json_t *json, size_t *count)
{
    const char *at = json_string_value(json), *end = at + json_string_length(json);
    uint8_t byte;
    for (*count = 0; at < end; ++*count)
        if (!next_byte(&at, &byte))
            return false;
    return true;
}

static bool readable_logicals(const reader *r)
{
    return !r->preset && !r->avro;
}

/* The bytes of a logical type's text, of which *len are filled; false: it is no such text. A decimal may be a whole number. */
static bool meant_bytes(const bus_node *node, const json_t *json, uint8_t out[BUS_DECIMAL_BYTES], size_t *len)
{
    char number[32];
    const char *text = json_is_integer(json) ? number : json_string_value(json);
    size_t text_len = json_string_length(json);
    if (json_is_integer(json))
        text_len = (size_t)snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(json));
    if (!text || (json_is_integer(json) && node->logical != BUS_LOGICAL_DECIMAL))
        return false;
    *len = node->count;
    if (node->logical == BUS_LOGICAL_UUID && node->kind == BUS_KIND_FIXED)
        return bus_uuid_from_text(text, text_len, out);
    if (node->logical == BUS_LOGICAL_DURATION)
        return bus_duration_read(text, text_len, out);
    if (node->logical != BUS_LOGICAL_DECIMAL || node->scale > BUS_DECIMAL_BYTES || !bus_decimal_read(text, text_len, node->scale, out, len))
        return false;
    if (node->kind == BUS_KIND_BYTES)
        return true;
    if (*len > node->count || node->count > BUS_DECIMAL_BYTES)
        return false;
    memmove(out + node->count - *len, out, *len);
    memset(out, out[node->count - *len] & 0x80 ? 0xFF : 0, node->count - *len);
    *len = node->count;
    return true;
}

/* Decimals in digits are not taken for bytes: "12" would be both. */
static bool must_be_digits(const reader *r, const bus_node *node, const json_t *json)
{
    return readable_logicals(r) && node->logical == BUS_LOGICAL_DECIMAL && node->scale <= BUS_DECIMAL_BYTES &&
           json_string_length(json) <= BUS_DECIMAL_BYTES;
}

static bool read_bytes(reader *r, const bus_node *node, const json_t *json)
{
    uint8_t meant[BUS_DECIMAL_BYTES];
    size_t count;
    if (readable_logicals(r) && meant_bytes(node, json, meant, &count))
        return (node->kind == BUS_KIND_FIXED || put_long(r, (int64_t)count)) && put(r, meant, count);
    if (!json_is_string(json))
        return unfit(r, node, json);
    if (must_be_digits(r, node, json))
        return bus_fault_set(&r->fault, BUS_INVALID, "\"%.40s\" is no decimal with at most %d digits after the point that fits: "
                             "write a string such as \"-12.50\"", json_string_value(json), node->scale);
    if (!count_bytes(json, &count))
        return bus_fault_set(&r->fault, BUS_INVALID, "bytes are written one character a byte, \\u0000 to \\u00ff");
    if (node->kind == BUS_KIND_FIXED && count != node->count)
        return bus_fault_set(&r->fault, BUS_INVALID, "%zu bytes where %s has %zu", count, node->name, node->count);
    if (node->kind == BUS_KIND_BYTES && !put_long(r, (int64_t)count))
        return false;
    const char *at = json_string_value(json), *end = at + json_string_length(json);
    uint8_t chunk[256];
    while (at < end) {
        size_t n = 0;
        while (at < end && n < sizeof chunk)
            next_byte(&at, &chunk[n++]);
        if (!put(r, chunk, n))
            return false;
    }
    return true;
}

static int64_t find_symbol(const bus_node *node, const json_t *json)
{
    for (size_t i = 0; json_is_string(json) && i < node->count; i++)
        if (strcmp(node->symbols[i], json_string_value(json)) == 0)
            return (int64_t)i;
    return -1;
}

static bool read_enum(reader *r, const bus_node *node, const json_t *json)
{
    int64_t symbol = find_symbol(node, json);
    if (!json_is_string(json))
        return unfit(r, node, json);
    if (symbol < 0)
        return bus_fault_set(&r->fault, BUS_INVALID, "\"%.60s\" is no symbol of %s", json_string_value(json), node->name);
    return put_long(r, symbol);
}

static const char *logical_example(bus_logical logical)
{
    switch (logical) {
    case BUS_LOGICAL_DATE: return "date such as 2026-11-21";
    case BUS_LOGICAL_TIME_MILLIS:
    case BUS_LOGICAL_TIME_MICROS: return "time such as 13:07:59.042";
    case BUS_LOGICAL_TIMESTAMP_MILLIS:
    case BUS_LOGICAL_TIMESTAMP_MICROS: return "timestamp such as 2026-11-21T13:07:59.042Z";
    default: return "local timestamp such as 2026-11-21T13:07:59.042";
    }
}

static bool read_integer(reader *r, const bus_node *node, const json_t *json)
{
    json_int_t value = json_integer_value(json);
    int64_t meant;
    if (json_is_string(json) && readable_logicals(r) && node->logical != BUS_LOGICAL_NONE) {
        if (!bus_logical_read(node->logical, json_string_value(json), json_string_length(json), &meant))
            return bus_fault_set(&r->fault, BUS_INVALID, "\"%.60s\" is no %s", json_string_value(json), logical_example(node->logical));
        value = meant;
    } else if (!json_is_integer(json)) {
        return unfit(r, node, json);
    }
    if (node->kind == BUS_KIND_INT && (value < INT32_MIN || value > INT32_MAX))
        return bus_fault_set(&r->fault, BUS_INVALID, "%" JSON_INTEGER_FORMAT " does not fit an int of 32 bits", value);
    return put_long(r, value);
}

/* NaN and the infinities have no JSON number. */
static bool named_number(const json_t *json, double *out)
{
    static const struct { const char *name; double value; } names[] = {
        { "NaN", (double)NAN }, { "Infinity", (double)INFINITY }, { "-Infinity", -(double)INFINITY },
    };
    for (size_t i = 0; json_is_string(json) && i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i].name, json_string_value(json)) == 0) {
            *out = names[i].value;
            return true;
        }
    return false;
}

static bool read_real(reader *r, const bus_node *node, const json_t *json)
{
    double value;
    if (json_is_integer(json)) {
        json_int_t whole = json_integer_value(json);
        value = (double)whole;
        if (value >= 0x1p63 || (json_int_t)value != whole)
            return bus_fault_set(&r->fault, BUS_INVALID, "%" JSON_INTEGER_FORMAT " has more digits than a %s", whole, node->name);
    } else if (json_is_real(json)) {
        value = json_real_value(json);
    } else if (!named_number(json, &value)) {
        return unfit(r, node, json);
    }
    if (node->kind == BUS_KIND_DOUBLE) {
        uint64_t bits;
        memcpy(&bits, &value, sizeof bits);
        return put_le(r, bits, 8);
    }
    float narrow = (float)value;
    uint32_t bits;
    if (isinf(narrow) && !isinf(value))
        return bus_fault_set(&r->fault, BUS_INVALID, "%g is too large for a float", value);
    memcpy(&bits, &narrow, sizeof bits);
    return put_le(r, bits, 4);
}

static bool read_string(reader *r, const bus_node *node, const json_t *json)
{
    if (!json_is_string(json))
        return unfit(r, node, json);
    return put_long(r, (int64_t)json_string_length(json)) && put(r, json_string_value(json), json_string_length(json));
}

/* ---- containers */

static bool enter(reader *r)
{
    if (++r->depth > BUS_DEPTH_MAX)
        return bus_fault_set(&r->fault, BUS_INVALID, "nested deeper than %d", BUS_DEPTH_MAX);
    return true;
}

/* Says which member of the object the schema does not know. */
static bool unknown_member(reader *r, const bus_node *node, const json_t *json)
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

static bool read_field(reader *r, const bus_node_field *field, const json_t *value)
{
    bool preset = r->preset;
    if (!value && !field->preset)
        return bus_fault_set(&r->fault, BUS_INVALID, "the field is missing and has no default");
    r->preset = preset || !value;
    if (!read_value(r, field->type, value ? value : field->preset))
        return false;
    r->preset = preset;
    return true;
}

static bool read_record(reader *r, const bus_node *node, const json_t *json)
{
    size_t given = 0;
    if (!json_is_object(json))
        return unfit(r, node, json);
    if (!enter(r))
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

static bool read_array(reader *r, const bus_node *node, const json_t *json)
{
    size_t count = json_array_size(json);
    if (!json_is_array(json))
        return unfit(r, node, json);
    if (node->item->least == 0 && count > BUS_NOTHING_MAX - r->nothing)
        return bus_fault_set(&r->fault, BUS_INVALID, "%zu items that take no bytes; a message may hold %d", count, BUS_NOTHING_MAX);
    r->nothing += node->item->least == 0 ? count : 0;
    if (!enter(r) || (count > 0 && !put_long(r, (int64_t)count)))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!read_value(r, node->item, json_array_get(json, i)))
            return bus_fault_index(&r->fault, i);
    r->depth--;
    return put_long(r, 0);
}

static bool read_map(reader *r, const bus_node *node, const json_t *json)
{
    size_t count = json_object_size(json), i = 0;
    if (!json_is_object(json))
        return unfit(r, node, json);
    if (!enter(r) || (count > 0 && !put_long(r, (int64_t)count)))
        return false;
    /* jansson keeps the order in which the members were written. */
    json_t *object = (json_t *)(uintptr_t)json;
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at), i++) {
        const char *key = json_object_iter_key(at);
        size_t len = json_object_iter_key_len(at);
        if (!put_long(r, (int64_t)len) || !put(r, key, len) || !read_value(r, node->item, json_object_iter_value(at)))
            return bus_fault_index(&r->fault, i);
    }
    r->depth--;
    return put_long(r, 0);
}

/* ---- unions */

/* How well a plain value fits a branch by its looks: 0 not at all, 1 after conversion, 2 as a logical type's base type, 3 as it is. */
static int fitness(const reader *r, const bus_node *node, const json_t *json)
{
    size_t count;
    double number;
    int64_t whole;
    uint8_t meant[BUS_DECIMAL_BYTES];
    const int as_base = node->logical == BUS_LOGICAL_NONE ? 3 : 2;
    if (readable_logicals(r) && (node->kind == BUS_KIND_BYTES || node->kind == BUS_KIND_FIXED) && meant_bytes(node, json, meant, &count))
        return json_is_string(json) ? 3 : 1;
    if (json_is_string(json) && readable_logicals(r) && (node->kind == BUS_KIND_INT || node->kind == BUS_KIND_LONG))
        return bus_logical_read(node->logical, json_string_value(json), json_string_length(json), &whole) ? 3 : 0;
    if (json_is_string(json) && (node->kind == BUS_KIND_BYTES || node->kind == BUS_KIND_FIXED) && must_be_digits(r, node, json))
        return 0;
    switch (node->kind) {
    case BUS_KIND_NULL: return json_is_null(json) ? 3 : 0;
    case BUS_KIND_BOOLEAN: return json_is_boolean(json) ? 3 : 0;
    case BUS_KIND_INT:
        return json_is_integer(json) && json_integer_value(json) >= INT32_MIN && json_integer_value(json) <= INT32_MAX ? as_base : 0;
    case BUS_KIND_LONG: return json_is_integer(json) ? as_base : 0;
    case BUS_KIND_FLOAT:
    case BUS_KIND_DOUBLE: return json_is_real(json) ? 3 : json_is_integer(json) || named_number(json, &number) ? 1 : 0;
    case BUS_KIND_STRING: return json_is_string(json) ? 3 : 0;
    case BUS_KIND_BYTES: return json_is_string(json) && count_bytes(json, &count) ? 3 : 0;
    case BUS_KIND_FIXED: return json_is_string(json) && count_bytes(json, &count) && count == node->count ? 3 : 0;
    case BUS_KIND_ENUM: return find_symbol(node, json) >= 0 ? 3 : 0;
    case BUS_KIND_ARRAY: return json_is_array(json) ? 3 : 0;
    case BUS_KIND_RECORD:
    case BUS_KIND_MAP: return json_is_object(json) ? 3 : 0;
    default: return 0;
    }
}

/* Whether the value can be read as this branch; leaves no trace but the steps and what it has learnt. */
static bool would_fit(reader *r, const bus_node *node, const json_t *json)
{
    static const char yes, no;
    const struct { const void *node, *json; } key = { node, json };
    const void *known = bus_map_get(r->fits, &key, sizeof key);
    if (known)
        return known == &yes;
    reader attempt = *r;
    attempt.out = NULL;
    bool fit = read_value(&attempt, node, json);
    r->steps = attempt.steps;
    if (attempt.fault.status == BUS_NOMEM || !bus_map_put(r->fits, &key, sizeof key, (void *)(uintptr_t)(fit ? &yes : &no)))
        return bus_fault_nomem(&r->fault);
    return fit;
}

/* The branch of a plain value: the only one of the best fitness, objects being tried out. -1: none, -2: several. */
static int plain_branch(reader *r, const bus_node *node, const json_t *json)
{
    int best = 0, found = -1;
    size_t objects = 0;
    for (size_t i = 0; r->preset && i < node->count; i++) /* a default is never wrapped: the first branch that takes it */
        if (fitness(r, node->fields[i].type, json) > 0 && would_fit(r, node->fields[i].type, json))
            return (int)i;
    for (size_t i = 0; i < node->count && json_is_object(json); i++)
        objects += fitness(r, node->fields[i].type, json) > 0;
    for (size_t i = 0; i < node->count; i++) {
        const bus_node *branch = node->fields[i].type;
        int fit = fitness(r, branch, json);
        if (fit == 0 || fit < best || (objects > 1 && !would_fit(r, branch, json)))
            continue;
        found = fit > best ? (int)i : -2;
        best = fit;
    }
    return found;
}

/* The branch that {"name": value} names, if it is one; else -1. */
static int wrapped_branch(reader *r, const bus_node *node, const json_t *json, const json_t **inner)
{
    if (r->preset || json_object_size(json) != 1)
        return -1;
    void *at = json_object_iter((json_t *)(uintptr_t)json);
    const char *name = json_object_iter_key(at);
    bool rivals = false;
    int found = -1;
    for (size_t i = 0; i < node->count; i++) {
        const bus_node *branch = node->fields[i].type;
        if (strcmp(branch->name, name) == 0 && branch->kind != BUS_KIND_NULL)
            found = (int)i;
        rivals = rivals || branch->kind == BUS_KIND_RECORD || branch->kind == BUS_KIND_MAP;
    }
    *inner = json_object_iter_value(at);
    /* A plain record or map may happen to look like a wrapper: then only if what is inside fits as well. */
    if (found >= 0 && rivals && !would_fit(r, node->fields[found].type, *inner))
        return -1;
    return found;
}

static bool read_union(reader *r, const bus_node *node, const json_t *json)
{
    const json_t *inner = NULL;
    int branch = wrapped_branch(r, node, json, &inner);
    if (branch < 0) {
        inner = json;
        branch = plain_branch(r, node, json);
    }
    if (r->fault.status != BUS_OK) /* no memory to try the branches */
        return false;
    if (branch == -2)
        return bus_fault_set(&r->fault, BUS_INVALID, "%s that fits several branches of the union: write {\"<branch>\": value}",
                             kind_of(json));
    if (branch < 0)
        return bus_fault_set(&r->fault, BUS_INVALID, "%s that fits none of the union's %zu branches", kind_of(json), node->count);
    if (!enter(r) || !put_long(r, branch) || !read_value(r, node->fields[branch].type, inner))
        return false;
    r->depth--;
    return true;
}

static bool read_value(reader *r, const bus_node *node, const json_t *json)
{
    if (++r->steps > r->steps_max)
        return bus_fault_set(&r->fault, BUS_TOO_BIG, "more than %zu values", r->steps_max);
    switch (node->kind) {
    case BUS_KIND_NULL: return json_is_null(json) || unfit(r, node, json);
    case BUS_KIND_BOOLEAN: {
        uint8_t byte = json_is_true(json);
        return json_is_boolean(json) ? put(r, &byte, 1) : unfit(r, node, json);
    }
    case BUS_KIND_INT:
    case BUS_KIND_LONG: return read_integer(r, node, json);
    case BUS_KIND_FLOAT:
    case BUS_KIND_DOUBLE: return read_real(r, node, json);
    case BUS_KIND_STRING: return read_string(r, node, json);
    case BUS_KIND_BYTES:
    case BUS_KIND_FIXED: return read_bytes(r, node, json);
    case BUS_KIND_ENUM: return read_enum(r, node, json);
    case BUS_KIND_RECORD: return read_record(r, node, json);
    case BUS_KIND_ARRAY: return read_array(r, node, json);
    case BUS_KIND_MAP: return read_map(r, node, json);
    case BUS_KIND_UNION: return read_union(r, node, json);
    default: return bus_fault_set(&r->fault, BUS_BUG, "a schema's node of kind %d", (int)node->kind);
    }
}

/* ---- entry points */

static void begin(reader *r, bus_map *fits, bus_buf *out, size_t steps, size_t steps_max)
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
    r->fault.status = BUS_OK;
}

bus_status bus_json_check_preset(const bus_node *type, const json_t *value, size_t *steps, bus_error *err)
{
    reader r;
    bus_map fits;
    begin(&r, &fits, NULL, *steps, PRESET_STEPS_MAX);
    bool ok = read_value(&r, type, value);
    bus_map_free(&fits, NULL);
    *steps = r.steps;
    return ok ? BUS_OK : bus_fault_report(&r.fault, type->name, err);
}

bus_status bus_json_encode_preset(const bus_node *type, const json_t *value, bus_buf *out, bus_error *err)
{
    reader r;
    bus_map fits;
    size_t before = out->len;
    begin(&r, &fits, out, 0, PRESET_STEPS_MAX);
    r.preset = true;
    bool ok = read_value(&r, type, value);
    bus_map_free(&fits, NULL);
    if (ok)
        return BUS_OK;
    out->len = before;
    return bus_fault_report(&r.fault, type->name, err);
}

static bus_status read_into(bus_json_form form, const bus_schema *schema, const json_t *value, bool framed, bus_buf *out, bus_error *err)
{
    reader r;
    uint8_t framing[BUS_WIRE_FRAMING];
    bus_map fits;
    size_t before = out->len;
    begin(&r, &fits, out, 0, STEPS_MAX);
    r.avro = form == BUS_JSON_AVRO;
    bus_wire_frame(bus_schema_fingerprint(schema), framing);
    bool ok = (!framed || put(&r, framing, sizeof framing)) && read_value(&r, bus_schema_root(schema), value);
    bus_map_free(&fits, NULL);
    if (ok)
        return BUS_OK;
    out->len = before;
    return bus_fault_report(&r.fault, bus_schema_name(schema), err);
}

static bus_status parse_into(bus_json_form form, const bus_schema *schema, const char *json, size_t len, bool framed, bus_buf *out, bus_error *err)
{
    json_error_t where;
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
