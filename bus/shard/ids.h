/* SPDX-License-Identifier: MIT
 * Ids: what a shard wants from the part that asks the schema registry (registry/cache.h). */
#ifndef BUI_SHARD_IDS_H
#define BUI_SHARD_IDS_H

#include "codec/framing.h"

/* What to write before a body, and the registry's question and answer that say so, for the store. Lives as long as the bui_ids. */
typedef struct bui_stamp {
    uint8_t framing[BUI_CONFLUENT_FRAMING];
    const char *question, *answer;
} bui_stamp;

typedef struct bui_ids bui_ids;
struct bui_ids {
    /* A record has a reference that the catalog lacks: asks for it without waiting, and says in *err (BUS_MISSING) how far
     * that is. The catalog's version grows when it is known. */
    void (*want)(bui_ids *ids, const bui_framing *framing, bus_error *err);
    /* Confluent's framing for `type` on `topic`. BUS_MISSING, retriable: it is being asked for; BUS_SCHEMA, BUS_DENIED: the
     * registry refuses it. NULL: single-object encoding is written. */
    bus_status (*stamp)(bui_ids *ids, const char *topic, const bus_type *type, const bui_stamp **out, bus_error *err);
    /* What a store kept. Before the first record is read. */
    void (*recall)(bui_ids *ids, const char *question, const char *answer);
};

#endif
