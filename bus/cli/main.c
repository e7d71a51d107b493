/* SPDX-License-Identifier: MIT
 * The `bus` command: finds the subcommand, reads configuration, runs it. */
#include "cli/cli.h"
#include "base/stdio.h"
#include "base/error.h"
#include "base/log.h"

#include <bus/version.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const cli_command *const cli_commands[] = { &cli_publish,
                                            &cli_consume,
                                            &cli_lag,
                                            &cli_services,
                                            &cli_dlq_list,
                                            &cli_dlq_show,
                                            &cli_dlq_redrive,
                                            &cli_dlq_discard,
                                            &cli_outbox_list,
                                            &cli_outbox_show,
                                            &cli_outbox_retry,
                                            &cli_outbox_discard,
                                            &cli_replay,
                                            &cli_rebuild,
                                            &cli_topics_plan,
                                            &cli_topics_apply,
                                            &cli_topics_list,
                                            &cli_audit,
                                            &cli_schema_list,
                                            &cli_schema_show,
                                            &cli_schema_diff,
                                            &cli_schema_check,
                                            &cli_schema_register,
                                            &cli_broker,
                                            &cli_config,
                                            NULL };

/* What is noticed while properties are read; the rest of the library's log is for services. */
static void warn(bus_level level, const char *line, size_t len, void *opaque)
{
    const cli *c = opaque;
    json_t *object = json_loadb(line, len, 0, NULL);
    const char *message = json_string_value(json_object_get(object, "msg"));
    (void)level;
    if (message && !c->quiet)
        fprintf(stderr, "bus: %s\n", message);
    json_decref(object);
}

/* Files first, then the environment, then flags: what is nearer to the person wins. */
static bus_status configure(cli *c, bus_error *err)
{
    bus_status status = BUS_OK;
    const char *item;
    for (int i = 0; status == BUS_OK && (item = cli_nth(c, "config", i)); i++)
        status = bus_config_read(c->config, item, err);
    if (status == BUS_OK)
        status = bus_config_environment(c->config, err);
    for (int i = 0; status == BUS_OK && (item = cli_nth(c, "set", i)); i++) {
        char name[256];
        const char *equals = strchr(item, '=');
        size_t len = equals ? (size_t)(equals - item) : 0;
        if (len == 0 || len >= sizeof name)
            return bui_fail(err, BUS_CONFIG, "--set %.60s: write name=value", item);
        memcpy(name, item, len);
        name[len] = 0;
        status = bui_config_argument(c->config, name, equals + 1, err);
    }
    /* A limit of the tool's own would refuse dead letters and copies that their topic takes. */
    if (status == BUS_OK && c->command != &cli_config)
        status = bus_config_set(c->config, "message.max.bytes", "900m", err);
    const char *bootstrap = cli_value(c, "bootstrap");
    if (status == BUS_OK && bootstrap)
        status = bus_config_set(c->config, "bootstrap.servers", bootstrap, err);
    return status;
}

static int run(cli *c)
{
    bus_error err = { .status = BUS_NOMEM, .text = "no memory" };
    const char *output = cli_value(c, "output");
    int64_t timeout = 0;
    int code;
    if (output && strcmp(output, "table") && strcmp(output, "json"))
        return cli_failf(c, CLI_USAGE, "--output %s: it is table or json", output);
    if (!cli_duration(c, "timeout", &timeout))
        return CLI_USAGE;
    if (timeout < 0 || timeout > 86400000)
        return cli_failf(c, CLI_USAGE, "--timeout %s: at most a day", cli_value(c, "timeout"));
    c->json = output && !strcmp(output, "json");
    c->quiet = cli_flag(c, "quiet");
    c->progress = cli_flag(c, "progress");
    const char *no_color = getenv("NO_COLOR");
    c->columns = cli_flag(c, "wide") ? 0 : cli_columns();
    c->colour = !c->json && isatty(STDOUT_FILENO) && !(no_color && *no_color);

    bus_log_to(BUS_WARN, warn, c);
    bus_status status = (c->config = bus_config_new()) ? configure(c, &err) : BUS_NOMEM;
    bus_log_to(BUS_WARN, NULL, NULL);
    if (status != BUS_OK) {
        code = cli_fail(c, &err);
    } else {
        c->timeout_ms = timeout ? (int)timeout : (int)bui_config_int(c->config, "broker.timeout.ms");
        cli_catch_signals();
        code = c->command->run(c);
    }
    bus_config_free(c->config);
    return code;
}

