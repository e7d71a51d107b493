/* SPDX-License-Identifier: MIT
 * Shrinking by delta debugging: a part is left out if the rest still fails by the same check. */
#include "support/sim_shrink.h"

#include <string.h>
#include <time.h>

typedef struct search {
    sim_plan *plan;
    sim_result *result;
    sim_player play;
    time_t end;
    sim_shrunk out;
} search;

/* Takes the smaller plan if it fails, too. */
static bool try(search *at, const sim_plan *smaller)
{
    sim_result result;
    if (time(NULL) >= at->end) {
        at->out.in_time = false;
        return false;
    }
    at->out.tries++;
    at->play(smaller, &result);
    if (!result.failed || strcmp(result.check, at->result->check) != 0)
        return false;
    *at->plan = *smaller;
    *at->result = result;
    return true;
}

static void without_faults(search *at)
{
    for (int fault = 0; fault < SIM_FAULTS && at->out.in_time; fault++) {
        sim_plan smaller = *at->plan;
        sim_plan_forbid(&smaller, fault);
        if (at->result->count[fault])
            try(at, &smaller);
    }
}

static int count_steps(const sim_plan *plan)
{
    int count = 0;
    for (int i = 0; i < SIM_STEPS; i++)
        count += sim_plan_has(plan, i);
    return count;
}

/* Leaves out `size` of the steps that are left, at each place in turn, from the end; true if some went. */
static bool without_steps(search *at, int size)
{
    bool any = false;
    for (int end = SIM_STEPS; end > 0 && at->out.in_time;) {
        sim_plan smaller = *at->plan;
        int taken = 0;
        while (end > 0 && taken < size)
            if (sim_plan_has(&smaller, --end)) {
                sim_plan_leave_out(&smaller, end);
                taken++;
            }
        any = (taken && try(at, &smaller)) || any;
    }
    return any;
}

sim_shrunk sim_shrink(sim_plan *plan, sim_result *result, sim_player play, int seconds)
{
    search at = { plan, result, play, time(NULL) + seconds, { .in_time = true } };
    sim_plan smaller = *plan;
    for (int size = count_steps(plan) / 2; size >= 8; size /= 2)
        without_steps(&at, size);
    without_faults(&at);
    smaller = *plan;
    smaller.processes = 1;
    try(&at, &smaller);
    for (int size = 4; size >= 1 && at.out.in_time;)
        if (!without_steps(&at, size) || size > 1)
            size = size > 1 ? size / 2 : 0;
    without_faults(&at);
    at.out.steps = count_steps(plan);
    return at.out;
}
