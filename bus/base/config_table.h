/* SPDX-License-Identifier: MIT
 * What config.c uses: the table, how values are read, and which name was meant. */
#ifndef BUI_BASE_CONFIG_TABLE_H
#define BUI_BASE_CONFIG_TABLE_H

#include "base/config.h"
#include "base/error.h"

/* What a property of that name is called since a version that renamed it, or NULL. */
const char *bui_config_renamed(const char *name);
/* Why "kafka.<name>" cannot be set, or NULL if it can. `name` without "kafka.". */
const char *bui_config_owned(const char *name);
/* The whole list, from i = 0; false at its end. */
bool bui_config_owned_at(size_t i, const char **name, const char **why);

/* Reads `text` as the property wants it: *number for the kinds that have one. BUS_CONFIG: what it is and what is allowed;
 * the text of a secret is not repeated. */
bus_status bui_value_read(const bui_property *property, const char *text, int64_t *number, bus_error *err);

/* "64k", "8m", "1g", "2t" or plain bytes; powers of 1024. */
bool bui_size_parse(const char *text, int64_t *out);

/* Writes a number as a person would: 8388608 of SIZE is "8m", 60000 of DURATION "1m". Returns out. */
char *bui_value_text(bui_property_kind kind, int64_t number, char out[32]);

/* The property whose name is nearest to `name` (Levenshtein distance; '-' and '_' count as '.'), NULL if none is near.
 * *distance is set when one is. */
const bui_property *bui_property_near(const bui_property *own, size_t count, const char *name, int *distance);

/* ---- config.c, for config_read.c */

bool bui_config_knows(const bus_config *config, const char *name); /* may it be set? */
void bui_config_become(bus_config *config, bus_config *other);     /* other takes its place, and is gone */
const bui_property *bui_config_near(const bus_config *config, const char *name, int *distance); /* as bui_property_near */

/* ---- config_file.c */

/* Appends a whole file; `over` of `out` tells that it is longer than allowed. BUS_IO. */
bus_status bui_config_file(const char *path, bui_buf *out, bus_error *err);
void bui_config_file_warn(const char *path); /* it holds a secret: can everybody read it? */

/* ---- config_own.c: a service's own properties */

#define BUI_SERVICE_PREFIX 80 /* "service.<name>." */

/* Checks and copies the list of a service's declarations; *out is free()d by the caller. BUS_INVALID: which is wrong. */
bus_status bui_own_read(const bus_service *service, const char *prefix, bui_property **out, size_t *count, bus_error *err);
bool bui_own_same(const char *own, const char *given);      /* '-' of a service's name may be given as '.' */
bool bui_own_prefix(const char *prefix, const char *given); /* false for an empty one */
bool bui_is_service_property(const char *name);             /* service.X.Y */

#endif
