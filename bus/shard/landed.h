/* SPDX-License-Identifier: MIT
 * Landed: which rows of an outbox are in Kafka already. A process that was killed leaves rows that it had sent and whose
 * acknowledgement it did not take. Readers of the bus drop a second copy; others would have to, so none is sent where that can be known. */
#ifndef BUS_SHARD_LANDED_H
#define BUS_SHARD_LANDED_H

#include "shard/transport.h"
#include "store/store.h"

typedef struct bus_landed bus_landed;

/* Reads the outbox: at most `most` rows of a destination, the first. NULL: see err. */
bus_landed *bus_landed_new(bus_store *store, size_t most, bus_error *err);
void bus_landed_free(bus_landed *landed);

/* The destinations to look at, `since_ms` of each its oldest row. Valid while the store is open. */
size_t bus_landed_places(bus_landed *landed, bus_look **out);
/* A record of one of them: is it all that a row would send, its bus-hop included? False: no memory. */
bool bus_landed_meet(bus_landed *landed, const bus_record *record);

/* Deletes the rows that were met, in a transaction, up to the first of their destination that was not: from there on all are sent, so
 * that a reader who keeps the last is left with the last. *count: how many are gone. */
bus_status bus_landed_delete(bus_landed *landed, size_t *count, bus_error *err);

#endif
