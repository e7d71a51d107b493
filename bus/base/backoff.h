/* SPDX-License-Identifier: MIT
 * Exponential backoff with full jitter. */
#ifndef BUS_BASE_BACKOFF_H
#define BUS_BASE_BACKOFF_H

#include <stdint.h>

typedef struct bus_backoff { int64_t first_ms, most_ms, now_ms; uint64_t random; } bus_backoff;
void bus_backoff_init(bus_backoff *backoff, int64_t first_ms, int64_t most_ms, uint64_t seed);
int64_t bus_backoff_next(bus_backoff *backoff); /* how long to wait now, ms: between half of the step and the step */
void bus_backoff_reset(bus_backoff *backoff);

#endif
