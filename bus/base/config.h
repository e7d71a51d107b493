/* SPDX-License-Identifier: MIT
 * Configuration: one table of properties (name, type, default, unit, text), from which the checks, the --help
 * and docs/configuration.md come. */
#ifndef BUS_BASE_CONFIG_H
#define BUS_BASE_CONFIG_H

#include "base/buf.h"
#include <bus/service.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum bus_property_kind { BUS_PROP_TEXT, BUS_PROP_INT, BUS_PROP_BOOL, BUS_PROP_DURATION, BUS_PROP_SIZE, BUS_PROP_CHOICE, BUS_PROP_LIST } bus_property_kind;

typedef struct bus_property {
    const char *name;
    bus_property_kind kind;
    const char *value;         /* the default, as text */
    const char *unit;          /* "ms", "bytes", "" */
    int64_t least, most;       /* of INT, DURATION (ms) and SIZE (bytes) */
    const char *choices;       /* of CHOICE: "a|b" */
    bool secret;               /* never logged, refused in argv */
    const char *text;          /* one or two sentences */
} bus_property;

/* The table, ending with a NULL name. */
const bus_property *bus_properties(void);

/* Typed reads; the name must be in the table (else an assertion in tests, the zero value in release). Text is
 * borrowed until the config is changed or freed. */
const char *bus_config_text(const bus_config *config, const char *name);
int64_t bus_config_int(const bus_config *config, const char *name);  /* INT, DURATION in ms, SIZE in bytes, BOOL 0/1 */

/* The librdkafka pass-through: "kafka.X" given as X, in the order set. at = 0..; false at the end. */
bool bus_config_kafka(const bus_config *config, size_t at, const char **name, const char **value);

/* Is the property (or kafka.X) one that must not be logged or given in argv? Each such one may be read from a file of its own:
 * <name>.file sets it to what that file holds, and is no secret. */
bool bus_config_secret(const char *name);
/* As bus_config_set for a value out of argv: refuses secrets. */
bus_status bus_config_argument(bus_config *config, const char *name, const char *value, bus_error *err);
/* As bus_config_read for a text in memory; `path` is what errors call it. */
bus_status bus_config_text_apply(bus_config *config, const char *bytes, size_t n, const char *path, bus_error *err);

bus_config *bus_config_copy(const bus_config *config);
bool bus_config_is_set(const bus_config *config, const char *name); /* set by file, environment or flag */
/* The reference page, Markdown. */
void bus_config_page(bus_buf *out);

#endif
