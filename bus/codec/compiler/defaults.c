/* SPDX-License-Identifier: MIT
 * Defaults: the defaults of a record's fields as one constant struct, to start from. Written from the default's Avro bytes, so
 * that what is left out in a nested default is already filled and a union's branch is chosen as it is when read. */
#include "codec/compiler/compiler.h"

#include "codec/json_value.h"
#include "codec/reader.h"
#include "codec/uuid_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct writer {
    compiler *c;
    bui_buf *out;
    bus_reader in; /* our own bytes: reading them does not fail */
} writer;

static void value(writer *w, const use *t);

/* A record of another name space has its fields in its own unit. */
static const use *at_home(const compiler *c, const use *t)
{
    for (size_t i = 0; !t->parts && t->kind == BUS_KIND_RECORD && i < c->unit_count; i++)
        for (size_t j = 0; j < c->order[i]->count; j++)
            if (c->order[i]->types[j].node == t->node)
                return c->order[i]->types[j].use;
    return t;
}

static int64_t whole(writer *w)
{
    int64_t number = 0;
    bui_read_long(&w->in, &number);
    return number;
}

static void octets(writer *w, const uint8_t *at, size_t len)
{
    bui_buf_byte(w->out, '"');
    for (size_t i = 0; i < len; i++) {
        if (at[i] < ' ' || at[i] > '~' || at[i] == '?')
            bui_buf_printf(w->out, "\\%03o", at[i]);
        else
            bui_buf_printf(w->out, at[i] == '"' || at[i] == '\\' ? "\\%c" : "%c", at[i]);
    }
    bui_buf_byte(w->out, '"');
}

/* { "text", 4 } */
static void slice(writer *w)
{
    const void *at = "";
    size_t len = 0;
    bui_read_bytes(&w->in, &at, &len);
    bui_buf_text(w->out, "{ ");
    octets(w, at, len);
    bui_buf_printf(w->out, ", %zu }", len);
}

static void integer(writer *w, const use *t)
{
    int64_t number = whole(w);
    bool wrapped = t->node->logical != BUS_LOGICAL_NONE; /* bus_date and its kin */
    bui_buf_text(w->out, wrapped ? "{ " : "");
    if (number == INT64_MIN)
        bui_buf_text(w->out, "INT64_MIN");
    else if (t->node->kind == BUS_KIND_LONG)
        bui_buf_printf(w->out, "INT64_C(%" PRId64 ")", number);
    else if (number == INT32_MIN)
        bui_buf_text(w->out, "INT32_MIN");
    else
        bui_buf_printf(w->out, "%" PRId64, number);
    bui_buf_text(w->out, wrapped ? " }" : "");
}

static void real(writer *w, bool narrow)
{
    const uint8_t *at = NULL;
    char text[40];
    double number;
    if (!bui_read_raw(&w->in, narrow ? 4 : 8, &at))
        return;
    uint64_t bits = bui_load_le(at, narrow ? 4 : 8);
    uint32_t low = (uint32_t)bits;
    float single;
    memcpy(&single, &low, sizeof single);
    memcpy(&number, &bits, sizeof number);
    number = narrow ? (double)single : number;
    if (isnan(number) || isinf(number)) { /* without <math.h>, whose macros a member may be called like */
        const char *suffix = narrow ? "f" : "";
        if (isnan(number))
            bui_buf_printf(w->out, "__builtin_nan%s(\"\")", suffix);
        else
            bui_buf_printf(w->out, "%s__builtin_inf%s()", number < 0 ? "-" : "", suffix);
        return;
    }
    snprintf(text, sizeof text, "%.*g", narrow ? 9 : 17, number);
    bui_buf_printf(w->out, "%s%s%s", text, strpbrk(text, ".e") ? "" : ".0", narrow ? "F" : "");
}

static void bytes_of_array(writer *w, const uint8_t *at, size_t len)
{
    bui_buf_text(w->out, "{ {");
    for (size_t i = 0; i < len; i++)
        bui_buf_printf(w->out, "%s 0x%02x", i > 0 ? "," : "", at[i]);
    bui_buf_text(w->out, " } }");
}

