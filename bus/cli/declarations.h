/* SPDX-License-Identifier: MIT
 * Declarations: the topics that services declare, gathered from programs, files and heartbeats; for `bus topics` and `bus broker`. */
#ifndef BUI_CLI_DECLARATIONS_H
#define BUI_CLI_DECLARATIONS_H

#include "cli/cli.h"
#include "ops/topology.h"

#define CLI_DECLARATION_OPTIONS \
    { "program", 0, "PATH", "a service's program, with arguments if needed (\"bin/order --shards=4\"); may be repeated" }, \
    { \
        "file", 0, "FILE", "what such a program printed with --topics (- for stdin); may be repeated" \
    }

/* Gathers; with none named, from the heartbeats if `heartbeats`, else nothing. BUS_IO, BUS_INVALID: a program or file (which);
 * BUS_REFUSED: they contradict each other; BUS_MISSING: nobody declares anything; BUS_BROKER ... */
bus_status cli_declarations(const cli *c, bool heartbeats, bui_topology **out, bus_error *err);

/* The named topics, or all (names NULL), as bui_kafka_admin_topics; with their settings if the cluster answers soon. */
bus_status cli_topics(const cli *c, bui_kafka_admin *admin, const char *const *names, size_t count, bui_kafka_topic **out,
                      size_t *out_count, bus_error *err);

/* What the properties topics.* say. */
bui_topic_defaults cli_topic_defaults(const cli *c);

#endif
