/* SPDX-License-Identifier: MIT
 * Schema types: from their JSON to nodes. A record's node exists before its fields, so that they can name it. */
#include "codec/schema_parser.h"

#define OPEN UINT32_MAX /* `least` of a record whose fields are still being read */

static bui_node *new_node(bui_parser *p, bus_kind kind, const char *name, uint32_t least, const json_t *json)
{
    if (++p->nodes > BUI_SCHEMA_MAX_NODES)
        return bui_parser_refuse(p, "more than %d types", BUI_SCHEMA_MAX_NODES);
    bui_node *node = bui_parser_allocate(p, sizeof *node);
    if (node)
        *node = (bui_node){ .kind = kind, .name = name, .least = least, .default_value = -1, .json = json };
    return node;
}

/* ---- what named types consist of */

static bool read_field(bui_parser *p, const json_t *json, const char *space, bui_node_field *out)
{
    const json_t *whole = p->at;
    p->at = json;
    const char *name = bui_parser_text(p, json, "name");
    if (p->status != BUS_OK)
        return false;
    if (!json_is_object(json) || !name || !bui_parser_plain(name, strlen(name)))
        return bui_parser_refuse(p, "a field needs a \"name\" of letters, digits and _") != NULL;
    char outer[sizeof p->path];
    memcpy(outer, p->path, sizeof outer);
    bui_parser_step(p, ".", name);
    const json_t *type = json_object_get(json, "type");
    out->name = bui_parser_keep(p, name);
    out->doc = json_string_value(json_object_get(json, "doc"));
    out->type = !out->name ? NULL : type ? bui_parser_type(p, type, space) : bui_parser_refuse(p, "the field has no \"type\"");
    if (!out->type)
        return false;
    if (out->type->least == OPEN)
        return bui_parser_refuse(p, "holds %s, which holds this: no value can ever end (make it optional)", out->type->name) !=
               NULL;
    const json_t *aliases = json_object_get(json, "aliases");
    if (aliases && !bui_parser_names(p, aliases, "aliases", NULL, &out->aliases))
        return false;
    /* Checked at the end, when every type is whole. */
    out->default_value = json_object_get(json, "default");
    p->at = whole;
    memcpy(p->path, outer, sizeof outer);
    return true;
}

static bool read_fields(bui_parser *p, bui_node *node, const char *space)
{
    const json_t *list = json_object_get(node->json, "fields");
    size_t count = json_array_size(list);
    if (!json_is_array(list) || count > BUI_FIELDS_MAX)
        return bui_parser_refuse(p, "a record needs \"fields\", an array of at most %d", BUI_FIELDS_MAX) != NULL;
    bui_node_field *fields = bui_parser_allocate(p, count * sizeof *fields);
    if (!fields)
        return false;
    bui_map seen;
    bui_map_init(&seen);
    uint64_t least = 0;
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++) {
        ok = read_field(p, json_array_get(list, i), space, &fields[i]);
        if (!ok)
            break;
        least += fields[i].type->least;
        size_t len = strlen(fields[i].name);
        if (bui_map_get(&seen, fields[i].name, len))
            ok = bui_parser_refuse(p, "there are two fields \"%s\"", fields[i].name) != NULL;
        else if (!bui_map_put(&seen, fields[i].name, len, node))
            ok = bui_parser_no_memory(p) != NULL;
    }
    bui_map_free(&seen, NULL);
    node->fields = fields;
    node->count = count;
    node->least = least < BUI_LEAST_MAX ? (uint32_t)least : BUI_LEAST_MAX;
    return ok;
}

static bool read_enum(bui_parser *p, bui_node *node)
{
    const json_t *list = json_object_get(node->json, "symbols");
    if (!list || !bui_parser_names(p, list, "symbols", NULL, &node->symbols))
        return p->status != BUS_OK ? false : bui_parser_refuse(p, "an enum needs \"symbols\"") != NULL;
    node->count = json_array_size(list);
    const char *default_value = bui_parser_text(p, node->json, "default");
    if (p->status != BUS_OK || !default_value)
        return p->status == BUS_OK;
    for (size_t i = 0; i < node->count; i++)
        if (strcmp(node->symbols[i], default_value) == 0)
            node->default_value = (int32_t)i;
    return node->default_value >= 0 ||
           bui_parser_refuse(p, "the default \"%.80s\" is not among the symbols", default_value) != NULL;
}

static bool read_fixed(bui_parser *p, bui_node *node)
{
    const json_t *size = json_object_get(node->json, "size");
    json_int_t value = json_integer_value(size);
    if (!json_is_integer(size) || value < 0 || value > INT32_MAX)
        return bui_parser_refuse(p, "a fixed needs a \"size\" from 0 to %d", INT32_MAX) != NULL;
    node->count = (size_t)value;
    node->least = value < BUI_LEAST_MAX ? (uint32_t)value : BUI_LEAST_MAX;
    return true;
}

/* ---- types */

