/* SPDX-License-Identifier: MIT
 * Options: the command line, read by the tables the subcommands declare, and the help pages made from them. */
#include "cli/cli.h"
#include "base/clock.h"
#include "cli/width.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPTIONS_MAX 48

const cli_option cli_global_options[] = {
    { "bootstrap", 'b', "HOST:PORT,...", "the brokers (property bootstrap.servers)" },
    { "config", 0, "FILE", "read properties from FILE; may be given several times" },
    { "set", 0, "NAME=VALUE", "set one property; kafka.X passes X to librdkafka; may be repeated" },
    { "output", 'o', "table|json", "tables for people, or JSON for programs" },
    { "wide", 0, NULL,
      "print whole cells, however long the lines; otherwise a table is as wide as the terminal (or $COLUMNS), and cells that are cut end "
      "with …" },
    { "timeout", 0, "TIME", "how long to wait for an answer from the brokers (property broker.timeout.ms)" },
    { "progress", 0, NULL, "show progress on stderr even if it is not a terminal" },
    { "quiet", 'q', NULL, "no progress and no notes, only errors and results" },
    { "help", 'h', NULL, "this page" },
    { NULL, 0, NULL, NULL }
};

static const cli_option *find_option(const cli *c, const char *name)
{
    for (const cli_option *o = c->command->options; o && o->name; o++)
        if (!strcmp(o->name, name))
            return o;
    for (const cli_option *o = cli_global_options; o->name; o++)
        if (!strcmp(o->name, name))
            return o;
    return NULL;
}

const char *cli_nth(const cli *c, const char *name, int at)
{
    const cli_option *option = find_option(c, name);
    assert(option);
    for (int i = 0; i < c->given_count; i++)
        if (c->given[i].option == option && at-- == 0)
            return c->given[i].value;
    return NULL;
}

const char *cli_value(const cli *c, const char *name)
{
    const char *value = NULL, *next;
    for (int i = 0; (next = cli_nth(c, name, i)); i++)
        value = next;
    return value;
}

bool cli_flag(const cli *c, const char *name)
{
    return cli_nth(c, name, 0) != NULL;
}

bool cli_int(const cli *c, const char *name, int64_t least, int64_t most, int64_t *out)
{
    const char *text = cli_value(c, name);
    char *end;
    if (!text)
        return true;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || end == text || *end || value < least || value > most) {
        cli_failf(c, CLI_USAGE, "--%s %s: it is a whole number from %lld to %lld", name, text, (long long)least, (long long)most);
        return false;
    }
    *out = value;
    return true;
}

bool cli_duration(const cli *c, const char *name, int64_t *out)
{
    const char *text = cli_value(c, name);
    if (text && !bui_duration_parse(text, out)) {
        cli_failf(c, CLI_USAGE, "--%s %s: it is a duration, such as 250ms, 10s, 5m or 2h", name, text);
        return false;
    }
    return true;
}

bool cli_time(const cli *c, const char *name, int64_t *out)
{
    const char *text = cli_value(c, name);
    if (text && bui_time_is_old(text)) {
        cli_failf(c, CLI_USAGE,
                  "--%s %s: times are in milliseconds since the epoch, and that is one in 1970 to 1973: write %s000 if it is in "
                  "seconds, or a date (2026-11-21T05:00:00Z)",
                  name, text, text);
        return false;
    }
    if (text && !bui_time_parse(text, cli_now(), out) && !(text[0] == '@' && bui_time_parse(text + 1, cli_now(), out))) {
        cli_failf(c, CLI_USAGE, "--%s %s: it is a time, such as @-1h or 2026-11-21T05:00:00Z", name, text);
        return false;
    }
    return true;
}

/* getopt_long's tables, own options first. Returns how many; `all[i]` is what long_options[i].val - 1000 stands for. */
static int collect(const cli_command *command, const cli_option **all, struct option *longs, char *shorts)
{
    const cli_option *tables[2] = { command->options, cli_global_options };
    int count = 0;
    *shorts++ = ':';
    for (int t = 0; t < 2; t++)
        for (const cli_option *o = tables[t]; o && o->name; o++) {
            assert(count < OPTIONS_MAX - 1);
            all[count] = o;
            longs[count] = (struct option){ o->name, o->argument ? required_argument : no_argument, NULL, 1000 + count };
            if (o->letter) {
                *shorts++ = o->letter;
                if (o->argument)
                    *shorts++ = ':';
            }
            count++;
        }
    longs[count] = (struct option){ 0 };
    *shorts = 0;
    return count;
}

