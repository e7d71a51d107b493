/* SPDX-License-Identifier: MIT
 * Admit: which announcements of others are learnt, by a process of a service, by its rebuild, and by tools. */
#ifndef BUI_SHARD_ADMIT_H
#define BUI_SHARD_ADMIT_H

#include "base/config.h"
#include "base/map.h"
#include "base/throttle.h"
#include "codec/catalog.h"
#include "codec/mac.h"
#include "shard/shard.h"

typedef struct bui_admission {
    const bus_config *config; /* these three are borrowed */
    bui_catalog *catalog;
    const bui_keys *keys;
    bool closed;    /* schemas.closed; not for tools, in which nothing is compiled */
    bui_map spaces; /* name space -> how many of its schemas were learnt */
    bui_throttle lines;
    bool full; /* more was announced than is kept, and it has been said */
} bui_admission;

void bui_admission_init(bui_admission *admission, const bus_config *config, bui_catalog *catalog, const bui_keys *keys);
void bui_admission_free(bui_admission *admission);

/* Learns the schema of a record of bus.schemas into the catalog, or says why not: BUS_FULL, BUS_REFUSED, BUS_DENIED, BUS_CORRUPT ... BUS_OK
 * also for what is compiled in, and is not replaced. */
bus_status bui_admission_take(bui_admission *admission, const bui_record *record, bus_error *err);

/* Of one reading to the end: how many were refused, and the first one's place and reason. */
typedef struct bui_refusals {
    uint64_t count;
    bus_error first;
} bui_refusals;
void bui_refusals_add(bui_refusals *refusals, const bui_record *record, const bus_error *why);

#endif
