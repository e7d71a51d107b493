/* SPDX-License-Identifier: MIT
 * Test clock: what only a test does to the virtual clock. */
#ifndef BUI_TESTING_CLOCK_H
#define BUI_TESTING_CLOCK_H

#include "base/virtual_clock.h"

/* Somebody sets the wall clock, either way; no time passes. */
static inline void bui_virtual_clock_step(bui_virtual_clock *clock, int64_t ms)
{
    clock->wall_us += ms * 1000;
}

#endif
