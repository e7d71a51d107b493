/* SPDX-License-Identifier: MIT
 * Schema: an Avro schema read from JSON. The text may come from the network, so every name, size and nesting is checked
 * before it is believed. All nodes live in one arena; a record's node exists before its fields, so that they can name it. */
#include "codec/schema.h"

#include "base/arena.h"
#include "base/error.h"
#include "base/map.h"
#include "codec/canonical.h"
#include "codec/json_value.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define NAME_MAX_LEN 255
#define FIELDS_MAX 10000
#define OPEN UINT32_MAX           /* `least` of a record whose fields are still being read */
#define LEAST_MAX (1u << 30)

struct bus_schema {
    bus_arena arena;
    bus_map names;                /* full name to bus_node, of those defined here */
    json_t *document;
    char *json, *canonical;
    size_t len;
    uint64_t fingerprint;
    const bus_node *root;
};

typedef struct parser {
    bus_schema *schema;
    bus_schema_resolver resolve;
    void *opaque;
    bus_error *err;
    bus_status status;
    unsigned depth;
    size_t nodes, presets;
    char path[300];
} parser;

static const bus_node *parse_type(parser *p, const json_t *json, const char *space);

/* ---- complaints: each returns NULL, so that the parsing functions pass it on */

__attribute__((format(printf, 2, 3))) static void *refuse(parser *p, const char *format, ...)
{
    char text[300];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    p->status = bus_fail(p->err, BUS_SCHEMA, "%s: %s", p->path[0] ? p->path : "the schema", text);
    return NULL;
}

static void *no_memory(parser *p)
{
    p->status = bus_fail_nomem(p->err);
    return NULL;
}

static void *allocate(parser *p, size_t n)
{
    void *memory = bus_arena_zero(&p->schema->arena, n ? n : 1);
    return memory ? memory : no_memory(p);
}

static const char *keep(parser *p, const char *text)
{
    const char *kept = bus_arena_copy(&p->schema->arena, text, strlen(text));
    return kept ? kept : no_memory(p);
}

/* Goes one step down the path; `leave` with what it returned goes back. */
static size_t step(parser *p, const char *mark, const char *name)
{
    size_t len = strlen(p->path);
    snprintf(p->path + len, sizeof p->path - len, "%s%s", mark, name);
    return len;
}

static void leave(parser *p, size_t len)
{
    p->path[len] = '\0';
}

/* ---- names */

static bool plain_name(const char *name, size_t len)
{
    if (len == 0 || len > NAME_MAX_LEN || (name[0] >= '0' && name[0] <= '9'))
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'))
            return false;
    }
    return true;
}

/* Names with dots: a plain name between each two. */
static bool dotted_name(const char *name)
{
    for (;;) {
        const char *dot = strchr(name, '.');
        if (!plain_name(name, dot ? (size_t)(dot - name) : strlen(name)))
            return false;
        if (!dot)
            return true;
        name = dot + 1;
    }
}

/* A string member; NULL if absent, or after a complaint (p->status says which). Embedded zeros are complained of. */
static const char *text_of(parser *p, const json_t *json, const char *member)
{
    const json_t *value = json_object_get(json, member);
    if (!value)
        return NULL;
    if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value))
        return refuse(p, "\"%s\" must be a string", member);
    return json_string_value(value);
}

/* "Name" in a name space is "space.Name"; one with dots is full already. */
static const char *full_name(parser *p, const char *name, const char *space)
{
    char text[2 * NAME_MAX_LEN + 2];
    if (strchr(name, '.') || space[0] == '\0')
        return keep(p, name);
    if (snprintf(text, sizeof text, "%s.%s", space, name) >= (int)sizeof text)
        return refuse(p, "the name is over %zu bytes", sizeof text - 1);
    return keep(p, text);
}

