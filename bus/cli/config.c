/* SPDX-License-Identifier: MIT
 * bus config: the properties, their values, and whether a file is valid. */
#include "cli/cli.h"

#include "base/error.h"
#include "cli/child.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static const cli_option options[] = {
    { "program", 0, "PATH", "show those of this service's program, its own too, as it would run now" },
    { "markdown", 0, NULL, "print the reference page of all properties; with --program a table of its own" },
    { "changed", 0, NULL, "only what is not the default" },
    { NULL, 0, NULL, NULL }
};

static int check_files(cli *c)
{
    int code = CLI_OK;
    for (int i = 0; i < c->operands; i++) {
        bus_error err = { 0 };
        bus_config *config = bus_config_new();
        if (!config)
            return cli_failf(c, CLI_ERROR, "no memory");
        if (bus_config_read(config, c->operand[i], &err) != BUS_OK)
            code = cli_failf(c, err.status == BUS_IO ? CLI_ERROR : CLI_USAGE, "%s", err.text);
        else if (!c->quiet)
            printf("%s: good\n", c->operand[i]);
        const char *name, *value;
        for (size_t k = 0; code == CLI_OK && bui_config_other(config, k, &name, &value); k++)
            cli_note(c, "%s: %s is a service's own, and not checked here: that program checks it by --check-config",
                     c->operand[i], name);
        bus_config_free(config);
    }
    return code;
}

/* ---- the list */

static void add(const cli *c, cli_table *table, const bui_config_row *row)
{
    if (!table || (cli_flag(c, "changed") && !row->set))
        return;
    cli_cell(table, row->name);
    cli_cell(table, row->value);
    cli_paint(table, row->set ? CLI_BOLD : CLI_PLAIN);
    cli_cell(table, row->preset);
    cli_cell(table, row->allowed);
    cli_cell(table, row->unit);
    cli_cell(table, row->kind);
    cli_cell_bool(table, row->set);
    cli_cell(table, row->text);
}

static cli_table *new_table(void)
{
    static const cli_column columns[] = { { "PROPERTY", "name", CLI_TEXT },   { "VALUE", "value", CLI_LONG },
                                          { "DEFAULT", "default", CLI_LONG }, { "ALLOWED", "allowed", CLI_LONG },
                                          { NULL, "unit", CLI_TEXT },         { NULL, "kind", CLI_TEXT },
                                          { NULL, "set", CLI_TEXT },          { NULL, "text", CLI_TEXT } };
    return cli_table_new(columns, sizeof columns / sizeof columns[0]);
}

static int list(const cli *c)
{
    cli_table *table = new_table();
    bui_config_row row;
    for (size_t i = 0; bui_config_row_at(c->config, i, &row); i++)
        add(c, table, &row);
    return cli_print(c, table, CLI_OK);
}

/* ---- the same of a service's program, which alone knows its own properties */

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static bool read_row(const json_t *object, bui_config_row *out)
{
    *out = (bui_config_row){ .name = text_of(object, "name"),
                             .value = text_of(object, "value"),
                             .unit = text_of(object, "unit"),
                             .preset = json_string_value(json_object_get(object, "default")),
                             .kind = text_of(object, "kind"),
                             .allowed = text_of(object, "allowed"),
                             .set = json_is_true(json_object_get(object, "set")),
                             .text = text_of(object, "text") };
    return *out->name;
}

static bus_status ask(const cli *c, const char *line, json_t **out, bus_error *err)
{
    cli_child child;
    bui_buf text;
    int code = 0;
    bui_buf_init(&text, 4u << 20);
    bus_status status = cli_child_begin(c, line, &child, err);
    if (status != BUS_OK)
        return status;
    status = cli_child_add(&child, "--show-config", err);
    if (status == BUS_OK)
        status = cli_child_add(&child, "--output=json", err);
    if (status == BUS_OK)
        status = cli_child_run(&child, &text, &code, err);
    if (status == BUS_OK && code != 0)
        status = bui_fail(err, code == 2 ? BUS_CONFIG : BUS_IO, "%s --show-config ended with exit code %d", line, code);
    *out = status == BUS_OK ? json_loadb((const char *)text.data, text.len, 0, NULL) : NULL;
    if (status == BUS_OK && !json_is_array(*out))
        status = bui_fail(err, BUS_INVALID, "%s does not say with --show-config --output=json what it is set to", line);
    cli_child_free(&child);
    bui_buf_free(&text);
    return status;
}

static int own_page(const cli *c, const json_t *rows)
{
    bui_buf page;
    bui_config_row row;
    bui_buf_init(&page, 0);
    bui_config_page_head(&page);
    for (size_t i = 0; i < json_array_size(rows); i++)
        if (read_row(json_array_get(rows, i), &row) && row.preset && strncmp(row.name, "service.", 8) == 0)
            bui_config_page_row(&row, &page);
    return cli_flush(c, &page, CLI_OK);
}

static int list_program(const cli *c, const char *line)
{
    bus_error err = { 0 };
    json_t *rows = NULL;
    bui_config_row row;
    int code;
    if (ask(c, line, &rows, &err) != BUS_OK) {
        code = cli_fail(c, &err);
    } else if (cli_flag(c, "markdown")) {
        code = own_page(c, rows);
    } else {
        cli_table *table = new_table();
        for (size_t i = 0; i < json_array_size(rows); i++)
            if (read_row(json_array_get(rows, i), &row))
                add(c, table, &row);
        code = cli_print(c, table, CLI_OK);
    }
    json_decref(rows);
    return code;
}

static int run(cli *c)
{
    const char *program = cli_value(c, "program");
    if (program && c->operands)
        return cli_failf(c, CLI_USAGE, "either --program or files: a program checks a file by --config=FILE --check-config");
    if (program)
        return list_program(c, program);
    if (cli_flag(c, "markdown")) {
        bui_buf page;
        bui_buf_init(&page, 0);
        bui_config_page(&page);
        return cli_flush(c, &page, CLI_OK);
    }
    return c->operands ? check_files(c) : list(c);
}

const cli_command cli_config = {
    .name = "config",
    .operands = "[FILE...]",
    .least = 0,
    .most = -1,
    .summary = "show the properties in force, or check files",
    .text = "Without operands: shows every property and its value, as this command line, the environment\n"
            "(BUS_BOOTSTRAP_SERVERS is bootstrap.servers) and --config set it; JSON has the kind and the meaning, too. A\n"
            "service's own properties are known to its program alone: name it by --program. With FILEs: reads each of\n"
            "them and says what is wrong in it, and where.",
    .options = options,
    .examples =
        "  bus config --changed\n  bus config --program inventory --config shop.conf\n  bus config order.conf payment.conf\n  bus config --markdown > docs/configuration.md",
    .run = run
};
