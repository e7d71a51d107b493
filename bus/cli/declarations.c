/* SPDX-License-Identifier: MIT
 * Declarations: asked of the programs, the only ones who know. */
#include "cli/declarations.h"
#include "base/error.h"
#include "cli/child.h"
#include "ops/fleet.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SETTINGS_MS 2000

bus_topic_defaults cli_topic_defaults(const cli *c)
{
    return (bus_topic_defaults){ .partitions = (int32_t)bus_config_int(c->config, "topics.partitions"),
                                 .replication = (int)bus_config_int(c->config, "topics.replication"),
                                 .min_insync = (int)bus_config_int(c->config, "topics.min.insync"),
                                 .retention_ms = bus_config_int(c->config, "topics.retention.ms") };
}

bus_status cli_topics(const cli *c, bus_kafka_admin *admin, const char *const *names, size_t count, bus_kafka_topic **out,
                      size_t *out_count, bus_error *err)
{
    bus_kafka_topic *configured = NULL;
    size_t configured_count;
    int soon = c->timeout_ms < SETTINGS_MS ? c->timeout_ms : SETTINGS_MS;
    bus_status status = bus_kafka_admin_topics(admin, names, count, false, c->timeout_ms, out, out_count, err);
    /* The embedded broker leaves the question for settings unanswered, and a broker may deny it: the rest is still good. */
    if (status == BUS_OK && *out_count
        && bus_kafka_admin_topics(admin, names, count, true, soon, &configured, &configured_count, NULL) == BUS_OK) {
        free(*out);
        *out = configured;
        *out_count = configured_count;
    }
    return status;
}

static const char *base_name(const char *line, char out[100])
{
    size_t len = strcspn(line, " \t");
    const char *from = line;
    for (size_t i = 0; i < len; i++)
        if (line[i] == '/' && i + 1 < len)
            from = line + i + 1;
    snprintf(out, 100, "%.*s", (int)(len - (size_t)(from - line)), from);
    return out;
}

static bus_status ask_program(const cli *c, const char *line, bus_topology *topology, bus_error *err)
{
    cli_child child;
    bus_buf text;
    char name[100];
    int code = 0;
    bus_buf_init(&text, 1 << 20);
    bus_status status = cli_child_begin(c, line, &child, err);
    if (status != BUS_OK)
        return status;
    status = cli_child_add(&child, "--topics", err);
    if (status == BUS_OK)
        status = cli_child_run(&child, &text, &code, err);
    if (status == BUS_OK && code != 0)
        status = bus_fail(err, BUS_IO, "%s --topics ended with exit code %d", line, code);
    if (status == BUS_OK)
        status = bus_topology_add(topology, base_name(line, name), (const char *)text.data, text.len, err);
    cli_child_free(&child);
    bus_buf_free(&text);
    return status;
}

static bus_status read_file(const char *path, bus_topology *topology, bus_error *err)
{
    char chunk[4096];
    size_t n;
    bus_buf text;
    bool stdin_meant = !strcmp(path, "-");
    FILE *file = stdin_meant ? stdin : fopen(path, "rb");
    if (!file)
        return bus_fail(err, BUS_IO, "%s: %s", path, strerror(errno));
    bus_buf_init(&text, 16 << 20);
    while ((n = fread(chunk, 1, sizeof chunk, file)) > 0)
        bus_buf_add(&text, chunk, n);
    bus_status status = ferror(file) || !bus_buf_ok(&text) ? bus_fail(err, BUS_IO, "%s cannot be read", path)
                                                           : bus_topology_add(topology, path, (const char *)text.data, text.len, err);
    if (!stdin_meant)
        fclose(file);
    bus_buf_free(&text);
    return status;
}

/* One heartbeat a service is enough: all its processes run the same routes. */
static bus_status ask_fleet(const cli *c, bus_topology *topology, bus_error *err)
{
    bus_fleet fleet = { 0 };
    bus_status status = bus_fleet_read(c->config, c->timeout_ms, NULL, &fleet, err);
    for (size_t i = 0; status == BUS_OK && i < fleet.count; i++) {
        const bus_process *process = &fleet.list[i];
        if (process->declarations && (i + 1 == fleet.count || strcmp(fleet.list[i + 1].service, process->service) != 0))
            status = bus_topology_add(topology, process->service, process->declarations, strlen(process->declarations), err);
    }
    bus_fleet_free(&fleet);
    return status;
}

bus_status cli_declarations(const cli *c, bool heartbeats, bus_topology **out, bus_error *err)
{
    const char *item;
    bus_status status = BUS_OK;
    bus_topology *topology = bus_topology_new();
    if (!topology)
        return bus_fail_nomem(err);
    for (int i = 0; status == BUS_OK && (item = cli_nth(c, "program", i)); i++)
        status = ask_program(c, item, topology, err);
    for (int i = 0; status == BUS_OK && (item = cli_nth(c, "file", i)); i++)
        status = read_file(item, topology, err);
    if (status == BUS_OK && heartbeats && !cli_value(c, "program") && !cli_value(c, "file")) {
        status = ask_fleet(c, topology, err);
        if (status == BUS_OK && !bus_topology_count(topology))
            status = bus_fail(err, BUS_MISSING, "no service has told what it reads and writes: name programs with --program PATH");
    }
    if (status == BUS_OK)
        *out = topology;
    else
        bus_topology_free(topology);
    return status;
}
