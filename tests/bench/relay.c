/* SPDX-License-Identifier: MIT
 * The way from a writer's commit to Kafka and to who consumes it, at full speed, and out of an outbox of any depth:
 *
 *   relay read  --file F name=value ...                   a service that consumes what `write` emits. Begin it first
 *   relay write --file F --seconds S --callers C name=value ...
 *               C threads, each an upsert and an event at a time, as fast as they can: how many were committed, had reached
 *               Kafka and had been handled by `read`, and how many rows the outboxes held, ten times a second; ends when all arrived
 *   relay deep  --rows N [--bytes B] [--topic T] name=value ...
 *               an outbox of N rows, as after an outage, for the partitions of a topic, until Kafka has them; one shard */
#include "bench/parts.h"
#include "codec/envelope.h"
#include "codec/wire.h"
#include "store/store.h"
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

#define TOPIC "mill.events"
#define MOST_CALLERS 1024
#define MANY 100
#define MOST_SAMPLES 6000
#define READY_S 60

static const bus_migration migrations[] = { { "stock", BENCH_STOCK }, { 0 } };
static const bus_emits emits[] = { { &bench_type, TOPIC }, { 0 } };
static const bus_service mill = { .name = "mill", .emits = emits, .migrations = migrations };

/* What the two processes share. */
typedef struct board {
    _Atomic long committed, handled;
    _Atomic int ready, done;
} board;

static board *board_of(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(board)))
        bench_die(path, "cannot be written");
    board *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (shared == MAP_FAILED)
        bench_die(path, "cannot be mapped");
    return shared;
}

/* ---- who consumes */

static board *shared;

static bus_verdict on_grist(bus_tx *tx, const bus_event *event, void *shard)
{
    const bench_Event *body = bus_event_body(event, &bench_type);
    sqlite3_stmt *upsert = bus_sql(tx, BENCH_UPSERT);
    (void)shard;
    if (!upsert)
        return BUS_RETRY;
    sqlite3_bind_int64(upsert, 1, bench_key((long)body->number, BENCH_KEYS));
    if (sqlite3_step(upsert) != SQLITE_DONE)
        return bus_retry(tx, "upsert");
    atomic_fetch_add_explicit(&shared->handled, 1, memory_order_relaxed);
    return BUS_DONE;
}

static const bus_route routes[] = { { .topic = TOPIC, .type = &bench_type, .handler = on_grist }, { 0 } };
static const bus_service bakery = { .name = "bakery", .routes = routes, .migrations = migrations };

static int read_all(bus_config *config)
{
    bus_error err = { 0 };
    bus *handle;
    bench_must(bus_open(&bakery, config, &handle, &err), &err, "read");
    while (atomic_load(&shared->handled) == 0) /* the writer sends one to see who listens */
        bench_sleep(0.01);
    atomic_store(&shared->ready, 1);
    double last = bench_now();
    for (long seen = -1; !atomic_load(&shared->done) || atomic_load(&shared->handled) < atomic_load(&shared->committed);
         bench_sleep(0.02)) {
        if (atomic_load(&shared->handled) != seen) {
            seen = atomic_load(&shared->handled);
            last = bench_now();
        }
        if (bench_now() - last > READY_S)
            bench_die("read", "nothing came for a minute");
    }
    bench_sleep(0.2); /* what is doubled would be handled now */
    bench_sum sum = { .sql = "SELECT total(n) FROM stock", .columns = 1 };
    bench_sum_stores(handle, (int)bui_config_int(config, "shards"), &sum);
    if (sum.of[0] != atomic_load(&shared->committed))
        bench_die("read", "the effects are not as many as the events");
    bus_close(handle);
    return 0;
}

/* ---- who writes */

typedef struct sale {
    bus *handle;
    pthread_t thread;
    long number, step;
} sale;
static _Atomic bool stop;

