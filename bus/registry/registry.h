/* SPDX-License-Identifier: MIT
 * Registry: Confluent's schema registry REST API, as Confluent, Karapace, Apicurio (ccompat) and Redpanda serve it. Blocking; any
 * thread. Nothing is remembered here: see registry/cache.h. */
#ifndef BUI_REGISTRY_REGISTRY_H
#define BUI_REGISTRY_REGISTRY_H

#include "base/buf.h"
#include "base/config.h"
#include "codec/catalog.h"

typedef struct bui_registry bui_registry;

/* Under which subject a record's schema stands: the topic and "-value"; the record's full name; both, with a hyphen. */
typedef enum bui_subject_by { BUI_SUBJECT_TOPIC, BUI_SUBJECT_RECORD, BUI_SUBJECT_TOPIC_RECORD } bui_subject_by;

/* By the registry.* properties; no network. *out is NULL if registry.url is not set. `stop` (may be NULL) as in registry/http.h.
 * BUS_CONFIG, BUS_NOMEM. */
bus_status bui_registry_open(const bus_config *config, bool (*stop)(void *opaque), void *opaque, bui_registry **out,
                             bus_error *err);
void bui_registry_close(bui_registry *registry); /* NULL is a no-op */

/* The subject; free() it. NULL: no memory. */
char *bui_registry_subject(const bui_registry *registry, const char *topic, const char *record);

/* All that follow: BUS_IO, retriable: no address answers, or none in time; BUS_DENIED: 401 or 403; BUS_MISSING: no such id, subject
 * or version; BUS_SCHEMA: the registry calls the schema invalid or incompatible, with its words; BUS_CORRUPT: the answer
 * makes no sense; BUS_REFUSED: another refusal; BUS_CANCELLED; BUS_TOO_BIG; BUS_NOMEM. */

/* The text behind "schemas/ids/7" or "schemas/guids/<uuid>", appended; what it refers to is fetched and put in. */
bus_status bui_registry_schema(bui_registry *registry, const char *question, bui_buf *schema, bus_error *err);
/* The same into the catalog, as what `framing`, which the question is about, refers to. Also what bui_catalog_bind says. */
bus_status bui_registry_learn(bui_registry *registry, const char *question, const bui_framing *framing, bui_catalog *catalog,
                              bus_error *err);
/* The same by subject and version (0: the latest); id and number may be NULL. */
bus_status bui_registry_version(bui_registry *registry, const char *subject, int version, bui_buf *schema, uint32_t *id,
                                int *number, bus_error *err);
/* Registers the schema under the subject, or finds it there; its id. */
bus_status bui_registry_register(bui_registry *registry, const char *subject, const char *json, uint32_t *id, bus_error *err);
/* Finds it there only. */
bus_status bui_registry_find(bui_registry *registry, const char *subject, const char *json, uint32_t *id, bus_error *err);
/* One of the two, as the property registry.register says: `registers`. `name` is the schema's, for messages. */
bus_status bui_registry_id(bui_registry *registry, bool registers, const char *subject, const char *name, const char *json,
                           uint32_t *id, bus_error *err);
/* May it be registered, by the level that the registry has for the subject? BUS_SCHEMA: not, and why if it says so; BUS_MISSING: there is
 * no such subject yet. */
bus_status bui_registry_compatible(bui_registry *registry, const char *subject, const char *json, bus_error *err);
/* That level, or the one of all subjects: "BACKWARD", "NONE" ... */
typedef struct bui_registry_level {
    char text[32];
} bui_registry_level;
bus_status bui_registry_level_of(bui_registry *registry, const char *subject, bui_registry_level *out, bus_error *err);

#endif
