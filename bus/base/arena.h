/* SPDX-License-Identifier: MIT
 * Arena: memory that lives as long as one delivery or one batch, freed at once. Blocks are kept over a
 * reset, so that the steady state allocates nothing. */
#ifndef BUI_BASE_ARENA_H
#define BUI_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#define BUI_ARENA_ALIGNMENT ((size_t)16)

typedef struct bui_arena_block bui_arena_block;
struct bui_arena_block {
    bui_arena_block *next;
    size_t size, at;
    _Alignas(16) unsigned char bytes[];
};

typedef struct bui_arena {
    bui_arena_block *first, *now;
    size_t used;  /* bytes handed out since the last reset */
    size_t limit; /* of used; 0: none */
} bui_arena;

typedef struct bui_arena_mark {
    bui_arena_block *block;
    size_t at, used;
} bui_arena_mark;

void bui_arena_init(bui_arena *arena, size_t limit);
void bui_arena_free(bui_arena *arena);
void bui_arena_reset(bui_arena *arena);
void *bui_arena_more(bui_arena *arena, size_t n); /* for bui_arena_alloc: from another block */

/* Aligned to 16, not cleared; NULL: no memory or over the limit. */
static inline void *bui_arena_alloc(bui_arena *arena, size_t n)
{
    if (n > SIZE_MAX / 4)
        return NULL;
    n = n ? (n + BUI_ARENA_ALIGNMENT - 1) & ~(BUI_ARENA_ALIGNMENT - 1) : BUI_ARENA_ALIGNMENT;
    if (arena->limit && (arena->used > arena->limit || n > arena->limit - arena->used))
        return NULL;
    bui_arena_block *block = arena->now;
    if (!block || n > block->size - block->at)
        return bui_arena_more(arena, n);
    void *at = block->bytes + block->at;
    block->at += n;
    arena->used += n;
    return at;
}

void *bui_arena_zero(bui_arena *arena, size_t n);
void *bui_arena_copy(bui_arena *arena, const void *bytes, size_t n); /* adds a 0 byte after */
bui_arena_mark bui_arena_save(const bui_arena *arena);
void bui_arena_back(bui_arena *arena, bui_arena_mark mark); /* frees what came after the mark */

#endif
