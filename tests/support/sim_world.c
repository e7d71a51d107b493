/* SPDX-License-Identifier: MIT
 * The simulated world: chance, history, and processes that start, run, stop and die. */
#include "support/sim.h"

#include <bus/bus.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

/* ---- chance: splitmix64 */

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

void sim_draw_from(sim *s, uint64_t stream)
{
    s->random = mix(mix(s->plan->seed + 0x9E3779B97F4A7C15u) + stream);
}

uint64_t sim_random(sim *s)
{
    return mix(s->random += 0x9E3779B97F4A7C15u);
}

int sim_below(sim *s, int n)
{
    return (int)(sim_random(s) % (uint64_t)n);
}

bool sim_chance(sim *s, int per_mille)
{
    return sim_below(s, 1000) < per_mille;
}

bool sim_strikes(sim *s, sim_fault fault)
{
    if (!sim_plan_allows(s->plan, (int)fault))
        return false;
    s->result->count[fault]++;
    return true;
}

/* ---- history */

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
    if (!s->result->failed) {
        snprintf(s->result->check, sizeof s->result->check, "%s", format);
        vsnprintf(s->result->text, sizeof s->result->text, format, args);
        char *place = s->data[0] ? strstr(s->result->text, s->data) : NULL; /* another in each run */
        if (place)
            memmove(place, place + strlen(s->data), strlen(place + strlen(s->data)) + 1);
    }
    va_end(args);
    s->result->failed = true;
}

/* ---- prepare steps */

