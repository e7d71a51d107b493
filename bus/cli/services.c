/* SPDX-License-Identifier: MIT
 * bus services: which processes of which services live. */
#include "cli/cli.h"
#include "base/error.h"
#include "kafka/lag.h"
#include "ops/fleet.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
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

static void stranger_row(cli_table *table, const char *service, const bus_kafka_member *member)
{
    char shards[240] = "";
    for (size_t i = 0; i < member->lead_count && strlen(shards) < 200; i++)
        snprintf(shards + strlen(shards), sizeof shards - strlen(shards), "%s%" PRId32, i ? ", " : "partitions ", member->lead[i]);
    cli_cell(table, service);
    cli_cell(table, member->client);
    cli_cell(table, "stranger");
    cli_paint(table, CLI_RED);
    cli_cell_bool(table, true);
    cli_cell(table, *shards ? shards : "none");
    cli_cell_int(table, 0);
    cli_cell(table, NULL);
    cli_cell(table, NULL);
    cli_cell(table, member->host);
    cli_cell(table, NULL);
    cli_cell(table, NULL);
    cli_cell_both(table, "-", "null");
    cli_cell(table, "in the group, and no process of this service: what it reads is not handled");
}

/* Who else is in the service's group. False: this broker does not tell (the embedded one), or does not let us know; it is said once. */
static bool strangers_of(cli *c, cli_table *table, const char *service, size_t *shown)
{
    bus_kafka_member *members = NULL;
    size_t count = 0;
    bus_error err = { 0 };
    bus_status status = bus_kafka_members(c->config, "bus-services", service, c->timeout_ms, &members, &count, &err);
    if (status != BUS_OK && status != BUS_REFUSED)
        cli_note(c, "who else is in the groups is not known: %s", err.text);
    for (size_t i = 0; status == BUS_OK && i < count; i++)
        if (!bus_kafka_member_is_ours(&members[i])) {
            stranger_row(table, service, &members[i]);
            (*shown)++;
        }
    free(members);
    return status == BUS_OK;
}

static bool is_named(const cli *c, const char *service)
{
    bool named = !c->operands;
    for (int k = 0; k < c->operands; k++)
        named |= !strcmp(c->operand[k], service);
    return named;
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
        bool named = is_named(c, process->service), live = now - process->at_ms <= stale;
        wanted += named;
        if (!named || (cli_flag(c, "live") && !live))
            continue;
        row(table, process, now, live);
        shown++;
    }
    bool tells = true; /* the list is sorted by service */
    for (size_t i = 0; table && tells && i < fleet.count; i++)
        if (is_named(c, fleet.list[i].service) && (!i || strcmp(fleet.list[i].service, fleet.list[i - 1].service) != 0))
            tells = strangers_of(c, table, fleet.list[i].service, &shown);
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
            "shown may be that old. SHARDS is how many of the service's shards the process has, and which.\n"
            "A \"stranger\" is a member of the service's group that is no process of it: Kafka gives it partitions,\n"
            "whose events nobody handles then.",
    .options = options,
    .examples = "  bus services\n  bus services order --live -o json",
    .run = run
};
