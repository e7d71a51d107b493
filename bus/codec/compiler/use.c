/* SPDX-License-Identifier: MIT
 * Use: how C holds each type, and what everything is called. Named types keep their names; containers are named after
 * what they hold; unions, which have no name in Avro, after the field that holds them. */
#include "codec/compiler/compiler.h"

#include <string.h>

#define DECIMAL_DIGITS 18 /* that surely fit an int64 */
#define FIXED_MAX (1u << 20)

/* What the types are looked up for: names come from here, complaints go here. */
typedef struct place {
    compiler *c;
    unit *u;
    const named *of;
    const char *hint;          /* "order_OrderPlaced_payment": names a union found here */
    const char *path;          /* "order.OrderPlaced.payment": for people */
    const struct json_t *json; /* the type or field as written: has a line */
} place;

static use *use_of(const place *at, const bui_node *node);

static use *refuse(const place *at, const char *what)
{
    char where[COMPILER_WHERE];
    bui_fail(at->c->err, BUS_SCHEMA, "%s: %s: %s", compiler_where(at->of->from, at->json, where), at->path, what);
    return NULL;
}

/* The use of this descriptor in the unit; a new one is not complete yet. */
static use *intern(const place *at, const bui_node *node, bus_kind kind, const char *shape, bool *fresh)
{
    use *found = shape ? bui_map_get(&at->u->uses, shape, strlen(shape)) : NULL;
    *fresh = false;
    if (found || !shape)
        return found;
    found = bui_arena_zero(&at->c->arena, sizeof *found);
    if (!found || !bui_map_put(&at->u->uses, shape, strlen(shape), found)) {
        bui_fail_nomem(at->c->err);
        return NULL;
    }
    found->node = node;
    found->kind = kind;
    found->shape = shape;
    if (at->u->last)
        at->u->last->next = found;
    else
        at->u->first = found;
    at->u->last = found;
    *fresh = true;
    return found;
}

/* ---- the library's own types */

typedef struct plain {
    const char *type, *stem, *shape;
} plain;

static const plain primitives[] = {
    [BUS_KIND_NULL] = { "bus_null", "bus_null", "bus_shape_null" },
    [BUS_KIND_BOOLEAN] = { "bool", "bus_boolean", "bus_shape_boolean" },
    [BUS_KIND_INT] = { "int32_t", "bus_int", "bus_shape_int" },
    [BUS_KIND_LONG] = { "int64_t", "bus_long", "bus_shape_long" },
    [BUS_KIND_FLOAT] = { "float", "bus_float", "bus_shape_float" },
    [BUS_KIND_DOUBLE] = { "double", "bus_double", "bus_shape_double" },
    [BUS_KIND_BYTES] = { "bus_bytes", "bus_bytes", "bus_shape_bytes" },
    [BUS_KIND_STRING] = { "bus_string", "bus_string", "bus_shape_string" },
};

static const plain logicals[] = {
    [BUS_LOGICAL_DATE] = { "bus_date", "bus_date", "bus_shape_date" },
    [BUS_LOGICAL_TIME_MILLIS] = { "bus_time_millis", "bus_time_millis", "bus_shape_time_millis" },
    [BUS_LOGICAL_TIME_MICROS] = { "bus_time_micros", "bus_time_micros", "bus_shape_time_micros" },
    [BUS_LOGICAL_TIMESTAMP_MILLIS] = { "bus_timestamp_millis", "bus_timestamp_millis", "bus_shape_timestamp_millis" },
    [BUS_LOGICAL_TIMESTAMP_MICROS] = { "bus_timestamp_micros", "bus_timestamp_micros", "bus_shape_timestamp_micros" },
    [BUS_LOGICAL_LOCAL_TIMESTAMP_MILLIS] = { "bus_local_timestamp_millis", "bus_local_timestamp_millis",
                                             "bus_shape_local_timestamp_millis" },
    [BUS_LOGICAL_LOCAL_TIMESTAMP_MICROS] = { "bus_local_timestamp_micros", "bus_local_timestamp_micros",
                                             "bus_shape_local_timestamp_micros" },
};

static use *library_use(const place *at, const bui_node *node, bus_kind kind, const char *type, const char *stem,
                        const char *shape)
{
    bool fresh;
    use *made = intern(at, node, kind, shape, &fresh);
    if (made && fresh) {
        made->type = type;
        made->stem = stem;
    }
    return made;
}

static bool narrow_decimal(const bui_node *node)
{
    return node->logical == BUS_LOGICAL_DECIMAL && node->precision <= DECIMAL_DIGITS;
}

