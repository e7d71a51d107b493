/* SPDX-License-Identifier: MIT
 * Array: the part that is rarely needed. */
#include "base/array.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

bool bui_array_grow(void *array, size_t *cap, size_t count, size_t item, size_t least)
{
    size_t wanted = *cap ? *cap : least;
    void *at;
    memcpy(&at, array, sizeof at); /* a pointer to whatever type */
    while (wanted < count && wanted <= SIZE_MAX / 2)
        wanted *= 2;
    if (wanted < count || wanted > SIZE_MAX / item)
        return false;
    void *grown = realloc(at, wanted * item);
    if (!grown)
        return false;
    memcpy(array, &grown, sizeof grown);
    *cap = wanted;
    return true;
}

bool bui_array_one_more(void *array, size_t count, size_t item)
{
    size_t cap = count;
    bool full = !(count & (count - 1)); /* or empty */
    return !full || bui_array_grow(array, &cap, count + 1, item, 1);
}
