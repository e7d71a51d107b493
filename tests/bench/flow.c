/* SPDX-License-Identifier: MIT
 * The bus at work, measured over its public API:
 *
 *   flow topics  name=value ...              makes what the others need
 *   flow feed    --count N name=value ...    publishes N events with six headers, bus-hop among them, for `shard`
 *   flow publish --count N name=value ...    bus_publish, until the last is acknowledged
 *   flow shard   --count N name=value ...    consume, drop duplicates, upsert, emit, relay; until the last is acknowledged
 *   flow idle    --seconds S name=value ...  the same service with nothing to do
 */
#include "bench/bench.h"
#include "base/config.h"
#include "base/id.h"
#include "codec/envelope.h"
#include "codec/wire.h"
#include "kafka/admin.h"
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <unistd.h>

#define INPUT "feeder.events"
#define OUTPUT "bench.events"
#define SAMPLES 100000

static void must(bus_status status, const bus_error *err, const char *what)
{
    if (status)
        bench_die(what, err->text);
}

/* ---- topics */

static int topics(bus_config *config)
{
    static const char *const names[] = { INPUT, OUTPUT, "bench.redrive", "bench.dlq", "bench.retry.1s", "bench.retry.30s",
        "bench.retry.10m", "till.events", "till.redrive", "till.dlq", "till.retry.1s", "till.retry.30s", "till.retry.10m", "book.redrive",
        "book.dlq", "book.retry.1s", "book.retry.30s", "book.retry.10m", "raw.publish", "raw.round", "bus.publish", "bus.schemas",
        "bus.services" };
    bus_kafka_topic_spec specs[sizeof names / sizeof *names] = { { 0 } };
    size_t count = sizeof names / sizeof *names;
    bus_kafka_admin *admin;
    bus_error err = { 0 };
    for (size_t i = 0; i < count; i++) {
        bool shared = strncmp(names[i], "bus.s", 5) == 0;
        bool single = strncmp(names[i], "till.", 5) == 0 || strncmp(names[i], "book.", 5) == 0;
        specs[i].name = names[i];
        specs[i].partitions = shared || single ? 1 : BENCH_SHARDS;
        specs[i].cleanup = shared ? "compact" : NULL;
    }
    must(bus_kafka_admin_open(config, "bench", &admin, &err), &err, "topics");
    must(bus_kafka_admin_create(admin, specs, count, false, 30000, &err), &err, "topics");
    bus_kafka_admin_close(admin);
    return 0;
}

/* ---- publishing */

static size_t key_of(long i, char out[24])
{
    return (size_t)snprintf(out, 24, "key-%ld", i * 7919 % BENCH_KEYS);
}

/* Room in the publisher's queue comes with the broker's answers. */
#define WHEN_FULL(call) while ((status = (call)) == BUS_FULL) bench_sleep(0.0005)

static int feed(bus_config *config, long count)
{
    static int64_t seq[BENCH_SHARDS];
    bus_error err = { 0 };
    bus *handle;
    bus_status status;
    char source[32] = "feeder/0#";
    bus_token_random(source + strlen(source)); /* its numbers begin at 1: another run's would be duplicates */
    must(bus_open(NULL, config, &handle, &err), &err, "feed");
    double start = bench_now();
    for (long i = 0; i < count; i++) {
        bench_Event event = bench_event(i);
        bus_buf value;
        char key[24], id[40], hop_text[200];
        size_t key_len = key_of(i, key);
        int32_t partition = bus_partition_of(key, key_len, BENCH_SHARDS);
        bus_hop hop = { .source = { source, strlen(source) }, .topic = { INPUT, sizeof INPUT - 1 }, .partition = partition,
                        .seq = ++seq[partition] };
        size_t hop_len = bus_hop_write(&hop, hop_text, sizeof hop_text);
        snprintf(id, sizeof id, "%08lx-8f2a-4c0e-9d2c-0a1b2c3d4e5f", i);
        bus_header headers[] = { { "ce_specversion", "1.0", 3 }, { "ce_id", id, 36 }, { "ce_source", "feeder", 6 },
                                 { "ce_type", "bench.Event", 11 }, { "content-type", "application/avro", 16 }, { "bus-hop", hop_text, hop_len } };
        bus_buf_init(&value, 0);
        must(bus_wire_encode(&bench_type, &event, &value, &err), &err, "feed");
        bus_raw raw = { .topic = INPUT, .key = key, .key_len = key_len, .value = value.data, .value_len = value.len, .headers = headers,
                        .header_count = 6, .partition = partition, .keep_partition = true };
        WHEN_FULL(bus_publish_raw(handle, &raw, NULL, NULL, &err));
        must(status, &err, "feed");
        bus_buf_free(&value);
    }
    must(bus_flush(handle, -1, &err), &err, "feed");
    printf("{\"what\":\"feed\",\"records\":%ld,\"per_second\":%.0f}\n", count, (double)count / (bench_now() - start));
    bus_close(handle);
    return 0;
}

