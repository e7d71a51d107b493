/* SPDX-License-Identifier: MIT
 * Schema: an Avro schema that was read, and is immutable. */
#include "codec/schema_parser.h"

#include <stdlib.h>
#include <string.h>

void bus_schema_free(bus_schema *schema)
{
    if (!schema)
        return;
    json_decref(schema->document);
    bus_map_free(&schema->names, NULL);
    bus_arena_free(&schema->arena);
    free(schema->canonical);
    free(schema->json);
    free(schema);
}

const bus_node *bus_schema_root(const bus_schema *schema)
{
    return schema->root;
}

const char *bus_schema_name(const bus_schema *schema)
{
    return schema->root->name;
}

const char *bus_schema_json(const bus_schema *schema, size_t *len)
{
    if (len)
        *len = schema->len;
    return schema->json;
}

const char *bus_schema_canonical(const bus_schema *schema)
{
    return schema->canonical;
}

uint64_t bus_schema_fingerprint(const bus_schema *schema)
{
    return schema->fingerprint;
}

const bus_node *bus_schema_named(const bus_schema *schema, const char *full_name)
{
    return bus_map_get(&schema->names, full_name, strlen(full_name));
}
