/* SPDX-License-Identifier: MIT
 * Simulation: one seed, one history of random faults (support/sim.h); then everything heals, and sim_check.c says whether
 * anything was lost, doubled or out of order. What fails is shrunk, and its smallest history printed.
 *
 * A process dies between two steps, and at any failpoint inside one where the build has them (debug, asan, tsan). */
#include "support/sim_shrink.h"
#include "support/sim_workers.h"

#include <malloc.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef BUS_FAILPOINTS
#define FAILPOINTS true
#else
#define FAILPOINTS false
#endif

#define ENOUGH 1000 /* so many histories hold each fault, or the simulation is not what it says */

static const char usage[] =
    "usage: simulate [--seeds A:B] [--jobs N] [--shrink SECONDS]      plays many histories ($SEEDS, or 1:300)\n"
    "       simulate --seed N [--verbose] [PLAN]                      plays one and prints it\n"
    "  --jobs N          at once (all processors)\n"
    "  --first           stops at the lowest seed that fails, and prints what it found alone\n"
    "  --shrink SECONDS  time to make a failing history smaller (60); 0: as it is\n"
    "  --verbose         with what the library logs\n"
    "  PLAN              what a failure prints: --steps LIST, --without FAULTS, --processes 1\n";

typedef struct options {
    unsigned long long first, last;
    int jobs, shrink;
    bool one, first_alone, verbose;
    sim_plan plan;
} options;

static bool number(const char *text, int least, int *out)
{
    char *end;
    long n = strtol(text, &end, 10);
    *out = (int)n;
    return end != text && !*end && n >= least && n <= 100000;
}

static bool range(const char *text, options *o)
{
    return sscanf(text, "%llu:%llu", &o->first, &o->last) == 2 && o->first <= o->last;
}

static bool read_options(int argc, char **argv, options *o)
{
    const char *seeds = getenv("SEEDS");
    *o = (options){ .first = 1, .last = 300, .jobs = (int)sysconf(_SC_NPROCESSORS_ONLN), .shrink = 60 };
    if (seeds && *seeds && !range(seeds, o))
        return false;
    sim_plan_init(&o->plan, 1);
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = argv[i + 1];
        if (strcmp(name, "--verbose") == 0 || strcmp(name, "--first") == 0) {
            *(name[2] == 'v' ? &o->verbose : &o->first_alone) = true;
            continue;
        }
        bool ok = value && (strcmp(name, "--seeds") == 0    ? range(value, o)
                            : strcmp(name, "--jobs") == 0   ? number(value, 1, &o->jobs)
                            : strcmp(name, "--shrink") == 0 ? number(value, 0, &o->shrink)
                                                            : sim_plan_option(&o->plan, name, value));
        if (!ok)
            return false;
        o->one = o->one || strcmp(name, "--seed") == 0;
        i++;
    }
    return true;
}

static void print_again(const sim_plan *plan)
{
    printf("again: simulate ");
    sim_plan_print(plan, stdout);
    putchar('\n');
}

/* A failure, as small as it gets in the time, and its history. */
static void tell(sim_failure *failure, int seconds)
{
    unsigned long long seed = failure->plan.seed;
    sim_result again;
    printf("seed %llu fails: %s\n", seed, failure->result.text);
    sim_play_apart(&failure->plan, &again);
    if (!again.failed || strcmp(again.text, failure->result.text) != 0 || again.print != failure->result.print)
        printf("seed %llu went another way when it was played again: something in it is not deterministic\n", seed);
    if (again.failed && seconds) {
        failure->result = again;
        sim_shrunk shrunk = sim_shrink(&failure->plan, &failure->result, sim_play_apart, seconds);
        printf("shrunk to %d of %d steps in %d tries%s: %s\n", shrunk.steps, SIM_STEPS, shrunk.tries,
               shrunk.in_time ? "" : ", no further, time ran out", failure->result.text);
    }
    fflush(stdout);
    pid_t pid = fork(); /* it may crash */
    if (pid == 0) {
        setvbuf(stdout, NULL, _IOLBF, 0);
        sim_run(&failure->plan, stdout, false, &again);
        exit(0);
    }
    if (pid > 0)
        sim_wait(pid, &again);
    print_again(&failure->plan);
}

