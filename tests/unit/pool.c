/* SPDX-License-Identifier: MIT
 * Pool: every job runs once, in parallel, also those queued when it closes. */
#include "service/pool.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

typedef struct task {
    bui_job job;
    int runs, dones;
} task;

static atomic_int inside, most_inside;
static pthread_barrier_t meeting;

static void run(bui_job *job)
{
    ((task *)job)->runs++;
}

static void done(bui_job *job)
{
    ((task *)job)->dones++;
}

static void meet(bui_job *job)
{
    int now = atomic_fetch_add(&inside, 1) + 1;
    if (now > atomic_load(&most_inside))
        atomic_store(&most_inside, now);
    pthread_barrier_wait(&meeting); /* returns only if all run at once */
    run(job);
}

static void every_job_runs_once(void **state)
{
    (void)state;
    static task tasks[1000];
    bui_pool *pool = NULL;
    assert_int_equal(bui_threads_open(3, &pool, NULL), BUS_OK);
    for (int i = 0; i < 1000; i++) {
        tasks[i] = (task){ .job = { .run = run, .done = done } };
        pool->submit(pool, &tasks[i].job);
    }
    bui_threads_close(pool);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(tasks[i].runs, 1);
        assert_int_equal(tasks[i].dones, 1);
    }
}

static void jobs_run_side_by_side(void **state)
{
    (void)state;
    task tasks[4];
    bui_pool *pool = NULL;
    pthread_barrier_init(&meeting, NULL, 4);
    assert_int_equal(bui_threads_open(4, &pool, NULL), BUS_OK);
    for (int i = 0; i < 4; i++) {
        tasks[i] = (task){ .job = { .run = meet, .done = done } };
        pool->submit(pool, &tasks[i].job);
    }
    bui_threads_close(pool);
    pthread_barrier_destroy(&meeting);
    for (int i = 0; i < 4; i++)
        assert_int_equal(tasks[i].dones, 1);
}

static void nothing_is_nothing(void **state)
{
    (void)state;
    bui_pool *pool = NULL;
    bui_threads_close(NULL);
    assert_int_equal(bui_threads_open(2, &pool, NULL), BUS_OK);
    bui_threads_close(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_job_runs_once),
        cmocka_unit_test(jobs_run_side_by_side),
        cmocka_unit_test(nothing_is_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
