/* SPDX-License-Identifier: MIT
 * Registry: Confluent's schema registry REST API, as Confluent, Karapace, Apicurio (ccompat) and Redpanda serve it. Blocking; any
 * thread. Nothing is remembered here: see registry/cache.h. */
#ifndef BUS_REGISTRY_CLIENT_H
#define BUS_REGISTRY_CLIENT_H

#include "base/buf.h"
#include "base/config.h"
#include "codec/catalog.h"

typedef struct bus_registry bus_registry;

/* Under which subject a record's schema stands: the topic and "-value"; the record's full name; both, with a hyphen. */
typedef enum bus_subject_by { BUS_SUBJECT_TOPIC, BUS_SUBJECT_RECORD, BUS_SUBJECT_TOPIC_RECORD } bus_subject_by;

/* By the registry.* properties; no network. *out is NULL if registry.url is not set. `stop` (may be NULL) as in registry/http.h.
 * BUS_CONFIG, BUS_NOMEM. */
bus_status bus_registry_open(const bus_config *config, bool (*stop)(void *opaque), void *opaque, bus_registry **out, bus_error *err);
void bus_registry_close(bus_registry *registry); /* NULL is a no-op */

/* The subject; free() it. NULL: no memory. */
char *bus_registry_subject(const bus_registry *registry, const char *topic, const char *record);

/* All that follow: BUS_IO, retriable: no address answers, or none in time; BUS_DENIED: 401 or 403; BUS_MISSING: no such id, subject
 * or version; BUS_SCHEMA: the registry calls the schema invalid or incompatible, with its words; BUS_CORRUPT: the answer
 * makes no sense; BUS_REFUSED: another refusal; BUS_CANCELLED; BUS_TOO_BIG; BUS_NOMEM. */

/* The text behind "schemas/ids/7" or "schemas/guids/<uuid>", appended; what it refers to is fetched and put in. */
bus_status bus_registry_schema(bus_registry *registry, const char *question, bus_buf *schema, bus_error *err);
/* The same into the catalog, as what `framing`, which the question is about, refers to. Also what bus_catalog_bind says. */
bus_status bus_registry_learn(bus_registry *registry, const char *question, const bus_framing *framing, bus_catalog *catalog, bus_error *err);
/* The same by subject and version (0: the latest); id and number may be NULL. */
bus_status bus_registry_version(bus_registry *registry, const char *subject, int version, bus_buf *schema, uint32_t *id, int *number,
                                bus_error *err);
/* Registers the schema under the subject, or finds it there; its id. */
bus_status bus_registry_register(bus_registry *registry, const char *subject, const char *json, uint32_t *id, bus_error *err);
/* Finds it there only. */
bus_status bus_registry_find(bus_registry *registry, const char *subject, const char *json, uint32_t *id, bus_error *err);
/* One of the two, as the property registry.register says: `registers`. `name` is the schema's, for what is said of it. */
bus_status bus_registry_id(bus_registry *registry, bool registers, const char *subject, const char *name, const char *json, uint32_t *id,
                           bus_error *err);
/* May it be registered, by the level that the registry has for the subject? BUS_SCHEMA: not, and why if it says so; BUS_MISSING: there is
 * no such subject yet. */
bus_status bus_registry_compatible(bus_registry *registry, const char *subject, const char *json, bus_error *err);
/* That level, or the one of all subjects: "BACKWARD", "NONE" ... */
typedef struct bus_registry_level { char text[32]; } bus_registry_level;
bus_status bus_registry_level_of(bus_registry *registry, const char *subject, bus_registry_level *out, bus_error *err);

#endif
