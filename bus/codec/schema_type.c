/* SPDX-License-Identifier: MIT
 * Schema types: from their JSON to nodes. A record's node exists before its fields, so that they can name it. */
#include "codec/schema_parser.h"

#define OPEN UINT32_MAX /* `least` of a record whose fields are still being read */

static bus_node *new_node(bus_parser *p, bus_kind kind, const char *name, uint32_t least, const json_t *json)
{
    if (++p->nodes > BUS_SCHEMA_MAX_NODES)
        return bus_parser_refuse(p, "more than %d types", BUS_SCHEMA_MAX_NODES);
    bus_node *node = bus_parser_allocate(p, sizeof *node);
    if (node)
        *node = (bus_node){ .kind = kind, .name = name, .least = least, .preset = -1, .json = json };
    return node;
}

/* ---- what named types consist of */

static bool read_field(bus_parser *p, const json_t *json, const char *space, bus_node_field *out)
{
    const json_t *whole = p->at;
    p->at = json;
    const char *name = bus_parser_text(p, json, "name");
    if (p->status != BUS_OK)
        return false;
    if (!json_is_object(json) || !name || !bus_parser_plain(name, strlen(name)))
        return bus_parser_refuse(p, "a field needs a \"name\" of letters, digits and _") != NULL;
    char outer[sizeof p->path];
    memcpy(outer, p->path, sizeof outer);
    bus_parser_step(p, ".", name);
    const json_t *type = json_object_get(json, "type");
    out->name = bus_parser_keep(p, name);
    out->doc = json_string_value(json_object_get(json, "doc"));
    out->type = !out->name ? NULL : type ? bus_parser_type(p, type, space) : bus_parser_refuse(p, "the field has no \"type\"");
    if (!out->type)
        return false;
    if (out->type->least == OPEN)
        return bus_parser_refuse(p, "holds %s, which holds this: no value can ever end (make it optional)", out->type->name) != NULL;
    const json_t *aliases = json_object_get(json, "aliases");
    if (aliases && !bus_parser_names(p, aliases, "aliases", NULL, &out->aliases))
        return false;
    /* Checked at the end, when every type is whole. */
    out->preset = json_object_get(json, "default");
    p->at = whole;
    memcpy(p->path, outer, sizeof outer);
    return true;
}

static bool read_fields(bus_parser *p, bus_node *node, const char *space)
{
    const json_t *list = json_object_get(node->json, "fields");
    size_t count = json_array_size(list);
    if (!json_is_array(list) || count > BUS_FIELDS_MAX)
        return bus_parser_refuse(p, "a record needs \"fields\", an array of at most %d", BUS_FIELDS_MAX) != NULL;
    bus_node_field *fields = bus_parser_allocate(p, count * sizeof *fields);
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
            ok = bus_parser_refuse(p, "the field \"%s\" is there twice", fields[i].name) != NULL;
        else if (!bus_map_put(&seen, fields[i].name, len, node))
            ok = bus_parser_no_memory(p) != NULL;
    }
    bus_map_free(&seen, NULL);
    node->fields = fields;
    node->count = count;
    node->least = least < BUS_LEAST_MAX ? (uint32_t)least : BUS_LEAST_MAX;
    return ok;
}

static bool read_enum(bus_parser *p, bus_node *node)
{
    const json_t *list = json_object_get(node->json, "symbols");
    if (!list || !bus_parser_names(p, list, "symbols", NULL, &node->symbols))
        return p->status != BUS_OK ? false : bus_parser_refuse(p, "an enum needs \"symbols\"") != NULL;
    node->count = json_array_size(list);
    const char *preset = bus_parser_text(p, node->json, "default");
    if (p->status != BUS_OK || !preset)
        return p->status == BUS_OK;
    for (size_t i = 0; i < node->count; i++)
        if (strcmp(node->symbols[i], preset) == 0)
            node->preset = (int32_t)i;
    return node->preset >= 0 || bus_parser_refuse(p, "the default \"%.80s\" is not among the symbols", preset) != NULL;
}

static bool read_fixed(bus_parser *p, bus_node *node)
{
    const json_t *size = json_object_get(node->json, "size");
    json_int_t value = json_integer_value(size);
    if (!json_is_integer(size) || value < 0 || value > INT32_MAX)
        return bus_parser_refuse(p, "a fixed needs a \"size\" from 0 to %d", INT32_MAX) != NULL;
    node->count = (size_t)value;
    node->least = value < BUS_LEAST_MAX ? (uint32_t)value : BUS_LEAST_MAX;
    return true;
}

/* ---- types */

