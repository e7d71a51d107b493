/* SPDX-License-Identifier: MIT
 * JSON write: Avro bytes as JSON, by the schema alone. The bytes are hostile. */
#include "codec/json.h"

#include "codec/json_logical.h"
#include "codec/reader.h"
#include "codec/uuid_text.h"
#include "codec/wire.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* What a body may grow to: every byte of it can become six, and an int of one byte a name of any length. */
#define TEXT_MAX_LEN (256u << 20)

typedef struct writer {
    bus_reader in;
    bui_buf *out;
    size_t start; /* of what is written, in out */
    bui_json_form form;
    unsigned depth;
    bui_fault fault;
} writer;

static bool write_value(writer *w, const bui_node *node);

/* Asked after each item, so that a hostile body cannot fill the memory. */
static bool fits(writer *w)
{
    if (!bui_buf_ok(w->out))
        return w->out->over ? bui_fault_set(&w->fault, BUS_TOO_BIG, "the JSON is over %zu bytes", w->out->limit)
                            : bui_fault_nomem(&w->fault);
    if (w->out->len - w->start > TEXT_MAX_LEN)
        return bui_fault_set(&w->fault, BUS_TOO_BIG, "the JSON is over %u bytes", TEXT_MAX_LEN);
    return true;
}

/* One character, U+0000 to U+00FF, a byte. */
static void write_bytes(bui_buf *out, const uint8_t *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    bui_buf_byte(out, '"');
    for (size_t i = 0; i < len; i++) {
        uint8_t byte = bytes[i];
        if (byte < 0x20 || byte >= 0x7F) {
            const char escape[] = { '\\', 'u', '0', '0', digits[byte >> 4], digits[byte & 15] };
            bui_buf_add(out, escape, sizeof escape);
        } else {
            if (byte == '"' || byte == '\\')
                bui_buf_byte(out, '\\');
            bui_buf_byte(out, byte);
        }
    }
    bui_buf_byte(out, '"');
}

