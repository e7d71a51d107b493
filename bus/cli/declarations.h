/* SPDX-License-Identifier: MIT
 * Declarations: the topics that services declare, gathered from programs, files and heartbeats; for `bus topics` and `bus broker`. */
#ifndef BUS_CLI_DECLARATIONS_H
#define BUS_CLI_DECLARATIONS_H

#include "cli/cli.h"
#include "ops/topology.h"

#define CLI_DECLARATION_OPTIONS \
    { "program", 0, "PATH", "a service's program, maybe with arguments (\"bin/order --shards=4\"); may be repeated" }, \
    { "file", 0, "FILE", "what such a program printed with --topics (- for stdin); may be repeated" }

/* Gathers; with none named, from the heartbeats if `heartbeats`, else nothing. BUS_IO, BUS_INVALID: a program or file (which);
 * BUS_REFUSED: they contradict each other; BUS_MISSING: nobody declares anything; BUS_BROKER ... */
bus_status cli_declarations(const cli *c, bool heartbeats, bus_topology **out, bus_error *err);

/* The named topics, or all (names NULL), as bus_kafka_admin_topics; with their settings where the cluster tells them soon. */
bus_status cli_topics(const cli *c, bus_kafka_admin *admin, const char *const *names, size_t count, bus_kafka_topic **out,
                      size_t *out_count, bus_error *err);

/* What the properties topics.* say. */
bus_topic_defaults cli_topic_defaults(const cli *c);

#endif
