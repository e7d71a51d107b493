/* SPDX-License-Identifier: MIT
 * Catalog: the schemas this process knows. Only ever grows, so that what was found stays valid without a lock, and only to a
 * bound: a writer of bus.schemas must not be able to fill the memory. */
#include "codec/catalog.h"

#include "base/array.h"
#include "base/error.h"
#include "base/map.h"
#include "codec/body.h"
#include "codec/plan.h"
#include "codec/wire.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* From one schema to one type; without a plan: why there can be none. */
typedef struct route {
    bui_plan *plan;
    bus_status status;
    char why[];
} route;
typedef struct route_key {
    const bui_schema *writer;
    const bus_type *reader;
} route_key;

struct bui_catalog {
    pthread_rwlock_t lock;
    bui_map routes;                                         /* route_key to route, owned */
    bui_map by_text, by_fingerprint, by_name, by_reference; /* to bui_schema; by_text owns nothing either */
    bui_schema **schemas;                                   /* owned, in order of arrival */
    size_t count, cap;
    size_t bytes; /* of their texts */
};

bui_catalog *bui_catalog_new(void)
{
    bui_catalog *catalog = calloc(1, sizeof *catalog);
    if (!catalog)
        return NULL;
    if (pthread_rwlock_init(&catalog->lock, NULL) != 0) {
        free(catalog);
        return NULL;
    }
    bui_map_init(&catalog->routes);
    bui_map_init(&catalog->by_text);
    bui_map_init(&catalog->by_fingerprint);
    bui_map_init(&catalog->by_name);
    bui_map_init(&catalog->by_reference);
    return catalog;
}

static void free_route(void *value)
{
    bui_plan_free(((route *)value)->plan);
    free(value);
}

void bui_catalog_free(bui_catalog *catalog)
{
    if (!catalog)
        return;
    bui_map_free(&catalog->routes, free_route); /* they borrow from the schemas */
    bui_map_free(&catalog->by_text, NULL);
    bui_map_free(&catalog->by_fingerprint, NULL);
    bui_map_free(&catalog->by_name, NULL);
    bui_map_free(&catalog->by_reference, NULL);
    for (size_t i = 0; i < catalog->count; i++)
        bui_schema_free(catalog->schemas[i]);
    free(catalog->schemas);
    pthread_rwlock_destroy(&catalog->lock);
    free(catalog);
}

/* CRC-64 is no secret: two schemas of one fingerprint can be made at will, and events are decoded by it. The first one stays. */
static bus_status alone(const bui_catalog *catalog, const bui_schema *schema, bus_error *err)
{
    uint64_t fingerprint = bui_schema_fingerprint(schema);
    const bui_schema *other = bui_map_get(&catalog->by_fingerprint, &fingerprint, sizeof fingerprint);
    if (!other || strcmp(bui_schema_canonical(other), bui_schema_canonical(schema)) == 0)
        return BUS_OK;
    return bui_fail(err, BUS_REFUSED,
                    "schema %s has the fingerprint of %s, %016" PRIx64
                    ", which is known here with another text: somebody made it so on purpose, to have events read wrongly",
                    bui_schema_name(schema), bui_schema_name(other), fingerprint);
}

/* Makes it findable; false: no memory, and it is as if it had not been tried. */
static bool enlist(bui_catalog *catalog, bui_schema *schema)
{
    size_t len;
    const char *json = bui_schema_json(schema, &len), *name = bui_schema_name(schema);
    uint64_t fingerprint = bui_schema_fingerprint(schema);
    if (!bui_array_room(&catalog->schemas, &catalog->cap, catalog->count + 1, sizeof *catalog->schemas, 16))
        return false;
    if (!bui_map_put(&catalog->by_text, json, len, schema))
        return false;
    bool first = !bui_map_get(&catalog->by_fingerprint, &fingerprint, sizeof fingerprint);
    if (first && !bui_map_put(&catalog->by_fingerprint, &fingerprint, sizeof fingerprint, schema))
        goto undo;
    if (!bui_map_put(&catalog->by_name, name, strlen(name), schema)) {
        if (first)
            bui_map_remove(&catalog->by_fingerprint, &fingerprint, sizeof fingerprint);
        goto undo;
    }
    catalog->schemas[catalog->count++] = schema;
    catalog->bytes += len;
    return true;
undo:
    bui_map_remove(&catalog->by_text, json, len);
    return false;
}

/* With the lock held. */
static bus_status room(const bui_catalog *catalog, size_t len, bus_error *err)
{
    const char *const way_out = "delete those that no event needs any more from bus.schemas and start again";
    if (catalog->count >= BUI_CATALOG_MOST)
        return bui_fail(err, BUS_FULL, "%d schemas are known here, the most that are kept: %s", BUI_CATALOG_MOST, way_out);
    if (len > BUI_CATALOG_BYTES - catalog->bytes)
        return bui_fail(err, BUS_FULL, "the schemas known here and this one are over %u bytes, the most that are kept: %s",
                        BUI_CATALOG_BYTES, way_out);
    return BUS_OK;
}