static const bui_node *parse_named(bui_parser *p, const json_t *json, const char *word, const char *outer)
{
    char path[sizeof p->path];
    memcpy(path, p->path, sizeof path);
    bus_kind kind = strcmp(word, "enum") == 0 ? BUS_KIND_ENUM : strcmp(word, "fixed") == 0 ? BUS_KIND_FIXED : BUS_KIND_RECORD;
    bui_node *node = new_node(p, kind, word, kind == BUS_KIND_RECORD ? OPEN : 1, json);
    const char *space = NULL;
    if (!node || !bui_parser_define(p, node, outer, &space))
        return NULL;
    bool ok = kind == BUS_KIND_ENUM    ? read_enum(p, node)
              : kind == BUS_KIND_FIXED ? read_fixed(p, node)
                                       : read_fields(p, node, space);
    if (!ok)
        return NULL;
    bui_parser_logical(node);
    memcpy(p->path, path, sizeof path);
    return node;
}

static const bui_node *parse_container(bui_parser *p, const json_t *json, bool map, const char *space)
{
    bui_node *node = new_node(p, map ? BUS_KIND_MAP : BUS_KIND_ARRAY, map ? "map" : "array", 1, json);
    if (!node)
        return NULL;
    const char *member = map ? "values" : "items";
    const json_t *item = json_object_get(json, member);
    size_t len = bui_parser_step(p, map ? "{}" : "[]", "");
    node->item = item ? bui_parser_type(p, item, space) : bui_parser_refuse(p, "the %s has no \"%s\"", node->name, member);
    bui_parser_leave(p, len);
    return node->item ? node : NULL;
}

/* Two branches may not be of one type, but for named ones of different names. */
static bool branches_differ(bui_parser *p, const bui_node *node, size_t count)
{
    const bui_node *last = node->fields[count - 1].type;
    for (size_t i = 0; i + 1 < count; i++)
        if (strcmp(node->fields[i].type->name, last->name) == 0)
            return bui_parser_refuse(p, "the union has two branches of type %s", last->name) != NULL;
    return true;
}

static const bui_node *parse_union(bui_parser *p, const json_t *json, const char *space)
{
    size_t count = json_array_size(json);
    if (count > 1000)
        return bui_parser_refuse(p, "a union of %zu branches; %d are allowed", count, 1000);
    bui_node *node = new_node(p, BUS_KIND_UNION, "union", 1, json);
    bui_node_field *fields = node ? bui_parser_allocate(p, count * sizeof *fields) : NULL;
    if (!fields)
        return NULL;
    node->fields = fields;
    node->count = count;
    for (size_t i = 0; i < count; i++) {
        fields[i].type = bui_parser_type(p, json_array_get(json, i), space);
        if (!fields[i].type)
            return NULL;
        if (fields[i].type->kind == BUS_KIND_UNION)
            return bui_parser_refuse(p, "a union directly inside a union");
        if (!branches_differ(p, node, i + 1))
            return NULL;
    }
    return node;
}

static const bui_node *parse_object(bui_parser *p, const json_t *json, const char *space)
{
    const json_t *type = json_object_get(json, "type");
    if (!type && json_object_get(json, "protocol"))
        return bui_parser_refuse(
            p, "this is an Avro protocol (.avpr), not a schema: write each of its \"types\" into a file of its own (.avsc)");
    if (!type)
        return bui_parser_refuse(p, "the type's object has no \"type\"");
    if (!json_is_string(type))
        return bui_parser_type(p, type, space);
    const char *word = bui_parser_text(p, json, "type");
    if (!word)
        return NULL;
    if (strcmp(word, "record") == 0 || strcmp(word, "error") == 0 || strcmp(word, "enum") == 0 || strcmp(word, "fixed") == 0)
        return parse_named(p, json, word, space);
    if (strcmp(word, "array") == 0 || strcmp(word, "map") == 0)
        return parse_container(p, json, word[0] == 'm', space);
    const bui_node *known = bui_parser_primitive(word);
    if (!known && json_object_get(json, "name"))
        return bui_parser_refuse(p, "\"%.80s\" is not a kind of named type: those are record, enum and fixed", word);
    if (!known)
        return bui_parser_refer(p, word, space);
    bui_node *node = new_node(p, known->kind, known->name, known->least, json);
    if (node)
        bui_parser_logical(node);
    return node;
}

const bui_node *bui_parser_type(bui_parser *p, const json_t *json, const char *space)
{
    const bui_node *node;
    const json_t *whole = p->at;
    if (json_is_object(json) || json_is_array(json) || json_is_string(json)) /* jansson has only one true, false, null */
        p->at = json;
    if (++p->depth > BUI_SCHEMA_MAX_DEPTH)
        return bui_parser_refuse(p, "nested deeper than %d", BUI_SCHEMA_MAX_DEPTH);
    if (json_is_object(json))
        node = parse_object(p, json, space);
    else if (json_is_array(json))
        node = parse_union(p, json, space);
    else if (json_is_string(json) && strlen(json_string_value(json)) == json_string_length(json))
        node = bui_parser_refer(p, json_string_value(json), space);
    else
        node = bui_parser_refuse(p, "a type is a name, an object or an array of types");
    p->depth--;
    if (node)
        p->at = whole;
    return node;
}
