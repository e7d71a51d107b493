/* SPDX-License-Identifier: MIT
 * Virtual clock: time that a test or a rebuild moves. Single-threaded. */
#ifndef BUI_BASE_VIRTUAL_CLOCK_H
#define BUI_BASE_VIRTUAL_CLOCK_H

#include "base/clock.h"

typedef struct bui_virtual_clock {
    bui_clock clock; /* pass &clock where a bui_clock is wanted; first member, so that it can be found again */
    int64_t wall_us; /* since the epoch */
    int64_t mono_us; /* since some start, never 0 */
} bui_virtual_clock;

/* Stands at `wall_ms` since the epoch. */
void bui_virtual_clock_init(bui_virtual_clock *clock, int64_t wall_ms);
/* Time passes: both clocks move on. us >= 0. */
void bui_virtual_clock_advance(bui_virtual_clock *clock, int64_t us);

#endif
