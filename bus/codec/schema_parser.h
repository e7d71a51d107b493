/* SPDX-License-Identifier: MIT
 * Schema parser: what reading an Avro schema consists of, between schema_parse.c (the whole), schema_type.c (types), schema_name.c
 * (names and what they refer to), schema_logical.c and schema_parser.c (complaints, memory). The text may come from the network: every
 * name, size and nesting is checked before it is believed. */
#ifndef BUI_CODEC_SCHEMA_PARSER_H
#define BUI_CODEC_SCHEMA_PARSER_H

#include "base/arena.h"
#include "base/error.h"
#include "base/map.h"
#include "codec/schema.h"

#include <jansson.h>
#include <stdbool.h>

#define BUI_NAME_MAX_LEN 255
#define BUI_FIELDS_MAX 10000
#define BUI_LEAST_MAX (1u << 30)

struct bui_schema {
    bui_arena arena; /* holds all nodes */
    bui_map names;   /* full name to bui_node, of those defined here */
    json_t *document;
    char *json, *canonical;
    size_t len;
    uint64_t fingerprint;
    const bui_node *root;
};

typedef struct bui_parser {
    bui_schema *schema;
    bui_schema_resolver resolve;
    void *opaque;
    bus_error *err;
    bus_status status;
    unsigned depth;
    size_t nodes;
    const json_t *at; /* what is being read: where a complaint is about */
    char path[300];
} bui_parser;

/* Complaints: each returns NULL, so that the parsing functions pass it on. */
void *bui_parser_refuse(bui_parser *p, const char *format, ...) BUS_PRINTF(2, 3);
void *bui_parser_no_memory(bui_parser *p);

/* In the schema's arena, cleared; NULL after a complaint. */
void *bui_parser_allocate(bui_parser *p, size_t n);
const char *bui_parser_keep(bui_parser *p, const char *text);

/* Goes one step down the path; `leave` with what it returned goes back. */
size_t bui_parser_step(bui_parser *p, const char *mark, const char *name);
void bui_parser_leave(bui_parser *p, size_t len);

/* A string member; NULL if absent, or after a complaint (p->status says which). Embedded zeros are complained of. */
const char *bui_parser_text(bui_parser *p, const json_t *json, const char *member);
/* Letters, digits, _; no digit first. */
bool bui_parser_plain(const char *name, size_t len);
/* "string" and the like; NULL: none of them. */
const bui_node *bui_parser_primitive(const char *name);
/* The type that a name means, in a name space. */
const bui_node *bui_parser_refer(bui_parser *p, const char *name, const char *space);
/* A list of names, kept, ending with NULL; of types with `space` not NULL, then made full. */
bool bui_parser_names(bui_parser *p, const json_t *list, const char *what, const char *space, const char *const **out);
/* What every named type has. Registers the node, so that what it contains can refer to it. */
bool bui_parser_define(bui_parser *p, bui_node *node, const char *outer, const char **space);

/* Any type. */
const bui_node *bui_parser_type(bui_parser *p, const json_t *json, const char *space);
/* The line of the text, from 1, on which `part` of the document begins; 0: it is none of its parts. */
size_t bui_schema_line_of(const char *text, const json_t *document, const json_t *part);
/* Notes the node's logical type, if it has one and it is in place. */
void bui_parser_logical(bui_node *node);

#endif
