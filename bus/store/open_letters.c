/* SPDX-License-Identifier: MIT
 * Open letters: a counting filter. */
#include "store/open_letters.h"

#include "base/id.h"
#include "store/store.h"

#include <stdlib.h>
#include <string.h>

#define CELLS_LEAST ((size_t)1 << 12)
#define CELLS_MOST ((size_t)1 << 23)
#define CELLS_EACH 16 /* at least; four times as many when it is made */
#define FULL UINT8_MAX

static void places(const bui_open_letters *letters, const char *event_id, size_t out[2])
{
    uint64_t hash = bui_hash(event_id, strnlen(event_id, sizeof((bui_deadletter *)0)->event_id - 1), letters->seed);
    out[0] = (size_t)(hash & (letters->cells - 1));
    out[1] = (size_t)((hash >> 32) & (letters->cells - 1));
}

bool bui_open_letters_make(bui_open_letters *letters, int64_t count)
{
    char token[17];
    size_t cells = CELLS_LEAST;
    while (cells < CELLS_MOST && (int64_t)cells < 4 * CELLS_EACH * count)
        cells *= 2;
    uint8_t *cell = calloc(cells, 1);
    if (!cell)
        return false;
    bui_token_random(token);
    free(letters->cell);
    *letters = (bui_open_letters){ cell, cells, bui_hash(token, 16, 0) };
    return true;
}

void bui_open_letters_free(bui_open_letters *letters)
{
    free(letters->cell);
    *letters = (bui_open_letters){ 0 };
}

bool bui_open_letters_small(const bui_open_letters *letters, int64_t count)
{
    return letters->cells < CELLS_MOST && (int64_t)letters->cells < CELLS_EACH * count;
}

/* What is full has lost its count. */
static bool change(bui_open_letters *letters, const char *event_id, int by, bui_undo_log *undo_log)
{
    size_t place[2];
    places(letters, event_id, place);
    for (int i = 0; i < 2; i++) {
        uint8_t *cell = &letters->cell[place[i]];
        if (*cell == FULL)
            continue;
        if (undo_log && !bui_undo_log_note(undo_log, cell, 1))
            return false;
        *cell = (uint8_t)(*cell + by);
    }
    return true;
}

bool bui_open_letters_add(bui_open_letters *letters, const char *event_id, bui_undo_log *undo_log)
{
    return change(letters, event_id, 1, undo_log);
}

bool bui_open_letters_remove(bui_open_letters *letters, const char *event_id, bui_undo_log *undo_log)
{
    return change(letters, event_id, -1, undo_log);
}

bool bui_open_letters_maybe(const bui_open_letters *letters, const char *event_id)
{
    size_t place[2];
    if (!letters->cells)
        return false;
    places(letters, event_id, place);
    return letters->cell[place[0]] && letters->cell[place[1]];
}
