/* SPDX-License-Identifier: MIT
 * State: a record with "state" is also a table, one column a field. The columns' definitions are written here, so that the library
 * makes the table by them and people can read them in the generated source. */
#include "codec/compiler/compiler.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define KEY_MOST 8
#define TABLE_MOST 60

typedef struct shape {
    const char *table;
    size_t key[KEY_MOST], key_count;
} shape;

bool compiler_has_state(const bui_node *node)
{
    return node->kind == BUS_KIND_RECORD && json_object_get(node->json, "state");
}

static bus_status bad(compiler *c, const named *type, const json_t *part, const char *why, const char *name)
{
    char where[COMPILER_WHERE];
    return bui_fail(c->err, BUS_SCHEMA, "%s: the state of %s: %s%s",
                    compiler_where(type->from, part ? part : type->node->json, where), type->node->name, why, name);
}

/* ---- what the schema says */

static bus_status take_table(compiler *c, const named *type, const json_t *state, shape *out)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    const char *table = json_string_value(json_object_get(state, "table"));
    if (!table || !*table || strlen(table) > TABLE_MOST || strspn(table, letters) != strlen(table) ||
        (*table >= '0' && *table <= '9'))
        return bad(c, type, NULL, "it needs a \"table\": a name of letters, digits and _, up to 60", "");
    if (strncasecmp(table, "bus_", 4) == 0 || strncasecmp(table, "sqlite_", 7) == 0)
        return bad(c, type, NULL, "tables that begin with bus_ or sqlite_ are not the service's: ", table);
    out->table = table;
    return BUS_OK;
}

static const use *held(const use *t)
{
    return t->kind == BUS_KIND_OPTIONAL ? t->item : t;
}

static bool may_be_key(const use *t)
{
    switch (t->kind) {
    case BUS_KIND_BOOLEAN:
    case BUS_KIND_INT:
    case BUS_KIND_LONG:
    case BUS_KIND_BYTES:
    case BUS_KIND_STRING:
    case BUS_KIND_ENUM:
    case BUS_KIND_FIXED:
    case BUS_KIND_UUID: return true;
    default: return false;
    }
}

static bool may_be_column(const use *t)
{
    return may_be_key(t) || t->kind == BUS_KIND_FLOAT || t->kind == BUS_KIND_DOUBLE || t->kind == BUS_KIND_DECIMAL;
}

static bus_status take_key_part(compiler *c, const named *type, const char *name, shape *out)
{
    const bui_node *node = type->node;
    size_t i = 0;
    if (!name)
        return bad(c, type, NULL, "its \"key\" is the name of a field, or a list of such names", "");
    while (i < node->count && strcmp(node->fields[i].name, name) != 0)
        i++;
    if (i == node->count)
        return bad(c, type, NULL, "its key names a field that there is not: ", name);
    if (!may_be_key(type->use->parts[i]))
        return bad(
            c, type, compiler_field(node, i),
            "a field of the key is a boolean, a number without a fraction, a text, bytes, an enum, a fixed or a UUID: ", name);
    for (size_t k = 0; k < out->key_count; k++)
        if (out->key[k] == i)
            return bad(c, type, NULL, "its key names a field twice: ", name);
    if (out->key_count == KEY_MOST)
        return bad(c, type, NULL, "its key has more than 8 fields", "");
    out->key[out->key_count++] = i;
    return BUS_OK;
}

static bus_status take_key(compiler *c, const named *type, const json_t *state, shape *out)
{
    const json_t *key = json_object_get(state, "key");
    bus_status status = BUS_OK;
    if (json_is_string(key))
        return take_key_part(c, type, json_string_value(key), out);
    for (size_t i = 0; i < json_array_size(key) && status == BUS_OK; i++)
        status = take_key_part(c, type, json_string_value(json_array_get(key, i)), out);
    return status != BUS_OK || out->key_count ? status : take_key_part(c, type, NULL, out);
}

static bus_status check_columns(compiler *c, const named *type)
{
    const bui_node *node = type->node;
    for (size_t i = 0; i < node->count; i++) {
        const char *name = node->fields[i].name;
        if (!may_be_column(held(type->use->parts[i])))
            return bad(
                c, type, compiler_field(node, i),
                "a column holds one value, which an array, a map, a record, a union, a duration and a null are not: ", name);
        for (size_t k = 0; k < i; k++)
            if (strcasecmp(node->fields[k].name, name) == 0)
                return bad(c, type, compiler_field(node, i), "SQLite does not tell columns apart by case: ", name);
    }
    return BUS_OK;
}

