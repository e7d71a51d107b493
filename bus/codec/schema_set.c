/* SPDX-License-Identifier: MIT
 * Schema set: files as checked schemas, those they refer to parsed first. */
#include "codec/schema_set.h"

#include "base/array.h"
#include "base/error.h"
#include "codec/utf8.h"

#include <errno.h>
#include <glob.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A file that defines a name; `rival`: another one does as well, so neither can be meant. */
typedef struct offer {
    bui_schema_source *from;
    const char *rival;
} offer;

/* One file that is scanned: its names go into the set's defines, or into its offers. */
typedef struct scanner {
    bui_schema_set *set;
    bui_schema_source *from;
    bool offered;
    bus_error *err;
} scanner;

static bus_status parse(bui_schema_set *set, bui_schema_source *s, bus_error *err);

void bui_schema_set_init(bui_schema_set *set, bool beside)
{
    *set = (bui_schema_set){ .beside = beside };
    bui_map_init(&set->defines);
    bui_map_init(&set->offers);
    bui_map_init(&set->folders);
}

static void drop(bui_schema_source *s)
{
    bui_schema_free(s->schema);
    json_decref(s->document);
    free(s->text);
    free(s->path);
    free(s);
}

static void drop_all(bui_schema_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        drop(list->at[i]);
    free(list->at);
}

void bui_schema_set_free(bui_schema_set *set)
{
    drop_all(&set->given);
    drop_all(&set->others);
    bui_map_free(&set->defines, NULL);
    bui_map_free(&set->offers, free);
    bui_map_free(&set->folders, NULL);
}

/* ---- reading */

static bus_status read_text(bui_schema_source *s, bus_error *err)
{
    bus_status status = BUS_OK;
    bui_buf text;
    FILE *file = fopen(s->path, "rb");
    if (!file)
        return bui_fail(err, BUS_IO, "%s: %s", s->path, strerror(errno));
    bui_buf_init(&text, BUI_SCHEMA_MAX_BYTES);
    char chunk[4096];
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, file)) > 0;)
        bui_buf_add(&text, chunk, n);
    if (ferror(file))
        status = bui_fail(err, BUS_IO, "%s: %s", s->path, strerror(errno));
    else if (text.over)
        status = bui_fail(err, BUS_TOO_BIG, "%s: over %u bytes", s->path, BUI_SCHEMA_MAX_BYTES);
    fclose(file);
    s->len = text.len;
    s->text = text.len > 0 ? bui_buf_take(&text) : strdup("");
    bui_buf_free(&text);
    return status == BUS_OK && !s->text ? bui_fail_nomem(err) : status;
}

static bus_status read_document(bui_schema_source *s, bus_error *err)
{
    json_error_t where;
    bus_status status = read_text(s, err);
    const char *mark = status == BUS_OK ? bui_utf8_mark(s->text, s->len) : NULL;
    if (mark)
        return bui_fail(err, BUS_SCHEMA, "%s: %s", s->path, mark);
    if (status != BUS_OK)
        return status;
    s->document = json_loadb(s->text, s->len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &where);
    if (!s->document && json_error_code(&where) == json_error_out_of_memory)
        return bui_fail_nomem(err);
    return s->document ? BUS_OK : bui_fail(err, BUS_SCHEMA, "%s:%d:%d: %s", s->path, where.line, where.column, where.text);
}

/* A fresh source at the list's end, read. On failure it is gone. */
static bus_status read_source(bui_schema_set *set, bui_schema_list *list, const char *path, bui_schema_source **out,
                              bus_error *err)
{
    bui_schema_source *s = bui_array_one_more(&list->at, list->count, sizeof *list->at) ? calloc(1, sizeof *s) : NULL;
    if (!s || !(s->path = strdup(path))) {
        free(s);
        return bui_fail_nomem(err);
    }
    bus_status status = read_document(s, err);
    if (status == BUS_OK && (set->given.count + set->others.count >= BUI_SET_MOST || s->len > BUI_SET_BYTES - set->bytes))
        status = bui_fail(err, BUS_TOO_BIG,
                          "%s: the schema files that are given or are beside them are over %d, or over %u "
                          "bytes: put those that "
                          "are needed into a folder of their own",
                          path, BUI_SET_MOST, BUI_SET_BYTES);
    if (status != BUS_OK) {
        drop(s);
        return status;
    }
    set->bytes += s->len;
    list->at[list->count++] = s;
    *out = s;
    return BUS_OK;
}