static bus_verdict sell(bus_tx *tx, void *opaque)
{
    const sale *mine = opaque;
    char key[24];
    bench_Event event = bench_event(mine->number);
    sqlite3_stmt *upsert = bus_sql(tx, BENCH_UPSERT);
    if (!upsert)
        return BUS_RETRY;
    sqlite3_bind_int64(upsert, 1, bench_key(mine->number, BENCH_KEYS));
    if (sqlite3_step(upsert) != SQLITE_DONE)
        return bus_retry(tx, "upsert");
    bench_key_text(bench_key(mine->number, BENCH_KEYS), key);
    bus_emit(tx, &bench_type, bus_str(key), &event);
    return BUS_DONE;
}

static void sell_one(sale *mine)
{
    char key[24];
    bus_error err = { 0 };
    size_t len = bench_key_text(bench_key(mine->number, BENCH_KEYS), key);
    bus_status status;
    BENCH_WHEN_FULL(bus_transact(mine->handle, bus_string_of(key, len), sell, mine,
                                 &err)); /* the outbox is at its bound: the writer waits for the relay */
    bench_must(status, &err, "bus_transact");
    atomic_fetch_add_explicit(&shared->committed, 1, memory_order_relaxed);
    mine->number += mine->step;
}

static void *sell_on(void *opaque)
{
    while (!atomic_load_explicit(&stop, memory_order_relaxed))
        sell_one(opaque);
    return NULL;
}

typedef struct sample {
    double at;
    long committed, relayed, handled, rows;
} sample;

static sample look(bus *handle, rd_kafka_t *rk, int partitions, int shards, double start, int64_t before)
{
    sample now = { .committed = atomic_load(&shared->committed),
                   .handled = atomic_load(&shared->handled),
                   .at = bench_now() - start };
    now.relayed = (long)(bench_written(rk, TOPIC, partitions) - before);
    bench_sum sum = { .sql = "SELECT count(*) FROM bus_outbox", .columns = 1 };
    bench_sum_stores(handle, shards, &sum);
    now.rows = (long)sum.of[0];
    return now;
}

static void print_samples(const sample *all, size_t count)
{
    printf(",\"samples\":[");
    for (size_t i = 0; i < count; i++)
        printf("%s[%.3f,%ld,%ld,%ld,%ld]", i ? "," : "", all[i].at, all[i].committed, all[i].relayed, all[i].handled,
               all[i].rows);
    printf("]");
}

static int write_all(bus_config *config, int callers, double seconds)
{
    static sample samples[MOST_SAMPLES];
    static sale all[MOST_CALLERS];
    size_t n = 0;
    bus_error err = { 0 };
    bus *handle;
    rd_kafka_t *rk = bench_looker(config);
    int partitions = bench_partitions(rk, TOPIC), shards = (int)bui_config_int(config, "shards");
    int64_t before = bench_written(rk, TOPIC, partitions);
    if (callers > MOST_CALLERS)
        bench_die("write", "too many callers");
    bench_must(bus_open(&mill, config, &handle, &err), &err, "write");
    sale first = { .handle = handle, .step = 1 };
    for (int i = 0; i < 100; i++) /* every shard has sent something */
        sell_one(&first);
    double start = bench_now();
    while (!atomic_load(&shared->ready) && bench_now() - start < READY_S)
        bench_sleep(0.02);
    if (!atomic_load(&shared->ready))
        bench_die("write", "nobody reads");
    start = bench_now();
    for (int i = 0; i < callers; i++) {
        all[i] = (sale){ .handle = handle, .number = i, .step = callers };
        if (pthread_create(&all[i].thread, NULL, sell_on, &all[i]))
            bench_die("thread", "cannot start");
    }
    do {
        samples[n++] = look(handle, rk, partitions, shards, start, before);
        bench_sleep(0.1);
    } while (bench_now() - start < seconds && n + 2 < MOST_SAMPLES);
    size_t busy = n;
    atomic_store(&stop, true);
    for (int i = 0; i < callers; i++)
        pthread_join(all[i].thread, NULL);
    atomic_store(&shared->done, 1);
    double ended = bench_now() - start;
    do {
        samples[n] = look(handle, rk, partitions, shards, start, before);
        if (samples[n].at - ended > READY_S)
            bench_die("write", "not all that was committed has arrived after a minute");
        bench_sleep(0.01);
    } while (samples[n].relayed < samples[n].committed || samples[n].handled < samples[n].committed || samples[n].rows > 0);
    if (samples[n].relayed != samples[n].committed)
        bench_die("write", "more arrived than was committed");
    long most = 0;
    for (size_t i = 0; i < busy; i++)
        most = samples[i].rows > most ? samples[i].rows : most;
    const sample *from = &samples[busy / 4], *to = &samples[busy - 1]; /* the first quarter fills the pipes */
    double span = to->at - from->at;
    printf(
        "{\"what\":\"relay\",\"callers\":%d,\"shards\":%d,\"committed\":%ld,\"committed_per_second\":%.0f,\"relayed_per_second\":%.0f,"
        "\"handled_per_second\":%.0f,\"most_rows\":%ld,\"seconds_after\":%.3f",
        callers, shards, samples[n].committed, (double)(to->committed - from->committed) / span,
        (double)(to->relayed - from->relayed) / span, (double)(to->handled - from->handled) / span, most, samples[n].at - ended);
    print_samples(samples, n + 1);
    printf("}\n");
    bus_close(handle);
    rd_kafka_destroy(rk);
    return 0;
}