static int publish(bus_config *config, long count)
{
    bus_error err = { 0 };
    bus *handle;
    bus_status status;
    must(bus_open(NULL, config, &handle, &err), &err, "publish");
    double start = 0;
    for (long i = -1; i < count; i++) {
        bench_Event event = bench_event(i);
        char key[24];
        size_t key_len = key_of(i < 0 ? 0 : i, key);
        WHEN_FULL(bus_publish(handle, "bus.publish", &bench_type, key, key_len, &event, NULL, NULL, &err));
        must(status, &err, "publish");
        if (i < 0) { /* the producer id is fetched before the clock starts */
            must(bus_flush(handle, -1, &err), &err, "publish");
            start = bench_now();
        }
    }
    must(bus_flush(handle, -1, &err), &err, "publish");
    printf("{\"what\":\"bus_publish\",\"records\":%ld,\"per_second\":%.0f}\n", count, (double)count / (bench_now() - start));
    bus_close(handle);
    return 0;
}

/* ---- the shard loop */

static _Atomic double first;     /* when the first event was handled */
static _Atomic long handled;

static bus_verdict on_event(bus_tx *tx, const bus_event *event, void *shard)
{
    const bench_Event *body = bus_event_body(event, &bench_type);
    sqlite3_stmt *upsert = bus_sql(tx, BENCH_UPSERT);
    (void)shard;
    if (atomic_fetch_add_explicit(&handled, 1, memory_order_relaxed) == 0)
        atomic_store(&first, bench_now());
    if (!upsert)
        return BUS_RETRY;
    sqlite3_bind_int64(upsert, 1, body->number * 7919 % BENCH_KEYS);
    if (sqlite3_step(upsert) != SQLITE_DONE)
        return bus_retry(tx, "upsert");
    bus_emit_options options = { .key = event->key, .key_len = event->key_len };
    bus_send(tx, &bench_type, body, &options);
    return BUS_DONE;
}

static const bus_migration migrations[] = { { "stock", BENCH_STOCK }, { 0 } };
static const bus_route routes[] = { { .topic = INPUT, .type = &bench_type, .handler = on_event }, { 0 } };
static const bus_emits emits[] = { { &bench_type, OUTPUT }, { 0 } };
static const bus_service service = { .name = "bench", .routes = routes, .emits = emits, .migrations = migrations };

static rd_kafka_t *looker(const bus_config *config)
{
    char text[200];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (rd_kafka_conf_set(conf, "bootstrap.servers", bus_config_text(config, "bootstrap.servers"), text, sizeof text))
        bench_die("bootstrap.servers", text);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    if (!rk)
        bench_die("librdkafka", text);
    return rk;
}

/* How many records a topic holds: for the output, what has been acknowledged. */
static int64_t written(rd_kafka_t *rk, const char *topic)
{
    int64_t sum = 0, low, high;
    for (int32_t p = 0; p < BENCH_SHARDS; p++) {
        if (rd_kafka_query_watermark_offsets(rk, topic, p, &low, &high, 5000))
            bench_die(topic, "cannot ask for its end");
        sum += high;
    }
    return sum;
}

static double rss_mb(void)
{
    long total, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%ld %ld", &total, &resident) != 2)
        bench_die("/proc/self/statm", "unreadable");
    fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1048576;
}

static bus_status count_rows(struct sqlite3 *db, void *opaque, bus_error *err)
{
    sqlite3_stmt *stmt = NULL;
    int64_t *out = opaque;
    (void)err;
    if (sqlite3_prepare_v2(db, "SELECT (SELECT total(n) FROM stock), (SELECT count(*) FROM bus_outbox)", -1, &stmt, NULL) == SQLITE_OK &&
        sqlite3_step(stmt) == SQLITE_ROW) {
        out[0] += sqlite3_column_int64(stmt, 0);
        out[1] += sqlite3_column_int64(stmt, 1);
    }
    sqlite3_finalize(stmt);
    return BUS_OK;
}