/* ---- which file defines which names, before anything is parsed */

static bus_status note_offer(scanner *w, const char *full)
{
    offer *known = bui_map_get(&w->set->offers, full, strlen(full));
    if (known) {
        if (known->from != w->from && !known->rival)
            known->rival = w->from->path;
        return BUS_OK;
    }
    known = calloc(1, sizeof *known);
    if (!known || !bui_map_put(&w->set->offers, full, strlen(full), known)) {
        free(known);
        return bui_fail_nomem(w->err);
    }
    known->from = w->from;
    return BUS_OK;
}

static bus_status note(scanner *w, const char *full)
{
    if (w->offered)
        return note_offer(w, full);
    const bui_schema_source *other = bui_map_get(&w->set->defines, full, strlen(full));
    if (other && other != w->from)
        return bui_fail(w->err, BUS_SCHEMA,
                        "%s: %s is defined in %s as well: define it once, the other file may refer to it by name", w->from->path,
                        full, other->path);
    w->from->defines = true;
    return bui_map_put(&w->set->defines, full, strlen(full), w->from) ? BUS_OK : bui_fail_nomem(w->err);
}

static bus_status scan(scanner *w, const json_t *json, const char *space);

/* Types stand in these members; defaults and unknown members are no types, whatever they look like. */
static bus_status scan_members(scanner *w, const json_t *json, const char *space)
{
    static const char *const members[] = { "type", "items", "values", "fields" };
    bus_status status = BUS_OK;
    for (size_t i = 0; i < sizeof members / sizeof *members && status == BUS_OK; i++)
        status = scan(w, json_object_get(json, members[i]), space);
    return status;
}

static bool defines_type(const json_t *json)
{
    static const char *const kinds[] = { "record", "error", "enum", "fixed" };
    const char *kind = json_string_value(json_object_get(json, "type"));
    for (size_t i = 0; kind && i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kind, kinds[i]) == 0)
            return json_is_string(json_object_get(json, "name"));
    return false;
}

static bus_status scan_named(scanner *w, const json_t *json, const char *outer)
{
    const char *name = json_string_value(json_object_get(json, "name")),
               *given = json_string_value(json_object_get(json, "namespace"));
    const char *space = given ? given : outer;
    size_t room = strlen(space) + strlen(name) + 2;
    char *full = malloc(room);
    if (!full)
        return bui_fail_nomem(w->err);
    snprintf(full, room, "%s%s%s", strchr(name, '.') ? "" : space, strchr(name, '.') || !*space ? "" : ".", name);
    bus_status status = note(w, full);
    char *dot = strrchr(full, '.');
    *(dot ? dot : full) = '\0'; /* now the name space of what it holds */
    if (status == BUS_OK)
        status = scan_members(w, json, full);
    free(full);
    return status;
}

static bus_status scan(scanner *w, const json_t *json, const char *space)
{
    bus_status status = BUS_OK;
    for (size_t i = 0; i < json_array_size(json) && status == BUS_OK; i++)
        status = scan(w, json_array_get(json, i), space);
    if (!json_is_object(json) || status != BUS_OK)
        return status;
    return defines_type(json) ? scan_named(w, json, space) : scan_members(w, json, space);
}

/* ---- files that are not given */

static bool has(const bui_schema_list *list, const char *path)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->at[i]->path, path) == 0)
            return true;
    return false;
}

bus_status bui_schema_set_offer(bui_schema_set *set, const char *path, bus_error *err)
{
    bui_schema_source *s;
    bus_error why = { .status = BUS_OK };
    if (has(&set->given, path) || has(&set->others, path))
        return BUS_OK;
    bus_status status = read_source(set, &set->others, path, &s, &why);
    if (status == BUS_OK)
        return scan(&(scanner){ set, s, true, err }, s->document, "");
    if (status == BUS_SCHEMA || status == BUS_IO) /* its own business, until it is needed */
        return BUS_OK;
    return bui_fail(err, status, "%s", why.text);
}

