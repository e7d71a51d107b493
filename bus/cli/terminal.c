/* SPDX-License-Identifier: MIT
 * Terminal: what every subcommand needs of it: messages, answers, progress, Ctrl-C. */
#include "cli/cli.h"

#include "base/clock.h"

#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static atomic_int interrupted; /* a signal may arrive on any thread */

static void on_signal(int number)
{
    atomic_store(&interrupted, number);
}

bool cli_interrupted(void)
{
    return atomic_load(&interrupted) != 0;
}

int cli_interrupted_by(void)
{
    return atomic_load(&interrupted);
}

void cli_catch_signals(void)
{
    /* SA_RESETHAND: a second Ctrl-C ends the program at once. No SA_RESTART, so that a read from a terminal ends too. */
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int cli_exit_of(bus_status status)
{
    switch (status) {
    case BUS_OK: return CLI_OK;
    case BUS_CONFIG:
    case BUS_INVALID: return CLI_USAGE;
    case BUS_REFUSED:
    case BUS_LOCKED: return CLI_REFUSED;
    case BUS_BROKER:
    case BUS_TIMEOUT: return CLI_UNREACHABLE;
    case BUS_CANCELLED: return CLI_INTERRUPTED;
    default: return CLI_ERROR;
    }
}

/* Messages name what others wrote: topics, headers, types. */
BUS_PRINTF(1, 0) static void say(const char *format, va_list args)
{
    char *text = NULL;
    int len = vasprintf(&text, format, args);
    bui_buf clean;
    bui_buf_init(&clean, 0);
    if (len >= 0)
        bui_buf_clean(&clean, text, (size_t)len, true);
    if (len >= 0 && bui_buf_ok(&clean))
        fwrite(clean.data, 1, clean.len, stderr);
    fputc('\n', stderr);
    bui_buf_free(&clean);
    free(text);
}

int cli_fail(const cli *c, const bus_error *err)
{
    int code = cli_exit_of(err->status);
    if (code == CLI_UNREACHABLE && c->config)
        return cli_failf(c, code, "%s (bootstrap.servers=%s)", err->text, bui_config_text(c->config, "bootstrap.servers"));
    return cli_failf(c, code, "%s", err->text);
}

int cli_failf(const cli *c, int code, const char *format, ...)
{
    va_list args;
    fprintf(stderr, "bus%s%s: ", c->command ? " " : "", c->command ? c->command->name : "");
    va_start(args, format);
    say(format, args);
    va_end(args);
    return code;
}

void cli_note(const cli *c, const char *format, ...)
{
    va_list args;
    if (c->quiet)
        return;
    va_start(args, format);
    say(format, args);
    va_end(args);
}

int cli_flush(const cli *c, bui_buf *buf, int code)
{
    bool written = bui_buf_ok(buf) && (!buf->len || fwrite(buf->data, 1, buf->len, stdout) == buf->len) && fflush(stdout) == 0;
    if (!written)
        code = cli_failf(c, CLI_ERROR, "%s", bui_buf_ok(buf) ? strerror(errno) : "no memory for the answer");
    bui_buf_free(buf);
    return code;
}

/* Programs read whole lines. */
#define TERMINAL_COLUMNS 80
size_t cli_columns(void)
{
    const char *told = getenv("COLUMNS");
    char *end = NULL;
    unsigned long columns = told ? strtoul(told, &end, 10) : 0;
    if (columns >= 20 && columns <= 10000 && end && !*end)
        return columns;
    struct winsize size = { 0 };
    if (!isatty(STDOUT_FILENO))
        return 0;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20 ? size.ws_col : TERMINAL_COLUMNS;
}

int cli_print(const cli *c, cli_table *table, int code)
{
    bui_buf out;
    bui_buf_init(&out, 0);
    if (!table)
        out.failed = true;
    else if (c->json)
        cli_table_json(table, &out);
    else
        cli_table_text(table, c->colour, c->columns, &out);
    if (c->json)
        bui_buf_byte(&out, '\n');
    cli_table_free(table);
    return cli_flush(c, &out, code);
}

static bool watch_stop(void *opaque)
{
    (void)opaque;
    return cli_interrupted();
}

static void watch_step(void *opaque, int64_t done, int64_t passed, int64_t total)
{
    cli_progress_step(opaque, done, passed, total);
}

void cli_watch_begin(const cli *c, cli_watch *watch, const char *what)
{
    cli_progress_begin(&watch->progress, what, c->progress, c->quiet);
    watch->watch = (bui_watch){ .stop = watch_stop, .step = watch_step, .opaque = &watch->progress };
}

void cli_watch_end(cli_watch *watch)
{
    cli_progress_end(&watch->progress);
}

void cli_operator(char *out)
{
    char host[128] = "localhost";
    const struct passwd *user = getpwuid(getuid());
    gethostname(host, sizeof host - 1);
    if (user)
        snprintf(out, 256, "%.100s@%.127s", user->pw_name, host);
    else
        snprintf(out, 256, "%ld@%.127s", (long)getuid(), host);
}

int64_t cli_now(void)
{
    const bui_clock *clock = bui_clock_real();
    return clock->wall_ms(clock);
}
