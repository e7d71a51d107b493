/* SPDX-License-Identifier: MIT
 * Stage: the undo log. An entry is the old bytes followed by where they belong, so it is read from its end. */
#include "store/stage.h"

#include <string.h>

typedef struct trailer { void *at; size_t len; } trailer;

void bus_stage_init(bus_stage *stage)
{
    bus_buf_init(&stage->log, 0);
}

void bus_stage_free(bus_stage *stage)
{
    bus_buf_free(&stage->log);
}

bool bus_stage_note(bus_stage *stage, void *at, size_t len)
{
    uint8_t *entry = bus_buf_grow(&stage->log, len + sizeof(trailer));
    if (!entry)
        return false;
    trailer end = { at, len };
    memcpy(entry, at, len);
    memcpy(entry + len, &end, sizeof end);
    return true;
}

size_t bus_stage_mark(const bus_stage *stage)
{
    return stage->log.len;
}

void bus_stage_undo(bus_stage *stage, size_t mark)
{
    while (stage->log.len > mark) {
        trailer end;
        stage->log.len -= sizeof end;
        memcpy(&end, stage->log.data + stage->log.len, sizeof end);
        stage->log.len -= end.len;
        memcpy(end.at, stage->log.data + stage->log.len, end.len);
    }
    /* A note that found no memory is why we are here as often as not; what was noted is undone, so start afresh. */
    stage->log.failed = stage->log.over = false;
}

void bus_stage_clear(bus_stage *stage)
{
    bus_buf_clear(&stage->log);
}
