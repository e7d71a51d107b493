/* SPDX-License-Identifier: MIT
 * One history, from its first start to the verdict. */
#include "support/sim.h"

#include "base/config.h"
#include "base/failpoint.h"
#include <bus/bus.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define START_MS 1767225600000

static void choose_limits(sim *s)
{
    static const int batches[] = { 1, 3, 20, 500 }, flights[] = { 1, 2, 10, 1000 };
    bus_config *config = bus_config_new();
    bui_limits_of(config, &s->limits);
    bus_config_free(config);
    s->limits.batch_records = batches[sim_below(s, 4)];
    s->limits.linger_us = (int64_t)sim_below(s, 3) * 2000;
    s->limits.in_flight = flights[sim_below(s, 4)];
    s->compact = sim_below(s, 1 << SIM_SERVICES);
    s->limits.reject_percent = 0;
    s->limits.commit_interval_ms = sim_below(s, 200);
    s->limits.retry_grace_ms = 300;
    s->limits.state_bytes = s->plan->seed % 2 ? 1500 : 0; /* half of them write rows of typed state early */
    s->limits.outbox_bytes = sim_chance(s, 200) ? 3000 : s->limits.outbox_bytes;
    s->limits.idle_recheck_ms = sim_chance(s, 300) ? 500 : 2000;
    s->limits.log_check_ms = (int[]){ 0, 300, 10000 }[sim_below(s, 3)];
    s->limits.wal_bytes = sim_chance(s, 500) ? 20000 : s->limits.wal_bytes;
    s->storm = sim_below(s, 3) * 15;
    s->rough = sim_chance(s, 300);
    s->runs_inline = sim_chance(s, 400);
    sim_make_keys(s);
}

/* A shard that misses an event says so; where nothing was lost it may not. */
static void on_log(bus_level level, const char *text, size_t len, void *opaque)
{
    sim *s = opaque;
    bool gap = level == BUS_ERROR && memmem(text, len, "\"event\":\"gap\"", 13);
    if (s->library)
        sim_note(s, "    log %d %.*s", (int)level, (int)len, text);
    if (level == BUS_ERROR && (memmem(text, len, "\"event\":\"rejected_row\"", 22) || memmem(text, len, "marking row ", 12)))
        s->refused = true;
    if (gap)
        s->result->count[SIM_GAP_TOLD]++;
    const char *why = gap ? memmem(text, len, "\"msg\":", 6) : NULL;
    if (why && !s->damages && !s->given_up_count && !s->commands_skipped) /* what is given up is missed */
        sim_fail(s, "gap alarm: %.*s", (int)(text + len - why), why);
}

static bool make(sim *s)
{
    bui_virtual_clock_init(&s->clock, START_MS);
    sim_draw_from(s, SIM_START);
    choose_limits(s);
    bui_map_init(&s->sources);
    for (int t = 0; t < SIM_TOPICS; t++)
        for (int p = 0; p < 4; p++)
            s->lost_from[t][p] = INT64_MAX;
    s->catalog = bui_catalog_new();
    snprintf(s->data, sizeof s->data, "%s/bus-sim-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (!s->catalog || !sim_disk_make(s) || !sim_cluster_make(s) || !mkdtemp(s->data)) {
        sim_fail(s, "no memory, or no temporary directory");
        return false;
    }
    sim_services(s);
    for (int i = 0; i < SIM_SERVICES; i++)
        for (int p = 0; p < SIM_PROCESSES; p++) {
            s->process[i][p] = (sim_process){ .service = i, .number = p };
            if (p < s->plan->processes)
                sim_start(s, &s->process[i][p]);
        }
    return !s->result->failed;
}

static void unmake(sim *s)
{
    s->cut = true; /* what callers hear now is of no account */
    s->doomed = NULL;
    for (int i = 0; i < SIM_SERVICES * SIM_PROCESSES; i++) {
        sim_process *process = &s->process[0][0] + i;
        sim_run_jobs(process);
        process->jobs.at_once = true;
        bui_host_close(process->host);
    }
    sim_readers_close(s);
    disk_copy_free(s->backup.copy);
    bui_memory_cluster_free(s->cluster);
    bui_catalog_free(s->catalog);
    sim_disk_unmake(s);
    snapshot_remove_tree(s->data);
    for (int i = 0; i < s->calls; i++)
        free(s->call[i]);
    bui_map_free(&s->sources, free);
    free(s->record);
    bui_keys_free(s->keys);
    free(s);
}

void sim_run(const sim_plan *plan, FILE *history, bool library, sim_result *result)
{
    sim *s = calloc(1, sizeof *s);
    *result = (sim_result){ .failed = !s };
    if (!s)
        return;
    s->plan = plan;
    s->result = result;
    s->history = history;
    s->library = history && library;
    bus_log_to(s->library ? BUS_DEBUG : BUS_ERROR, on_log, s);
#ifdef BUS_FAILPOINTS
    bui_failpoint_to(sim_on_failpoint, s);
#endif
    if (make(s))
        for (int i = 0; i < SIM_SERVICES; i++)
            sim_rebalance(s, i);
    for (int i = 0; i < SIM_STEPS && !result->failed; i++)
        if (sim_plan_has(plan, i)) {
            s->step = i;
            sim_draw_from(s, (uint64_t)i);
            sim_step(s);
        }
    if (!result->failed)
        sim_heal(s);
    if (!result->failed)
        sim_check(s);
    bus_log_to(BUS_ERROR, NULL, NULL);
    unmake(s);
}
