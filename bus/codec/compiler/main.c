/* SPDX-License-Identifier: MIT
 * bus-schemac: Avro schemas to C. Writes one header and one source per name space, and only those that changed. */
#include "codec/compiler/compiler.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] = "usage: bus-schemac -o DIR [--suffix SUFFIX] FILE.avsc...\n"
                           "       bus-schemac --check RELEASED [--compatibility LEVEL] FILE.avsc...\n"
                           "\n"
                           "Turns Avro schemas into C: DIR/<namespace>.events.h and DIR/<namespace>.events.c\n"
                           "for each name space (dots become underscores). A record order.OrderPlaced\n"
                           "becomes\n"
                           "\n"
                           "    struct order_OrderPlaced      its fields\n"
                           "    order_OrderPlaced_type        its bus_type, for routes and emits\n"
                           "    order_OrderPlaced_defaults    a struct to start from, if a field has a default\n"
                           "    order_OrderPlaced_of(event)   the decoded struct; NULL: another type\n"
                           "    order_OrderPlaced_emit(tx, key, &placed)\n"
                           "                                  bus_emit with this type and this struct;\n"
                           "                                  likewise _emit_with, _schedule, _schedule_with\n"
                           "                                  and _reply\n"
                           "    order_OrderPlaced_publication(topic, key, &placed)\n"
                           "                                  a bus_publication, for bus_publish and\n"
                           "                                  bus_request\n"
                           "\n"
                           "(the functions that write only for records at the top of a file)\n"
                           "\n"
                           "and, if the schema has \"state\": { \"table\": \"stock\", \"key\": \"sku\" }, a table of the\n"
                           "service with a column for each field, see <bus/state.h>:\n"
                           "\n"
                           "    order_Stock_state             its bus_state, for bus_service.states\n"
                           "    order_Stock_load, _save and _remove (tx, &row)\n"
                           "\n"
                           "and an enum order.State order_State_name(state), the symbol's text, and\n"
                           "order_State_from_name(text, &state).\n"
                           "\n"
                           "Files may refer to each other's types by full name, in any order. The same input\n"
                           "gives the same output; files that would not change are left alone. See\n"
                           "<bus/type.h> for how Avro's types look in C. A member whose name C or its\n"
                           "headers use for something else gets a '_' (int_).\n"
                           "\n"
                           "With --suffix v1 the C names begin with order_v1_, and the files are\n"
                           "DIR/order_v1.events.h and .c: so a program can have two versions of a type, as\n"
                           "a test of old events needs. What is written and read is the same.\n"
                           "\n"
                           "With --check nothing is written: each schema in the directory RELEASED must\n"
                           "still be among the FILEs, by its name or an alias, in a version that may follow\n"
                           "it.\n"
                           "\n"
                           "  -o, --output DIR   where to write; it must exist (default .)\n"
                           "      --suffix SUFFIX\n"
                           "                     of the names in C: letters, digits and _\n"
                           "      --check DIR    the schemas as they were released last, one .avsc each\n"
                           "      --compatibility LEVEL\n"
                           "                     backward (default: the new version reads what the old one\n"
                           "                     wrote), forward (the old reads what the new writes), full\n"
                           "                     (both) or none\n"
                           "  -h, --help         this text\n"
                           "\n"
                           "Exit codes: 0 ok, 1 error or incompatible, 2 usage.\n";

static bool unchanged(const char *path, const bui_buf *text)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return false;
    char chunk[4096];
    size_t at = 0, n;
    bool same = true;
    while (same && (n = fread(chunk, 1, sizeof chunk, file)) > 0) {
        same = n <= text->len - at && memcmp(text->data + at, chunk, n) == 0;
        at += n;
    }
    same = same && !ferror(file) && at == text->len;
    fclose(file);
    return same;
}

/* By way of another name, so that a build that is cut off leaves no half file. */
static bus_status write_file(compiler *c, const char *path, const bui_buf *text)
{
    if (unchanged(path, text))
        return BUS_OK;
    char *temporary = compiler_text(c, "%s.%ld", path, (long)getpid());
    if (!temporary)
        return BUS_NOMEM;
    FILE *file = fopen(temporary, "wb");
    if (!file)
        return bui_fail(c->err, BUS_IO, "%s: %s", temporary, strerror(errno));
    bool ok = fwrite(text->data, 1, text->len, file) == text->len;
    ok = fclose(file) == 0 && ok;
    if (ok && rename(temporary, path) == 0)
        return BUS_OK;
    bus_status status = bui_fail(c->err, BUS_IO, "%s: %s", path, strerror(errno));
    unlink(temporary);
    return status;
}

