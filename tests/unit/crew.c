/* SPDX-License-Identifier: MIT
 * Crew: no task is run by two threads at once, no call is lost, and a task that hangs holds up nobody else while a thread is free. */
#include "service/crew.h"
#include "base/clock.h"
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define TASKS 40
#define THREADS 4
#define CALLS 4000
#define NO_END INT64_MAX

typedef struct job {
    bui_task task; /* first */
    int number;
    atomic_int inside, called;
    int seen, runs;  /* written by runs alone, without a lock: ThreadSanitizer judges */
    int64_t wait_us; /* what its next run returns; or when it is due, if that is set */
    int64_t due_us;
    sem_t *hangs; /* its run waits for this */
} job;

static atomic_int twice, ran[1000], ran_count;

static void nap_us(long us)
{
    nanosleep(&(struct timespec){ us / 1000000, us % 1000000 * 1000 }, NULL);
}

static int64_t work(bui_task *task)
{
    job *mine = (job *)task;
    if (atomic_fetch_add(&mine->inside, 1) != 0)
        atomic_fetch_add(&twice, 1);
    mine->seen = atomic_load(&mine->called);
    mine->runs++;
    int at = atomic_fetch_add(&ran_count, 1);
    if (at < 1000)
        atomic_store(&ran[at], mine->number);
    if (mine->hangs) {
        while (sem_wait(mine->hangs) != 0)
            continue;
    }
    int64_t wait_us = mine->wait_us;
    if (mine->due_us) {
        wait_us = mine->due_us - bui_clock_now_us();
        wait_us = wait_us > 1 ? wait_us : 1;
    }
    mine->wait_us = NO_END;
    mine->due_us = 0;
    atomic_fetch_sub(&mine->inside, 1);
    return wait_us;
}

static job *make(int count)
{
    static job jobs[TASKS];
    assert_in_range(count, 1, TASKS);
    memset(jobs, 0, sizeof jobs);
    for (int i = 0; i < count; i++)
        jobs[i] = (job){ .task.run = work, .number = i, .wait_us = NO_END };
    atomic_store(&twice, 0);
    return jobs;
}

static void begin(bui_crew *crew, job *jobs, int count)
{
    for (int i = 0; i < count; i++)
        assert_int_equal(bui_task_begin(crew, &jobs[i].task), 0);
}

static void end(bui_crew *crew, job *jobs, int count)
{
    for (int i = 0; i < count; i++) {
        bui_task_end(&jobs[i].task);
        bui_task_free(&jobs[i].task);
    }
    bui_crew_free(crew);
    assert_int_equal(atomic_load(&twice), 0);
}

/* Until each has run at its start and rests. */
static void wait_begun(job *jobs, int count)
{
    for (int i = 0; i < count; i++)
        while (atomic_load(&jobs[i].task.state) != 1)
            nap_us(200);
    atomic_store(&ran_count, 0);
}

static void wait_ran(int count)
{
    while (atomic_load(&ran_count) < count)
        nap_us(200);
}

typedef struct caller {
    job *jobs;
    unsigned seed;
} caller;

static void *call_them(void *arg)
{
    caller *mine = arg;
    for (int i = 0; i < CALLS; i++) {
        mine->seed = mine->seed * 1103515245u + 12345u;
        job *one = &mine->jobs[mine->seed / 65536 % TASKS];
        atomic_fetch_add(&one->called, 1);
        bui_task_call(&one->task);
        if (i % 64 == 0)
            nap_us(100);
    }
    return NULL;
}

