/* SPDX-License-Identifier: MIT
 * Wait: condition variables on the monotonic clock. */
#include "base/wait.h"

#include <errno.h>

struct timespec bui_timespec_us(int64_t us)
{
    return (struct timespec){ .tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000 };
}

void bui_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

bool bui_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t until_us)
{
    const struct timespec until = bui_timespec_us(until_us);
    return pthread_cond_timedwait(cond, lock, &until) != ETIMEDOUT;
}

void bui_thread_join_within(pthread_t thread, int64_t timeout_ms)
{
    struct timespec now, until; /* of the wall clock: the one that sanitizers know */
    clock_gettime(CLOCK_REALTIME, &now);
    until = bui_timespec_us((int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000 + timeout_ms * 1000);
    if (pthread_timedjoin_np(thread, NULL, &until) != 0)
        pthread_detach(thread);
}