static int play_one(const options *o)
{
    sim_result result;
    sim_run(&o->plan, stdout, o->verbose, &result);
    printf("%d passed, %d failed\n", !result.failed, result.failed);
    return result.failed;
}

/* Each fault must have struck: a simulation in which one never happens proves nothing about it. */
static int print_counts(const sim_tally *tally)
{
    int missing = 0;
    printf("%llu histories, %lld effects, %lld s; faults:\n", (unsigned long long)tally->played, (long long)tally->events,
           (long long)(tally->ms + 500) / 1000);
    for (int i = 0; i < SIM_COUNTS; i++) {
        bool never = !tally->count[i] && tally->played >= ENOUGH && (FAILPOINTS || i != SIM_DEATH_INSIDE);
        printf("%12lld %s%s\n", (long long)tally->count[i], sim_fault_name((sim_fault)i), never ? ": it must happen" : "");
        missing += never;
    }
    for (int i = 0; i < SIM_POINTS && tally->points.name[i]; i++) {
        bool never = !tally->points.deaths[i] && tally->played >= ENOUGH;
        printf("%12lld death at %s%s\n", (long long)tally->points.deaths[i], tally->points.name[i],
               never ? ": it must happen" : "");
        missing += never;
    }
    return missing;
}

static int play_many(options *o)
{
    sim_tally tally;
    if (!FAILPOINTS)
        printf("this build has no failpoints: processes die between steps only\n");
    if (!sim_workers(&o->plan, o->first, o->last, o->jobs, isatty(STDERR_FILENO), &tally)) {
        fprintf(stderr, "simulate: no process can be started, or there is no memory\n");
        return 1;
    }
    for (int i = 0; i < tally.failures; i++)
        tell(&tally.failure[i], i == 0 ? o->shrink : 0);
    if (tally.failures == SIM_FAILURES)
        printf("%d seeds have failed: the rest is left out\n", SIM_FAILURES);
    int missing = tally.failures ? 0 : print_counts(&tally);
    int failed = tally.failures + missing;
    printf("%llu passed, %d failed\n", (unsigned long long)tally.played - (unsigned long long)tally.failures, failed);
    return failed ? 1 : 0;
}

/* In pieces, so that it does not depend on how many processors there are which seed is the lowest. */
static int find_first(options *o)
{
    sim_tally tally;
    uint64_t piece = 16;
    int64_t ms = 0;
    for (uint64_t from = o->first, to; from <= o->last; from = to + 1) {
        to = o->last - from < piece ? o->last : from + piece - 1;
        if (!sim_workers(&o->plan, from, to, o->jobs, isatty(STDERR_FILENO), &tally)) {
            fprintf(stderr, "simulate: no process can be started, or there is no memory\n");
            return 2;
        }
        ms += tally.ms;
        if (tally.failures) {
            printf("seed %llu fails after %lld s: %s\n", (unsigned long long)tally.failure[0].plan.seed,
                   (long long)(ms + 500) / 1000, tally.failure[0].result.text);
            print_again(&tally.failure[0].plan);
            return 1;
        }
        piece = piece < 512 ? piece * 2 : piece;
    }
    printf("none of seeds %llu to %llu fails\n", o->first, o->last);
    return 0;
}

/* A fifth of the time goes into memory: what one history has given back the next one takes. */
static void keep_memory(void)
{
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 256, 1000);
    mallopt(M_MMAP_THRESHOLD, 64 << 20);
    mallopt(M_TRIM_THRESHOLD, 256 << 20);
}

int main(int argc, char **argv)
{
    options o;
    keep_memory();
    if (!read_options(argc, argv, &o)) {
        fputs(usage, stderr);
        return 2;
    }
    return o.one ? play_one(&o) : o.first_alone ? find_first(&o) : play_many(&o);
}
