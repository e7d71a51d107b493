/* SPDX-License-Identifier: MIT
 * Compatibility: the rules of Avro's schema resolution, asked of every value at once. */
#include "codec/compatibility.h"

#include "base/error.h"
#include "base/map.h"
#include "codec/resolve.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 256

static const char *const names[] = {
    "none", "backward", "backward-transitive", "forward", "forward-transitive", "full", "full-transitive",
};

bool bui_compatibility_of(const char *name, bui_compatibility *out)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t at = 0;
        for (; name[at] && (tolower((unsigned char)name[at]) == names[i][at] || (name[at] == '_' && names[i][at] == '-')); at++)
            ;
        if (name[at] || names[i][at])
            continue;
        *out = (bui_compatibility)i;
        return true;
    }
    return false;
}

const char *bui_compatibility_name(bui_compatibility level)
{
    return names[level];
}

typedef struct checker {
    bui_map seen; /* pairs of records found good, or being looked at */
    bus_error *err;
    unsigned depth;
    char path[300];
} checker;

typedef struct pair {
    const bui_node *writer, *reader;
} pair;

static bool readable(checker *c, const bui_node *writer, const bui_node *reader);

__attribute__((format(printf, 3, 4))) static bool refuse(checker *c, bus_status status, const char *format, ...)
{
    char text[BUI_RESOLVE_TEXT];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    bui_fail(c->err, status, "%s: %s", c->path, text);
    return false;
}

static size_t step_down(checker *c, const char *mark, const char *name)
{
    size_t len = strlen(c->path);
    snprintf(c->path + len, sizeof c->path - len, "%s%s", mark, name);
    return len;
}

static bool fields_readable(checker *c, const bui_node *writer, const bui_node *reader, const int32_t *from)
{
    for (size_t i = 0; i < reader->count; i++) {
        const bui_node_field *field = &reader->fields[i];
        size_t len = step_down(c, ".", field->name);
        if (from[i] < 0 && !field->default_value)
            return refuse(c, BUS_SCHEMA, "the writer's %.100s has no such field, and it has no default", writer->name);
        if (from[i] >= 0 && !readable(c, writer->fields[from[i]].type, field->type))
            return false;
        c->path[len] = '\0';
    }
    return true;
}

static bool record_readable(checker *c, const bui_node *writer, const bui_node *reader)
{
    pair key = { writer, reader };
    if (bui_map_get(&c->seen, &key, sizeof key))
        return true;
    int32_t *from = malloc((reader->count + 1) * sizeof *from);
    bool *taken = malloc(writer->count + 1), ok = from && taken && bui_map_put(&c->seen, &key, sizeof key, c);
    if (ok) {
        bui_resolve_fields(writer, reader, from, taken);
        ok = fields_readable(c, writer, reader, from);
    } else {
        bui_fail_nomem(c->err);
    }
    free(from);
    free(taken);
    return ok;
}

static bool enum_readable(checker *c, const bui_node *writer, const bui_node *reader)
{
    for (size_t i = 0; i < writer->count; i++)
        if (bui_resolve_symbol(reader, writer->symbols[i]) < 0)
            return refuse(c, BUS_SCHEMA, "the writer's symbol \"%.100s\" is not among the reader's, which has no default",
                          writer->symbols[i]);
    return true;
}

static bool items_readable(checker *c, const bui_node *writer, const bui_node *reader)
{
    size_t len = step_down(c, reader->kind == BUS_KIND_MAP ? "{}" : "[]", "");
    if (!readable(c, writer->item, reader->item))
        return false;
    c->path[len] = '\0';
    return true;
}

static bool unions_readable(checker *c, const bui_node *writer, const bui_node *reader)
{
    for (size_t i = 0; writer->kind == BUS_KIND_UNION && i < writer->count; i++)
        if (!readable(c, writer->fields[i].type, reader))
            return false;
    if (writer->kind == BUS_KIND_UNION)
        return true;
    int branch = bui_resolve_branch(writer, reader);
    if (branch < 0)
        return refuse(c, BUS_SCHEMA, "the writer has %.100s, which is not one of the union's branches", writer->name);
    return readable(c, writer, reader->fields[branch].type);
}

