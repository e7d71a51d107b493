/* SPDX-License-Identifier: MIT
 * Translate: the translator that the command line asks for. */
#ifndef BUS_CLI_TRANSLATE_H
#define BUS_CLI_TRANSLATE_H

#include "cli/cli.h"
#include "ops/translator.h"

#define CLI_JSON_OPTION { "json", 0, "plain|avro", "the JSON of values: for people, or Avro's JSON encoding (plain)" }

/* The schemas of bus.schemas; what is refused of them is told. As bus_schemas_load. */
bus_status cli_schemas_load(const cli *c, bus_catalog *catalog, const bus_watch *watch, bus_error *err);

/* As --json says; knows nothing yet. BUS_INVALID: it says something else; and as bus_translator_open. */
bus_status cli_translator_open(const cli *c, bus_translator **out, bus_error *err);
/* The same with the schemas of bus.schemas, and of the files given by --schema; NULL if --raw is given. */
bus_status cli_translator_load(const cli *c, bus_translator **out, bus_error *err);

#endif
