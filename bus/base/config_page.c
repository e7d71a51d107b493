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
    "2. a file (`--config FILE`): lines `name = value`, `#` begins a comment line, the last line of a name counts;\n"
    "3. the environment: `BUS_` and the name in capitals with `_` for `.`, so `BUS_STORE_CACHE_BYTES=256m`;\n"
    "4. flags: `--set name=value` of the `bus` command, `--name=value` of a service.\n"
    "\n"
    "A wrong name is answered with the nearest right one, a wrong value with what is allowed, and nothing starts.\n"
    "Durations are written `250ms`, `8s`, `5m`, `2h`, `7d` or as plain milliseconds; sizes `64k`, `8m`, `1g` or as plain bytes (powers\n"
    "of 1024).\n"
    "\n"
    "| property | type | default | allowed | meaning |\n"
    "|---|---|---|---|---|\n";

static const char tail[] =
    "\n"
    "## librdkafka's own properties\n"
    "\n"
    "`kafka.X` passes X to every librdkafka client of the process, for example `kafka.security.protocol = sasl_ssl`. In the environment\n"
    "`BUS_KAFKA_SASL_USERNAME` is `kafka.sasl.username`, and `__` stands for `_`. Secrets (names with `password` or `secret`, and\n"
    "keys) are taken from a configuration file or the environment, never from arguments, and never logged. Each may stand in a file of its\n"
    "own: `kafka.sasl.password.file = /run/secrets/kafka` reads the password from there, less the end of its last line. A file with a\n"
    "secret that every user of the host can read is warned of.\n"
    "\n"
    "These cannot be set, because the protocol decides them:\n"
    "\n"
    "| property | why |\n"
    "|---|---|\n";

/* '|' would end a cell, and "<service>" would be taken for HTML. */
static void add_cell(bus_buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '|' || *text == '<')
            bus_buf_byte(out, '\\');
        bus_buf_byte(out, (uint8_t)*text);
    }
}

static void add_allowed(bus_buf *out, const bus_property *property)
{
    char least[32], most[32];
    switch (property->kind) {
    case BUS_PROP_INT:
    case BUS_PROP_DURATION:
    case BUS_PROP_SIZE:
        bus_buf_printf(out, "%s to %s", bus_value_text(property->kind, property->least, least),
                       bus_value_text(property->kind, property->most, most));
        break;
    case BUS_PROP_CHOICE:
        add_cell(out, property->choices);
        break;
    case BUS_PROP_BOOL:
        bus_buf_text(out, "true, false");
        break;
    case BUS_PROP_TEXT:
    case BUS_PROP_LIST:
    default:
        break;
    }
}

void bus_config_page(bus_buf *out)
{
    static const char *const kinds[] = { "text", "number", "true or false", "duration", "size", "choice", "list" };
    bus_buf_text(out, head);
    for (const bus_property *p = bus_properties(); p->name; p++) {
        bus_buf_printf(out, "| `%s` | %s | ", p->name, kinds[p->kind]);
        if (*p->value)
            bus_buf_printf(out, "`%s`", p->value);
        bus_buf_text(out, " | ");
        add_allowed(out, p);
        bus_buf_text(out, " | ");
        add_cell(out, p->text);
        bus_buf_text(out, " |\n");
    }
    bus_buf_text(out, tail);
    const char *name, *why;
    for (size_t i = 0; bus_config_owned_at(i, &name, &why); i++) {
        bus_buf_printf(out, "| `kafka.%s` | ", name);
        add_cell(out, why);
        bus_buf_text(out, " |\n");
    }
}
