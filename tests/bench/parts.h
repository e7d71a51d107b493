/* SPDX-License-Identifier: MIT
 * What the bench programs on a cluster share: how far topics have grown, keys, and a look into each shard's store. */
#ifndef BENCH_PARTS_H
#define BENCH_PARTS_H

#include "bench/bench.h"
#include "base/config.h"
#include "base/id.h"
#include <librdkafka/rdkafka.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <unistd.h>

/* Room in the publisher's queue comes with the broker's answers. */
#define BENCH_WHEN_FULL(call) \
    while ((status = (call)) == BUS_FULL) \
    bench_sleep(0.0005)

static inline void bench_must(bus_status status, const bus_error *err, const char *what)
{
    if (status != BUS_OK)
        bench_die(what, err->text);
}

/* Neighbours in time are not neighbours in the store. */
static inline long bench_key(long number, long keys)
{
    return number * 7919 % keys;
}

static inline size_t bench_key_text(long key, char out[24])
{
    return (size_t)snprintf(out, 24, "key-%ld", key);
}

/* ---- the cluster, seen from outside the bus */

static inline rd_kafka_t *bench_looker(const bus_config *config)
{
    char text[200];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (rd_kafka_conf_set(conf, "bootstrap.servers", bui_config_text(config, "bootstrap.servers"), text, sizeof text))
        bench_die("bootstrap.servers", text);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    if (!rk)
        bench_die("librdkafka", text);
    return rk;
}

static inline int bench_partitions(rd_kafka_t *rk, const char *topic)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *handle = rd_kafka_topic_new(rk, topic, NULL);
    if (!handle || rd_kafka_metadata(rk, 0, handle, &metadata, 10000) || metadata->topics[0].partition_cnt < 1)
        bench_die(topic, "is not there");
    int count = metadata->topics[0].partition_cnt;
    rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(handle);
    return count;
}

/* How many records a topic holds: of an output, what has been acknowledged. */
static inline int64_t bench_written(rd_kafka_t *rk, const char *topic, int partitions)
{
    int64_t sum = 0, low, high;
    for (int32_t p = 0; p < partitions; p++) {
        if (rd_kafka_query_watermark_offsets(rk, topic, p, &low, &high, 10000))
            bench_die(topic, "cannot ask for its end");
        sum += high;
    }
    return sum;
}

/* ---- the stores, seen through the bus */

/* Runs a query of one row in each shard's store, and adds up its columns. */
typedef struct bench_sum {
    const char *sql;
    int columns;
    int64_t of[4];
} bench_sum;

static inline bus_status bench_sum_one(struct sqlite3 *db, void *opaque, bus_error *err)
{
    bench_sum *sum = opaque;
    sqlite3_stmt *stmt = NULL;
    (void)err;
    if (sqlite3_prepare_v2(db, sum->sql, -1, &stmt, NULL) != SQLITE_OK || sqlite3_step(stmt) != SQLITE_ROW)
        bench_die(sum->sql, sqlite3_errmsg(db));
    for (int i = 0; i < sum->columns; i++)
        sum->of[i] += sqlite3_column_int64(stmt, i);
    sqlite3_finalize(stmt);
    return BUS_OK;
}

static inline void bench_sum_stores(bus *handle, int shards, bench_sum *sum)
{
    char key[24], seen[1025] = "";
    memset(sum->of, 0, sizeof sum->of);
    for (long i = 0, found = 0; found < shards; i++) { /* a key of each shard */
        bus_error err = { 0 };
        size_t len = bench_key_text(i, key);
        int32_t shard = bui_partition_of(key, len, shards);
        if (seen[shard]++)
            continue;
        bench_must(bus_read(handle, bus_string_of(key, len), bench_sum_one, sum, &err), &err, "reading a store");
        found++;
    }
}

/* ---- this process */

static inline double bench_cpu(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

#endif
