/* SPDX-License-Identifier: MIT
 * Sent: what of a service's own rows is in their destinations, by the names of the records: the event's id; of a dead letter's
 * record the dead letter, its round and state; of a retry record the event's place and the attempt. Names are kept in a file,
 * as hashes, so that memory does not grow with the topics. */
#ifndef BUI_REBUILD_SENT_H
#define BUI_REBUILD_SENT_H

#include "codec/mac.h"
#include "rebuild/logs.h"

typedef struct bui_sent bui_sent;

/* What is known of a partition's log. */
typedef struct bui_sent_place {
    bool cut;         /* records are gone: its start, or some by compaction (a transaction's markers look the same) */
    bool gaps;        /* some are missing after its start */
    int64_t first_ms; /* time of the first record that is left; INT64_MAX: none is */
} bui_sent_place;

/* `path`: of a file that is made, and deleted when closed. `keys` (NULL: none) are borrowed: what is not signed by the service where that is
 * demanded was not sent by it. */
bus_status bui_sent_open(bui_logs *logs, const char *service, const bui_keys *keys, const char *path, bui_sent **out,
                         bus_error *err);
void bui_sent_close(bui_sent *sent); /* NULL is a no-op */

/* Reads a partition to its end, or all of a topic's (-1); one that was read is not read again. A topic that is not there holds nothing. */
bus_status bui_sent_read(bui_sent *sent, const char *topic, int32_t partition, bus_error *err);
/* Is a record of that name there? The partition has been read. */
bool bui_sent_has(bui_sent *sent, const char *topic, int32_t partition, const bus_header *headers, size_t count);
bool bui_sent_has_event(bui_sent *sent, const char *topic, int32_t partition, const char *event_id);
/* Is a record of the key there that is not older than `since_ms`? Where compaction runs, it took the place of those before. */
bool bui_sent_has_key(bui_sent *sent, const char *topic, int32_t partition, const void *key, size_t key_len, int64_t since_ms);
/* NULL: not read. */
const bui_sent_place *bui_sent_place_of(bui_sent *sent, const char *topic, int32_t partition);
bus_status bui_sent_failure(const bui_sent *sent, bus_error *err); /* sticky: a question that could not be answered */

#endif
