/* SPDX-License-Identifier: MIT
 * Arena: memory that lives as long as one delivery or one batch, freed at once. Blocks are kept over a
 * reset, so that the steady state allocates nothing. */
#ifndef BUS_BASE_ARENA_H
#define BUS_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#define BUS_ARENA_ALIGNMENT ((size_t)16)

typedef struct bus_arena_block bus_arena_block;
struct bus_arena_block {
    bus_arena_block *next;
    size_t size, at;
    _Alignas(16) unsigned char bytes[];
};

typedef struct bus_arena {
    bus_arena_block *first, *now;
    size_t used;       /* bytes handed out since the last reset */
    size_t limit;      /* of used; 0: none */
} bus_arena;

typedef struct bus_arena_mark { bus_arena_block *block; size_t at, used; } bus_arena_mark;

void bus_arena_init(bus_arena *arena, size_t limit);
void bus_arena_free(bus_arena *arena);
void bus_arena_reset(bus_arena *arena);
void *bus_arena_more(bus_arena *arena, size_t n); /* for bus_arena_alloc: from another block */

/* Aligned to 16, not cleared; NULL: no memory or over the limit. */
static inline void *bus_arena_alloc(bus_arena *arena, size_t n)
{
    if (n > SIZE_MAX / 4)
        return NULL;
    n = n ? (n + BUS_ARENA_ALIGNMENT - 1) & ~(BUS_ARENA_ALIGNMENT - 1) : BUS_ARENA_ALIGNMENT;
    if (arena->limit && (arena->used > arena->limit || n > arena->limit - arena->used))
        return NULL;
    bus_arena_block *block = arena->now;
    if (!block || n > block->size - block->at)
        return bus_arena_more(arena, n);
    void *at = block->bytes + block->at;
    block->at += n;
    arena->used += n;
    return at;
}

void *bus_arena_zero(bus_arena *arena, size_t n);
void *bus_arena_copy(bus_arena *arena, const void *bytes, size_t n); /* adds a 0 byte after */
bus_arena_mark bus_arena_save(const bus_arena *arena);
void bus_arena_back(bus_arena *arena, bus_arena_mark mark);  /* frees what came after the mark */

#endif
