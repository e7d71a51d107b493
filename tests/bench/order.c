/* SPDX-License-Identifier: MIT
 * The loop where events fail, or wait for slow work; the order of each key is checked in the store, not assumed:
 *
 *   order retry   --count N --keys K [--from F] [--failing P] name=value ...
 *                 P percent of the events fail each of their three attempts, 1 s apart, and become dead letters. At most one of
 *                 a key, since a key waits for its failing event: the second of its N/K. What follows it must run after it
 *   order prepare --count N --keys K [--from F] [--ms M] name=value ...   a prepare step that sleeps M ms before each event
 *   order sleeps  --count N --threads T [--ms M]                the pool alone, doing nothing but these sleeps: the ceiling
 *
 * They read failing.events and slow.events, as fed by `flow feed` with the same --keys, --count and --from, and write
 * retrying.events and preparing.events. */
#include "bench/parts.h"
#include "service/pool.h"
#include "shard/shard.h"
#include <inttypes.h>
#include <stdatomic.h>

#define FAILING "failing.events"
#define SLOW "slow.events"
#define PARTITIONS 4
#define ATTEMPTS 3
#define TABLE "CREATE TABLE last(key INTEGER PRIMARY KEY, number INTEGER NOT NULL, n INTEGER NOT NULL)"

static struct {
    long count, keys, from, failing, ms;
} work;

static _Atomic double first, last_failure;
static _Atomic long handled, disorder, prepared, overlapping, runs;
static double (*tried)[ATTEMPTS + 1]; /* when each failing event ran, by its place among them; one more than it may */
static _Atomic char *busy;            /* per key: in its prepare step */

/* The second event of every such key fails: its place among the failing ones, or -1. */
static long failing_place(long number)
{
    long at = number - work.from, key = bench_key(number, work.keys);
    if (at < work.keys || at >= 2 * work.keys || key * 100 >= work.count * work.failing)
        return -1;
    return key;
}

static void note_first(void)
{
    double none = 0;
    if (atomic_load_explicit(&first, memory_order_relaxed) == 0.0)
        atomic_compare_exchange_strong(&first, &none, bench_now());
}

/* The number of its key that must have been handled before; the one given up on never was. */
static long before(long number)
{
    long earlier = number - work.keys;
    return earlier >= work.from && failing_place(earlier) >= 0 ? earlier - work.keys : earlier;
}

static bus_verdict fail(bus_tx *tx, const bus_event *event, long place)
{
    if (event->attempt >= 1 && event->attempt <= ATTEMPTS + 1) {
        tried[place][event->attempt - 1] = bench_now();
        atomic_store(&last_failure, bench_now());
    }
    atomic_fetch_add(&runs, 1);
    return bus_retry(tx, "it is one of those that fail");
}

static bus_verdict on_event(bus_tx *tx, const bus_event *event, void *shard)
{
    const bench_Event *body = bus_event_body(event, &bench_type);
    long number = (long)body->number, place = failing_place(number);
    (void)shard;
    note_first();
    if (place >= 0)
        return fail(tx, event, place);
    sqlite3_stmt *look = bus_sql(tx, "SELECT number FROM last WHERE key = ?1");
    sqlite3_stmt *upsert = bus_sql(tx, "INSERT INTO last(key, number, n) VALUES (?1, ?2, 1)"
                                       " ON CONFLICT(key) DO UPDATE SET number = ?2, n = n + 1");
    if (!look || !upsert)
        return BUS_RETRY;
    long key = bench_key(number, work.keys);
    sqlite3_bind_int64(look, 1, key);
    long was = sqlite3_step(look) == SQLITE_ROW ? (long)sqlite3_column_int64(look, 0) : -1;
    if (was != (before(number) < 0 ? -1 : before(number)))
        atomic_fetch_add(&disorder, 1);
    sqlite3_bind_int64(upsert, 1, key);
    sqlite3_bind_int64(upsert, 2, number);
    if (sqlite3_step(upsert) != SQLITE_DONE)
        return bus_retry(tx, "upsert");
    bus_emit(tx, &bench_type, event->key, body);
    atomic_fetch_add_explicit(&handled, 1, memory_order_relaxed);
    return BUS_DONE;
}

static void sleep_ms(long ms)
{
    struct timespec t = { ms / 1000, ms % 1000 * 1000000 };
    nanosleep(&t, NULL);
}

