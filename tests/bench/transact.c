/* SPDX-License-Identifier: MIT
 * Transactions from outside, and how soon another process sees what they emit:
 *
 *   transact callers --callers C --seconds S [--sync-us U] [--quiet 1] name=value ... C threads, each an upsert and an event at a
 *                                                             time; quiet: a row of the user's instead of the event
 *   transact handover --callers C --seconds S                 the ceiling of C callers: the same threads hand over to one that does
 *                                                             nothing and answers; no store, no broker
 *   transact read    --count N --file F name=value ...        handles what `write` emits; notes when. Begin it first
 *   transact write   --count N --rate R --file F name=value ... R transactions a second; prints how long each took, and how
 *                                                             long from its commit until it had been handled elsewhere
 *   transact beside  --count N --rate R --turns T name=value ... the same writes with an event and, in turns, without: what the
 *                                                             relay beside it costs a writer
 */
#include "bench/parts.h"
#include "bench/slow_sync.h"
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/mman.h>

#define TOPIC "till.events"
#define MOST 1000000

/* ---- the writing service */

typedef struct sale {
    int64_t number;
    double done;
    bool quiet;
} sale;

/* As many bytes in a table of the user's, which nobody sends. */
static bus_verdict keep(bus_tx *tx, const sale *mine, const char *key)
{
    bench_Event event = bench_event(mine->number);
    sqlite3_stmt *add = bus_sql(tx, "INSERT INTO kept(key, headers, value) VALUES (?1, zeroblob(206), ?2)");
    if (!add)
        return BUS_RETRY;
    sqlite3_bind_text(add, 1, key, -1, SQLITE_TRANSIENT);
    sqlite3_bind_blob(add, 2, event.text.at, (int)event.text.len, SQLITE_TRANSIENT);
    return sqlite3_step(add) == SQLITE_DONE ? BUS_DONE : bus_retry(tx, "keep");
}

static bus_verdict sell(bus_tx *tx, void *opaque)
{
    sale *mine = opaque;
    char key[24];
    bench_Event event = bench_event(mine->number);
    sqlite3_stmt *upsert = bus_sql(tx, BENCH_UPSERT);
    if (!upsert)
        return BUS_RETRY;
    sqlite3_bind_int64(upsert, 1, mine->number * 7919 % BENCH_KEYS);
    if (sqlite3_step(upsert) != SQLITE_DONE)
        return bus_retry(tx, "upsert");
    snprintf(key, sizeof key, "key-%d", (int)(mine->number * 7919 % BENCH_KEYS));
    if (mine->quiet)
        return keep(tx, mine, key);
    bus_emit(tx, &bench_type, bus_str(key), &event);
    mine->done = bench_now(); /* all that follows is the commit */
    return BUS_DONE;
}

static const bus_migration migrations[] = {
    { "stock", BENCH_STOCK },
    { "kept", "CREATE TABLE kept(id INTEGER PRIMARY KEY NOT NULL, key TEXT, headers BLOB, value BLOB)" },
    { 0 },
};
static const bus_emits emits[] = { { &bench_type, TOPIC }, { 0 } };
static const bus_service till = { .name = "till", .emits = emits, .migrations = migrations };

/* ---- callers */

typedef struct caller {
    bus *handle;
    pthread_t thread;
    double until;
    double *took;
    size_t count, most;
    int index;
    bool quiet;
} caller;

static void *call(void *opaque)
{
    caller *c = opaque;
    while (c->count < c->most) {
        bus_error err = { 0 };
        double before = bench_now();
        if (before >= c->until)
            break;
        sale mine = { .number = (int64_t)c->count * 64 + c->index, .quiet = c->quiet };
        bus_status status = bus_transact(c->handle, BUS_STR("till"), sell, &mine, &err);
        if (status == BUS_FULL) {
            bench_sleep(0.001);
            continue;
        }
        bench_must(status, &err, "bus_transact");
        c->took[c->count++] = bench_now() - before;
    }
    return NULL;
}

