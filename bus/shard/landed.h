/* SPDX-License-Identifier: MIT
 * Landed: which rows of an outbox are in Kafka already. A process that was killed leaves rows that it had sent and whose
 * acknowledgement it did not take. Readers of the bus drop a second copy; others would have to, so none is sent where that can be known. */
#ifndef BUS_SHARD_LANDED_H
#define BUS_SHARD_LANDED_H

#include "shard/transport.h"
#include "store/store.h"

typedef struct bus_landed bus_landed;

/* By what a row and a record are the same.
 * RECORD: the whole record, its `bus-hop` included: what a look finds is what would be sent.
 * EVENT: the event's id, of a letter's record which letter and what became of it: for a store whose numbers are new. */
typedef enum bus_landed_by { BUS_LANDED_RECORD, BUS_LANDED_EVENT } bus_landed_by;

/* Reads the outbox: at most `most` rows of a destination, the first. NULL: see err. */
bus_landed *bus_landed_new(bus_store *store, bus_landed_by by, size_t most, bus_error *err);
void bus_landed_free(bus_landed *landed);

/* The destinations to look at, `since_ms` of each its oldest row. Valid while the store is open. */
size_t bus_landed_places(bus_landed *landed, bus_look **out);
/* A record of one of them. False: no memory. */
bool bus_landed_meet(bus_landed *landed, const bus_record *record);

/* Deletes the rows that were met, in a transaction. With `in_order` only those before the first of their destination that was not
 * met: from there on all are sent, so that a row never follows one that stands after it. *count: how many are gone. */
bus_status bus_landed_delete(bus_landed *landed, bool in_order, size_t *count, bus_error *err);

#endif
