/* SPDX-License-Identifier: MIT
 * Topology: the topics that services say they need (`PROGRAM --topics`), merged, and compared with what a cluster has. Pure. */
#ifndef BUI_OPS_TOPOLOGY_H
#define BUI_OPS_TOPOLOGY_H

#include "kafka/admin.h"

/* One topic as all its declarations together want it. */
typedef struct bui_wish {
    char name[250];
    char role[16];          /* redrive, retry, dlq, output, input, replies, shared: the strictest that was declared */
    char by[200];           /* who declares it, joined by ", " */
    bool written;           /* somebody declares to write it */
    int32_t partitions;     /* to make it with */
    int32_t multiple;       /* partitions must be a multiple of this; 0: no matter */
    int32_t exactly, least; /* partitions must be this; at least this; 0: no matter */
    const char *cleanup;    /* "delete" or "compact" */
    int64_t retention_ms;   /* -1: without limit; 0: the default */
} bui_wish;

typedef struct bui_topology bui_topology;
bui_topology *bui_topology_new(void); /* NULL: no memory */
void bui_topology_free(bui_topology *topology);

/* Adds the declarations of `who` (a program or file, for messages): a JSON list of {"name", "partitions", "cleanup",
 * "retention_ms", "role"}, as --topics prints it, or an object with such a list as "topics" and maybe a "service". BUS_INVALID:
 * the text is none (with line or topic); BUS_REFUSED: it contradicts an earlier one (which, and what to do). */
bus_status bui_topology_add(bui_topology *topology, const char *who, const char *json, size_t len, bus_error *err);

size_t bui_topology_count(const bui_topology *topology);
const bui_wish *bui_topology_at(const bui_topology *topology, size_t at); /* sorted by name */

/* What creation takes where no service says otherwise. */
typedef struct bui_topic_defaults {
    int32_t partitions; /* of topics whose readers and writers do not need a certain number: at least so many */
    int replication;    /* <= 0: the broker's */
    int min_insync;     /* 0: replication less one where that is known, else the broker's */
    int64_t retention_ms;
} bui_topic_defaults;

typedef enum bui_step_kind {
    BUI_STEP_KEEP, /* it is there as wanted */
    BUI_STEP_CREATE,
    BUI_STEP_DIFFERS, /* it is there and works, with other settings than wanted: left alone */
    BUI_STEP_REFUSE   /* it is there and cannot serve, and making it fit could lose or misplace events */
} bui_step_kind;
const char *bui_step_name(bui_step_kind kind);

typedef struct bui_step {
    bui_step_kind kind;
    const bui_wish *wish;      /* the topology's */
    bui_kafka_topic_spec spec; /* to create it with; name borrowed from the wish */
    int32_t has;               /* partitions now; 0: it is not there */
    char text[300];            /* why, and what to do; "" for KEEP and CREATE */
} bui_step;

/* The plan, one step a topic. `have` is the cluster's topics. Nothing is ever deleted, shrunk or grown: more partitions would
 * move keys to other shards. *out is malloc'd: free() it. BUS_NOMEM. */
bus_status bui_topology_plan(const bui_topology *topology, const bui_topic_defaults *defaults, const bui_kafka_topic *have,
                             size_t have_count, bui_step **out, size_t *count, bus_error *err);

#endif
