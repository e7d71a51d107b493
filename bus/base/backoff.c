/* SPDX-License-Identifier: MIT
 * Exponential backoff: the step doubles up to a limit, the wait is drawn from its upper half, so that those that failed
 * together do not come back together. */
#include "base/backoff.h"

void bui_backoff_init(bui_backoff *backoff, int64_t first_ms, int64_t most_ms, uint64_t seed)
{
    if (first_ms < 1)
        first_ms = 1;
    if (most_ms < first_ms)
        most_ms = first_ms;
    *backoff = (bui_backoff){ .first_ms = first_ms, .most_ms = most_ms, .random = seed };
}

/* splitmix64: any seed will do, zero too. */
static uint64_t draw(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

int64_t bui_backoff_next(bui_backoff *backoff)
{
    if (backoff->now_ms == 0)
        backoff->now_ms = backoff->first_ms;
    else
        backoff->now_ms = backoff->now_ms > backoff->most_ms / 2 ? backoff->most_ms : backoff->now_ms * 2;
    int64_t half = backoff->now_ms / 2;
    return backoff->now_ms - half + (int64_t)(draw(&backoff->random) % (uint64_t)(half + 1));
}

void bui_backoff_reset(bui_backoff *backoff)
{
    backoff->now_ms = 0;
}
