/* SPDX-License-Identifier: MIT
 * Source: the descriptor tables of one name space. A descriptor comes after those it points to, but for named types: the
 * header declares them, so circles are no trouble. */
#include "codec/compiler/compiler.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct writer {
    compiler *c;
    unit *u;
    bui_buf *out;
} writer;

static const char *const kinds[] = {
    "NULL",  "BOOLEAN", "INT", "LONG",  "FLOAT",    "DOUBLE",  "BYTES", "STRING",  "RECORD",   "ENUM",
    "FIXED", "ARRAY",   "MAP", "UNION", "OPTIONAL", "POINTER", "UUID",  "DECIMAL", "DURATION",
};

static const char *const logicals[] = {
    "NONE",
    "DECIMAL",
    "UUID",
    "DATE",
    "TIME_MILLIS",
    "TIME_MICROS",
    "TIMESTAMP_MILLIS",
    "TIMESTAMP_MICROS",
    "LOCAL_TIMESTAMP_MILLIS",
    "LOCAL_TIMESTAMP_MICROS",
    "DURATION",
};

/* Parsed again: what is announced must be readable without the other files. */
static bus_status whole_schema(writer *w, const named *type, bui_schema **out)
{
    bus_error why;
    bui_buf text;
    bui_buf_init(&text, 0);
    bus_status status = bui_schema_whole(type->node, &text, w->c->err);
    if (status == BUS_OK) {
        status = bui_schema_parse((const char *)text.data, text.len, out, &why);
        if (status != BUS_OK)
            bui_fail(w->c->err, status, "%s: %s with all it refers to: %s", type->from->path, type->node->name, why.text);
    }
    bui_buf_free(&text);
    return status;
}

/* ---- descriptors */

static void describe_use(writer *w, use *t);

static void write_head(writer *w, const use *t, bool shared)
{
    const bui_node *node = t->node;
    bool nullable = t->kind == BUS_KIND_OPTIONAL || t->kind == BUS_KIND_POINTER;
    bool whole = t->kind == BUS_KIND_POINTER && node->kind == BUS_KIND_RECORD;
    bui_buf_printf(w->out, "%sconst bus_shape %s = {\n    .kind = BUS_KIND_%s, .wire = BUS_KIND_%s,", shared ? "" : "static ",
                   t->shape, kinds[t->kind], kinds[node->kind]);
    if (node->logical != BUS_LOGICAL_NONE && (node->logical != BUS_LOGICAL_DECIMAL || t->kind == BUS_KIND_DECIMAL))
        bui_buf_printf(w->out, " .logical = BUS_LOGICAL_%s,", logicals[node->logical]);
    bui_buf_printf(w->out, " .size = sizeof(%s), .least = %u,", t->type, node->least);
    if (nullable)
        bui_buf_printf(w->out, " .null_branch = %d,", whole ? -1 : node->fields[0].type->kind == BUS_KIND_NULL ? 0 : 1);
    if (t->kind == BUS_KIND_DECIMAL)
        bui_buf_printf(w->out, " .precision = %d, .scale = %d,", node->precision, node->scale);
    bui_buf_byte(w->out, '\n');
}

static void write_symbols(writer *w, const use *t)
{
    bui_buf_printf(w->out, "static const char *const bus_symbols_%s[] = {\n", t->type);
    for (size_t i = 0; i < t->node->count; i++)
        bui_buf_printf(w->out, "    \"%s\",\n", t->node->symbols[i]);
    bui_buf_text(w->out, "};\n");
}

static void write_parts(writer *w, const use *t)
{
    bool record = t->kind == BUS_KIND_RECORD;
    for (size_t i = 0; i < t->node->count; i++)
        describe_use(w, t->parts[i]);
    if (t->node->count == 0)
        return;
    bui_buf_printf(w->out, "static const bus_field bus_%s_%s[] = {\n", record ? "fields" : "branches", t->type);
    for (size_t i = 0; i < t->node->count; i++) {
        const bui_node_field *field = &t->node->fields[i];
        bui_buf_printf(w->out, "    { \"%s\", &%s, offsetof(%s, %s%s) },\n", record ? field->name : field->type->name,
                       t->parts[i]->shape, t->type, record ? "" : "as.", t->members[i]);
    }
    bui_buf_text(w->out, "};\n");
}

