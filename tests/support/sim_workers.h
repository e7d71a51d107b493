/* SPDX-License-Identifier: MIT
 * Workers: processes that play a range of seeds side by side. What they find does not depend on how many they are. */
#ifndef TESTS_SUPPORT_SIM_WORKERS_H
#define TESTS_SUPPORT_SIM_WORKERS_H

#include "support/sim_plan.h"

#define SIM_FAILURES 5 /* so many are told; then the rest is left out */

typedef struct sim_failure {
    sim_plan plan;
    sim_result result;
} sim_failure;

typedef struct sim_tally {
    uint64_t played;
    int64_t count[SIM_COUNTS];
    sim_points points;
    int64_t events;
    sim_failure failure[SIM_FAILURES]; /* those of the lowest seeds */
    int failures;
    int64_t ms;
} sim_tally;

/* Plays `plan` with each seed from first to last. False: no memory, or no process can be started. */
bool sim_workers(const sim_plan *plan, uint64_t first, uint64_t last, int jobs, bool progress, sim_tally *out);
/* Plays one plan in a process of its own: a crash is a failure like another, and so is what does not end. */
void sim_play_apart(const sim_plan *plan, sim_result *result);
/* Waits for a process; if it did not end well, that is the result. */
void sim_wait(int pid, sim_result *result);

#endif