static const bus_node primitives[] = {
    { .kind = BUS_KIND_NULL, .name = "null", .least = 0, .preset = -1 },
    { .kind = BUS_KIND_BOOLEAN, .name = "boolean", .least = 1, .preset = -1 },
    { .kind = BUS_KIND_INT, .name = "int", .least = 1, .preset = -1 },
    { .kind = BUS_KIND_LONG, .name = "long", .least = 1, .preset = -1 },
    { .kind = BUS_KIND_FLOAT, .name = "float", .least = 4, .preset = -1 },
    { .kind = BUS_KIND_DOUBLE, .name = "double", .least = 8, .preset = -1 },
    { .kind = BUS_KIND_BYTES, .name = "bytes", .least = 1, .preset = -1 },
    { .kind = BUS_KIND_STRING, .name = "string", .least = 1, .preset = -1 },
};

static const bus_node *primitive(const char *name)
{
    for (size_t i = 0; i < sizeof primitives / sizeof *primitives; i++)
        if (strcmp(primitives[i].name, name) == 0)
            return &primitives[i];
    return NULL;
}

static bool reserved(const char *name)
{
    static const char *const words[] = { "record", "error", "enum", "array", "map", "fixed", "union" };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(words[i], name) == 0)
            return true;
    return primitive(name) != NULL;
}

static const bus_node *refer(parser *p, const char *name, const char *space)
{
    const bus_node *node = primitive(name);
    if (node)
        return node;
    if (!dotted_name(name))
        return refuse(p, "\"%.80s\" is no type and no valid name of one", name);
    const char *full = full_name(p, name, space);
    if (!full)
        return NULL;
    node = bus_map_get(&p->schema->names, full, strlen(full));
    if (!node && p->resolve) {
        bus_error why = { .status = BUS_OK };
        node = p->resolve(p->opaque, full, &why);
        if (!node && why.status != BUS_OK) {
            p->status = bus_fail(p->err, why.status, "%s: %s", p->path, why.text);
            return NULL;
        }
    }
    return node ? node : refuse(p, "the type \"%s\" is not defined before it is used", full);
}

/* ---- parts of types */

static bus_node *new_node(parser *p, bus_kind kind, const char *name, uint32_t least, const json_t *json)
{
    if (++p->nodes > BUS_SCHEMA_MAX_NODES)
        return refuse(p, "more than %d types", BUS_SCHEMA_MAX_NODES);
    bus_node *node = allocate(p, sizeof *node);
    if (node)
        *node = (bus_node){ .kind = kind, .name = name, .least = least, .preset = -1, .json = json };
    return node;
}

/* A list of names, kept, ending with NULL; of types with `space` not NULL, then made full. */
static bool read_names(parser *p, const json_t *list, const char *what, const char *space, const char *const **out)
{
    size_t count = json_array_size(list);
    if (!json_is_array(list) || count > FIELDS_MAX)
        return refuse(p, "\"%s\" must be an array of at most %d names", what, FIELDS_MAX) != NULL;
    bus_map seen;
    bus_map_init(&seen);
    const char **names = allocate(p, (count + 1) * sizeof *names);
    bool ok = names != NULL;
    for (size_t i = 0; ok && i < count; i++) {
        const json_t *item = json_array_get(list, i);
        const char *name = json_string_value(item);
        ok = false;
        if (!name || !(space ? dotted_name(name) : plain_name(name, json_string_length(item))))
            refuse(p, "entry %zu of \"%s\" is no valid name (letters, digits, _)", i, what);
        else if (bus_map_get(&seen, name, strlen(name)))
            refuse(p, "\"%s\" is twice in \"%s\"", name, what);
        else if (!bus_map_put(&seen, name, strlen(name), p))
            no_memory(p);
        else
            ok = (names[i] = space ? full_name(p, name, space) : keep(p, name)) != NULL;
    }
    bus_map_free(&seen, NULL);
    if (ok)
        *out = names;
    return ok;
}

