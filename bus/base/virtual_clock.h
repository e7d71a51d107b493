/* SPDX-License-Identifier: MIT
 * Virtual clock: time that stands still until somebody moves it: a test, or a rebuild. Single-threaded. */
#ifndef BUS_BASE_VIRTUAL_CLOCK_H
#define BUS_BASE_VIRTUAL_CLOCK_H

#include "base/clock.h"

typedef struct bus_virtual_clock {
    bus_clock clock;   /* give &clock to whoever wants a bus_clock; first member, so that it can be found again */
    int64_t wall_us;   /* since the epoch */
    int64_t mono_us;   /* since some start, never 0 */
} bus_virtual_clock;

/* Stands at `wall_ms` since the epoch. */
void bus_virtual_clock_init(bus_virtual_clock *clock, int64_t wall_ms);
/* Time passes: both clocks move on. us >= 0. */
void bus_virtual_clock_advance(bus_virtual_clock *clock, int64_t us);

#endif