static int callers(bus_config *config, long count, double seconds, bool quiet)
{
    caller *all = calloc((size_t)count, sizeof *all);
    double *took = calloc(MOST, sizeof *took);
    bus_error err = { 0 };
    bus *handle;
    size_t n = 0;
    sale warm = { 0 };
    if (!all || !took)
        bench_die("callers", "no memory");
    bench_must(bus_open(&till, config, &handle, &err), &err, "callers");
    bench_must(bus_transact(handle, BUS_STR("till"), sell, &warm, &err), &err, "callers");
    bench_sleep(0.5);
    double start = bench_now(), cpu = bench_cpu();
    for (long i = 0; i < count; i++) {
        all[i] = (caller){ .handle = handle,
                           .until = start + seconds,
                           .took = took + MOST / count * i,
                           .most = (size_t)(MOST / count),
                           .index = (int)i,
                           .quiet = quiet };
        if (pthread_create(&all[i].thread, NULL, call, &all[i]))
            bench_die("thread", "cannot start");
    }
    for (long i = 0; i < count; i++) {
        pthread_join(all[i].thread, NULL);
        memmove(took + n, all[i].took, all[i].count * sizeof *took);
        n += all[i].count;
    }
    double ran = bench_now() - start;
    cpu = bench_cpu() - cpu;
    printf("{\"what\":\"transact\",\"callers\":%ld,\"per_second\":%.0f,\"cpu_us_per_call\":%.1f", count, (double)n / ran,
           cpu / (double)n * 1e6);
    bench_print_times("caller", took, n);
    printf("}\n");
    bus_close(handle);
    free(took);
    free(all);
    return 0;
}

/* ---- handing over: what changing threads costs, without anything to do */

typedef struct asked {
    struct asked *next;
    sem_t answered;
} asked;
static struct {
    pthread_mutex_t lock;
    asked *first, **last;
    sem_t some;
    atomic_bool over;
} desk = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void *serve(void *opaque)
{
    (void)opaque;
    while (!atomic_load(&desk.over)) {
        sem_wait(&desk.some);
        pthread_mutex_lock(&desk.lock);
        asked *each = desk.first;
        desk.first = NULL;
        desk.last = &desk.first;
        pthread_mutex_unlock(&desk.lock);
        while (each) {
            asked *next = each->next;
            sem_post(&each->answered);
            each = next;
        }
    }
    return NULL;
}

static void *ask(void *opaque)
{
    caller *c = opaque;
    for (; bench_now() < c->until; c->count++) {
        asked mine = { .next = NULL };
        sem_init(&mine.answered, 0, 0);
        pthread_mutex_lock(&desk.lock);
        bool first = !desk.first;
        *desk.last = &mine;
        desk.last = &mine.next;
        pthread_mutex_unlock(&desk.lock);
        if (first)
            sem_post(&desk.some);
        sem_wait(&mine.answered);
        sem_destroy(&mine.answered);
    }
    return NULL;
}

static int handover(long count, double seconds)
{
    caller *all = calloc((size_t)count, sizeof *all);
    pthread_t server;
    size_t n = 0;
    if (!all)
        bench_die("handover", "no memory");
    desk.last = &desk.first;
    sem_init(&desk.some, 0, 0);
    double start = bench_now(), cpu = bench_cpu();
    if (pthread_create(&server, NULL, serve, NULL))
        bench_die("thread", "cannot start");
    for (long i = 0; i < count; i++) {
        all[i].until = start + seconds;
        if (pthread_create(&all[i].thread, NULL, ask, &all[i]))
            bench_die("thread", "cannot start");
    }
    for (long i = 0; i < count; i++) {
        pthread_join(all[i].thread, NULL);
        n += all[i].count;
    }
    double ran = bench_now() - start;
    atomic_store(&desk.over, true);
    sem_post(&desk.some);
    pthread_join(server, NULL);
    printf("{\"what\":\"handover\",\"callers\":%ld,\"per_second\":%.0f,\"cpu_us_per_call\":%.2f}\n", count, (double)n / ran,
           (bench_cpu() - cpu) / (double)n * 1e6);
    free(all);
    return 0;
}