static void write_body(writer *w, const use *t)
{
    const bui_node *node = t->node;
    switch (t->kind) {
    case BUS_KIND_RECORD:
    case BUS_KIND_UNION:
        if (node->count > 0)
            bui_buf_printf(w->out, "    .count = %zu, .fields = bus_%s_%s,\n", node->count,
                           t->kind == BUS_KIND_RECORD ? "fields" : "branches", t->type);
        break;
    case BUS_KIND_ENUM: bui_buf_printf(w->out, "    .count = %zu, .symbols = bus_symbols_%s,\n", node->count, t->type); break;
    case BUS_KIND_ARRAY: {
        const char *item = t->item->kind == BUS_KIND_POINTER ? t->item->stem : t->item->type;
        bui_buf_printf(w->out, "    .stride = sizeof(%s), .item = &%s,\n", item, t->item->shape);
        break;
    }
    case BUS_KIND_MAP:
        bui_buf_printf(w->out, "    .offset = offsetof(%s, value), .stride = sizeof(%s), .item = &%s,\n", t->entry, t->entry,
                       t->item->shape);
        break;
    case BUS_KIND_OPTIONAL:
        bui_buf_printf(w->out, "    .offset = offsetof(%s, value), .item = &%s,\n", t->type, t->item->shape);
        break;
    case BUS_KIND_POINTER: bui_buf_printf(w->out, "    .item = &%s,\n", t->item->shape); break;
    default:
        if (node->kind == BUS_KIND_FIXED)
            bui_buf_printf(w->out, "    .count = %zu,\n", node->count);
        break;
    }
    if (node->kind >= BUS_KIND_RECORD && node->kind <= BUS_KIND_FIXED && t->kind != BUS_KIND_POINTER)
        bui_buf_printf(w->out, "    .name = \"%s\",\n", node->name);
    bui_buf_text(w->out, "};\n\n");
}

static void describe_use(writer *w, use *t)
{
    bool has_name = t->kind == BUS_KIND_RECORD || t->kind == BUS_KIND_ENUM || t->kind == BUS_KIND_FIXED;
    /* Named ones are written in their turn; the header has declared them. */
    if (t->described || has_name)
        return;
    t->described = true;
    if (t->item)
        describe_use(w, t->item);
    if (t->kind == BUS_KIND_UNION)
        write_parts(w, t);
    write_head(w, t, false);
    write_body(w, t);
}

static bus_status write_named(writer *w, const named *type)
{
    const use *t = type->use;
    if (t->home != w->u)
        return BUS_OK;
    if (t->kind == BUS_KIND_ENUM)
        write_symbols(w, t);
    if (t->kind == BUS_KIND_RECORD)
        write_parts(w, t);
    write_head(w, t, true);
    write_body(w, t);
    if (t->kind != BUS_KIND_RECORD)
        return BUS_OK;
    bui_schema *schema = NULL;
    bus_status status = whole_schema(w, type, &schema);
    if (status != BUS_OK)
        return status;
    bui_buf_printf(w->out, "const bus_type %s_type = {\n    .layout = BUS_TYPE_LAYOUT,\n    .name = \"%s\",\n    .json =\n",
                   t->type, type->node->name);
    compiler_literal(w->out, "        ", bui_schema_json(schema, NULL));
    bui_buf_text(w->out, ",\n    .canonical =\n");
    compiler_literal(w->out, "        ", bui_schema_canonical(schema));
    bui_buf_printf(w->out, ",\n    .fingerprint = 0x%016" PRIx64 ",\n    .shape = &%s,\n};\n\n", bui_schema_fingerprint(schema),
                   t->shape);
    bui_schema_free(schema);
    if (compiler_has_defaults(t))
        status = compiler_defaults(w->c, type, w->out);
    return status == BUS_OK && compiler_has_state(t->node) ? compiler_state(w->c, type, w->out) : status;
}

bus_status compiler_source(compiler *c, unit *u, bui_buf *out)
{
    writer w = { c, u, out };
    bui_buf_printf(out, "/* Generated by bus-schemac from the schemas of %s%s%s: change those, not this. */\n", u->space,
                   *c->suffix ? ", suffix " : "", *c->suffix ? c->suffix + 1 : "");
    bui_buf_printf(out, "#include \"%s.events.h\"\n\n#include <stddef.h>\n\n", u->prefix);
    for (size_t i = 0; i < u->count; i++) {
        bus_status status = write_named(&w, &u->types[i]);
        if (status != BUS_OK)
            return status;
    }
    /* Without the blank line that follows each part. */
    if (bui_buf_ok(out) && out->len > 0)
        out->len--;
    return bui_buf_ok(out) ? BUS_OK : bui_fail_nomem(c->err);
}
