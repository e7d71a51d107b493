/* SPDX-License-Identifier: MIT
 * Header: the C types of one name space, each before it is used, and the constants that describe the records. */
#include "codec/compiler/compiler.h"

#include <string.h>

typedef struct writer {
    compiler *c;
    unit *u;
    bui_buf *out;
} writer;

static void define(writer *w, use *t);

/* Two descriptors may share a C type, which is written once. */
static bool written(writer *w, const char *type)
{
    if (bui_map_get(&w->u->written, type, strlen(type)))
        return true;
    if (!bui_map_put(&w->u->written, type, strlen(type), w->u))
        bui_fail_nomem(w->c->err);
    return false;
}

static void member(bui_buf *out, const char *indent, const char *type, const char *name)
{
    bool pointer = type[strlen(type) - 1] == '*';
    bui_buf_printf(out, "%s%s%s%s;\n", indent, type, pointer ? "" : " ", name);
}

static void define_enum(writer *w, const use *t)
{
    compiler_comment(w->out, "", t->node->doc);
    bui_buf_printf(w->out, "typedef enum %s {\n", t->type);
    for (size_t i = 0; i < t->node->count; i++)
        bui_buf_printf(w->out, "    %s_%s%s\n", t->type, t->node->symbols[i], i + 1 < t->node->count ? "," : "");
    bui_buf_printf(w->out, "} %s;\n\n", t->type);
}

static void define_record(writer *w, const use *t)
{
    for (size_t i = 0; i < t->node->count; i++)
        define(w, t->parts[i]);
    compiler_comment(w->out, "", t->node->doc);
    bui_buf_printf(w->out, "struct %s {\n", t->type);
    for (size_t i = 0; i < t->node->count; i++) {
        compiler_comment(w->out, "    ", t->node->fields[i].doc);
        member(w->out, "    ", t->parts[i]->type, t->members[i]);
    }
    if (t->node->count == 0)
        bui_buf_text(w->out, "    char none; /* the record has no fields */\n");
    bui_buf_text(w->out, "};\n\n");
}

static void define_union(writer *w, const use *t)
{
    for (size_t i = 0; i < t->node->count; i++)
        define(w, t->parts[i]);
    bui_buf_printf(w->out, "typedef enum %s_tag {\n", t->type);
    for (size_t i = 0; i < t->node->count; i++)
        bui_buf_printf(w->out, "    %s%s\n", t->tags[i], i + 1 < t->node->count ? "," : "");
    bui_buf_printf(w->out, "} %s_tag;\n\nstruct %s {\n    %s_tag tag;\n    union {\n", t->type, t->type, t->type);
    for (size_t i = 0; i < t->node->count; i++)
        member(w->out, "        ", t->parts[i]->type, t->members[i]);
    bui_buf_text(w->out, "    } as;\n};\n\n");
}

/* An array or a map points to what it holds: a record or a union need only be declared, which all are at the top. */
static void define_container(writer *w, const use *t)
{
    const use *item = t->item;
    const bool pointer = item->kind == BUS_KIND_POINTER;
    if (pointer && !written(w, item->stem))
        bui_buf_printf(w->out, "typedef const %s *%s;\n\n", item->item->type, item->stem);
    if (item->kind != BUS_KIND_RECORD && item->kind != BUS_KIND_UNION)
        define(w, t->item);
    if (t->kind == BUS_KIND_ARRAY)
        bui_buf_printf(w->out, "typedef struct %s { const %s *at; size_t len; } %s;\n\n", t->type,
                       pointer ? item->stem : item->type, t->type);
    else
        bui_buf_printf(w->out, "typedef struct %s { const %s *at; size_t len; } %s;\n\n", t->type, t->entry, t->type);
}

/* The entry of a map, once the value's type is whole. */
static void define_entry(writer *w, const use *t)
{
    const char *item = t->item->kind == BUS_KIND_POINTER ? t->item->stem : t->item->type;
    if (written(w, t->entry))
        return;
    define(w, t->item);
    bui_buf_printf(w->out, "struct %s {\n    bus_string key;\n    %s value;\n};\n\n", t->entry, item);
}