/* ---- an outbox as an outage leaves it */

static const char *deep_topic;
static bus_emits deep_emits[] = { { .type = &bench_type }, { 0 } };
static const bus_service deep = { .name = "deep", .emits = deep_emits, .migrations = migrations };
static bus_verdict nothing(bus_tx *tx, void *opaque)
{
    (void)tx;
    (void)opaque;
    return BUS_DONE;
}

/* Opened once by the service, so that its store is made and claimed. */
static void make_store(bus_config *config)
{
    bus *handle;
    bus_error err = { 0 };
    bench_must(bus_open(&deep, config, &handle, &err), &err, "deep");
    bench_must(bus_transact(handle, BUS_STR("deep"), nothing, NULL, &err), &err, "deep");
    bus_close(handle);
}

static void add_row(bui_store *store, int partitions, int64_t number, size_t bytes, bui_buf *value, bui_buf *packed,
                    bus_error *err)
{
    char key[24], id[40], hop_text[400];
    size_t key_len = bench_key_text(bench_key((long)number, partitions < 100 ? BENCH_KEYS : 10 * partitions), key);
    bench_Event event = bench_event_of(number, bytes);
    bui_destination *to = bui_destination_of(store, deep_topic, bui_partition_of(key, key_len, partitions), err);
    if (!to)
        bench_die("deep", err->text);
    bui_hop hop = { .source = { to->source, strlen(to->source) },
                    .topic = { deep_topic, strlen(deep_topic) },
                    .partition = to->partition,
                    .seq = to->next_seq };
    size_t hop_len = bui_hop_write(&hop, hop_text, sizeof hop_text);
    snprintf(id, sizeof id, "%08" PRIx64 "-8f2a-4c0e-9d2c-0a1b2c3d4e5f", number);
    bus_header headers[] = { { "ce_specversion", "1.0", 3 },
                             { "ce_id", id, 36 },
                             { "ce_source", "deep", 4 },
                             { "ce_type", "bench.Event", 11 },
                             { "content-type", "application/avro", 16 },
                             { "bus-hop", hop_text, hop_len } };
    bui_buf_clear(value);
    bui_buf_clear(packed);
    bui_headers_pack(headers, 6, packed);
    bench_must(bui_wire_encode(&bench_type, &event, value, err), err, "deep");
    bui_outbox_row row = { .destination = to,
                           .event_id = id,
                           .key = key,
                           .key_len = key_len,
                           .value = value->data,
                           .value_len = value->len,
                           .headers = packed->data,
                           .headers_len = packed->len };
    bench_must(bui_outbox_add(store, &row, err), err, "deep");
}

