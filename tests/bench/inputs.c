/* SPDX-License-Identifier: MIT
 * What reading costs, on a cluster: a service that only reads, with a handler that does nothing.
 *
 *   inputs backlog --service S --input T --count N name=value ...    N events that are there already, of those not read yet
 *   inputs trickle --service S --input T --seconds S --rate R name=value ...
 *                  events that another process publishes one by one; processor time and wake-ups of the service a second
 *   inputs still   --service S --input T --seconds S name=value ...  the same without events */
#include "bench/parts.h"
#include <dirent.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <sys/wait.h>

static _Atomic long handled;
static _Atomic double first;

static bus_verdict on_event(bus_tx *tx, const bus_event *event, void *shard)
{
    (void)tx, (void)event, (void)shard;
    if (atomic_fetch_add_explicit(&handled, 1, memory_order_relaxed) == 0)
        atomic_store(&first, bench_now());
    return BUS_DONE;
}

static bus_route routes[] = { { .type = &bench_type, .handler = on_event }, { 0 } };
static bus_service service = { .routes = routes };

/* Seconds in which the busiest thread, the shard's, ran or was ready to run: on a machine that others use, too, what is left of a run's
 * time is what it waited for records. */
static double worked(void)
{
    double most = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *entry; tasks && (entry = readdir(tasks));) {
        char path[300];
        int64_t ran = 0, waited = 0;
        snprintf(path, sizeof path, "/proc/self/task/%s/schedstat", entry->d_name);
        FILE *file = fopen(path, "r");
        if (file && fscanf(file, "%" SCNd64 " %" SCNd64, &ran, &waited) == 2 && (double)(ran + waited) > most)
            most = (double)(ran + waited);
        if (file)
            fclose(file);
    }
    if (tasks)
        closedir(tasks);
    return most / 1e9;
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

static int backlog(bus_config *config, long count)
{
    bus_error err = { 0 };
    bus *handle;
    double begun = bench_now(), cpu = bench_cpu();
    bench_must(bus_open(&service, config, &handle, &err), &err, "backlog");
    await(count);
    double seconds = bench_now() - atomic_load(&first), busy = worked();
    cpu = bench_cpu() - cpu;
    printf(
        "{\"what\":\"backlog\",\"events\":%ld,\"per_second\":%.0f,\"cpu_us_per_event\":%.2f,\"busy\":%.2f,\"start_ms\":%.0f}\n",
        count, (double)count / seconds, cpu / (double)count * 1e6, busy / seconds, (atomic_load(&first) - begun) * 1e3);
    bus_close(handle);
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
        bench_must(
            bus_publish(handle,
                        &(bus_publication){
                            .topic = routes[0].topic, .type = &bench_type, .key = bus_string_of(key, len), .body = &event },
                        NULL, NULL, &err),
            &err, "publishing");
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

static int trickle(bus_config *config, long seconds, long rate)
{
    bus_error err = { 0 };
    bus *handle;
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
    bench_must(bus_open(&service, config, &handle, &err), &err, "trickle");
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
    printf(
        "{\"what\":\"trickle\",\"rate\":%ld,\"per_second\":%.0f,\"cpu_percent\":%.2f,\"cpu_us_per_event\":%.1f,\"wakes\":%.0f}\n",
        rate, (double)(atomic_load(&handled) - before) / took, (bench_cpu() - cpu) / took * 100,
        rate ? (bench_cpu() - cpu) / (double)(seconds * rate) * 1e6 : 0, (double)(wakes() - woken) / took);
    bus_close(handle);
    waitpid(child, NULL, 0);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 1)
        return 0;
    bus_config *config = bench_config(argc, argv);
    long seconds = bench_option(argc, argv, "--seconds", 10);
    int result = 2;
    service.name = bench_text_option(argc, argv, "--service", "inputs");
    routes[0].topic = bench_text_option(argc, argv, "--input", "inputs.events");
    if (strcmp(argv[1], "backlog") == 0)
        result = backlog(config, bench_option(argc, argv, "--count", 100000));
    else if (strcmp(argv[1], "trickle") == 0)
        result = trickle(config, seconds, bench_option(argc, argv, "--rate", 200));
    else if (strcmp(argv[1], "still") == 0)
        result = trickle(config, seconds, 0);
    bus_config_free(config);
    return result;
}
