/* SPDX-License-Identifier: MIT
 * Sent: what of a service's own rows is in their destinations, by the names of the records: the event's id; of a letter's record the
 * letter, its round and state; of a retry record the event's place and the attempt. Names are kept in a file, as hashes, so that memory
 * does not grow with the topics. */
#ifndef BUS_REBUILD_SENT_H
#define BUS_REBUILD_SENT_H

#include "codec/mac.h"
#include "rebuild/logs.h"

typedef struct bus_sent bus_sent;

/* What of a partition's log can be told. */
typedef struct bus_sent_place {
    bool cut;             /* records are gone: its start, or some by compaction (a transaction's markers look the same) */
    bool gaps;            /* some are missing after its start */
    int64_t first_ms;     /* time of the first record that is left; INT64_MAX: none is */
} bus_sent_place;

/* `path`: of a file that is made, and deleted when closed. `keys` (NULL: none) are borrowed: what is not signed by the service where that is
 * demanded was not sent by it. */
bus_status bus_sent_open(bus_logs *logs, const char *service, const bus_keys *keys, const char *path, bus_sent **out, bus_error *err);
void bus_sent_close(bus_sent *sent); /* NULL is a no-op */

/* Reads a partition to its end, or all of a topic's (-1); one that was read is not read again. A topic that is not there holds nothing. */
bus_status bus_sent_read(bus_sent *sent, const char *topic, int32_t partition, bus_error *err);
/* Is a record of that name there? The partition has been read. */
bool bus_sent_has(bus_sent *sent, const char *topic, int32_t partition, const bus_header *headers, size_t count);
bool bus_sent_has_event(bus_sent *sent, const char *topic, int32_t partition, const char *event_id);
/* Is a record of the key there that is not older than `since_ms`? Where compaction runs, it took the place of those before. */
bool bus_sent_has_key(bus_sent *sent, const char *topic, int32_t partition, const void *key, size_t key_len, int64_t since_ms);
/* NULL: not read. */
const bus_sent_place *bus_sent_place_of(bus_sent *sent, const char *topic, int32_t partition);
bus_status bus_sent_failure(const bus_sent *sent, bus_error *err); /* sticky: a question that could not be answered */

#endif