/* What every named type has. Registers the node, so that what it contains can refer to it. */
static bool define(parser *p, bus_node *node, const char *outer, const char **space)
{
    const char *name = text_of(p, node->json, "name");
    if (p->status != BUS_OK)
        return false;
    if (!name || !dotted_name(name))
        return refuse(p, "a %s needs a \"name\" of letters, digits and _", node->name) != NULL;
    const char *given = text_of(p, node->json, "namespace");
    if (p->status != BUS_OK)
        return false;
    if (given && given[0] && !dotted_name(given))
        return refuse(p, "the namespace \"%.80s\" is not valid", given) != NULL;
    const char *full = full_name(p, name, given ? given : outer);
    if (!full)
        return false;
    if (strlen(full) > 2 * NAME_MAX_LEN)
        return refuse(p, "the name is over %d bytes", 2 * NAME_MAX_LEN) != NULL;
    leave(p, 0);
    step(p, "", full);
    const char *dot = strrchr(full, '.');
    if (reserved(dot ? dot + 1 : full))
        return refuse(p, "\"%s\" is the name of a type of Avro's own", dot ? dot + 1 : full) != NULL;
    if (bus_map_get(&p->schema->names, full, strlen(full)))
        return refuse(p, "the name is defined twice") != NULL;
    if (!bus_map_put(&p->schema->names, full, strlen(full), node))
        return no_memory(p) != NULL;
    char *inner = allocate(p, strlen(full) + 1);
    if (!inner)
        return false;
    memcpy(inner, full, dot ? (size_t)(dot - full) : 0);
    *space = inner;
    node->name = full;
    node->doc = json_string_value(json_object_get(node->json, "doc"));
    const json_t *aliases = json_object_get(node->json, "aliases");
    return !aliases || read_names(p, aliases, "aliases", inner, &node->aliases);
}

static bool read_field(parser *p, const json_t *json, const char *space, bus_node_field *out)
{
    const char *name = text_of(p, json, "name");
    if (p->status != BUS_OK)
        return false;
    if (!json_is_object(json) || !name || !plain_name(name, strlen(name)))
        return refuse(p, "a field needs a \"name\" of letters, digits and _") != NULL;
    char outer[sizeof p->path];
    memcpy(outer, p->path, sizeof outer);
    step(p, ".", name);
    const json_t *type = json_object_get(json, "type");
    out->name = keep(p, name);
    out->doc = json_string_value(json_object_get(json, "doc"));
    out->type = !out->name ? NULL : type ? parse_type(p, type, space) : refuse(p, "the field has no \"type\"");
    if (!out->type)
        return false;
    if (out->type->least == OPEN)
        return refuse(p, "holds %s, which holds this: no value can ever end (make it optional)", out->type->name) != NULL;
    const json_t *aliases = json_object_get(json, "aliases");
    if (aliases && !read_names(p, aliases, "aliases", NULL, &out->aliases))
        return false;
    /* Checked at the end, when every type is whole. */
    out->preset = json_object_get(json, "default");
    memcpy(p->path, outer, sizeof outer);
    return true;
}

static bool read_fields(parser *p, bus_node *node, const char *space)
{
    const json_t *list = json_object_get(node->json, "fields");
    size_t count = json_array_size(list);
    if (!json_is_array(list) || count > FIELDS_MAX)
        return refuse(p, "a record needs \"fields\", an array of at most %d", FIELDS_MAX) != NULL;
    bus_node_field *fields = allocate(p, count * sizeof *fields);
    if (!fields)
        return false;
    bus_map seen;
    bus_map_init(&seen);
    uint64_t least = 0;
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++) {
        ok = read_field(p, json_array_get(list, i), space, &fields[i]);
        if (!ok)
            break;
        least += fields[i].type->least;
        size_t len = strlen(fields[i].name);
        if (bus_map_get(&seen, fields[i].name, len))
            ok = refuse(p, "the field \"%s\" is there twice", fields[i].name) != NULL;
        else if (!bus_map_put(&seen, fields[i].name, len, node))
            ok = no_memory(p) != NULL;
    }
    bus_map_free(&seen, NULL);
    node->fields = fields;
    node->count = count;
    node->least = least < LEAST_MAX ? (uint32_t)least : LEAST_MAX;
    return ok;
}

