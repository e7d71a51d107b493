/* SPDX-License-Identifier: MIT
 * Schema parser: complaints, memory, and where in the document it is. */
#include "codec/schema_parser.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void *bui_parser_refuse(bui_parser *p, const char *format, ...)
{
    char text[300];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    p->status = bui_fail(p->err, BUS_SCHEMA, "%s: %s", p->path[0] ? p->path : "the schema", text);
    return NULL;
}

void *bui_parser_no_memory(bui_parser *p)
{
    p->status = bui_fail_nomem(p->err);
    return NULL;
}

void *bui_parser_allocate(bui_parser *p, size_t n)
{
    void *memory = bui_arena_zero(&p->schema->arena, n ? n : 1);
    return memory ? memory : bui_parser_no_memory(p);
}

const char *bui_parser_keep(bui_parser *p, const char *text)
{
    const char *kept = bui_arena_copy(&p->schema->arena, text, strlen(text));
    return kept ? kept : bui_parser_no_memory(p);
}

size_t bui_parser_step(bui_parser *p, const char *mark, const char *name)
{
    size_t len = strlen(p->path);
    snprintf(p->path + len, sizeof p->path - len, "%s%s", mark, name);
    return len;
}

void bui_parser_leave(bui_parser *p, size_t len)
{
    p->path[len] = '\0';
}
