/* SPDX-License-Identifier: MIT
 * Map from byte strings to pointers, keys copied. Iterates in the order of insertion, whatever the seed of its hash is, so
 * that what it is used for stays the same from run to run. */
#ifndef BUI_BASE_MAP_H
#define BUI_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct bui_map_entry {
    uint64_t hash;
    void *key;
    size_t len;
    void *value;
} bui_map_entry;
typedef struct bui_map {
    bui_map_entry *slot; /* in order of insertion; a removed one has no key */
    uint32_t *index;     /* hash table of positions in `slot` plus 1 */
    size_t cap;          /* of `index`, a power of two; `slot` holds 3/4 of it */
    size_t count;        /* entries */
    size_t used;         /* slots taken, removed ones too */
    uint64_t seed;
} bui_map;

void bui_map_init(bui_map *map);
void bui_map_free(bui_map *map, void (*free_value)(void *));              /* free_value may be NULL; the map is empty after */
void *bui_map_get(const bui_map *map, const void *key, size_t len);       /* NULL: absent */
bool bui_map_put(bui_map *map, const void *key, size_t len, void *value); /* replaces; false: no memory; value not NULL */
void *bui_map_remove(bui_map *map, const void *key, size_t len);          /* the value, NULL if absent */
/* Iterates: start with *at = 0; returns false at the end. Removing the entry just returned is allowed. */
bool bui_map_next(const bui_map *map, size_t *at, const void **key, size_t *len, void **value);

#endif
