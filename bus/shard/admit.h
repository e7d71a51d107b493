/* SPDX-License-Identifier: MIT
 * Admit: which announcements of others are learnt, by a process of a service, by its rebuild, and by tools. */
#ifndef BUS_SHARD_ADMIT_H
#define BUS_SHARD_ADMIT_H

#include "base/config.h"
#include "base/map.h"
#include "base/throttle.h"
#include "codec/catalog.h"
#include "codec/mac.h"
#include "shard/shard.h"

typedef struct bus_admission {
    const bus_config *config;   /* these three are borrowed */
    bus_catalog *catalog;
    const bus_keys *keys;
    bool closed;          /* schemas.closed; not for tools, in which nothing is compiled */
    bus_map spaces;       /* name space -> how many of its schemas were learnt */
    bus_throttle lines;
    bool full;            /* more was announced than is kept, and it has been said */
} bus_admission;

void bus_admission_init(bus_admission *admission, const bus_config *config, bus_catalog *catalog, const bus_keys *keys);
void bus_admission_free(bus_admission *admission);

/* Learns the schema of a record of bus.schemas into the catalog, or says why not: BUS_FULL, BUS_REFUSED, BUS_DENIED, BUS_CORRUPT ... BUS_OK
 * also for what is compiled in, and is not replaced. */
bus_status bus_admission_take(bus_admission *admission, const bus_record *record, bus_error *err);

/* Of one reading to the end: how many were refused, and the first one's place and reason. */
typedef struct bus_refusals { uint64_t count; bus_error first; } bus_refusals;
void bus_refusals_add(bus_refusals *refusals, const bus_record *record, const bus_error *why);

#endif
