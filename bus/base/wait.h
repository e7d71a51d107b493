/* SPDX-License-Identifier: MIT
 * Wait: with a time-out, by the monotonic clock: a step of the wall clock must neither end nor prolong a wait. Times are those of
 * bui_clock_now_us. */
#ifndef BUI_BASE_WAIT_H
#define BUI_BASE_WAIT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct timespec bui_timespec_us(int64_t us);

void bui_cond_init(pthread_cond_t *cond); /* for bui_cond_wait */
/* Until it is signalled, or until then: false. It may return early, as pthread_cond_wait may. */
bool bui_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t until_us);

/* Joins the thread, or leaves it to itself if it has not ended in time. */
void bui_thread_join_within(pthread_t thread, int64_t timeout_ms);

#endif
