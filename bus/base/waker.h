/* SPDX-License-Identifier: MIT
 * Waker: one thread sleeps, any thread wakes it; a wake while nobody sleeps costs no system call and is not lost. */
#ifndef BUI_BASE_WAKER_H
#define BUI_BASE_WAKER_H

#include <stdbool.h>
#include <stdint.h>

typedef struct bui_waker bui_waker;
bui_waker *bui_waker_new(void); /* NULL: no memory */
void bui_waker_free(bui_waker *waker);
void bui_waker_wake(bui_waker *waker); /* any thread */
/* Sleeps until woken or timeout_us passed (<0: no limit); true if woken. A wake since the last sleep returns at once. */
bool bui_waker_sleep(bui_waker *waker, int64_t timeout_us);

#endif
