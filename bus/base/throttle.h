/* SPDX-License-Identifier: MIT
 * Throttle: how often a log line is written whose number somebody else chooses. */
#ifndef BUS_BASE_THROTTLE_H
#define BUS_BASE_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>

#define BUS_THROTTLE_US INT64_C(60000000)
#define BUS_THROTTLE_LINES 10 /* in that time */

/* Zeroed at first; used by one thread, or under the caller's lock. */
typedef struct bus_throttle { int64_t from_us; int lines; uint64_t hidden; } bus_throttle;

/* May the line be written, at monotonic `now_us`? *hidden: how many were not, since the last one that was. */
bool bus_throttle_pass(bus_throttle *throttle, int64_t now_us, uint64_t *hidden);

/* For the end of a line: "" or "; before it 17 more were not written". */
#define BUS_THROTTLE_TEXT 64
const char *bus_throttle_text(uint64_t hidden, char out[BUS_THROTTLE_TEXT]);

#endif
