/* SPDX-License-Identifier: MIT
 * Catalog: the schemas this process knows, compiled-in and announced on `bus.schemas`, and the plans from them to the
 * types it was built with. Any thread. */
#ifndef BUI_CODEC_CATALOG_H
#define BUI_CODEC_CATALOG_H

#include "base/arena.h"
#include "codec/framing.h"
#include "codec/schema.h"

typedef struct bui_catalog bui_catalog;
bui_catalog *bui_catalog_new(void);
void bui_catalog_free(bui_catalog *catalog);

#define BUI_CATALOG_MOST 10000        /* schemas, and references to them */
#define BUI_CATALOG_BYTES (16u << 20) /* of their texts; parsed they take about twenty times as much */

/* Adds a schema by its exact JSON text; adding it again is a no-op. BUS_SCHEMA: it is not a valid schema; BUS_FULL: the catalog
 * holds as much as it may. What came first stays: nothing is forgotten, for deliveries hold on to it. */
bus_status bui_catalog_add(bui_catalog *catalog, const char *json, size_t len, bus_error *err);
/* Whether another one of `len` bytes would be taken. BUS_FULL. */
bus_status bui_catalog_room(const bui_catalog *catalog, size_t len, bus_error *err);
/* The schema with this fingerprint, the one added first if several share it; NULL if unknown. It lives as long as the catalog. */
const bui_schema *bui_catalog_find(const bui_catalog *catalog, uint64_t fingerprint);
/* The schema of this full name added last; NULL if unknown. */
const bui_schema *bui_catalog_named(const bui_catalog *catalog, const char *full_name);
/* The schema of exactly this text; NULL if unknown. */
const bui_schema *bui_catalog_text(const bui_catalog *catalog, const char *json, size_t len);
/* The i-th, in order of arrival, for announcing and listing; NULL past the end. */
const bui_schema *bui_catalog_at(const bui_catalog *catalog, size_t i);
/* Adds a schema and notes that a registry's reference means it; the first meaning of a reference stays. BUS_SCHEMA;
 * BUS_FULL; BUS_NOMEM. */
bus_status bui_catalog_bind(bui_catalog *catalog, const bui_framing *reference, const char *json, size_t len, bus_error *err);
/* The schema that a framing names; NULL if unknown, or if the framing is none. */
const bui_schema *bui_catalog_writer(const bui_catalog *catalog, const bui_framing *framing);
/* Grows with each new schema and reference: a paused shard looks again when it changes. */
uint64_t bui_catalog_version(const bui_catalog *catalog);

/* Decodes a framed body into a struct of `type`, whichever version of the schema wrote it. The plan for a version is made when
 * it is first met and kept. The struct is in the arena; it borrows from `bytes` and from the catalog. `type` must live as long
 * as the catalog. BUS_MISSING: a fingerprint that nobody announced; BUS_SCHEMA: a version that cannot be read as `type` (the
 * text has both names and the field that stops it); else as bui_wire_decode. */
bus_status bui_catalog_decode(bui_catalog *catalog, const bus_type *type, const void *bytes, size_t len, bui_arena *arena,
                              const void **body, bus_error *err);
/* The same for whichever framing the value is in. BUS_MISSING also: a registry's reference that is not known here. */
bus_status bui_catalog_decode_framed(bui_catalog *catalog, const bui_framing *framing, const bus_type *type, const void *bytes,
                                     size_t len, bui_arena *arena, const void **body, bus_error *err);

#endif
