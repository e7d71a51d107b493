/* SPDX-License-Identifier: MIT
 * Load: the input files as checked schemas. A name that a file does not define is looked for in the others, which are
 * then parsed first; so the order of the arguments does not matter. */
#include "codec/compiler/compiler.h"

#include "codec/utf8.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bus_status parse(compiler *c, source *s, bus_error *err);

static bus_status read_file(source *s, bus_error *err)
{
    bus_status status = BUS_OK;
    bus_buf text;
    bus_buf_init(&text, BUS_SCHEMA_MAX_BYTES);
    FILE *file = fopen(s->path, "rb");
    if (!file)
        return bus_fail(err, BUS_IO, "%s: %s", s->path, strerror(errno));
    char chunk[4096];
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, file)) > 0;)
        bus_buf_add(&text, chunk, n);
    if (ferror(file))
        status = bus_fail(err, BUS_IO, "%s: %s", s->path, strerror(errno));
    else if (text.over)
        status = bus_fail(err, BUS_TOO_BIG, "%s: over %u bytes", s->path, BUS_SCHEMA_MAX_BYTES);
    fclose(file);
    s->len = text.len;
    s->text = bus_buf_take(&text);
    bus_buf_free(&text);
    if (status == BUS_OK && !s->text)
        status = bus_fail_nomem(err);
    return status;
}

/* ---- which file defines which names, before anything is parsed */

static bus_status scan(compiler *c, source *s, const json_t *json, const char *space);

static bus_status scan_members(compiler *c, source *s, const json_t *json, const char *space)
{
    bus_status status = BUS_OK;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)json, key, value) {
        /* Defaults and unknown members are no types, whatever they look like. */
        if (strcmp(key, "type") != 0 && strcmp(key, "items") != 0 && strcmp(key, "values") != 0 && strcmp(key, "fields") != 0)
            continue;
        status = scan(c, s, value, space);
        if (status != BUS_OK)
            break;
    }
    return status;
}

static bus_status scan(compiler *c, source *s, const json_t *json, const char *space)
{
    size_t i;
    json_t *item;
    json_array_foreach(json, i, item) {
        bus_status status = scan(c, s, item, space);
        if (status != BUS_OK)
            return status;
    }
    const char *kind = json_string_value(json_object_get(json, "type")), *name = json_string_value(json_object_get(json, "name"));
    if (!json_is_object(json))
        return BUS_OK;
    if (kind && name && (strcmp(kind, "record") == 0 || strcmp(kind, "error") == 0 || strcmp(kind, "enum") == 0 ||
                         strcmp(kind, "fixed") == 0)) {
        const char *given = json_string_value(json_object_get(json, "namespace"));
        const char *full = strchr(name, '.') ? name : compiler_text(c, "%s%s%s", given ? given : space,
                                                                    *(given ? given : space) ? "." : "", name);
        char *inner = full ? compiler_text(c, "%s", full) : NULL;
        if (!inner)
            return BUS_NOMEM;
        char *dot = strrchr(inner, '.');
        *(dot ? dot : inner) = '\0';
        space = inner;
        const source *other = bus_map_get(&c->defines, full, strlen(full));
        if (other && other != s)
            return bus_fail(c->err, BUS_SCHEMA, "%s: %s is defined in %s as well: define it once, the other file may refer to it "
                                                "by name", s->path, full, other->path);
        if (!bus_map_put(&c->defines, full, strlen(full), s))
            return bus_fail_nomem(c->err);
        s->defines = true;
    }
    return scan_members(c, s, json, space);
}

/* ---- parsing */

typedef struct request { compiler *c; source *from; } request;

static const bus_node *resolve(void *opaque, const char *full_name, bus_error *err)
{
    request *asked = opaque;
    source *s = bus_map_get(&asked->c->defines, full_name, strlen(full_name));
    if (!s)
        return NULL;
    if (s == asked->from)
        bus_fail(err, BUS_SCHEMA, "%s is used before it is defined, further on in the file: define it at its first use", full_name);
    else if (s->busy)
        bus_fail(err, BUS_SCHEMA, "%s is in %s, which refers back to this file: put the two into one file", full_name, s->path);
    else if (s->schema || parse(asked->c, s, err) == BUS_OK)
        return bus_schema_named(s->schema, full_name);
    return NULL;
}

static bus_status parse(compiler *c, source *s, bus_error *err)
{
    bus_error why;
    size_t line;
    request asked = { c, s };
    s->busy = true;
    bus_status status = bus_schema_parse_with(s->text, s->len, resolve, &asked, &s->schema, &line, &why);
    s->busy = false;
    if (status == BUS_OK || line == 0)
        return status == BUS_OK ? BUS_OK : bus_fail(err, status, "%s: %s", s->path, why.text);
    return bus_fail(err, status, "%s:%zu: %s", s->path, line, why.text);
}

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
    unit **order = realloc(c->order, (c->unit_count + 1) * sizeof(unit *));
    if (order)
        c->order = order;
    u = order ? bus_arena_zero(&c->arena, sizeof *u) : NULL;
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
    if (u->count == u->cap) {
        size_t cap = u->cap ? u->cap * 2 : 8;
        named *types = realloc(u->types, cap * sizeof *types);
        if (!types) {
            bus_fail_nomem(c->err);
            return false;
        }
        u->types = types;
        u->cap = cap;
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

static int by_path(const void *a, const void *b)
{
    return strcmp(((const source *)a)->path, ((const source *)b)->path);
}

bus_status compiler_load(compiler *c, const char *const *paths, size_t count)
{
    bus_status status = BUS_OK;
    c->sources = calloc(count, sizeof *c->sources);
    if (!c->sources)
        return bus_fail_nomem(c->err);
    c->source_count = count;
    for (size_t i = 0; i < count; i++)
        c->sources[i].path = paths[i];
    qsort(c->sources, count, sizeof *c->sources, by_path); /* the output does not depend on the arguments' order */
    for (size_t i = 0; i < count && status == BUS_OK; i++) {
        source *s = &c->sources[i];
        json_error_t where;
        status = read_file(s, c->err);
        if (status != BUS_OK)
            break;
        const char *mark = bus_utf8_mark(s->text, s->len);
        if (mark)
            return bus_fail(c->err, BUS_SCHEMA, "%s: %s", s->path, mark);
        s->document = json_loadb(s->text, s->len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &where);
        if (!s->document)
            return bus_fail(c->err, BUS_SCHEMA, "%s:%d:%d: %s", s->path, where.line, where.column, where.text);
        status = scan(c, s, s->document, "");
    }
    for (size_t i = 0; i < count && status == BUS_OK; i++)
        if (!c->sources[i].schema)
            status = parse(c, &c->sources[i], c->err);
    bus_map seen;
    bus_map_init(&seen);
    for (size_t i = 0; i < count && status == BUS_OK; i++) {
        source *s = &c->sources[i];
        if (!s->defines)
            status = bus_fail(c->err, BUS_SCHEMA, "%s: it defines no record, enum or fixed, and C is made of those alone: name its type, or leave "
                                                  "the file out", s->path);
        else if (!collect(c, s, bus_schema_root(s->schema), &seen))
            status = c->err->status;
    }
    bus_map_free(&seen, NULL);
    return status;
}

void compiler_drop(json_t *document)
{
    json_decref(document);
}
