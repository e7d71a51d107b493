/* SPDX-License-Identifier: MIT
 * bus services: which processes of which services live. */
#include "cli/cli.h"
#include "base/error.h"
#include "ops/fleet.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const cli_option options[] = {
    { "stale", 0, "TIME", "a process is stale after this long without a heartbeat (30s)" },
    { "live", 0, NULL, "only those that are not" },
    { NULL, 0, NULL, NULL }
};

static void row(cli_table *table, const bus_process *process, int64_t now, bool live)
{
    char age[32], json[32], shards[240];
    int64_t old = now > process->at_ms ? now - process->at_ms : 0;
    bool serving = !strcmp(process->state, "serving");
    cli_cell(table, process->service);
    cli_cell(table, process->instance);
    cli_cell(table, live ? process->state : "stale");
    cli_paint(table, !live ? CLI_RED : serving ? CLI_GREEN : CLI_YELLOW);
    cli_cell_bool(table, live);
    snprintf(shards, sizeof shards, "%" PRId64 " of %" PRId64 "%s%s", process->held, process->shard_count, process->held ? ": " : "",
             process->held ? process->shards : "");
    cli_cell(table, shards);
    cli_cell_int(table, process->held);
    cli_cell_int(table, process->shard_count);
    cli_cell(table, process->version);
    cli_cell(table, process->host);
    cli_cell_int(table, process->pid);
    cli_cell_time(table, process->started_ms);
    snprintf(json, sizeof json, "%.3f", (double)old / 1000);
    cli_cell_both(table, cli_age(old, age), json);
    cli_cell(table, process->why);
}

static int run(cli *c)
{
    static const cli_column columns[] = { { "SERVICE", "service", false }, { "INSTANCE", "instance", false }, { "STATE", "state", false },
        { NULL, "live", false }, { "SHARDS", NULL, false }, { NULL, "held", true }, { NULL, "shard_count", true },
        { "VERSION", "version", false }, { "HOST", "host", false }, { "PID", "pid", true }, { "STARTED", "started", false },
        { "HEARD", "heard_seconds_ago", true }, { "NOTE", "note", false } };
    bus_fleet fleet = { 0 };
    bus_error err = { 0 };
    int64_t stale = 30000, now = cli_now();
    size_t shown = 0, wanted = 0;

    if (!cli_duration(c, "stale", &stale))
        return CLI_USAGE;
    if (bus_fleet_read(c->config, c->timeout_ms, NULL, &fleet, &err) != BUS_OK)
        return cli_fail(c, &err);
    cli_table *table = cli_table_new(columns, sizeof columns / sizeof columns[0]);
    for (size_t i = 0; table && i < fleet.count; i++) {
        const bus_process *process = &fleet.list[i];
        bool named = !c->operands, live = now - process->at_ms <= stale;
        for (int k = 0; k < c->operands; k++)
            named |= !strcmp(c->operand[k], process->service);
        wanted += named;
        if (!named || (cli_flag(c, "live") && !live))
            continue;
        row(table, process, now, live);
        shown++;
    }
    int code = cli_print(c, table, shown ? CLI_OK : CLI_NOTHING);
    if (code == CLI_NOTHING)
        cli_note(c, wanted ? "all are stale (--stale)" : "no process has written a heartbeat: does one run on this cluster?");
    bus_fleet_free(&fleet);
    return code;
}

const cli_command cli_services = {
    .name = "services", .operands = "[SERVICE...]", .least = 0, .most = -1,
    .summary = "list the processes of services, live and stale",
    .text = "Goes by the heartbeats on bus.services, which each process writes every heartbeat.interval.ms: what is\n"
            "shown may be that old. SHARDS is how many of the service's shards the process has, and which.",
    .options = options,
    .examples = "  bus services\n  bus services order --live -o json",
    .run = run
};
