/* SPDX-License-Identifier: MIT
 * bus topics plan|apply|list: the topics that services declare, and those that a cluster has. */
#include "cli/cli.h"
#include "base/error.h"
#include "cli/child.h"
#include "cli/declarations.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const cli_option options[] = { CLI_DECLARATION_OPTIONS, { NULL, 0, NULL, NULL } };

static void retention_cell(cli_table *table, int64_t ms)
{
    char text[32], json[32];
    snprintf(json, sizeof json, "%" PRId64, ms);
    cli_cell_both(table, ms < 0 ? "no limit" : ms == 0 ? "-" : cli_age(ms, text), json);
}

static cli_table *plan_table(const bui_step *steps, size_t count)
{
    static const cli_column columns[] = { { "STEP", "step", CLI_TEXT },
                                          { "TOPIC", "topic", CLI_LONG },
                                          { "ROLE", "role", CLI_TEXT },
                                          { "PARTS", "partitions", CLI_NUMBER },
                                          { "NOW", "now", CLI_NUMBER },
                                          { "CLEANUP", "cleanup", CLI_TEXT },
                                          { "RETENTION", "retention_ms", CLI_NUMBER },
                                          { "DECLARED BY", "declared_by", CLI_LONG },
                                          { "NOTE", "note", CLI_LONG } };
    static const cli_colour colours[] = { CLI_DIM, CLI_GREEN, CLI_YELLOW, CLI_RED };
    cli_table *table = cli_table_new(columns, sizeof columns / sizeof columns[0]);
    for (size_t i = 0; table && i < count; i++) {
        const bui_step *step = &steps[i];
        const char *note = step->text[0] ? step->text
                           : !step->wish->written && !strcmp(step->wish->role, "input")
                               ? "read, but no service here declares that it writes it"
                               : "";
        cli_cell(table, bui_step_name(step->kind));
        cli_paint(table, colours[step->kind]);
        cli_cell(table, step->wish->name);
        cli_cell(table, step->wish->role);
        cli_cell_int(table, step->spec.partitions);
        if (step->has)
            cli_cell_int(table, step->has);
        else
            cli_cell(table, NULL);
        cli_cell(table, step->wish->cleanup);
        retention_cell(table, step->spec.retention_ms);
        cli_cell(table, step->wish->by);
        cli_cell(table, note);
    }
    return table;
}

static void count_steps(const bui_step *steps, size_t count, size_t of[4])
{
    memset(of, 0, 4 * sizeof *of);
    for (size_t i = 0; i < count; i++)
        of[steps[i].kind]++;
}

static int code_of(const size_t of[4])
{
    return of[BUI_STEP_REFUSE] ? CLI_REFUSED : of[BUI_STEP_DIFFERS] ? CLI_PARTIAL : CLI_OK;
}

static bus_status create(const cli *c, bui_kafka_admin *admin, bui_step *steps, size_t count, bus_error *err)
{
    size_t used = 0;
    bui_kafka_topic_spec *specs = calloc(count + 1, sizeof *specs);
    if (!specs)
        return bui_fail_nomem(err);
    for (size_t i = 0; i < count; i++)
        if (steps[i].kind == BUI_STEP_CREATE)
            specs[used++] = steps[i].spec;
    bus_status status = used ? bui_kafka_admin_create(admin, specs, used, false, c->timeout_ms, err) : BUS_OK;
    for (size_t i = 0, at = 0; i < count; i++)
        if (steps[i].kind == BUI_STEP_CREATE) {
            const bui_kafka_topic_spec *spec = &specs[at++];
            if (spec->status != BUS_OK && spec->status != BUS_EXISTS)
                snprintf(steps[i].text, sizeof steps[i].text, "not created: %s", spec->text);
        }
    free(specs);
    return status;
}

static int finish(const cli *c, bui_kafka_admin *admin, bui_step *steps, size_t count, bool apply)
{
    bus_error err = { 0 };
    size_t of[4];
    count_steps(steps, count, of);
    int code = code_of(of);
    /* Heartbeats are what any writer of their topic says. */
    bool heard = apply && !cli_value(c, "program") && !cli_value(c, "file") && of[BUI_STEP_CREATE];
    if (heard)
        code = CLI_REFUSED;
    /* All or nothing: half a topology starts services that then stop at the other half. */
    bool create_now = apply && !of[BUI_STEP_REFUSE] && !heard;
    bus_status status = create_now ? create(c, admin, steps, count, &err) : BUS_OK;
    code = cli_print(c, plan_table(steps, count), code);
    if (status != BUS_OK) {
        cli_fail(c, &err);
        return status == BUS_BROKER || status == BUS_TIMEOUT ? CLI_UNREACHABLE : CLI_PARTIAL;
    }
    if (of[BUI_STEP_REFUSE])
        cli_note(c, "%s: %zu of %zu topics cannot be as declared; see NOTE", apply ? "nothing was changed" : "refused",
                 of[BUI_STEP_REFUSE], count);
    else if (heard)
        cli_note(c,
                 "nothing was created: %zu topics are asked for by heartbeats alone, which anybody who may write to "
                 "bus.services can send; name "
                 "the programs with --program or what they print with --file",
                 of[BUI_STEP_CREATE]);
    else
        cli_note(c, "%zu topics: %zu %s, %zu there as declared, %zu with other settings%s", count, of[BUI_STEP_CREATE],
                 apply ? "made" : "to be created", of[BUI_STEP_KEEP], of[BUI_STEP_DIFFERS],
                 !apply && of[BUI_STEP_CREATE] ? "; bus topics apply creates them" : "");
    return code;
}

