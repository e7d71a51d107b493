/* SPDX-License-Identifier: MIT
 * Cli: what a subcommand is, and what it is given. A subcommand declares its options as data; parsing, --help, completion and
 * the check of the manual all read that one table. */
#ifndef BUI_CLI_CLI_H
#define BUI_CLI_CLI_H

#include "base/config.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "ops/watch.h"
#include <bus/bus.h>
#include <stdio.h>

/* The exit codes of every subcommand. */
enum {
    CLI_OK = 0,
    CLI_ERROR = 1,
    CLI_USAGE = 2,
    CLI_PARTIAL = 3, /* partly done, or a mismatch was found */
    CLI_NOTHING = 4, /* nothing matched */
    CLI_REFUSED = 5,
    CLI_UNREACHABLE = 6, /* no broker answers */
    CLI_INTERRUPTED = 130
};

typedef struct cli_option {
    const char *name;     /* without the dashes */
    char letter;          /* 0: none */
    const char *argument; /* its name in the help; NULL: a flag */
    const char *text;
} cli_option;

typedef struct cli cli;

typedef struct cli_command {
    const char *name;          /* one or two words: "publish", "dlq list" */
    const char *operands;      /* "TOPIC [FILE|-]" */
    int least, most;           /* how many of them; most -1: no bound */
    const char *summary;       /* one line */
    const char *text;          /* what one must know to use it */
    const cli_option *options; /* ends with a NULL name */
    const char *examples;
    int (*run)(cli *c); /* returns the exit code */
} cli_command;

#define CLI_GIVEN_MAX 128

struct cli {
    const cli_command *command;
    bus_config *config;
    bool json, quiet, colour, progress;
    size_t columns; /* of a line of a table; 0: as many as it needs */
    int timeout_ms; /* for answers of the broker */
    char **operand;
    int operands;
    struct {
        const cli_option *option;
        const char *value;
    } given[CLI_GIVEN_MAX];
    int given_count;
};

/* The options of the command line, own and global. `name` must be declared. */
const char *cli_value(const cli *c, const char *name);       /* the last given; NULL: not given */
const char *cli_nth(const cli *c, const char *name, int at); /* of a repeatable one; NULL: no more */
bool cli_flag(const cli *c, const char *name);
/* A whole number; *out is untouched if it is not given. False after having said what is wrong (return CLI_USAGE). */
bool cli_int(const cli *c, const char *name, int64_t least, int64_t most, int64_t *out);
/* A duration such as 10s, in ms; as cli_int. */
bool cli_duration(const cli *c, const char *name, int64_t *out);
/* A point in time, past or RFC 3339; as cli_int. */
bool cli_time(const cli *c, const char *name, int64_t *out);

/* Say what went wrong on stderr as "bus <command>: ..." and return the exit code. */
int cli_fail(const cli *c, const bus_error *err);
int cli_failf(const cli *c, int code, const char *format, ...) BUS_PRINTF(3, 4);
/* A note on stderr, unless --quiet. */
void cli_note(const cli *c, const char *format, ...) BUS_PRINTF(2, 3);
/* The exit code for a status. */
int cli_exit_of(bus_status status);

/* Prints a table on stdout in the chosen form and frees it; returns `code`, or CLI_ERROR if it could not be written. */
int cli_print(const cli *c, cli_table *table, int code);
size_t cli_columns(void); /* of the terminal, or as $COLUMNS says; 0: stdout is none */
/* Prints what is in the buffer and frees it; as cli_print. */
int cli_flush(const cli *c, bui_buf *buf, int code);

/* True once SIGINT or SIGTERM came; a second one kills. cli_interrupted_by says which (0: none). */
bool cli_interrupted(void);
int cli_interrupted_by(void);
void cli_catch_signals(void); /* from now on */

/* Progress on stderr, and Ctrl-C, for the operations. `what` is borrowed. */
typedef struct cli_watch {
    cli_progress progress;
    bui_watch watch;
} cli_watch;
void cli_watch_begin(const cli *c, cli_watch *watch, const char *what);
void cli_watch_end(cli_watch *watch);

/* "a@b" of the person at the keyboard, for the record, into out[256]. */
void cli_operator(char *out);
int64_t cli_now(void); /* wall clock, ms */

/* Every subcommand, ending with NULL; in the order of the help. */
extern const cli_command *const cli_commands[]; /* main.c */
extern const cli_command cli_publish, cli_consume, cli_lag, cli_services, cli_dlq_list, cli_dlq_show, cli_dlq_redrive,
    cli_dlq_discard, cli_outbox_list, cli_outbox_show, cli_outbox_retry, cli_outbox_discard, cli_replay, cli_rebuild,
    cli_topics_plan, cli_topics_apply, cli_topics_list, cli_audit, cli_broker, cli_config, cli_schema_list, cli_schema_show,
    cli_schema_diff, cli_schema_check, cli_schema_register;

/* options.c: the options every subcommand has, parsing into *c, and the help pages. */
extern const cli_option cli_global_options[];
/* argv[0] is the command's name. CLI_OK: go on; CLI_USAGE: it has been said what is wrong; -1: help was asked for and given. */
int cli_parse(cli *c, int argc, char **argv);
void cli_help(const cli_command *command);

#endif
