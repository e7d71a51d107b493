/* SPDX-License-Identifier: MIT
 * Schema: an Avro schema read from JSON (Avro 1.11 specification), checked, immutable, with its Parsing Canonical Form
 * and CRC-64-AVRO fingerprint. Schemas may come from the network: size, depth and names are bounded. Any thread. */
#ifndef BUI_CODEC_SCHEMA_H
#define BUI_CODEC_SCHEMA_H

#include <bus/type.h>

struct json_t;

#define BUI_SCHEMA_MAX_BYTES (1u << 20) /* of JSON text */
#define BUI_SCHEMA_MAX_DEPTH 64         /* of nesting, in schemas and in values */
#define BUI_SCHEMA_MAX_NODES 20000      /* types in one schema */

typedef struct bui_node bui_node;

typedef struct bui_node_field {
    const char *name;
    const char *doc;                    /* NULL: none */
    const bui_node *type;               /* also a branch of a union: then name and doc are NULL */
    const struct json_t *default_value; /* the default, checked against the type; NULL: none */
    const char *const *aliases;         /* ends with NULL; NULL: none */
} bui_node_field;

/* One type in the schema. A recursive schema's nodes form a cycle. kind is one of Avro's own (up to BUS_KIND_UNION). */
struct bui_node {
    bus_kind kind;
    bus_logical logical;      /* valid ones only; an unknown or ill-placed one is its base type */
    int32_t precision, scale; /* decimal */
    uint32_t least;           /* the fewest bytes that a value takes */
    size_t count;             /* fields, branches, symbols; bytes of a fixed */
    const char *name;         /* record, enum, fixed: full name; else the type's name ("string", "array") */
    const char *doc;
    const bui_node_field *fields; /* record, union */
    const char *const *symbols;   /* enum */
    const bui_node *item;         /* array, map */
    const char *const *aliases;   /* full names, ends with NULL; NULL: none */
    int32_t default_value;        /* enum: index of the default symbol, -1: none */
    const struct json_t *json;    /* as written */
};

typedef struct bui_schema bui_schema;

/* Parses and checks. BUS_SCHEMA: what is wrong and where (a path such as "order.OrderPlaced.lines[].sku", or line and
 * column for broken JSON); BUS_TOO_BIG; BUS_NOMEM. */
bus_status bui_schema_parse(const char *json, size_t len, bui_schema **out, bus_error *err);

/* As bui_schema_parse; names that the text does not define are asked of `resolve` (full name in; NULL: unknown, or *err
 * filled with a better reason and its status). What it returns must outlive the schema. *line: of the text, where it is wrong;
 * 0: not known. For the schema compiler. */
typedef const bui_node *(*bui_schema_resolver)(void *opaque, const char *full_name, bus_error *err);
bus_status bui_schema_parse_with(const char *json, size_t len, bui_schema_resolver resolve, void *opaque, bui_schema **out,
                                 size_t *line, bus_error *err);
/* The line of the text on which a part of the schema begins (bui_node.json, a field's default); 0: it is none of its parts. */
size_t bui_schema_line(const bui_schema *schema, const struct json_t *part);
void bui_schema_free(bui_schema *schema);

const bui_node *bui_schema_root(const bui_schema *schema);
const char *bui_schema_name(const bui_schema *schema);              /* of the root: full name, or "string", "array" ... */
const char *bui_schema_json(const bui_schema *schema, size_t *len); /* the exact text it was parsed from; len may be NULL */
const char *bui_schema_canonical(const bui_schema *schema);         /* Parsing Canonical Form */
uint64_t bui_schema_fingerprint(const bui_schema *schema);          /* CRC-64-AVRO of the canonical form */
/* The named type defined in the schema; NULL: none of that full name. */
const bui_node *bui_schema_named(const bui_schema *schema, const char *full_name);

/* CRC-64-AVRO (Avro specification, "Schema Fingerprints"). */
uint64_t bui_fingerprint(const void *bytes, size_t len);

#endif
