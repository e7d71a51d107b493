/* SPDX-License-Identifier: MIT
 * Map: entries in order of insertion, found through an open-addressing table of positions. */
#include "base/map.h"

#include "base/id.h"
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <pthread.h>

#define FIRST_CAP ((size_t)16)
#define ABSENT ((size_t)-1)

/* Keys come from the network: without a seed that nobody can guess, a sender could choose keys that all collide. */
static uint64_t process_seed;

static void draw_seed(void)
{
    if (getrandom(&process_seed, sizeof process_seed, 0) != (ssize_t)sizeof process_seed)
        process_seed = (uint64_t)(uintptr_t)&process_seed; /* the address is random at least */
}

void bui_map_init(bui_map *map)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, draw_seed);
    *map = (bui_map){ .seed = process_seed };
}

void bui_map_free(bui_map *map, void (*free_value)(void *))
{
    for (size_t i = 0; i < map->used; i++) {
        if (!map->slot[i].key)
            continue;
        free(map->slot[i].key);
        if (free_value)
            free_value(map->slot[i].value);
    }
    free(map->slot);
    free(map->index);
    *map = (bui_map){ .seed = map->seed };
}

/* The position in `slot` of the key, or ABSENT. A removed entry is skipped: its place in the index stays taken. */
static size_t find(const bui_map *map, const void *key, size_t len, uint64_t hash)
{
    if (map->cap == 0)
        return ABSENT;
    for (size_t at = (size_t)hash & (map->cap - 1); map->index[at]; at = (at + 1) & (map->cap - 1)) {
        const bui_map_entry *e = &map->slot[map->index[at] - 1];
        if (e->key && e->hash == hash && e->len == len && (len == 0 || memcmp(e->key, key, len) == 0))
            return map->index[at] - 1;
    }
    return ABSENT;
}

static void index_put(bui_map *map, uint64_t hash, size_t position)
{
    size_t at = (size_t)hash & (map->cap - 1);
    while (map->index[at])
        at = (at + 1) & (map->cap - 1);
    map->index[at] = (uint32_t)(position + 1);
}

/* Makes room for one more: closes the gaps of removed entries, and doubles if there were few of them. */
static bool make_room(bui_map *map)
{
    if (map->cap && map->used < map->cap / 4 * 3)
        return true;
    size_t cap = map->cap ? map->cap : FIRST_CAP;
    while (map->count >= cap / 2)
        cap *= 2;
    if (cap > UINT32_MAX)
        return false;
    bui_map_entry *slot = malloc(cap / 4 * 3 * sizeof *slot);
    uint32_t *index = calloc(cap, sizeof *index);
    if (!slot || !index) {
        free(slot);
        free(index);
        return false;
    }
    size_t n = 0;
    for (size_t i = 0; i < map->used; i++)
        if (map->slot[i].key)
            slot[n++] = map->slot[i];
    free(map->slot);
    free(map->index);
    map->slot = slot;
    map->index = index;
    map->cap = cap;
    map->used = n;
    for (size_t i = 0; i < n; i++)
        index_put(map, slot[i].hash, i);
    return true;
}

void *bui_map_get(const bui_map *map, const void *key, size_t len)
{
    if (map->count == 0)
        return NULL;
    size_t i = find(map, key, len, bui_hash(key, len, map->seed));
    return i == ABSENT ? NULL : map->slot[i].value;
}

bool bui_map_put(bui_map *map, const void *key, size_t len, void *value)
{
    uint64_t hash = bui_hash(key, len, map->seed);
    size_t i = find(map, key, len, hash);
    if (i != ABSENT) {
        map->slot[i].value = value;
        return true;
    }
    void *copy = malloc(len ? len : 1);
    if (!copy || !make_room(map)) {
        free(copy);
        return false;
    }
    if (len)
        memcpy(copy, key, len);
    map->slot[map->used] = (bui_map_entry){ hash, copy, len, value };
    index_put(map, hash, map->used++);
    map->count++;
    return true;
}

void *bui_map_remove(bui_map *map, const void *key, size_t len)
{
    size_t i = map->count ? find(map, key, len, bui_hash(key, len, map->seed)) : ABSENT;
    if (i == ABSENT)
        return NULL;
    void *value = map->slot[i].value;
    free(map->slot[i].key);
    map->slot[i] = (bui_map_entry){ .key = NULL };
    if (--map->count == 0) { /* nothing to skip any more */
        memset(map->index, 0, map->cap * sizeof *map->index);
        map->used = 0;
    }
    return value;
}

bool bui_map_next(const bui_map *map, size_t *at, const void **key, size_t *len, void **value)
{
    for (; *at < map->used; (*at)++) {
        const bui_map_entry *e = &map->slot[*at];
        if (!e->key)
            continue;
        *key = e->key;
        *len = e->len;
        *value = e->value;
        (*at)++;
        return true;
    }
    return false;
}
