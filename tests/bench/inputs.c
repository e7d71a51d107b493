/* SPDX-License-Identifier: MIT
 * What reading costs, on a cluster: a service that only reads, with a handler that does nothing; and beside it, with --plain 1,
 * librdkafka alone: a consumer with its defaults, which reads the same partitions and throws each record away.
 *
 *   inputs backlog --service S --input T --count N name=value ...    N events that are there already, of those not read yet
 *   inputs trickle --service S --input T --seconds S --rate R name=value ...
 *                  events that another process publishes one by one; processor time and wake-ups of the reader a second
 *   inputs still   --service S --input T --seconds S name=value ...  the same without events
 *   inputs mixed   --service S --input T --big N --bytes B --small M name=value ...
 *                  N events of B bytes in the first partition and M of 190 in the others, all there before the service starts: when
 *                  were the small ones handled, and how much memory did it take?
 *
 * With --topics N the inputs are T-0, T-1 and so on. "threads" is what the busiest threads did meanwhile: the share of the time in
 * which each ran, and in which it was ready to run while another had the processor. The rest it waited for something. */
#include "bench/parts.h"
#include <dirent.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

#define TOPICS_MOST 1000

static _Atomic long handled;
static _Atomic double first;
static double *small_at; /* when small events were handled; NULL: nobody asks */
static _Atomic long small_count;

static bus_verdict on_event(bus_tx *tx, const bus_event *event, void *shard)
{
    const bench_Event *body = event->body;
    (void)tx, (void)shard;
    if (small_at && body->text.len < BENCH_BYTES)
        small_at[atomic_fetch_add(&small_count, 1)] = bench_now();
    if (atomic_fetch_add_explicit(&handled, 1, memory_order_relaxed) == 0)
        atomic_store(&first, bench_now());
    return BUS_DONE;
}

static bus_route routes[TOPICS_MOST + 1];
static bus_service service = { .routes = routes };
static size_t topics = 1;

static void name_topics(const char *input, long count)
{
    for (long i = 0; i < (count ? count : 1); i++) {
        char *name = malloc(strlen(input) + 8);
        if (!name || i == TOPICS_MOST)
            bench_die("--topics", "too many");
        snprintf(name, strlen(input) + 8, count ? "%s-%ld" : "%s", input, i);
        routes[i] = (bus_route){ .topic = name, .type = &bench_type, .handler = on_event };
        topics = (size_t)i + 1;
    }
}

/* ---- what the threads did */

typedef struct worked {
    char name[32];
    double ran, ready; /* seconds */
} worked;

static int by_time(const void *a, const void *b)
{
    const worked *x = a, *y = b;
    double left = x->ran + x->ready, right = y->ran + y->ready;
    return (left < right) - (left > right);
}

/* The busiest first. On a machine that others use, too, what is left of a run's time is what a thread waited. */
static size_t threads(worked *out, size_t most)
{
    size_t count = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *entry; tasks && count < most && (entry = readdir(tasks));) {
        char path[300];
        int64_t ran = 0, ready = 0;
        worked *at = &out[count];
        snprintf(path, sizeof path, "/proc/self/task/%s/schedstat", entry->d_name);
        FILE *file = fopen(path, "r");
        if (file && fscanf(file, "%" SCNd64 " %" SCNd64, &ran, &ready) == 2) {
            *at = (worked){ .ran = (double)ran / 1e9, .ready = (double)ready / 1e9 };
            count++;
        }
        if (file)
            fclose(file);
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
        file = fopen(path, "r");
        if (file && fscanf(file, "%31s", at->name) != 1)
            at->name[0] = 0;
        if (file)
            fclose(file);
    }
    if (tasks)
        closedir(tasks);
    qsort(out, count, sizeof *out, by_time);
    return count;
}

/* Of those that are named alike (one for each broker), the busiest. */
static double print_threads(double seconds)
{
    worked list[64];
    size_t count = threads(list, 64), shown = 0;
    printf(",\"threads\":{");
    for (size_t i = 0; i < count && shown < 4; i++) {
        bool again = false;
        for (size_t k = 0; k < i; k++)
            again |= strcmp(list[k].name, list[i].name) == 0;
        if (!again)
            printf("%s\"%s\":[%.2f,%.2f]", shown++ ? "," : "", list[i].name, list[i].ran / seconds, list[i].ready / seconds);
    }
    printf("}");
    return count ? (list[0].ran + list[0].ready) / seconds : 0;
}

static long peak_kb(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_maxrss;
}

/* ---- reading, by the bus or by librdkafka alone */

typedef struct reading {
    bus *handle;
    rd_kafka_t *plain;
    pthread_t thread;
    _Atomic bool over;
} reading;

