/* SPDX-License-Identifier: MIT
 * Array: the part that is seldom needed. */
#include "base/array.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

bool bus_array_grow(void *array, size_t *cap, size_t count, size_t item, size_t least)
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

bool bus_array_one_more(void *array, size_t count, size_t item)
{
    size_t cap = count;
    bool full = !(count & (count - 1)); /* or empty */
    return !full || bus_array_grow(array, &cap, count + 1, item, 1);
}
