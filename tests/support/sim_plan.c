/* SPDX-License-Identifier: MIT
 * Plans as text: the options of `simulate`. */
#include "support/sim_plan.h"

#include <stdlib.h>
#include <string.h>

static const char *const names[SIM_COUNTS] = {
    [SIM_HELD] = "held",
    [SIM_LOST_ACK] = "lost-ack",
    [SIM_DUPLICATE] = "duplicate",
    [SIM_FALSE_ACK] = "false-ack",
    [SIM_UNSURE] = "unsure-ack",
    [SIM_FAILED] = "failed",
    [SIM_TOPIC] = "topic-fault",
    [SIM_RECORD] = "record-fault",
    [SIM_FATAL] = "fatal-producer",
    [SIM_SHORT_FETCH] = "short-fetch",
    [SIM_AWAY] = "broker-away",
    [SIM_COMMIT_REFUSED] = "commit-refused",
    [SIM_LOOK_FAILS] = "look-fails",
    [SIM_ZOMBIE] = "zombie",
    [SIM_REBALANCE] = "rebalance",
    [SIM_LOST] = "membership-lost",
    [SIM_LEADER_MOVES] = "leader-moves",
    [SIM_NOT_LEADER] = "not-leader",
    [SIM_TIMED_OUT] = "timed-out-though-written",
    [SIM_FEW_REPLICAS] = "few-replicas",
    [SIM_NOT_APPENDED] = "few-replicas-before-append",
    [SIM_APPENDED] = "few-replicas-after-append",
    [SIM_EXPIRED] = "expired",
    [SIM_UNCLEAN] = "unclean-election",
    [SIM_RECREATED] = "recreated",
    [SIM_RESET_BACK] = "reset-back",
    [SIM_RESET_FORWARD] = "reset-forward",
    [SIM_NO_SIGN] = "no-sign",
    [SIM_REFILLED] = "refilled",
    [SIM_LOOK_WAITS] = "look-waits",
    [SIM_MARKERS] = "transaction-markers",
    [SIM_NOISE] = "foreign-noise",
    [SIM_CLOCK_FORWARD] = "clock-forward",
    [SIM_CLOCK_BACK] = "clock-back",
    [SIM_DEATH] = "death",
    [SIM_DEATH_INSIDE] = "death-inside",
    [SIM_STOP] = "stop",
    [SIM_REPEAT] = "foreign-repeat",
    [SIM_REDRIVE] = "redrive",
    [SIM_DISCARD] = "discard",
    [SIM_COMMAND_TWICE] = "command-twice",
    [SIM_CALL] = "transaction",
    [SIM_INLINE_RUN] = "transaction-by-its-caller",
    [SIM_REPLAY] = "replay",
    [SIM_REPLAY_EARLY] = "replay-before-its-event",
    [SIM_CLAIM] = "claimed-command",
    [SIM_LIMIT] = "limit-lowered",
    [SIM_ROW_RETRY] = "row-retry",
    [SIM_ROW_DISCARD] = "row-discard",
    [SIM_RETRY] = "handler-retry",
    [SIM_REJECT] = "handler-reject",
    [SIM_PAUSE] = "handler-pause",
    [SIM_STICKY] = "handler-error",
    [SIM_KILLER] = "handler-kills",
    [SIM_PREPARE_RETRY] = "prepare-retry",
    [SIM_PREPARE_PAUSE] = "prepare-pause",
    [SIM_POWER] = "power-loss",
    [SIM_POWER_INSIDE] = "power-loss-inside",
    [SIM_DEATH_AT_DISK] = "death-at-disk",
    [SIM_FULL_DISK] = "full-disk",
    [SIM_SYNC_FAILS] = "sync-fails",
    [SIM_WRITE_FAILS] = "write-fails",
    [SIM_READ_FAILS] = "read-fails",
    [SIM_FORGED_HOP] = "forged-hop",
    [SIM_COPIED] = "copied-elsewhere",
    [SIM_FORGED_COMMAND] = "forged-command",
    [SIM_STRANGER] = "stranger",
    [SIM_STRANGER_COMMITS] = "stranger-commits",
    [SIM_OLD_COPY] = "older-copy",
    [SIM_OLDER_VERSION] = "older-version",
    [SIM_GAP_TOLD] = "gap-told",
    [SIM_HALTED] = "halted",
    [SIM_ASKED] = "asked-whose-offset",
};

