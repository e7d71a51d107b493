/* SPDX-License-Identifier: MIT
 * Rebuild outbox: the outbox of a rebuilt store. It holds all that was ever emitted; most had been sent before the old store was lost;
 * the others are sent as if they were new: under an incarnation of their own, numbered from 1, so that no reader sees a gap. */
#ifndef BUI_REBUILD_REBUILD_OUTBOX_H
#define BUI_REBUILD_REBUILD_OUTBOX_H

#include "rebuild/history.h"
#include "rebuild/sent.h"
#include "store/store.h"
#include <bus/service.h>

typedef struct bui_rebuild_outbox_count {
    int64_t sent;      /* rows whose record is in its topic */
    int64_t expired;   /* not there, in a log that is no longer whole, of before the last commit: assumed sent */
    int64_t discarded; /* an operator had given them up */
} bui_rebuild_outbox_count;

/* Deletes the rows that had been sent. Rows from the id `commit_point` on are of events that the group had not committed. */
bus_status bui_rebuild_outbox_clear(bui_store *store, bui_sent *sent, const bui_history *history, int64_t commit_point,
                                    bui_rebuild_outbox_count *out, bus_error *err);
/* Copies who gave up which row, and why, to the new store. One of an older version has none. */
bus_status bui_rebuild_outbox_carry_discarded(bui_store *store, const char *old, bus_error *err);
/* Gives what is left the present incarnation and dense numbers, in the same order. After bui_store_raise. */
bus_status bui_rebuild_outbox_renumber(bui_store *store, bus_error *err);

#endif
