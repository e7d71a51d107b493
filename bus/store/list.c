/* SPDX-License-Identifier: MIT
 * List: lists of pointers, and names that live as long as the store. */
#include "store/internal.h"

#include "base/array.h"
#include <stdlib.h>
#include <string.h>

bool bui_list_reserve(bui_list *list, size_t count)
{
    return bui_array_room(&list->at, &list->cap, count, sizeof *list->at, 16);
}

void bui_list_free(bui_list *list)
{
    free(list->at);
    memset(list, 0, sizeof *list);
}

const char *bui_store_intern(bui_store *store, const char *name)
{
    size_t len = strlen(name);
    char *known = bui_map_get(&store->names, name, len);
    if (known)
        return known;
    char *copy = strdup(name);
    if (copy && !bui_map_put(&store->names, name, len, copy)) {
        free(copy);
        copy = NULL;
    }
    return copy;
}

bool bui_store_compose(bui_store *store, const char *a, size_t a_len, const char *b, int32_t number)
{
    size_t b_len = strlen(b);
    bui_buf_clear(&store->scratch);
    uint8_t *at = bui_buf_grow(&store->scratch, a_len + 1 + b_len + 1 + sizeof number);
    if (!at)
        return false;
    memcpy(at, a, a_len);
    at[a_len] = 0;
    memcpy(at + a_len + 1, b, b_len + 1);
    memcpy(at + a_len + 1 + b_len + 1, &number, sizeof number);
    return true;
}