const char *sim_fault_name(sim_fault fault)
{
    return names[fault];
}

void sim_point(sim_points *points, const char *name, int64_t deaths)
{
    int i = 0;
    while (i < SIM_POINTS && points->name[i] && points->name[i] != name)
        i++;
    if (i == SIM_POINTS)
        return;
    points->name[i] = name;
    points->deaths[i] += deaths;
}

void sim_plan_init(sim_plan *plan, uint64_t seed)
{
    *plan = (sim_plan){ .seed = seed, .processes = 2 };
}

/* ---- to text */

static void print_steps(const sim_plan *plan, FILE *out)
{
    const char *before = " --steps ";
    int kept = 0;
    for (int i = 0, end; i < SIM_STEPS; i = end) {
        for (end = i + 1; end < SIM_STEPS && sim_plan_has(plan, end) == sim_plan_has(plan, i);)
            end++;
        if (!sim_plan_has(plan, i))
            continue;
        if (i == 0 && end == SIM_STEPS)
            return; /* all of them */
        fprintf(out, end == i + 1 ? "%s%d" : "%s%d-%d", before, i, end - 1);
        before = ",";
        kept++;
    }
    if (!kept)
        fputs(" --steps none", out);
}

void sim_plan_print(const sim_plan *plan, FILE *out)
{
    fprintf(out, "--seed %llu", (unsigned long long)plan->seed);
    if (plan->processes != 2)
        fprintf(out, " --processes %d", plan->processes);
    const char *before = " --without ";
    for (int i = 0; i < SIM_FAULTS; i++)
        if (!sim_plan_allows(plan, i)) {
            fprintf(out, "%s%s", before, names[i]);
            before = ",";
        }
    print_steps(plan, out);
}

/* ---- from text */

static bool take_steps(sim_plan *plan, const char *text)
{
    memset(plan->left_out, 0xFF, sizeof plan->left_out);
    if (strcmp(text, "none") == 0)
        return true;
    for (char *end; *text; text = *end ? end + 1 : end) {
        long from = strtol(text, &end, 10), to = from;
        if (end != text && *end == '-')
            to = strtol(text = end + 1, &end, 10);
        if (end == text || (*end && *end != ',') || from < 0 || to >= SIM_STEPS)
            return false;
        for (; from <= to; from++)
            plan->left_out[from / 64] &= ~(UINT64_C(1) << (from % 64));
    }
    return true;
}

static bool take_faults(sim_plan *plan, const char *text)
{
    for (size_t len; *text; text += len + (text[len] == ',')) {
        len = strcspn(text, ",");
        int i = 0;
        while (i < SIM_FAULTS && (strlen(names[i]) != len || memcmp(names[i], text, len) != 0))
            i++;
        if (i == SIM_FAULTS)
            return false;
        sim_plan_forbid(plan, i);
    }
    return true;
}

static bool take_number(const char *text, uint64_t most, uint64_t *out)
{
    char *end;
    *out = strtoull(text, &end, 10);
    return end != text && !*end && *out <= most;
}

bool sim_plan_option(sim_plan *plan, const char *name, const char *value)
{
    uint64_t number = 0;
    bool ok = false;
    if (strcmp(name, "--seed") == 0) {
        ok = take_number(value, UINT64_MAX, &plan->seed);
    } else if (strcmp(name, "--steps") == 0) {
        ok = take_steps(plan, value);
    } else if (strcmp(name, "--without") == 0) {
        ok = take_faults(plan, value);
    } else if (strcmp(name, "--processes") == 0) {
        ok = take_number(value, 2, &number) && number > 0;
        plan->processes = ok ? (int)number : plan->processes;
    }
    return ok;
}
