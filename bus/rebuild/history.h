/* SPDX-License-Identifier: MIT
 * History: what a shard's topics tell of its failures: records on the retry topics and dead letters on the dead-letter topic,
 * event by event; and, where the old store can be read, what still waited in it. The fates of a rebuild (shard/fates.h). */
#ifndef BUI_REBUILD_HISTORY_H
#define BUI_REBUILD_HISTORY_H

#include "codec/mac.h"
#include "rebuild/logs.h"
#include "rebuild/sent.h"
#include "shard/fates.h"
#include "shard/router.h"
#include "store/store.h"

typedef struct bui_history bui_history;

typedef struct bui_history_options {
    bui_logs *logs;
    const bui_router *router;
    int shard;
    const bui_keys *keys; /* NULL: none. What is not signed by the service where that is demanded is ignored */
    const char *service;
    bui_sent *sent;
    const char *old; /* path of the old store; it may be absent or damaged: then it is ignored */
} bui_history_options;

bus_status bui_history_open(const bui_history_options *options, bui_history **out, bus_error *err);
void bui_history_close(bui_history *history); /* NULL is a no-op */
bui_fates *bui_history_fates(bui_history *history);

/* Could the old store be read? */
bool bui_history_has_old(const bui_history *history);
/* Was the row in its outbox: not acknowledged? */
bool bui_history_unsent(const bui_history *history, const char *topic, int32_t partition, const char *event_id);
/* Had an operator given it up there (`bus outbox discard`)? */
bool bui_history_discarded(const bui_history *history, const char *topic, int32_t partition, const char *event_id);
/* How many dead letters differ in the store from what the dead-letter topic, or a record in the old store's outbox, said of
 * them last; see deadletters.h. */
bus_status bui_history_letters(const bui_history *history, bui_store *store, int64_t *differing, bus_error *err);
/* Takes back what the fates have postponed, in the store that was made. */
bus_status bui_history_take_back(bui_store *store, bus_error *err);

#endif
