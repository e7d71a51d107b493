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

typedef struct heard {
    int times;
    bus_result result;
    char text[100];
    pthread_t thread;
} heard;

static void listen_to(const bus_result *result, void *opaque)
{
    heard *mine = opaque;
    mine->times++;
    mine->result = *result;
    mine->thread = pthread_self();
    assert_int_equal(result->error != NULL, result->status != BUS_OK);
    snprintf(mine->text, sizeof mine->text, "%.99s", result->error ? result->error->text : "");
}

static bool readable(int fd)
{
    struct pollfd one = { .fd = fd, .events = POLLIN };
    return poll(&one, 1, 0) == 1;
}

static void without_a_descriptor_it_runs_at_once(void **state)
{
    (void)state;
    bui_completions list;
    heard mine = { 0 };
    bus_error err = { .status = BUS_FULL, .text = "too much" };
    bui_completions_init(&list);
    bui_completion_end(&list, bui_completion_new(listen_to, &mine), &(bus_result){ BUS_FULL, &err, -1, -1 });
    assert_int_equal(mine.times, 1);
    assert_int_equal(mine.result.status, BUS_FULL);
    assert_string_equal(mine.text, "too much");
    assert_int_equal(bui_completions_dispatch(&list), 0);
    bui_completions_free(&list);
}

static void *end_elsewhere(void *arg)
{
    void **both = arg;
    bus_error err = { .status = BUS_BROKER, .text = "gone" }; /* of this thread's stack: must be copied */
    bui_completion_end(both[0], both[1], &(bus_result){ BUS_BROKER, &err, -1, -1 });
    memset(&err, 'x', sizeof err);
    return NULL;
}

static void with_a_descriptor_the_dispatcher_runs_it(void **state)
{
    (void)state;
    bui_completions list;
    heard first = { 0 }, second = { 0 };
    bui_completions_init(&list);
    int fd = bui_completions_fd(&list);
    assert_true(fd >= 0);
    assert_int_equal(bui_completions_fd(&list), fd);
    assert_false(readable(fd));

    pthread_t thread;
    void *both[] = { &list, bui_completion_new(listen_to, &first) };
    assert_int_equal(pthread_create(&thread, NULL, end_elsewhere, both), 0);
    pthread_join(thread, NULL);
    bui_completion_end(&list, bui_completion_new(listen_to, &second), &(bus_result){ BUS_OK, NULL, 3, 41 });
    assert_int_equal(first.times + second.times, 0);
    assert_true(readable(fd));

    assert_int_equal(bui_completions_dispatch(&list), 2);
    assert_false(readable(fd));
    assert_int_equal(first.times, 1);
    assert_int_equal(first.result.status, BUS_BROKER);
    assert_string_equal(first.text, "gone");
    assert_true(pthread_equal(first.thread, pthread_self()));
    assert_int_equal(second.result.status, BUS_OK);
    assert_string_equal(second.text, "");
    assert_int_equal(second.result.partition, 3);
    assert_int_equal(second.result.offset, 41);
    bui_completions_free(&list);
}

static void a_failure_always_has_a_reason(void **state)
{
    (void)state;
    bui_completions list;
    heard mine = { 0 };
    bui_completions_init(&list);
    bui_completion_end(&list, bui_completion_new(listen_to, &mine), &(bus_result){ BUS_NOMEM, NULL, -1, -1 });
    assert_int_equal(mine.times, 1);
    assert_string_equal(mine.text, "failed, and there was no memory to say why");
    bui_completions_free(&list);
}

static void what_waits_at_the_end_is_told(void **state)
{
    (void)state;
    bui_completions list;
    heard mine = { 0 };
    bui_completions_init(&list);
    bui_completions_fd(&list);
    bui_completion_end(&list, bui_completion_new(listen_to, &mine), &(bus_result){ BUS_OK, NULL, 0, 0 });
    bui_completions_free(&list);
    assert_int_equal(mine.times, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_descriptor_it_runs_at_once),
        cmocka_unit_test(with_a_descriptor_the_dispatcher_runs_it),
        cmocka_unit_test(a_failure_always_has_a_reason),
        cmocka_unit_test(what_waits_at_the_end_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
