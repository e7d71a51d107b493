/* SPDX-License-Identifier: MIT
 * Simulation: one seed, one history of random faults; then everything heals, and sim_check.c says whether anything was lost,
 * doubled or out of order. A seed that fails is run again with its history printed.
 *
 *   simulate [--seeds A:B] [--seed N [--verbose]]
 *
 * A process dies between two steps, and at any failpoint inside one where the build has them (debug, asan, tsan). */
#include "support/sim_plan.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

int main(int argc, char **argv)
{
    unsigned long long first = 1, last = 300;
    bool verbose = false;
    sim_plan plan;
    sim_plan_init(&plan, 1);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--verbose") == 0) {
            verbose = true;
        } else if (i + 1 < argc && strcmp(argv[i], "--seeds") == 0 && sscanf(argv[i + 1], "%llu:%llu", &first, &last) == 2) {
            i++;
        } else if (i + 1 < argc && sim_plan_option(&plan, argv[i], argv[i + 1])) {
            if (strcmp(argv[i], "--seed") == 0)
                first = last = plan.seed;
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
    sim_result result;
    for (plan.seed = first; plan.seed <= last; plan.seed++) {
        sim_run(&plan, verbose ? stdout : NULL, true, &result);
        failed += result.failed;
        if (result.failed && !verbose) {
            printf("seed %llu fails: %s; its history:\n", (unsigned long long)plan.seed, result.text);
            sim_run(&plan, stdout, true, &result);
            if (!result.failed)
                printf("it passed when it was run again: something in it is not deterministic\n");
            printf("again: simulate --verbose ");
            sim_plan_print(&plan, stdout);
            putchar('\n');
        }
        if (failed == 5) {
            printf("five seeds have failed: the rest is left out\n");
            last = plan.seed;
        }
    }
    printf("%lld s\n%llu passed, %llu failed\n", (long long)(time(NULL) - began), last - first + 1 - failed, failed);
    return failed ? 1 : 0;
}
