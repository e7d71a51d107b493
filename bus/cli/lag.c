/* SPDX-License-Identifier: MIT
 * bus lag: how far services are behind, in messages and seconds, by the offsets they committed. */
#include "cli/cli.h"
#include "base/error.h"
#include "kafka/admin.h"
#include "kafka/lag.h"
#include "shard/shard.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEAD_SUFFIX ".redrive"

static const cli_option options[] = {
    { "partitions", 'p', NULL, "each partition on its own line" },
    { "over", 0, "N", "only what is more than N messages behind" },
    { "max", 0, "N", "exit code 3 if a service is more than N messages behind, parked ones included; with -q prints nothing" },
    { NULL, 0, NULL, NULL }
};

/* What waits in the stores; a shard writes it with each offset that it commits (shard/commits.c). */
typedef struct waiting {
    bui_waiting in_stores;
    bool known;
} waiting;

typedef struct total {
    const char *service, *topic;
    int64_t lag, ms;
    int partitions;
    waiting waiting;
} total;

/* All lanes of a shard tell the same: its lead partition's counts. */
static waiting waiting_of(const bui_kafka_lag *at)
{
    waiting out = { 0 };
    size_t len = strlen(at->topic), suffix = strlen(LEAD_SUFFIX);
    if (len > suffix && strcmp(at->topic + len - suffix, LEAD_SUFFIX) == 0)
        out.known = bui_commit_waiting(at->metadata, &out.in_stores);
    return out;
}

static void waiting_cells(cli_table *table, const waiting *w)
{
    const int64_t figures[] = { w->in_stores.parked, w->in_stores.held, w->in_stores.delayed };
    for (int i = 0; i < 3; i++)
        if (w->known) {
            cli_cell_int(table, figures[i]);
            cli_paint(table, figures[i] && i < 2 ? CLI_YELLOW : CLI_PLAIN);
        } else {
            cli_cell(table, NULL);
        }
}

static void age_cell(cli_table *table, int64_t lag, int64_t ms)
{
    char text[32], json[32];
    if (lag == 0)
        cli_cell_both(table, "0", "0");
    else if (ms < 0)
        cli_cell(table, NULL);
    else {
        snprintf(json, sizeof json, "%.3f", (double)ms / 1000);
        cli_cell_both(table, cli_age(ms, text), json);
    }
}

static void partition_row(cli_table *table, const char *service, const bui_kafka_lag *at)
{
    cli_cell(table, service);
    cli_cell(table, at->topic);
    cli_cell_int(table, at->partition);
    if (at->committed >= 0)
        cli_cell_int(table, at->committed);
    else
        cli_cell(table, NULL);
    cli_cell_int(table, at->high);
    cli_cell_int(table, at->lag);
    cli_paint(table, at->lag ? CLI_YELLOW : CLI_GREEN);
    age_cell(table, at->lag, at->lag_ms);
    waiting w = waiting_of(at);
    waiting_cells(table, &w);
}

static void total_row(cli_table *table, const total *sum)
{
    cli_cell(table, sum->service);
    cli_cell(table, sum->topic);
    cli_cell_int(table, sum->partitions);
    cli_cell_int(table, sum->lag);
    cli_paint(table, sum->lag ? CLI_YELLOW : CLI_GREEN);
    age_cell(table, sum->lag, sum->ms);
    waiting_cells(table, &sum->waiting);
}

/* A topic's lag: messages add up, its age is that of the partition furthest behind. */
static void sum_up(total *sum, const bui_kafka_lag *at)
{
    sum->partitions++;
    sum->lag += at->lag;
    if (at->lag_ms > sum->ms)
        sum->ms = at->lag_ms;
    waiting w = waiting_of(at);
    sum->waiting.known |= w.known;
    sum->waiting.in_stores.parked += w.in_stores.parked;
    sum->waiting.in_stores.held += w.in_stores.held;
    sum->waiting.in_stores.delayed += w.in_stores.delayed;
}

/* A shard commits the offsets of all its partitions in one, with one metadata: those that are missing were deleted, by Kafka together with
 * their topic or by a tool. What is unread there cannot be counted. An offset that Kafka's tool has set has no metadata. */
static int64_t offsets_gone(const bui_kafka_lag *list, size_t count)
{
    int64_t told = 0, there = 0;
    for (size_t i = 0; i < count; i++)
        there += list[i].committed >= 0 && !*list[i].metadata;
    for (size_t i = 0; i < count; i++) {
        waiting lead = waiting_of(&list[i]);
        if (!lead.known || !lead.in_stores.partitions)
            continue;
        told += lead.in_stores.partitions;
        for (size_t k = 0; k < count; k++)
            there += strcmp(list[k].metadata, list[i].metadata) == 0;
    }
    return told > there ? told - there : 0;
}

static bus_status one_service(const cli *c, const char *service, int64_t over, cli_table *table, int64_t *worst, int64_t *gone,
                              int *rows, bus_error *err)
{
    bui_kafka_lag *list = NULL;
    size_t count = 0;
    total sum = { 0 };
    int64_t all = 0;
    bus_status status = bui_kafka_lag_read(c->config, "bus-lag", service, NULL, 0, true, c->timeout_ms, &list, &count, err);
    for (size_t i = 0; status == BUS_OK && i < count; i++) {
        bool last = i + 1 == count || strcmp(list[i + 1].topic, list[i].topic) != 0;
        int64_t parked = waiting_of(&list[i]).in_stores.parked;
        all += list[i].lag + parked;
        *rows += 1;
        if (cli_flag(c, "partitions")) {
            if (list[i].lag + parked > over)
                partition_row(table, service, &list[i]);
            continue;
        }
        if (!sum.topic)
            sum = (total){ .service = service, .topic = list[i].topic, .ms = -1 };
        sum_up(&sum, &list[i]);
        if (last) {
            if (sum.lag + sum.waiting.in_stores.parked > over)
                total_row(table, &sum);
            sum = (total){ 0 };
        }
    }
    if (all > *worst)
        *worst = all;
    int64_t missing = status == BUS_OK ? offsets_gone(list, count) : 0;
    if (missing && !c->quiet)
        cli_note(c,
                 "%s: the committed offsets of %" PRId64
                 " of its partitions are gone, deleted with their topic or by a tool: what is unread "
                 "there is not counted. It commits them again at its next start",
                 service, missing);
    *gone += missing;
    free(list);
    return status;
}

