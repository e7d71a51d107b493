/* SPDX-License-Identifier: MIT
 * Schema compiler: Avro schemas in, one C header and one C source per name space out. In this order: load (files to
 * checked schemas, references between files resolved), use (how C holds each type), header, source. */
#ifndef BUI_CODEC_COMPILER_COMPILER_H
#define BUI_CODEC_COMPILER_COMPILER_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/map.h"
#include "codec/schema_set.h"

struct json_t;

typedef bui_schema_source source; /* one input file */

/* How C holds a type at one place. Uses of equal C types and equal descriptors are one.
 *
 * Names in C. A named type has its name space and its own ("order_Line"); what is made from it adds an ending ("order_Line_array"). No
 * two types may have one name: what is made up gets a '_' more where another type has it. Whatever a program need not name, such as
 * descriptors, begins with bus_, which no name space may. */
typedef struct use use;
struct unit;
struct use {
    const bui_node *node;
    bus_kind kind;
    const char *type;                /* as written in a declaration: "bus_string", "const order_Line *" */
    const char *stem;                /* names made from it: "bus_string", "order_Line_ref" */
    const char *shape;               /* its descriptor's name: "bus_shape_string", "bus_shape_array_of_order_Line" */
    const char *entry;               /* map: the type of its entries */
    use *item;                       /* array, map, optional, pointer */
    use **parts;                     /* a record's fields, a union's branches, in the node's order */
    const char **members;            /* their C names */
    const char **tags;               /* union: its enumerators */
    const char *to_text, *from_text; /* enum: its functions "order_State_name" and "order_State_from_name" */
    const char *ending;              /* event: ends the names of its functions, mostly ""; else NULL */
    const struct unit *home;         /* where the type is defined; NULL: the library's own */
    bool defined, described;         /* progress of header.c and source.c */
    use *next;                       /* of the unit's, in the order in which they were met */
};

/* One named type. */
typedef struct named {
    const bui_node *node;
    const source *from;
    bool event; /* a record at the top of its file, or a branch of the union there: what programs emit */
    use *use;
} named;

/* One name space: one pair of files. */
typedef struct unit {
    const char *space;  /* "order" */
    const char *prefix; /* "order", with a suffix "order_v1": begins the names of its types and of its files */
    named *types;
    size_t count, cap;
    bool events;         /* is any of them an event? */
    bui_map uses;        /* descriptor name to use */
    use *first, *last;   /* all of them */
    bui_map made;        /* what containers hold ("array of order_Line") to the first use of that C type */
    bui_map written;     /* C types that the header has */
    struct unit **needs; /* name spaces whose types it uses */
    size_t need_count;
    int mark; /* of the search for circles */
} unit;

typedef struct compiler {
    bui_arena arena;    /* whatever lives as long as the run */
    bui_schema_set set; /* the input files */
    const char *suffix; /* "_v1": ends each name space's C name, so that two versions fit into one program; "": none */
    bui_map units;      /* name space to unit */
    unit **order;       /* the units, in the order in which they were met */
    size_t unit_count;
    bui_map identifiers; /* C identifiers taken, to what took them, for people */
    bus_error *err;
} compiler;

/* check.c: whether the files may follow the released ones in `directory`; says on stderr which may not. The exit code. */
int compiler_check(const char *directory, const char *level, const char *const *paths, size_t count);

/* load.c: reads, checks and sorts the files; fills units. Texts name the file. */
bus_status compiler_load(compiler *c, const char *const *paths, size_t count);
void compiler_begin(compiler *c, const char *suffix, bus_error *err);
void compiler_end(compiler *c);

/* use.c: gives each named type its use. */
bus_status compiler_uses(compiler *c);

/* name.c: C identifiers, each taken once in the whole program. */
bool compiler_is_free(const compiler *c, const char *identifier);
bool compiler_take(compiler *c, const char *identifier, const char *owner); /* no check */
bus_status compiler_claims(compiler *c);                                    /* those of all named types, before any is made up */
bus_status compiler_name_events(compiler *c);                               /* once all else has its name: theirs give way */
const char *compiler_c_name(compiler *c, const char *full_name);            /* "order.Line" as "order_Line" */
const char *compiler_space_name(compiler *c, const char *space);      /* the same for a name space, with the suffix: "order_v1" */
const char *compiler_type_name(compiler *c, const char *full_name);   /* and for a type: "order_v1_Line" */
bool compiler_members(compiler *c, use *t, const char *const *names); /* of its parts, which have their types: fills t->members */
const char **compiler_labels(compiler *c, const bui_node *choice);    /* "Line"; "v1_Line" where two branches are called Line */

/* words.c: whether C, C++ or their headers have the name already, for a type or a constant; for a member. */
bool compiler_word(const char *name);
bool compiler_member_word(const char *name);

/* header.c, source.c */
bus_status compiler_header(compiler *c, unit *u, bui_buf *out);
bus_status compiler_source(compiler *c, unit *u, bui_buf *out);

/* functions.c: the functions of enums and events, for the header. */
void compiler_functions(const unit *u, bui_buf *out);

/* defaults.c: the constant with the defaults of a record that has any. */
bool compiler_has_defaults(const use *record);
bus_status compiler_defaults(compiler *c, const named *record, bui_buf *out);

/* state.c: the table of a record that has "state". */
bool compiler_has_state(const bui_node *node);
bus_status compiler_state(compiler *c, const named *record, bui_buf *out); /* its constant */

/* text.c */
char *compiler_text(compiler *c, const char *format, ...) BUS_PRINTF(2, 3); /* in the arena; NULL: no memory, c->err filled */
void compiler_comment(bui_buf *out, const char *indent, const char *text);  /* wrapped; nothing for NULL */
void compiler_literal(bui_buf *out, const char *indent, const char *text);  /* a string literal over several lines */
const char *compiler_simple(const char *full_name);                         /* after the last dot */
#define COMPILER_WHERE 300
/* "file.avsc:12", or without a line where there is none, as what is in another file. */
const char *compiler_where(const source *from, const struct json_t *part, char out[COMPILER_WHERE]);
const struct json_t *compiler_field(const bui_node *record, size_t i); /* as written */

#endif