int cli_parse(cli *c, int argc, char **argv)
{
    const cli_option *all[OPTIONS_MAX];
    struct option longs[OPTIONS_MAX];
    char shorts[2 * OPTIONS_MAX + 2];
    int count = collect(c->command, all, longs, shorts), code;
    opterr = 0;
    while ((code = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
        const cli_option *option = NULL;
        if (code == ':')
            return cli_failf(c, CLI_USAGE, "%s needs a value; see bus %s --help", argv[optind - 1], c->command->name);
        if (code == '?')
            return cli_failf(c, CLI_USAGE, "no option %s; see bus %s --help", argv[optind - 1], c->command->name);
        for (int i = 0; i < count && !option; i++)
            if (code == 1000 + i || (all[i]->letter && code == all[i]->letter))
                option = all[i];
        if (option && !strcmp(option->name, "help")) {
            cli_help(c->command);
            return -1;
        }
        if (!option || c->given_count == CLI_GIVEN_MAX)
            return cli_failf(c, CLI_USAGE, "more than %d options", CLI_GIVEN_MAX);
        c->given[c->given_count].option = option;
        c->given[c->given_count++].value = optarg ? optarg : "";
    }
    c->operand = argv + optind;
    c->operands = argc - optind;
    if (c->operands < c->command->least)
        return cli_failf(c, CLI_USAGE, "something is missing: bus %s %s; see --help", c->command->name, c->command->operands);
    if (c->command->most >= 0 && c->operands > c->command->most)
        return cli_failf(c, CLI_USAGE, "what is %s for? bus %s %s; see --help", c->operand[c->command->most], c->command->name,
                         c->command->operands);
    return CLI_OK;
}

#define HELP_WIDTH 80
#define TEXT_COLUMN 32

/* Words in lines of at most HELP_WIDTH; the lines after the first begin at `indent`, where the first one is already. A line break
 * of the text is a space; two make a paragraph. */
static void print_wrapped(const char *text, int indent)
{
    size_t column = (size_t)indent;
    while (*text) {
        size_t word = strcspn(text, " \n"), wide = cli_width(text, word), space = strspn(text + word, " \n");
        bool paragraph = space > 1 && memchr(text + word, '\n', space);
        printf("%.*s", (int)word, text);
        column += wide;
        text += word + space;
        if (!*text)
            break;
        if (paragraph || column + 1 + cli_width(text, strcspn(text, " \n")) > HELP_WIDTH) {
            printf("%s\n%*s", paragraph ? "\n" : "", indent, "");
            column = (size_t)indent;
        } else {
            putchar(' ');
            column++;
        }
    }
    putchar('\n');
}

static void print_options(const char *title, const cli_option *options)
{
    if (!options || !options->name)
        return;
    printf("\n%s:\n", title);
    for (const cli_option *o = options; o->name; o++) {
        char left[80];
        snprintf(left, sizeof left, "%c%c%s --%s%s%s", o->letter ? '-' : ' ', o->letter ? o->letter : ' ', o->letter ? "," : " ",
                 o->name, o->argument ? " " : "", o->argument ? o->argument : "");
        printf("  %-*s", TEXT_COLUMN - 2, left);
        if (strlen(left) > TEXT_COLUMN - 3)
            printf("\n%*s", TEXT_COLUMN, "");
        print_wrapped(o->text, TEXT_COLUMN);
    }
}

void cli_help(const cli_command *command)
{
    printf("bus %s: %s\n\n  bus %s [options]%s%s\n", command->name, command->summary, command->name,
           *command->operands ? " " : "", command->operands);
    if (command->text) {
        putchar('\n');
        print_wrapped(command->text, 0);
    }
    print_options("Options", command->options);
    print_options("Options of every command", cli_global_options);
    if (command->examples)
        printf("\nExamples:\n%s\n", command->examples);
}
