/* SPDX-License-Identifier: MIT
 * Grammar: random things that are well formed, for fuzz targets: pairs of schemas, bodies, and JSON a step away from what it was. */
#ifndef TESTS_SUPPORT_GRAMMAR_H
#define TESTS_SUPPORT_GRAMMAR_H

#include "base/buf.h"
#include "codec/schema.h"

typedef struct grammar {
    uint64_t state;
    int names;
} grammar;

void grammar_seed(grammar *g, uint64_t seed);
uint32_t grammar_draw(grammar *g, uint32_t below); /* from 0; below > 0 */

/* A record's schema, and what became of it: fields added, dropped, renamed, promoted, in other unions. */
void grammar_pair(grammar *g, bui_buf *writer, bui_buf *reader);
/* A body that the schema allows, blocks in all their forms. False: there is none of a reasonable depth. */
bool grammar_body(grammar *g, const bui_node *node, bui_buf *out);
/* Appends the JSON text with one thing changed somewhere in its tree. False: it is no JSON. */
bool grammar_change(grammar *g, const char *text, size_t len, bui_buf *out);

#endif