static bool one_readable(checker *c, const bui_node *writer, const bui_node *reader)
{
    char why[BUI_RESOLVE_TEXT];
    if (writer->kind == BUS_KIND_UNION || reader->kind == BUS_KIND_UNION)
        return unions_readable(c, writer, reader);
    if (bui_resolve_match(writer, reader, why) == BUI_MATCH_NONE)
        return refuse(c, BUS_SCHEMA, "%s", why);
    switch (reader->kind) {
    case BUS_KIND_RECORD: return record_readable(c, writer, reader);
    case BUS_KIND_ENUM: return enum_readable(c, writer, reader);
    case BUS_KIND_ARRAY:
    case BUS_KIND_MAP: return items_readable(c, writer, reader);
    default: return true;
    }
}

static bool readable(checker *c, const bui_node *writer, const bui_node *reader)
{
    if (++c->depth > DEPTH_MAX)
        return refuse(c, BUS_TOO_BIG, "types nested deeper than %d", DEPTH_MAX);
    bool ok = one_readable(c, writer, reader);
    c->depth--;
    return ok;
}

bus_status bui_compatible_type(const bui_node *writer, const bui_node *reader, bus_error *err)
{
    bus_error why = { .status = BUS_OK };
    checker c = { .err = &why };
    bui_map_init(&c.seen);
    snprintf(c.path, sizeof c.path, "%.250s", reader->name);
    readable(&c, writer, reader);
    bui_map_free(&c.seen, NULL);
    if (why.status != BUS_OK && err)
        *err = why;
    return why.status;
}

bus_status bui_compatible_read(const bui_schema *writer, const bui_schema *reader, bus_error *err)
{
    return bui_compatible_type(bui_schema_root(writer), bui_schema_root(reader), err);
}

bool bui_compatibility_backward(bui_compatibility level)
{
    return level == BUI_COMPATIBILITY_BACKWARD || level == BUI_COMPATIBILITY_BACKWARD_TRANSITIVE ||
           level == BUI_COMPATIBILITY_FULL || level == BUI_COMPATIBILITY_FULL_TRANSITIVE;
}

bool bui_compatibility_forward(bui_compatibility level)
{
    return level != BUI_COMPATIBILITY_NONE && level != BUI_COMPATIBILITY_BACKWARD &&
           level != BUI_COMPATIBILITY_BACKWARD_TRANSITIVE;
}

static bus_status compare(bui_compatibility level, const bui_schema *next, const bui_schema *before, bus_error *err)
{
    bus_error why;
    if (bui_compatibility_backward(level) && bui_compatible_read(before, next, &why) != BUS_OK)
        return bui_fail(err, why.status,
                        "not %s compatible with version %016" PRIx64 ": the new schema cannot read what that wrote: %s",
                        names[level], bui_schema_fingerprint(before), why.text);
    if (bui_compatibility_forward(level) && bui_compatible_read(next, before, &why) != BUS_OK)
        return bui_fail(err, why.status,
                        "not %s compatible with version %016" PRIx64 ": that cannot read what the new schema writes: %s",
                        names[level], bui_schema_fingerprint(before), why.text);
    return BUS_OK;
}

bus_status bui_compatible(bui_compatibility level, const bui_schema *next, const bui_schema *const *before, size_t count,
                          bus_error *err)
{
    bool all = level == BUI_COMPATIBILITY_BACKWARD_TRANSITIVE || level == BUI_COMPATIBILITY_FORWARD_TRANSITIVE ||
               level == BUI_COMPATIBILITY_FULL_TRANSITIVE;
    if (level == BUI_COMPATIBILITY_NONE)
        return BUS_OK;
    for (size_t i = count; i-- > 0;) { /* the newest first: its reasons are the most telling */
        bus_status status = compare(level, next, before[i], err);
        if (status != BUS_OK || !all)
            return status;
    }
    return BUS_OK;
}
