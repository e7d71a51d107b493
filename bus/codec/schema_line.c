/* SPDX-License-Identifier: MIT
 * Schema line: on which line of its text a part of a JSON document begins. jansson does not tell: but it keeps the order of members, so
 * the n-th value of the document is the n-th value of the text. */
#include "codec/schema_parser.h"

#include <string.h>

/* Counts values up to `part`, itself included; true once it is met. */
static bool ordinal(const json_t *at, const json_t *part, size_t *n)
{
    ++*n;
    if (at == part)
        return true;
    for (size_t i = 0; i < json_array_size(at); i++)
        if (ordinal(json_array_get(at, i), part, n))
            return true;
    json_t *object = (json_t *)(uintptr_t)at;
    for (void *member = json_object_iter(object); member; member = json_object_iter_next(object, member))
        if (ordinal(json_object_iter_value(member), part, n))
            return true;
    return false;
}

/* Behind the string that begins at `at`. */
static const char *after_string(const char *at)
{
    for (at++; *at && *at != '"'; at++)
        if (*at == '\\' && at[1])
            at++;
    return *at ? at + 1 : at;
}

static bool is_key(const char *after)
{
    return after[strspn(after, " \t\r\n")] == ':';
}

/* The text has been parsed: it is JSON. */
size_t bui_schema_line_of(const char *text, const json_t *document, const json_t *part)
{
    size_t wanted = 0, line = 1;
    if (!part || !ordinal(document, part, &wanted))
        return 0;
    for (const char *at = text; *at;) {
        const char *next = *at == '"' ? after_string(at) : at + 1;
        const bool value = *at == '"' ? !is_key(next) : strchr("{[-0123456789tfn", *at) != NULL;
        if (value && --wanted == 0)
            return line;
        if (value && *at != '"' && *at != '{' && *at != '[') /* a number or a word */
            next = at + strcspn(at, ",]} \t\r\n");
        line += *at == '\n';
        at = next;
    }
    return 0;
}

size_t bui_schema_line(const bui_schema *schema, const json_t *part)
{
    return bui_schema_line_of(schema->json, schema->document, part);
}
