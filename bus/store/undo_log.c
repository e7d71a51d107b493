/* SPDX-License-Identifier: MIT
 * Undo log: an entry is the old bytes followed by where they belong, so it is read from its end. */
#include "store/undo_log.h"

#include <string.h>

typedef struct trailer {
    void *at;
    size_t len;
} trailer;

void bui_undo_log_init(bui_undo_log *undo_log)
{
    bui_buf_init(&undo_log->log, 0);
}

void bui_undo_log_free(bui_undo_log *undo_log)
{
    bui_buf_free(&undo_log->log);
}

bool bui_undo_log_note(bui_undo_log *undo_log, void *at, size_t len)
{
    uint8_t *entry = bui_buf_grow(&undo_log->log, len + sizeof(trailer));
    if (!entry)
        return false;
    trailer end = { at, len };
    memcpy(entry, at, len);
    memcpy(entry + len, &end, sizeof end);
    return true;
}

size_t bui_undo_log_mark(const bui_undo_log *undo_log)
{
    return undo_log->log.len;
}

void bui_undo_log_undo(bui_undo_log *undo_log, size_t mark)
{
    while (undo_log->log.len > mark) {
        trailer end;
        undo_log->log.len -= sizeof end;
        memcpy(&end, undo_log->log.data + undo_log->log.len, sizeof end);
        undo_log->log.len -= end.len;
        memcpy(end.at, undo_log->log.data + undo_log->log.len, end.len);
    }
    /* Often a note that found no memory is the reason to be here. What was noted is undone, so start again. */
    undo_log->log.failed = undo_log->log.over = false;
}

void bui_undo_log_clear(bui_undo_log *undo_log)
{
    bui_buf_clear(&undo_log->log);
}
