/* SPDX-License-Identifier: MIT
 * Shrinking: the smallest plan that still fails by the same check. */
#ifndef TESTS_SUPPORT_SIM_SHRINK_H
#define TESTS_SUPPORT_SIM_SHRINK_H

#include "support/sim_plan.h"

/* Plays a plan. */
typedef void (*sim_player)(const sim_plan *plan, sim_result *result);

typedef struct sim_shrunk {
    int tries, steps; /* plays that it took; steps that are left */
    bool in_time;     /* false: there was no time to try all */
} sim_shrunk;

/* Leaves out of a failing plan what it fails without, for at most so many seconds: kinds of faults, processes, steps. `result`
 * is what the plan gave, and gives when it returns. */
sim_shrunk sim_shrink(sim_plan *plan, sim_result *result, sim_player play, int seconds);

#endif