/* "dlq list" is given as two arguments. *words is how many the name took, or how many of it were right. */
static const cli_command *find(int argc, char **argv, int *words)
{
    *words = 0;
    for (const cli_command *const *at = cli_commands; *at; at++) {
        const char *name = (*at)->name, *space = strchr(name, ' ');
        size_t first = space ? (size_t)(space - name) : strlen(name);
        if (strlen(argv[0]) != first || strncmp(argv[0], name, first) != 0)
            continue;
        *words = 1;
        if (!space)
            return *at;
        if (argc > 1 && !strcmp(argv[1], space + 1)) {
            *words = 2;
            return *at;
        }
    }
    return NULL;
}

static void overview(FILE *to)
{
    fputs("bus: show and control events on Kafka from a terminal\n\nCommands:\n", to);
    for (const cli_command *const *at = cli_commands; *at; at++)
        fprintf(to, "  %-15s  %s\n", (*at)->name, (*at)->summary);
    fputs("\nbus COMMAND --help shows its options, with examples.\n"
          "Name the brokers with --bootstrap, BUS_BOOTSTRAP_SERVERS or a --config file.\n\n"
          "Exit codes: 0 ok, 1 error, 2 usage, 3 partial or mismatch, 4 nothing matched,\n"
          "5 refused, 6 no broker answers, 130 interrupted.\n",
          to);
}

/* `bus dlq`, `bus dlq lsit`: say which words may follow. */
static int say_seconds(const char *first, const char *second, FILE *to)
{
    fprintf(to, "bus %s: %s%s%s", first, second ? "no such subcommand: " : "say what to do", second ? second : "", "; one of");
    for (const cli_command *const *at = cli_commands; *at; at++) {
        size_t len = strlen(first);
        if (!strncmp((*at)->name, first, len) && (*at)->name[len] == ' ')
            fprintf(to, " %s", (*at)->name + len + 1);
    }
    fputs(", each with --help\n", to);
    return CLI_USAGE;
}

static bool is_help(const char *word)
{
    return !strcmp(word, "--help") || !strcmp(word, "-h") || !strcmp(word, "help");
}

int main(int argc, char **argv)
{
    cli c = { 0 };
    int words;
    bui_stdio_hold();
    if (argc < 2) {
        overview(stderr);
        return CLI_USAGE;
    }
    if (!strcmp(argv[1], "--version")) {
        puts("bus " BUS_VERSION);
        return CLI_OK;
    }
    if (is_help(argv[1])) {
        c.command = argc > 2 ? find(argc - 2, argv + 2, &words) : NULL;
        if (c.command)
            cli_help(c.command);
        else
            overview(stdout);
        return CLI_OK;
    }
    c.command = find(argc - 1, argv + 1, &words);
    if (!c.command && words == 1)
        return argc > 2 && is_help(argv[2]) ? (say_seconds(argv[1], NULL, stdout), CLI_OK)
                                            : say_seconds(argv[1], argc > 2 ? argv[2] : NULL, stderr);
    if (!c.command) {
        fprintf(stderr, "bus: no such command: %s; bus --help lists them (options come after the command)\n", argv[1]);
        return CLI_USAGE;
    }
    int parsed = cli_parse(&c, argc - words, argv + words);
    return parsed < 0 ? CLI_OK : parsed != CLI_OK ? parsed : run(&c);
}
