/* SPDX-License-Identifier: MIT
 * Exponential backoff with full jitter. */
#ifndef BUI_BASE_BACKOFF_H
#define BUI_BASE_BACKOFF_H

#include <stdint.h>

typedef struct bui_backoff {
    int64_t first_ms, most_ms, now_ms;
    uint64_t random;
} bui_backoff;
void bui_backoff_init(bui_backoff *backoff, int64_t first_ms, int64_t most_ms, uint64_t seed);
int64_t bui_backoff_next(bui_backoff *backoff); /* how long to wait now, ms: between half of the step and the step */
void bui_backoff_reset(bui_backoff *backoff);

#endif
