/* SPDX-License-Identifier: MIT
 * What stands behind config.c: the table, how values are read, and which name was meant. */
#ifndef BUS_BASE_CONFIG_TABLE_H
#define BUS_BASE_CONFIG_TABLE_H

#include "base/config.h"
#include "base/error.h"

/* Why "kafka.<name>" cannot be set, or NULL if it can. `name` without "kafka.". */
const char *bus_config_owned(const char *name);
/* The whole list, from i = 0; false at its end. */
bool bus_config_owned_at(size_t i, const char **name, const char **why);

/* Reads `text` as the property wants it: *number for the kinds that have one. BUS_CONFIG: what it is and what is allowed;
 * the text of a secret is not repeated. */
bus_status bus_value_read(const bus_property *property, const char *text, int64_t *number, bus_error *err);

/* "64k", "8m", "1g", "2t" or plain bytes; powers of 1024. */
bool bus_size_parse(const char *text, int64_t *out);

/* Writes a number as a person would: 8388608 of SIZE is "8m", 60000 of DURATION "1m". Returns out. */
char *bus_value_text(bus_property_kind kind, int64_t number, char out[32]);

/* The property whose name is nearest to `name` (Levenshtein distance; '-' and '_' count as '.'), NULL if none is near.
 * *distance is set when one is. */
const bus_property *bus_property_near(const char *name, int *distance);

#endif
