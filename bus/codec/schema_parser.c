/* SPDX-License-Identifier: MIT
 * Schema parser: complaints, memory, and where in the document it is. */
#include "codec/schema_parser.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void *bus_parser_refuse(bus_parser *p, const char *format, ...)
{
    char text[300];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    p->status = bus_fail(p->err, BUS_SCHEMA, "%s: %s", p->path[0] ? p->path : "the schema", text);
    return NULL;
}

void *bus_parser_no_memory(bus_parser *p)
{
    p->status = bus_fail_nomem(p->err);
    return NULL;
}

void *bus_parser_allocate(bus_parser *p, size_t n)
{
    void *memory = bus_arena_zero(&p->schema->arena, n ? n : 1);
    return memory ? memory : bus_parser_no_memory(p);
}

const char *bus_parser_keep(bus_parser *p, const char *text)
{
    const char *kept = bus_arena_copy(&p->schema->arena, text, strlen(text));
    return kept ? kept : bus_parser_no_memory(p);
}

size_t bus_parser_step(bus_parser *p, const char *mark, const char *name)
{
    size_t len = strlen(p->path);
    snprintf(p->path + len, sizeof p->path - len, "%s%s", mark, name);
    return len;
}

void bus_parser_leave(bus_parser *p, size_t len)
{
    p->path[len] = '\0';
}