static use *plain_use(const place *at, const bui_node *node)
{
    const plain *found = &primitives[node->kind];
    if (node->logical == BUS_LOGICAL_UUID)
        return library_use(at, node, BUS_KIND_UUID, "bus_uuid", "bus_uuid", "bus_shape_uuid");
    if (narrow_decimal(node))
        return library_use(at, node, BUS_KIND_DECIMAL, "bus_decimal", "bus_decimal",
                           compiler_text(at->c, "bus_shape_decimal_%d_%d", node->precision, node->scale));
    if (node->logical != BUS_LOGICAL_NONE && node->logical != BUS_LOGICAL_DECIMAL)
        found = &logicals[node->logical];
    return library_use(at, node, node->kind, found->type, found->stem, found->shape);
}

/* ---- named types */

static bool needs(compiler *c, unit *u, unit *other)
{
    for (size_t i = 0; i < u->need_count; i++)
        if (u->needs[i] == other)
            return true;
    unit **needed = bui_arena_alloc(&c->arena, (u->need_count + 1) * sizeof(unit *));
    if (!needed) {
        bui_fail_nomem(c->err);
        return false;
    }
    if (u->need_count > 0)
        memcpy(needed, u->needs, u->need_count * sizeof(unit *));
    needed[u->need_count++] = other;
    u->needs = needed;
    return true;
}

static bool fill_record(const place *at, use *made)
{
    const bui_node *node = made->node;
    const char **names = bui_arena_zero(&at->c->arena, (node->count + 1) * sizeof(char *));
    made->parts = bui_arena_zero(&at->c->arena, (node->count + 1) * sizeof(use *));
    if (!made->parts || !names) {
        bui_fail_nomem(at->c->err);
        return false;
    }
    for (size_t i = 0; i < node->count; i++) {
        place inner = *at;
        inner.hint = compiler_text(at->c, "%s_%s", made->type, node->fields[i].name);
        inner.path = compiler_text(at->c, "%s.%s", node->name, node->fields[i].name);
        inner.json = compiler_field(node, i);
        names[i] = node->fields[i].name;
        made->parts[i] = inner.hint && inner.path ? use_of(&inner, node->fields[i].type) : NULL;
        if (!made->parts[i])
            return false;
    }
    return compiler_members(at->c, made, names);
}

static use *fixed_use(const place *at, const bui_node *node)
{
    if (node->logical == BUS_LOGICAL_UUID)
        return library_use(at, node, BUS_KIND_UUID, "bus_uuid", "bus_uuid", "bus_shape_uuid_fixed");
    if (node->logical == BUS_LOGICAL_DURATION)
        return library_use(at, node, BUS_KIND_DURATION, "bus_duration", "bus_duration", "bus_shape_duration");
    if (narrow_decimal(node))
        return library_use(at, node, BUS_KIND_DECIMAL, "bus_decimal", "bus_decimal",
                           compiler_text(at->c, "bus_shape_decimal_fixed%zu_%d_%d", node->count, node->precision, node->scale));
    return NULL;
}

/* The functions of an enum are made up: they give way to a symbol or a type of their name. */
static bool name_enum(const place *at, use *made)
{
    const char *more = "";
    do {
        made->to_text = more ? compiler_text(at->c, "%s_name%s", made->type, more) : NULL;
        made->from_text = more ? compiler_text(at->c, "%s_from_name%s", made->type, more) : NULL;
        if (!made->to_text || !made->from_text)
            return false;
        more = compiler_text(at->c, "%s_", more);
    } while (!compiler_is_free(at->c, made->to_text) || !compiler_is_free(at->c, made->from_text));
    return compiler_take(at->c, made->to_text, made->node->name) && compiler_take(at->c, made->from_text, made->node->name);
}

static use *named_use(const place *at, const bui_node *node)
{
    bool fresh;
    if (node->kind == BUS_KIND_FIXED && (node->count == 0 || node->count > FIXED_MAX))
        return refuse(at, "a fixed must have from 1 byte to 1 MiB to be a C type: use bytes");
    if (node->kind == BUS_KIND_ENUM && node->count == 0)
        return refuse(at, "an enum without symbols has no values");
    use *special = node->kind == BUS_KIND_FIXED ? fixed_use(at, node) : NULL;
    if (special || at->c->err->status != BUS_OK)
        return special;
    const char *name = compiler_type_name(at->c, node->name);
    use *made = intern(at, node, node->kind, name ? compiler_text(at->c, "bus_shape_of_%s", name) : NULL, &fresh);
    if (!made || !fresh)
        return made;
    made->type = made->stem = name;
    const char *dot = strrchr(node->name, '.');
    unit *home = bui_map_get(&at->c->units, node->name, dot ? (size_t)(dot - node->name) : 0);
    if (!home)
        return refuse(at, "refers to a type without a namespace");
    made->home = home;
    if (home != at->u)
        return needs(at->c, at->u, home) ? made : NULL;
    if (node->kind == BUS_KIND_ENUM && !name_enum(at, made))
        return NULL;
    return node->kind != BUS_KIND_RECORD || fill_record(at, made) ? made : NULL;
}

