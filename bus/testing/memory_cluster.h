/* SPDX-License-Identifier: MIT
 * What the parts of the memory transport share: its clients with their lanes (memory_transport.c), their ports (memory_port.c), what
 * groups have committed (memory_commit.c), and the logs of a cluster (memory_cluster.c). Nobody else includes this. */
#ifndef BUI_TESTING_MEMORY_CLUSTER_H
#define BUI_TESTING_MEMORY_CLUSTER_H

#include "testing/memory_transport.h"

/* A record in one block of memory, headers, key and value included. */
typedef struct memory_record {
    bui_record record;
    bool control;    /* takes an offset, is never delivered */
    uint64_t serial; /* grows over all logs */
} memory_record;

typedef struct memory_log {
    int64_t low; /* the offset of at[0] */
    memory_record **at;
    size_t count, cap;
} memory_log;

typedef struct memory_topic {
    struct memory_topic *next;
    char *name;
    int32_t partitions;
    bool gone;    /* deleted; kept, since lanes and records borrow its name */
    int64_t most; /* max.message.bytes */
    memory_log log[];
} memory_topic;

typedef struct memory_commit {
    struct memory_commit *next;
    char *group;
    bui_offset offset;
} memory_commit;

typedef struct memory_client memory_client;
typedef struct memory_port memory_port;
typedef struct memory_send memory_send;

struct bui_memory_cluster {
    const bui_clock *clock;
    memory_topic *topics;
    memory_commit *commits;
    memory_client *clients;
    memory_send *zombies; /* rows of producers that are gone, still on their way */
    bool keep_zombies;
    bool down, commits_fail, looks_fail, no_signs, rechecks_wait;
    int strangers; /* in each group */
    size_t queue_most;
    uint64_t serial;
    bui_memory_judge judge;
    void *judge_opaque;
    bui_memory_meter meter;
    void *meter_opaque;
    bui_memory_flight flight; /* while the judge is asked */
};

memory_record *memory_record_copy(const bui_record *from);                            /* NULL: no memory; free() */
memory_topic *memory_topic_find(const bui_memory_cluster *cluster, const char *name); /* NULL: not there */
memory_log *memory_log_of(memory_topic *topic, int32_t partition);                    /* NULL: no such partition */
static inline int64_t memory_log_end(const memory_log *log)
{
    return log->low + (int64_t)log->count;
}
/* Takes the record, at the log's end; the offset, or -1 without memory (the record is freed). Lanes hear of it. */
int64_t memory_log_store(bui_memory_cluster *cluster, memory_topic *topic, int32_t partition, memory_record *record);

memory_commit *memory_commit_find(const bui_memory_cluster *cluster, const char *group, const char *topic, int32_t partition);
bus_status memory_commit_put(bui_memory_cluster *cluster, const char *group, const bui_offset *offset);
bus_status memory_commit_now(memory_client *client, const bui_offset *list, size_t count, bus_error *err);

/* How one producer of a port stands with one partition. */
typedef struct memory_target {
    struct memory_target *next;
    memory_topic *topic; /* NULL: there is none of this name */
    int32_t partition;
    bui_channel channel;
    size_t out; /* rows held */
    bool established;
    bool broken; /* a row was not stored: those behind it are not either, until its report is taken */
    bool passed; /* scratch of `deliver` */
} memory_target;

/* A row on its way. */
struct memory_send {
    memory_send *next;
    memory_record *record;
    int64_t id;
    memory_target *target; /* of a zombie: freed with its port, so NULL */
    memory_topic *topic;
    int32_t partition;
    uint64_t producer; /* of a zombie: distinguishes one dead producer from the next */
};

typedef struct memory_told {
    bui_report report;
    memory_target *target;
} memory_told;

struct bui_lane {
    bui_lane *next;
    memory_port *port;
    memory_topic *topic; /* if that has gone: the one of its name, once there is one, at the same offset */
    const char *name;    /* of the first */
    int32_t partition;
    int64_t at;       /* the offset to give next */
    int64_t end, eof; /* as last known */
    size_t number;    /* the shard's */
    bui_lane *next_ready;
    bool ready; /* in its port's list */
};

struct memory_port {
    bui_port port;
    memory_port *next;
    memory_client *client;
    char name[64];
    void (*wake)(void *opaque);
    void *wake_opaque;
    memory_target *targets;
    bui_lane *ready; /* lanes in which something came since they were asked for last */
    memory_send *held, **held_last;
    memory_told *told; /* reports, oldest first */
    size_t told_first, told_count, told_cap;
    bool deaf;                /* a report wakes nobody */
    size_t out[BUI_CHANNELS]; /* rows whose report has not been taken */
    bool fatal[BUI_CHANNELS];
    bui_offset *commit; /* waits for the broker */
    size_t commit_count;
    int answer;
    bus_error answer_err;
    bui_recheck *recheck; /* a look that is out, with its answer */
    size_t recheck_count;
    bool recheck_waits; /* for the broker */
    uint64_t doubts;
};

typedef struct memory_event {
    struct memory_event *next;
    bui_group_event_kind kind;
    size_t count;
    int32_t shards[];
} memory_event;

struct memory_client {
    bui_transport transport;
    memory_client *next;
    bui_memory_cluster *cluster;
    char *group;
    bool lost, had_strangers;
    uint64_t membership; /* see bui_company */
    bool cut;            /* dead to the cluster */
    memory_event *events, *polled;
    bui_lane *lanes;
    memory_port *ports;
};

static inline memory_client *client_of(bui_transport *t)
{
    return (memory_client *)t;
}
static inline memory_port *port_of(bui_port *p)
{
    return (memory_port *)p;
}
static inline bool away(const memory_client *client)
{
    return client->cut || client->cluster->down;
}
static inline void port_wake(memory_port *port)
{
    if (port->wake)
        port->wake(port->wake_opaque);
}

static inline void lane_list(bui_lane *lane)
{
    if (lane->ready)
        return;
    lane->ready = true;
    lane->next_ready = lane->port->ready;
    lane->port->ready = lane;
}
static inline void lane_wake(bui_lane *lane)
{
    lane_list(lane);
    port_wake(lane->port);
}

/* What the producers hold is dropped, or goes on as zombies; the producers start again. */
void memory_port_clear(memory_port *port);
bus_status memory_port_open(bui_transport *t, const char *name, void (*wake)(void *opaque), void *opaque, bui_port **out,
                            bus_error *err);
void memory_port_close(bui_port *port);
/* The broker is back: rows and a commit that waited for it go. */
void memory_port_resume(memory_port *port);
void memory_port_recheck_answer(memory_port *port);

void memory_send_free(memory_send *send);                                        /* NULL: a no-op */
int64_t memory_send_store(bui_memory_cluster *cluster, const memory_send *send); /* a copy of its record; the offset, or -1 */

#endif