/* The stores' own count, one key of each shard; effects that are missing or doubled would make the rate meaningless. */
static void check_stores(bus *handle, int64_t count)
{
    double until = bench_now() + 10;
    int64_t rows[2];
    do {
        char key[24];
        unsigned done = 0;
        rows[0] = rows[1] = 0;
        for (long i = 0; done != (1u << BENCH_SHARDS) - 1; i++) {
            bus_error err = { 0 };
            size_t len = key_of(i, key);
            unsigned bit = 1u << bus_partition_of(key, len, BENCH_SHARDS);
            if (!(done & bit))
                must(bus_read(handle, key, len, count_rows, rows, &err), &err, "reading a store");
            done |= bit;
        }
    } while (rows[1] > 0 && bench_now() < until);
    if (rows[0] != count || rows[1] != 0) {
        char text[100];
        snprintf(text, sizeof text, "%lld effects of %lld events, %lld rows left in the outbox", (long long)rows[0], (long long)count, (long long)rows[1]);
        bench_die("shard", text);
    }
}

static int shard(bus_config *config, long count)
{
    static double rss[SAMPLES];
    static long at[SAMPLES];
    size_t samples = 0;
    bus_error err = { 0 };
    bus *handle;
    rd_kafka_t *rk = looker(config);
    int64_t before = written(rk, OUTPUT);
    struct rusage used[2];
    getrusage(RUSAGE_SELF, &used[0]);
    must(bus_open(&service, config, &handle, &err), &err, "shard");
    double asked = bench_now(), last = asked;
    while (written(rk, OUTPUT) < before + count) {
        if (samples < SAMPLES && (samples == 0 || at[samples - 1] != atomic_load(&handled))) {
            at[samples] = atomic_load(&handled);
            rss[samples++] = rss_mb();
            last = bench_now();
        }
        if (bench_now() - last > 60)
            bench_die("shard", "nothing moved for 60 s");
        bench_sleep(0.02);
    }
    double seconds = bench_now() - atomic_load(&first);
    getrusage(RUSAGE_SELF, &used[1]);
    check_stores(handle, written(rk, INPUT));
    bus_close(handle);
    rd_kafka_destroy(rk);
    double early = 0, late = 0, cpu = 0;
    for (size_t i = 0; i < samples; i++) { /* caches and queues fill in the first two fifths */
        double *peak = at[i] < count * 2 / 5 ? &early : &late;
        *peak = rss[i] > *peak ? rss[i] : *peak;
    }
    for (int i = 0; i < 2; i++)
        cpu += (i ? 1 : -1) * ((double)used[i].ru_utime.tv_sec + (double)used[i].ru_stime.tv_sec +
                               (double)(used[i].ru_utime.tv_usec + used[i].ru_stime.tv_usec) / 1e6);
    printf("{\"what\":\"shard\",\"events\":%ld,\"seconds\":%.3f,\"per_second\":%.0f,\"cpu_us_per_event\":%.2f,\"rss_early_mb\":%.1f,"
           "\"rss_late_mb\":%.1f}\n", count, seconds, (double)count / seconds, cpu / (double)count * 1e6, early, late);
    return 0;
}

/* ---- idle */

static void io_counts(int64_t out[2])
{
    char line[100];
    FILE *file = fopen("/proc/self/io", "r");
    out[0] = out[1] = 0;
    while (file && fgets(line, sizeof line, file)) {
        sscanf(line, "syscw: %" SCNd64, &out[0]);
        sscanf(line, "write_bytes: %" SCNd64, &out[1]);
    }
    if (!file)
        bench_die("/proc/self/io", "unreadable");
    fclose(file);
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int idle(bus_config *config, long seconds)
{
    bus_error err = { 0 };
    bus *handle;
    int64_t io[2][2];
    must(bus_open(&service, config, &handle, &err), &err, "idle");
    bench_sleep(8); /* joined, claimed, committed, deleted */
    io_counts(io[0]);
    double cpu = cpu_seconds(), start = bench_now();
    bench_sleep((double)seconds);
    double took = bench_now() - start;
    cpu = cpu_seconds() - cpu;
    io_counts(io[1]);
    printf("{\"what\":\"idle\",\"seconds\":%.1f,\"cpu_percent\":%.3f,\"writes\":%" PRId64 ",\"written_bytes\":%" PRId64 "}\n", took,
           cpu / took * 100, io[1][0] - io[0][0], io[1][1] - io[0][1]);
    bus_close(handle);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 1)
        return 0;
    bus_config *config = bench_config(argc, argv);
    long count = bench_option(argc, argv, "--count", 100000);
    int result = 2;
    if (strcmp(argv[1], "topics") == 0)
        result = topics(config);
    else if (strcmp(argv[1], "feed") == 0)
        result = feed(config, count);
    else if (strcmp(argv[1], "publish") == 0)
        result = publish(config, count);
    else if (strcmp(argv[1], "shard") == 0)
        result = shard(config, count);
    else if (strcmp(argv[1], "idle") == 0)
        result = idle(config, bench_option(argc, argv, "--seconds", 10));
    bus_config_free(config);
    return result;
}