static void submit(bui_pool *pool, bui_job *job)
{
    sim_pool *jobs = (sim_pool *)pool;
    bui_job **at = &jobs->first;
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

void sim_run_job(sim_process *process, int n)
{
    bui_job **at = &process->jobs.first;
    while (*at && n--)
        at = &(*at)->next;
    bui_job *job = *at;
    if (!job)
        return;
    *at = job->next;
    job->run(job);
    job->done(job);
}

void sim_run_jobs(sim_process *process)
{
    while (process->jobs.first)
        sim_run_job(process, 0);
}

/* ---- life and death */

void sim_start(sim *s, sim_process *process)
{
    sim_start_accepting(s, process, BUI_ACCEPT_NOTHING);
}

void sim_start_accepting(sim *s, sim_process *process, bui_accept accept)
{
    bus_error err = { 0 };
    process->accept = accept;
    process->older =
        sim_chance(s, 80) && !s->calm && !sim_stranger_waits(s, process->service) && sim_strikes(s, SIM_OLDER_VERSION);
    process->jobs = (sim_pool){ .pool = { submit } };
    bui_limits limits = s->limits;
    limits.compact_envelope = s->compact >> process->service & 1;
    const bui_host_options options = { .service = &(process->older ? s->older : s->service)[process->service],
                                       .data = s->data,
                                       .shards = SIM_SHARDS,
                                       .retry_tiers = "200ms,1s",
                                       .attempts = 3,
                                       .limits = limits,
                                       .cluster = s->cluster,
                                       .clock = &s->clock.clock,
                                       .catalog = s->catalog,
                                       .pool = &process->jobs.pool,
                                       .accept = accept };
    bui_memory_looks_fail(s->cluster, sim_chance(s, 200) && sim_strikes(s, SIM_LOOK_FAILS));
    sim_note(s, "%s.%d starts%s%s", s->service[process->service].name, process->number,
             process->older ? ", of an older version" : "",
             accept == BUI_ACCEPT_GROUP_OFFSETS ? " with --accept=group-offsets"
             : accept                           ? " with --accept=store-offsets"
                                                : "");
    if (bui_host_open(&options, &process->host, &err) != BUS_OK)
        sim_fail(s, "start: %s", err.text);
}

/* Is the shard another process's? Then its files are not what a death of this one leaves behind. */
static bool held_elsewhere(sim *s, const sim_process *process, int shard)
{
    for (int p = 0; p < s->plan->processes; p++) {
        const sim_process *other = &s->process[process->service][p];
        if (other != process && other->host && bui_host_shard(other->host, shard))
            return true;
    }
    return false;
}

static void mark_dead(sim *s, sim_process *process)
{
    process->dead = true;
    bui_memory_cut(bui_host_transport(process->host));
    s->cut = true;
    s->doomed = NULL;
}

/* Keeps the files of a process as they are: what it does from now on is not to be. */
void sim_die(sim *s, sim_process *process)
{
    char directory[128], store[160];
    snprintf(directory, sizeof directory, "%s/%s", s->data, s->service[process->service].name);
    for (int i = 0; i < SIM_SHARDS; i++) {
        if (held_elsewhere(s, process, i))
            continue;
        s->snapshot[i] = snapshot_take(directory, i);
        snprintf(store, sizeof store, "%s/%d.", directory, i);
        disk_cut(s->disk, store);
    }
    mark_dead(s, process);
}

static void shut(sim_process *process)
{
    sim_run_jobs(process);
    process->jobs.at_once = true;
    bui_host_close(process->host);
    process->host = NULL;
}

static void bury(sim *s)
{
    for (int i = 0; i < SIM_SERVICES * SIM_PROCESSES; i++) {
        sim_process *process = &s->process[0][0] + i;
        if (process->dead && process->host)
            shut(process);
        process->dead = false;
    }
    for (int i = 0; i < SIM_SHARDS; i++)
        if (s->snapshot[i] && !snapshot_restore(s->snapshot[i]))
            sim_fail(s, "a store's files could not be put back");
    memset(s->snapshot, 0, sizeof s->snapshot);
    s->cut = false;
}

#ifdef BUS_FAILPOINTS
void sim_on_failpoint(const char *point, void *opaque)
{
    sim *s = opaque;
    if (s->acting && !s->calm && !s->cut)
        sim_point(&s->result->points, point, 0);
    if (!s->doomed || s->doomed != s->acting || s->doomed_after-- > 0)
        return;
    if (!sim_strikes(s, SIM_DEATH_INSIDE)) {
        s->doomed = NULL;
        return;
    }
    sim_point(&s->result->points, point, 1);
    sim_note(s, "%s.%d dies at %s", s->service[s->doomed->service].name, s->doomed->number, point);
    sim_die(s, s->doomed);
}
#endif

/* Ends what a process does; true if it has died meanwhile. */
static bool acted(sim *s)
{
    s->acting = NULL;
    if (!s->cut)
        return false;
    bury(s);
    return true;
}

void sim_power_off(sim *s, int service)
{
    char directory[128], note[160];
    snprintf(directory, sizeof directory, "%s/%s", s->data, s->service[service].name);
    for (int p = 0; p < SIM_PROCESSES; p++)
        if (s->process[service][p].host && !s->process[service][p].dead)
            mark_dead(s, &s->process[service][p]);
    for (int i = 0; i < SIM_SHARDS; i++) {
        snprintf(note, sizeof note, "%s/%d.running", directory, i);
        if (sim_chance(s, 500))
            unlink(note);
        s->snapshot[i] = snapshot_take(directory, i);
    }
    disk_draw_from(s->disk, sim_random(s));
    disk_power_off(s->disk, directory);
    s->ill[service] = (sim_illness){ .fails = SIM_FAULTS, .full = s->ill[service].full };
    s->rebooted[service] = true;
    if (!s->acting)
        bury(s);
}

void sim_kill(sim *s, sim_process *process)
{
    sim_note(s, "%s.%d dies", s->service[process->service].name, process->number);
    sim_die(s, process);
    bury(s);
}

void sim_stop(sim *s, sim_process *process)
{
    sim_note(s, "%s.%d stops", s->service[process->service].name, process->number);
    s->acting = process;
    shut(process);
    acted(s);
}

/* Is anything wrong with a shard that no fault of ours explains? */
static void look(sim *s, sim_process *process, int shard)
{
    bus_error err = { 0 };
    const char *name = s->service[process->service].name;
    bus_status status = bui_host_failure(process->host, shard, &err);
    if ((status == BUS_FULL || status == BUS_IO) && sim_disk_ill(s, process->service)) {
        sim_note(s, "%s.%d ends: %s", name, process->number, err.text); /* as bus_run would */
        sim_stop(s, process);
        return;
    }
    if (status == BUS_REFUSED && s->result->count[SIM_STRANGER] && strstr(err.text, "--accept=store-offsets")) {
        s->result->count[SIM_ASKED]++;
        sim_stop(s, process);
        sim_start_accepting(s, process, sim_answer(s, process->service));
        sim_rebalance(s, process->service);
        return;
    }
    if (status == BUS_REFUSED && s->backup.tried && s->backup.shard == shard && strstr(err.text, "--accept=copy"))
        return;
    bool waits = status == BUS_LOCKED || status == BUS_BROKER || status == BUS_TIMEOUT;
    bool halts = s->broken[process->service] && (status == BUS_REFUSED || status == BUS_CORRUPT || status == BUS_MISSING);
    if (halts)
        s->result->count[SIM_HALTED]++;
    if (status != BUS_OK && !waits && !halts)
        sim_fail(s, "%s.%d: shard %d: %s: %s", name, process->number, shard, bus_status_name(status), err.text);
}

void sim_hear(sim *s, sim_process *process)
{
    if (!process->host)
        return;
    sim_run_jobs(process);
    process->jobs.at_once = true;
    s->acting = process;
    if (!s->calm)
        sim_note(s, "%s.%d hears its group", s->service[process->service].name, process->number);
    bui_host_group(process->host);
    process->jobs.at_once = false;
    if (acted(s))
        return;
    for (int i = 0; i < SIM_SHARDS && process->host; i++)
        look(s, process, i);
}

bool sim_iteration(sim *s, sim_process *process, int shard)
{
    if (!process->host)
        return false;
    if (s->calm)
        sim_run_jobs(process);
    else if (sim_chance(s, 500))
        sim_run_job(process, sim_below(s, 3));
    s->acting = process;
    if (!s->calm && bui_host_shard(process->host, shard))
        sim_note(s, "%s.%d turns shard %d", s->service[process->service].name, process->number, shard);
    bool went = bui_host_step(process->host, shard);
    if (acted(s))
        return true;
    look(s, process, shard);
    return went;
}

bool sim_run_inline(sim *s, sim_process *process, int shard, bui_call *call)
{
    int64_t wait_us;
    s->acting = process;
    bool ran = bui_shard_run_inline(bui_host_shard(process->host, shard), call, &wait_us);
    if (!acted(s))
        look(s, process, shard);
    return ran;
}

void sim_rebalance(sim *s, int service)
{
    sim_process *alive[SIM_PROCESSES];
    int count = 0, owner[SIM_SHARDS];
    for (int p = 0; p < s->plan->processes; p++)
        if (s->process[service][p].host)
            alive[count++] = &s->process[service][p];
    for (int i = 0; count && i < SIM_SHARDS; i++)
        owner[i] = sim_below(s, count);
    for (int p = 0; p < count; p++) {
        int32_t shards[SIM_SHARDS];
        size_t n = 0;
        for (int i = 0; i < SIM_SHARDS; i++)
            if (owner[i] == p)
                shards[n++] = i;
        bool lost = !s->calm && sim_chance(s, 200) && sim_strikes(s, SIM_LOST);
        if (lost)
            bui_memory_lose(bui_host_transport(alive[p]->host));
        else
            bui_memory_revoke(bui_host_transport(alive[p]->host));
        bui_memory_assign(bui_host_transport(alive[p]->host), shards, n);
        sim_note(s, "%s.%d %sis given %d shards%s", s->service[service].name, alive[p]->number, lost ? "is forgotten, " : "",
                 (int)n, n == 1 ? shards[0] ? ": 1" : ": 0" : "");
    }
}
