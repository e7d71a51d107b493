/* SPDX-License-Identifier: MIT
 * JSON reader: what reading JSON values into Avro bytes consists of, between json_read.c (the whole), json_reader.c (records,
 * containers, unions) and json_scalar.c. Each function notes what is wrong and returns false. */
#ifndef BUI_CODEC_JSON_READER_H
#define BUI_CODEC_JSON_READER_H

#include "base/buf.h"
#include "base/map.h"
#include "codec/fault.h"
#include "codec/schema.h"

#include <jansson.h>

typedef struct bui_json_reader {
    bui_buf *out; /* NULL: only look */
    size_t steps, steps_max;
    size_t nothing;
    unsigned depth;
    bool in_default; /* reading a default: unions are never wrapped, logical types are their base type */
    bool avro;       /* reading Avro's JSON encoding: so they are here */
    bool trying;     /* only whether it fits: nobody will read the reason */
    bool strict;     /* reading what will be sent: a value must be one of its logical type, a default too */
    bui_map *fits;   /* (type, value) to whether it fits: else objects in unions in objects would be tried again and again */
    bui_fault fault;
} bui_json_reader;

bool bui_json_put(bui_json_reader *r, const void *bytes, size_t len);
bool bui_json_put_long(bui_json_reader *r, int64_t value);
bool bui_json_enter(bui_json_reader *r); /* one level deeper; leave by r->depth-- */
bool bui_json_unfit(bui_json_reader *r, const bui_node *node, const json_t *json);
const char *bui_json_kind(const json_t *json);                /* "an object" */
bool bui_json_near(const bui_node *node, const json_t *json); /* may be meant as such a value: by the kind of JSON alone */

bool bui_json_reader_value(bui_json_reader *r, const bui_node *node, const json_t *json);
bool bui_json_reader_scalar(bui_json_reader *r, const bui_node *node, const json_t *json);

/* How well a plain value fits a branch by its looks: 0 not at all, 1 after conversion, 2 as a logical type's base type, 3 as it is. */
int bui_json_fitness(const bui_json_reader *r, const bui_node *node, const json_t *json);

#endif
