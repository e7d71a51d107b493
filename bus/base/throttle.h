/* SPDX-License-Identifier: MIT
 * Throttle: limits log lines that somebody else could cause without limit. */
#ifndef BUI_BASE_THROTTLE_H
#define BUI_BASE_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>

#define BUI_THROTTLE_US INT64_C(60000000)
#define BUI_THROTTLE_LINES 10 /* in that time */

/* Zeroed at first; used by one thread, or under the caller's lock. */
typedef struct bui_throttle {
    int64_t from_us;
    int lines;
    uint64_t hidden;
} bui_throttle;

/* May the line be written, at monotonic `now_us`? *hidden: how many were not, since the last one that was. */
bool bui_throttle_pass(bui_throttle *throttle, int64_t now_us, uint64_t *hidden);

/* For the end of a line: "" or "; before it 17 more were not written". */
#define BUI_THROTTLE_TEXT 64
const char *bui_throttle_text(uint64_t hidden, char out[BUI_THROTTLE_TEXT]);

#endif
