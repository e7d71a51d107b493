/* SPDX-License-Identifier: MIT
 * Waker: one thread sleeps, any thread wakes it; a wake while nobody sleeps costs no system call and is not lost. */
#ifndef BUS_BASE_WAKER_H
#define BUS_BASE_WAKER_H

#include <stdbool.h>
#include <stdint.h>

typedef struct bus_waker bus_waker;
bus_waker *bus_waker_new(void);              /* NULL: no memory */
void bus_waker_free(bus_waker *waker);
void bus_waker_wake(bus_waker *waker);       /* any thread */
/* Sleeps until woken or timeout_us passed (<0: for ever); true if woken. A wake since the last sleep returns at once. */
bool bus_waker_sleep(bus_waker *waker, int64_t timeout_us);

#endif