/* ---- latency: what the two processes share is a file of times on the machine's monotonic clock */

typedef struct times {
    double begun, committing, returned;
    _Atomic double handled;
} times;

static times *map_times(const char *path, long count)
{
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    size_t size = (size_t)count * sizeof(times);
    if (fd < 0 || ftruncate(fd, (off_t)size))
        bench_die(path, "cannot be written");
    times *all = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (all == MAP_FAILED)
        bench_die(path, "cannot be mapped");
    memset(all, 0, size); /* no page fault later */
    return all;
}

static times *noted;
static long noted_count;
static _Atomic long noted_seen;

static bus_verdict on_sale(bus_tx *tx, const bus_event *event, void *shard)
{
    const bench_Event *body = bus_event_body(event, &bench_type);
    sqlite3_stmt *upsert = bus_sql(tx, BENCH_UPSERT);
    (void)shard;
    if (!upsert)
        return BUS_RETRY;
    sqlite3_bind_int64(upsert, 1, body->number % BENCH_KEYS);
    if (sqlite3_step(upsert) != SQLITE_DONE)
        return bus_retry(tx, "upsert");
    if (body->number == -1)
        atomic_store(&noted[noted_count].handled, bench_now());
    if (body->number >= 0 && body->number < noted_count) {
        atomic_store(&noted[body->number].handled, bench_now());
        atomic_fetch_add(&noted_seen, 1);
    }
    return BUS_DONE;
}

static const bus_route routes[] = { { .topic = TOPIC, .type = &bench_type, .handler = on_sale, .start = BUS_FROM_END }, { 0 } };
static const bus_service book = { .name = "book", .routes = routes, .migrations = migrations };

static int read_times(bus_config *config, const char *path, long count)
{
    bus_error err = { 0 };
    bus *handle;
    noted = map_times(path, count + 1);
    noted_count = count;
    bench_must(bus_open(&book, config, &handle, &err), &err, "read");
    double until = bench_now() + 120;
    while (atomic_load(&noted_seen) < count && bench_now() < until)
        bench_sleep(0.05);
    bus_close(handle);
    return atomic_load(&noted_seen) >= count ? 0 : 1;
}

/* Of the last nine tenths: the first find connections and caches being made. */
static void print_lag(const char *name, const times *all, long count, int which)
{
    double *lag = calloc((size_t)count, sizeof *lag);
    size_t n = 0;
    if (!lag)
        bench_die("write", "no memory");
    for (long i = count / 10; i < count; i++) {
        double handled = atomic_load(&all[i].handled);
        lag[n++] = which == 0   ? all[i].returned - all[i].begun
                   : which == 1 ? handled - all[i].committing
                                : handled - all[i].returned;
    }
    bench_print_times(name, lag, n);
    free(lag);
}

