/* SPDX-License-Identifier: MIT
 * Text: names, comments and literals in the generated code. */
#include "codec/compiler/compiler.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define WIDTH 116

char *compiler_text(compiler *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = len < 0 ? NULL : bui_arena_alloc(&c->arena, (size_t)len + 1);
    if (!text) {
        bui_fail_nomem(c->err);
        return NULL;
    }
    va_start(args, format);
    vsnprintf(text, (size_t)len + 1, format, args);
    va_end(args);
    return text;
}

const char *compiler_simple(const char *full_name)
{
    const char *dot = strrchr(full_name, '.');
    return dot ? dot + 1 : full_name;
}

/* How many bytes of a character that turns the direction of text: compilers warn of those. */
static size_t turning(const char *from, size_t len)
{
    static const char *const marks[] = { "\xE2\x80\xAA", "\xE2\x80\xAB", "\xE2\x80\xAC", "\xE2\x80\xAD",
                                         "\xE2\x80\xAE", "\xE2\x81\xA6", "\xE2\x81\xA7", "\xE2\x81\xA8",
                                         "\xE2\x81\xA9", "\xE2\x80\x8E", "\xE2\x80\x8F", "\xD8\x9C" };
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (strlen(marks[i]) <= len && memcmp(from, marks[i], strlen(marks[i])) == 0)
            return strlen(marks[i]);
    return 0;
}

/* Nothing in a text may end the comment, nor make a compiler warn: "??/" is a backslash, which would join two lines. */
static void comment_bytes(bui_buf *out, const char *from, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)from[i];
        size_t turn = turning(from + i, len - i);
        bui_buf_byte(out, byte < ' ' || byte == 0x7F || turn > 0 ? ' ' : byte);
        i += turn > 0 ? turn - 1 : 0;
        if (i + 1 < len && ((from[i] == '*' && from[i + 1] == '/') || (from[i] == '/' && from[i + 1] == '*') ||
                            (from[i] == '?' && from[i + 1] == '?')))
            bui_buf_byte(out, ' ');
    }
}

void compiler_comment(bui_buf *out, const char *indent, const char *text)
{
    if (!text || !*text)
        return;
    bui_buf_printf(out, "%s/* ", indent);
    size_t column = strlen(indent) + 3;
    for (bool first = true;; first = false) {
        text += strspn(text, " \t\r\n");
        size_t len = strcspn(text, " \t\r\n");
        if (len == 0)
            break;
        if (!first && column + 1 + len > WIDTH) {
            bui_buf_printf(out, "\n%s * ", indent);
            column = strlen(indent) + 3;
        } else if (!first) {
            bui_buf_byte(out, ' ');
            column++;
        }
        comment_bytes(out, text, len);
        text += len;
        column += len;
    }
    bui_buf_text(out, " */\n");
}

void compiler_literal(bui_buf *out, const char *indent, const char *text)
{
    while (*text) {
        size_t column = strlen(indent) + 2;
        bui_buf_printf(out, "%s\"", indent);
        for (; *text && column < WIDTH; text++, column++) {
            unsigned char byte = (unsigned char)*text;
            if (byte == '"' || byte == '\\') {
                bui_buf_byte(out, '\\');
                bui_buf_byte(out, byte);
                column++;
            } else if (byte < ' ' || byte > '~' || (byte == '?' && text[1] == '?')) {
                bui_buf_printf(out, "\\%03o", byte); /* three digits end the escape; "??" could be a trigraph */
                column += 3;
            } else {
                bui_buf_byte(out, byte);
            }
            if (column > WIDTH - 24 && byte == ',') {
                text++;
                break;
            }
        }
        bui_buf_text(out, *text ? "\"\n" : "\"");
    }
}

const char *compiler_where(const source *from, const struct json_t *part, char out[COMPILER_WHERE])
{
    size_t line = from->schema ? bui_schema_line(from->schema, part) : 0;
    if (line > 0)
        snprintf(out, COMPILER_WHERE, "%s:%zu", from->path, line);
    return line > 0 ? out : from->path;
}

const struct json_t *compiler_field(const bui_node *record, size_t i)
{
    return json_array_get(json_object_get(record->json, "fields"), i);
}
