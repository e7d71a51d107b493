/* SPDX-License-Identifier: MIT
 * bus broker: an embedded broker in memory, for demos and tests. */
#include "cli/cli.h"
#include "base/error.h"
#include "cli/declarations.h"
#include "kafka/broker.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const cli_option options[] = { CLI_DECLARATION_OPTIONS,
                                      { "topic", 0, "NAME[:N]", "create this topic too, with N partitions (4); may be repeated" },
                                      { "nodes", 0, "N", "how many brokers (1)" },
                                      { "address-file", 0, "FILE", "write the address to FILE when ready; removed at the end" },
                                      { NULL, 0, NULL, NULL } };

static bus_status make_named(const cli *c, bui_kafka_broker *broker, bus_error *err)
{
    const char *item;
    bus_status status = BUS_OK;
    for (int i = 0; status == BUS_OK && (item = cli_nth(c, "topic", i)); i++) {
        char name[250];
        const char *colon = strchr(item, ':');
        int64_t partitions = cli_topic_defaults(c).partitions;
        snprintf(name, sizeof name, "%.*s", (int)(colon ? (size_t)(colon - item) : strlen(item)), item);
        if (colon) {
            char *end;
            partitions = strtol(colon + 1, &end, 10);
            if (*end || partitions < 1 || partitions > 1000)
                return bui_fail(err, BUS_INVALID, "--topic %s: write NAME or NAME:PARTITIONS (1 to 1000)", item);
        }
        if (!bui_kafka_topic_name_ok(name))
            return bui_fail(err, BUS_INVALID, "--topic %s: Kafka takes letters, digits, dots, dashes and underscores", item);
        status = bui_kafka_broker_topic(broker, name, (int32_t)partitions, err);
        if (status == BUS_EXISTS)
            status = BUS_OK;
    }
    return status;
}

static bus_status make_declared(const cli *c, bui_kafka_broker *broker, size_t *count, bus_error *err)
{
    bui_topology *topology = NULL;
    bui_step *steps = NULL;
    bui_topic_defaults defaults = cli_topic_defaults(c);
    bus_status status = cli_declarations(c, false, &topology, err);
    if (status == BUS_OK)
        status = bui_topology_plan(topology, &defaults, NULL, 0, &steps, count, err);
    for (size_t i = 0; status == BUS_OK && i < *count; i++)
        status = bui_kafka_broker_topic(broker, steps[i].spec.name, steps[i].spec.partitions, err);
    free(steps);
    bui_topology_free(topology);
    return status;
}

/* Written beside and renamed, so that nobody reads half of the file. */
static bus_status write_address(const char *path, const char *address, bus_error *err)
{
    char beside[4096];
    snprintf(beside, sizeof beside, "%s.%ld", path, (long)getpid());
    FILE *file = fopen(beside, "w");
    bool ok = file && fprintf(file, "%s\n", address) > 0;
    if (file)
        ok &= fclose(file) == 0;
    if (!ok || rename(beside, path) != 0)
        return bui_fail(err, BUS_IO, "%s: %s", path, strerror(errno));
    return BUS_OK;
}

static void wait_for_signal(void)
{
    sigset_t stop, before;
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    /* Blocked while looking, or one that comes between looking and sleeping would be slept through. */
    sigprocmask(SIG_BLOCK, &stop, &before);
    while (!cli_interrupted())
        sigsuspend(&before);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

static int run(cli *c)
{
    bus_error err = { 0 };
    bui_kafka_broker *broker = NULL;
    const char *file = cli_value(c, "address-file");
    size_t count = 0;
    int64_t nodes = 1;
    int code = CLI_OK;
    if (!cli_int(c, "nodes", 1, 16, &nodes))
        return CLI_USAGE;
    bus_status status = bui_kafka_broker_open((int)nodes, &broker, &err);
    if (status == BUS_OK)
        status = make_declared(c, broker, &count, &err);
    if (status == BUS_OK)
        status = make_named(c, broker, &err);
    if (status == BUS_OK && file)
        status = write_address(file, bui_kafka_broker_address(broker), &err);
    if (status != BUS_OK) {
        code = cli_fail(c, &err);
        goto out;
    }
    if (c->json)
        printf("{\"bootstrap\":\"%s\",\"topics\":%zu}\n", bui_kafka_broker_address(broker), count);
    else
        printf("%s\n", bui_kafka_broker_address(broker));
    fflush(stdout);
    cli_note(c, "an embedded broker with %zu declared topics, in memory, until Ctrl-C; export BUS_BOOTSTRAP_SERVERS=%s", count,
             bui_kafka_broker_address(broker));
    wait_for_signal();
    if (file)
        unlink(file);
    code = cli_interrupted_by() == SIGINT ? CLI_INTERRUPTED : CLI_OK;
out:
    bui_kafka_broker_close(broker);
    return code;
}

const cli_command cli_broker = {
    .name = "broker",
    .operands = "",
    .least = 0,
    .most = 0,
    .summary = "host an embedded broker in memory",
    .text = "Runs librdkafka's mock cluster on free ports of 127.0.0.1, for demos and tests. It starts in milliseconds,\n"
            "speaks to any Kafka client, and keeps 5 MB for each partition until it ends. It does not support look-ups by\n"
            "time (@-1h). It creates any topic that a client asks for. The first line of its output is its address.\n"
            "SIGTERM ends it.",
    .options = options,
    .examples = "  bus broker --program bin/order --program bin/payment --address-file broker\n"
                "  export BUS_BOOTSTRAP_SERVERS=$(cat broker)\n"
                "  bus broker --topic order.events:4 --topic bus.schemas:1",
    .run = run
};
