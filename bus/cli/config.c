/* SPDX-License-Identifier: MIT
 * bus config: the properties there are, what they are set to, and whether a file is right. */
#include "cli/cli.h"
#include "base/error.h"

#include <stdio.h>
#include <string.h>

static const cli_option options[] = {
    { "markdown", 0, NULL, "print the reference page of all properties" },
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
        bus_config_free(config);
    }
    return code;
}

static int list(cli *c)
{
    static const cli_column columns[] = { { "PROPERTY", "name", false }, { "VALUE", "value", false }, { "UNIT", "unit", false },
        { "DEFAULT", "default", false }, { NULL, "set", false }, { NULL, "text", false } };
    cli_table *table = cli_table_new(columns, sizeof columns / sizeof columns[0]);
    const char *name, *value;
    for (const bus_property *p = bus_properties(); table && p->name; p++) {
        bool set = bus_config_is_set(c->config, p->name);
        const char *now = bus_config_text(c->config, p->name);
        if (cli_flag(c, "changed") && !set)
            continue;
        cli_cell(table, p->name);
        cli_cell(table, p->secret && set ? "(secret)" : now);
        cli_paint(table, set ? CLI_BOLD : CLI_PLAIN);
        cli_cell(table, p->unit);
        cli_cell(table, p->value);
        cli_cell_bool(table, set);
        cli_cell(table, p->text);
    }
    for (size_t i = 0; table && bus_config_kafka(c->config, i, &name, &value); i++) {
        char full[256];
        snprintf(full, sizeof full, "kafka.%s", name);
        cli_cell(table, full);
        cli_cell(table, bus_config_secret(full) ? "(secret)" : value);
        cli_paint(table, CLI_BOLD);
        cli_cell(table, "");
        cli_cell(table, NULL);
        cli_cell_bool(table, true);
        cli_cell(table, "passed to librdkafka");
    }
    return cli_print(c, table, CLI_OK);
}

static int run(cli *c)
{
    if (cli_flag(c, "markdown")) {
        bus_buf page;
        bus_buf_init(&page, 0);
        bus_config_page(&page);
        return cli_flush(c, &page, CLI_OK);
    }
    return c->operands ? check_files(c) : list(c);
}

const cli_command cli_config = {
    .name = "config", .operands = "[FILE...]", .least = 0, .most = -1,
    .summary = "show the properties in force, or check files",
    .text = "Without operands: every property and its value, as this command line, the environment\n"
            "(BUS_BOOTSTRAP_SERVERS is bootstrap.servers) and --config set it. With FILEs: reads each and says what\n"
            "is wrong in it, and where.",
    .options = options,
    .examples = "  bus config --changed\n  bus config order.conf payment.conf\n  bus config --markdown > docs/configuration.md",
    .run = run
};
