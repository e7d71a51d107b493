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
    const char *hint;  /* "order_OrderPlaced_payment": names a union found here */
    const char *path;  /* "order.OrderPlaced.payment": for people */
    const struct json_t *json; /* the type or field as written: has a line */
} place;

static use *use_of(const place *at, const bus_node *node);

static use *refuse(const place *at, const char *what)
{
    char where[COMPILER_WHERE];
    bus_fail(at->c->err, BUS_SCHEMA, "%s: %s: %s", compiler_where(at->of->from, at->json, where), at->path, what);
    return NULL;
}

/* Takes a C identifier, for the whole program. */
static bool claim(const place *at, const char *identifier)
{
    const char *other = bus_map_get(&at->c->identifiers, identifier, strlen(identifier));
    if (other) {
        char where[COMPILER_WHERE];
        bus_fail(at->c->err, BUS_SCHEMA, "%s: %s becomes %s in C, and so does %s: rename one",
                 compiler_where(at->of->from, at->json, where), at->path, identifier, other);
        return false;
    }
    if (bus_map_put(&at->c->identifiers, identifier, strlen(identifier), (void *)(uintptr_t)at->path))
        return true;
    bus_fail_nomem(at->c->err);
    return false;
}

static bool claim_all(const place *at, const char *name, const char *const *endings)
{
    for (; *endings; endings++) {
        char *identifier = compiler_text(at->c, "%s%s", name, *endings);
        if (!identifier || !claim(at, identifier))
            return false;
    }
    return true;
}

/* The use of this descriptor in the unit; a new one is not complete yet. */
static use *intern(const place *at, const bus_node *node, bus_kind kind, const char *shape, bool *fresh)
{
    use *found = shape ? bus_map_get(&at->u->uses, shape, strlen(shape)) : NULL;
    *fresh = false;
    if (found || !shape)
        return found;
    found = bus_arena_zero(&at->c->arena, sizeof *found);
    if (!found || !bus_map_put(&at->u->uses, shape, strlen(shape), found)) {
        bus_fail_nomem(at->c->err);
        return NULL;
    }
    found->node = node;
    found->kind = kind;
    found->shape = shape;
    *fresh = true;
    return found;
}

/* ---- the library's own types */

typedef struct plain { const char *type, *stem, *shape; } plain;

static const plain primitives[] = {
    [BUS_KIND_NULL] = { "bus_null", "bus_null", "null_shape" },
    [BUS_KIND_BOOLEAN] = { "bool", "bus_boolean", "boolean_shape" },
    [BUS_KIND_INT] = { "int32_t", "bus_int", "int_shape" },
    [BUS_KIND_LONG] = { "int64_t", "bus_long", "long_shape" },
    [BUS_KIND_FLOAT] = { "float", "bus_float", "float_shape" },
    [BUS_KIND_DOUBLE] = { "double", "bus_double", "double_shape" },
    [BUS_KIND_BYTES] = { "bus_bytes", "bus_bytes", "bytes_shape" },
    [BUS_KIND_STRING] = { "bus_string", "bus_string", "string_shape" },
};

static const plain logicals[] = {
    [BUS_LOGICAL_DATE] = { "bus_date", "bus_date", "date_shape" },
    [BUS_LOGICAL_TIME_MILLIS] = { "bus_time_millis", "bus_time_millis", "time_millis_shape" },
    [BUS_LOGICAL_TIME_MICROS] = { "bus_time_micros", "bus_time_micros", "time_micros_shape" },
    [BUS_LOGICAL_TIMESTAMP_MILLIS] = { "bus_timestamp_millis", "bus_timestamp_millis", "timestamp_millis_shape" },
    [BUS_LOGICAL_TIMESTAMP_MICROS] = { "bus_timestamp_micros", "bus_timestamp_micros", "timestamp_micros_shape" },
    [BUS_LOGICAL_LOCAL_TIMESTAMP_MILLIS] = { "bus_local_timestamp_millis", "bus_local_timestamp_millis",
                                             "local_timestamp_millis_shape" },
    [BUS_LOGICAL_LOCAL_TIMESTAMP_MICROS] = { "bus_local_timestamp_micros", "bus_local_timestamp_micros",
                                             "local_timestamp_micros_shape" },
};

static use *library_use(const place *at, const bus_node *node, bus_kind kind, const char *type, const char *stem,
                        const char *shape)
{
    bool fresh;
    use *made = intern(at, node, kind, shape, &fresh);
    if (made && fresh) {
        made->type = type;
        made->stem = stem;
        made->foreign = true;
    }
    return made;
}

static bool narrow_decimal(const bus_node *node)
{
    return node->logical == BUS_LOGICAL_DECIMAL && node->precision <= DECIMAL_DIGITS;
}

