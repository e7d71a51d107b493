/* SPDX-License-Identifier: MIT
 * Memory transport: a cluster of topics in memory, with as many clients (processes) as wanted, a consumer group with a
 * coordinator that the test drives, and every fault of a real one on demand. Single-threaded and deterministic:
 * nothing happens but in calls. Used by unit tests, simulation and bus_test_*. */
#ifndef BUI_TESTING_MEMORY_TRANSPORT_H
#define BUI_TESTING_MEMORY_TRANSPORT_H

#include "base/clock.h"
#include "shard/transport.h"

typedef struct bui_memory_cluster bui_memory_cluster;
bui_memory_cluster *bui_memory_cluster_new(const bui_clock *clock);
void bui_memory_cluster_free(bui_memory_cluster *cluster);
/* BUS_EXISTS if it is there, BUS_NOMEM. */
bus_status bui_memory_topic(bui_memory_cluster *cluster, const char *topic, int32_t partitions);
/* Its max.message.bytes, BUI_TOPIC_BYTES at first: a row of a client that counts more, as brokers count, is refused (RECORD). */
void bui_memory_topic_limit(bui_memory_cluster *cluster, const char *topic, int64_t most);
/* Gone with its records: lanes answer BUS_MISSING, sends TOPIC. It may be made again, empty: lanes go on in it at their offsets. */
void bui_memory_topic_delete(bui_memory_cluster *cluster, const char *topic);
/* The i-th topic in order of creation; NULL past the end. */
const char *bui_memory_topic_at(const bui_memory_cluster *cluster, size_t i, int32_t *partitions);
/* A client of the cluster: one process. Freed by its ops->free. */
bui_transport *bui_memory_client(bui_memory_cluster *cluster);
/* Appends as a foreign producer would; returns the offset, -1 if there is no such partition or no memory. */
int64_t bui_memory_append(bui_memory_cluster *cluster, const char *topic, int32_t partition, const bui_row *row);
/* Takes `count` offsets that no reader ever gets, as a transaction's markers do; returns the first, -1 as above. */
int64_t bui_memory_append_control(bui_memory_cluster *cluster, const char *topic, int32_t partition, int count);
/* Reads the log: false past the end, before the start, and for a control record. Borrowed until the record is truncated away or the cluster freed. */
bool bui_memory_read(const bui_memory_cluster *cluster, const char *topic, int32_t partition, int64_t offset, bui_record *out);
/* Tells which of two records was written first: grows over all partitions, from 1; 0: there is none there. */
uint64_t bui_memory_serial(const bui_memory_cluster *cluster, const char *topic, int32_t partition, int64_t offset);
int64_t bui_memory_start(const bui_memory_cluster *cluster, const char *topic, int32_t partition);
int64_t bui_memory_end(const bui_memory_cluster *cluster, const char *topic, int32_t partition);
void bui_memory_truncate_before(bui_memory_cluster *cluster, const char *topic, int32_t partition, int64_t low);
void bui_memory_truncate_after(bui_memory_cluster *cluster, const char *topic, int32_t partition, int64_t high);
/* From now on clients see no sign (see bui_port_ops.doubts) of a log that is deleted or loses its end: it happens between two fetches. */
void bui_memory_no_signs(bui_memory_cluster *cluster, bool none);
/* Looks at logs (bui_port_ops.look) are answered no more, until this is taken back: then all that wait are. */
void bui_memory_rechecks_wait(bui_memory_cluster *cluster, bool wait);
/* Group: what the client's next polls give, in this order. While a client is lost its commits fail, until it is assigned
 * something (be it nothing) again. */
void bui_memory_assign(bui_transport *client, const int32_t *shards, size_t count);
void bui_memory_revoke(bui_transport *client);
void bui_memory_lose(bui_transport *client);
/* So many foreign members are in each group. Kafka rebalances when they come or go: that is the caller's to do. */
void bui_memory_strangers(bui_memory_cluster *cluster, int strangers);
/* What the group has committed: false if nothing. */
bool bui_memory_committed(const bui_memory_cluster *cluster, const char *group, const char *topic, int32_t partition,
                          bui_offset *out);
/* As kafka-consumer-groups --reset-offsets: no metadata. */
void bui_memory_commit_foreign(bui_memory_cluster *cluster, const char *group, const char *topic, int32_t partition,
                               int64_t offset);

