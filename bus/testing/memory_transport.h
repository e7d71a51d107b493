/* SPDX-License-Identifier: MIT
 * Memory transport: a cluster of topics in memory, with as many clients (processes) as wanted, a consumer group with a
 * coordinator that the test drives, and every fault of a real one on demand. Single-threaded and deterministic:
 * nothing happens but in calls. Used by unit tests, simulation and bus_test_*. */
#ifndef BUS_TESTING_MEMORY_TRANSPORT_H
#define BUS_TESTING_MEMORY_TRANSPORT_H

#include "base/clock.h"
#include "shard/transport.h"

typedef struct bus_memory_cluster bus_memory_cluster;
bus_memory_cluster *bus_memory_cluster_new(const bus_clock *clock);
void bus_memory_cluster_free(bus_memory_cluster *cluster);
/* BUS_EXISTS if it is there, BUS_NOMEM. */
bus_status bus_memory_topic(bus_memory_cluster *cluster, const char *topic, int32_t partitions);
/* Its max.message.bytes, BUS_TOPIC_BYTES at first: a row of a client that counts more, as brokers count, is refused (RECORD). */
void bus_memory_topic_limit(bus_memory_cluster *cluster, const char *topic, int64_t most);
/* Gone with its records: lanes answer BUS_MISSING, sends TOPIC. It may be made again, empty: lanes go on in it at their offsets. */
void bus_memory_topic_delete(bus_memory_cluster *cluster, const char *topic);
/* The i-th topic in order of creation; NULL past the end. */
const char *bus_memory_topic_at(const bus_memory_cluster *cluster, size_t i, int32_t *partitions);
/* A client of the cluster: one process. Freed by its ops->free. */
bus_transport *bus_memory_client(bus_memory_cluster *cluster);
/* Appends as a foreign producer would; returns the offset, -1 if there is no such partition or no memory. */
int64_t bus_memory_append(bus_memory_cluster *cluster, const char *topic, int32_t partition, const bus_row *row);
/* Takes `count` offsets that no reader ever gets, as a transaction's markers do; returns the first, -1 as above. */
int64_t bus_memory_append_control(bus_memory_cluster *cluster, const char *topic, int32_t partition, int count);
/* Reads the log: false past the end, before the start, and for a control record. Borrowed until the record is truncated away or the cluster freed. */
bool bus_memory_read(const bus_memory_cluster *cluster, const char *topic, int32_t partition, int64_t offset, bus_record *out);
/* Tells which of two records was written first: grows over all partitions, from 1; 0: there is none there. */
uint64_t bus_memory_serial(const bus_memory_cluster *cluster, const char *topic, int32_t partition, int64_t offset);
int64_t bus_memory_start(const bus_memory_cluster *cluster, const char *topic, int32_t partition);
int64_t bus_memory_end(const bus_memory_cluster *cluster, const char *topic, int32_t partition);
void bus_memory_truncate_before(bus_memory_cluster *cluster, const char *topic, int32_t partition, int64_t low);
void bus_memory_truncate_after(bus_memory_cluster *cluster, const char *topic, int32_t partition, int64_t high);
/* From now on clients see no sign (see bus_port_ops.doubts) of a log that is deleted or loses its end: it happens between two fetches. */
void bus_memory_no_signs(bus_memory_cluster *cluster, bool none);
/* Looks at logs (bus_port_ops.look) are answered no more, until this is taken back: then all that wait are. */
void bus_memory_rechecks_wait(bus_memory_cluster *cluster, bool wait);
/* Group: what the client's next polls give, in this order. While a client is lost its commits fail, until it is assigned
 * something (be it nothing) again. */
void bus_memory_assign(bus_transport *client, const int32_t *shards, size_t count);
void bus_memory_revoke(bus_transport *client);
void bus_memory_lose(bus_transport *client);
/* So many foreign members are in each group. Kafka rebalances when they come or go: that is the caller's to do. */
void bus_memory_strangers(bus_memory_cluster *cluster, int strangers);
/* What the group has committed: false if nothing. */
bool bus_memory_committed(const bus_memory_cluster *cluster, const char *group, const char *topic, int32_t partition, bus_offset *out);
/* As kafka-consumer-groups --reset-offsets: no metadata. */
void bus_memory_commit_foreign(bus_memory_cluster *cluster, const char *group, const char *topic, int32_t partition, int64_t offset);

