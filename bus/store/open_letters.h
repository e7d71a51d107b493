/* SPDX-License-Identifier: MIT
 * Open letters: may an event have an open dead letter? Every event asks, and almost none has one. "No" is exact and costs two looks
 * into memory; after "maybe" the table is asked. A counting filter over the ids of the events: 16 to 64 counters for each open
 * dead letter, so that one event in seventy asks for nothing, and 8 MiB at most: above half a million letters more do. */
#ifndef BUI_STORE_OPEN_LETTERS_H
#define BUI_STORE_OPEN_LETTERS_H

#include "store/undo_log.h"

typedef struct bui_open_letters {
    uint8_t *cell; /* counters; one that is full stays so */
    size_t cells;  /* a power of two; 0: none yet */
    uint64_t seed; /* ids come from others, who must not be able to choose what collides */
} bui_open_letters;

/* Empty, for so many; false: no memory, and nothing has changed. What the undo log has noted of the former one must be over. */
bool bui_open_letters_make(bui_open_letters *letters, int64_t count);
void bui_open_letters_free(bui_open_letters *letters);
/* So many are too many for it. */
bool bui_open_letters_small(const bui_open_letters *letters, int64_t count);

/* Ids count up to the length that rows of bus_letter have them in. The undo log may be NULL. false: no memory. */
bool bui_open_letters_add(bui_open_letters *letters, const char *event_id, bui_undo_log *undo_log);
bool bui_open_letters_remove(bui_open_letters *letters, const char *event_id, bui_undo_log *undo_log);
bool bui_open_letters_maybe(const bui_open_letters *letters, const char *event_id);

#endif
