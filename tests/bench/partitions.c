/* SPDX-License-Identifier: MIT
 * What source partitions cost: one service on the in-memory transport reads a topic of 1 to 1,000 partitions, by one shard and by
 * several, and does nothing but settle. Processor time an event at full load, an event when they come one by one, and a second
 * without any; and how long the start takes. */
#include "base/config.h"
#include "base/virtual_clock.h"
#include "testing/test_host.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EVENTS 100000
#define SINGLES 2000
#define IDLE_S 60
#define SHARDS_MOST 100

typedef struct town {
    bui_virtual_clock clock;
    bui_memory_cluster *cluster;
    bui_catalog *catalog;
    bui_host *host;
    char data[64];
    int partitions, shards;
    int64_t handled, sent;
} town;

static double cpu_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what, const char *why)
{
    fprintf(stderr, "bench partitions: %s: %s\n", what, why);
    exit(1);
}

static bus_verdict on_event(bus_tx *tx, const bus_event *event, void *state)
{
    (void)tx;
    (void)event;
    ++*(int64_t *)state;
    return BUS_DONE;
}

static bus_status on_open(sqlite3 *db, int shard, void *opaque, void **state, bus_error *err)
{
    (void)db;
    (void)shard;
    (void)err;
    *state = opaque;
    return BUS_OK;
}

static void send(town *t)
{
    int64_t n = t->sent++;
    char id[32], key[32], hop[96], seq[32];
    int32_t partition = (int32_t)(n % t->partitions);
    snprintf(id, sizeof id, "event-%lld", (long long)n);
    snprintf(key, sizeof key, "key-%lld", (long long)(n % 1000));
    snprintf(hop, sizeof hop, "far/0#1 in/%d/%s", (int)partition,
             (snprintf(seq, sizeof seq, "%lld", (long long)(n / t->partitions + 1)), seq));
    const bus_header headers[] = {
        { "ce_id", id, strlen(id) }, { "ce_source", "far", 3 }, { "ce_type", "far.Thing", 9 }, { "bus-hop", hop, strlen(hop) }
    };
    char value[120] = "thing";
    const bui_row row = {
        .key = key, .key_len = strlen(key), .value = value, .value_len = sizeof value, .headers = headers, .header_count = 4
    };
    if (bui_memory_append(t->cluster, "in", partition, &row) < 0)
        die("sending", "no memory");
}

/* Runs all that is woken or due by `until_us`; the number of turns. */
static int64_t run(town *t, int64_t until_us)
{
    int64_t turns = 0;
    for (;;) {
        bui_host_group(t->host);
        for (int i = 0; i < t->shards; i++)
            turns += bui_host_step(t->host, i);
        int64_t due = bui_host_due(t->host);
        if (due > until_us)
            return turns;
        if (due > t->clock.mono_us)
            bui_virtual_clock_advance(&t->clock, due - t->clock.mono_us);
    }
}

static void build(town *t, const bus_service *service)
{
    static const char *const topics[] = { "svc.redrive", "svc.dlq", "svc.retry.1s", "svc.retry.30s", "svc.retry.10m" };
    bus_error err = { 0 };
    bui_virtual_clock_init(&t->clock, 1767225600000);
    t->cluster = bui_memory_cluster_new(&t->clock.clock);
    t->catalog = bui_catalog_new();
    snprintf(t->data, sizeof t->data, "%s/bus-bench-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (!t->cluster || !t->catalog || !mkdtemp(t->data) || bui_memory_topic(t->cluster, "in", t->partitions) != BUS_OK)
        die("setting up", "no memory or no temporary directory");
    for (size_t i = 0; i < sizeof topics / sizeof *topics; i++)
        bui_memory_topic(t->cluster, topics[i], t->shards);
    bui_host_options options = { .service = service,
                                 .data = t->data,
                                 .shards = t->shards,
                                 .cluster = t->cluster,
                                 .clock = &t->clock.clock,
                                 .catalog = t->catalog };
    bus_config *config = bus_config_new();
    bui_limits_of(config, &options.limits);
    bus_config_free(config);
    if (bui_host_open(&options, &t->host, &err) != BUS_OK)
        die("opening", err.text);
    int32_t shards[SHARDS_MOST];
    for (int i = 0; i < t->shards; i++)
        shards[i] = i;
    bui_memory_assign(bui_host_transport(t->host), shards, (size_t)t->shards);
    run(t, t->clock.mono_us);
    for (int i = 0; i < t->shards; i++)
        if (bui_host_failure(t->host, i, &err) != BUS_OK)
            die("starting", err.text);
}

static void tear_down(town *t)
{
    char command[128];
    bui_host_close(t->host);
    bui_memory_cluster_free(t->cluster);
    bui_catalog_free(t->catalog);
    snprintf(command, sizeof command, "rm -rf %s", t->data);
    if (system(command) != 0)
        die("removing", t->data);
}

static void measure(int partitions, int shards)
{
    static const bus_route routes[] = { { .topic = "in", .handler = on_event }, { 0 } };
    town t = { .partitions = partitions, .shards = shards };
    bus_service service = { .name = "svc", .routes = routes, .open = on_open, .opaque = &t.handled };
    double start = cpu_now();
    build(&t, &service);
    double started = cpu_now() - start, busy = 0;
    for (int64_t sent = 0; sent < EVENTS; sent += EVENTS / 10) { /* all partitions hold something */
        for (int i = 0; i < EVENTS / 10; i++)
            send(&t);
        start = cpu_now();
        run(&t, t.clock.mono_us);
        busy += cpu_now() - start;
    }
    double singles = 0;
    for (int i = 0; i < SINGLES; i++) {
        send(&t);
        start = cpu_now();
        run(&t, t.clock.mono_us);
        singles += cpu_now() - start;
    }
    run(&t, t.clock.mono_us + 10000000);
    start = cpu_now();
    int64_t turns = run(&t, t.clock.mono_us + IDLE_S * INT64_C(1000000));
    double idle = cpu_now() - start;
    if (t.handled != EVENTS + SINGLES)
        die("handling", "not every event was handled once");
    printf("%10d %6d %10.1f %12.2f %14.1f %12.2f %10.2f\n", partitions, shards, started * 1e3, busy / EVENTS * 1e6,
           singles / SINGLES * 1e6, idle / IDLE_S * 1e6, (double)turns / IDLE_S);
    fflush(stdout);
    tear_down(&t);
}

int main(void)
{
    static const struct {
        int partitions, shards;
    } sizes[] = { { 1, 1 }, { 10, 1 }, { 100, 1 }, { 1000, 1 }, { 1000, 10 }, { 1000, 100 } };
    printf("source partitions: processor time\n%10s %6s %10s %12s %14s %12s %10s\n", "partitions", "shards", "start, ms",
           "event, us", "one by one, us", "idle s, us", "turns/s");
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        measure(sizes[i].partitions, sizes[i].shards);
    return 0;
}