/* The shortest text that reads back as the same number. A number that looks whole gets ".0", so that it stays a double. */
static void write_number(bui_buf *out, double value, bool narrow)
{
    char text[40];
    if (isnan(value) || isinf(value)) {
        bui_buf_text(out, isnan(value) ? "\"NaN\"" : value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
        return;
    }
    for (int digits = narrow ? 6 : 15;; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (digits == 17 || (narrow ? strtof(text, NULL) == (float)value : strtod(text, NULL) == value))
            break;
    }
    bool whole = true;
    for (char *at = text; *at; at++) {
        if (*at == ',') /* the program's locale */
            *at = '.';
        if (*at == '.' || *at == 'e')
            whole = false;
    }
    bui_buf_text(out, text);
    if (whole)
        bui_buf_text(out, ".0");
}

static bool enter(writer *w)
{
    if (++w->depth > BUI_DEPTH_MAX)
        return bui_reader_fail(&w->in, "nested deeper than %d", BUI_DEPTH_MAX);
    return true;
}

static bool write_record(writer *w, const bui_node *node)
{
    if (!enter(w))
        return false;
    bui_buf_byte(w->out, '{');
    for (size_t i = 0; i < node->count; i++) {
        bui_buf_text(w->out, i > 0 ? ",\"" : "\"");
        bui_buf_text(w->out, node->fields[i].name);
        bui_buf_text(w->out, "\":");
        if (!write_value(w, node->fields[i].type))
            return bui_fault_field(&w->fault, node->fields[i].name);
    }
    bui_buf_byte(w->out, '}');
    w->depth--;
    return fits(w);
}

static bool write_item(writer *w, const bui_node *node, bool first)
{
    const char *key;
    size_t len;
    if (!first)
        bui_buf_byte(w->out, ',');
    if (node->kind == BUS_KIND_MAP) {
        if (!bui_read_string(&w->in, &key, &len))
            return false;
        bui_buf_json(w->out, key, len);
        bui_buf_byte(w->out, ':');
    }
    return write_value(w, node->item) && fits(w);
}

static bool write_blocks(writer *w, const bui_node *node)
{
    bool map = node->kind == BUS_KIND_MAP;
    size_t count, index = 0;
    const uint8_t *ends;
    if (!enter(w))
        return false;
    bui_buf_byte(w->out, map ? '{' : '[');
    do {
        if (!bui_read_block(&w->in, node->item->least + (map ? 1 : 0), &count, &ends))
            return false;
        for (size_t i = 0; i < count; i++, index++)
            if (!write_item(w, node, index == 0))
                return bui_fault_index(&w->fault, index);
        if (!bui_read_block_end(&w->in, ends))
            return false;
    } while (count > 0);
    bui_buf_byte(w->out, map ? '}' : ']');
    w->depth--;
    return true;
}

/* What a branch looks like in the plain form: two that look the same must be told apart. Objects differ by their members. */
static char looks_of(const bui_node *node)
{
    switch (node->kind) {
    case BUS_KIND_NULL: return '0';
    case BUS_KIND_BOOLEAN: return 'b';
    case BUS_KIND_INT:
    case BUS_KIND_LONG: return node->logical != BUS_LOGICAL_NONE ? '"' : 'i';
    case BUS_KIND_FLOAT:
    case BUS_KIND_DOUBLE: return 'r';
    case BUS_KIND_BYTES:
    case BUS_KIND_STRING:
    case BUS_KIND_ENUM:
    case BUS_KIND_FIXED: return '"';
    case BUS_KIND_ARRAY: return '[';
    default: return '{';
    }
}

/* What the value at hand looks like: some are written otherwise than their type. What cannot be read here fails later. */
static char looks_now(const writer *w, const bui_node *node)
{
    bui_fault none = { .status = BUS_OK };
    bus_reader in = w->in;
    char text[BUI_LOGICAL_TEXT];
    const uint8_t *raw;
    int64_t value = 0;
    in.fault = &none;
    switch (node->kind) {
    case BUS_KIND_INT:
    case BUS_KIND_LONG:
        if (node->logical == BUS_LOGICAL_NONE || !bui_read_long(&in, &value) || bui_logical_write(node->logical, value, text))
            break;
        return 'i';
    case BUS_KIND_FLOAT: /* all ones in the exponent: no number */
        return bui_read_raw(&in, 4, &raw) && (bui_load_le(raw, 4) & 0x7F800000u) == 0x7F800000u ? '"' : 'r';
    case BUS_KIND_DOUBLE: return bui_read_raw(&in, 8, &raw) && (bui_load_le(raw, 8) >> 52 & 0x7FF) == 0x7FF ? '"' : 'r';
    default: break;
    }
    return looks_of(node);
}

/* Whether an object written as the one may be read as the other: a record has all its members, and may lack what has a default. */
static bool may_be_taken_for(const bui_node *object, const bui_node *other)
{
    size_t shared = 0;
    if (object->kind == BUS_KIND_MAP || other->kind == BUS_KIND_MAP)
        return true;
    for (size_t i = 0; i < other->count; i++) {
        bool found = false;
        for (size_t k = 0; k < object->count && !found; k++)
            found = strcmp(object->fields[k].name, other->fields[i].name) == 0;
        if (!found && !other->fields[i].default_value)
            return false;
        shared += found;
    }
    return shared == object->count;
}

/* Whether {"name": ...} would be taken for the wrapper of a branch. */
static bool names_branch(const bui_node *node, const char *name, size_t len)
{
    for (size_t i = 0; i < node->count; i++)
        if (strlen(node->fields[i].type->name) == len && memcmp(node->fields[i].type->name, name, len) == 0)
            return true;
    return false;
}

static bool looks_wrapped(const writer *w, const bui_node *node, const bui_node *object)
{
    bui_fault none = { .status = BUS_OK };
    bus_reader in = w->in;
    const uint8_t *ends;
    const char *key;
    size_t count, len;
    in.fault = &none;
    if (object->kind == BUS_KIND_RECORD)
        return object->count == 1 && names_branch(node, object->fields[0].name, strlen(object->fields[0].name));
    return bui_read_block(&in, object->item->least + 1, &count, &ends) && count == 1 && bui_read_string(&in, &key, &len) &&
           names_branch(node, key, len);
}

static bool is_wrapped(const writer *w, const bui_node *node, uint32_t branch)
{
    const bui_node *type = node->fields[branch].type;
    char looks = looks_of(type), now = looks_now(w, type);
    if (looks == '0')
        return false;
    if (w->form == BUI_JSON_AVRO || (looks == '{' && looks_wrapped(w, node, type)))
        return true;
    for (size_t i = 0; i < node->count; i++) {
        char other = looks_of(node->fields[i].type);
        if (i != branch && (other == looks || other == now) && (looks != '{' || may_be_taken_for(type, node->fields[i].type)))
            return true;
    }
    return false;
}

static bool write_union(writer *w, const bui_node *node)
{
    uint32_t branch;
    if (!bui_read_index(&w->in, "a union's branch", node->count, &branch))
        return false;
    const bui_node *type = node->fields[branch].type;
    bool wrapped = is_wrapped(w, node, branch);
    if (wrapped) {
        bui_buf_text(w->out, "{\"");
        bui_buf_text(w->out, type->name);
        bui_buf_text(w->out, "\":");
    }
    if (!write_value(w, type))
        return false;
    if (wrapped)
        bui_buf_byte(w->out, '}');
    return true;
}

static bool write_real(writer *w, bool narrow)
{
    const uint8_t *at;
    if (!bui_read_raw(&w->in, narrow ? 4 : 8, &at))
        return false;
    if (narrow) {
        uint32_t bits = (uint32_t)bui_load_le(at, 4);
        float value;
        memcpy(&value, &bits, sizeof value);
        write_number(w->out, (double)value, true);
    } else {
        uint64_t bits = bui_load_le(at, 8);
        double value;
        memcpy(&value, &bits, sizeof value);
        write_number(w->out, value, false);
    }
    return true;
}

static void quote(bui_buf *out, const char *text)
{
    bui_buf_byte(out, '"');
    bui_buf_text(out, text);
    bui_buf_byte(out, '"');
}

static bool write_integer(writer *w, const bui_node *node)
{
    int64_t value = 0;
    int32_t small = 0;
    char text[BUI_LOGICAL_TEXT];
    bool narrow = node->kind == BUS_KIND_INT;
    if (narrow ? !bui_read_int(&w->in, &small) : !bui_read_long(&w->in, &value))
        return false;
    value = narrow ? small : value;
    if (w->form == BUI_JSON_PLAIN && bui_logical_write(node->logical, value, text))
        quote(w->out, text);
    else
        bui_buf_printf(w->out, "%" PRId64, value);
    return true;
}

/* Bytes and fixed, as what they mean if the form is for people. */
static void write_raw(writer *w, const bui_node *node, const uint8_t *bytes, size_t len)
{
    char text[BUI_LOGICAL_TEXT] = "";
    bool plain = w->form == BUI_JSON_PLAIN;
    if (plain && node->logical == BUS_LOGICAL_DECIMAL && len <= BUI_DECIMAL_BYTES && node->scale <= BUI_DECIMAL_BYTES) {
        bui_buf_byte(w->out, '"');
        bui_decimal_write(bytes, len, node->scale, w->out);
        bui_buf_byte(w->out, '"');
    } else if (plain && node->logical == BUS_LOGICAL_UUID) {
        bui_uuid_to_text(bytes, text);
        quote(w->out, text);
    } else if (plain && node->logical == BUS_LOGICAL_DURATION) {
        bui_duration_write(bytes, text);
        quote(w->out, text);
    } else {
        write_bytes(w->out, bytes, len);
    }
}

static bool write_text(writer *w, const bui_node *node)
{
    const void *bytes;
    const char *text;
    const uint8_t *raw;
    size_t len;
    uint32_t symbol;
    switch (node->kind) {
    case BUS_KIND_STRING:
        if (!bui_read_string(&w->in, &text, &len))
            return false;
        bui_buf_json(w->out, text, len);
        return true;
    case BUS_KIND_BYTES:
        if (!bui_read_bytes(&w->in, &bytes, &len))
            return false;
        write_raw(w, node, bytes, len);
        return true;
    case BUS_KIND_FIXED:
        if (!bui_read_raw(&w->in, node->count, &raw))
            return false;
        write_raw(w, node, raw, node->count);
        return true;
    default:
        if (!bui_read_index(&w->in, "an enum's symbol", node->count, &symbol))
            return false;
        quote(w->out, node->symbols[symbol]);
        return true;
    }
}

static bool write_value(writer *w, const bui_node *node)
{
    bool boolean;
    switch (node->kind) {
    case BUS_KIND_NULL: bui_buf_text(w->out, "null"); return true;
    case BUS_KIND_BOOLEAN:
        if (!bui_read_boolean(&w->in, &boolean))
            return false;
        bui_buf_text(w->out, boolean ? "true" : "false");
        return true;
    case BUS_KIND_INT:
    case BUS_KIND_LONG: return write_integer(w, node);
    case BUS_KIND_FLOAT: return write_real(w, true);
    case BUS_KIND_DOUBLE: return write_real(w, false);
    case BUS_KIND_BYTES:
    case BUS_KIND_STRING:
    case BUS_KIND_ENUM:
    case BUS_KIND_FIXED: return write_text(w, node);
    case BUS_KIND_RECORD: return write_record(w, node);
    case BUS_KIND_ARRAY:
    case BUS_KIND_MAP: return write_blocks(w, node);
    case BUS_KIND_UNION: return write_union(w, node);
    default: return bui_fault_set(&w->fault, BUS_BUG, "a schema's node of kind %d", (int)node->kind);
    }
}

static bus_status write_from(const bui_schema *schema, bui_json_form form, const uint8_t *bytes, size_t len, size_t skip,
                             bui_buf *out, bus_error *err)
{
    writer w;
    w.in = (bus_reader){ .start = bytes, .at = bytes + skip, .end = bytes + len, .fault = &w.fault };
    w.out = out;
    w.start = out->len;
    w.form = form;
    w.depth = 0;
    w.fault.status = BUS_OK;
    if (write_value(&w, bui_schema_root(schema)) && fits(&w)) {
        if (w.in.at == w.in.end)
            return BUS_OK;
        (void)bui_reader_fail(&w.in, "%zu bytes are left over", bui_reader_left(&w.in));
    }
    out->len = w.start;
    return bui_fault_report(&w.fault, bui_schema_name(schema), err);
}

bus_status bui_json_write_as(bui_json_form form, const bui_schema *schema, const void *body, size_t len, bui_buf *out,
                             bus_error *err)
{
    return write_from(schema, form, body ? body : "", body ? len : 0, 0, out, err);
}

bus_status bui_json_write(const bui_schema *schema, const void *body, size_t len, bui_buf *out, bus_error *err)
{
    return bui_json_write_as(BUI_JSON_PLAIN, schema, body, len, out, err);
}

bus_status bui_json_write_framed(const bui_schema *schema, const void *bytes, size_t len, bui_buf *out, bus_error *err)
{
    uint64_t fingerprint;
    if (!bytes || !bui_wire_fingerprint(bytes, len, &fingerprint))
        return bui_fail(err, BUS_CORRUPT, "%zu bytes that are not in Avro's single-object encoding", len);
    if (fingerprint != bui_schema_fingerprint(schema))
        return bui_fail(err, BUS_MISSING, "written with schema %016" PRIx64 "; %s here is %016" PRIx64, fingerprint,
                        bui_schema_name(schema), bui_schema_fingerprint(schema));
    return write_from(schema, BUI_JSON_PLAIN, bytes, len, BUI_WIRE_FRAMING, out, err);
}
