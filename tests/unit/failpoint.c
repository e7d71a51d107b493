/* SPDX-License-Identifier: MIT
 * Failpoints: kill the n-th time, leave a trace of what was reached, and are not in release builds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/failpoint.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef BUS_FAILPOINTS

/* Runs three rounds over two points in a child and returns how it ended and in which round. */
static int run(const char *what, const char *trace, int *rounds)
{
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (what)
            (void)setenv("BUS_FAILPOINT", what, 1);
        (void)setenv("BUS_FAILPOINT_TRACE", trace, 1);
        for (int i = 0; i < 3; i++) {
            BUI_FAILPOINT("before");
            if (write(pipes[1], ".", 1) != 1)
                _exit(9);
            BUI_FAILPOINT("after:commit");
        }
        _exit(7);
    }
    (void)close(pipes[1]);
    char byte;
    *rounds = 0;
    while (read(pipes[0], &byte, 1) == 1)
        ++*rounds;
    (void)close(pipes[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void kills_and_traces(void **state)
{
    (void)state;
    char trace[] = "/tmp/bus-trace-XXXXXX";
    int fd = mkstemp(trace), rounds;
    assert_true(fd >= 0);
    assert_int_equal(run(NULL, trace, &rounds), 7);
    assert_int_equal(rounds, 3);
    char text[64] = "";
    assert_int_equal(read(fd, text, sizeof text - 1), 20);
    assert_string_equal(text, "before\nafter:commit\n"); /* each once */
    assert_int_equal(run("before", trace, &rounds), -SIGKILL);
    assert_int_equal(rounds, 0);
    assert_int_equal(run("before:3", trace, &rounds), -SIGKILL);
    assert_int_equal(rounds, 2);
    assert_int_equal(run("after:commit:2", trace, &rounds), -SIGKILL);
    assert_int_equal(rounds, 2);
    assert_int_equal(run("before:4", trace, &rounds), 7);
    assert_int_equal(run("elsewhere:1", trace, &rounds), 7);
    (void)close(fd);
    assert_int_equal(unlink(trace), 0);
}

static int calls;

static void count(const char *name, void *opaque)
{
    assert_string_equal(name, "here");
    assert_ptr_equal(opaque, &calls);
    calls++;
}

static void calls_the_hook(void **state)
{
    (void)state;
    bui_failpoint_to(count, &calls);
    BUI_FAILPOINT("here");
    BUI_FAILPOINT("here");
    bui_failpoint_to(NULL, NULL);
    BUI_FAILPOINT("here");
    assert_int_equal(calls, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(kills_and_traces), cmocka_unit_test(calls_the_hook) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

/* The argument is not even evaluated. */
static void is_nothing_in_release(void **state)
{
    (void)state;
    int evaluated = 0;
    BUI_FAILPOINT((evaluated++, "x"));
    assert_int_equal(evaluated, 0);
    (void)setenv("BUS_FAILPOINT", "x:1", 1);
    BUI_FAILPOINT("x");
    (void)unsetenv("BUS_FAILPOINT");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(is_nothing_in_release) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