static bus_verdict prepare(bus_prepare *step, const bus_event *event, void *shard)
{
    const bench_Event *body = bus_event_body(event, &bench_type);
    long key = bench_key((long)body->number, work.keys);
    (void)shard;
    note_first();
    if (atomic_exchange(&busy[key], 1))
        atomic_fetch_add(&overlapping, 1); /* two steps of one key at once */
    sleep_ms(work.ms);
    atomic_store(&busy[key], 0);
    atomic_fetch_add_explicit(&prepared, 1, memory_order_relaxed);
    return bus_prepare_keep(step, &body->number, sizeof body->number) != BUS_OK ? BUS_RETRY : BUS_DONE;
}

static bus_verdict on_prepared(bus_tx *tx, const bus_event *event, void *shard)
{
    size_t len;
    const bench_Event *body = bus_event_body(event, &bench_type);
    const void *result = bus_prepared_result(tx, &len);
    if (!result || len != sizeof body->number || memcmp(result, &body->number, len) != 0)
        return bus_reject(tx, "what was prepared is another event's");
    return on_event(tx, event, shard);
}

static const bus_migration migrations[] = { { "last", TABLE }, { 0 } };
static const bus_emits emits[] = { { .type = &bench_type }, { 0 } };
static const bus_route retry_routes[] = { { .topic = FAILING, .type = &bench_type, .handler = on_event, .attempts = ATTEMPTS },
                                          { 0 } };
static const bus_route prepare_routes[] = { { .topic = SLOW, .type = &bench_type, .handler = on_prepared, .prepare = prepare },
                                            { 0 } };
static const bus_service retrying = { .name = "retrying", .routes = retry_routes, .emits = emits, .migrations = migrations };
static const bus_service preparing = { .name = "preparing", .routes = prepare_routes, .emits = emits, .migrations = migrations };

/* ---- a run, until the last is acknowledged */

typedef struct ends {
    int64_t output, letters;
} ends;

static ends look(rd_kafka_t *rk, const char *service)
{
    char output[64], letters[64];
    snprintf(output, sizeof output, "%s.events", service);
    snprintf(letters, sizeof letters, "%s.dlq", service);
    return (ends){ bench_written(rk, output, PARTITIONS), bench_written(rk, letters, PARTITIONS) };
}

static void wait_for(rd_kafka_t *rk, const char *service, ends goal)
{
    double since = bench_now();
    for (int64_t seen = -1;; bench_sleep(0.005)) {
        ends now = look(rk, service);
        if (now.output >= goal.output && now.letters >= goal.letters)
            return;
        if (now.output + now.letters != seen) {
            seen = now.output + now.letters;
            since = bench_now();
        }
        if (bench_now() - since > 60)
            bench_die("order", "nothing moved for 60 s");
    }
}

static int64_t wanted_failing(void)
{
    int64_t n = 0;
    for (long i = work.from; i < work.from + work.count; i++)
        n += failing_place(i) >= 0;
    return n;
}

/* What the stores say of all runs: an effect for each event of the topic that did not end as a dead letter, and nothing waits. */
static void check_stores(bus *handle, int shards, int64_t effects)
{
    bench_sum sum = { .sql =
                          "SELECT (SELECT total(n) FROM last), (SELECT count(*) FROM bus_parked), (SELECT count(*) FROM bus_key)",
                      .columns = 3 };
    bench_sum_stores(handle, shards, &sum);
    if (sum.of[0] == effects && !sum.of[1] && !sum.of[2] && !atomic_load(&disorder) && !atomic_load(&overlapping))
        return;
    char text[200];
    snprintf(text, sizeof text,
             "%lld effects, not %lld; %lld events parked, %lld keys wait; %ld out of order, %ld steps of one key at once",
             (long long)sum.of[0], (long long)effects, (long long)sum.of[1], (long long)sum.of[2], atomic_load(&disorder),
             atomic_load(&overlapping));
    bench_die("order", text);
}

/* Each failing event ran three times, a second apart, and not once more. Prints the longest way from a due time to the run. */
static void check_attempts(int64_t failing)
{
    double late = 0;
    for (long place = 0; failing && place < work.keys; place++) {
        const double *at = tried[place];
        if (at[0] == 0.0)
            continue;
        failing--;
        if (at[ATTEMPTS] != 0.0)
            bench_die("order", "an event ran more often than it may");
        for (int i = 1; i < ATTEMPTS; i++) {
            if (at[i] - at[i - 1] < 0.5) /* the second runs from when the batch began */
                bench_die("order", "an attempt came before it was due, or not at all");
            late = at[i] - at[i - 1] - 1 > late ? at[i] - at[i - 1] - 1 : late;
        }
    }
    if (failing)
        bench_die("order", "not every failing event was tried");
    printf(",\"latest_ms\":%.0f", late * 1e3);
}

