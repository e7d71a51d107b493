/* SPDX-License-Identifier: MIT
 * Workers: each takes every jobs-th seed and leaves what it found in memory that all share. */
#include "support/sim_workers.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STUCK_S 120 /* a history takes a hundredth of a second; under a sanitizer and load one */

typedef struct worker {
    pid_t pid;     /* 0: has ended */
    uint64_t seed; /* it plays now */
    bool ended;    /* as it should */
    sim_tally tally;
} worker;

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

static void *shared(size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

static void fail(sim_result *result, const char *check, int details)
{
    result->failed = true;
    snprintf(result->check, sizeof result->check, "%s %d", check, details);
    snprintf(result->text, sizeof result->text, "%s %d", check, details);
}

/* How a process that played ended, if not well. */
static void judge_end(int status, sim_result *result)
{
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        fail(result, "it does not end; stopped after s:", STUCK_S);
    else if (WIFSIGNALED(status))
        fail(result, "it died by signal", WTERMSIG(status));
    else if (WEXITSTATUS(status) != 0)
        fail(result, "it ended with code", WEXITSTATUS(status));
}

void sim_wait(int pid, sim_result *result)
{
    int status = 0;
    if (waitpid(pid, &status, 0) != pid)
        fail(result, "no process can be started", 0);
    else
        judge_end(status, result);
}

void sim_play_apart(const sim_plan *plan, sim_result *result)
{
    sim_result *out = shared(sizeof *out);
    *result = (sim_result){ 0 };
    fflush(NULL);
    pid_t pid = out ? fork() : -1;
    if (pid == 0) {
        alarm(STUCK_S);
        sim_run(plan, NULL, false, out);
        exit(0);
    }
    sim_wait(pid, result);
    if (out && !result->failed)
        *result = *out;
    if (out)
        munmap(out, sizeof *out);
}

static void keep(sim_tally *tally, const sim_plan *plan, const sim_result *result)
{
    if (tally->failures < SIM_FAILURES)
        tally->failure[tally->failures++] = (sim_failure){ *plan, *result };
}

static void add_points(sim_points *to, const sim_points *from)
{
    for (int i = 0; i < SIM_POINTS && from->name[i]; i++)
        sim_point(to, from->name[i], from->deaths[i]);
}

static void add(sim_tally *tally, const sim_result *result)
{
    tally->played++;
    add_points(&tally->points, &result->points);
    tally->events += result->events;
    for (int i = 0; i < SIM_COUNTS; i++)
        tally->count[i] += result->count[i];
}

static void work(worker *w, sim_plan plan, uint64_t last, int jobs)
{
    for (plan.seed = w->seed; plan.seed <= last && w->tally.failures < SIM_FAILURES; plan.seed += (uint64_t)jobs) {
        sim_result result;
        w->seed = plan.seed;
        alarm(STUCK_S);
        sim_run(&plan, NULL, false, &result);
        add(&w->tally, &result);
        if (result.failed)
            keep(&w->tally, &plan, &result);
    }
    w->ended = true;
}

static bool employ(worker *w, const sim_plan *plan, uint64_t last, int jobs)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        work(w, *plan, last, jobs);
        exit(0);
    }
    w->pid = pid; /* by the parent alone: this memory is shared */
    return pid > 0;
}

/* A worker that died goes on behind the seed it died of. */
static bool replace(worker *w, const sim_plan *plan, uint64_t last, int jobs, int status)
{
    sim_result result = { 0 };
    sim_plan played = *plan;
    w->pid = 0;
    judge_end(status, &result);
    if (!result.failed && !w->ended)
        fail(&result, "something ended the process, code", 0);
    if (!result.failed)
        return true;
    played.seed = w->seed;
    keep(&w->tally, &played, &result);
    w->seed += (uint64_t)jobs;
    return w->ended || w->seed > last || employ(w, plan, last, jobs);
}

static void show(const worker *workers, int jobs, uint64_t total, int64_t ms)
{
    uint64_t played = 0;
    for (int i = 0; i < jobs; i++)
        played += workers[i].tally.played;
    double rate = (double)played * 1000 / (double)(ms ? ms : 1);
    fprintf(stderr, "\r%llu of %llu histories, %.0f/s, %.0f s left \033[K", (unsigned long long)played, (unsigned long long)total,
            rate, rate > 0 ? (double)(total - played) / rate : 0);
}

static int by_seed(const void *a, const void *b)
{
    uint64_t left = ((const sim_failure *)a)->plan.seed, right = ((const sim_failure *)b)->plan.seed;
    return left < right ? -1 : left > right;
}

static void gather(const worker *workers, int jobs, sim_tally *out)
{
    sim_failure *all = calloc((size_t)jobs * SIM_FAILURES, sizeof *all);
    int failures = 0;
    for (int i = 0; i < jobs; i++) {
        out->played += workers[i].tally.played;
        out->events += workers[i].tally.events;
        add_points(&out->points, &workers[i].tally.points);
        for (int f = 0; f < SIM_COUNTS; f++)
            out->count[f] += workers[i].tally.count[f];
        for (int f = 0; all && f < workers[i].tally.failures; f++)
            all[failures++] = workers[i].tally.failure[f];
    }
    if (all)
        qsort(all, (size_t)failures, sizeof *all, by_seed);
    for (int i = 0; all && i < failures && i < SIM_FAILURES; i++)
        out->failure[out->failures++] = all[i];
    free(all);
}

bool sim_workers(const sim_plan *plan, uint64_t first, uint64_t last, int jobs, bool progress, sim_tally *out)
{
    int64_t began = now_ms();
    size_t size = (size_t)jobs * sizeof(worker);
    worker *workers = shared(size);
    bool ok = workers != NULL, busy = ok;
    for (int i = 0; ok && i < jobs; i++) {
        workers[i].seed = first + (uint64_t)i;
        ok = employ(&workers[i], plan, last, jobs);
    }
    while (busy) {
        const struct timespec tick = { 0, 20 * 1000000 };
        busy = false;
        for (int i = 0, status; i < jobs; i++) {
            if (workers[i].pid > 0 && waitpid(workers[i].pid, &status, WNOHANG) == workers[i].pid)
                ok = replace(&workers[i], plan, last, jobs, status) && ok;
            busy = busy || workers[i].pid > 0;
        }
        if (progress)
            show(workers, jobs, last - first + 1, now_ms() - began);
        if (busy)
            nanosleep(&tick, NULL);
    }
    if (progress)
        fputs("\r\033[K", stderr);
    *out = (sim_tally){ 0 };
    if (workers)
        gather(workers, jobs, out);
    if (workers)
        munmap(workers, size);
    out->ms = now_ms() - began;
    return ok;
}
