/* SPDX-License-Identifier: MIT
 * Schema names: which are valid, what they mean in a name space, and what they refer to. */
#include "codec/schema_parser.h"

#include <stdio.h>

bool bui_parser_plain(const char *name, size_t len)
{
    if (len == 0 || len > BUI_NAME_MAX_LEN || (name[0] >= '0' && name[0] <= '9'))
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
        if (!bui_parser_plain(name, dot ? (size_t)(dot - name) : strlen(name)))
            return false;
        if (!dot)
            return true;
        name = dot + 1;
    }
}

const char *bui_parser_text(bui_parser *p, const json_t *json, const char *member)
{
    const json_t *value = json_object_get(json, member);
    if (!value)
        return NULL;
    if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value))
        return bui_parser_refuse(p, "\"%s\" must be a string", member);
    return json_string_value(value);
}

/* "Name" in a name space is "space.Name"; one with dots is full already. */
static const char *full_name(bui_parser *p, const char *name, const char *space)
{
    char text[2 * BUI_NAME_MAX_LEN + 2];
    if (strchr(name, '.') || space[0] == '\0')
        return bui_parser_keep(p, name);
    if (snprintf(text, sizeof text, "%s.%s", space, name) >= (int)sizeof text)
        return bui_parser_refuse(p, "the name is over %zu bytes", sizeof text - 1);
    return bui_parser_keep(p, text);
}

static const bui_node primitives[] = {
    { .kind = BUS_KIND_NULL, .name = "null", .least = 0, .default_value = -1 },
    { .kind = BUS_KIND_BOOLEAN, .name = "boolean", .least = 1, .default_value = -1 },
    { .kind = BUS_KIND_INT, .name = "int", .least = 1, .default_value = -1 },
    { .kind = BUS_KIND_LONG, .name = "long", .least = 1, .default_value = -1 },
    { .kind = BUS_KIND_FLOAT, .name = "float", .least = 4, .default_value = -1 },
    { .kind = BUS_KIND_DOUBLE, .name = "double", .least = 8, .default_value = -1 },
    { .kind = BUS_KIND_BYTES, .name = "bytes", .least = 1, .default_value = -1 },
    { .kind = BUS_KIND_STRING, .name = "string", .least = 1, .default_value = -1 },
};

const bui_node *bui_parser_primitive(const char *name)
{
    for (size_t i = 0; i < sizeof primitives / sizeof *primitives; i++)
        if (strcmp(primitives[i].name, name) == 0)
            return &primitives[i];
    return NULL;
}

/* Primitive names mean the same in every name space; those of the other kinds are words of the null name space alone: "car.record" is
 * a name as any other. */
static bool reserved(const char *full)
{
    static const char *const words[] = { "record", "error", "enum", "array", "map", "fixed", "union" };
    const char *dot = strrchr(full, '.');
    for (size_t i = 0; !dot && i < sizeof words / sizeof *words; i++)
        if (strcmp(words[i], full) == 0)
            return true;
    return bui_parser_primitive(dot ? dot + 1 : full) != NULL;
}

const bui_node *bui_parser_refer(bui_parser *p, const char *name, const char *space)
{
    const bui_node *node = bui_parser_primitive(name);
    if (node)
        return node;
    if (!dotted_name(name))
        return bui_parser_refuse(p, "\"%.80s\" is neither a type nor a valid name of one", name);
    const char *full = full_name(p, name, space);
    if (!full)
        return NULL;
    node = bui_map_get(&p->schema->names, full, strlen(full));
    if (!node && p->resolve) {
        bus_error why = { .status = BUS_OK };
        node = p->resolve(p->opaque, full, &why);
        if (!node && why.status != BUS_OK) {
            p->status = bui_fail(p->err, why.status, "%s: %s", p->path, why.text);
            return NULL;
        }
    }
    return node ? node : bui_parser_refuse(p, "the type \"%s\" is not defined before it is used", full);
}

bool bui_parser_names(bui_parser *p, const json_t *list, const char *what, const char *space, const char *const **out)
{
    size_t count = json_array_size(list);
    if (!json_is_array(list) || count > BUI_FIELDS_MAX)
        return bui_parser_refuse(p, "\"%s\" must be an array of at most %d names", what, BUI_FIELDS_MAX) != NULL;
    bui_map seen;
    bui_map_init(&seen);
    const char **names = bui_parser_allocate(p, (count + 1) * sizeof *names);
    bool ok = names != NULL;
    for (size_t i = 0; ok && i < count; i++) {
        const json_t *item = json_array_get(list, i);
        const char *name = json_string_value(item);
        ok = false;
        if (!name || !(space ? dotted_name(name) : bui_parser_plain(name, json_string_length(item))))
            bui_parser_refuse(p, "entry %zu of \"%s\" is no valid name (letters, digits, _)", i, what);
        else if (bui_map_get(&seen, name, strlen(name)))
            bui_parser_refuse(p, "\"%s\" is twice in \"%s\"", name, what);
        else if (!bui_map_put(&seen, name, strlen(name), p))
            bui_parser_no_memory(p);
        else
            ok = (names[i] = space ? full_name(p, name, space) : bui_parser_keep(p, name)) != NULL;
    }
    bui_map_free(&seen, NULL);
    if (ok)
        *out = names;
    return ok;
}

bool bui_parser_define(bui_parser *p, bui_node *node, const char *outer, const char **space)
{
    const char *name = bui_parser_text(p, node->json, "name");
    if (p->status != BUS_OK)
        return false;
    if (!name || !dotted_name(name))
        return bui_parser_refuse(p, "a %s needs a \"name\" of letters, digits and _", node->name) != NULL;
    const char *given = bui_parser_text(p, node->json, "namespace");
    if (p->status != BUS_OK)
        return false;
    if (given && given[0] && !dotted_name(given))
        return bui_parser_refuse(p, "the namespace \"%.80s\" is not valid", given) != NULL;
    const char *full = full_name(p, name, given ? given : outer);
    if (!full)
        return false;
    if (strlen(full) > 2 * BUI_NAME_MAX_LEN)
        return bui_parser_refuse(p, "the name is over %d bytes", 2 * BUI_NAME_MAX_LEN) != NULL;
    bui_parser_leave(p, 0);
    bui_parser_step(p, "", full);
    const char *dot = strrchr(full, '.');
    if (reserved(full))
        return bui_parser_refuse(p, "\"%s\" is the name of a type of Avro's own%s", dot ? dot + 1 : full,
                                 bui_parser_primitive(dot ? dot + 1 : full) ? "" : ": give it a namespace") != NULL;
    if (bui_map_get(&p->schema->names, full, strlen(full)))
        return bui_parser_refuse(p, "the name is defined twice") != NULL;
    if (!bui_map_put(&p->schema->names, full, strlen(full), node))
        return bui_parser_no_memory(p) != NULL;
    char *inner = bui_parser_allocate(p, strlen(full) + 1);
    if (!inner)
        return false;
    memcpy(inner, full, dot ? (size_t)(dot - full) : 0);
    *space = inner;
    node->name = full;
    node->doc = json_string_value(json_object_get(node->json, "doc"));
    const json_t *aliases = json_object_get(node->json, "aliases");
    return !aliases || bui_parser_names(p, aliases, "aliases", inner, &node->aliases);
}