/* A service is what has a lead topic; other consumer groups of the cluster are none of the bus's business. */
static bus_status find_services(const cli *c, bui_kafka_topic **out, size_t *count, bus_error *err)
{
    bui_kafka_admin *admin = NULL;
    bui_kafka_topic *topics = NULL;
    size_t all = 0, kept = 0;
    bus_status status = bui_kafka_admin_open(c->config, "bus-lag", &admin, err);
    if (status == BUS_OK)
        status = bui_kafka_admin_topics(admin, NULL, 0, false, c->timeout_ms, &topics, &all, err);
    for (size_t i = 0; status == BUS_OK && i < all; i++) {
        size_t len = strlen(topics[i].name), suffix = strlen(LEAD_SUFFIX);
        if (len <= suffix || strcmp(topics[i].name + len - suffix, LEAD_SUFFIX) != 0)
            continue;
        topics[i].name[len - suffix] = 0;
        topics[kept++] = topics[i];
    }
    bui_kafka_admin_close(admin);
    if (status == BUS_OK) {
        *out = topics;
        *count = kept;
    }
    return status;
}

static int run(cli *c)
{
    static const cli_column by_partition[] = {
        { "SERVICE", "service", CLI_TEXT },       { "TOPIC", "topic", CLI_LONG },     { "PART", "partition", CLI_NUMBER },
        { "COMMITTED", "committed", CLI_NUMBER }, { "END", "end", CLI_NUMBER },       { "LAG", "lag", CLI_NUMBER },
        { "BEHIND", "lag_seconds", CLI_NUMBER },  { "PARKED", "parked", CLI_NUMBER }, { "HELD", "held", CLI_NUMBER },
        { "DELAYED", "delayed", CLI_NUMBER }
    };
    static const cli_column by_topic[] = { { "SERVICE", "service", CLI_TEXT },      { "TOPIC", "topic", CLI_LONG },
                                           { "PARTS", "partitions", CLI_NUMBER },   { "LAG", "lag", CLI_NUMBER },
                                           { "BEHIND", "lag_seconds", CLI_NUMBER }, { "PARKED", "parked", CLI_NUMBER },
                                           { "HELD", "held", CLI_NUMBER },          { "DELAYED", "delayed", CLI_NUMBER } };
    bool each = cli_flag(c, "partitions");
    bui_kafka_topic *found = NULL;
    size_t found_count = 0;
    int64_t over = -1, most = -1, worst = 0, gone = 0;
    int rows = 0, code;
    bus_error err = { 0 };
    bus_status status = BUS_OK;
    if (!cli_int(c, "over", 0, INT64_MAX, &over) || !cli_int(c, "max", 0, INT64_MAX, &most))
        return CLI_USAGE;
    cli_table *table = each ? cli_table_new(by_partition, 10) : cli_table_new(by_topic, 8);
    if (!table)
        return cli_failf(c, CLI_ERROR, "no memory");
    if (!c->operands)
        status = find_services(c, &found, &found_count, &err);
    for (size_t i = 0; status == BUS_OK && i < (c->operands ? (size_t)c->operands : found_count); i++)
        status = one_service(c, c->operands ? c->operand[i] : found[i].name, over, table, &worst, &gone, &rows, &err);
    if (status != BUS_OK) {
        cli_table_free(table);
        code = cli_fail(c, &err);
    } else {
        code = !rows ? CLI_NOTHING : most >= 0 && (worst > most || gone) ? CLI_PARTIAL : CLI_OK;
        if (c->quiet && most >= 0)
            cli_table_free(table); /* the exit code is the answer */
        else
            code = cli_print(c, table, code);
        if (code == CLI_NOTHING)
            cli_note(c, c->operands ? "no offsets are committed under that name: has the service run?"
                                    : "no service has committed offsets");
    }
    free(found);
    return code;
}

const cli_command cli_lag = {
    .name = "lag",
    .operands = "[SERVICE...]",
    .least = 0,
    .most = -1,
    .summary = "show how far services are behind, in messages and seconds",
    .text = "LAG counts the messages between the committed offset and the end of the log; BEHIND is the age of the oldest\n"
            "of them. A service commits its offsets after its outbox is acknowledged, at most commit.interval.ms late.\n\n"
            "What a service has read but not finished waits in its stores. It is shown on the line of the lead topic,\n"
            "<service>.redrive: PARKED counts the events that failed and wait for their next attempt, and the events\n"
            "behind them; HELD the keys that wait for an open dead letter; DELAYED the events that bus_schedule will send\n"
            "later. --max counts parked events too: at 0 all that was sent has been handled, or is a dead letter. Where\n"
            "committed offsets are gone (the topic was deleted, a tool removed them) a note says so, and --max fails.",
    .options = options,
    .examples =
        "  bus lag\n  bus lag order payment --partitions\n  bus lag inventory --max 1000 -q    for a script: exit code 3 if more",
    .run = run
};
