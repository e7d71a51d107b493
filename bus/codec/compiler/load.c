/* SPDX-License-Identifier: MIT
 * Load: the types of the input files, sorted by name space. */
#include "codec/compiler/compiler.h"

#include "base/array.h"

#include <stdlib.h>
#include <string.h>

/* ---- sorting what was found by name space */

/* A name space begins C names, alone: the library's begin with bus_. */
static bool may_begin(compiler *c, const source *from, const bus_node *node, const char *space, const char *prefix)
{
    char where[COMPILER_WHERE];
    compiler_where(from, node->json, where);
    if (strcmp(prefix, "bus") == 0 || strncmp(prefix, "bus_", 4) == 0) {
        bus_fail(c->err, BUS_SCHEMA, "%s: the namespace %s of %s makes C names that begin with bus_, which are the library's: choose another "
                                     "namespace", where, space, node->name);
        return false;
    }
    for (size_t i = 0; i < c->unit_count; i++)
        if (strcmp(c->order[i]->prefix, prefix) == 0) {
            bus_fail(c->err, BUS_SCHEMA, "%s: the namespaces %s and %s both become %s in C: rename one", where, space, c->order[i]->space, prefix);
            return false;
        }
    return true;
}

static unit *unit_of(compiler *c, const source *from, const bus_node *node)
{
    const char *full_name = node->name;
    char where[COMPILER_WHERE];
    const char *dot = strrchr(full_name, '.');
    if (!dot) {
        bus_fail(c->err, BUS_SCHEMA, "%s: %s has no namespace, and its C names and files are made from that: give it one, such as \"namespace\": "
                                     "\"shop\"", compiler_where(from, node->json, where), full_name);
        return NULL;
    }
    char *space = compiler_text(c, "%.*s", (int)(dot - full_name), full_name);
    if (!space)
        return NULL;
    unit *u = bus_map_get(&c->units, space, strlen(space));
    if (u)
        return u;
    const char *prefix = compiler_c_name(c, space);
    if (!prefix || !may_begin(c, from, node, space, prefix))
        return NULL;
    u = bus_array_one_more(&c->order, c->unit_count, sizeof *c->order) ? bus_arena_zero(&c->arena, sizeof *u) : NULL;
    if (!u || !bus_map_put(&c->units, space, strlen(space), u)) {
        bus_fail_nomem(c->err);
        return NULL;
    }
    u->space = space;
    u->prefix = prefix;
    bus_map_init(&u->uses);
    bus_map_init(&u->made);
    bus_map_init(&u->written);
    c->order[c->unit_count++] = u;
    return u;
}

static bool add(compiler *c, const source *from, const bus_node *node)
{
    unit *u = unit_of(c, from, node);
    if (!u)
        return false;
    if (!bus_array_room(&u->types, &u->cap, u->count + 1, sizeof *u->types, 8)) {
        bus_fail_nomem(c->err);
        return false;
    }
    u->types[u->count++] = (named){ node, from, NULL };
    return true;
}

/* What a type contains comes before it, as in hand-written headers; `seen` ends circles. */
static bool collect(compiler *c, const source *from, const bus_node *node, bus_map *seen)
{
    if (node->kind < BUS_KIND_RECORD)
        return true;
    if (node->kind == BUS_KIND_ARRAY || node->kind == BUS_KIND_MAP)
        return collect(c, from, node->item, seen);
    bool has_name = node->kind != BUS_KIND_UNION;
    if (has_name) {
        /* Of another file: collected with that one. */
        if (bus_map_get(seen, node->name, strlen(node->name)) || bus_schema_named(from->schema, node->name) != node)
            return true;
        if (!bus_map_put(seen, node->name, strlen(node->name), c)) {
            bus_fail_nomem(c->err);
            return false;
        }
    }
    for (size_t i = 0; (node->kind == BUS_KIND_RECORD || !has_name) && i < node->count; i++)
        if (!collect(c, from, node->fields[i].type, seen))
            return false;
    return !has_name || add(c, from, node);
}

bus_status compiler_load(compiler *c, const char *const *paths, size_t count)
{
    bus_map seen;
    bus_map_init(&seen);
    bus_status status = bus_schema_set_load(&c->set, paths, count, c->err);
    for (size_t i = 0; i < count && status == BUS_OK; i++) {
        const source *s = c->set.given.at[i];
        if (!s->defines)
            status = bus_fail(c->err, BUS_SCHEMA, "%s: it defines no record, enum or fixed, and C is made of those alone: name its type, or leave "
                                                  "the file out", s->path);
        else if (!collect(c, s, bus_schema_root(s->schema), &seen))
            status = c->err->status;
    }
    bus_map_free(&seen, NULL);
    return status;
}

void compiler_begin(compiler *c, bus_error *err)
{
    *c = (compiler){ .err = err };
    bus_arena_init(&c->arena, 0);
    bus_schema_set_init(&c->set, false); /* what is not given would get no C */
    bus_map_init(&c->units);
    bus_map_init(&c->identifiers);
}

void compiler_end(compiler *c)
{
    bus_schema_set_free(&c->set);
    for (size_t i = 0; i < c->unit_count; i++) {
        bus_map_free(&c->order[i]->uses, NULL);
        bus_map_free(&c->order[i]->made, NULL);
        bus_map_free(&c->order[i]->written, NULL);
        free(c->order[i]->types);
    }
    free(c->order);
    bus_map_free(&c->units, NULL);
    bus_map_free(&c->identifiers, NULL);
    bus_arena_free(&c->arena);
}
