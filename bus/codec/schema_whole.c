/* SPDX-License-Identifier: MIT
 * Schema whole: the text of a type that needs no other. */
#include "codec/schema_set.h"

#include "base/error.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const char *simple_name(const char *full_name)
{
    const char *dot = strrchr(full_name, '.');
    return dot ? dot + 1 : full_name;
}

static json_t *describe(const bui_node *node, const char *space, bui_map *seen);

static json_t *describe_list(const bui_node *node, const char *space, bui_map *seen)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < node->count; i++) {
        const bui_node_field *field = &node->fields[i];
        json_t *item = describe(field->type, space, seen);
        if (node->kind == BUS_KIND_RECORD && item) {
            json_t *written = json_array_get(json_object_get(node->json, "fields"), i), *copy = json_copy(written);
            if (!copy || json_object_set(copy, "type", item) != 0) {
                json_decref(copy);
                copy = NULL;
            }
            json_decref(item);
            item = copy;
        }
        if (!item || json_array_append_new(list, item) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

/* A named type as its file has it, with the types it refers to put in where they are met first. */
static json_t *describe_named(const bui_node *node, const char *outer, bui_map *seen)
{
    if (bui_map_get(seen, node->name, strlen(node->name)))
        return json_string(node->name);
    if (!bui_map_put(seen, node->name, strlen(node->name), seen))
        return NULL;
    const char *simple = simple_name(node->name);
    char *space = strndup(node->name, simple > node->name ? (size_t)(simple - node->name) - 1 : 0);
    json_t *copy = space ? json_copy((json_t *)(uintptr_t)node->json) : NULL;
    bool ok = copy && json_object_set_new(copy, "name", json_string(simple)) == 0;
    if (ok && strcmp(space, outer) == 0)
        json_object_del(copy, "namespace");
    else
        ok = ok && json_object_set_new(copy, "namespace", json_string(space)) == 0;
    if (ok && node->kind == BUS_KIND_RECORD)
        ok = json_object_set_new(copy, "fields", describe_list(node, space, seen)) == 0;
    free(space);
    if (!ok) {
        json_decref(copy);
        return NULL;
    }
    return copy;
}

static json_t *describe(const bui_node *node, const char *space, bui_map *seen)
{
    switch (node->kind) {
    case BUS_KIND_RECORD:
    case BUS_KIND_ENUM:
    case BUS_KIND_FIXED: return describe_named(node, space, seen);
    case BUS_KIND_UNION: return describe_list(node, space, seen);
    case BUS_KIND_ARRAY:
    case BUS_KIND_MAP: {
        json_t *copy = json_copy((json_t *)(uintptr_t)node->json);
        if (copy && json_object_set_new(copy, node->kind == BUS_KIND_ARRAY ? "items" : "values",
                                        describe(node->item, space, seen)) != 0) {
            json_decref(copy);
            copy = NULL;
        }
        return copy;
    }
    default: return node->json ? json_copy((json_t *)(uintptr_t)node->json) : json_string(node->name);
    }
}

bus_status bui_schema_whole(const bui_node *node, bui_buf *out, bus_error *err)
{
    bui_map seen;
    bui_map_init(&seen);
    json_t *json = describe(node, "", &seen);
    bui_map_free(&seen, NULL);
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    json_decref(json);
    if (text)
        bui_buf_text(out, text);
    free(text);
    return text && bui_buf_ok(out) ? BUS_OK : bui_fail_nomem(err);
}