static void crowd(int threads)
{
    job *jobs = make(TASKS);
    bui_crew *crew = bui_crew_new(threads, TASKS);
    caller callers[3];
    pthread_t thread[3];
    begin(crew, jobs, TASKS);
    for (unsigned i = 0; i < 3; i++) {
        callers[i] = (caller){ jobs, i + 1 };
        assert_int_equal(pthread_create(&thread[i], NULL, call_them, &callers[i]), 0);
    }
    for (int i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    wait_begun(jobs, TASKS);
    for (int i = 0; i < TASKS; i++)
        bui_task_end(&jobs[i].task);
    for (int i = 0; i < TASKS; i++) {
        assert_int_equal(jobs[i].seen, atomic_load(&jobs[i].called)); /* the last call was followed by a run */
        assert_true(jobs[i].runs > 1 && jobs[i].runs <= jobs[i].seen + 3);
        assert_int_equal(bui_task_begin(crew, &jobs[i].task), 0); /* and it begins again */
    }
    end(crew, jobs, TASKS);
}

static void a_task_is_run_by_one_thread_at_a_time(void **state)
{
    (void)state;
    crowd(THREADS);
}

static void a_task_with_its_own_thread_misses_no_call(void **state)
{
    (void)state;
    crowd(TASKS);
}

static void threads_come_with_tasks_up_to_the_bound(void **state)
{
    (void)state;
    job *jobs = make(6);
    bui_crew *crew = bui_crew_new(3, 6);
    for (int i = 0; i < 6; i++) {
        begin(crew, &jobs[i], 1);
        assert_int_equal(bui_crew_threads(crew), i < 3 ? i + 1 : 3);
    }
    end(crew, jobs, 6);
    jobs = make(3);
    crew = bui_crew_new(3, 3);
    begin(crew, jobs, 3);
    assert_int_equal(bui_crew_threads(crew), 3);
    end(crew, jobs, 3);
}

/* Of eight on two threads one hangs, then another: nobody else runs until there are threads in their place. */
static void a_task_that_hangs_holds_one_thread(void **state)
{
    (void)state;
    job *jobs = make(8);
    bui_crew *crew = bui_crew_new(2, 8);
    sem_t bed;
    sem_init(&bed, 0, 0);
    begin(crew, jobs, 8);
    wait_begun(jobs, 8);
    jobs[3].hangs = &bed;
    bui_task_call(&jobs[3].task);
    wait_ran(1);
    for (int i = 0; i < 8; i++)
        bui_task_call(&jobs[i].task);
    wait_ran(8); /* all but the one */
    wait_begun(jobs, 3);
    jobs[5].hangs = &bed;
    bui_task_call(&jobs[5].task);
    wait_ran(1);
    bui_task_call(&jobs[0].task);
    bui_task_call(&jobs[1].task);
    nap_us(20000);
    assert_int_equal(atomic_load(&ran_count), 1);
    assert_int_equal(bui_crew_queued(crew), 2);
    assert_int_equal(bui_crew_spare(crew, 2), 0);
    wait_ran(3);
    assert_int_equal(bui_crew_threads(crew), 4);
    assert_int_equal(bui_crew_spare(crew, 2), 0);
    assert_int_equal(bui_crew_threads(crew), 4);
    assert_int_equal(bui_crew_spare(crew, 100), 0);
    assert_int_equal(bui_crew_threads(crew), 8); /* never more than tasks */
    for (int i = 0; i < 3; i++)
        sem_post(&bed); /* 3 was called once more while it hung */
    end(crew, jobs, 8);
    assert_int_equal(jobs[3].runs, 3);
    sem_destroy(&bed);
}

static void ready_tasks_run_in_order(void **state)
{
    (void)state;
    job *jobs = make(6);
    bui_crew *crew = bui_crew_new(1, 6);
    sem_t bed;
    sem_init(&bed, 0, 0);
    begin(crew, jobs, 6);
    wait_begun(jobs, 6);
    jobs[0].hangs = &bed;
    jobs[0].wait_us = 0; /* it has more to do, and still lets the others go first */
    bui_task_call(&jobs[0].task);
    wait_ran(1);
    static const int order[] = { 4, 2, 5, 1, 3 };
    for (int i = 0; i < 5; i++)
        bui_task_call(&jobs[order[i]].task);
    bui_task_call(&jobs[5].task);
    sem_post(&bed);
    sem_post(&bed);
    wait_ran(7);
    for (int i = 0; i < 5; i++)
        assert_int_equal(atomic_load(&ran[i + 1]), order[i]);
    assert_int_equal(atomic_load(&ran[6]), 0);
    end(crew, jobs, 6);
    sem_destroy(&bed);
}

static void a_task_ends_while_it_waits_for_a_thread(void **state)
{
    (void)state;
    job *jobs = make(3);
    bui_crew *crew = bui_crew_new(1, 3);
    sem_t bed;
    sem_init(&bed, 0, 0);
    begin(crew, jobs, 3);
    wait_begun(jobs, 3);
    jobs[0].hangs = &bed;
    bui_task_call(&jobs[0].task);
    wait_ran(1);
    bui_task_call(&jobs[1].task);
    bui_task_call(&jobs[2].task);
    jobs[2].wait_us = 1000; /* an alarm that must go with it */
    sem_post(&bed);
    bui_task_end(&jobs[1].task);
    bui_task_end(&jobs[2].task);
    int runs[] = { jobs[1].runs, jobs[2].runs };
    bui_task_call(&jobs[1].task); /* late callers find nothing */
    bui_task_call(&jobs[2].task);
    nap_us(5000);
    assert_int_equal(jobs[1].runs, runs[0]);
    assert_int_equal(jobs[2].runs, runs[1]);
    end(crew, jobs, 1);
    sem_destroy(&bed);
}

/* Whatever their order, and if called before their time they run then, and not once more. */
static void tasks_run_when_they_are_due(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 20; threads += 19) {
        job *jobs = make(20);
        bui_crew *crew = bui_crew_new(threads, 20);
        begin(crew, jobs, 20);
        wait_begun(jobs, 20);
        int64_t soon_us = bui_clock_now_us() + 1000000;
        for (int i = 0; i < 20; i++) {
            jobs[i].due_us = soon_us + i * 7 % 20 * 10000;
            bui_task_call(&jobs[i].task);
        }
        wait_ran(20);
        for (int i = 10; i < 20; i++)
            bui_task_call(&jobs[i].task);
        wait_ran(40);
        nap_us(50000);
        assert_int_equal(atomic_load(&ran_count), 40);
        for (int i = 0, before = -1; i < 10 && threads == 1; i++) {
            int number = atomic_load(&ran[30 + i]);
            assert_in_range(number, 0, 9);
            assert_true(number * 7 % 20 > before);
            before = number * 7 % 20;
        }
        end(crew, jobs, 20);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_task_is_run_by_one_thread_at_a_time),
        cmocka_unit_test(a_task_with_its_own_thread_misses_no_call),
        cmocka_unit_test(threads_come_with_tasks_up_to_the_bound),
        cmocka_unit_test(a_task_that_hangs_holds_one_thread),
        cmocka_unit_test(ready_tasks_run_in_order),
        cmocka_unit_test(a_task_ends_while_it_waits_for_a_thread),
        cmocka_unit_test(tasks_run_when_they_are_due),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
