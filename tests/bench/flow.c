/* SPDX-License-Identifier: MIT
 * The bus at work, measured over its public API:
 *
 *   flow topics  --make "NAME:PARTITIONS ..." name=value ...   what the others need; one partition is compacted if it is bus.*
 *   flow feed    --topic T --count N [--from F] [--keys K] [--bytes B] name=value ...
 *                                            publishes N events as a service does (envelope=full: with six headers), for a service to read
 *   flow publish --topic T --count N [--bytes B] name=value ...   bus_publish, until the last is acknowledged
 *   flow shard   --service S --input T --output T --count N name=value ...
 *                                            consume, drop duplicates, upsert, emit, relay; until the last is acknowledged
 *                                            (--state typed: typed state in place of the upsert; none: neither)
 *   flow idle    --service S --input T --output T --seconds S [--count N] name=value ...
 *                                            the same service with nothing to do, after its first N events; what the process has and takes
 *   flow serve   --service S --input T --output T name=value ...   the same service, until its input ends */
#include "bench.events.h"
#include "bench/parts.h"
#include "base/config.h"
#include "codec/compact.h"
#include "codec/wire.h"
#include "kafka/admin.h"
#include "service/publisher.h"
#include <dirent.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <sys/socket.h>

#define MOST_TOPICS 200
#define MOST_PARTITIONS 1024
#define SAMPLES 100000

/* ---- topics */

static int topics(bus_config *config, const char *list)
{
    bui_kafka_topic_spec specs[MOST_TOPICS] = { { 0 } };
    char *names = strdup(list), *rest = names, *name;
    size_t count = 0;
    bui_kafka_admin *admin;
    bus_error err = { 0 };
    while (names && (name = strsep(&rest, " "))) {
        char *colon = strchr(name, ':');
        if (!colon || count == MOST_TOPICS)
            bench_die(name, "not NAME:PARTITIONS, or too many");
        *colon = '\0';
        specs[count].name = name;
        specs[count].partitions = (int32_t)strtol(colon + 1, NULL, 10);
        specs[count++].cleanup = strncmp(name, "bus.", 4) == 0 ? "compact" : NULL;
    }
    bench_must(bui_kafka_admin_open(config, "bench", &admin, &err), &err, "topics");
    bench_must(bui_kafka_admin_create(admin, specs, count, false, 60000, &err), &err, "topics");
    bui_kafka_admin_close(admin);
    free(names);
    return 0;
}

/* ---- publishing */

typedef struct feeding {
    const char *topic;
    long count, from, keys;
    size_t bytes;
} feeding;

static int feed(bus_config *config, const feeding *f)
{
    static int64_t seq[MOST_PARTITIONS];
    bus_error err = { 0 };
    bus *handle;
    bus_status status;
    rd_kafka_t *rk = bench_looker(config);
    int partitions = bench_partitions(rk, f->topic);
    bool compact = strcmp(bui_config_text(config, "envelope"), "compact") == 0;
    rd_kafka_destroy(rk);
    if (partitions > MOST_PARTITIONS)
        bench_die(f->topic, "too many partitions");
    char source[32] = "feeder/0#";
    bui_token_random(source + strlen(source)); /* its numbers begin at 1: another run's would be duplicates */
    bench_must(bus_open(NULL, config, &handle, &err), &err, "feed");
    bui_publisher *publisher;
    bench_must(bui_publisher_of(handle, &publisher, &err), &err, "feed");
    double start = bench_now();
    for (long i = f->from; i < f->from + f->count; i++) {
        bench_Event event = bench_event_of(i, f->bytes);
        bui_buf value;
        char key[24], id[40], hop_text[400];
        size_t key_len = bench_key_text(bench_key(i, f->keys), key);
        int32_t partition = bui_partition_of(key, key_len, partitions);
        bui_hop hop = { .source = { source, strlen(source) },
                        .topic = { f->topic, strlen(f->topic) },
                        .partition = partition,
                        .seq = ++seq[partition] };
        snprintf(id, sizeof id, "%08lx-8f2a-4c0e-9d2c-0a1b2c3d4e5f", i);
        bus_header headers[6] = { { "ce_specversion", "1.0", 3 },
                                  { "ce_id", id, 36 },
                                  { "ce_source", "feeder", 6 },
                                  { "ce_type", "bench.Event", 11 },
                                  { "content-type", "application/avro", 16 } };
        size_t count = compact ? bui_compact_pack(headers, 5, &hop, headers) : 5;
        headers[count++] = (bus_header){ "bus-hop", hop_text, bui_hop_write(&hop, hop_text, sizeof hop_text) };
        bui_buf_init(&value, 0);
        bench_must(bui_wire_encode(&bench_type, &event, &value, &err), &err, "feed");
        /* As a service's relay: bus_publish lets nobody write a bus-hop. */
        bui_row row = { .topic = f->topic,
                        .key = key,
                        .key_len = key_len,
                        .value = value.data,
                        .value_len = value.len,
                        .headers = headers,
                        .header_count = count,
                        .partition = partition };
        BENCH_WHEN_FULL(bui_publisher_publish(publisher, &row, NULL, NULL, &err));
        bench_must(status, &err, "feed");
        bui_buf_free(&value);
    }
    bench_must(bus_flush(handle, -1, &err), &err, "feed");
    printf("{\"what\":\"feed\",\"topic\":\"%s\",\"records\":%ld,\"per_second\":%.0f}\n", f->topic, f->count,
           (double)f->count / (bench_now() - start));
    bus_close(handle);
    return 0;
}