static bool read_enum(parser *p, bus_node *node)
{
    const json_t *list = json_object_get(node->json, "symbols");
    if (!list || !read_names(p, list, "symbols", NULL, &node->symbols))
        return p->status != BUS_OK ? false : refuse(p, "an enum needs \"symbols\"") != NULL;
    node->count = json_array_size(list);
    const char *preset = text_of(p, node->json, "default");
    if (p->status != BUS_OK || !preset)
        return p->status == BUS_OK;
    for (size_t i = 0; i < node->count; i++)
        if (strcmp(node->symbols[i], preset) == 0)
            node->preset = (int32_t)i;
    return node->preset >= 0 || refuse(p, "the default \"%.80s\" is not among the symbols", preset) != NULL;
}

static bool read_fixed(parser *p, bus_node *node)
{
    const json_t *size = json_object_get(node->json, "size");
    json_int_t value = json_integer_value(size);
    if (!json_is_integer(size) || value < 0 || value > INT32_MAX)
        return refuse(p, "a fixed needs a \"size\" from 0 to %d", INT32_MAX) != NULL;
    node->count = (size_t)value;
    node->least = value < LEAST_MAX ? (uint32_t)value : LEAST_MAX;
    return true;
}

/* ---- logical types: an unknown or ill-placed one leaves the base type (Avro specification, "Logical Types") */

static void read_decimal(bus_node *node)
{
    const json_t *digits = json_object_get(node->json, "precision"), *places = json_object_get(node->json, "scale");
    json_int_t precision = json_integer_value(digits), scale = json_integer_value(places);
    if (!json_is_integer(digits) || precision < 1 || precision > 1000000 || (places && !json_is_integer(places)) ||
        scale < 0 || scale > precision)
        return;
    /* n bytes hold floor(log10(2^(8n-1) - 1)) digits; 0.30103 is log10(2). */
    if (node->kind == BUS_KIND_FIXED &&
        (node->count == 0 || (double)precision > (double)(8 * (uint64_t)node->count - 1) * 0.30102999566398120))
        return;
    node->logical = BUS_LOGICAL_DECIMAL;
    node->precision = (int32_t)precision;
    node->scale = (int32_t)scale;
}

static void read_logical(bus_node *node)
{
    static const struct { const char *name; bus_kind base; size_t size; bus_logical logical; } table[] = {
        { "uuid", BUS_KIND_STRING, 0, BUS_LOGICAL_UUID },
        { "uuid", BUS_KIND_FIXED, 16, BUS_LOGICAL_UUID },
        { "date", BUS_KIND_INT, 0, BUS_LOGICAL_DATE },
        { "time-millis", BUS_KIND_INT, 0, BUS_LOGICAL_TIME_MILLIS },
        { "time-micros", BUS_KIND_LONG, 0, BUS_LOGICAL_TIME_MICROS },
        { "timestamp-millis", BUS_KIND_LONG, 0, BUS_LOGICAL_TIMESTAMP_MILLIS },
        { "timestamp-micros", BUS_KIND_LONG, 0, BUS_LOGICAL_TIMESTAMP_MICROS },
        { "local-timestamp-millis", BUS_KIND_LONG, 0, BUS_LOGICAL_LOCAL_TIMESTAMP_MILLIS },
        { "local-timestamp-micros", BUS_KIND_LONG, 0, BUS_LOGICAL_LOCAL_TIMESTAMP_MICROS },
        { "duration", BUS_KIND_FIXED, 12, BUS_LOGICAL_DURATION },
    };
    const char *name = json_string_value(json_object_get(node->json, "logicalType"));
    if (!name)
        return;
    if (strcmp(name, "decimal") == 0 && (node->kind == BUS_KIND_BYTES || node->kind == BUS_KIND_FIXED)) {
        read_decimal(node);
        return;
    }
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].name, name) == 0 && table[i].base == node->kind && table[i].size == node->count)
            node->logical = table[i].logical;
}

/* ---- types */

static const bus_node *parse_named(parser *p, const json_t *json, const char *word, const char *outer)
{
    char path[sizeof p->path];
    memcpy(path, p->path, sizeof path);
    bus_kind kind = strcmp(word, "enum") == 0 ? BUS_KIND_ENUM : strcmp(word, "fixed") == 0 ? BUS_KIND_FIXED : BUS_KIND_RECORD;
    bus_node *node = new_node(p, kind, word, kind == BUS_KIND_RECORD ? OPEN : 1, json);
    const char *space = NULL;
    if (!node || !define(p, node, outer, &space))
        return NULL;
    bool ok = kind == BUS_KIND_ENUM ? read_enum(p, node) : kind == BUS_KIND_FIXED ? read_fixed(p, node) : read_fields(p, node, space);
    if (!ok)
        return NULL;
    read_logical(node);
    memcpy(p->path, path, sizeof path);
    return node;
}

