/* SPDX-License-Identifier: MIT
 * Arena: memory that lives as long as one delivery or one batch, freed at once. Blocks are kept over a
 * reset, so that the steady state allocates nothing. */
#ifndef BUS_BASE_ARENA_H
#define BUS_BASE_ARENA_H

#include <stddef.h>

typedef struct bus_arena_block bus_arena_block;
typedef struct bus_arena {
    bus_arena_block *first, *now;
    size_t used;       /* bytes handed out since the last reset */
    size_t limit;      /* of used; 0: none */
} bus_arena;

typedef struct bus_arena_mark { bus_arena_block *block; size_t at, used; } bus_arena_mark;

void bus_arena_init(bus_arena *arena, size_t limit);
void bus_arena_free(bus_arena *arena);
void bus_arena_reset(bus_arena *arena);
void *bus_arena_alloc(bus_arena *arena, size_t n);   /* aligned to 16, not cleared; NULL: no memory or over the limit */
void *bus_arena_zero(bus_arena *arena, size_t n);
void *bus_arena_copy(bus_arena *arena, const void *bytes, size_t n); /* adds a 0 byte after */
bus_arena_mark bus_arena_save(const bus_arena *arena);
void bus_arena_back(bus_arena *arena, bus_arena_mark mark);  /* frees what came after the mark */

#endif
