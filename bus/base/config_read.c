/* SPDX-License-Identifier: MIT
 * Reading a configuration: files of lines, and the environment. */
#include "base/config_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MOST ((size_t)1 << 20)

/* ---- files */

/* A file or environment counts whole or not at all: it is applied to a copy, which then takes the original's place. */

static char *trim(char *text)
{
    text += strspn(text, " \t");
    size_t n = strlen(text);
    while (n && (text[n - 1] == ' ' || text[n - 1] == '\t' || text[n - 1] == '\r'))
        text[--n] = 0;
    return text;
}

/* Applies the lines of `text`, which it takes apart. */
static bus_status apply_lines(bus_config *config, char *text, const char *path, bus_error *err)
{
    bus_status status = BUS_OK;
    bool secrets = false;
    int number = 0;
    for (char *line = text, *next; line && status == BUS_OK; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        number++;
        char *name = trim(line);
        if (!*name || *name == '#')
            continue;
        char *equals = strchr(name, '=');
        if (!equals) {
            status = bui_fail(err, BUS_CONFIG, "%s:%d: no '='; a line is: name = value", path, number);
            continue;
        }
        *equals = 0;
        bus_error why = { 0 };
        name = trim(name);
        status = bus_config_set(config, name, trim(equals + 1), &why);
        if (status != BUS_OK)
            (void)bui_fail(err, status, "%s:%d: %s", path, number, why.text);
        secrets |= bui_config_secret(config, name);
    }
    if (secrets && status == BUS_OK)
        bui_config_file_warn(path);
    return status;
}

bus_status bui_config_text_apply(bus_config *config, const char *bytes, size_t n, const char *path, bus_error *err)
{
    if (n && memchr(bytes, 0, n))
        return bui_fail(err, BUS_CONFIG, "%s: holds a NUL byte; it is not a text file", path);
    bus_config *copy = bui_config_copy(config);
    char *text = malloc(n + 1);
    bus_status status = BUS_NOMEM;
    if (!copy || !text) {
        (void)bui_fail_nomem(err);
        goto out;
    }
    if (n)
        memcpy(text, bytes, n);
    text[n] = 0;
    status = apply_lines(copy, text, path, err);
    if (status == BUS_OK) {
        bui_config_become(config, copy);
        copy = NULL;
    }
out:
    bus_config_free(copy);
    free(text);
    return status;
}

bus_status bus_config_read(bus_config *config, const char *path, bus_error *err)
{
    bui_buf text;
    bui_buf_init(&text, FILE_MOST);
    bus_status status = bui_config_file(path, &text, err);
    if (status == BUS_OK && text.over)
        status = bui_fail(err, BUS_CONFIG, "%s is longer than 1 MiB: is it a configuration?", path);
    else if (status == BUS_OK && !bui_buf_ok(&text))
        status = bui_fail_nomem(err);
    else if (status == BUS_OK)
        status = bui_config_text_apply(config, (const char *)text.data, text.len, path, err);
    if (text.data)
        explicit_bzero(text.data, text.len);
    bui_buf_free(&text);
    return status;
}

/* ---- environment */

extern char **environ;

/* BUS_STORE_CACHE_BYTES gives store.cache.bytes; in what goes to librdkafka, whose names may hold '_', "__" gives that. */
static bool name_of_variable(const char *variable, size_t n, char *out, size_t cap)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        char c = variable[i];
        if (at + 1 >= cap)
            return false;
        if (c == '_' && i + 1 < n && variable[i + 1] == '_') {
            out[at++] = '_';
            i++;
        } else {
            out[at++] = c == '_' ? '.' : c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
        }
    }
    out[at] = 0;
    return true;
}

/* Other programs, and this one's tests, have variables that begin with BUS_ too: an unknown one is refused only if it is
 * a slip of the pen away from a property, or the former name of one. */
static bus_status apply_variable(bus_config *config, const char *entry, bus_error *err)
{
    const char *equals = strchr(entry, '=');
    char name[160];
    if (strncmp(entry, "BUS_", 4) != 0 || !equals ||
        !name_of_variable(entry + 4, (size_t)(equals - entry) - 4, name, sizeof name))
        return BUS_OK;
    int distance;
    if (!bui_config_knows(config, name) && !bui_config_renamed(name) &&
        (!bui_config_near(config, name, &distance) || distance > 2))
        return BUS_OK;
    bus_error why = { 0 };
    bus_status status = bus_config_set(config, name, equals + 1, &why);
    if (status != BUS_OK)
        (void)bui_fail(err, status, "environment variable %.*s: %s", (int)(equals - entry), entry, why.text);
    return status;
}

bus_status bus_config_environment(bus_config *config, bus_error *err)
{
    bus_config *copy = bui_config_copy(config);
    if (!copy)
        return bui_fail_nomem(err);
    bus_status status = BUS_OK;
    for (char **entry = environ; entry && *entry && status == BUS_OK; entry++)
        status = apply_variable(copy, *entry, err);
    if (status == BUS_OK)
        bui_config_become(config, copy);
    else
        bus_config_free(copy);
    return status;
}