static const bus_node *parse_container(parser *p, const json_t *json, bool map, const char *space)
{
    bus_node *node = new_node(p, map ? BUS_KIND_MAP : BUS_KIND_ARRAY, map ? "map" : "array", 1, json);
    if (!node)
        return NULL;
    const char *member = map ? "values" : "items";
    const json_t *item = json_object_get(json, member);
    size_t len = step(p, map ? "{}" : "[]", "");
    node->item = item ? parse_type(p, item, space) : refuse(p, "the %s has no \"%s\"", node->name, member);
    leave(p, len);
    return node->item ? node : NULL;
}

/* Two branches may not be of one type, but for named ones of different names. */
static bool branches_differ(parser *p, const bus_node *node, size_t count)
{
    const bus_node *last = node->fields[count - 1].type;
    for (size_t i = 0; i + 1 < count; i++)
        if (strcmp(node->fields[i].type->name, last->name) == 0)
            return refuse(p, "the union has two branches of type %s", last->name) != NULL;
    return true;
}

static const bus_node *parse_union(parser *p, const json_t *json, const char *space)
{
    size_t count = json_array_size(json);
    if (count > 1000)
        return refuse(p, "a union of %zu branches; %d are allowed", count, 1000);
    bus_node *node = new_node(p, BUS_KIND_UNION, "union", 1, json);
    bus_node_field *fields = node ? allocate(p, count * sizeof *fields) : NULL;
    if (!fields)
        return NULL;
    node->fields = fields;
    node->count = count;
    for (size_t i = 0; i < count; i++) {
        fields[i].type = parse_type(p, json_array_get(json, i), space);
        if (!fields[i].type)
            return NULL;
        if (fields[i].type->kind == BUS_KIND_UNION)
            return refuse(p, "a union directly inside a union");
        if (!branches_differ(p, node, i + 1))
            return NULL;
    }
    return node;
}

static const bus_node *parse_object(parser *p, const json_t *json, const char *space)
{
    const json_t *type = json_object_get(json, "type");
    if (!type)
        return refuse(p, "the type's object has no \"type\"");
    if (!json_is_string(type))
        return parse_type(p, type, space);
    const char *word = text_of(p, json, "type");
    if (!word)
        return NULL;
    if (strcmp(word, "record") == 0 || strcmp(word, "error") == 0 || strcmp(word, "enum") == 0 || strcmp(word, "fixed") == 0)
        return parse_named(p, json, word, space);
    if (strcmp(word, "array") == 0 || strcmp(word, "map") == 0)
        return parse_container(p, json, word[0] == 'm', space);
    const bus_node *known = primitive(word);
    if (!known)
        return refer(p, word, space);
    bus_node *node = new_node(p, known->kind, known->name, known->least, json);
    if (node)
        read_logical(node);
    return node;
}

static const bus_node *parse_type(parser *p, const json_t *json, const char *space)
{
    const bus_node *node;
    if (++p->depth > BUS_SCHEMA_MAX_DEPTH)
        return refuse(p, "nested deeper than %d", BUS_SCHEMA_MAX_DEPTH);
    if (json_is_object(json))
        node = parse_object(p, json, space);
    else if (json_is_array(json))
        node = parse_union(p, json, space);
    else if (json_is_string(json) && strlen(json_string_value(json)) == json_string_length(json))
        node = refer(p, json_string_value(json), space);
    else
        node = refuse(p, "a type is a name, an object or an array of types");
    p->depth--;
    return node;
}

/* ---- the whole */

