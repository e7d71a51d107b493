/* SPDX-License-Identifier: MIT
 * The virtual clock: two numbers. */
#include "base/virtual_clock.h"

/* The clock is the first member, so its address is the whole's. */
static int64_t wall_ms(const bui_clock *clock)
{
    return ((const bui_virtual_clock *)clock)->wall_us / 1000;
}

static int64_t mono_us(const bui_clock *clock)
{
    return ((const bui_virtual_clock *)clock)->mono_us;
}

void bui_virtual_clock_init(bui_virtual_clock *clock, int64_t start_ms)
{
    *clock = (bui_virtual_clock){ { wall_ms, mono_us }, start_ms * 1000, 1000000 };
}

void bui_virtual_clock_advance(bui_virtual_clock *clock, int64_t us)
{
    if (us > 0) {
        clock->wall_us += us;
        clock->mono_us += us;
    }
}
