/* SPDX-License-Identifier: MIT
 * Translate: the translator that the command line asks for. */
#ifndef BUI_CLI_TRANSLATE_H
#define BUI_CLI_TRANSLATE_H

#include "cli/cli.h"
#include "ops/translator.h"

#define CLI_JSON_OPTION \
    { \
        "json", 0, "plain|avro", "the JSON of values: for people, or Avro's JSON encoding (plain)" \
    }

/* The schemas of bus.schemas; what is refused of them is reported. As bui_schemas_load. */
bus_status cli_schemas_load(const cli *c, bui_catalog *catalog, const bui_watch *watch, bus_error *err);

/* As --json says; knows nothing yet. BUS_INVALID: it says something else; and as bui_translator_open. */
bus_status cli_translator_open(const cli *c, bui_translator **out, bus_error *err);
/* The same with the schemas of bus.schemas, and of the files given by --schema; NULL if --raw is given. */
bus_status cli_translator_load(const cli *c, bui_translator **out, bus_error *err);

#endif