static void *read_plainly(void *opaque)
{
    reading *r = opaque;
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(r->plain);
    static rd_kafka_message_t *batch[1000];
    while (!atomic_load(&r->over)) {
        ssize_t got = rd_kafka_consume_batch_queue(queue, 100, batch, 1000);
        for (ssize_t i = 0; i < got; i++) {
            if (!batch[i]->err && atomic_fetch_add_explicit(&handled, 1, memory_order_relaxed) == 0)
                atomic_store(&first, bench_now());
            rd_kafka_message_destroy(batch[i]);
        }
    }
    rd_kafka_queue_destroy(queue);
    return NULL;
}

static void open_plainly(reading *r, const bus_config *config, int64_t from)
{
    char text[200];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_t *looker = bench_looker(config);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(16);
    if (rd_kafka_conf_set(conf, "bootstrap.servers", bui_config_text(config, "bootstrap.servers"), text, sizeof text) ||
        rd_kafka_conf_set(conf, "group.id", service.name, text, sizeof text) ||
        rd_kafka_conf_set(conf, "enable.auto.commit", "false", text, sizeof text) ||
        !(r->plain = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof text)))
        bench_die("librdkafka", text);
    rd_kafka_poll_set_consumer(r->plain);
    for (size_t i = 0; i < topics; i++)
        for (int p = bench_partitions(looker, routes[i].topic) - 1; p >= 0; p--)
            rd_kafka_topic_partition_list_add(list, routes[i].topic, p)->offset = from;
    if (rd_kafka_assign(r->plain, list) || pthread_create(&r->thread, NULL, read_plainly, r))
        bench_die("librdkafka", "cannot read");
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(looker);
}

static void open_reading(reading *r, bus_config *config, bool plain, int64_t from)
{
    bus_error err = { 0 };
    if (plain)
        open_plainly(r, config, from);
    else
        bench_must(bus_open(&service, config, &r->handle, &err), &err, "opening");
}

static void close_reading(reading *r)
{
    atomic_store(&r->over, true);
    if (r->plain) {
        pthread_join(r->thread, NULL);
        rd_kafka_destroy(r->plain);
    }
    bus_close(r->handle);
}

static void await(long count)
{
    double last = bench_now();
    for (long seen = -1, now; (now = atomic_load(&handled)) < count; bench_sleep(0.005)) {
        last = now != seen ? bench_now() : last;
        seen = now;
        if (bench_now() - last > 60)
            bench_die("inputs", "nothing moved for 60 s");
    }
}

static int backlog(bus_config *config, bool plain, long count)
{
    reading r = { 0 };
    double begun = bench_now(), cpu = bench_cpu();
    open_reading(&r, config, plain, RD_KAFKA_OFFSET_TAIL(count)); /* of one partition */
    await(count);
    double seconds = bench_now() - atomic_load(&first);
    cpu = bench_cpu() - cpu;
    printf("{\"what\":\"backlog\",\"plain\":%d,\"events\":%ld,\"per_second\":%.0f,\"cpu_us_per_event\":%.2f,\"start_ms\":%.0f",
           plain, count, (double)count / seconds, cpu / (double)count * 1e6, (atomic_load(&first) - begun) * 1e3);
    printf(",\"busy\":%.2f}\n", print_threads(seconds));
    close_reading(&r);
    return 0;
}

/* ---- events one by one */

/* In a process of its own, so that its time does not count. */
static void publish_slowly(bus_config *config, long count, long rate)
{
    bus_error err = { 0 };
    bus *handle;
    bench_must(bus_open(NULL, config, &handle, &err), &err, "publishing");
    double start = bench_now();
    for (long i = 0; i < count; i++) {
        bench_Event event = bench_event_of(i, BENCH_BYTES);
        char key[24];
        size_t len = bench_key_text(bench_key(i, 100000), key);
        const bus_publication publication = {
            .topic = routes[(size_t)i % topics].topic, .type = &bench_type, .key = bus_string_of(key, len), .body = &event
        };
        bench_must(bus_publish(handle, &publication, NULL, NULL, &err), &err, "publishing");
        for (double left; (left = start + (double)(i + 1) / (double)rate - bench_now()) > 0;)
            bench_sleep(left);
    }
    bench_must(bus_flush(handle, -1, &err), &err, "publishing");
    bus_close(handle);
}

static long wakes(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_nvcsw;
}

