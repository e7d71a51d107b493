/* SPDX-License-Identifier: MIT
 * Bundle: one walk over the schema in the order in which Avro defines names; the first use of a foreign name becomes its
 * definition, with its name space spelt out, since it would inherit that of its new surroundings. */
#include "registry/bundle.h"

#include "codec/schema.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define NAME 512

typedef struct walk {
    const json_t *others;
    json_t *defined;
    int depth;
} walk;

static json_t *expand(walk *w, const json_t *node, const char *space);

static void full_name(const char *name, const char *space, char out[NAME])
{
    snprintf(out, NAME, "%s%s%s", strchr(name, '.') ? "" : space, strchr(name, '.') || !*space ? "" : ".", name);
}

/* The name space of what is defined inside of the type: of its full name. */
static void space_of(const json_t *node, const char *outer, char full[NAME], char space[NAME])
{
    const char *name = json_string_value(json_object_get(node, "name"));
    const json_t *own = json_object_get(node, "namespace");
    full_name(name ? name : "", own ? json_string_value(own) ? json_string_value(own) : "" : outer, full);
    snprintf(space, NAME, "%s", full);
    char *dot = strrchr(space, '.');
    *(dot ? dot : space) = 0;
}

static json_t *put_in(walk *w, const char *full, const json_t *other)
{
    json_t *body = json_copy((json_t *)(uintptr_t)other); /* shallow: only the name space is changed */
    if (body && json_is_object(body) && json_object_get(body, "name") && !json_object_get(body, "namespace") &&
        !strchr(json_string_value(json_object_get(body, "name")) ? json_string_value(json_object_get(body, "name")) : "", '.'))
        json_object_set_new(body, "namespace", json_string(""));
    json_t *out = body ? expand(w, body, "") : NULL;
    json_object_set_new(w->defined, full, json_true());
    json_decref(body);
    return out;
}

static json_t *expand_name(walk *w, const json_t *node, const char *space)
{
    char full[NAME];
    full_name(json_string_value(node), space, full);
    const json_t *other = json_object_get(w->others, full);
    if (!other || json_object_get(w->defined, full))
        return json_copy((json_t *)(uintptr_t)node);
    return put_in(w, full, other);
}

static json_t *expand_field(walk *w, const json_t *field, const char *space)
{
    json_t *out = json_copy((json_t *)(uintptr_t)field);
    json_t *type = out ? expand(w, json_object_get(field, "type"), space) : NULL;
    if (type && json_object_set_new(out, "type", type) == 0)
        return out;
    json_decref(out);
    return NULL;
}

static json_t *expand_list(walk *w, const json_t *node, const char *space, bool fields)
{
    json_t *out = json_array();
    const json_t *each;
    size_t i;
    json_array_foreach(node, i, each)
    {
        if (json_array_append_new(out, fields ? expand_field(w, each, space) : expand(w, each, space)) == 0)
            continue;
        json_decref(out);
        return NULL;
    }
    return out;
}

static json_t *expand_object(walk *w, const json_t *node, const char *space)
{
    static const char *const parts[] = { "fields", "items", "values", "type" };
    char full[NAME], inner[NAME];
    bool named = json_is_string(json_object_get(node, "name"));
    json_t *out = json_copy((json_t *)(uintptr_t)node);
    if (named) {
        space_of(node, space, full, inner);
        json_object_set_new(w->defined, full, json_true());
    }
    for (size_t i = 0; out && i < sizeof parts / sizeof *parts; i++) {
        const json_t *part = json_object_get(node, parts[i]);
        if (!part || (i == 3 && named)) /* the type of a record is the word "record" */
            continue;
        json_t *made = i == 0 ? expand_list(w, part, named ? inner : space, true) : expand(w, part, named ? inner : space);
        if (!made || json_object_set_new(out, parts[i], made)) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

static json_t *expand(walk *w, const json_t *node, const char *space)
{
    if (w->depth >= BUI_SCHEMA_MAX_DEPTH)
        return NULL;
    w->depth++;
    json_t *out = json_is_string(node)   ? expand_name(w, node, space)
                  : json_is_array(node)  ? expand_list(w, node, space, false)
                  : json_is_object(node) ? expand_object(w, node, space)
                                         : json_copy((json_t *)(uintptr_t)node);
    w->depth--;
    return out;
}

json_t *bui_schema_bundle(const json_t *schema, const json_t *others)
{
    walk w = { .others = others, .defined = json_object() };
    json_t *out = w.defined ? expand(&w, schema, "") : NULL;
    json_decref(w.defined);
    return out;
}