static use *plain_use(const place *at, const bus_node *node)
{
    const plain *found = &primitives[node->kind];
    if (node->logical == BUS_LOGICAL_UUID)
        return library_use(at, node, BUS_KIND_UUID, "bus_uuid", "bus_uuid", "uuid_shape");
    if (narrow_decimal(node))
        return library_use(at, node, BUS_KIND_DECIMAL, "bus_decimal", "bus_decimal",
                           compiler_text(at->c, "decimal_%d_%d_shape", node->precision, node->scale));
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
    unit **needed = bus_arena_alloc(&c->arena, (u->need_count + 1) * sizeof(unit *));
    if (!needed) {
        bus_fail_nomem(c->err);
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
    const bus_node *node = made->node;
    made->parts = bus_arena_zero(&at->c->arena, (node->count + 1) * sizeof(use *));
    made->members = bus_arena_zero(&at->c->arena, (node->count + 1) * sizeof(char *));
    if (!made->parts || !made->members) {
        bus_fail_nomem(at->c->err);
        return false;
    }
    for (size_t i = 0; i < node->count; i++) {
        place inner = *at;
        inner.hint = compiler_text(at->c, "%s_%s", made->type, node->fields[i].name);
        inner.path = compiler_text(at->c, "%s.%s", node->name, node->fields[i].name);
        inner.json = compiler_field(node, i);
        made->members[i] = compiler_member(at->c, node->fields[i].name);
        if (!inner.hint || !inner.path || !made->members[i])
            return false;
        made->parts[i] = use_of(&inner, node->fields[i].type);
        if (!made->parts[i])
            return false;
        for (size_t j = 0; j < i; j++)
            if (strcmp(made->members[j], made->members[i]) == 0)
                return refuse(&inner, "another field has the same name in C: rename one") != NULL;
    }
    return true;
}

static use *fixed_use(const place *at, const bus_node *node)
{
    if (node->logical == BUS_LOGICAL_UUID)
        return library_use(at, node, BUS_KIND_UUID, "bus_uuid", "bus_uuid", "uuid_fixed_shape");
    if (node->logical == BUS_LOGICAL_DURATION)
        return library_use(at, node, BUS_KIND_DURATION, "bus_duration", "bus_duration", "duration_shape");
    if (narrow_decimal(node))
        return library_use(at, node, BUS_KIND_DECIMAL, "bus_decimal", "bus_decimal",
                           compiler_text(at->c, "decimal_fixed%zu_%d_%d_shape", node->count, node->precision, node->scale));
    return NULL;
}

static use *named_use(const place *at, const bus_node *node)
{
    bool fresh;
    if (node->kind == BUS_KIND_FIXED && (node->count == 0 || node->count > FIXED_MAX))
        return refuse(at, "a fixed must have from 1 byte to 1 MiB to be a C type: use bytes");
    if (node->kind == BUS_KIND_ENUM && node->count == 0)
        return refuse(at, "an enum without symbols has no values");
    use *special = node->kind == BUS_KIND_FIXED ? fixed_use(at, node) : NULL;
    if (special || at->c->err->status != BUS_OK)
        return special;
    const char *name = compiler_c_name(at->c, node->name);
    use *made = intern(at, node, node->kind, name ? compiler_text(at->c, "%s_shape", name) : NULL, &fresh);
    if (!made || !fresh)
        return made;
    made->type = made->stem = name;
    const char *dot = strrchr(node->name, '.');
    unit *home = bus_map_get(&at->c->units, node->name, dot ? (size_t)(dot - node->name) : 0);
    if (!home)
        return refuse(at, "refers to a type without a namespace");
    made->foreign = home != at->u;
    if (made->foreign)
        return needs(at->c, at->u, home) ? made : NULL;
    if (node->kind == BUS_KIND_RECORD) {
        static const char *const endings[] = { "", "_type", "_of", "_shape", "_fields", "_defaults", NULL };
        return claim_all(at, name, endings) && fill_record(at, made) ? made : NULL;
    }
    static const char *const endings[] = { "", "_shape", NULL };
    if (!claim_all(at, name, endings))
        return NULL;
    for (size_t i = 0; node->kind == BUS_KIND_ENUM && i < node->count; i++) {
        const char *symbol = compiler_text(at->c, "%s_%s", name, node->symbols[i]);
        if (!symbol || !claim(at, symbol))
            return NULL;
    }
    return made;
}

/* ---- containers */

/* Containers of the library's own types have names there ("bus_string_array"); others belong to this name space. */
static const char *container_name(const place *at, const use *item, const char *ending)
{
    bool library = strncmp(item->stem, "bus_", 4) == 0;
    size_t len = strlen(at->u->prefix);
    if (library && item->kind != BUS_KIND_ARRAY && item->kind != BUS_KIND_MAP && item->kind != BUS_KIND_OPTIONAL)
        return compiler_text(at->c, "%s_%s", item->stem, ending);
    if (strncmp(item->stem, at->u->prefix, len) == 0 && item->stem[len] == '_')
        return compiler_text(at->c, "%s_%s", item->stem, ending);
    return compiler_text(at->c, "%s_%s_%s", at->u->prefix, item->stem + (library ? strlen("bus_") : 0), ending);
}

/* "string_shape" and "array" give "string_array_shape". */
static const char *container_shape(const place *at, const use *item, const char *ending)
{
    return compiler_text(at->c, "%.*s_%s_shape", (int)(strlen(item->shape) - strlen("_shape")), item->shape, ending);
}

static bool claim_container(const place *at, const use *made)
{
    /* Two descriptors (decimals of two scales, null first or last) may share one C type. */
    return made->foreign || bus_map_get(&at->c->identifiers, made->type, strlen(made->type)) || claim(at, made->type);
}

static use *container_use(const place *at, const bus_node *node)
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
    made->type = made->stem = container_name(at, item, map ? "map" : "array");
    made->foreign = made->type && strncmp(made->type, "bus_", 4) == 0;
    return made->type && claim_container(at, made) ? made : NULL;
}