static void define(writer *w, use *t)
{
    if (t->defined)
        return;
    t->defined = true;
    if (t->home != w->u || t->kind == BUS_KIND_POINTER || written(w, t->type))
        return;
    switch (t->kind) {
    case BUS_KIND_RECORD: define_record(w, t); break;
    case BUS_KIND_ENUM: define_enum(w, t); break;
    case BUS_KIND_FIXED:
        compiler_comment(w->out, "", t->node->doc);
        bui_buf_printf(w->out, "typedef struct %s { uint8_t at[%zu]; } %s;\n\n", t->type, t->node->count, t->type);
        break;
    case BUS_KIND_ARRAY:
    case BUS_KIND_MAP: define_container(w, t); break;
    case BUS_KIND_OPTIONAL:
        define(w, t->item);
        bui_buf_printf(w->out, "typedef struct %s { bool present; %s value; } %s;\n\n", t->type, t->item->type, t->type);
        break;
    case BUS_KIND_UNION: define_union(w, t); break;
    default: break;
    }
}

/* Every struct that something may point to, so that the order is free below. */
static void declare(writer *w)
{
    bool any = false;
    for (const use *t = w->u->first; t; t = t->next) {
        const char *type = t->kind == BUS_KIND_MAP ? t->entry : t->type;
        if (t->home != w->u || (t->kind != BUS_KIND_RECORD && t->kind != BUS_KIND_UNION && t->kind != BUS_KIND_MAP))
            continue;
        char *key = compiler_text(w->c, "struct %s", type);
        if (!key || written(w, key))
            continue;
        bui_buf_printf(w->out, "typedef struct %s %s;\n", type, type);
        any = true;
    }
    bui_buf_text(w->out, any ? "\n" : "");
}

static void define_all(writer *w)
{
    for (size_t i = 0; i < w->u->count; i++)
        define(w, w->u->types[i].use);
    for (use *t = w->u->first; t; t = t->next)
        define(w, t);
    for (const use *t = w->u->first; t; t = t->next)
        if (t->home == w->u && t->kind == BUS_KIND_MAP)
            define_entry(w, t);
}

static void write_constants(writer *w)
{
    bui_buf *out = w->out;
    for (size_t i = 0; i < w->u->count; i++) {
        const use *t = w->u->types[i].use;
        if (t->home != w->u)
            continue;
        bui_buf_printf(out, "extern const bus_shape %s;\n", t->shape);
        if (t->kind == BUS_KIND_RECORD)
            bui_buf_printf(out, "extern const bus_type %s_type;\n", t->type);
        if (compiler_has_defaults(t))
            bui_buf_printf(out, "extern const %s %s_defaults; /* zero where the schema has no default */\n", t->type, t->type);
        if (compiler_has_state(t->node))
            bui_buf_printf(out, "extern const bus_state %s_state;\n", t->type);
    }
}

static int by_prefix(const unit *a, const unit *b)
{
    return strcmp(a->prefix, b->prefix);
}

static bool has_state(const unit *u)
{
    for (size_t i = 0; i < u->count; i++)
        if (compiler_has_state(u->types[i].node))
            return true;
    return false;
}

static void write_includes(writer *w)
{
    unit **needs = w->u->needs;
    for (size_t i = 1; i < w->u->need_count; i++) /* few: sorted by insertion */
        for (size_t j = i; j > 0 && by_prefix(needs[j - 1], needs[j]) > 0; j--) {
            unit *swap = needs[j];
            needs[j] = needs[j - 1];
            needs[j - 1] = swap;
        }
    bui_buf_text(w->out, w->u->events ? "#include <bus/publish.h>\n#include <bus/tx.h>\n" : "");
    bui_buf_text(w->out, has_state(w->u) ? "#include <bus/state.h>\n" : "");
    bui_buf_text(w->out, "#include <bus/type.h>\n");
    for (size_t i = 0; i < w->u->need_count; i++)
        bui_buf_printf(w->out, "#include \"%s.events.h\"\n", needs[i]->prefix);
}

bus_status compiler_header(compiler *c, unit *u, bui_buf *out)
{
    writer w = { .c = c, .u = u, .out = out };
    bui_buf_printf(out, "/* Generated by bus-schemac from the schemas of %s%s%s: change those, not this. */\n", u->space,
                   *c->suffix ? ", suffix " : "", *c->suffix ? c->suffix + 1 : "");
    bui_buf_printf(out, "#ifndef BUS_GENERATED_%s_H\n#define BUS_GENERATED_%s_H\n\n", u->prefix, u->prefix);
    write_includes(&w);
    bui_buf_text(out, "\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n");
    declare(&w);
    define_all(&w);
    write_constants(&w);
    compiler_functions(u, out);
    bui_buf_text(out, "\n#ifdef __cplusplus\n}\n#endif\n#endif\n");
    if (c->err->status != BUS_OK)
        return c->err->status;
    return bui_buf_ok(out) ? BUS_OK : bui_fail_nomem(c->err);
}