static bus_status check_presets(parser *p)
{
    size_t at = 0, steps = 0;
    const void *key;
    size_t len;
    void *value;
    while (bus_map_next(&p->schema->names, &at, &key, &len, &value)) {
        const bus_node *node = value;
        for (size_t i = 0; node->kind == BUS_KIND_RECORD && i < node->count; i++) {
            const bus_node_field *field = &node->fields[i];
            if (!field->preset)
                continue;
            bus_error why;
            if (bus_json_check_preset(field->type, field->preset, &steps, &why) == BUS_OK)
                continue;
            return bus_fail(p->err, why.status == BUS_NOMEM ? BUS_NOMEM : BUS_SCHEMA, "%s.%s: bad default: %s", node->name,
                            field->name, why.text);
        }
    }
    return BUS_OK;
}

static bus_status load(bus_schema *schema, const char *json, size_t len, bus_error *err)
{
    json_error_t where;
    schema->json = malloc(len + 1);
    if (!schema->json)
        return bus_fail_nomem(err);
    memcpy(schema->json, json, len);
    schema->json[len] = '\0';
    schema->len = len;
    schema->document = json_loadb(json, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &where);
    if (schema->document)
        return BUS_OK;
    if (json_error_code(&where) == json_error_out_of_memory)
        return bus_fail_nomem(err);
    return bus_fail(err, BUS_SCHEMA, "line %d, column %d: %s", where.line, where.column, where.text);
}

static bus_status fill(bus_schema *schema, parser *p)
{
    bus_buf out;
    schema->root = parse_type(p, schema->document, "");
    bus_status status = schema->root ? check_presets(p) : p->status;
    if (status != BUS_OK)
        return status;
    bus_buf_init(&out, 4 * (size_t)BUS_SCHEMA_MAX_BYTES);
    if (bus_canonical_write(schema->root, &out)) {
        schema->fingerprint = bus_fingerprint(out.data, out.len);
        schema->canonical = bus_buf_take(&out);
    } else if (out.over) {
        status = bus_fail(p->err, BUS_TOO_BIG, "the schema's canonical form is over %zu bytes", out.limit);
    }
    bus_buf_free(&out);
    return status == BUS_OK && !schema->canonical ? bus_fail_nomem(p->err) : status;
}

bus_status bus_schema_parse_with(const char *json, size_t len, bus_schema_resolver resolve, void *opaque,
                                 bus_schema **out, bus_error *err)
{
    if (len > BUS_SCHEMA_MAX_BYTES)
        return bus_fail(err, BUS_TOO_BIG, "a schema of %zu bytes; %u are allowed", len, BUS_SCHEMA_MAX_BYTES);
    bus_schema *schema = calloc(1, sizeof *schema);
    if (!schema)
        return bus_fail_nomem(err);
    bus_arena_init(&schema->arena, 64u << 20);
    bus_map_init(&schema->names);
    parser p = { .schema = schema, .resolve = resolve, .opaque = opaque, .err = err };
    bus_status status = load(schema, json, len, err);
    if (status == BUS_OK)
        status = fill(schema, &p);
    if (status == BUS_OK)
        *out = schema;
    else
        bus_schema_free(schema);
    return status;
}

bus_status bus_schema_parse(const char *json, size_t len, bus_schema **out, bus_error *err)
{
    return bus_schema_parse_with(json, len, NULL, NULL, out, err);
}

void bus_schema_free(bus_schema *schema)
{
    if (!schema)
        return;
    json_decref(schema->document);
    bus_map_free(&schema->names, NULL);
    bus_arena_free(&schema->arena);
    free(schema->canonical);
    free(schema->json);
    free(schema);
}

const bus_node *bus_schema_root(const bus_schema *schema)
{
    return schema->root;
}

const char *bus_schema_name(const bus_schema *schema)
{
    return schema->root->name;
}

const char *bus_schema_json(const bus_schema *schema, size_t *len)
{
    if (len)
        *len = schema->len;
    return schema->json;
}

const char *bus_schema_canonical(const bus_schema *schema)
{
    return schema->canonical;
}

uint64_t bus_schema_fingerprint(const bus_schema *schema)
{
    return schema->fingerprint;
}

const bus_node *bus_schema_named(const bus_schema *schema, const char *full_name)
{
    return bus_map_get(&schema->names, full_name, strlen(full_name));
}