/* ["null", T] or [T, "null"]. */
static use *optional_use(const place *at, const bus_node *node, size_t null_branch)
{
    bool fresh;
    use *item = use_of(at, node->fields[1 - null_branch].type);
    if (!item)
        return NULL;
    bool record = item->kind == BUS_KIND_RECORD;
    const char *ending = record ? (null_branch == 0 ? "ref" : "ref_null_last") : null_branch == 0 ? "optional" : "optional_null_last";
    use *made = intern(at, node, record ? BUS_KIND_POINTER : BUS_KIND_OPTIONAL, container_shape(at, item, ending), &fresh);
    if (!made || !fresh)
        return made;
    made->item = item;
    made->stem = container_name(at, item, record ? "ref" : "optional");
    made->type = record ? compiler_text(at->c, "const %s *", item->type) : made->stem;
    made->foreign = made->stem && strncmp(made->stem, "bus_", 4) == 0;
    return made->type && made->stem && (record || claim_container(at, made)) ? made : NULL;
}

/* Records are pointed to, so that a union is as small as its other branches and may hold itself. */
static use *branch_use(const place *at, const bus_node *node)
{
    bool fresh;
    use *item = use_of(at, node);
    if (!item || item->kind != BUS_KIND_RECORD)
        return item;
    use *made = intern(at, node, BUS_KIND_POINTER, container_shape(at, item, "branch"), &fresh);
    if (made && fresh) {
        made->item = item;
        made->stem = container_name(at, item, "ref");
        made->type = compiler_text(at->c, "const %s *", item->type);
    }
    return made && made->type && made->stem ? made : NULL;
}

static use *union_use(const place *at, const bus_node *node)
{
    static const char *const endings[] = { "", "_tag", NULL };
    bool fresh;
    if (node->count == 0)
        return refuse(at, "a union without branches has no values");
    use *made = intern(at, node, BUS_KIND_UNION, compiler_text(at->c, "%s_shape", at->hint), &fresh);
    if (!made || !fresh)
        return made;
    made->type = made->stem = at->hint;
    made->parts = bus_arena_zero(&at->c->arena, node->count * sizeof(use *));
    made->members = bus_arena_zero(&at->c->arena, node->count * sizeof(char *));
    if (!made->parts || !made->members) {
        bus_fail_nomem(at->c->err);
        return NULL;
    }
    if (!claim_all(at, at->hint, endings))
        return NULL;
    for (size_t i = 0; i < node->count; i++) {
        const bus_node *branch = node->fields[i].type;
        const char *simple = compiler_simple(branch->name), *tag = compiler_text(at->c, "%s_%s", at->hint, simple);
        place inner = *at;
        inner.hint = tag;
        made->members[i] = compiler_member(at->c, simple);
        if (!tag || !made->members[i] || !claim(at, tag))
            return NULL;
        made->parts[i] = branch_use(&inner, branch);
        if (!made->parts[i])
            return NULL;
    }
    return made;
}

static use *use_of(const place *at, const bus_node *node)
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
    if (u->mark == 1) {
        bus_fail(c->err, BUS_SCHEMA, "the namespace %s uses types of another one that uses its types: move the shared types into a "
                                     "namespace of their own", u->space);
        return false;
    }
    u->mark = 1;
    for (size_t i = 0; i < u->need_count; i++)
        if (!no_circle(c, u->needs[i]))
            return false;
    u->mark = 2;
    return true;
}

bus_status compiler_uses(compiler *c)
{
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
    return BUS_OK;
}