/* The *.avsc of the folder where the file is, once. */
static bus_status look_beside(bui_schema_set *set, const char *path, bus_error *err)
{
    char pattern[4096];
    const char *slash = strrchr(path, '/');
    int len = slash ? (int)(slash - path) + 1 : 0, room = (int)sizeof pattern;
    if (snprintf(pattern, sizeof pattern, "%.*s*.avsc", len, path) >= room ||
        bui_map_get(&set->folders, pattern, strlen(pattern)))
        return BUS_OK;
    if (!bui_map_put(&set->folders, pattern, strlen(pattern), set))
        return bui_fail_nomem(err);
    glob_t found;
    if (strpbrk(pattern, "[]?\\") || glob(pattern, 0, NULL, &found) != 0)
        return BUS_OK;
    bus_status status = BUS_OK;
    for (size_t i = 0; i < found.gl_pathc && status == BUS_OK; i++)
        status = bui_schema_set_offer(set, found.gl_pathv[i], err);
    globfree(&found);
    return status;
}

/* Takes the file that offers the name into use; NULL: none does, or *err. */
static bui_schema_source *take_offer(bui_schema_set *set, const char *full_name, const char *asking, bus_error *err)
{
    const offer *found = bui_map_get(&set->offers, full_name, strlen(full_name));
    if (!found && look_beside(set, asking, err) == BUS_OK)
        found = bui_map_get(&set->offers, full_name, strlen(full_name));
    if (!found)
        return NULL;
    if (found->rival) {
        bui_fail(err, BUS_SCHEMA, "%s is defined in %s and in %s: leave one of them out, or away from there", full_name,
                 found->from->path, found->rival);
        return NULL;
    }
    return scan(&(scanner){ set, found->from, false, err }, found->from->document, "") == BUS_OK ? found->from : NULL;
}

/* ---- parsing */

typedef struct request {
    bui_schema_set *set;
    bui_schema_source *from;
} request;

static const bui_node *resolve(void *opaque, const char *full_name, bus_error *err)
{
    request *asked = opaque;
    bui_schema_source *s = bui_map_get(&asked->set->defines, full_name, strlen(full_name));
    if (!s && asked->set->beside)
        s = take_offer(asked->set, full_name, asked->from->path, err);
    if (!s && err->status == BUS_OK)
        bui_fail(err, BUS_SCHEMA, "the type \"%s\" is not defined here, nor in another %s", full_name,
                 asked->set->beside ? ".avsc file of this folder: put its file there"
                                    : "of the files given: give its file as well");
    if (!s)
        return NULL;
    if (s == asked->from)
        bui_fail(err, BUS_SCHEMA, "%s is used before it is defined, further on in the file: define it at its first use",
                 full_name);
    else if (s->busy)
        bui_fail(err, BUS_SCHEMA, "%s is in %s, which refers back to this file: put the two into one file", full_name, s->path);
    else if (s->schema || parse(asked->set, s, err) == BUS_OK)
        return bui_schema_named(s->schema, full_name);
    return NULL;
}

static bus_status parse(bui_schema_set *set, bui_schema_source *s, bus_error *err)
{
    bus_error why;
    size_t line;
    request asked = { set, s };
    s->busy = true;
    bus_status status = bui_schema_parse_with(s->text, s->len, resolve, &asked, &s->schema, &line, &why);
    s->busy = false;
    if (status == BUS_OK || line == 0)
        return status == BUS_OK ? BUS_OK : bui_fail(err, status, "%s: %s", s->path, why.text);
    return bui_fail(err, status, "%s:%zu: %s", s->path, line, why.text);
}

static int by_path(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

bus_status bui_schema_set_load(bui_schema_set *set, const char *const *paths, size_t count, bus_error *err)
{
    bus_status status = BUS_OK;
    bui_schema_source *s;
    const char **sorted = calloc(count + 1, sizeof *sorted);
    if (!sorted)
        return bui_fail_nomem(err);
    for (size_t i = 0; i < count; i++)
        sorted[i] = paths[i];
    qsort(sorted, count, sizeof *sorted, by_path); /* what comes out does not depend on their order */
    for (size_t i = 0; i < count && status == BUS_OK; i++) {
        status = read_source(set, &set->given, sorted[i], &s, err);
        if (status == BUS_OK)
            status = scan(&(scanner){ set, s, false, err }, s->document, "");
    }
    free(sorted);
    for (size_t i = 0; i < set->given.count && status == BUS_OK; i++)
        if (!set->given.at[i]->schema)
            status = parse(set, set->given.at[i], err);
    return status;
}