/* Faults decide for each produced record: what is stored and what is reported. NULL: all acknowledged at once.
 *
 * As with a real idempotent producer a destination keeps its order: behind a held row everything is held, and once a row
 * was not stored (FAILED, TOPIC, RECORD, FATAL) the rows behind it are FAILED too, until that report has been taken. Only
 * FALSE_ACK lets later rows pass one that never landed: that is its danger. */
typedef enum bui_memory_fate {
    BUI_FATE_ACK,       /* stored, acknowledged */
    BUI_FATE_HOLD,      /* out until bui_memory_deliver decides */
    BUI_FATE_LOST_ACK,  /* stored, reported FAILED */
    BUI_FATE_DUPLICATE, /* stored twice, acknowledged */
    BUI_FATE_FALSE_ACK, /* not stored, acknowledged without an offset (UNSURE) */
    BUI_FATE_FAILED,    /* not stored, reported FAILED */
    BUI_FATE_TOPIC,     /* not stored, reported TOPIC */
    BUI_FATE_RECORD,    /* not stored, reported RECORD */
    BUI_FATE_FATAL,     /* not stored; the producer becomes fatal, all it holds FAILED */
    BUI_FATE_UNSURE     /* stored, acknowledged without an offset (UNSURE) */
} bui_memory_fate;
/* May be asked again about a row it has held (bui_memory_deliver_some). Must not call the transport. */
typedef bui_memory_fate (*bui_memory_judge)(void *opaque, const bui_row *row, bui_channel channel);
void bui_memory_judge_by(bui_memory_cluster *cluster, bui_memory_judge judge, void *opaque);
/* For a judge, while it is asked: who sends, and how its destination stands. */
typedef struct bui_memory_flight {
    const bui_transport *client;
    const char *port;
    size_t out;       /* earlier rows of the destination that wait, on the same channel */
    bool established; /* this producer has had an offset for a row of the destination */
} bui_memory_flight;
const bui_memory_flight *bui_memory_judging(const bui_memory_cluster *cluster);
/* Lets everything held by the client go with this fate; returns how many. */
size_t bui_memory_deliver(bui_transport *client, bui_memory_fate fate);
/* Asks the judge again about what the client holds, oldest first, at most `most` rows; those it holds again stay, and what is
 * behind them. Returns how many went. */
size_t bui_memory_deliver_some(bui_transport *client, size_t most);
/* How many rows of the client are out and undecided. */
size_t bui_memory_withheld(const bui_transport *client);
/* With zombies kept, rows held by a producer that is closed or reset are not dropped, but stay under way, as requests in a
 * socket do. bui_memory_zombie_next decides about the oldest: it lands now, whatever others have written meanwhile, or it and
 * what follows it to the same destination never does. Returns how many are left. */
size_t bui_memory_zombies(const bui_memory_cluster *cluster);
void bui_memory_zombies_keep(bui_memory_cluster *cluster, bool keep);
size_t bui_memory_zombie_next(bui_memory_cluster *cluster, bool lands);
/* How many records of those that are ready a fetch gets; NULL: all. */
typedef size_t (*bui_memory_meter)(void *opaque, const char *topic, int32_t partition, size_t ready);
void bui_memory_meter_by(bui_memory_cluster *cluster, bui_memory_meter meter, void *opaque);
/* Rows a channel takes before it says BUS_FULL; default 100,000. */
void bui_memory_queue_most(bui_memory_cluster *cluster, size_t rows);
/* Commits of offsets are refused by the coordinator. */
void bui_memory_commits_fail(bui_memory_cluster *cluster, bool fail);
/* Nothing can be looked back at: not allowed, or too slow. */
void bui_memory_looks_fail(bui_memory_cluster *cluster, bool fail);
/* The broker is away: metadata, committed and commit answer BUS_BROKER, fetches nothing, sends and a port's commits stay out
 * until it is back; then the judge is asked about the rows. */
void bui_memory_down(bui_memory_cluster *cluster, bool down);
/* Cuts one client off finally, as a process that dies: nothing it does reaches the cluster any more. Rows already under way
 * become zombies if those are kept. */
void bui_memory_cut(bui_transport *client);

#endif