static int trickle(bus_config *config, bool plain, long seconds, long rate)
{
    reading r = { 0 };
    int start[2];
    char byte = 0;
    if (pipe(start))
        bench_die("inputs", "no pipe");
    pid_t child = fork(); /* before there are threads */
    if (child == 0) {
        close(start[1]);
        if (read(start[0], &byte, 1) == 1)
            publish_slowly(config, seconds * rate, rate);
        _exit(0);
    }
    open_reading(&r, config, plain, RD_KAFKA_OFFSET_END);
    bench_sleep(8); /* joined, claimed, committed */
    long woken = wakes(), before = atomic_load(&handled);
    double cpu = bench_cpu(), begun = bench_now();
    if (write(start[1], &byte, 1) != 1)
        bench_die("inputs", "the publisher is gone");
    if (rate)
        await(before + seconds * rate);
    else
        bench_sleep((double)seconds);
    double took = bench_now() - begun;
    cpu = bench_cpu() - cpu;
    printf("{\"what\":\"trickle\",\"plain\":%d,\"rate\":%ld,\"per_second\":%.0f,\"cpu_percent\":%.2f,\"cpu_us_per_event\":%.1f,"
           "\"wakes\":%.0f",
           plain, rate, (double)(atomic_load(&handled) - before) / took, cpu / took * 100,
           rate ? cpu / (double)(seconds * rate) * 1e6 : 0, (double)(wakes() - woken) / took);
    print_threads(took);
    printf("}\n");
    close_reading(&r);
    waitpid(child, NULL, 0);
    return 0;
}

/* ---- small events beside big ones */

typedef struct mixture {
    long big, bytes, small;
} mixture;

/* A key of a partition: `key` from *at on. */
static size_t key_in(long *at, bool first_partition, int partitions, char key[24])
{
    for (;; ++*at) {
        size_t len = bench_key_text(*at, key);
        if ((bui_partition_of(key, len, partitions) == 0) == first_partition) {
            ++*at;
            return len;
        }
    }
}

static void publish_mixture(bus_config *config, const mixture *m)
{
    bus_error err = { 0 };
    bus *handle;
    bus_status status;
    rd_kafka_t *looker = bench_looker(config);
    int partitions = bench_partitions(looker, routes[0].topic);
    rd_kafka_destroy(looker);
    bench_must(bus_open(NULL, config, &handle, &err), &err, "publishing");
    long at[2] = { 0, 0 };
    for (long i = 0; i < m->big + m->small; i++) {
        bool big = i < m->big;
        char key[24];
        size_t len = key_in(&at[big], big, partitions, key);
        bench_Event event = bench_event_of(i, big ? (size_t)m->bytes : BENCH_BYTES);
        const bus_publication publication = {
            .topic = routes[0].topic, .type = &bench_type, .key = bus_string_of(key, len), .body = &event
        };
        BENCH_WHEN_FULL(bus_publish(handle, &publication, NULL, NULL, &err));
        bench_must(status, &err, "publishing");
    }
    bench_must(bus_flush(handle, -1, &err), &err, "publishing");
    bus_close(handle);
}

static int mixed(bus_config *config, const mixture *m)
{
    reading r = { 0 };
    int status;
    pid_t child = fork(); /* so that its memory does not count */
    if (child == 0) {
        publish_mixture(config, m);
        _exit(0);
    }
    if (waitpid(child, &status, 0) != child || status != 0)
        bench_die("mixed", "not published");
    small_at = calloc((size_t)m->small + 1, sizeof *small_at);
    if (!small_at)
        bench_die("mixed", "no memory");
    double cpu = bench_cpu();
    open_reading(&r, config, false, 0);
    await(m->big + m->small);
    double last = bench_now(), begun = atomic_load(&first);
    cpu = bench_cpu() - cpu;
    long count = atomic_load(&small_count);
    for (long i = 0; i < count; i++)
        small_at[i] -= begun;
    printf(
        "{\"what\":\"mixed\",\"big\":%ld,\"bytes\":%ld,\"small\":%ld,\"seconds\":%.2f,\"per_second\":%.0f,\"cpu_us_per_event\":%.2f,"
        "\"peak_mb\":%.0f",
        m->big, m->bytes, count, last - begun, (double)(m->big + m->small) / (last - begun),
        cpu / (double)(m->big + m->small) * 1e6, (double)peak_kb() / 1024);
    bench_print_times("small", small_at, (size_t)count);
    printf("}\n");
    close_reading(&r);
    free(small_at);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 1)
        return 0;
    bus_config *config = bench_config(argc, argv);
    long seconds = bench_option(argc, argv, "--seconds", 10);
    bool plain = bench_option(argc, argv, "--plain", 0);
    int result = 2;
    service.name = bench_text_option(argc, argv, "--service", "inputs");
    name_topics(bench_text_option(argc, argv, "--input", "inputs.events"), bench_option(argc, argv, "--topics", 0));
    if (strcmp(argv[1], "backlog") == 0)
        result = backlog(config, plain, bench_option(argc, argv, "--count", 100000));
    else if (strcmp(argv[1], "trickle") == 0)
        result = trickle(config, plain, seconds, bench_option(argc, argv, "--rate", 200));
    else if (strcmp(argv[1], "still") == 0)
        result = trickle(config, plain, seconds, 0);
    else if (strcmp(argv[1], "mixed") == 0)
        result = mixed(config, &(mixture){ bench_option(argc, argv, "--big", 100), bench_option(argc, argv, "--bytes", 1000000),
                                           bench_option(argc, argv, "--small", 100000) });
    bus_config_free(config);
    return result;
}
