/* SPDX-License-Identifier: MIT
 * Completions: at once on the ending thread, or after bus_fd on the dispatching one; exactly once either way. */
#include "service/completion.h"
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

typedef struct heard { int times; bus_status status; char text[100]; pthread_t thread; } heard;

static void listen_to(void *opaque, bus_status status, const bus_error *err)
{
    heard *mine = opaque;
    mine->times++;
    mine->status = status;
    mine->thread = pthread_self();
    snprintf(mine->text, sizeof mine->text, "%.99s", err ? err->text : "");
}

static bool readable(int fd)
{
    struct pollfd one = { .fd = fd, .events = POLLIN };
    return poll(&one, 1, 0) == 1;
}

static void without_a_descriptor_it_runs_at_once(void **state)
{
    (void)state;
    bus_completions list;
    heard mine = { 0 };
    bus_error err = { .status = BUS_FULL, .text = "too much" };
    bus_completions_init(&list);
    bus_completion_end(&list, bus_completion_new(listen_to, &mine), BUS_FULL, &err);
    assert_int_equal(mine.times, 1);
    assert_int_equal(mine.status, BUS_FULL);
    assert_string_equal(mine.text, "too much");
    assert_int_equal(bus_completions_dispatch(&list), 0);
    bus_completions_free(&list);
}

static void *end_elsewhere(void *arg)
{
    void **both = arg;
    bus_error err = { .status = BUS_BROKER, .text = "gone" }; /* of this thread's stack: must be copied */
    bus_completion_end(both[0], both[1], BUS_BROKER, &err);
    memset(&err, 'x', sizeof err);
    return NULL;
}

static void with_a_descriptor_the_dispatcher_runs_it(void **state)
{
    (void)state;
    bus_completions list;
    heard first = { 0 }, second = { 0 };
    bus_completions_init(&list);
    int fd = bus_completions_fd(&list);
    assert_true(fd >= 0);
    assert_int_equal(bus_completions_fd(&list), fd);
    assert_false(readable(fd));

    pthread_t thread;
    void *both[] = { &list, bus_completion_new(listen_to, &first) };
    assert_int_equal(pthread_create(&thread, NULL, end_elsewhere, both), 0);
    pthread_join(thread, NULL);
    bus_completion_end(&list, bus_completion_new(listen_to, &second), BUS_OK, NULL);
    assert_int_equal(first.times + second.times, 0);
    assert_true(readable(fd));

    assert_int_equal(bus_completions_dispatch(&list), 2);
    assert_false(readable(fd));
    assert_int_equal(first.times, 1);
    assert_int_equal(first.status, BUS_BROKER);
    assert_string_equal(first.text, "gone");
    assert_true(pthread_equal(first.thread, pthread_self()));
    assert_int_equal(second.status, BUS_OK);
    assert_string_equal(second.text, "");
    bus_completions_free(&list);
}

static void what_waits_at_the_end_is_told(void **state)
{
    (void)state;
    bus_completions list;
    heard mine = { 0 };
    bus_completions_init(&list);
    bus_completions_fd(&list);
    bus_completion_end(&list, bus_completion_new(listen_to, &mine), BUS_OK, NULL);
    bus_completions_free(&list);
    assert_int_equal(mine.times, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_descriptor_it_runs_at_once),
        cmocka_unit_test(with_a_descriptor_the_dispatcher_runs_it),
        cmocka_unit_test(what_waits_at_the_end_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
