/* SPDX-License-Identifier: MIT
 * Schema set: schemas in files that refer to each other's types by full name. A name that a file does not define is searched
 * in the other files that are given; then, if the set may, in those that are offered and in the .avsc files of the same
 * folder. The order of the files does not matter. For the schema compiler and for tools; one thread. */
#ifndef BUI_CODEC_SCHEMA_SET_H
#define BUI_CODEC_SCHEMA_SET_H

#include "base/buf.h"
#include "base/map.h"
#include "codec/schema.h"

#define BUI_SET_MOST 2000         /* files, those looked through for a name included */
#define BUI_SET_BYTES (32u << 20) /* of their texts */

struct json_t;

/* One file. */
typedef struct bui_schema_source {
    char *path, *text;
    size_t len;
    struct json_t *document;
    bui_schema *schema; /* once parsed */
    bool defines;       /* any named type */
    bool busy;          /* being parsed: met again, it is a circle */
} bui_schema_source;

typedef struct bui_schema_list {
    bui_schema_source **at;
    size_t count;
} bui_schema_list;

typedef struct bui_schema_set {
    bui_schema_list given;  /* sorted by path */
    bui_schema_list others; /* offered, or found beside them */
    size_t bytes;
    bool beside;     /* look into offered files and the folders of the given ones */
    bui_map defines; /* full name to source, of the files in use */
    bui_map offers;  /* full name to what else may define it */
    bui_map folders; /* those that have been looked into */
} bui_schema_set;

void bui_schema_set_init(bui_schema_set *set, bool beside);
void bui_schema_set_free(bui_schema_set *set);

/* Adds a file that may be needed for its types, but is no part of the set by itself. One that is not a schema is skipped. */
bus_status bui_schema_set_offer(bui_schema_set *set, const char *path, bus_error *err);

/* Reads the files, checks them and resolves what they refer to; once for each set. Texts name the file, and the line where there is one. */
bus_status bui_schema_set_load(bui_schema_set *set, const char *const *paths, size_t count, bus_error *err);

/* Appends the text of a type with all that it refers to put in where it is met first: it can be read without the files. Every program
 * that announces the type announces this text. BUS_NOMEM. */
bus_status bui_schema_whole(const bui_node *node, bui_buf *out, bus_error *err);

#endif
