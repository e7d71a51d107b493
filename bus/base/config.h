/* SPDX-License-Identifier: MIT
 * Configuration: one table of properties (name, type, default, unit, text), from which the checks, the --help
 * and docs/configuration.md come. */
#ifndef BUI_BASE_CONFIG_H
#define BUI_BASE_CONFIG_H

#include "base/buf.h"
#include <bus/service.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum bui_property_kind {
    BUI_PROP_TEXT,
    BUI_PROP_INT,
    BUI_PROP_BOOL,
    BUI_PROP_DURATION,
    BUI_PROP_SIZE,
    BUI_PROP_CHOICE,
    BUI_PROP_LIST
} bui_property_kind;

typedef struct bui_property {
    const char *name;
    bui_property_kind kind;
    const char *value;   /* the default, as text */
    const char *unit;    /* "ms", "bytes", "" */
    int64_t least, most; /* of INT, DURATION (ms) and SIZE (bytes) */
    const char *choices; /* of CHOICE: "a|b" */
    bool secret;         /* never logged, refused in argv */
    const char *text;    /* one or two sentences */
} bui_property;

/* The table, ending with a NULL name. */
const bui_property *bui_properties(void);

/* Typed reads; the name must be in the table (else an assertion in tests, the zero value in release). Text is
 * borrowed until the config is changed or freed. */
const char *bui_config_text(const bus_config *config, const char *name);
int64_t bui_config_int(const bus_config *config, const char *name); /* INT, DURATION in ms, SIZE in bytes, BOOL 0/1 */

/* The i-th property: those of the table, then those that the service has declared; NULL at the end. */
const bui_property *bui_config_property(const bus_config *config, size_t i);
/* What was set of other services' own properties; as bui_config_kafka. */
bool bui_config_other(const bus_config *config, size_t at, const char **name, const char **value);

/* The librdkafka pass-through: "kafka.X" given as X, in the order set. at = 0..; false at the end. */
bool bui_config_kafka(const bus_config *config, size_t at, const char **name, const char **value);

/* Is the property (or kafka.X) one that must not be logged or given in argv? Each such one may be read from a file of its own:
 * <name>.file sets it to what that file holds, and is no secret. */
bool bui_config_secret(const bus_config *config, const char *name);
/* As bus_config_set for a value out of argv: refuses secrets. */
bus_status bui_config_argument(bus_config *config, const char *name, const char *value, bus_error *err);
/* As bus_config_read for a text in memory; `path` is what errors call it. */
bus_status bui_config_text_apply(bus_config *config, const char *bytes, size_t n, const char *path, bus_error *err);

/* Gives each what the other says of this property, be it set or the default; both have declared the same service. */
void bui_config_exchange(bus_config *config, bus_config *other, const char *name);
bus_config *bui_config_copy(const bus_config *config);
bool bui_config_is_set(const bus_config *config, const char *name); /* set by file, environment or flag */
/* The reference page, Markdown. */
void bui_config_page(bui_buf *out);

/* ---- config_list.c: a configuration as texts */

#define BUI_ALLOWED 256

/* One property, for people. Borrowed from the configuration, and from the row itself: do not copy it. */
typedef struct bui_config_row {
    const char *name, *value; /* a secret's value is not shown */
    const char *unit;         /* of the number that programs read: "ms", "bytes", "" */
    const char *preset;       /* the default; NULL: it is not declared here */
    const char *kind;         /* "text", "number" ... */
    const char *allowed;      /* "1 to 1000", "low|high", "" */
    bool set;
    const char *text;
    char range[BUI_ALLOWED]; /* what `allowed` or `name` may be in */
} bui_config_row;

/* The i-th property: the table's, the service's, then what was set of librdkafka's and of other services'. false at the end. */
bool bui_config_row_at(const bus_config *config, size_t i, bui_config_row *out);
void bui_config_json(const bus_config *config, bui_buf *out); /* all of them: an array of objects */
/* The head of a table of properties in Markdown, and a row of it. */
void bui_config_page_head(bui_buf *out);
void bui_config_page_row(const bui_config_row *row, bui_buf *out);
const char *bui_property_kind_name(const bui_property *property);
const char *bui_property_allowed(const bui_property *property, char out[BUI_ALLOWED]); /* out or another text */

#endif