bus_status bui_catalog_room(const bui_catalog *catalog, size_t len, bus_error *err)
{
    pthread_rwlock_t *lock = &((bui_catalog *)(uintptr_t)catalog)->lock;
    pthread_rwlock_rdlock(lock);
    bus_status status = room(catalog, len, err);
    pthread_rwlock_unlock(lock);
    return status;
}

bus_status bui_catalog_add(bui_catalog *catalog, const char *json, size_t len, bus_error *err)
{
    bui_schema *schema = NULL;
    pthread_rwlock_rdlock(&catalog->lock);
    bool known = bui_map_get(&catalog->by_text, json, len) != NULL;
    bus_status status = known ? BUS_OK : room(catalog, len, err); /* what is not kept need not be parsed */
    pthread_rwlock_unlock(&catalog->lock);
    /* Parsed outside the lock: a hostile schema must not hold up deliveries. */
    if (!known && status == BUS_OK)
        status = bui_schema_parse(json, len, &schema, err);
    if (known || status != BUS_OK)
        return status;
    pthread_rwlock_wrlock(&catalog->lock);
    known = bui_map_get(&catalog->by_text, json, len); /* another thread was faster */
    if (!known)
        status = room(catalog, len, err);
    if (!known && status == BUS_OK)
        status = alone(catalog, schema, err);
    if (!known && status == BUS_OK && !enlist(catalog, schema))
        status = bui_fail_nomem(err);
    pthread_rwlock_unlock(&catalog->lock);
    if (known || status != BUS_OK)
        bui_schema_free(schema);
    return status;
}

bus_status bui_catalog_bind(bui_catalog *catalog, const bui_framing *reference, const char *json, size_t len, bus_error *err)
{
    bus_status status = bui_catalog_add(catalog, json, len, err);
    if (status != BUS_OK)
        return status;
    pthread_rwlock_wrlock(&catalog->lock);
    bui_map *map = &catalog->by_reference;
    const bool fresh = !bui_map_get(map, reference->reference, reference->reference_len);
    if (fresh && map->count >= BUI_CATALOG_MOST)
        status =
            bui_fail(err, BUS_FULL, "%d of the registry's references are known here, the most that are kept", BUI_CATALOG_MOST);
    else if (fresh &&
             !bui_map_put(map, reference->reference, reference->reference_len, bui_map_get(&catalog->by_text, json, len)))
        status = bui_fail_nomem(err);
    pthread_rwlock_unlock(&catalog->lock);
    return status;
}

static const bui_schema *find(const bui_catalog *catalog, const bui_map *map, const void *key, size_t len)
{
    /* The lock is the one thing that changes when reading. */
    pthread_rwlock_t *lock = &((bui_catalog *)(uintptr_t)catalog)->lock;
    pthread_rwlock_rdlock(lock);
    const bui_schema *schema = bui_map_get(map, key, len);
    pthread_rwlock_unlock(lock);
    return schema;
}

const bui_schema *bui_catalog_find(const bui_catalog *catalog, uint64_t fingerprint)
{
    return find(catalog, &catalog->by_fingerprint, &fingerprint, sizeof fingerprint);
}

const bui_schema *bui_catalog_writer(const bui_catalog *catalog, const bui_framing *framing)
{
    if (framing->kind == BUI_FRAMED_FINGERPRINT)
        return bui_catalog_find(catalog, framing->fingerprint);
    return framing->reference_len ? find(catalog, &catalog->by_reference, framing->reference, framing->reference_len) : NULL;
}

const bui_schema *bui_catalog_named(const bui_catalog *catalog, const char *full_name)
{
    return find(catalog, &catalog->by_name, full_name, strlen(full_name));
}

const bui_schema *bui_catalog_text(const bui_catalog *catalog, const char *json, size_t len)
{
    return find(catalog, &catalog->by_text, json, len);
}

const bui_schema *bui_catalog_at(const bui_catalog *catalog, size_t i)
{
    pthread_rwlock_t *lock = &((bui_catalog *)(uintptr_t)catalog)->lock;
    pthread_rwlock_rdlock(lock);
    const bui_schema *schema = i < catalog->count ? catalog->schemas[i] : NULL;
    pthread_rwlock_unlock(lock);
    return schema;
}

uint64_t bui_catalog_version(const bui_catalog *catalog)
{
    pthread_rwlock_t *lock = &((bui_catalog *)(uintptr_t)catalog)->lock;
    pthread_rwlock_rdlock(lock);
    uint64_t version = catalog->count + catalog->by_reference.count;
    pthread_rwlock_unlock(lock);
    return version;
}

/* ---- plans */

/* Made outside the lock, as schemas are parsed. */
static route *make_route(const route_key *key)
{
    bus_error err = { .status = BUS_OK };
    bui_plan *plan = NULL;
    bus_status status = bui_plan_new(key->writer, key->reader, &plan, &err);
    if (status == BUS_NOMEM)
        return NULL;
    size_t len = plan ? 0 : strlen(err.text);
    route *made = calloc(1, sizeof *made + len + 1);
    if (!made) {
        bui_plan_free(plan);
        return NULL;
    }
    made->plan = plan;
    made->status = status;
    if (len > 0)
        memcpy(made->why, err.text, len);
    return made;
}