static bus_status write_unit(compiler *c, unit *u, const char *directory)
{
    bui_buf header, body;
    bui_buf_init(&header, 0);
    bui_buf_init(&body, 0);
    const char *header_path = compiler_text(c, "%s/%s.events.h", directory, u->prefix);
    const char *source_path = compiler_text(c, "%s/%s.events.c", directory, u->prefix);
    bus_status status = header_path && source_path ? compiler_header(c, u, &header) : BUS_NOMEM;
    if (status == BUS_OK)
        status = compiler_source(c, u, &body);
    if (status == BUS_OK)
        status = write_file(c, header_path, &header);
    if (status == BUS_OK)
        status = write_file(c, source_path, &body);
    bui_buf_free(&header);
    bui_buf_free(&body);
    return status;
}

static int compile(const char *directory, const char *suffix, const char *const *paths, size_t count)
{
    bus_error err = { .status = BUS_OK };
    compiler c;
    compiler_begin(&c, suffix, &err);
    bus_status status = compiler_load(&c, paths, count);
    if (status == BUS_OK)
        status = compiler_uses(&c);
    for (size_t i = 0; i < c.unit_count && status == BUS_OK; i++)
        status = write_unit(&c, c.order[i], directory);
    compiler_end(&c);
    if (status == BUS_OK)
        return 0;
    fprintf(stderr, "bus-schemac: %s\n", err.text);
    return 1;
}

static int usage(const char *what, const char *argument)
{
    fprintf(stderr, "bus-schemac: %s%s\nTry bus-schemac --help.\n", what, argument);
    return 2;
}

typedef struct options {
    const char *directory, *released, *level, *suffix;
} options;

/* The value that must follow an option; NULL after a complaint. */
static const char *value_of(int argc, char **argv, int *i)
{
    if (*i + 1 < argc)
        return argv[++*i];
    usage("a value must follow ", argv[*i]);
    return NULL;
}

/* -1: go on; else the exit code. */
static int read_option(options *o, int argc, char **argv, int *i)
{
    static const struct {
        const char *letter, *name;
        size_t at;
    } known[] = {
        { "-o", "--output", offsetof(options, directory) },
        { "--check", "--check", offsetof(options, released) },
        { "--compatibility", "--compatibility", offsetof(options, level) },
        { "--suffix", "--suffix", offsetof(options, suffix) },
    };
    const char *argument = argv[*i];
    if (strcmp(argument, "-h") == 0 || strcmp(argument, "--help") == 0) {
        fputs(help, stdout);
        return 0;
    }
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
        if (strcmp(argument, known[k].letter) != 0 && strcmp(argument, known[k].name) != 0)
            continue;
        const char *value = value_of(argc, argv, i);
        if (!value)
            return 2;
        memcpy((char *)o + known[k].at, &value, sizeof value);
        return -1;
    }
    return usage("there is no option ", argument);
}

#define SUFFIX_MAX 40

/* "v1" as "_v1" in `out`, which is empty without a suffix. false: it makes no name of C. */
static bool take_suffix(const char *suffix, char out[SUFFIX_MAX + 2])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    out[0] = '\0';
    if (!suffix)
        return true;
    size_t len = strlen(suffix);
    return len > 0 && len <= SUFFIX_MAX && strspn(suffix, letters) == len && snprintf(out, SUFFIX_MAX + 2, "_%s", suffix) > 0;
}

int main(int argc, char **argv)
{
    options o = { .directory = ".", .level = "backward" };
    const char **paths = calloc((size_t)argc + 1, sizeof *paths);
    size_t count = 0;
    int code = -1;
    if (!paths)
        return 1;
    for (int i = 1; i < argc && code < 0; i++) {
        if (argv[i][0] == '-' && argv[i][1])
            code = read_option(&o, argc, argv, &i);
        else
            paths[count++] = argv[i];
    }
    if (code < 0 && count == 0)
        code = usage("no schema files given", "");
    char suffix[SUFFIX_MAX + 2];
    if (code < 0 && !take_suffix(o.suffix, suffix))
        code = usage("a suffix has 1 to 40 letters, digits and _, such as v1: ", o.suffix);
    if (code < 0)
        code = o.released ? compiler_check(o.released, o.level, paths, count) : compile(o.directory, suffix, paths, count);
    free(paths);
    return code;
}
