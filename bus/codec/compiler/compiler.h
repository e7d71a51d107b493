/* SPDX-License-Identifier: MIT
 * Schema compiler: Avro schemas in, one C header and one C source per name space out. In this order: load (files to
 * checked schemas, references between files resolved), use (how C holds each type), header, source. */
#ifndef BUS_CODEC_COMPILER_COMPILER_H
#define BUS_CODEC_COMPILER_COMPILER_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/map.h"
#include "codec/schema.h"

struct json_t;

/* One input file. */
typedef struct source {
    const char *path;
    char *text;
    size_t len;
    struct json_t *document;
    bus_schema *schema;      /* once parsed */
    bool busy;               /* being parsed: met again, it is a circle */
} source;

/* How C holds a type at one place. Uses of equal C types and equal descriptors are one. */
typedef struct use use;
struct use {
    const bus_node *node;
    bus_kind kind;
    const char *type;        /* as written in a declaration: "bus_string", "const order_Line *" */
    const char *stem;        /* names made from it: "bus_string", "order_Line_ref" */
    const char *shape;       /* its descriptor's name: "string_shape" */
    use *item;               /* array, map, optional, pointer */
    use **parts;             /* a record's fields, a union's branches, in the node's order */
    const char **members;    /* their C names */
    bool foreign;            /* a named type of another name space, or the library's own */
    bool defined, queued, described; /* progress of header.c and source.c */
    use *next;               /* in header.c's queue */
};

/* One named type. */
typedef struct named { const bus_node *node; const source *from; use *use; } named;

/* One name space: one pair of files. */
typedef struct unit {
    const char *space;       /* "order" */
    const char *prefix;      /* "order": also the files' stem */
    named *types;
    size_t count, cap;
    bus_map uses;            /* descriptor name to use */
    struct unit **needs;     /* name spaces whose types it uses */
    size_t need_count;
    int mark;                /* of the search for circles */
} unit;

typedef struct compiler {
    bus_arena arena;         /* whatever lives as long as the run */
    source *sources;
    size_t source_count;
    bus_map defines;         /* full name to source */
    bus_map units;           /* name space to unit */
    unit **order;            /* the units, in the order in which they were met */
    size_t unit_count;
    bus_map identifiers;     /* C identifiers taken, to what took them */
    bus_error *err;
} compiler;

/* main.c */
void compiler_begin(compiler *c, bus_error *err);
void compiler_end(compiler *c);

/* check.c: whether the files may follow the released ones in `directory`; says on stderr which may not. The exit code. */
int compiler_check(const char *directory, const char *level, const char *const *paths, size_t count);

/* load.c: reads, checks and sorts the files; fills units. Texts name the file. */
bus_status compiler_load(compiler *c, const char *const *paths, size_t count);
void compiler_drop(struct json_t *document);

/* use.c: gives each named type its use. */
bus_status compiler_uses(compiler *c);

/* header.c, source.c */
bus_status compiler_header(compiler *c, unit *u, bus_buf *out);
bus_status compiler_source(compiler *c, unit *u, bus_buf *out);

/* preset.c: the constant with the defaults of a record that has any. */
bool compiler_has_presets(const use *record);
bus_status compiler_presets(compiler *c, const named *record, bus_buf *out);

/* text.c */
char *compiler_text(compiler *c, const char *format, ...) BUS_PRINTF(2, 3); /* in the arena; NULL: no memory, c->err filled */
const char *compiler_c_name(compiler *c, const char *full_name);   /* "order.Line" as "order_Line" */
const char *compiler_member(compiler *c, const char *name);        /* a keyword of C or C++ gets a '_' */
void compiler_comment(bus_buf *out, const char *indent, const char *text); /* wrapped; nothing for NULL */
void compiler_literal(bus_buf *out, const char *indent, const char *text); /* a string literal over several lines */
const char *compiler_simple(const char *full_name);                /* after the last dot */
#define COMPILER_WHERE 300
/* "file.avsc:12", or without a line where there is none, as what is in another file. */
const char *compiler_where(const source *from, const struct json_t *part, char out[COMPILER_WHERE]);
const struct json_t *compiler_field(const bus_node *record, size_t i); /* as written */

#endif
