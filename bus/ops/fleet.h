/* SPDX-License-Identifier: MIT
 * Fleet: which processes of which services live, from their heartbeats on `bus.services`. */
#ifndef BUS_OPS_FLEET_H
#define BUS_OPS_FLEET_H

#include "ops/watch.h"
#include "shard/transport.h"
#include <bus/service.h>

typedef struct bus_process {
    char service[64], instance[128], host[128], state[32], version[32], why[200];
    int64_t pid, started_ms, at_ms;   /* at: of its last heartbeat, by the process's clock */
    int64_t shard_count;              /* of the service; 0: not known yet */
    char shards[200];                 /* "0, 2", as many as fit */
    int64_t held;                     /* how many it holds */
    char *declarations;               /* the heartbeat whole: {"service", "topics": [...] ...} */
    bool removed;
} bus_process;

typedef struct bus_fleet { bus_process *list; size_t count, cap, unreadable; } bus_fleet;

/* Takes one record of the topic: the last one of a key counts, one without a value removes the process. BUS_NOMEM. Pure. */
bus_status bus_fleet_add(bus_fleet *fleet, const bus_record *record, bus_error *err);
/* Takes out what was removed and sorts by service and instance. Pure. */
void bus_fleet_settle(bus_fleet *fleet);
void bus_fleet_free(bus_fleet *fleet);

/* Reads the whole topic. A cluster without it has no fleet: BUS_OK. BUS_BROKER, BUS_TIMEOUT, BUS_DENIED, BUS_CANCELLED. */
bus_status bus_fleet_read(const bus_config *config, int timeout_ms, const bus_watch *watch, bus_fleet *out, bus_error *err);

#endif