static int run(cli *c, bool apply)
{
    bus_error err = { 0 };
    bui_topology *topology = NULL;
    bui_kafka_admin *admin = NULL;
    bui_kafka_topic *have = NULL;
    bui_step *steps = NULL;
    size_t have_count = 0, count = 0;
    bui_topic_defaults defaults = cli_topic_defaults(c);
    bus_status status = cli_declarations(c, true, &topology, &err);
    if (status == BUS_OK)
        status = bui_kafka_admin_open(c->config, "bus-topics", &admin, &err);
    if (status == BUS_OK)
        status = cli_topics(c, admin, NULL, 0, &have, &have_count, &err);
    if (status == BUS_OK)
        status = bui_topology_plan(topology, &defaults, have, have_count, &steps, &count, &err);
    int code = status == BUS_OK ? finish(c, admin, steps, count, apply) : cli_fail(c, &err);
    free(steps);
    free(have);
    bui_kafka_admin_close(admin);
    bui_topology_free(topology);
    return code;
}

static int run_plan(cli *c)
{
    return run(c, false);
}

static int run_apply(cli *c)
{
    return run(c, true);
}

#define WHERE_FROM \
    "Declarations come from the services' programs, which are run with --topics; from files that hold\n" \
    "what they print; or, if you name neither, from the heartbeats of running services.\n"

const cli_command cli_topics_plan = {
    .name = "topics plan",
    .operands = "",
    .least = 0,
    .most = 0,
    .summary = "compare the topics that services declare with the cluster's",
    .text = WHERE_FROM "Changes nothing. Exit code 3 if a topic has other settings than declared, 5 if one cannot serve.",
    .options = options,
    .examples = "  bus topics plan --program bin/order --program bin/inventory\n"
                "  bus topics plan --program \"bin/order --shards=8\" -o json\n"
                "  bus topics plan                            by the heartbeats of what runs",
    .run = run_plan
};

const cli_command cli_topics_apply = {
    .name = "topics apply",
    .operands = "",
    .least = 0,
    .most = 0,
    .summary = "create the topics that are missing",
    .text = WHERE_FROM
    "A topic that only heartbeats ask for is shown but not created, because anybody who may write to bus.services\n"
    "could ask for it. The command only creates: it never deletes, shrinks or grows a topic (growing would move\n"
    "keys to other shards). If one topic cannot serve as declared, nothing is created. The properties topics.*\n"
    "give replication and the like.",
    .options = options,
    .examples = "  bus topics apply --program build/release/bin/order\n"
                "  bus topics apply --file topics.json --set topics.replication=3",
    .run = run_apply
};

/* ---- list */

static const cli_option list_options[] = { { NULL, 0, NULL, NULL } };

/* Says which of those asked for are not there; returns how many. */
static int say_absent(const cli *c, const bui_kafka_topic *topics, size_t count)
{
    int absent = 0;
    for (int i = 0; i < c->operands; i++) {
        bool there = false;
        for (size_t k = 0; k < count && !there; k++)
            there = !strcmp(topics[k].name, c->operand[i]);
        if (!there)
            cli_note(c, "there is no topic %s", c->operand[i]);
        absent += !there;
    }
    return absent;
}

static int run_list(cli *c)
{
    static const cli_column columns[] = { { "TOPIC", "topic", CLI_LONG },
                                          { "PARTS", "partitions", CLI_NUMBER },
                                          { "REPLICAS", "replication", CLI_NUMBER },
                                          { "LEADERLESS", "leaderless", CLI_NUMBER },
                                          { "CLEANUP", "cleanup", CLI_TEXT },
                                          { "RETENTION", "retention_ms", CLI_NUMBER },
                                          { "MIN ISR", "min_insync", CLI_NUMBER } };
    bus_error err = { 0 };
    bui_kafka_admin *admin = NULL;
    bui_kafka_topic *topics = NULL;
    size_t count = 0;
    bus_status status = bui_kafka_admin_open(c->config, "bus-topics", &admin, &err);
    if (status == BUS_OK)
        status = cli_topics(c, admin, c->operands ? (const char *const *)c->operand : NULL, (size_t)c->operands, &topics, &count,
                            &err);
    if (c->operands == 0 && status == BUS_OK && !count)
        cli_note(c, "the cluster has no topics");
    cli_table *table = cli_table_new(columns, sizeof columns / sizeof columns[0]);
    for (size_t i = 0; table && i < count; i++) {
        const bui_kafka_topic *topic = &topics[i];
        cli_cell(table, topic->name);
        cli_cell_int(table, topic->partitions);
        cli_cell_int(table, topic->replication);
        cli_cell_int(table, topic->leaderless);
        cli_paint(table, topic->leaderless ? CLI_RED : CLI_PLAIN);
        cli_cell(table, topic->configured ? topic->cleanup : NULL);
        if (topic->configured)
            retention_cell(table, topic->retention_ms);
        else
            cli_cell(table, NULL);
        if (topic->configured)
            cli_cell_int(table, topic->min_insync);
        else
            cli_cell(table, NULL);
    }
    int code;
    if (status == BUS_OK) {
        int absent = say_absent(c, topics, count);
        code = cli_print(c, table, !absent ? CLI_OK : count ? CLI_PARTIAL : CLI_NOTHING);
    } else {
        cli_table_free(table);
        code = cli_fail(c, &err);
    }
    free(topics);
    bui_kafka_admin_close(admin);
    return code;
}

const cli_command cli_topics_list = {
    .name = "topics list",
    .operands = "[TOPIC...]",
    .least = 0,
    .most = -1,
    .summary = "list the cluster's topics",
    .text = "Kafka's own topics are left out. The embedded broker does not show settings. If you name topics and some are\n"
            "missing, stderr says so: exit code 3, or 4 if all are missing.",
    .options = list_options,
    .examples = "  bus topics list\n  bus topics list order.events payment.dlq -o json",
    .run = run_list
};
