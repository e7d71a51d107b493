/* SPDX-License-Identifier: MIT
 * Arena: a chain of blocks, filled in order. A reset goes back to the first block and keeps the rest. */
#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BLOCK ((size_t)4096)
#define MOST_DOUBLED ((size_t)1 << 20)

void bui_arena_init(bui_arena *arena, size_t limit)
{
    *arena = (bui_arena){ .limit = limit };
}

void bui_arena_free(bui_arena *arena)
{
    for (bui_arena_block *block = arena->first, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    bui_arena_init(arena, arena->limit);
}

void bui_arena_reset(bui_arena *arena)
{
    arena->now = arena->first;
    if (arena->now)
        arena->now->at = 0;
    arena->used = 0;
}

/* The block after `now` that holds n bytes: a kept one, else a new one put there. A kept one that is too small moves
 * behind the new one and waits for its turn. */
static bui_arena_block *next_block(bui_arena *arena, size_t n)
{
    bui_arena_block **link = arena->now ? &arena->now->next : &arena->first;
    if (*link && (*link)->size >= n) {
        (*link)->at = 0;
        return *link;
    }
    size_t size = arena->now ? arena->now->size * 2 : FIRST_BLOCK;
    if (size > MOST_DOUBLED)
        size = MOST_DOUBLED;
    if (size < n)
        size = n;
    bui_arena_block *block = malloc(sizeof *block + size);
    if (!block)
        return NULL;
    *block = (bui_arena_block){ .next = *link, .size = size };
    *link = block;
    return block;
}

void *bui_arena_more(bui_arena *arena, size_t n)
{
    bui_arena_block *block = next_block(arena, n);
    if (!block)
        return NULL;
    arena->now = block;
    block->at = n;
    arena->used += n;
    return block->bytes;
}

void *bui_arena_zero(bui_arena *arena, size_t n)
{
    void *at = bui_arena_alloc(arena, n);
    return at ? memset(at, 0, n) : NULL;
}

void *bui_arena_copy(bui_arena *arena, const void *bytes, size_t n)
{
    char *at = n < SIZE_MAX ? bui_arena_alloc(arena, n + 1) : NULL;
    if (!at)
        return NULL;
    if (n)
        memcpy(at, bytes, n);
    at[n] = 0;
    return at;
}

bui_arena_mark bui_arena_save(const bui_arena *arena)
{
    return (bui_arena_mark){ .block = arena->now, .at = arena->now ? arena->now->at : 0, .used = arena->used };
}

void bui_arena_back(bui_arena *arena, bui_arena_mark mark)
{
    if (!mark.block) {
        bui_arena_reset(arena);
        return;
    }
    arena->now = mark.block;
    arena->now->at = mark.at;
    arena->used = mark.used;
}
