/* SPDX-License-Identifier: MIT
 * Array: room in an array that grows by doubling. */
#ifndef BUI_BASE_ARRAY_H
#define BUI_BASE_ARRAY_H

#include <stdbool.h>
#include <stddef.h>

/* `array`: the address of the pointer to it; memory is malloc's. *cap: the items that it has room for. */
bool bui_array_grow(void *array, size_t *cap, size_t count, size_t item, size_t least);

/* Room for `count` items of `item` bytes; the first time for `least`. False: no memory, and the array is as it was. */
static inline bool bui_array_room(void *array, size_t *cap, size_t count, size_t item, size_t least)
{
    return count <= *cap || bui_array_grow(array, cap, count, item, least);
}

/* Room for one item more where nobody keeps a capacity: it is the least power of two that holds `count`. For arrays that only this grows. */
bool bui_array_one_more(void *array, size_t count, size_t item);

#endif
