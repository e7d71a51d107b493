/* SPDX-License-Identifier: MIT
 * Child: runs a service's own program and reads what it prints: it alone knows its routes and handlers. */
#ifndef BUI_CLI_CHILD_H
#define BUI_CLI_CHILD_H

#include "cli/cli.h"

#define CLI_CHILD_ARGS 96

typedef struct cli_child {
    char *argv[CLI_CHILD_ARGS + 1];
    int argc;
    char *words;          /* the program line, cut into words */
    char bootstrap[1024]; /* one of argv may be this: do not copy the struct */
} cli_child;

/* Begins with a program line: a path and maybe arguments, by white space. Then the global options of this command line that a
 * service understands too (--config, --set, --bootstrap) are added. BUS_NOMEM, BUS_INVALID. */
bus_status cli_child_begin(const cli *c, const char *line, cli_child *out, bus_error *err);
bus_status cli_child_add(cli_child *child, const char *argument, bus_error *err); /* borrowed until cli_child_free */
/* Runs it to its end; its stdout goes to `out`, its stderr to ours. *code is its exit code (128 + signal if killed). BUS_IO: it
 * cannot be run. */
bus_status cli_child_run(const cli_child *child, bui_buf *out, int *code, bus_error *err);
void cli_child_free(cli_child *child);

/* Only a program knows its service's name, by which its stores are found: --version begins with it. BUS_INVALID: no service. */
bus_status cli_child_name(const cli *c, const char *line, char out[64], bus_error *err);

#endif
