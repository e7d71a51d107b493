/* SPDX-License-Identifier: MIT
 * bus schema list, show, diff: the schemas on bus.schemas, in files and in the registry. */
#include "cli/cli.h"
#include "base/error.h"
#include "cli/translate.h"
#include "codec/compatibility.h"
#include "ops/schemas.h"
#include "registry/registry.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct shelf {
    cli *c;
    bui_catalog *topic; /* what is on bus.schemas */
    bui_catalog *files; /* what was read from files, and from the registry */
} shelf;

static bus_status open_shelf(cli *c, shelf *s, bool topic, bus_error *err)
{
    *s = (shelf){ c, bui_catalog_new(), bui_catalog_new() };
    if (!s->topic || !s->files)
        return bui_fail_nomem(err);
    return topic ? cli_schemas_load(c, s->topic, NULL, err) : BUS_OK;
}

static void close_shelf(shelf *s)
{
    bui_catalog_free(s->topic);
    bui_catalog_free(s->files);
}

/* As the registry itself calls it. */
static bool is_reference(const char *word)
{
    static const char *const begins[] = { "schemas/ids/", "schemas/guids/", "subjects/" };
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++)
        if (strncmp(word, begins[i], strlen(begins[i])) == 0)
            return true;
    return false;
}

static bool is_elsewhere(const char *word)
{
    size_t len = strlen(word);
    return strchr(word, '/') || (len > 5 && strcmp(word + len - 5, ".avsc") == 0);
}

static bus_status find_reference(shelf *s, const char *word, const bui_schema **out, bus_error *err)
{
    bui_buf text;
    bui_registry *registry = NULL;
    bui_buf_init(&text, BUI_SCHEMA_MAX_BYTES);
    bus_status status = bui_registry_open(s->c->config, NULL, NULL, &registry, err);
    if (status == BUS_OK)
        status = registry ? bui_registry_schema(registry, word, &text, err)
                          : bui_fail(err, BUS_CONFIG, "%.200s is in a registry: set registry.url", word);
    if (status == BUS_OK) {
        status = bui_catalog_add(s->files, (const char *)text.data, text.len, err);
        if (status != BUS_OK)
            bui_fail_in(err, "%.200s of the schema registry", word);
    }
    if (status == BUS_OK)
        *out = bui_catalog_text(s->files, (const char *)text.data, text.len);
    bui_registry_close(registry);
    bui_buf_free(&text);
    return status;
}

/* By the registry's reference, the name of a file, a fingerprint, or a full name: then the version that came last. */
static bus_status find(shelf *s, const char *word, const bui_schema **out, bus_error *err)
{
    char *end;
    if (is_reference(word))
        return find_reference(s, word, out, err);
    if (is_elsewhere(word))
        return bui_schemas_file(word, NULL, 0, s->files, out, err);
    uint64_t fingerprint = strtoull(word, &end, 16);
    *out = strlen(word) == 16 && !*end ? bui_catalog_find(s->topic, fingerprint) : bui_catalog_named(s->topic, word);
    return *out ? BUS_OK
                : bui_fail(err, BUS_MISSING,
                           "%.200s is not a schema on bus.schemas: give a full name, a fingerprint, or a file "
                           "(ending in .avsc); see `bus schema list`",
                           word);
}

static int finish(shelf *s, bus_status status, const bus_error *err, int code)
{
    close_shelf(s);
    return status == BUS_OK ? code : cli_fail(s->c, err);
}

/* ---- list, show */

static bool wanted(const cli *c, const char *name)
{
    for (int i = 0; i < c->operands; i++)
        if (strcmp(c->operand[i], name) == 0)
            return true;
    return c->operands == 0;
}

static int run_list(cli *c)
{
    static const cli_column columns[] = { { "NAME", "name", CLI_LONG },
                                          { "VERSION", "version", CLI_NUMBER },
                                          { "FINGERPRINT", "fingerprint", CLI_TEXT },
                                          { "BYTES", "bytes", CLI_NUMBER },
                                          { NULL, "schema", CLI_TEXT } };
    shelf s;
    bus_error err = { 0 };
    const bui_schema *schema, *other;
    bus_status status = open_shelf(c, &s, true, &err);
    cli_table *table = cli_table_new(columns, sizeof columns / sizeof columns[0]);
    for (size_t i = 0; table && status == BUS_OK && (schema = bui_catalog_at(s.topic, i)); i++) {
        size_t len, version = 1;
        const char *json = bui_schema_json(schema, &len);
        for (size_t j = 0; j < i && (other = bui_catalog_at(s.topic, j)); j++)
            version += strcmp(bui_schema_name(other), bui_schema_name(schema)) == 0;
        if (!wanted(c, bui_schema_name(schema)))
            continue;
        cli_cell(table, bui_schema_name(schema));
        cli_cell_int(table, (int64_t)version);
        cli_cellf(table, "%016" PRIx64, bui_schema_fingerprint(schema));
        cli_cell_int(table, (int64_t)len);
        cli_cell_both(table, "", json);
    }
    close_shelf(&s);
    if (status != BUS_OK) {
        cli_table_free(table);
        return cli_fail(c, &err);
    }
    return cli_print(c, table, table && cli_table_rows(table) ? CLI_OK : CLI_NOTHING);
}

