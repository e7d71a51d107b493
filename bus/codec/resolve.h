/* SPDX-License-Identifier: MIT
 * Resolve: which type, branch and field of a writer's schema stand for which of a reader's (Avro specification, "Schema
 * Resolution" and "Aliases"). Looks at one level; plans and the compatibility checker go down. Any thread. */
#ifndef BUI_CODEC_RESOLVE_H
#define BUI_CODEC_RESOLVE_H

#include "codec/schema.h"

#define BUI_RESOLVE_TEXT 300

/* How well a writer's type can be read as a reader's; neither is a union. */
typedef enum bui_match {
    BUI_MATCH_NONE,
    BUI_MATCH_PROMOTED, /* int as long, float, double; long as float, double; float as double; string as bytes and back */
    BUI_MATCH_NAMED,    /* of one kind; names equal without their name spaces */
    BUI_MATCH_EXACT     /* of one kind; full names equal, or an alias of the reader's is the writer's */
} bui_match;

/* `why` (may be NULL) is filled where nothing matches. Logical types take no part, but for two of different meaning: decimals
 * of another scale, or of more digits than the reader's, and times in other units, would be read as other values. */
bui_match bui_resolve_match(const bui_node *writer, const bui_node *reader, char why[BUI_RESOLVE_TEXT]);

/* The branch of a reader's union for a writer's type that is none: the first of the best match; -1: none. */
int bui_resolve_branch(const bui_node *writer, const bui_node *reader);

/* For each field of the reader's record the index of the writer's, or -1; `taken` (of the writer's count) is room to note
 * which are spoken for. Names go before aliases, and a field is given once. */
void bui_resolve_fields(const bui_node *writer, const bui_node *reader, int32_t *from, bool *taken);

/* For a writer's symbol the index of the reader's, its default's if it lacks it, or -1. */
int32_t bui_resolve_symbol(const bui_node *reader, const char *symbol);

/* Whether bytes written by one are exactly bytes of the other, all the way down, names included. */
bool bui_resolve_same(const bui_node *writer, const bui_node *reader);

#endif
