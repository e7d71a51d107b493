/* SPDX-License-Identifier: MIT
 * docs/configuration.md, from the table of properties. */
#include "base/config_table.h"

#include <stdio.h>
#include <string.h>

static const char head[] =
    "# Configuration\n"
    "\n"
    "<!-- Generated from bus/base/config_table.c by `make docs`; do not edit. -->\n"
    "\n"
    "Every program of the bus reads the same properties. Later ones in this list win:\n"
    "\n"
    "1. the defaults below;\n"
    "2. a file (`--config FILE`): lines `name = value`; `#` begins a comment line; the last line of a name counts;\n"
    "3. the environment: `BUS_` and the name in capitals with `_` for `.`, so `BUS_STORE_CACHE_BYTES=256m`;\n"
    "4. flags: `--set name=value` of the `bus` command, `--name=value` of a service.\n"
    "\n"
    "An unknown name is refused with the nearest known one, a former name with the present one, an invalid value with what is allowed; the\n"
    "program does not start.\n"
    "Durations are written `250ms`, `8s`, `5m`, `2h`, `7d` or as plain milliseconds; sizes `64k`, `8m`, `1g` or as plain bytes (powers\n"
    "of 1024).\n"
    "\n";

static const char tail[] =
    "\n"
    "## A service's own properties\n"
    "\n"
    "A service may declare properties of its own (`bus_service.properties`): `service.<its name>.` and a name. They are set, checked and\n"
    "shown as those above: by its files, environment (`BUS_SERVICE_INVENTORY_LOW_WATER` is `service.inventory.low.water`) and arguments, by its\n"
    "`--help`, `--check-config` and `--show-config`. `bus config --program inventory` shows them beside those above, with `--markdown` as a page\n"
    "like this. Other programs leave them alone, so that one file can serve all; `bus config` names them.\n"
    "\n"
    "## librdkafka's own properties\n"
    "\n"
    "`kafka.X` passes X to every librdkafka client of the process, for example `kafka.security.protocol = sasl_ssl`. In the environment\n"
    "`BUS_KAFKA_SASL_USERNAME` is `kafka.sasl.username`, and `__` stands for `_`. Secrets (names with `password` or `secret`, and\n"
    "keys) are taken from a configuration file or the environment, never from arguments, and never logged. Each may be in a file of its\n"
    "own: `kafka.sasl.password.file = /run/secrets/kafka` reads the password from there, without the end of the last line. If every user\n"
    "of the host can read a file with a secret, a warning says so.\n"
    "\n"
    "These cannot be set, because the protocol decides them:\n"
    "\n"
    "| property | why |\n"
    "|---|---|\n";

/* '|' would end a cell, and "<service>" would be taken for HTML. */
static void add_cell(bui_buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '|' || *text == '<')
            bui_buf_byte(out, '\\');
        bui_buf_byte(out, (uint8_t)*text);
    }
}

void bui_config_page_head(bui_buf *out)
{
    bui_buf_text(out, "| property | type | default | allowed | meaning |\n|---|---|---|---|---|\n");
}

void bui_config_page_row(const bui_config_row *row, bui_buf *out)
{
    bui_buf_printf(out, "| `%s` | %s | ", row->name, row->kind);
    if (row->preset && *row->preset)
        bui_buf_printf(out, "`%s`", row->preset);
    bui_buf_text(out, " | ");
    add_cell(out, row->allowed);
    bui_buf_text(out, " | ");
    add_cell(out, row->text);
    bui_buf_text(out, " |\n");
}

void bui_config_page(bui_buf *out)
{
    bui_buf_text(out, head);
    bui_config_page_head(out);
    for (const bui_property *p = bui_properties(); p->name; p++) {
        bui_config_row row = { .name = p->name, .kind = bui_property_kind_name(p), .preset = p->value, .text = p->text };
        row.allowed = bui_property_allowed(p, row.range);
        bui_config_page_row(&row, out);
    }
    bui_buf_text(out, tail);
    const char *name, *why;
    for (size_t i = 0; bui_config_owned_at(i, &name, &why); i++) {
        bui_buf_printf(out, "| `kafka.%s` | ", name);
        add_cell(out, why);
        bui_buf_text(out, " |\n");
    }
}