static int run_show(cli *c)
{
    shelf s;
    bus_error err = { 0 };
    const bui_schema *schema;
    bui_buf out;
    bui_buf_init(&out, 0);
    bus_status status = open_shelf(c, &s, !is_elsewhere(c->operand[0]), &err);
    if (status == BUS_OK)
        status = find(&s, c->operand[0], &schema, &err);
    if (status == BUS_OK) {
        bui_buf_text(&out, cli_flag(c, "canonical") ? bui_schema_canonical(schema) : bui_schema_json(schema, NULL));
        if (out.len > 0 && out.data[out.len - 1] != '\n')
            bui_buf_byte(&out, '\n');
        close_shelf(&s);
        return cli_flush(c, &out, CLI_OK);
    }
    bui_buf_free(&out);
    return finish(&s, status, &err, CLI_OK);
}

/* ---- diff */

static void difference(cli_table *table, const char *what, const char *field, const char *before, const char *after,
                       cli_colour colour)
{
    cli_cell(table, what);
    cli_paint(table, colour);
    cli_cell(table, field);
    cli_cell(table, before);
    cli_cell(table, after);
}

/* The fields of two records by name; what lies deeper is told by which way they can be read. */
static void diff_fields(cli_table *table, const bui_node *before, const bui_node *after)
{
    for (size_t i = 0; i < after->count; i++) {
        const bui_node_field *now = &after->fields[i], *old = NULL;
        for (size_t j = 0; j < before->count && !old; j++)
            if (strcmp(before->fields[j].name, now->name) == 0)
                old = &before->fields[j];
        if (!old)
            difference(table, "added", now->name, NULL, now->type->name, now->default_value ? CLI_GREEN : CLI_YELLOW);
        else if (strcmp(old->type->name, now->type->name) != 0)
            difference(table, "changed", now->name, old->type->name, now->type->name, CLI_YELLOW);
    }
    for (size_t j = 0; j < before->count; j++) {
        bool kept = false;
        for (size_t i = 0; i < after->count && !kept; i++)
            kept = strcmp(before->fields[j].name, after->fields[i].name) == 0;
        if (!kept)
            difference(table, "removed", before->fields[j].name, before->fields[j].type->name, NULL, CLI_YELLOW);
    }
}

static void reads(cli_table *table, const char *what, const bui_schema *writer, const bui_schema *reader)
{
    bus_error why = { 0 };
    bool yes = bui_compatible_read(writer, reader, &why) == BUS_OK;
    difference(table, what, NULL, NULL, yes ? "yes" : why.text, yes ? CLI_GREEN : CLI_RED);
}

static int run_diff(cli *c)
{
    static const cli_column columns[] = {
        { "WHAT", "what", CLI_LONG }, { "FIELD", "field", CLI_LONG }, { "OLD", "old", CLI_LONG }, { "NEW", "new", CLI_LONG }
    };
    shelf s;
    bus_error err = { 0 };
    const bui_schema *before = NULL, *after = NULL;
    bus_status status = open_shelf(c, &s, !is_elsewhere(c->operand[0]) || !is_elsewhere(c->operand[1]), &err);
    if (status == BUS_OK)
        status = find(&s, c->operand[0], &before, &err);
    if (status == BUS_OK)
        status = find(&s, c->operand[1], &after, &err);
    if (status != BUS_OK)
        return finish(&s, status, &err, CLI_OK);
    cli_table *table = cli_table_new(columns, sizeof columns / sizeof columns[0]);
    bool same = strcmp(bui_schema_json(before, NULL), bui_schema_json(after, NULL)) == 0;
    if (table) {
        const bui_node *old = bui_schema_root(before), *now = bui_schema_root(after);
        if (old->kind == BUS_KIND_RECORD && now->kind == BUS_KIND_RECORD)
            diff_fields(table, old, now);
        reads(table, "new reads old", before, after);
        reads(table, "old reads new", after, before);
    }
    close_shelf(&s);
    return cli_print(c, table, same ? CLI_OK : CLI_PARTIAL);
}

static const cli_option none[] = { { NULL, 0, NULL, NULL } };
static const cli_option show_options[] = {
    { "canonical", 0, NULL, "its Parsing Canonical Form, from which the fingerprint is computed" }, { NULL, 0, NULL, NULL }
};

const cli_command cli_schema_list = { .name = "schema list",
                                      .operands = "[NAME...]",
                                      .least = 0,
                                      .most = -1,
                                      .summary = "list the schemas that services and tools have announced",
                                      .text = "Versions are numbered from 1 in the order in which they came to bus.schemas.",
                                      .options = none,
                                      .examples = "  bus schema list\n  bus schema list order.OrderPlaced -o json",
                                      .run = run_list };

const cli_command cli_schema_show = {
    .name = "schema show",
    .operands = "NAME|FINGERPRINT|FILE|REFERENCE",
    .least = 1,
    .most = 1,
    .summary = "print a schema",
    .text = "A full name means the latest version. REFERENCE is what the registry calls it: schemas/ids/7,\n"
            "schemas/guids/GUID, subjects/SUBJECT/versions/2 or .../latest; that needs registry.url and no broker.",
    .options = show_options,
    .examples = "  bus schema show order.OrderPlaced\n  bus schema show 0123456789abcdef --canonical\n"
                "  bus schema show subjects/order.events-order.OrderPlaced/versions/latest",
    .run = run_show
};

const cli_command cli_schema_diff = {
    .name = "schema diff",
    .operands = "OLD NEW",
    .least = 2,
    .most = 2,
    .summary = "compare two schemas, and show which can read the other",
    .text = "OLD and NEW are full names, fingerprints, files or references, as for bus schema show. A file may refer to\n"
            "types in other .avsc files of its folder. Exit code 3 if they differ.",
    .options = none,
    .examples = "  bus schema diff order.OrderPlaced schemas/order.OrderPlaced.avsc",
    .run = run_diff
};