static const route *add_route(bui_catalog *catalog, const route_key *key)
{
    route *made = make_route(key);
    if (!made)
        return NULL;
    pthread_rwlock_wrlock(&catalog->lock);
    route *found = bui_map_get(&catalog->routes, key, sizeof *key);
    bool kept = !found && bui_map_put(&catalog->routes, key, sizeof *key, made);
    pthread_rwlock_unlock(&catalog->lock);
    if (kept)
        return made;
    free_route(made); /* another thread was faster, or there is no memory */
    return found;
}

static bus_status decode_by(const route *by, uint64_t fingerprint, size_t skip, const bus_type *type, const void *bytes,
                            size_t len, bui_arena *arena, const void **body, bus_error *err)
{
    if (!by->plan && by->status != BUS_SCHEMA)
        return bui_fail(err, by->status, "%s", by->why);
    if (!by->plan)
        return bui_fail(err, BUS_SCHEMA,
                        "written with another version of its schema (%016" PRIx64 ") than %s here (%016" PRIx64
                        "), and cannot be read: %s",
                        fingerprint, type->name, type->fingerprint, by->why);
    void *value = bui_arena_alloc(arena, type->shape->size);
    if (!value)
        return bui_fail_nomem(err);
    bus_status status = bui_plan_decode(by->plan, (const uint8_t *)bytes + skip, len - skip, skip, arena, value, err);
    if (status == BUS_OK)
        *body = value;
    return status;
}

bus_status bui_catalog_decode(bui_catalog *catalog, const bus_type *type, const void *bytes, size_t len, bui_arena *arena,
                              const void **body, bus_error *err)
{
    uint64_t fingerprint;
    if (!bytes || !bui_wire_fingerprint(bytes, len, &fingerprint) || fingerprint == type->fingerprint ||
        type->layout != BUS_TYPE_LAYOUT)
        return bui_wire_decode(type, bytes, len, arena, body, err);
    pthread_rwlock_rdlock(&catalog->lock);
    route_key key = { bui_map_get(&catalog->by_fingerprint, &fingerprint, sizeof fingerprint), type };
    const route *found = key.writer ? bui_map_get(&catalog->routes, &key, sizeof key) : NULL;
    pthread_rwlock_unlock(&catalog->lock);
    if (!key.writer)
        return bui_fail(err, BUS_MISSING,
                        "written with schema %016" PRIx64 ", which nobody has announced; %s here is %016" PRIx64, fingerprint,
                        type->name, type->fingerprint);
    if (!found)
        found = add_route(catalog, &key);
    return found ? decode_by(found, fingerprint, BUI_WIRE_FRAMING, type, bytes, len, arena, body, err) : bui_fail_nomem(err);
}

/* By a registry's reference. A schema that is the type's own but for defaults and the like needs no plan. */
static bus_status decode_referred(bui_catalog *catalog, const bui_framing *framing, const bus_type *type, const void *bytes,
                                  size_t len, bui_arena *arena, const void **body, bus_error *err)
{
    pthread_rwlock_rdlock(&catalog->lock);
    route_key key = { bui_map_get(&catalog->by_reference, framing->reference, framing->reference_len), type };
    const route *found = key.writer ? bui_map_get(&catalog->routes, &key, sizeof key) : NULL;
    pthread_rwlock_unlock(&catalog->lock);
    if (!key.writer) {
        char question[BUI_QUESTION];
        bui_framing_question(framing, question);
        return bui_fail(err, BUS_MISSING,
                        "written with the schema that a registry calls %s, which is not known here; expected %s", question,
                        type->name);
    }
    uint64_t fingerprint = bui_schema_fingerprint(key.writer);
    if (fingerprint == type->fingerprint) {
        void *value = bui_arena_alloc(arena, type->shape->size);
        if (!value)
            return bui_fail_nomem(err);
        bus_status status = bui_body_decode(type->shape, (const uint8_t *)bytes + framing->skip, len - framing->skip,
                                            framing->skip, arena, value, err);
        if (status == BUS_OK)
            *body = value;
        return status;
    }
    if (!found)
        found = add_route(catalog, &key);
    return found ? decode_by(found, fingerprint, framing->skip, type, bytes, len, arena, body, err) : bui_fail_nomem(err);
}

bus_status bui_catalog_decode_framed(bui_catalog *catalog, const bui_framing *framing, const bus_type *type, const void *bytes,
                                     size_t len, bui_arena *arena, const void **body, bus_error *err)
{
    if (!bytes || framing->reference_len == 0 || type->layout != BUS_TYPE_LAYOUT)
        return bui_catalog_decode(catalog, type, bytes, len, arena, body, err);
    return decode_referred(catalog, framing, type, bytes, len, arena, body, err);
}