static int publish(bus_config *config, const feeding *f)
{
    bus_error err = { 0 };
    bus *handle;
    bus_status status;
    bench_must(bus_open(NULL, config, &handle, &err), &err, "publish");
    double start = 0, cpu = 0;
    for (long i = -1; i < f->count; i++) {
        bench_Event event = bench_event_of(i, f->bytes);
        char key[24];
        size_t key_len = bench_key_text(bench_key(i < 0 ? 0 : i, f->keys), key);
        BENCH_WHEN_FULL(bus_publish(
            handle,
            &(bus_publication){ .topic = f->topic, .type = &bench_type, .key = bus_string_of(key, key_len), .body = &event },
            NULL, NULL, &err));
        bench_must(status, &err, "publish");
        if (i < 0) { /* the producer id is fetched before the clock starts */
            bench_must(bus_flush(handle, -1, &err), &err, "publish");
            start = bench_now();
            cpu = bench_cpu();
        }
    }
    bench_must(bus_flush(handle, -1, &err), &err, "publish");
    printf("{\"what\":\"bus_publish\",\"records\":%ld,\"bytes\":%zu,\"per_second\":%.0f,\"cpu_us_per_event\":%.2f}\n", f->count,
           f->bytes, (double)f->count / (bench_now() - start), (bench_cpu() - cpu) / (double)f->count * 1e6);
    bus_close(handle);
    return 0;
}

/* ---- the shard loop */

static _Atomic double first, first_cpu; /* when the first event was handled */
static _Atomic long handled;

/* What is kept of each key: how many events it has had. */
typedef bus_status keeper(bus_tx *tx, int64_t key);

static bus_status keep_by_sql(bus_tx *tx, int64_t key)
{
    sqlite3_stmt *upsert = bus_sql(tx, BENCH_UPSERT);
    if (!upsert)
        return BUS_STORE;
    sqlite3_bind_int64(upsert, 1, key);
    return sqlite3_step(upsert) == SQLITE_DONE ? BUS_OK : BUS_STORE;
}

static bus_status keep_typed(bus_tx *tx, int64_t key)
{
    bench_Stock row = { .id = key };
    bench_Stock_load(tx, &row);
    row.n++;
    return bench_Stock_save(tx, &row);
}

static bus_status keep_nothing(bus_tx *tx, int64_t key)
{
    (void)tx;
    (void)key;
    return BUS_OK;
}

static keeper *keep = keep_by_sql;

static bus_verdict on_event(bus_tx *tx, const bus_event *event, void *shard)
{
    const bench_Event *body = bus_event_body(event, &bench_type);
    (void)shard;
    if (atomic_fetch_add_explicit(&handled, 1, memory_order_relaxed) == 0)
        atomic_store(&first_cpu, bench_cpu()), atomic_store(&first, bench_now());
    if (keep(tx, bench_key((long)body->number, BENCH_KEYS)) != BUS_OK)
        return bus_retry(tx, "the row of its key");
    bus_emit(tx, &bench_type, event->key, body);
    return BUS_DONE;
}

