/* SPDX-License-Identifier: MIT
 * Waker: one atomic word says whether somebody sleeps; the semaphore is touched only then. sem_post, so that waking is
 * allowed in a signal handler (bus_stop). */
#include "base/waker.h"

#include "base/clock.h"
#include "base/wait.h"

#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

enum { AWAKE, WOKEN, ASLEEP };

struct bui_waker {
    atomic_int state;
    sem_t bed;
};

bui_waker *bui_waker_new(void)
{
    bui_waker *waker = malloc(sizeof *waker);
    if (!waker)
        return NULL;
    atomic_init(&waker->state, AWAKE);
    if (sem_init(&waker->bed, 0, 0) != 0) {
        free(waker);
        return NULL;
    }
    return waker;
}

void bui_waker_free(bui_waker *waker)
{
    if (!waker)
        return;
    (void)sem_destroy(&waker->bed);
    free(waker);
}

void bui_waker_wake(bui_waker *waker)
{
    if (atomic_exchange(&waker->state, WOKEN) == ASLEEP)
        (void)sem_post(&waker->bed);
}

/* On the monotonic clock: a step of the wall clock must neither wake nor strand a shard. */
static bool wait_until(sem_t *bed, const struct timespec *until)
{
    while ((until ? sem_clockwait(bed, CLOCK_MONOTONIC, until) : sem_wait(bed)) != 0)
        if (errno != EINTR)
            return false;
    return true;
}

bool bui_waker_sleep(bui_waker *waker, int64_t timeout_us)
{
    int seen = AWAKE;
    if (timeout_us == 0 || !atomic_compare_exchange_strong(&waker->state, &seen, ASLEEP))
        return atomic_exchange(&waker->state, AWAKE) == WOKEN;

    struct timespec until = { 0 };
    if (timeout_us > 0) {
        /* Longer than 30 years is without end as far as time_t is concerned. */
        int64_t us = timeout_us < INT64_C(1000000000000000) ? timeout_us : INT64_C(1000000000000000);
        until = bui_timespec_us(bui_clock_now_us() + us);
    }
    if (!wait_until(&waker->bed, timeout_us < 0 ? NULL : &until)) {
        seen = ASLEEP;
        if (atomic_compare_exchange_strong(&waker->state, &seen, AWAKE))
            return false;
        /* Woken in the last moment: its post is there or about to come, and must not wake the next sleep. */
        (void)wait_until(&waker->bed, NULL);
    }
    atomic_store(&waker->state, AWAKE);
    return true;
}