/* Faults decide for each produced record: what is stored and what is reported. NULL: all acknowledged at once.
 *
 * As with a real idempotent producer a destination keeps its order: behind a held row everything is held, and once a row
 * was not stored (FAILED, TOPIC, RECORD, FATAL) the rows behind it are FAILED too, until that report has been taken. Only
 * FALSE_ACK lets later rows pass one that never landed: that is its danger. */
typedef enum bus_memory_fate {
    BUS_FATE_ACK,          /* stored, acknowledged */
    BUS_FATE_HOLD,         /* out until bus_memory_deliver decides */
    BUS_FATE_LOST_ACK,     /* stored, reported FAILED */
    BUS_FATE_DUPLICATE,    /* stored twice, acknowledged */
    BUS_FATE_FALSE_ACK,    /* not stored, acknowledged without an offset (UNSURE) */
    BUS_FATE_FAILED,       /* not stored, reported FAILED */
    BUS_FATE_TOPIC,        /* not stored, reported TOPIC */
    BUS_FATE_RECORD,       /* not stored, reported RECORD */
    BUS_FATE_FATAL,        /* not stored; the producer becomes fatal, all it holds FAILED */
    BUS_FATE_UNSURE        /* stored, acknowledged without an offset (UNSURE) */
} bus_memory_fate;
/* May be asked again about a row it has held (bus_memory_deliver_some). Must not call the transport. */
typedef bus_memory_fate (*bus_memory_judge)(void *opaque, const bus_row *row, bus_channel channel);
void bus_memory_judge_by(bus_memory_cluster *cluster, bus_memory_judge judge, void *opaque);
/* For a judge, while it is asked: who sends, and how its destination stands. */
typedef struct bus_memory_flight {
    const bus_transport *client;
    const char *port;
    size_t out;            /* earlier rows of the destination that wait, on the same channel */
    bool established;      /* this producer has had an offset for a row of the destination */
} bus_memory_flight;
const bus_memory_flight *bus_memory_judging(const bus_memory_cluster *cluster);
/* Lets everything held by the client go with this fate; returns how many. */
size_t bus_memory_deliver(bus_transport *client, bus_memory_fate fate);
/* Asks the judge again about what the client holds, oldest first, at most `most` rows; those it holds again stay, and what is
 * behind them. Returns how many went. */
size_t bus_memory_deliver_some(bus_transport *client, size_t most);
/* How many rows of the client are out and undecided. */
size_t bus_memory_held(const bus_transport *client);
/* With zombies kept, rows held by a producer that is closed or reset are not dropped, but stay under way, as requests in a
 * socket do. bus_memory_zombie_next decides about the oldest: it lands now, whoever else has written meanwhile, or it and
 * what follows it to the same destination never does. Returns how many are left. */
size_t bus_memory_zombies(const bus_memory_cluster *cluster);
void bus_memory_zombies_keep(bus_memory_cluster *cluster, bool keep);
size_t bus_memory_zombie_next(bus_memory_cluster *cluster, bool lands);
/* How many records of those that are ready a fetch gets; NULL: all. */
typedef size_t (*bus_memory_meter)(void *opaque, const char *topic, int32_t partition, size_t ready);
void bus_memory_meter_by(bus_memory_cluster *cluster, bus_memory_meter meter, void *opaque);
/* Rows a channel takes before it says BUS_FULL; default 100,000. */
void bus_memory_queue_most(bus_memory_cluster *cluster, size_t rows);
/* Commits of offsets are refused by the coordinator. */
void bus_memory_commits_fail(bus_memory_cluster *cluster, bool fail);
/* Nothing can be looked back at: not allowed, or too slow. */
void bus_memory_looks_fail(bus_memory_cluster *cluster, bool fail);
/* The broker is away: metadata, committed and commit answer BUS_BROKER, fetches nothing, sends and a port's commits stay out
 * until it is back; then the judge is asked about the rows. */
void bus_memory_down(bus_memory_cluster *cluster, bool down);
/* Cuts one client off for good, as a process that dies: nothing it does reaches the cluster any more. Rows already under way
 * become zombies if those are kept. */
void bus_memory_cut(bus_transport *client);

#endif
