/* SPDX-License-Identifier: MIT
 * Resolve: one level of Avro's schema resolution. */
#include "codec/resolve.h"

#include "base/map.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 256

static const char *const logicals[] = {
    "no logical type",
    "decimal",
    "uuid",
    "date",
    "time-millis",
    "time-micros",
    "timestamp-millis",
    "timestamp-micros",
    "local-timestamp-millis",
    "local-timestamp-micros",
    "duration",
};

static const char *simple(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

static bool has_name(const bui_node *node)
{
    return node->kind == BUS_KIND_RECORD || node->kind == BUS_KIND_ENUM || node->kind == BUS_KIND_FIXED;
}

static bool among(const char *const *names, const char *name)
{
    for (; names && *names; names++)
        if (strcmp(*names, name) == 0)
            return true;
    return false;
}

static bool promotes(bus_kind from, bus_kind to)
{
    switch (from) {
    case BUS_KIND_INT: return to == BUS_KIND_LONG || to == BUS_KIND_FLOAT || to == BUS_KIND_DOUBLE;
    case BUS_KIND_LONG: return to == BUS_KIND_FLOAT || to == BUS_KIND_DOUBLE;
    case BUS_KIND_FLOAT: return to == BUS_KIND_DOUBLE;
    case BUS_KIND_STRING: return to == BUS_KIND_BYTES;
    case BUS_KIND_BYTES: return to == BUS_KIND_STRING;
    default: return false;
    }
}

/* Whether a number means the same on both sides; without a logical type on one side it is a bare number there. */
static bool meanings_agree(const bui_node *writer, const bui_node *reader, char *why)
{
    if (writer->logical == BUS_LOGICAL_NONE || reader->logical == BUS_LOGICAL_NONE)
        return true;
    if (writer->logical != reader->logical) {
        if (why)
            snprintf(why, BUI_RESOLVE_TEXT, "the writer has %s where the reader has %s: values would change their meaning",
                     logicals[writer->logical], logicals[reader->logical]);
        return false;
    }
    if (writer->logical != BUS_LOGICAL_DECIMAL || (writer->scale == reader->scale && writer->precision <= reader->precision))
        return true;
    if (why)
        snprintf(why, BUI_RESOLVE_TEXT, "the writer has a decimal of precision %d and scale %d where the reader has %d and %d",
                 writer->precision, writer->scale, reader->precision, reader->scale);
    return false;
}

static bui_match names_match(const bui_node *writer, const bui_node *reader, char *why)
{
    if (strcmp(writer->name, reader->name) == 0 || among(reader->aliases, writer->name))
        return BUI_MATCH_EXACT;
    if (strcmp(simple(writer->name), simple(reader->name)) == 0)
        return BUI_MATCH_NAMED;
    if (why)
        snprintf(why, BUI_RESOLVE_TEXT, "the writer has %.100s where the reader has %.100s, without an alias for it",
                 writer->name, reader->name);
    return BUI_MATCH_NONE;
}

bui_match bui_resolve_match(const bui_node *writer, const bui_node *reader, char why[BUI_RESOLVE_TEXT])
{
    if (writer->kind != reader->kind && !promotes(writer->kind, reader->kind)) {
        if (why)
            snprintf(why, BUI_RESOLVE_TEXT, "the writer has %.120s where the reader has %.120s", writer->name, reader->name);
        return BUI_MATCH_NONE;
    }
    bui_match match = writer->kind != reader->kind ? BUI_MATCH_PROMOTED : BUI_MATCH_EXACT;
    if (match == BUI_MATCH_EXACT && has_name(reader))
        match = names_match(writer, reader, why);
    if (match == BUI_MATCH_NONE || !meanings_agree(writer, reader, why))
        return BUI_MATCH_NONE;
    if (reader->kind == BUS_KIND_FIXED && writer->count != reader->count) {
        if (why)
            snprintf(why, BUI_RESOLVE_TEXT, "the writer's %.100s has %zu bytes, the reader's %zu", writer->name, writer->count,
                     reader->count);
        return BUI_MATCH_NONE;
    }
    return match;
}

int bui_resolve_branch(const bui_node *writer, const bui_node *reader)
{
    bui_match best = BUI_MATCH_NONE;
    int found = -1;
    for (size_t i = 0; i < reader->count; i++) {
        bui_match match = bui_resolve_match(writer, reader->fields[i].type, NULL);
        if (match > best) {
            best = match;
            found = (int)i;
        }
    }
    return found;
}

static int32_t field_named(const bui_node *record, const char *name)
{
    for (size_t i = 0; i < record->count; i++)
        if (strcmp(record->fields[i].name, name) == 0)
            return (int32_t)i;
    return -1;
}

void bui_resolve_fields(const bui_node *writer, const bui_node *reader, int32_t *from, bool *taken)
{
    memset(taken, 0, writer->count * sizeof *taken);
    for (size_t i = 0; i < reader->count; i++) {
        from[i] = field_named(writer, reader->fields[i].name);
        if (from[i] >= 0)
            taken[from[i]] = true;
    }
    for (size_t i = 0; i < reader->count; i++) {
        const char *const *alias = reader->fields[i].aliases;
        for (; from[i] < 0 && alias && *alias; alias++) {
            int32_t found = field_named(writer, *alias);
            if (found < 0 || taken[found])
                continue;
            from[i] = found;
            taken[found] = true;
        }
    }
}

int32_t bui_resolve_symbol(const bui_node *reader, const char *symbol)
{
    for (size_t i = 0; i < reader->count; i++)
        if (strcmp(reader->symbols[i], symbol) == 0)
            return (int32_t)i;
    return reader->default_value;
}

/* ---- the same all the way down. A pair of records met again is the same if the rest is. */

typedef struct pair {
    const bui_node *writer, *reader;
} pair;

static bool same(const bui_node *writer, const bui_node *reader, bui_map *seen, unsigned depth);

static bool same_parts(const bui_node *writer, const bui_node *reader, bui_map *seen, unsigned depth)
{
    bool record = reader->kind == BUS_KIND_RECORD;
    pair key = { writer, reader };
    if (writer->count != reader->count)
        return false;
    if (record && bui_map_get(seen, &key, sizeof key))
        return true;
    if (record && !bui_map_put(seen, &key, sizeof key, seen))
        return false; /* without memory: not known to be the same */
    for (size_t i = 0; i < reader->count; i++)
        if ((record && strcmp(writer->fields[i].name, reader->fields[i].name) != 0) ||
            !same(writer->fields[i].type, reader->fields[i].type, seen, depth))
            return false;
    return true;
}

static bool same(const bui_node *writer, const bui_node *reader, bui_map *seen, unsigned depth)
{
    if (writer->kind != reader->kind || depth > DEPTH_MAX)
        return false;
    if (reader->kind == BUS_KIND_UNION)
        return same_parts(writer, reader, seen, depth + 1);
    if (bui_resolve_match(writer, reader, NULL) != BUI_MATCH_EXACT)
        return false;
    switch (reader->kind) {
    case BUS_KIND_RECORD: return same_parts(writer, reader, seen, depth + 1);
    case BUS_KIND_ARRAY:
    case BUS_KIND_MAP: return same(writer->item, reader->item, seen, depth + 1);
    case BUS_KIND_ENUM:
        for (size_t i = 0; i < reader->count; i++)
            if (writer->count != reader->count || strcmp(writer->symbols[i], reader->symbols[i]) != 0)
                return false;
        return writer->count == reader->count;
    default: return true;
    }
}

bool bui_resolve_same(const bui_node *writer, const bui_node *reader)
{
    bui_map seen;
    bui_map_init(&seen);
    bool equal = same(writer, reader, &seen, 0);
    bui_map_free(&seen, NULL);
    return equal;
}
