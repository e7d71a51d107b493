/* SPDX-License-Identifier: MIT
 * Child: posix_spawn and a pipe. */
#include "cli/child.h"
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

void cli_child_free(cli_child *child)
{
    free(child->words);
    *child = (cli_child){ 0 };
}

bus_status cli_child_add(cli_child *child, const char *argument, bus_error *err)
{
    if (child->argc == CLI_CHILD_ARGS)
        return bui_fail(err, BUS_INVALID, "more than %d arguments for %s", CLI_CHILD_ARGS, child->argv[0]);
    child->argv[child->argc++] = (char *)(uintptr_t)argument; /* exec takes char *, and writes to none of them */
    return BUS_OK;
}

static bus_status add_option(cli_child *child, const char *option, const char *value, bus_error *err)
{
    bus_status status = value ? cli_child_add(child, option, err) : BUS_OK;
    return status == BUS_OK && value ? cli_child_add(child, value, err) : status;
}

bus_status cli_child_begin(const cli *c, const char *line, cli_child *out, bus_error *err)
{
    cli_child child = { .words = strdup(line) };
    bus_status status = child.words ? BUS_OK : bui_fail_nomem(err);
    const char *value;
    char *rest = NULL;
    for (char *word = child.words ? strtok_r(child.words, " \t\n", &rest) : NULL; word && status == BUS_OK;
         word = strtok_r(NULL, " \t\n", &rest))
        status = cli_child_add(&child, word, err);
    if (status == BUS_OK && !child.argc)
        status = bui_fail(err, BUS_INVALID, "--program names no program");
    if (status == BUS_OK)
        status = add_option(&child, "--config", cli_value(c, "config"), err);
    for (int i = 0; status == BUS_OK && (value = cli_nth(c, "set", i)); i++)
        status = add_option(&child, "--set", value, err);
    const char *bootstrap = cli_value(c, "bootstrap");
    if (status == BUS_OK && bootstrap) {
        int len = snprintf(child.bootstrap, sizeof child.bootstrap, "--bootstrap.servers=%s", bootstrap);
        if ((size_t)len >= sizeof child.bootstrap)
            status = bui_fail(err, BUS_INVALID, "--bootstrap is too long to hand to %s: put it in a file", child.argv[0]);
        else
            child.argv[child.argc++] = NULL; /* its place; `out` is where the text will live */
    }
    if (status == BUS_OK) {
        *out = child;
        if (bootstrap)
            out->argv[out->argc - 1] = out->bootstrap;
    } else
        cli_child_free(&child);
    return status;
}

static bus_status read_all(int fd, bui_buf *out, const char *name, bus_error *err)
{
    char chunk[4096];
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n == 0)
            return bui_buf_ok(out) ? BUS_OK : bui_fail(err, BUS_TOO_BIG, "%s printed more than can be kept", name);
        if (n < 0 && errno != EINTR)
            return bui_fail(err, BUS_IO, "%s: reading its output: %s", name, strerror(errno));
        if (n > 0)
            bui_buf_add(out, chunk, (size_t)n);
    }
}

bus_status cli_child_run(const cli_child *child, bui_buf *out, int *code, bus_error *err)
{
    posix_spawn_file_actions_t actions;
    int ends[2], wait_status;
    pid_t pid;
    const char *name = child->argv[0];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return bui_fail(err, BUS_IO, "a pipe: %s", strerror(errno));
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    int failed = posix_spawnp(&pid, name, &actions, NULL, child->argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (failed) {
        close(ends[0]);
        return bui_fail(err, BUS_IO, "%s cannot be run: %s", name, strerror(failed));
    }
    bus_status status = read_all(ends[0], out, name, err);
    close(ends[0]);
    while (waitpid(pid, &wait_status, 0) < 0)
        if (errno != EINTR)
            return bui_fail(err, BUS_IO, "%s: waiting for it: %s", name, strerror(errno));
    *code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
    return status;
}

bus_status cli_child_name(const cli *c, const char *line, char out[64], bus_error *err)
{
    cli_child child;
    bui_buf text;
    int code = 0;
    bui_buf_init(&text, 4096);
    bus_status status = cli_child_begin(c, line, &child, err);
    if (status != BUS_OK)
        return status;
    status = cli_child_add(&child, "--version", err);
    if (status == BUS_OK)
        status = cli_child_run(&child, &text, &code, err);
    bui_buf_byte(&text, 0);
    if (status == BUS_OK && (code != 0 || !bui_buf_ok(&text) || sscanf((const char *)text.data, "%63[a-z0-9-] (bus", out) != 1))
        status = bui_fail(err, BUS_INVALID, "%s does not say with --version which service it is", line);
    cli_child_free(&child);
    bui_buf_free(&text);
    return status;
}