static const bus_migration migrations[] = { { "stock", BENCH_STOCK }, { 0 } };
static bus_route routes[] = { { .type = &bench_type, .handler = on_event }, { 0 } };
static bus_emits emits[] = { { .type = &bench_type }, { 0 } };
static const bus_state *const states[] = { &bench_Stock_state, NULL };
static bus_service service = { .routes = routes, .emits = emits, .migrations = migrations };

static double rss_mb(void)
{
    long total, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%ld %ld", &total, &resident) != 2)
        bench_die("/proc/self/statm", "unreadable");
    fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1048576;
}

/* Effects that are missing or doubled would make the rate meaningless. */
static void check_stores(bus *handle, int shards, int64_t count)
{
    bench_sum sum = { .sql = "SELECT (SELECT total(n) FROM stock), (SELECT count(*) FROM bus_outbox)", .columns = 2 };
    double until = bench_now() + 10;
    do
        bench_sum_stores(handle, shards, &sum);
    while (sum.of[1] > 0 && bench_now() < until);
    if (sum.of[0] != (keep == keep_nothing ? 0 : count) || sum.of[1] != 0) {
        char text[100];
        snprintf(text, sizeof text, "%lld effects of %lld events, %lld rows left in the outbox", (long long)sum.of[0],
                 (long long)count, (long long)sum.of[1]);
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
    rd_kafka_t *rk = bench_looker(config);
    const char *input = routes[0].topic, *output = emits[0].topic;
    int in = bench_partitions(rk, input), out = bench_partitions(rk, output), shards = (int)bui_config_int(config, "shards");
    int64_t before = bench_written(rk, output, out), now, most_waiting = 0;
    double cpu = bench_cpu(), begun = bench_now();
    bench_must(bus_open(&service, config, &handle, &err), &err, "shard");
    double last = bench_now();
    while ((now = bench_written(rk, output, out)) < before + count) {
        if (samples < SAMPLES && (samples == 0 || at[samples - 1] != atomic_load(&handled))) {
            at[samples] = atomic_load(&handled);
            rss[samples++] = rss_mb();
            last = bench_now();
        }
        most_waiting = handled - (now - before) > most_waiting ? handled - (now - before) : most_waiting;
        if (bench_now() - last > 60)
            bench_die("shard", "nothing moved for 60 s");
        bench_sleep(0.02);
    }
    double seconds = bench_now() - atomic_load(&first);
    double cpu_after_start = bench_cpu() - atomic_load(&first_cpu);
    cpu = bench_cpu() - cpu;
    check_stores(handle, shards, bench_written(rk, input, in));
    bus_close(handle);
    rd_kafka_destroy(rk);
    double early = 0, late = 0;
    for (size_t i = 0; i < samples; i++) { /* caches and queues fill in the first two fifths */
        double *peak = at[i] < count * 2 / 5 ? &early : &late;
        *peak = rss[i] > *peak ? rss[i] : *peak;
    }
    printf("{\"what\":\"shard\",\"shards\":%d,\"events\":%ld,\"seconds\":%.3f,\"per_second\":%.0f,\"cpu_us_per_event\":%.2f,"
           "\"loop_cpu_us_per_event\":%.2f,\"rss_early_mb\":%.1f,"
           "\"rss_late_mb\":%.1f,\"most_waiting\":%" PRId64 ",\"start_ms\":%.0f}\n",
           shards, count, seconds, (double)count / seconds, cpu / (double)count * 1e6, cpu_after_start / (double)count * 1e6,
           early, late, most_waiting, (atomic_load(&first) - begun) * 1e3);
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

/* What is in a directory of /proc: threads or descriptors. */
static int listed(const char *path)
{
    DIR *directory = opendir(path);
    int count = 0;
    if (!directory)
        bench_die(path, "unreadable");
    for (struct dirent *entry; (entry = readdir(directory));)
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

static int connections(void)
{
    char path[300], target[20];
    DIR *directory = opendir("/proc/self/fd");
    int count = 0;
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        struct sockaddr_storage peer;
        socklen_t size = sizeof peer;
        int fd = (int)strtol(entry->d_name, NULL, 10);
        snprintf(path, sizeof path, "/proc/self/fd/%s", entry->d_name);
        if (entry->d_name[0] != '.' && readlink(path, target, sizeof target) > 7 && memcmp(target, "socket:", 7) == 0)
            count += getpeername(fd, (struct sockaddr *)&peer, &size) == 0;
    }
    if (directory)
        closedir(directory);
    return count;
}

/* Of all threads: how often one has gone to sleep. */
static int64_t sleeps(void)
{
    DIR *directory = opendir("/proc/self/task");
    int64_t sum = 0;
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        char path[300], line[200];
        int64_t each = 0;
        snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
        FILE *file = entry->d_name[0] == '.' ? NULL : fopen(path, "r");
        while (file && fgets(line, sizeof line, file))
            sscanf(line, "voluntary_ctxt_switches: %" SCNd64, &each);
        if (file)
            fclose(file);
        sum += each;
    }
    if (directory)
        closedir(directory);
    return sum;
}

static int idle(bus_config *config, long seconds, long count)
{
    bus_error err = { 0 };
    bus *handle;
    int64_t io[2][2];
    bench_must(bus_open(&service, config, &handle, &err), &err, "idle");
    double last = bench_now();
    for (long before = 0; before < count; before = atomic_load(&handled)) {
        last = atomic_load(&handled) == before ? last : bench_now();
        if (bench_now() - last > 120)
            bench_die("idle", "nothing moved for 120 s");
        bench_sleep(0.1);
    }
    bench_sleep(8); /* joined, claimed, committed, deleted */
    io_counts(io[0]);
    double cpu = bench_cpu(), start = bench_now();
    int64_t wakes = sleeps();
    bench_sleep((double)seconds);
    double took = bench_now() - start;
    cpu = bench_cpu() - cpu;
    wakes = sleeps() - wakes;
    io_counts(io[1]);
    printf("{\"what\":\"idle\",\"shards\":%d,\"seconds\":%.1f,\"cpu_percent\":%.3f,\"writes\":%" PRId64
           ",\"written_bytes\":%" PRId64 ",\"threads\":%d,\"connections\":%d,\"descriptors\":%d,\"rss_mb\":%.1f,"
           "\"wakes_per_second\":%.1f}\n",
           (int)bui_config_int(config, "shards"), took, cpu / took * 100, io[1][0] - io[0][0], io[1][1] - io[0][1],
           listed("/proc/self/task"), connections(), listed("/proc/self/fd"), rss_mb(), (double)wakes / took);
    bus_close(handle);
    return 0;
}

static int serve(bus_config *config)
{
    bus_error err = { 0 };
    bus *handle;
    bench_must(bus_open(&service, config, &handle, &err), &err, "serve");
    while (getchar() != EOF)
        ;
    bus_close(handle);
    return 0;
}

static void take_state(const char *kind)
{
    if (strcmp(kind, "typed") == 0) {
        service.states = states;
        service.migrations = NULL;
        keep = keep_typed;
    } else if (strcmp(kind, "none") == 0) {
        keep = keep_nothing;
    } else if (strcmp(kind, "sql") != 0) {
        bench_die(kind, "--state is sql, typed or none");
    }
}

int main(int argc, char **argv)
{
    if (argc == 1)
        return 0;
    bus_config *config = bench_config(argc, argv);
    feeding f = { .topic = bench_text_option(argc, argv, "--topic", "bus.publish"),
                  .count = bench_option(argc, argv, "--count", 100000),
                  .from = bench_option(argc, argv, "--from", 0),
                  .keys = bench_option(argc, argv, "--keys", BENCH_KEYS),
                  .bytes = (size_t)bench_option(argc, argv, "--bytes", BENCH_BYTES) };
    int result = 2;
    service.name = bench_text_option(argc, argv, "--service", "bench");
    routes[0].topic = bench_text_option(argc, argv, "--input", "feeder.events");
    emits[0].topic = bench_text_option(argc, argv, "--output", "bench.events");
    take_state(bench_text_option(argc, argv, "--state", "sql"));
    if (strcmp(argv[1], "topics") == 0)
        result = topics(config, bench_text_option(argc, argv, "--make", ""));
    else if (strcmp(argv[1], "feed") == 0)
        result = feed(config, &f);
    else if (strcmp(argv[1], "publish") == 0)
        result = publish(config, &f);
    else if (strcmp(argv[1], "shard") == 0)
        result = shard(config, f.count);
    else if (strcmp(argv[1], "idle") == 0)
        result = idle(config, bench_option(argc, argv, "--seconds", 10), bench_option(argc, argv, "--count", 0));
    else if (strcmp(argv[1], "serve") == 0)
        result = serve(config);
    bus_config_free(config);
    return result;
}
