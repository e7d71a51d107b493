/* SPDX-License-Identifier: MIT
 * Load: the types of the input files, sorted by name space. */
#include "codec/compiler/compiler.h"

#include "base/array.h"

#include <stdlib.h>
#include <string.h>

/* ---- sorting what was found by name space */

/* A name space begins C names, alone: the library's begin with bus_. */
static bool may_begin(compiler *c, const source *from, const bui_node *node, const char *space, const char *prefix)
{
    char where[COMPILER_WHERE];
    compiler_where(from, node->json, where);
    if (strcmp(prefix, "bus") == 0 || strncmp(prefix, "bus_", 4) == 0) {
        bui_fail(c->err, BUS_SCHEMA,
                 "%s: the namespace %s of %s makes C names that begin with bus_, which are the library's: choose another "
                 "namespace",
                 where, space, node->name);
        return false;
    }
    for (size_t i = 0; i < c->unit_count; i++)
        if (strcmp(c->order[i]->prefix, prefix) == 0) {
            bui_fail(c->err, BUS_SCHEMA, "%s: the namespaces %s and %s both become %s in C: rename one", where, space,
                     c->order[i]->space, prefix);
            return false;
        }
    return true;
}

static unit *unit_of(compiler *c, const source *from, const bui_node *node)
{
    const char *full_name = node->name;
    char where[COMPILER_WHERE];
    const char *dot = strrchr(full_name, '.');
    if (!dot) {
        bui_fail(c->err, BUS_SCHEMA,
                 "%s: %s has no namespace, and its C names and files are made from that: give it one, such as \"namespace\": "
                 "\"shop\"",
                 compiler_where(from, node->json, where), full_name);
        return NULL;
    }
    char *space = compiler_text(c, "%.*s", (int)(dot - full_name), full_name);
    if (!space)
        return NULL;
    unit *u = bui_map_get(&c->units, space, strlen(space));
    if (u)
        return u;
    const char *prefix = compiler_space_name(c, space);
    if (!prefix || !may_begin(c, from, node, space, prefix))
        return NULL;
    u = bui_array_one_more(&c->order, c->unit_count, sizeof *c->order) ? bui_arena_zero(&c->arena, sizeof *u) : NULL;
    if (!u || !bui_map_put(&c->units, space, strlen(space), u)) {
        bui_fail_nomem(c->err);
        return NULL;
    }
    u->space = space;
    u->prefix = prefix;
    bui_map_init(&u->uses);
    bui_map_init(&u->made);
    bui_map_init(&u->written);
    c->order[c->unit_count++] = u;
    return u;
}

/* Does a program emit it, or is it only a part of what is emitted? */
static bool is_event(const source *from, const bui_node *node)
{
    const bui_node *root = bui_schema_root(from->schema);
    bool found = root == node;
    for (size_t i = 0; root->kind == BUS_KIND_UNION && i < root->count; i++)
        found |= root->fields[i].type == node;
    return found && node->kind == BUS_KIND_RECORD;
}

static bool add(compiler *c, const source *from, const bui_node *node)
{
    unit *u = unit_of(c, from, node);
    if (!u)
        return false;
    if (!bui_array_room(&u->types, &u->cap, u->count + 1, sizeof *u->types, 8)) {
        bui_fail_nomem(c->err);
        return false;
    }
    u->types[u->count++] = (named){ .node = node, .from = from, .event = is_event(from, node) };
    return true;
}

/* What a type contains comes before it, as in hand-written headers; `seen` ends circles. */
static bool collect(compiler *c, const source *from, const bui_node *node, bui_map *seen)
{
    if (node->kind < BUS_KIND_RECORD)
        return true;
    if (node->kind == BUS_KIND_ARRAY || node->kind == BUS_KIND_MAP)
        return collect(c, from, node->item, seen);
    bool has_name = node->kind != BUS_KIND_UNION;
    if (has_name) {
        /* Of another file: collected with that one. */
        if (bui_map_get(seen, node->name, strlen(node->name)) || bui_schema_named(from->schema, node->name) != node)
            return true;
        if (!bui_map_put(seen, node->name, strlen(node->name), c)) {
            bui_fail_nomem(c->err);
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
    bui_map seen;
    bui_map_init(&seen);
    bus_status status = bui_schema_set_load(&c->set, paths, count, c->err);
    for (size_t i = 0; i < count && status == BUS_OK; i++) {
        const source *s = c->set.given.at[i];
        if (!s->defines)
            status = bui_fail(c->err, BUS_SCHEMA,
                              "%s: it defines no record, enum or fixed, and only those become C: name its "
                              "type, or leave the file out",
                              s->path);
        else if (!collect(c, s, bui_schema_root(s->schema), &seen))
            status = c->err->status;
    }
    bui_map_free(&seen, NULL);
    return status;
}

void compiler_begin(compiler *c, const char *suffix, bus_error *err)
{
    *c = (compiler){ .suffix = suffix, .err = err };
    bui_arena_init(&c->arena, 0);
    bui_schema_set_init(&c->set, false); /* what is not given would get no C */
    bui_map_init(&c->units);
    bui_map_init(&c->identifiers);
}

void compiler_end(compiler *c)
{
    bui_schema_set_free(&c->set);
    for (size_t i = 0; i < c->unit_count; i++) {
        bui_map_free(&c->order[i]->uses, NULL);
        bui_map_free(&c->order[i]->made, NULL);
        bui_map_free(&c->order[i]->written, NULL);
        free(c->order[i]->types);
    }
    free(c->order);
    bui_map_free(&c->units, NULL);
    bui_map_free(&c->identifiers, NULL);
    bui_arena_free(&c->arena);
}
