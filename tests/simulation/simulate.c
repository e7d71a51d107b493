/* SPDX-License-Identifier: MIT
 * Simulation: one seed, one history of random faults; then everything heals, and sim_check.c says whether anything was lost,
 * doubled or out of order. A seed that fails is run again with its history printed.
 *
 *   simulate [--seeds A:B] [--seed N [--verbose]]
 *
 * A process dies between two steps, and at any failpoint inside one where the build has them (debug, asan, tsan). */
#include "support/sim.h"

#include "base/config.h"
#include "base/failpoint.h"
#include "base/id.h"
#include "codec/envelope.h"
#include <bus/bus.h>
#include <dirent.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define START_MS 1767225600000
#define QUIET_MS 120000  /* virtual time to come to rest in */

static sim_process *stepping;
static char first_failure[300];

/* ---- chance and history */

uint64_t sim_random(sim *s) /* splitmix64 */
{
    uint64_t z = (s->random += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static int below(sim *s, int n)
{
    return (int)(sim_random(s) % (uint64_t)n);
}

bool sim_chance(sim *s, int per_mille)
{
    return below(s, 1000) < per_mille;
}

__attribute__((format(printf, 3, 0))) static void line(sim *s, const char *mark, const char *format, va_list args)
{
    if (!s->history)
        return;
    fprintf(s->history, "%10.3f %s", (double)(s->clock.mono_us - 1000000) / 1000, mark);
    vfprintf(s->history, format, args);
    fputc('\n', s->history);
}

void sim_note(sim *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    line(s, "  ", format, args);
    va_end(args);
}

void sim_fail(sim *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    line(s, "! ", format, args);
    va_end(args);
    va_start(args, format);
    if (!s->failed)
        vsnprintf(first_failure, sizeof first_failure, format, args);
    va_end(args);
    s->failed = true;
}

static void on_log(void *opaque, bus_level level, const char *text, size_t len)
{
    sim *s = opaque;
    sim_note(s, "    log %d %.*s", (int)level, (int)len, text);
}

static const char *name_of(const sim *s, const sim_process *process, int *number)
{
    int service = (int)((process - &s->process[0][0]) / SIM_PROCESSES);
    *number = (int)((process - &s->process[0][0]) % SIM_PROCESSES);
    return s->service[service].name;
}

/* ---- faults of the cluster */

/* FALSE_ACK is given where a real broker gives it: to a producer it has no sequence numbers of yet. The rule that the first
 * row goes alone keeps that harmless. RECORD never hits a row that is alone: it would be rejected for good. */
static bus_memory_fate judge(void *opaque, const bus_row *row, bus_channel channel)
{
    sim *s = opaque;
    const bus_memory_flight *flight = bus_memory_judging(s->cluster);
    static const struct { int per_mille; bus_memory_fate fate; } fates[] = {
        { 150, BUS_FATE_HOLD }, { 30, BUS_FATE_LOST_ACK }, { 20, BUS_FATE_DUPLICATE }, { 20, BUS_FATE_UNSURE },
        { 20, BUS_FATE_FAILED }, { 10, BUS_FATE_TOPIC }, { 10, BUS_FATE_FATAL }, { 10, BUS_FATE_RECORD }, { 30, BUS_FATE_FALSE_ACK } };
    if (s->calm)
        return BUS_FATE_ACK;
    int dice = below(s, 1000);
    for (size_t i = 0; i < sizeof fates / sizeof *fates; dice -= fates[i++].per_mille) {
        bus_memory_fate fate = fates[i].fate;
        if (dice >= fates[i].per_mille)
            continue;
        if ((fate == BUS_FATE_RECORD && (flight->out == 0 || channel != BUS_MAIN)) || (fate == BUS_FATE_FALSE_ACK && flight->established))
            break;
        sim_note(s, "    fate %d for row %lld to %s/%d", (int)fate, (long long)row->id, row->topic, (int)row->partition);
        return fate;
    }
    return BUS_FATE_ACK;
}

static size_t meter(void *opaque, const char *topic, int32_t partition, size_t ready)
{
    sim *s = opaque;
    (void)topic;
    (void)partition;
    return s->calm ? ready : sim_chance(s, 200) ? 0 : (size_t)below(s, (int)ready) + 1;
}

/* ---- prepare steps */

static void submit(bus_pool *pool, bus_job *job)
{
    sim_pool *jobs = (sim_pool *)pool;
    bus_job **at = &jobs->first;
    if (jobs->at_once) {
        job->run(job);
        job->done(job);
        return;
    }
    while (*at)
        at = &(*at)->next;
    job->next = NULL;
    *at = job;
}

/* Runs the n-th that waits. */
static void run_job(sim_pool *jobs, int n)
{
    bus_job **at = &jobs->first;
    while (*at && n--)
        at = &(*at)->next;
    bus_job *job = *at;
    if (!job)
        return;
    *at = job->next;
    job->run(job);
    job->done(job);
}

static void run_jobs(sim_pool *jobs)
{
    while (jobs->first)
        run_job(jobs, 0);
}

/* ---- processes */

static void start(sim *s, sim_process *process)
{
    int number, service = (int)((process - &s->process[0][0]) / SIM_PROCESSES);
    const char *name = name_of(s, process, &number);
    bus_error err = { 0 };
    process->jobs = (sim_pool){ .pool = { submit } };
    const bus_host_options options = { .service = &s->service[service], .data = s->data, .shards = SIM_SHARDS,
                                       .retry_tiers = "200ms,1s", .attempts = 3, .limits = s->limits, .cluster = s->cluster,
                                       .clock = &s->clock.clock, .catalog = s->catalog,
                                       .pool = &process->jobs.pool };
    sim_note(s, "start %s.%d", name, number);
    if (bus_host_open(&options, &process->host, &err))
        sim_fail(s, "start: %s", err.text);
}

/* Takes the files of a process as they are: what it does from now on is not to be. */
static void die(sim *s, sim_process *process)
{
    char directory[128];
    int number;
    snprintf(directory, sizeof directory, "%s/%s", s->data, name_of(s, process, &number));
    for (int i = 0; i < SIM_SHARDS; i++)
        s->snapshot[i] = bus_host_shard(process->host, i) ? snapshot_take(directory, i) : NULL;
    bus_memory_cut(bus_host_transport(process->host));
    s->cut = true;
    s->doomed = NULL;
}

static void shut(sim_process *process)
{
    run_jobs(&process->jobs);
    process->jobs.at_once = true;
    bus_host_close(process->host);
    process->host = NULL;
}

/* Reads the group's word; a shard may close at it. */
static void hear(sim_process *process)
{
    run_jobs(&process->jobs);
    process->jobs.at_once = true;
    bus_host_group(process->host);
    process->jobs.at_once = false;
}

static void bury(sim *s, sim_process *process)
{
    shut(process);
    memset(process->gaps_seen, 0, sizeof process->gaps_seen);
    for (int i = 0; i < SIM_SHARDS; i++)
        if (s->snapshot[i] && !snapshot_restore(s->snapshot[i]))
            sim_fail(s, "a store's files could not be put back");
    memset(s->snapshot, 0, sizeof s->snapshot);
    s->cut = false;
}

#ifdef BUS_FAILPOINTS
static void on_failpoint(const char *point, void *opaque)
{
    sim *s = opaque;
    if (!s->doomed || s->doomed != stepping || s->doomed_after-- > 0)
        return;
    int number;
    const char *name = name_of(s, s->doomed, &number);
    sim_note(s, "%s.%d dies at %s", name, number, point);
    die(s, s->doomed);
}
#endif

/* Is anything wrong with a shard that no fault of ours explains? */
static void look(sim *s, sim_process *process, int shard)
{
    bus_error err = { 0 };
    int number;
    const char *name = name_of(s, process, &number);
    bus_status status = bus_host_failure(process->host, shard, &err);
    if (status && status != BUS_LOCKED && status != BUS_BROKER && status != BUS_TIMEOUT)
        sim_fail(s, "%s.%d: shard %d: %s: %s", name, number, shard, bus_status_name(status), err.text);
    bus_shard *open = bus_host_shard(process->host, shard);
    int64_t gaps = open ? (int64_t)bus_counter_read(&bus_shard_metrics_of(open)->gaps) : 0;
    if (gaps > process->gaps_seen[shard])
        sim_fail(s, "%s.%d: shard %d: gap alarm", name, number, shard);
    process->gaps_seen[shard] = gaps;
}

static bool step(sim *s, sim_process *process, int shard)
{
    if (!process->host)
        return false;
    if (s->calm)
        run_jobs(&process->jobs);
    else if (sim_chance(s, 500))
        run_job(&process->jobs, below(s, 3));
    stepping = process;
    bool went = bus_host_step(process->host, shard);
    stepping = NULL;
    if (s->cut) {
        bury(s, process);
        return true;
    }
    look(s, process, shard);
    return went;
}

/* The coordinator deals the shards of a service to its living processes. */
static void rebalance(sim *s, int service)
{
    sim_process *alive[SIM_PROCESSES];
    int count = 0, owner[SIM_SHARDS];
    for (int p = 0; p < SIM_PROCESSES; p++)
        if (s->process[service][p].host)
            alive[count++] = &s->process[service][p];
    for (int i = 0; count && i < SIM_SHARDS; i++)
        owner[i] = below(s, count);
    for (int p = 0; p < count; p++) {
        int32_t shards[SIM_SHARDS];
        size_t n = 0;
        for (int i = 0; i < SIM_SHARDS; i++)
            if (owner[i] == p)
                shards[n++] = i;
        if (!s->calm && sim_chance(s, 200))
            bus_memory_lose(bus_host_transport(alive[p]->host));
        else
            bus_memory_revoke(bus_host_transport(alive[p]->host));
        bus_memory_assign(bus_host_transport(alive[p]->host), shards, n);
        int number;
        const char *name = name_of(s, alive[p], &number);
        sim_note(s, "%s.%d is given %d shards%s", name, number, (int)n, n == 1 ? shards[0] ? ": 1" : ": 0" : "");
    }
}

/* ---- what people do */

static void send_number(sim *s, int number)
{
    char id[24], key[8], text[16];
    int value = snprintf(text, sizeof text, "%d", number);
    snprintf(id, sizeof id, "inbox-%d", number);
    int dice = (int)(bus_hash(&number, sizeof number, s->seed) % 11);
    snprintf(key, sizeof key, "k%d", dice % SIM_KEYS);
    bool keyless = dice == 10;
    const bus_header headers[] = { { "ce_specversion", "1.0", 3 }, { "ce_id", id, strlen(id) }, { "ce_source", "shop", 4 },
                                   { "ce_type", "shop.Thing", 10 } };
    const bus_row row = { .key = keyless ? NULL : key, .key_len = keyless ? 0 : strlen(key), .value = text, .value_len = (size_t)value,
                          .headers = headers, .header_count = 4 };
    int32_t partition = keyless ? number % 4 : bus_partition_of(key, strlen(key), 4);
    sim_note(s, "send %d, key %s, to shop.inbox/%d", number, keyless ? "none" : key, (int)partition);
    bus_memory_append(s->cluster, "shop.inbox", partition, &row);
}

static void on_call(bus_call *done, bus_status status, const bus_error *err)
{
    sim_call *call = (sim_call *)done;
    (void)err;
    call->end = call->sim->cut ? CALL_UNKNOWN : status == BUS_OK ? CALL_DONE : CALL_FAILED;
}

static void transact(sim *s)
{
    sim_process *process = &s->process[ALPHA][below(s, SIM_PROCESSES)];
    int key = below(s, SIM_KEYS);
    if (s->calls == (int)(sizeof s->call / sizeof *s->call) || !process->host)
        return;
    sim_call *call = calloc(1, sizeof *call);
    call->call = (bus_call){ .fn = sim_transaction, .opaque = call, .done = on_call };
    call->sim = s;
    call->number = SIM_CALLS + s->calls;
    snprintf(call->key, sizeof call->key, "k%d", key);
    bus_shard *shard = bus_host_shard(process->host, bus_partition_of(call->key, strlen(call->key), SIM_SHARDS));
    if (!shard || bus_shard_call(shard, &call->call, NULL)) {
        free(call);
        return;
    }
    sim_note(s, "transaction %d, key %s", call->number, call->key);
    s->call[s->calls++] = call;
}

/* What `bus dlq redrive` and `discard` write: the event's bytes and headers, and the command. */
static void command(sim *s, const sim_letter *letter, const char *word)
{
    char text[80], topic[64];
    bus_header headers[40];
    size_t count = 0;
    int n = snprintf(text, sizeof text, "%s %s %d", word, letter->id, letter->round);
    snprintf(topic, sizeof topic, "%s.redrive", s->service[letter->service].name);
    sim_note(s, "operator: %s/%d: %s, event %d", topic, (int)letter->partition, text, letter->number);
    for (size_t i = 0; i < letter->record.header_count && count < 39; i++) {
        const bus_header *header = &letter->record.headers[i];
        if (strcmp(header->name, "bus-hop") != 0 && strcmp(header->name, "bus-letter") != 0 && strncmp(header->name, "__dlq.", 6) != 0)
            headers[count++] = *header;
    }
    headers[count++] = (bus_header){ "bus-command", text, (size_t)n };
    const bus_row row = { .key = letter->record.key, .key_len = letter->record.key_len, .value = letter->record.value,
                          .value_len = letter->record.value_len, .headers = headers, .header_count = count };
    bus_memory_append(s->cluster, topic, letter->partition, &row);
}

static void operate(sim *s, const sim_letter *letter, void *opaque)
{
    int *left = opaque;
    if (letter->state != BUS_LETTER_OPEN && letter->state != BUS_LETTER_REDRIVEN)
        return;
    ++*left;
    if (letter->state != BUS_LETTER_OPEN || (!s->calm && sim_chance(s, 700)))
        return;
    for (int again = sim_chance(s, 200) ? 2 : 1; again; again--)
        command(s, letter, sim_chance(s, 200) ? "discard" : "redrive");
}

/* ---- chaos */

/* A process starts, dies here or somewhere inside its next steps, or stops. */
static void upset(sim *s, sim_process *process)
{
    if (!process->host) {
        start(s, process);
    } else if (sim_chance(s, 300)) {
        int number;
        const char *name = name_of(s, process, &number);
        sim_note(s, "%s.%d dies", name, number);
        die(s, process);
        bury(s, process);
    } else if (sim_chance(s, 300)) {
        sim_note(s, "stop %s", s->service[(process - &s->process[0][0]) / SIM_PROCESSES].name);
        shut(process);
        *process = (sim_process){ 0 };
    } else {
        s->doomed = process;
        s->doomed_after = below(s, 30);
    }
}

static void act(sim *s)
{
    sim_process *process = &s->process[below(s, SIM_SERVICES)][below(s, SIM_PROCESSES)];
    int dice = below(s, 1000), service = below(s, SIM_SERVICES), left = 0;
    if (sim_chance(s, s->storm)) {
        upset(s, process);
        rebalance(s, service);
    }
    if ((dice -= 600) < 0) {
        step(s, process, below(s, SIM_SHARDS));
    } else if ((dice -= 100) < 0) {
        if (process->host)
            hear(process);
        for (int i = 0; process->host && i < SIM_SHARDS; i++)
            look(s, process, i);
    } else if ((dice -= 110) < 0) {
        bus_virtual_clock_advance(&s->clock, sim_chance(s, 50) ? below(s, 5000000) : below(s, 40000));
    } else if ((dice -= 80) < 0) {
        if (process->host)
            bus_memory_deliver_some(bus_host_transport(process->host), (size_t)below(s, 8) + 1);
    } else if ((dice -= 60) < 0) {
        if (s->sent && sim_chance(s, 60))
            send_number(s, below(s, s->sent) + 1);
        else if (s->sent < s->sent_most)
            send_number(s, ++s->sent);
    } else if ((dice -= 10) < 0) {
        bus_memory_zombie_next(s->cluster, sim_chance(s, 700));
    } else if ((dice -= 10) < 0) {
        transact(s);
    } else if ((dice -= 8) < 0) {
        rebalance(s, service);
    } else if ((dice -= 4) < 0) {
        upset(s, process);
    } else if ((dice -= 3) < 0) {
        s->down = !s->down && sim_chance(s, 300);
        sim_note(s, "the broker is %s", s->down ? "away" : "there");
        bus_memory_down(s->cluster, s->down);
    } else if ((dice -= 3) < 0) {
        int ms = below(s, 4000) - 2000;
        sim_note(s, "the wall clock steps by %d ms", ms);
        bus_virtual_clock_step(&s->clock, ms);
    } else if ((dice -= 2) < 0) {
        bus_memory_commits_fail(s->cluster, sim_chance(s, 300));
    } else if ((dice -= 3) < 0) {
        sim_letters(s, service, operate, &left);
    }
}

/* ---- healing */

static void come_to_rest(sim *s)
{
    int64_t end = s->clock.mono_us + QUIET_MS * 1000;
    for (int turns = 0; !s->failed; turns++) {
        int64_t due = INT64_MAX;
        if (turns == 200000) {
            sim_fail(s, "it does not come to rest");
            return;
        }
        for (int i = 0; i < SIM_SERVICES * SIM_PROCESSES; i++) {
            sim_process *process = &s->process[0][0] + i;
            hear(process);
            for (int shard = 0; shard < SIM_SHARDS; shard++)
                step(s, process, shard);
            run_jobs(&process->jobs);
            int64_t at = bus_host_due(process->host);
            due = at < due ? at : due;
        }
        if (due > end)
            break;
        if (due > s->clock.mono_us)
            bus_virtual_clock_advance(&s->clock, due - s->clock.mono_us);
    }
}

static void heal(sim *s)
{
    sim_note(s, "---- everything heals");
    s->calm = true;
    s->doomed = NULL;
    bus_memory_down(s->cluster, false);
    bus_memory_commits_fail(s->cluster, false);
    for (int i = 0; i < SIM_SERVICES * SIM_PROCESSES; i++) {
        sim_process *process = &s->process[0][0] + i;
        if (process->host)
            bus_memory_deliver(bus_host_transport(process->host), BUS_FATE_ACK);
        else
            start(s, process);
    }
    while (bus_memory_zombie_next(s->cluster, true))
        ;
    for (int i = 0; i < SIM_SERVICES && !s->failed; i++)
        rebalance(s, i);
    come_to_rest(s);
    sim_note(s, "---- handlers are mended");
    s->mended = true;
    for (int round = 0, left = 1; left && round < 6 && !s->failed; round++) {
        left = 0;
        for (int i = 0; i < SIM_SERVICES; i++)
            sim_letters(s, i, operate, &left);
        come_to_rest(s);
    }
}

/* ---- one seed */

static void remove_tree(const char *path)
{
    DIR *dir = opendir(path);
    for (const struct dirent *entry; dir && (entry = readdir(dir));) {
        char inner[1024];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        if (unlink(inner) != 0)
            remove_tree(inner);
    }
    if (dir)
        closedir(dir);
    rmdir(path);
}

static void choose_limits(sim *s)
{
    static const int batches[] = { 1, 3, 20, 500 }, flights[] = { 1, 2, 10, 1000 };
    bus_config *config = bus_config_new();
    bus_limits_of(config, &s->limits);
    bus_config_free(config);
    s->limits.batch_records = batches[below(s, 4)];
    s->limits.in_flight = flights[below(s, 4)];
    s->limits.compact_envelope = sim_chance(s, 200);
    s->limits.reject_percent = 0;
    s->limits.commit_interval_ms = below(s, 200);
    s->limits.retry_grace_ms = 300;
    s->limits.outbox_bytes = sim_chance(s, 200) ? 3000 : s->limits.outbox_bytes;
    s->limits.idle_recheck_ms = sim_chance(s, 300) ? 500 : s->limits.idle_recheck_ms;
    s->limits.wal_bytes = sim_chance(s, 500) ? 20000 : s->limits.wal_bytes;
    s->storm = below(s, 3) * 15;
}

static bool run_seed(uint64_t seed, FILE *history)
{
    sim *s = calloc(1, sizeof *s);
    s->seed = s->random = seed;
    s->history = history;
    s->sent_most = 40;
    bus_virtual_clock_init(&s->clock, START_MS);
    s->cluster = bus_memory_cluster_new(&s->clock.clock);
    s->catalog = bus_catalog_new();
    snprintf(s->data, sizeof s->data, "%s/bus-sim-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (!mkdtemp(s->data))
        sim_fail(s, "no temporary directory");
    sim_services(s);
    static const struct { const char *name; int partitions; } topics[] = {
        { "shop.inbox", 4 }, { "alpha.events", 4 }, { "beta.events", 4 }, { "alpha.redrive", 2 }, { "alpha.dlq", 2 },
        { "alpha.retry.200ms", 2 }, { "alpha.retry.1s", 2 }, { "beta.redrive", 2 }, { "beta.dlq", 2 }, { "beta.retry.200ms", 2 },
        { "beta.retry.1s", 4 } };
    for (size_t i = 0; i < sizeof topics / sizeof *topics; i++)
        bus_memory_topic(s->cluster, topics[i].name, topics[i].partitions);
    bus_memory_judge_by(s->cluster, judge, s);
    bus_memory_meter_by(s->cluster, meter, s);
    bus_memory_zombies_keep(s->cluster, true);
    choose_limits(s);
    bus_log_to(history ? on_log : NULL, s, BUS_DEBUG);
#ifdef BUS_FAILPOINTS
    bus_failpoint_to(on_failpoint, s);
#endif
    for (int i = 0; i < SIM_SERVICES * SIM_PROCESSES; i++)
        start(s, &s->process[0][0] + i);
    rebalance(s, ALPHA);
    rebalance(s, BETA);
    for (int i = 0; i < 1500 && !s->failed; i++)
        act(s);
    if (!s->failed)
        heal(s);
    if (!s->failed)
        sim_check(s);
    bool failed = s->failed;
    s->cut = true; /* what callers hear now is of no account */
    for (int i = 0; i < SIM_SERVICES * SIM_PROCESSES; i++)
        shut(&s->process[0][0] + i);
    bus_log_to(NULL, NULL, BUS_ERROR);
    bus_memory_cluster_free(s->cluster);
    bus_catalog_free(s->catalog);
    remove_tree(s->data);
    for (int i = 0; i < s->calls; i++)
        free(s->call[i]);
    free(s);
    return !failed;
}

int main(int argc, char **argv)
{
    unsigned long long first = 1, last = 300;
    bool verbose = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--verbose") == 0) {
            verbose = true;
        } else if (i + 1 < argc && strcmp(argv[i], "--seeds") == 0 && sscanf(argv[i + 1], "%llu:%llu", &first, &last) == 2) {
            i++;
        } else if (i + 1 < argc && strcmp(argv[i], "--seed") == 0 && sscanf(argv[i + 1], "%llu", &first) == 1) {
            last = first;
            i++;
        } else {
            fprintf(stderr, "usage: simulate [--seeds A:B] [--seed N [--verbose]]\n");
            return 2;
        }
    }
    unsigned long long failed = 0;
    time_t began = time(NULL);
#ifndef BUS_FAILPOINTS
    printf("this build has no failpoints: processes die between steps only\n");
#endif
    for (unsigned long long seed = first; seed <= last; seed++) {
        bool ok = run_seed(seed, verbose ? stdout : NULL);
        if (!ok && !verbose) {
            printf("seed %llu fails: %s; its history:\n", seed, first_failure);
            if (run_seed(seed, stdout))
                printf("seed %llu passed when it was run again: something in it is not deterministic\n", seed);
            printf("again: simulate --seed %llu --verbose\n", seed);
        }
        failed += !ok;
        if (failed == 5) {
            printf("five seeds have failed: the rest is left out\n");
            last = seed;
        }
    }
    printf("%lld s\n%llu passed, %llu failed\n", (long long)(time(NULL) - began), last - first + 1 - failed, failed);
    return failed ? 1 : 0;
}