/* ---- containers */

/* "bus_shape_string" and "array" give "bus_shape_array_string". */
static const char *container_shape(const place *at, const use *item, const char *kind)
{
    return compiler_text(at->c, "bus_shape_%s_%s", kind, item->shape + strlen("bus_shape_"));
}

/* What the names of containers of it begin with: those of the library's values are the library's, others belong to this name space. */
static const char *container_stem(const place *at, const use *item)
{
    if (item->home == at->u)
        return item->stem;
    return compiler_text(at->c, "%s_%s", at->u->prefix, item->stem + (item->home ? 0 : strlen("bus_")));
}

static bool is_container(const use *t)
{
    return t->kind == BUS_KIND_ARRAY || t->kind == BUS_KIND_MAP || t->kind == BUS_KIND_OPTIONAL;
}

/* Names the C type, unless another descriptor (decimals of two scales, null first or last) has the same one. */
static bool name_container(const place *at, use *made, const char *ending)
{
    const use *item = made->item;
    if (!item->home && !is_container(item)) {
        made->stem = compiler_text(at->c, "%s_%s", item->stem, ending);
        made->entry = compiler_text(at->c, "%s_entry", item->stem);
        return made->stem && made->entry;
    }
    made->home = at->u;
    const char *key = compiler_text(at->c, "%s of %s", ending, item->stem), *stem = container_stem(at, item), *more = "";
    const use *same = key ? bui_map_get(&at->u->made, key, strlen(key)) : NULL;
    if (same) {
        made->stem = same->stem;
        made->entry = same->entry;
        return true;
    }
    for (bool map = made->kind == BUS_KIND_MAP; key && stem && more; more = compiler_text(at->c, "%s_", more)) {
        made->stem = compiler_text(at->c, "%s_%s%s", stem, ending, more);
        made->entry = compiler_text(at->c, "%s_entry%s", stem, more);
        if (!made->stem || !made->entry)
            return false;
        if (!compiler_is_free(at->c, made->stem) || (map && !compiler_is_free(at->c, made->entry)))
            continue;
        if (!bui_map_put(&at->u->made, key, strlen(key), made)) {
            bui_fail_nomem(at->c->err);
            return false;
        }
        return compiler_take(at->c, made->stem, at->path) && (!map || compiler_take(at->c, made->entry, at->path));
    }
    return false;
}

static use *container_use(const place *at, const bui_node *node)
{
    bool map = node->kind == BUS_KIND_MAP, fresh;
    place inner = *at;
    inner.hint = compiler_text(at->c, map ? "%s_value" : "%s_item", at->hint);
    inner.path = compiler_text(at->c, map ? "%s{}" : "%s[]", at->path);
    use *item = inner.hint && inner.path ? use_of(&inner, node->item) : NULL;
    if (!item)
        return NULL;
    use *made = intern(at, node, node->kind, container_shape(at, item, map ? "map" : "array"), &fresh);
    if (!made || !fresh)
        return made;
    made->item = item;
    if (!name_container(at, made, map ? "map" : "array"))
        return NULL;
    made->type = made->stem;
    return made;
}

/* ["null", T] or [T, "null"]. */
static use *optional_use(const place *at, const bui_node *node, size_t null_branch)
{
    bool fresh;
    use *item = use_of(at, node->fields[1 - null_branch].type);
    if (!item)
        return NULL;
    bool record = item->kind == BUS_KIND_RECORD;
    const char *kind = record ? (null_branch == 0 ? "ref" : "ref_last") : null_branch == 0 ? "optional" : "optional_last";
    use *made = intern(at, node, record ? BUS_KIND_POINTER : BUS_KIND_OPTIONAL, container_shape(at, item, kind), &fresh);
    if (!made || !fresh)
        return made;
    made->item = item;
    if (!name_container(at, made, record ? "ref" : "optional"))
        return NULL;
    made->type = record ? compiler_text(at->c, "const %s *", item->type) : made->stem;
    return made->type ? made : NULL;
}

