/* SPDX-License-Identifier: MIT
 * Instances: which processes of which services run, from their heartbeats on `bus.services`. */
#ifndef BUI_OPS_INSTANCES_H
#define BUI_OPS_INSTANCES_H

#include "ops/watch.h"
#include "shard/transport.h"
#include <bus/service.h>

typedef struct bui_process {
    char service[64], instance[128], host[128], state[32], service_version[32], version[32], why[200];
    int64_t pid, started_ms, at_ms; /* at: of its last heartbeat, by the process's clock */
    int64_t shard_count;            /* of the service; 0: not known yet */
    char shards[200];               /* "0, 2", as many as fit */
    int64_t held;                   /* how many it holds */
    char *declarations;             /* the heartbeat whole: {"service", "topics": [...] ...} */
    bool removed;
} bui_process;

typedef struct bui_instances {
    bui_process *list;
    size_t count, cap, unreadable;
    size_t records; /* that were read for it */
} bui_instances;

/* Takes one record of the topic: the last one of a key counts, one without a value removes the process. BUS_NOMEM. Pure. */
bus_status bui_instances_add(bui_instances *instances, const bui_record *record, bus_error *err);
/* Takes out what was removed and sorts by service and instance. Pure. */
void bui_instances_settle(bui_instances *instances);
void bui_instances_free(bui_instances *instances);

/* Reads the whole topic. A cluster without it has no instances: BUS_OK. BUS_BROKER, BUS_TIMEOUT, BUS_DENIED, BUS_CANCELLED. */
bus_status bui_instances_read(const bus_config *config, int timeout_ms, const bui_watch *watch, bui_instances *out,
                              bus_error *err);

#endif