static bus_status take(compiler *c, const named *type, shape *out)
{
    const json_t *state = json_object_get(type->node->json, "state");
    *out = (shape){ .key_count = 0 };
    if (!json_is_object(state))
        return bad(c, type, NULL, "it is an object with \"table\" and \"key\"", "");
    bus_status status = take_table(c, type, state, out);
    if (status == BUS_OK)
        status = take_key(c, type, state, out);
    return status == BUS_OK ? check_columns(c, type) : status;
}

/* ---- columns */

static const char *sql_type(const use *t)
{
    switch (t->kind) {
    case BUS_KIND_BOOLEAN:
    case BUS_KIND_INT:
    case BUS_KIND_LONG: return "INTEGER";
    case BUS_KIND_FLOAT:
    case BUS_KIND_DOUBLE: return "REAL";
    case BUS_KIND_BYTES:
    case BUS_KIND_FIXED: return "BLOB";
    default: return "TEXT";
    }
}

static void add_text(bui_buf *out, const char *text)
{
    bui_buf_byte(out, '\'');
    for (; *text; text++) {
        if (*text == '\'')
            bui_buf_byte(out, '\'');
        bui_buf_byte(out, (uint8_t)*text);
    }
    bui_buf_byte(out, '\'');
}

/* In Avro's JSON each character of the text is a byte. */
static void add_bytes(bui_buf *out, const char *text)
{
    bui_buf_text(out, "X'");
    for (; *text; text++) {
        unsigned byte = (unsigned char)*text;
        if (byte >= 0xc0 && text[1])
            byte = (byte & 3) << 6 | ((unsigned char)*++text & 0x3f);
        bui_buf_printf(out, "%02X", byte);
    }
    bui_buf_byte(out, '\'');
}

/* A default that has no form here is left out: the column can then not be added to a table that is there, and opening says so. */
static void add_default(bui_buf *out, const use *t, const json_t *value)
{
    const use *of = held(t);
    const char *text = json_string_value(value);
    bool zero = text && json_string_length(value) != strlen(text);
    if (!value || json_is_null(value) || zero)
        return;
    bui_buf sql;
    bui_buf_init(&sql, 0);
    if (json_is_boolean(value))
        bui_buf_text(&sql, json_is_true(value) ? "1" : "0");
    else if (json_is_integer(value) && of->kind != BUS_KIND_FLOAT && of->kind != BUS_KIND_DOUBLE)
        bui_buf_printf(&sql, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_number(value))
        bui_buf_real(&sql, 17, json_number_value(value));
    else if (text &&
             (of->kind == BUS_KIND_STRING || of->kind == BUS_KIND_ENUM || (of->kind == BUS_KIND_UUID && strlen(text) == 36)))
        add_text(&sql, text);
    else if (text && (of->kind == BUS_KIND_BYTES || of->kind == BUS_KIND_FIXED))
        add_bytes(&sql, text);
    if (sql.len > 0) {
        bui_buf_text(out, " DEFAULT ");
        bui_buf_add(out, sql.data, sql.len);
    }
    bui_buf_free(&sql);
}

static void write_column(compiler *c, bui_buf *out, const use *t, size_t i)
{
    const bui_node_field *field = &t->node->fields[i];
    bui_buf text;
    bui_buf_init(&text, 0);
    bui_buf_printf(&text, "\"%s\" %s", field->name, sql_type(held(t->parts[i])));
    if (t->parts[i]->kind != BUS_KIND_OPTIONAL)
        bui_buf_text(&text, " NOT NULL");
    add_default(&text, t->parts[i], field->default_value);
    char *whole = bui_buf_take(&text);
    if (!whole) {
        bui_fail_nomem(c->err);
        return;
    }
    compiler_literal(out, "    ", whole);
    bui_buf_text(out, ",\n");
    free(whole);
}

/* ---- what is written */

bus_status compiler_state(compiler *c, const named *type, bui_buf *out)
{
    const use *t = type->use;
    shape s;
    bus_status status = take(c, type, &s);
    if (status != BUS_OK)
        return status;
    bui_buf_printf(out, "static const char *const bus_columns_%s[] = {\n", t->type);
    for (size_t i = 0; i < t->node->count; i++)
        write_column(c, out, t, i);
    bui_buf_printf(out, "};\nstatic const uint32_t bus_key_%s[] = { ", t->type);
    for (size_t i = 0; i < s.key_count; i++)
        bui_buf_printf(out, "%s%zu", i ? ", " : "", s.key[i]);
    bui_buf_printf(
        out,
        " };\nconst bus_state %s_state = {\n    .layout = BUS_STATE_LAYOUT,\n    .type = &%s_type,\n    .table = \"%s\",\n"
        "    .columns = bus_columns_%s,\n    .key = bus_key_%s,\n    .key_count = %zu,\n};\n\n",
        t->type, t->type, s.table, t->type, t->type, s.key_count);
    return c->err->status;
}
