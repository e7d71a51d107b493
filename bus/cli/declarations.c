/* SPDX-License-Identifier: MIT
 * Declarations: asked of the programs, because only they know. */
#include "cli/declarations.h"
#include "base/error.h"
#include "cli/child.h"
#include "ops/instances.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SETTINGS_MS 2000

bui_topic_defaults cli_topic_defaults(const cli *c)
{
    return (bui_topic_defaults){ .partitions = (int32_t)bui_config_int(c->config, "topics.partitions"),
                                 .replication = (int)bui_config_int(c->config, "topics.replication"),
                                 .min_insync = (int)bui_config_int(c->config, "topics.min.insync"),
                                 .retention_ms = bui_config_int(c->config, "topics.retention.ms") };
}

bus_status cli_topics(const cli *c, bui_kafka_admin *admin, const char *const *names, size_t count, bui_kafka_topic **out,
                      size_t *out_count, bus_error *err)
{
    bui_kafka_topic *configured = NULL;
    size_t configured_count;
    int soon = c->timeout_ms < SETTINGS_MS ? c->timeout_ms : SETTINGS_MS;
    bus_status status = bui_kafka_admin_topics(admin, names, count, false, c->timeout_ms, out, out_count, err);
    /* The embedded broker leaves the question for settings unanswered, and a broker may deny it: the rest is still good. */
    if (status == BUS_OK && *out_count &&
        bui_kafka_admin_topics(admin, names, count, true, soon, &configured, &configured_count, NULL) == BUS_OK) {
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

static bus_status ask_program(const cli *c, const char *line, bui_topology *topology, bus_error *err)
{
    cli_child child;
    bui_buf text;
    char name[100];
    int code = 0;
    bui_buf_init(&text, 1 << 20);
    bus_status status = cli_child_begin(c, line, &child, err);
    if (status != BUS_OK)
        return status;
    status = cli_child_add(&child, "--topics", err);
    if (status == BUS_OK)
        status = cli_child_run(&child, &text, &code, err);
    if (status == BUS_OK && code != 0)
        status = bui_fail(err, BUS_IO, "%s --topics ended with exit code %d", line, code);
    if (status == BUS_OK)
        status = bui_topology_add(topology, base_name(line, name), (const char *)text.data, text.len, err);
    cli_child_free(&child);
    bui_buf_free(&text);
    return status;
}

static bus_status read_file(const char *path, bui_topology *topology, bus_error *err)
{
    char chunk[4096];
    size_t n;
    bui_buf text;
    bool stdin_meant = !strcmp(path, "-");
    FILE *file = stdin_meant ? stdin : fopen(path, "rb");
    if (!file)
        return bui_fail(err, BUS_IO, "%s: %s", path, strerror(errno));
    bui_buf_init(&text, 16 << 20);
    while ((n = fread(chunk, 1, sizeof chunk, file)) > 0)
        bui_buf_add(&text, chunk, n);
    bus_status status = ferror(file) || !bui_buf_ok(&text)
                            ? bui_fail(err, BUS_IO, "%s cannot be read", path)
                            : bui_topology_add(topology, path, (const char *)text.data, text.len, err);
    if (!stdin_meant)
        fclose(file);
    bui_buf_free(&text);
    return status;
}

/* One heartbeat a service is enough: all its processes run the same routes. */
static bus_status ask_instances(const cli *c, bui_topology *topology, bus_error *err)
{
    bui_instances instances = { 0 };
    bus_status status = bui_instances_read(c->config, c->timeout_ms, NULL, &instances, err);
    for (size_t i = 0; status == BUS_OK && i < instances.count; i++) {
        const bui_process *process = &instances.list[i];
        if (process->declarations && (i + 1 == instances.count || strcmp(instances.list[i + 1].service, process->service) != 0))
            status = bui_topology_add(topology, process->service, process->declarations, strlen(process->declarations), err);
    }
    bui_instances_free(&instances);
    return status;
}

bus_status cli_declarations(const cli *c, bool heartbeats, bui_topology **out, bus_error *err)
{
    const char *item;
    bus_status status = BUS_OK;
    bui_topology *topology = bui_topology_new();
    if (!topology)
        return bui_fail_nomem(err);
    for (int i = 0; status == BUS_OK && (item = cli_nth(c, "program", i)); i++)
        status = ask_program(c, item, topology, err);
    for (int i = 0; status == BUS_OK && (item = cli_nth(c, "file", i)); i++)
        status = read_file(item, topology, err);
    if (status == BUS_OK && heartbeats && !cli_value(c, "program") && !cli_value(c, "file")) {
        status = ask_instances(c, topology, err);
        if (status == BUS_OK && !bui_topology_count(topology))
            status =
                bui_fail(err, BUS_MISSING, "no service has said what it reads and writes: name programs with --program PATH");
    }
    if (status == BUS_OK)
        *out = topology;
    else
        bui_topology_free(topology);
    return status;
}
