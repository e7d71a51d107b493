/* SPDX-License-Identifier: MIT
 * bus services: which processes of which services run. */
#include "cli/cli.h"
#include "base/error.h"
#include "kafka/lag.h"
#include "ops/instances.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const cli_option options[] = { { "stale", 0, "TIME", "a process is stale after this long without a heartbeat (30s)" },
                                      { "live", 0, NULL, "only those that are not stale" },
                                      { NULL, 0, NULL, NULL } };

static void row(cli_table *table, const bui_process *process, int64_t now, bool live)
{
    char age[32], json[32], shards[240];
    int64_t old = now > process->at_ms ? now - process->at_ms : 0;
    bool serving = !strcmp(process->state, "serving");
    cli_cell(table, process->service);
    cli_cell(table, process->instance);
    cli_cell(table, live ? process->state : "stale");
    cli_paint(table, !live ? CLI_RED : serving ? CLI_GREEN : CLI_YELLOW);
    cli_cell_bool(table, live);
    snprintf(shards, sizeof shards, "%" PRId64 " of %" PRId64 "%s%s", process->held, process->shard_count,
             process->held ? ": " : "", process->held ? process->shards : "");
    cli_cell(table, shards);
    cli_cell_int(table, process->held);
    cli_cell_int(table, process->shard_count);
    cli_cell(table, *process->service_version ? process->service_version : NULL);
    cli_cell(table, process->version);
    cli_cell(table, process->host);
    cli_cell_int(table, process->pid);
    cli_cell_time(table, process->started_ms);
    snprintf(json, sizeof json, "%.3f", (double)old / 1000);
    cli_cell_both(table, cli_age(old, age), json);
    cli_cell(table, process->why);
}

static void stranger_row(cli_table *table, const char *service, const bui_kafka_member *member)
{
    char shards[240] = "";
    for (size_t i = 0; i < member->lead_count && strlen(shards) < 200; i++)
        snprintf(shards + strlen(shards), sizeof shards - strlen(shards), "%s%" PRId32, i ? ", " : "partitions ",
                 member->lead[i]);
    cli_cell(table, service);
    cli_cell(table, member->client);
    cli_cell(table, "stranger");
    cli_paint(table, CLI_RED);
    cli_cell_bool(table, true);
    cli_cell(table, *shards ? shards : "none");
    cli_cell_int(table, 0);
    cli_cell(table, NULL);
    cli_cell(table, NULL);
    cli_cell(table, NULL);
    cli_cell(table, member->host);
    cli_cell(table, NULL);
    cli_cell(table, NULL);
    cli_cell_both(table, "-", "null");
    cli_cell(table, "in the group, but not a process of this service: what it reads is not handled");
}

/* Who else is in the service's group. False: this broker does not tell (the embedded one), or does not let us know; it is said once. */
static bool strangers_of(cli *c, cli_table *table, const char *service, size_t *shown)
{
    bui_kafka_member *members = NULL;
    size_t count = 0;
    bus_error err = { 0 };
    bus_status status = bui_kafka_members(c->config, "bus-services", service, c->timeout_ms, &members, &count, &err);
    if (status != BUS_OK && status != BUS_REFUSED)
        cli_note(c, "it is not known who else is in the groups: %s", err.text);
    for (size_t i = 0; status == BUS_OK && i < count; i++)
        if (!bui_kafka_member_is_ours(&members[i])) {
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

#define MANY 50000

static int run(cli *c)
{
    static const cli_column columns[] = { { "SERVICE", "service", CLI_TEXT },
                                          { "INSTANCE", "instance", CLI_LONG },
                                          { "STATE", "state", CLI_TEXT },
                                          { NULL, "live", CLI_TEXT },
                                          { "SHARDS", NULL, CLI_LONG },
                                          { NULL, "held", CLI_NUMBER },
                                          { NULL, "shard_count", CLI_NUMBER },
                                          { "VERSION", "service_version", CLI_TEXT },
                                          { "BUS", "version", CLI_TEXT },
                                          { "HOST", "host", CLI_LONG },
                                          { "PID", "pid", CLI_NUMBER },
                                          { "STARTED", "started", CLI_TEXT },
                                          { "HEARD", "heard_seconds_ago", CLI_NUMBER },
                                          { "NOTE", "note", CLI_LONG } };
    bui_instances instances = { 0 };
    bus_error err = { 0 };
    int64_t stale = 30000, now = cli_now();
    size_t shown = 0, wanted = 0;
    if (!cli_duration(c, "stale", &stale))
        return CLI_USAGE;
    if (bui_instances_read(c->config, c->timeout_ms, NULL, &instances, &err) != BUS_OK)
        return cli_fail(c, &err);
    cli_table *table = cli_table_new(columns, sizeof columns / sizeof columns[0]);
    for (size_t i = 0; table && i < instances.count; i++) {
        const bui_process *process = &instances.list[i];
        bool named = is_named(c, process->service), live = now - process->at_ms <= stale;
        wanted += named;
        if (!named || (cli_flag(c, "live") && !live))
            continue;
        row(table, process, now, live);
        shown++;
    }
    bool tells = true; /* the list is sorted by service */
    for (size_t i = 0; table && tells && i < instances.count; i++)
        if (is_named(c, instances.list[i].service) &&
            (!i || strcmp(instances.list[i].service, instances.list[i - 1].service) != 0))
            tells = strangers_of(c, table, instances.list[i].service, &shown);
    int code = cli_print(c, table, shown ? CLI_OK : CLI_NOTHING);
    if (code == CLI_NOTHING)
        cli_note(c, wanted ? "all are stale (--stale)" : "no process has written a heartbeat: does one run on this cluster?");
    if (instances.records > MANY && instances.records > MANY / 100 * instances.count)
        cli_note(
            c,
            "%zu heartbeats were read for %zu processes: the topic keeps what is replaced; `bus topics plan` names its settings",
            instances.records, instances.count);
    bui_instances_free(&instances);
    return code;
}

const cli_command cli_services = {
    .name = "services",
    .operands = "[SERVICE...]",
    .least = 0,
    .most = -1,
    .summary = "list the processes of services, live and stale",
    .text = "Shows the heartbeats on bus.services, which each process writes every heartbeat.interval.ms: what is shown\n"
            "may be that old. SHARDS is how many of the service's shards the process has, and which; VERSION is the\n"
            "service's own, BUS that of the library. A \"stranger\" is a member of the service's consumer group that is\n"
            "not a process of the service: Kafka gives it partitions, and nobody handles their events.",
    .options = options,
    .examples = "  bus services\n  bus services order --live -o json",
    .run = run
};