static void fill(const bus_config *config, int partitions, long rows, size_t bytes)
{
    char path[400];
    bus_error err = { 0 };
    bui_buf value, packed;
    bui_store *store;
    snprintf(path, sizeof path, "%s/deep/0.db", bui_config_text(config, "data.dir"));
    bui_store_options options = { .path = path, .service = "deep", .shard = 0, .shards = 1, .migrations = migrations };
    bui_buf_init(&value, 0);
    bui_buf_init(&packed, 0);
    bench_must(bui_store_open(&options, &store, &err), &err, "deep");
    bench_must(bui_store_raise(store, NULL, 0, &err), &err, "deep");
    for (long i = 0; i < rows;) {
        bench_must(bui_store_begin(store, &err), &err, "deep");
        for (long end = i + BENCH_BATCH; i < rows && i < end; i++)
            add_row(store, partitions, i, bytes, &value, &packed, &err);
        bench_must(bui_store_commit(store, &err), &err, "deep");
        bench_must(bui_store_checkpoint(store, 64 << 20, &err), &err, "deep");
    }
    bui_store_close(store);
    bui_buf_free(&value);
    bui_buf_free(&packed);
}

static int drain(bus_config *config, long rows, size_t bytes)
{
    bus_error err = { 0 };
    bus *handle;
    rd_kafka_t *rk = bench_looker(config);
    int partitions = bench_partitions(rk, deep_topic);
    make_store(config);
    fill(config, partitions, rows, bytes);
    int64_t before = bench_written(rk, deep_topic, partitions), now;
    double opened = bench_now(), first = 0, cpu = bench_cpu();
    bench_must(bus_open(&deep, config, &handle, &err), &err, "deep");
    bench_sum left = { .sql = "SELECT EXISTS (SELECT 1 FROM bus_outbox)", .columns = 1, .of[0] = 1 };
    /* To ask for the ends of many partitions costs more than what is measured. */
    while (partitions >= MANY && bench_written(rk, deep_topic, partitions) == before)
        bench_sleep(0.2);
    for (; partitions >= MANY && left.of[0] > 0 && bench_now() - opened < 600; bench_sleep(0.01))
        bench_sum_stores(handle, 1, &left);
    while ((now = bench_written(rk, deep_topic, partitions)) < before + rows) {
        if (now > before && first == 0.0)
            first = bench_now();
        if (bench_now() - opened > 600)
            bench_die("deep", "not relayed within ten minutes");
        bench_sleep(0.002);
    }
    double end = bench_now();
    if (first == 0.0)
        first = end;
    bench_sum sum = { .sql = "SELECT count(*) FROM bus_outbox", .columns = 1 };
    do {
        bench_sum_stores(handle, 1, &sum);
        bench_sleep(0.01);
    } while (sum.of[0] > 0 && bench_now() - end < 60);
    double emptied = bench_now();
    cpu = bench_cpu() - cpu;
    if (sum.of[0] || bench_written(rk, deep_topic, partitions) != before + rows)
        bench_die("deep", "rows are left, or arrived twice");
    double closing = bench_now();
    bus_close(handle);
    printf(
        "{\"what\":\"deep\",\"rows\":%ld,\"partitions\":%d,\"close_seconds\":%.3f,\"bytes\":%zu,\"open_seconds\":%.3f,\"seconds\":%.3f,\"empty_seconds\":%.3f,\"per_second\":%.0f,"
        "\"cpu_us_per_event\":%.2f}\n",
        rows, partitions, bench_now() - closing, bytes, first - opened, end - first, emptied - first,
        (double)rows / (end - first), cpu / (double)rows * 1e6);
    rd_kafka_destroy(rk);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 1)
        return 0;
    bus_config *config = bench_config(argc, argv);
    int result = 2;
    deep_emits[0].topic = deep_topic = bench_text_option(argc, argv, "--topic", "deep.events");
    if (strcmp(argv[1], "deep") == 0)
        result =
            drain(config, bench_option(argc, argv, "--rows", 10000), (size_t)bench_option(argc, argv, "--bytes", BENCH_BYTES));
    else
        shared = board_of(bench_text_option(argc, argv, "--file", "/tmp/bench-board"));
    if (strcmp(argv[1], "read") == 0)
        result = read_all(config);
    else if (strcmp(argv[1], "write") == 0)
        result =
            write_all(config, (int)bench_option(argc, argv, "--callers", 64), (double)bench_option(argc, argv, "--seconds", 5));
    bus_config_free(config);
    return result;
}
