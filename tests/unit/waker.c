/* SPDX-License-Identifier: MIT
 * Waker: no wake is lost, none is kept twice, a time-out is one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/waker.h"
#include "support/alloc_fail.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

static void remembers_one_wake(void **state)
{
    (void)state;
    bui_waker *waker = bui_waker_new();
    assert_non_null(waker);
    assert_false(bui_waker_sleep(waker, 0));
    bui_waker_wake(waker);
    bui_waker_wake(waker);
    assert_true(bui_waker_sleep(waker, -1));
    assert_false(bui_waker_sleep(waker, 0));
    bui_waker_wake(waker);
    assert_true(bui_waker_sleep(waker, 0));
    bui_waker_free(waker);
    bui_waker_free(NULL);
}

static void times_out(void **state)
{
    (void)state;
    bui_waker *waker = bui_waker_new();
    int64_t start = bui_clock_now_us();
    assert_false(bui_waker_sleep(waker, 20000));
    assert_true(bui_clock_now_us() - start >= 20000);
    bui_waker_free(waker);
}

/* Two threads hand a ball to each other: one lost wake and both sleep without end (the time-out of 10 s shows it). */
typedef struct table {
    bui_waker *mine, *theirs;
    atomic_long *ball;
    int parity;
    bool lost;
} table;
#define EXCHANGES 20000

static void *play(void *opaque)
{
    table *t = opaque;
    for (;;) {
        long at = atomic_load(t->ball);
        if (at >= EXCHANGES)
            break;
        if (at % 2 == t->parity) {
            atomic_store(t->ball, at + 1);
            bui_waker_wake(t->theirs);
        } else if (!bui_waker_sleep(t->mine, (at & 7) == 0 ? 10 : 10000000) && (at & 7) != 0) {
            t->lost = true;
            break;
        }
    }
    bui_waker_wake(t->theirs);
    return NULL;
}

static void loses_no_wake(void **state)
{
    (void)state;
    atomic_long ball = 0;
    bui_waker *a = bui_waker_new(), *b = bui_waker_new();
    table one = { a, b, &ball, 0, false }, two = { b, a, &ball, 1, false };
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, play, &one), 0);
    (void)play(&two);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_false(one.lost || two.lost);
    assert_int_equal(atomic_load(&ball), EXCHANGES);
    bui_waker_free(a);
    bui_waker_free(b);
}

/* TSan holds signals back while a thread is in a call that it does not know as blocking (sem_clockwait). */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SIGNALS_ARE_LATE
#endif
#endif

static bui_waker *of_signal;

static void on_signal(int number)
{
    (void)number;
    bui_waker_wake(of_signal);
}

static void *interrupt(void *opaque)
{
    const struct timespec nap = { 0, 30000000 };
    (void)nanosleep(&nap, NULL);
    (void)pthread_kill(*(pthread_t *)opaque, SIGUSR1);
    return NULL;
}

static void is_woken_by_a_signal_handler(void **state)
{
    (void)state;
    of_signal = bui_waker_new();
    struct sigaction action, former;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    assert_int_equal(sigaction(SIGUSR1, &action, &former), 0);
    pthread_t self = pthread_self(), thread;
    assert_int_equal(pthread_create(&thread, NULL, interrupt, &self), 0);
#ifdef SIGNALS_ARE_LATE
    bool woken = false;
    for (int i = 0; i < 100 && !woken; i++)
        woken = bui_waker_sleep(of_signal, 300000);
    assert_true(woken);
#else
    assert_true(bui_waker_sleep(of_signal, -1));
#endif
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(sigaction(SIGUSR1, &former, NULL), 0);
    bui_waker_free(of_signal);
}

static void survives_no_memory(void **state)
{
    (void)state;
    alloc_fail_at(1, false);
    assert_null(bui_waker_new());
    assert_true(alloc_fail_off());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(remembers_one_wake),           cmocka_unit_test(times_out),          cmocka_unit_test(loses_no_wake),
        cmocka_unit_test(is_woken_by_a_signal_handler), cmocka_unit_test(survives_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
