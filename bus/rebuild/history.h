/* SPDX-License-Identifier: MIT
 * History: what a shard's topics tell of its failures: records on the retry topics and letters on the dead-letter topic, event by event;
 * and, where the old store can be read, what still waited in it. The fates of a rebuild (shard/fates.h). */
#ifndef BUS_REBUILD_HISTORY_H
#define BUS_REBUILD_HISTORY_H

#include "codec/mac.h"
#include "rebuild/logs.h"
#include "rebuild/sent.h"
#include "shard/fates.h"
#include "shard/router.h"
#include "store/store.h"

typedef struct bus_history bus_history;

typedef struct bus_history_options {
    bus_logs *logs;
    const bus_router *router;
    int shard;
    const bus_keys *keys; /* NULL: none. What is not signed by the service where that is demanded tells nothing */
    const char *service;
    bus_sent *sent;
    const char *old;      /* path of the old store; it may be absent or damaged: then it tells nothing */
} bus_history_options;

bus_status bus_history_open(const bus_history_options *options, bus_history **out, bus_error *err);
void bus_history_close(bus_history *history); /* NULL is a no-op */
bus_fates *bus_history_fates(bus_history *history);

/* Could the old store be read? */
bool bus_history_has_old(const bus_history *history);
/* Was the row in its outbox: not acknowledged? */
bool bus_history_unsent(const bus_history *history, const char *topic, int32_t partition, const char *event_id);
/* Had an operator given it up there (`bus outbox discard`)? */
bool bus_history_discarded(const bus_history *history, const char *topic, int32_t partition, const char *event_id);
/* How many letters differ in the store from what the dead-letter topic, or a record in the old store's outbox, said of them last; see letters.h. */
bus_status bus_history_letters(const bus_history *history, bus_store *store, int64_t *differing, bus_error *err);
/* Takes back what the fates have put off, in the store that was made. */
bus_status bus_history_take_back(bus_store *store, bus_error *err);

#endif
