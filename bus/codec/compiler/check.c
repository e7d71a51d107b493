/* SPDX-License-Identifier: MIT
 * Check: the schemas as they are against the schemas as they were released. Released schemas are in use: services that were
 * built with them run, and topics hold what they wrote. */
#include "codec/compiler/compiler.h"

#include "codec/compatibility.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool has_alias(const bui_node *node, const char *name)
{
    for (const char *const *alias = node->aliases; alias && *alias; alias++)
        if (strcmp(*alias, name) == 0)
            return true;
    return false;
}

/* The type that goes on where a released one was: of its name, or with an alias of that name. */
static const bui_node *successor(const compiler *now, const char *name, const char **path)
{
    const source *from = bui_map_get(&now->set.defines, name, strlen(name));
    const bui_node *found = from ? bui_schema_named(from->schema, name) : NULL;
    for (size_t i = 0; !found && i < now->set.given.count; i++) {
        from = now->set.given.at[i];
        if (has_alias(bui_schema_root(from->schema), name))
            found = bui_schema_root(from->schema);
    }
    *path = found ? from->path : NULL;
    return found;
}

static bool complain(const char *path, const char *what, const char *why)
{
    fprintf(stderr, "bus-schemac: %s: %s%s\n", path, what, why);
    return false;
}

static bool may_follow(bui_compatibility level, const compiler *now, const source *released)
{
    const bui_node *before = bui_schema_root(released->schema);
    const char *path;
    bus_error err = { .status = BUS_OK };
    char what[400];
    const bui_node *next = successor(now, before->name, &path);
    if (!next) {
        snprintf(what, sizeof what,
                 "%.200s was released and is gone: keep it as long as a topic holds it or a service writes it; "
                 "after that delete this file",
                 before->name);
        return complain(released->path, what, "");
    }
    if (bui_compatibility_backward(level) && bui_compatible_type(before, next, &err) != BUS_OK) {
        snprintf(what, sizeof what, "it cannot read what %.200s wrote (%s): ", released->path, bui_compatibility_name(level));
        return complain(path, what, err.text);
    }
    if (bui_compatibility_forward(level) && bui_compatible_type(next, before, &err) != BUS_OK) {
        snprintf(what, sizeof what, "%.200s cannot read what it writes (%s): ", released->path, bui_compatibility_name(level));
        return complain(path, what, err.text);
    }
    return true;
}

static int compare(bui_compatibility level, const char *const *released, size_t released_count, const char *const *paths,
                   size_t count)
{
    bus_error err = { .status = BUS_OK };
    compiler before, now;
    compiler_begin(&before, "", &err);
    compiler_begin(&now, "", &err);
    bus_status status = compiler_load(&before, released, released_count);
    if (status == BUS_OK)
        status = compiler_load(&now, paths, count);
    bool good = status == BUS_OK;
    for (size_t i = 0; status == BUS_OK && i < before.set.given.count; i++)
        good = may_follow(level, &now, before.set.given.at[i]) && good; /* all are reported */
    compiler_end(&before);
    compiler_end(&now);
    if (status != BUS_OK)
        fprintf(stderr, "bus-schemac: %s\n", err.text);
    return good ? 0 : 1;
}

int compiler_check(const char *directory, const char *level_name, const char *const *paths, size_t count)
{
    glob_t found;
    bui_compatibility level;
    char pattern[4096];
    if (!bui_compatibility_of(level_name, &level)) {
        fprintf(stderr, "bus-schemac: there is no level \"%.40s\": backward, forward, full or none\n", level_name);
        return 2;
    }
    if (snprintf(pattern, sizeof pattern, "%s/*.avsc", directory) >= (int)sizeof pattern)
        return complain(directory, strerror(ENAMETOOLONG), "") ? 0 : 1;
    int failed = glob(pattern, GLOB_ERR, NULL, &found);
    if (failed != 0) { /* a misspelt directory must not pass for one without schemas */
        complain(directory, failed == GLOB_NOMATCH ? "there are no schemas (*.avsc) in it" : "it cannot be read", "");
        return 1;
    }
    int code = compare(level, (const char *const *)found.gl_pathv, found.gl_pathc, paths, count);
    globfree(&found);
    return code;
}