static const bus_node *parse_named(bus_parser *p, const json_t *json, const char *word, const char *outer)
{
    char path[sizeof p->path];
    memcpy(path, p->path, sizeof path);
    bus_kind kind = strcmp(word, "enum") == 0 ? BUS_KIND_ENUM : strcmp(word, "fixed") == 0 ? BUS_KIND_FIXED : BUS_KIND_RECORD;
    bus_node *node = new_node(p, kind, word, kind == BUS_KIND_RECORD ? OPEN : 1, json);
    const char *space = NULL;
    if (!node || !bus_parser_define(p, node, outer, &space))
        return NULL;
    bool ok = kind == BUS_KIND_ENUM ? read_enum(p, node) : kind == BUS_KIND_FIXED ? read_fixed(p, node) : read_fields(p, node, space);
    if (!ok)
        return NULL;
    bus_parser_logical(node);
    memcpy(p->path, path, sizeof path);
    return node;
}

static const bus_node *parse_container(bus_parser *p, const json_t *json, bool map, const char *space)
{
    bus_node *node = new_node(p, map ? BUS_KIND_MAP : BUS_KIND_ARRAY, map ? "map" : "array", 1, json);
    if (!node)
        return NULL;
    const char *member = map ? "values" : "items";
    const json_t *item = json_object_get(json, member);
    size_t len = bus_parser_step(p, map ? "{}" : "[]", "");
    node->item = item ? bus_parser_type(p, item, space) : bus_parser_refuse(p, "the %s has no \"%s\"", node->name, member);
    bus_parser_leave(p, len);
    return node->item ? node : NULL;
}

/* Two branches may not be of one type, but for named ones of different names. */
static bool branches_differ(bus_parser *p, const bus_node *node, size_t count)
{
    const bus_node *last = node->fields[count - 1].type;
    for (size_t i = 0; i + 1 < count; i++)
        if (strcmp(node->fields[i].type->name, last->name) == 0)
            return bus_parser_refuse(p, "the union has two branches of type %s", last->name) != NULL;
    return true;
}

static const bus_node *parse_union(bus_parser *p, const json_t *json, const char *space)
{
    size_t count = json_array_size(json);
    if (count > 1000)
        return bus_parser_refuse(p, "a union of %zu branches; %d are allowed", count, 1000);
    bus_node *node = new_node(p, BUS_KIND_UNION, "union", 1, json);
    bus_node_field *fields = node ? bus_parser_allocate(p, count * sizeof *fields) : NULL;
    if (!fields)
        return NULL;
    node->fields = fields;
    node->count = count;
    for (size_t i = 0; i < count; i++) {
        fields[i].type = bus_parser_type(p, json_array_get(json, i), space);
        if (!fields[i].type)
            return NULL;
        if (fields[i].type->kind == BUS_KIND_UNION)
            return bus_parser_refuse(p, "a union directly inside a union");
        if (!branches_differ(p, node, i + 1))
            return NULL;
    }
    return node;
}

static const bus_node *parse_object(bus_parser *p, const json_t *json, const char *space)
{
    const json_t *type = json_object_get(json, "type");
    if (!type && json_object_get(json, "protocol"))
        return bus_parser_refuse(p, "this is an Avro protocol (.avpr), not a schema: write each of its \"types\" into a file of its own (.avsc)");
    if (!type)
        return bus_parser_refuse(p, "the type's object has no \"type\"");
    if (!json_is_string(type))
        return bus_parser_type(p, type, space);
    const char *word = bus_parser_text(p, json, "type");
    if (!word)
        return NULL;
    if (strcmp(word, "record") == 0 || strcmp(word, "error") == 0 || strcmp(word, "enum") == 0 || strcmp(word, "fixed") == 0)
        return parse_named(p, json, word, space);
    if (strcmp(word, "array") == 0 || strcmp(word, "map") == 0)
        return parse_container(p, json, word[0] == 'm', space);
    const bus_node *known = bus_parser_primitive(word);
    if (!known && json_object_get(json, "name"))
        return bus_parser_refuse(p, "\"%.80s\" is no kind of named type: those are record, enum and fixed", word);
    if (!known)
        return bus_parser_refer(p, word, space);
    bus_node *node = new_node(p, known->kind, known->name, known->least, json);
    if (node)
        bus_parser_logical(node);
    return node;
}

const bus_node *bus_parser_type(bus_parser *p, const json_t *json, const char *space)
{
    const bus_node *node;
    const json_t *whole = p->at;
    if (json_is_object(json) || json_is_array(json) || json_is_string(json)) /* jansson has only one true, false, null */
        p->at = json;
    if (++p->depth > BUS_SCHEMA_MAX_DEPTH)
        return bus_parser_refuse(p, "nested deeper than %d", BUS_SCHEMA_MAX_DEPTH);
    if (json_is_object(json))
        node = parse_object(p, json, space);
    else if (json_is_array(json))
        node = parse_union(p, json, space);
    else if (json_is_string(json) && strlen(json_string_value(json)) == json_string_length(json))
        node = bus_parser_refer(p, json_string_value(json), space);
    else
        node = bus_parser_refuse(p, "a type is a name, an object or an array of types");
    p->depth--;
    if (node)
        p->at = whole;
    return node;
}
