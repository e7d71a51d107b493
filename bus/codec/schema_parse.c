/* SPDX-License-Identifier: MIT
 * Schema parse: an Avro schema read from JSON, and checked. */
#include "base/error.h"
#include "codec/canonical.h"
#include "codec/json_value.h"
#include "codec/schema_parser.h"
#include "codec/utf8.h"

#include <stdlib.h>
#include <string.h>

static bus_status check_presets(bus_parser *p)
{
    size_t at = 0, steps = 0;
    const void *key;
    size_t len;
    void *value;
    while (bus_map_next(&p->schema->names, &at, &key, &len, &value)) {
        const bus_node *node = value;
        for (size_t i = 0; node->kind == BUS_KIND_RECORD && i < node->count; i++) {
            const bus_node_field *field = &node->fields[i];
            if (!field->preset)
                continue;
            bus_error why;
            if (bus_json_check_preset(field->type, field->preset, &steps, &why) == BUS_OK)
                continue;
            p->at = json_array_get(json_object_get(node->json, "fields"), i);
            return bus_fail(p->err, why.status == BUS_NOMEM ? BUS_NOMEM : BUS_SCHEMA, "%s.%s: bad default: %s", node->name,
                            field->name, why.text);
        }
    }
    return BUS_OK;
}

static bus_status load(bus_schema *schema, const char *json, size_t len, bus_error *err)
{
    json_error_t where;
    const char *mark = bus_utf8_mark(json, len);
    if (mark)
        return bus_fail(err, BUS_SCHEMA, "%s", mark);
    schema->json = malloc(len + 1);
    if (!schema->json)
        return bus_fail_nomem(err);
    memcpy(schema->json, json, len);
    schema->json[len] = '\0';
    schema->len = len;
    schema->document = json_loadb(json, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &where);
    if (schema->document)
        return BUS_OK;
    if (json_error_code(&where) == json_error_out_of_memory)
        return bus_fail_nomem(err);
    return bus_fail(err, BUS_SCHEMA, "line %d, column %d: %s", where.line, where.column, where.text);
}

static bus_status fill(bus_schema *schema, bus_parser *p)
{
    bus_buf out;
    schema->root = bus_parser_type(p, schema->document, "");
    bus_status status = schema->root ? check_presets(p) : p->status;
    if (status != BUS_OK)
        return status;
    bus_buf_init(&out, 4 * (size_t)BUS_SCHEMA_MAX_BYTES);
    if (bus_canonical_write(schema->root, &out)) {
        schema->fingerprint = bus_fingerprint(out.data, out.len);
        schema->canonical = bus_buf_take(&out);
    } else if (out.over) {
        status = bus_fail(p->err, BUS_TOO_BIG, "the schema's canonical form is over %zu bytes", out.limit);
    }
    bus_buf_free(&out);
    return status == BUS_OK && !schema->canonical ? bus_fail_nomem(p->err) : status;
}

bus_status bus_schema_parse_with(const char *json, size_t len, bus_schema_resolver resolve, void *opaque,
                                 bus_schema **out, size_t *line, bus_error *err)
{
    *line = 0;
    if (len > BUS_SCHEMA_MAX_BYTES)
        return bus_fail(err, BUS_TOO_BIG, "a schema of %zu bytes; %u are allowed", len, BUS_SCHEMA_MAX_BYTES);
    bus_schema *schema = calloc(1, sizeof *schema);
    if (!schema)
        return bus_fail_nomem(err);
    bus_arena_init(&schema->arena, 64u << 20);
    bus_map_init(&schema->names);
    bus_parser p = { .schema = schema, .resolve = resolve, .opaque = opaque, .err = err };
    bus_status status = load(schema, json, len, err);
    if (status == BUS_OK)
        status = fill(schema, &p);
    if (status == BUS_OK)
        *out = schema;
    if (status == BUS_SCHEMA && schema->document)
        *line = bus_schema_line(schema, p.at);
    if (status != BUS_OK)
        bus_schema_free(schema);
    return status;
}

bus_status bus_schema_parse(const char *json, size_t len, bus_schema **out, bus_error *err)
{
    size_t line;
    return bus_schema_parse_with(json, len, NULL, NULL, out, &line, err);
}
