/* SPDX-License-Identifier: MIT
 * Schema parse: an Avro schema read from JSON, and checked. */
#include "base/error.h"
#include "codec/canonical.h"
#include "codec/json_value.h"
#include "codec/schema_parser.h"
#include "codec/utf8.h"

#include <stdlib.h>
#include <string.h>

static bus_status check_defaults(bui_parser *p)
{
    size_t at = 0, steps = 0;
    const void *key;
    size_t len;
    void *value;
    while (bui_map_next(&p->schema->names, &at, &key, &len, &value)) {
        const bui_node *node = value;
        for (size_t i = 0; node->kind == BUS_KIND_RECORD && i < node->count; i++) {
            const bui_node_field *field = &node->fields[i];
            if (!field->default_value)
                continue;
            bus_error why;
            if (bui_json_check_default(field->type, field->default_value, &steps, &why) == BUS_OK)
                continue;
            p->at = json_array_get(json_object_get(node->json, "fields"), i);
            return bui_fail(p->err, why.status == BUS_NOMEM ? BUS_NOMEM : BUS_SCHEMA, "%s.%s: bad default: %s", node->name,
                            field->name, why.text);
        }
    }
    return BUS_OK;
}

static bus_status load(bui_schema *schema, const char *json, size_t len, bus_error *err)
{
    json_error_t where;
    const char *mark = bui_utf8_mark(json, len);
    if (mark)
        return bui_fail(err, BUS_SCHEMA, "%s", mark);
    schema->json = malloc(len + 1);
    if (!schema->json)
        return bui_fail_nomem(err);
    memcpy(schema->json, json, len);
    schema->json[len] = '\0';
    schema->len = len;
    schema->document = json_loadb(json, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &where);
    if (schema->document)
        return BUS_OK;
    if (json_error_code(&where) == json_error_out_of_memory)
        return bui_fail_nomem(err);
    return bui_fail(err, BUS_SCHEMA, "line %d, column %d: %s", where.line, where.column, where.text);
}

static bus_status fill(bui_schema *schema, bui_parser *p)
{
    bui_buf out;
    schema->root = bui_parser_type(p, schema->document, "");
    bus_status status = schema->root ? check_defaults(p) : p->status;
    if (status != BUS_OK)
        return status;
    bui_buf_init(&out, 4 * (size_t)BUI_SCHEMA_MAX_BYTES);
    if (bui_canonical_write(schema->root, &out)) {
        schema->fingerprint = bui_fingerprint(out.data, out.len);
        schema->canonical = bui_buf_take(&out);
    } else if (out.over) {
        status = bui_fail(p->err, BUS_TOO_BIG, "the schema's canonical form is over %zu bytes", out.limit);
    }
    bui_buf_free(&out);
    return status == BUS_OK && !schema->canonical ? bui_fail_nomem(p->err) : status;
}

bus_status bui_schema_parse_with(const char *json, size_t len, bui_schema_resolver resolve, void *opaque, bui_schema **out,
                                 size_t *line, bus_error *err)
{
    *line = 0;
    if (len > BUI_SCHEMA_MAX_BYTES)
        return bui_fail(err, BUS_TOO_BIG, "a schema of %zu bytes; %u are allowed", len, BUI_SCHEMA_MAX_BYTES);
    bui_schema *schema = calloc(1, sizeof *schema);
    if (!schema)
        return bui_fail_nomem(err);
    bui_arena_init(&schema->arena, 64u << 20);
    bui_map_init(&schema->names);
    bui_parser p = { .schema = schema, .resolve = resolve, .opaque = opaque, .err = err };
    bus_status status = load(schema, json, len, err);
    if (status == BUS_OK)
        status = fill(schema, &p);
    if (status == BUS_OK)
        *out = schema;
    if (status == BUS_SCHEMA && schema->document)
        *line = bui_schema_line(schema, p.at);
    if (status != BUS_OK)
        bui_schema_free(schema);
    return status;
}

bus_status bui_schema_parse(const char *json, size_t len, bui_schema **out, bus_error *err)
{
    size_t line;
    return bui_schema_parse_with(json, len, NULL, NULL, out, &line, err);
}