/* Records are pointed to, so that a union is as small as its other branches and may hold itself. */
static use *branch_use(const place *at, const bui_node *node)
{
    bool fresh;
    use *item = use_of(at, node);
    if (!item || item->kind != BUS_KIND_RECORD)
        return item;
    use *made = intern(at, node, BUS_KIND_POINTER, container_shape(at, item, "branch"), &fresh);
    if (!made || !fresh)
        return made;
    made->item = item;
    made->type = compiler_text(at->c, "const %s *", item->type);
    return made->type && name_container(at, made, "ref") ? made : NULL;
}

static bool is_free_union(const place *at, const char *type, const char *const *labels, size_t count, const char **tags)
{
    const char *tag = compiler_text(at->c, "%s_tag", type);
    if (!tag || !compiler_is_free(at->c, type) || !compiler_is_free(at->c, tag))
        return false;
    for (size_t i = 0; i < count; i++) {
        tags[i] = compiler_text(at->c, "%s_%s", type, labels[i]);
        if (!tags[i] || !compiler_is_free(at->c, tags[i]))
            return false;
    }
    return compiler_take(at->c, type, at->path) && compiler_take(at->c, tag, at->path);
}

/* After the place where it is met, with all its enumerators. */
static const char *name_union(const place *at, const char *const *labels, size_t count, const char **tags)
{
    const char *type = at->hint;
    while (type && at->c->err->status == BUS_OK && !is_free_union(at, type, labels, count, tags))
        type = compiler_text(at->c, "%s_", type);
    for (size_t i = 0; type && at->c->err->status == BUS_OK && i < count; i++)
        compiler_take(at->c, tags[i], at->path);
    return at->c->err->status == BUS_OK ? type : NULL;
}

static use *union_use(const place *at, const bui_node *node)
{
    bool fresh;
    if (node->count == 0)
        return refuse(at, "a union without branches has no values");
    const char **labels = compiler_labels(at->c, node), **tags = bui_arena_zero(&at->c->arena, node->count * sizeof(char *));
    use **parts = bui_arena_zero(&at->c->arena, node->count * sizeof(use *));
    if (!labels || !tags || !parts) {
        bui_fail_nomem(at->c->err);
        return NULL;
    }
    const char *type = name_union(at, labels, node->count, tags);
    use *made = type ? intern(at, node, BUS_KIND_UNION, compiler_text(at->c, "bus_shape_union_%s", type), &fresh) : NULL;
    if (!made)
        return NULL;
    made->type = made->stem = type;
    made->tags = tags;
    made->parts = parts;
    made->home = at->u;
    for (size_t i = 0; i < node->count; i++) {
        place inner = *at;
        inner.hint = tags[i];
        parts[i] = branch_use(&inner, node->fields[i].type);
        if (!parts[i])
            return NULL;
    }
    return compiler_members(at->c, made, labels) ? made : NULL;
}

static use *use_of(const place *at, const bui_node *node)
{
    switch (node->kind) {
    case BUS_KIND_RECORD:
    case BUS_KIND_ENUM:
    case BUS_KIND_FIXED: return named_use(at, node);
    case BUS_KIND_ARRAY:
    case BUS_KIND_MAP: return container_use(at, node);
    case BUS_KIND_UNION:
        for (size_t i = 0; node->count == 2 && i < 2; i++)
            if (node->fields[i].type->kind == BUS_KIND_NULL)
                return optional_use(at, node, i);
        return union_use(at, node);
    default: return plain_use(at, node);
    }
}

/* Headers include each other by need: a circle has no order. */
static bool no_circle(compiler *c, unit *u)
{
    if (u->mark == 2)
        return true;
    u->mark = 1;
    for (size_t i = 0; i < u->need_count; i++) {
        if (u->needs[i]->mark == 1) {
            bui_fail(c->err, BUS_SCHEMA,
                     "%s: the namespaces %s and %s use types of each other, so neither header can come first: move the types "
                     "that both use into a namespace of their own",
                     u->types[0].from->path, u->space, u->needs[i]->space);
            return false;
        }
        if (!no_circle(c, u->needs[i]))
            return false;
    }
    u->mark = 2;
    return true;
}

bus_status compiler_uses(compiler *c)
{
    if (compiler_claims(c) != BUS_OK)
        return c->err->status;
    for (size_t i = 0; i < c->unit_count; i++) {
        unit *u = c->order[i];
        for (size_t j = 0; j < u->count; j++) {
            named *type = &u->types[j];
            place at = { c, u, type, type->node->name, type->node->name, type->node->json };
            type->use = named_use(&at, type->node);
            if (!type->use)
                return c->err->status;
        }
    }
    for (size_t i = 0; i < c->unit_count; i++)
        if (!no_circle(c, c->order[i]))
            return c->err->status;
    return compiler_name_events(c);
}