static int run(bus_config *config, const bus_service *service)
{
    const char *input = service->routes[0].topic;
    bus_error err = { 0 };
    bus *handle;
    rd_kafka_t *rk = bench_looker(config);
    int64_t failing = wanted_failing();
    if (work.count % work.keys || work.from % work.keys || !(tried = calloc((size_t)work.keys, sizeof *tried)) ||
        !(busy = calloc((size_t)work.keys, sizeof *busy)))
        bench_die("order", "--count and --from must be multiples of --keys");
    ends start = look(rk, service->name);
    double cpu = bench_cpu();
    bench_must(bus_open(service, config, &handle, &err), &err, "order");
    wait_for(rk, service->name, (ends){ start.output + work.count - failing, start.letters + failing });
    double seconds = bench_now() - atomic_load(&first);
    cpu = bench_cpu() - cpu;
    ends end = look(rk, service->name);
    if (end.output - start.output != work.count - failing || end.letters - start.letters != failing)
        bench_die("order", "more left than came in");
    bench_sleep(0.3); /* the last acknowledged rows and used-up keys are deleted */
    check_stores(handle, (int)bui_config_int(config, "shards"), bench_written(rk, input, PARTITIONS) - end.letters);
    printf("{\"what\":\"order_%s\",\"events\":%ld,\"keys\":%ld,\"failing\":%" PRId64
           ",\"runs_that_failed\":%ld,\"seconds\":%.3f,\"per_second\":%.0f,"
           "\"cpu_us_per_event\":%.2f",
           service == &preparing ? "prepare" : "retry", work.count, work.keys, failing, atomic_load(&runs), seconds,
           (double)work.count / seconds, cpu / (double)work.count * 1e6);
    if (service == &preparing)
        printf(",\"prepared\":%ld", atomic_load(&prepared));
    if (failing)
        check_attempts(failing);
    printf("}\n");
    bus_close(handle);
    rd_kafka_destroy(rk);
    free(tried);
    free((void *)busy);
    return 0;
}

/* ---- the pool alone */

static _Atomic long slept;
static void job_sleep(bui_job *job)
{
    (void)job;
    sleep_ms(work.ms);
}
static void job_done(bui_job *job)
{
    (void)job;
    atomic_fetch_add_explicit(&slept, 1, memory_order_relaxed);
}

static int sleeps(int threads)
{
    bui_pool *pool;
    bus_error err = { 0 };
    bui_job *jobs = calloc((size_t)work.count, sizeof *jobs);
    if (!jobs)
        bench_die("sleeps", "no memory");
    bench_must(bui_threads_open(threads, &pool, &err), &err, "sleeps");
    double start = bench_now();
    for (long i = 0; i < work.count; i++) {
        jobs[i] = (bui_job){ .run = job_sleep, .done = job_done };
        pool->submit(pool, &jobs[i]);
    }
    while (atomic_load(&slept) < work.count)
        bench_sleep(0.001);
    double seconds = bench_now() - start;
    bui_threads_close(pool);
    free(jobs);
    printf("{\"what\":\"sleeps\",\"threads\":%d,\"ms\":%ld,\"per_second\":%.0f}\n", threads, work.ms,
           (double)work.count / seconds);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 1)
        return 0;
    bus_config *config = bench_config(argc, argv);
    int result = 2;
    work.count = bench_option(argc, argv, "--count", 50000);
    work.keys = bench_option(argc, argv, "--keys", 1000);
    work.from = bench_option(argc, argv, "--from", 0);
    work.failing = bench_option(argc, argv, "--failing", 0);
    work.ms = bench_option(argc, argv, "--ms", 2);
    if (strcmp(argv[1], "retry") == 0)
        result = run(config, &retrying);
    else if (strcmp(argv[1], "prepare") == 0)
        result = run(config, &preparing);
    else if (strcmp(argv[1], "sleeps") == 0)
        result = sleeps((int)bench_option(argc, argv, "--threads", 64));
    bus_config_free(config);
    return result;
}
