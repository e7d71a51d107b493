/* SPDX-License-Identifier: MIT
 * Landed: which rows of an outbox are in Kafka already. A process that was killed leaves rows that it had sent and whose
 * acknowledgement it did not take. Readers of the bus drop a second copy; others would have to, so none is sent where that can be known. */
#ifndef BUI_SHARD_LANDED_H
#define BUI_SHARD_LANDED_H

#include "shard/transport.h"
#include "store/store.h"

typedef struct bui_landed bui_landed;

/* Reads the outbox: at most `most` rows of a destination, the first. NULL: see err. */
bui_landed *bui_landed_new(bui_store *store, size_t most, bus_error *err);
void bui_landed_free(bui_landed *landed);

/* The destinations to look at, `since_ms` of each its oldest row. Valid while the store is open. */
size_t bui_landed_places(bui_landed *landed, bui_look **out);
/* A record of one of them: is it all that a row would send, its bus-hop included? False: no memory. */
bool bui_landed_meet(bui_landed *landed, const bui_record *record);

/* Deletes the rows that were met, in a transaction, up to the first of their destination that was not: from there on all are
 * sent, so that a reader that keeps the last one has the last one. *count: how many are gone. */
bus_status bui_landed_delete(bui_landed *landed, size_t *count, bus_error *err);

#endif
