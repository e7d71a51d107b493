/* SPDX-License-Identifier: MIT
 * Translator: events of any type as JSON and back, in whichever framing, by the schemas of `bus.schemas`, of files and, where one is
 * configured, of a schema registry. Blocking; one thread. */
#ifndef BUI_OPS_TRANSLATOR_H
#define BUI_OPS_TRANSLATOR_H

#include "codec/catalog.h"
#include "codec/json.h"
#include "ops/watch.h"
#include "registry/registry.h"
#include "shard/transport.h"

typedef struct bui_translator bui_translator;

/* Knows nothing at first and asks nobody. `config` and `watch` (may be NULL) must outlive it. BUS_CONFIG: an address of the registry that
 * is none; BUS_NOMEM. */
bus_status bui_translator_open(const bus_config *config, bui_json_form form, const bui_watch *watch, bui_translator **out,
                               bus_error *err);
void bui_translator_close(bui_translator *translator); /* NULL is a no-op */

/* What it knows; for bui_schemas_load and bui_schemas_file. */
bui_catalog *bui_translator_catalog(bui_translator *translator);

/* Appends the record's value as JSON; what is JSON already stays so. The registry is asked for what the catalog lacks, each reference
 * once; what it does not know, or that it does not answer, is held for registry.unknown.ms. On failure nothing is appended.
 * BUS_CORRUPT: no framing, or a body that breaks its schema; BUS_MISSING: a schema that nobody knows; BUS_IO: no registry
 * answers; BUS_DENIED, BUS_SCHEMA: it refuses; BUS_NOMEM. */
bus_status bui_translator_read(bui_translator *translator, const bui_record *record, bui_buf *out, bus_error *err);

/* The registry's latest version of what the type is on that topic; *out lives as long as the translator. BUS_MISSING: no registry is
 * configured, or it has none; else as the registry's. */
bus_status bui_translator_latest(bui_translator *translator, const char *topic, const char *type, const bui_schema **out,
                                 bus_error *err);

/* What stands before a body: by the property `framing` single-object encoding's mark, or the id that the registry has for the schema on
 * that topic, which is registered if registry.register says so. BUS_CONFIG: an id is wanted and no registry configured; else
 * as the registry's. */
typedef struct bui_prefix {
    uint8_t bytes[16];
    size_t len;
} bui_prefix;
bus_status bui_translator_prefix(bui_translator *translator, const char *topic, const bui_schema *schema, bui_prefix *out,
                                 bus_error *err);

/* Appends prefix and body of an event in JSON; as bui_json_read_as. */
bus_status bui_translator_write(const bui_translator *translator, const bui_prefix *prefix, const bui_schema *schema,
                                const char *json, size_t len, bui_buf *out, bus_error *err);

#endif
