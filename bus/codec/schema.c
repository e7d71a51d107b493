/* SPDX-License-Identifier: MIT
 * Schema: an Avro schema that was read, and is immutable. */
#include "codec/schema_parser.h"

#include <stdlib.h>
#include <string.h>

void bui_schema_free(bui_schema *schema)
{
    if (!schema)
        return;
    json_decref(schema->document);
    bui_map_free(&schema->names, NULL);
    bui_arena_free(&schema->arena);
    free(schema->canonical);
    free(schema->json);
    free(schema);
}

const bui_node *bui_schema_root(const bui_schema *schema)
{
    return schema->root;
}

const char *bui_schema_name(const bui_schema *schema)
{
    return schema->root->name;
}

const char *bui_schema_json(const bui_schema *schema, size_t *len)
{
    if (len)
        *len = schema->len;
    return schema->json;
}

const char *bui_schema_canonical(const bui_schema *schema)
{
    return schema->canonical;
}

uint64_t bui_schema_fingerprint(const bui_schema *schema)
{
    return schema->fingerprint;
}

const bui_node *bui_schema_named(const bui_schema *schema, const char *full_name)
{
    return bui_map_get(&schema->names, full_name, strlen(full_name));
}