/* Avro takes any bytes for a decimal's default; the struct has 64 bits and the schema so many digits. */
static void decimal(writer *w, const bui_node *node, const uint8_t *at, size_t len)
{
    const uint8_t sign = len > 0 && at[0] & 0x80 ? 0xFF : 0;
    uint64_t number = sign ? UINT64_MAX : 0, most = 1;
    bool fits = true;
    for (size_t i = 0; i < len; i++) {
        fits = fits && (len - i > 8 ? at[i] == sign : len - i < 8 || (at[i] & 0x80) == (sign & 0x80));
        number = number << 8 | at[i];
    }
    for (int32_t digits = 0; digits < node->precision; digits++)
        most *= 10;
    if (!fits || (sign ? -number : number) >= most)
        bui_fault_set(w->in.fault, BUS_SCHEMA, "%zu bytes that are not a decimal of at most %d digits", len,
                      (int)node->precision);
    bui_buf_printf(w->out, "{ INT64_C(%" PRId64 "), %d }", (int64_t)number, node->scale);
}

static void special(writer *w, const use *t)
{
    const void *text;
    const uint8_t *at = NULL;
    uint8_t uuid[16] = { 0 };
    size_t len = t->node->count;
    if (t->node->kind == BUS_KIND_FIXED) {
        if (!bui_read_raw(&w->in, len, &at))
            return;
    } else if (bui_read_bytes(&w->in, &text, &len)) {
        at = text;
    }
    if (!at)
        return;
    if (t->kind == BUS_KIND_UUID) {
        if (t->node->kind == BUS_KIND_STRING && !bui_uuid_from_text((const char *)at, len, uuid))
            bui_fault_set(w->in.fault, BUS_SCHEMA, "\"%.*s\" is not a UUID", len < 60 ? (int)len : 60, (const char *)at);
        bytes_of_array(w, t->node->kind == BUS_KIND_STRING ? uuid : at, 16);
    } else if (t->kind == BUS_KIND_DURATION) {
        bui_buf_printf(w->out, "{ %uu, %uu, %uu }", (unsigned)bui_load_le(at, 4), (unsigned)bui_load_le(at + 4, 4),
                       (unsigned)bui_load_le(at + 8, 4));
    } else {
        decimal(w, t->node, at, len);
    }
}

static void items(writer *w, const use *t)
{
    bool map = t->kind == BUS_KIND_MAP;
    const char *item = t->item->kind == BUS_KIND_POINTER ? t->item->stem : t->item->type;
    int64_t count = whole(w);
    if (count == 0) {
        bui_buf_text(w->out, "{ NULL, 0 }");
        return;
    }
    if (map)
        bui_buf_printf(w->out, "{ (const %s[]){ ", t->entry);
    else
        bui_buf_printf(w->out, "{ (const %s[]){ ", item);
    for (int64_t i = 0; i < count; i++) {
        bui_buf_text(w->out, i > 0 ? ", " : "");
        if (map) {
            bui_buf_text(w->out, "{ ");
            slice(w);
            bui_buf_text(w->out, ", ");
        }
        value(w, t->item);
        bui_buf_text(w->out, map ? " }" : "");
    }
    bui_buf_printf(w->out, " }, %" PRId64 " }", count);
    whole(w); /* the end */
}

static void pointed(writer *w, const use *record)
{
    bui_buf_printf(w->out, "&(const %s)", record->type);
    value(w, record);
}

