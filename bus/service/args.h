/* SPDX-License-Identifier: MIT
 * Arguments of a service program: what bus_service_main was asked to do, and the configuration that results. */
#ifndef BUS_SERVICE_ARGS_H
#define BUS_SERVICE_ARGS_H

#include "base/buf.h"
#include "shard/shard.h"
#include <bus/service.h>

typedef enum bus_task {
    BUS_TASK_RUN, BUS_TASK_HELP, BUS_TASK_VERSION, BUS_TASK_CHECK, BUS_TASK_TOPICS, BUS_TASK_REBUILD
} bus_task;

typedef struct bus_args {
    bus_task task;
    bool init;
    bus_accept accept;
    bool json;          /* --output json */
    bool incomplete;    /* of --rebuild */
    const char *into;   /* of --rebuild: the directory to build in; NULL: beside the old store, and swapped */
} bus_args;

/* Reads argv into *args and *config, strongest last: file (--config, else $BUS_CONFIG), environment, arguments in their
 * order. BUS_CONFIG or BUS_INVALID: which argument, and the nearest right one. A secret is refused in argv. */
bus_status bus_args_read(int argc, char **argv, bus_config *config, bus_args *args, bus_error *err);

/* The page that --help prints: arguments, then every property with its default. */
void bus_args_help(const char *service, bus_buf *out);

#endif