static int write_times(bus_config *config, const char *path, long count, long rate)
{
    times *all = map_times(path, count + 1);
    bus_error err = { 0 };
    bus *handle;
    sale warm = { .number = -1 };
    bench_must(bus_open(&till, config, &handle, &err), &err, "write");
    /* The reader begins at the end of the topic: until it has read something. */
    double ready = bench_now() + 60;
    while (atomic_load(&all[count].handled) == 0.0 && bench_now() < ready) {
        bench_must(bus_transact(handle, BUS_STR("till"), sell, &warm, &err), &err, "write");
        bench_sleep(0.05);
    }
    bench_sleep(2); /* and until nothing else is begun */
    double start = bench_now();
    for (long i = 0; i < count; i++) {
        double wait = start + (double)i / (double)rate - bench_now();
        sale mine = { .number = i };
        if (wait > 0)
            bench_sleep(wait);
        all[i].begun = bench_now();
        bench_must(bus_transact(handle, BUS_STR("till"), sell, &mine, &err), &err, "write");
        all[i].returned = bench_now();
        all[i].committing = mine.done;
    }
    double until = bench_now() + 20;
    long missing = count;
    while (missing > 0 && bench_now() < until) {
        missing = 0;
        for (long i = 0; i < count; i++)
            missing += atomic_load(&all[i].handled) == 0.0;
        bench_sleep(0.05);
    }
    if (missing > 0)
        bench_die("write", "not every event was handled by the other process within 20 s");
    printf("{\"what\":\"latency\",\"rate\":%ld,\"count\":%ld", rate, count);
    print_lag("writer", all, count, 0);
    print_lag("from_commit_begin", all, count, 1);
    print_lag("from_commit", all, count, 2);
    printf("}\n");
    bus_close(handle);
    return 0;
}

/* ---- the writer with a relay at work beside it, and without */

static int write_beside(bus_config *config, long count, long rate, long turns)
{
    double *took[2] = { calloc((size_t)count, sizeof(double)), calloc((size_t)count, sizeof(double)) };
    size_t n[2] = { 0 };
    bus_error err = { 0 };
    bus *handle;
    sale warm = { .number = -1 };
    if (!took[0] || !took[1])
        bench_die("beside", "no memory");
    bench_must(bus_open(&till, config, &handle, &err), &err, "beside");
    bench_must(bus_transact(handle, BUS_STR("till"), sell, &warm, &err), &err, "beside");
    bench_sleep(1);
    for (long turn = 0; turn < 2 * turns; turn++) {
        double start = bench_now();
        for (long i = 0; i < count / turns; i++) {
            double wait = start + (double)i / (double)rate - bench_now();
            sale mine = { .number = turn * count + i, .quiet = turn % 2 };
            if (wait > 0)
                bench_sleep(wait);
            double before = bench_now();
            bench_must(bus_transact(handle, BUS_STR("till"), sell, &mine, &err), &err, "beside");
            if (i >= count / turns / 10)
                took[turn % 2][n[turn % 2]++] = bench_now() - before;
        }
        bench_sleep(0.5); /* what was sent is acknowledged and deleted */
    }
    printf("{\"what\":\"beside\",\"rate\":%ld,\"count\":%zu", rate, n[0]);
    bench_print_times("relaying", took[0], n[0]);
    bench_print_times("quiet", took[1], n[1]);
    printf("}\n");
    bus_close(handle);
    free(took[0]);
    free(took[1]);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 1)
        return 0;
    bench_slow_sync(bench_option(argc, argv, "--sync-us", 0));
    bus_config *config = bench_config(argc, argv);
    const char *file = bench_text_option(argc, argv, "--file", "/tmp/bench-times");
    long count = bench_option(argc, argv, "--count", 2000);
    int result = 2;
    if (strcmp(argv[1], "callers") == 0)
        result = callers(config, bench_option(argc, argv, "--callers", 1), (double)bench_option(argc, argv, "--seconds", 5),
                         bench_option(argc, argv, "--quiet", 0) != 0);
    else if (strcmp(argv[1], "handover") == 0)
        result = handover(bench_option(argc, argv, "--callers", 64), (double)bench_option(argc, argv, "--seconds", 5));
    else if (strcmp(argv[1], "read") == 0)
        result = read_times(config, file, count);
    else if (strcmp(argv[1], "write") == 0)
        result = write_times(config, file, count, bench_option(argc, argv, "--rate", 200));
    else if (strcmp(argv[1], "beside") == 0)
        result = write_beside(config, count, bench_option(argc, argv, "--rate", 200), bench_option(argc, argv, "--turns", 4));
    bus_config_free(config);
    return result;
}