static void choice(writer *w, const use *t)
{
    int64_t branch = whole(w);
    const bui_node *node = t->node->fields[branch].type;
    if (t->kind == BUS_KIND_UNION) {
        bui_buf_printf(w->out, "{ %s, { .%s = ", t->tags[branch], t->members[branch]);
        if (t->parts[branch]->kind == BUS_KIND_POINTER)
            pointed(w, t->parts[branch]->item);
        else
            value(w, t->parts[branch]);
        bui_buf_text(w->out, " } }");
    } else if (node->kind == BUS_KIND_NULL) {
        bui_buf_text(w->out, t->kind == BUS_KIND_POINTER ? "NULL" : "{ 0 }");
    } else if (t->kind == BUS_KIND_POINTER) {
        pointed(w, t->item);
    } else {
        bui_buf_text(w->out, "{ true, ");
        value(w, t->item);
        bui_buf_text(w->out, " }");
    }
}

static void record(writer *w, const use *t)
{
    t = at_home(w->c, t);
    bui_buf_text(w->out, t->node->count > 0 ? "{ " : "{ 0");
    for (size_t i = 0; i < t->node->count; i++) {
        bui_buf_printf(w->out, "%s.%s = ", i > 0 ? ", " : "", t->members[i]);
        value(w, t->parts[i]);
    }
    bui_buf_text(w->out, " }");
}

static void value(writer *w, const use *t)
{
    const uint8_t *at;
    bool flag = false;
    switch (t->kind) {
    case BUS_KIND_NULL: bui_buf_text(w->out, "{ 0 }"); break;
    case BUS_KIND_BOOLEAN:
        bui_read_boolean(&w->in, &flag);
        bui_buf_text(w->out, flag ? "true" : "false");
        break;
    case BUS_KIND_INT:
    case BUS_KIND_LONG: integer(w, t); break;
    case BUS_KIND_FLOAT:
    case BUS_KIND_DOUBLE: real(w, t->kind == BUS_KIND_FLOAT); break;
    case BUS_KIND_BYTES:
    case BUS_KIND_STRING: slice(w); break;
    case BUS_KIND_RECORD: record(w, t); break;
    case BUS_KIND_ENUM: bui_buf_printf(w->out, "%s_%s", t->type, t->node->symbols[whole(w)]); break;
    case BUS_KIND_FIXED:
        if (bui_read_raw(&w->in, t->node->count, &at))
            bytes_of_array(w, at, t->node->count);
        break;
    case BUS_KIND_ARRAY:
    case BUS_KIND_MAP: items(w, t); break;
    case BUS_KIND_UNION:
    case BUS_KIND_OPTIONAL:
    case BUS_KIND_POINTER: choice(w, t); break;
    default: special(w, t); break;
    }
}

bool compiler_has_defaults(const use *t)
{
    for (size_t i = 0; t->kind == BUS_KIND_RECORD && i < t->node->count; i++)
        if (t->node->fields[i].default_value)
            return true;
    return false;
}

bus_status compiler_defaults(compiler *c, const named *type, bui_buf *out)
{
    const use *t = type->use;
    bus_status status = BUS_OK;
    bui_buf bytes;
    bui_buf_init(&bytes, 0);
    bui_buf_printf(out, "const %s %s_defaults = {\n", t->type, t->type);
    for (size_t i = 0; i < t->node->count && status == BUS_OK; i++) {
        const bui_node_field *field = &t->node->fields[i];
        if (!field->default_value)
            continue;
        bui_buf_clear(&bytes);
        status = bui_json_encode_default(field->type, field->default_value, &bytes, c->err);
        if (status != BUS_OK)
            break;
        bui_fault fault = { .status = BUS_OK };
        writer w = { c, out, { .start = bytes.data, .at = bytes.data, .end = bytes.data + bytes.len, .fault = &fault } };
        bui_buf_printf(out, "    .%s = ", t->members[i]);
        value(&w, t->parts[i]);
        bui_buf_text(out, ",\n");
        char where[COMPILER_WHERE];
        if (fault.status != BUS_OK)
            status =
                bui_fail(c->err, fault.status == BUS_SCHEMA ? BUS_SCHEMA : BUS_BUG, "%s: %s.%s: its default: %s",
                         compiler_where(type->from, compiler_field(t->node, i), where), t->node->name, field->name, fault.text);
    }
    bui_buf_text(out, "};\n\n");
    bui_buf_free(&bytes);
    return status;
}
