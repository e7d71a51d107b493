/* SPDX-License-Identifier: MIT
 * Ids: what a shard wants from the part that asks the schema registry (registry/cache.h). */
#ifndef BUS_SHARD_IDS_H
#define BUS_SHARD_IDS_H

#include "codec/framing.h"

/* What to write before a body, and the registry's question and answer that say so, for the store. Lives as long as the bus_ids. */
typedef struct bus_stamp {
    uint8_t framing[BUS_CONFLUENT_FRAMING];
    const char *question, *answer;
} bus_stamp;

typedef struct bus_ids bus_ids;
struct bus_ids {
    /* A record has a reference that the catalog lacks: asks for it without waiting, and says in *err (BUS_MISSING) where the
     * matter stands. The catalog's version grows when it is known. */
    void (*want)(bus_ids *ids, const bus_framing *framing, bus_error *err);
    /* Confluent's framing for `type` on `topic`. BUS_MISSING, retriable: it is being asked for; BUS_SCHEMA, BUS_DENIED: the
     * registry refuses it. NULL: single-object encoding is written. */
    bus_status (*stamp)(bus_ids *ids, const char *topic, const bus_type *type, const bus_stamp **out, bus_error *err);
    /* What a store kept. Before the first record is read. */
    void (*recall)(bus_ids *ids, const char *question, const char *answer);
};

#endif
