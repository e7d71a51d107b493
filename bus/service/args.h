/* SPDX-License-Identifier: MIT
 * Arguments of a service program: what bus_service_main was asked to do, and the configuration that results. */
#ifndef BUI_SERVICE_ARGS_H
#define BUI_SERVICE_ARGS_H

#include "base/buf.h"
#include "shard/shard.h"
#include <bus/service.h>

typedef enum bui_task {
    BUI_TASK_RUN,
    BUI_TASK_HELP,
    BUI_TASK_VERSION,
    BUI_TASK_CHECK,
    BUI_TASK_SHOW,
    BUI_TASK_TOPICS,
    BUI_TASK_REBUILD
} bui_task;

typedef struct bui_args {
    bui_task task;
    bool init;
    bui_accept accept;
    bool json;        /* --output json: of --rebuild and --show-config */
    bool incomplete;  /* of --rebuild */
    const char *into; /* of --rebuild: the directory to build in; NULL: beside the old store, and swapped */
} bui_args;

/* Reads argv into *args and *config, strongest last: file (--config, else $BUS_CONFIG), environment, arguments in their
 * order. BUS_CONFIG or BUS_INVALID: which argument, and the nearest right one. A secret is refused in argv. */
bus_status bui_args_read(int argc, char **argv, bus_config *config, bui_args *args, bus_error *err);

/* The page that --help prints: arguments, then every property with its default. */
void bui_args_help(const char *service, const bus_config *config, bui_buf *out);

/* The page that --show-config prints: what is in force, as a file that --config reads; what is not set is a comment. */
void bui_args_show(const bus_config *config, bui_buf *out);

#endif
