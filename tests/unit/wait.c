/* SPDX-License-Identifier: MIT
 * Waiting with a time-out: by the monotonic clock, and a thread that does not end is left to itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/wait.h"
#include <stdatomic.h>

typedef struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open;
} gate;

static void gate_init(gate *g)
{
    g->open = false;
    pthread_mutex_init(&g->lock, NULL);
    bui_cond_init(&g->changed);
}

static void gate_free(gate *g)
{
    pthread_cond_destroy(&g->changed);
    pthread_mutex_destroy(&g->lock);
}

static void *open_gate(void *arg)
{
    gate *g = arg;
    pthread_mutex_lock(&g->lock);
    g->open = true;
    pthread_cond_signal(&g->changed);
    pthread_mutex_unlock(&g->lock);
    return NULL;
}

static void sums_of_time(void **state)
{
    (void)state;
    struct timespec t = bui_timespec_us(INT64_C(12345678999));
    assert_int_equal(t.tv_sec, 12345);
    assert_int_equal(t.tv_nsec, 678999000);
}

static void time_is_up(void **state)
{
    (void)state;
    gate g;
    gate_init(&g);
    pthread_mutex_lock(&g.lock);
    int64_t until = bui_clock_now_us() + 20000;
    while (bui_cond_wait(&g.changed, &g.lock, until))
        ;
    assert_true(bui_clock_now_us() >= until);
    assert_false(bui_cond_wait(&g.changed, &g.lock, until)); /* over already: at once */
    pthread_mutex_unlock(&g.lock);
    gate_free(&g);
}

static void a_signal_ends_it(void **state)
{
    (void)state;
    gate g;
    pthread_t thread;
    bool waits = true;
    gate_init(&g);
    pthread_mutex_lock(&g.lock);
    assert_int_equal(pthread_create(&thread, NULL, open_gate, &g), 0);
    while (!g.open && waits)
        waits = bui_cond_wait(&g.changed, &g.lock, bui_clock_now_us() + INT64_C(60000000));
    assert_true(g.open);
    pthread_mutex_unlock(&g.lock);
    bui_thread_join_within(thread, 60000);
    gate_free(&g);
}

static gate stuck;
static atomic_bool passed;

static void *wait_at_gate(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&stuck.lock);
    while (!stuck.open)
        pthread_cond_wait(&stuck.changed, &stuck.lock);
    pthread_mutex_unlock(&stuck.lock);
    atomic_store(&passed, true);
    return NULL;
}

static void a_stuck_thread_is_left(void **state)
{
    (void)state;
    pthread_t thread;
    gate_init(&stuck);
    assert_int_equal(pthread_create(&thread, NULL, wait_at_gate, NULL), 0);
    bui_thread_join_within(thread, 10);
    assert_false(atomic_load(&passed));
    open_gate(&stuck);
    while (!atomic_load(&passed))
        ;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_of_time),
        cmocka_unit_test(time_is_up),
        cmocka_unit_test(a_signal_ends_it),
        cmocka_unit_test(a_stuck_thread_is_left),
    };
    return cmocka_run_group_tests_name("wait", tests, NULL, NULL);
}
