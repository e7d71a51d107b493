/* SPDX-License-Identifier: MIT
 * Leftover: the outbox of a rebuilt store. It holds all that was ever emitted; most had been sent before the old store was lost;
 * the others are sent as if they were new: under an incarnation of their own, numbered from 1, so that no reader sees a gap. */
#ifndef BUS_REBUILD_LEFTOVER_H
#define BUS_REBUILD_LEFTOVER_H

#include "rebuild/history.h"
#include "rebuild/sent.h"
#include "store/store.h"
#include <bus/service.h>

typedef struct bus_leftover_count {
    int64_t sent;       /* rows whose record is in its topic */
    int64_t expired;    /* not there, of a log that is not whole any more, of before the last commit: taken for sent */
    int64_t discarded;  /* an operator had given them up */
} bus_leftover_count;

/* Deletes the rows that had been sent. Rows from the id `turn` on are of events that the group had not committed. */
bus_status bus_leftover_clear(bus_store *store, bus_sent *sent, const bus_history *history, int64_t turn, bus_leftover_count *out,
                              bus_error *err);
/* Who gave up which row, and why, goes on to the new store. One of an older version has none. */
bus_status bus_leftover_carry_discarded(bus_store *store, const char *old, bus_error *err);
/* Gives what is left the present incarnation and dense numbers, in the same order. After bus_store_raise. */
bus_status bus_leftover_renumber(bus_store *store, bus_error *err);

#endif
