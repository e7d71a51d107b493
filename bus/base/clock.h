/* SPDX-License-Identifier: MIT
 * Clock: the shard asks this, so that time can be virtual in simulation and tests. */
#ifndef BUI_BASE_CLOCK_H
#define BUI_BASE_CLOCK_H

#include <stdint.h>

typedef struct bui_clock bui_clock;
struct bui_clock {
    int64_t (*wall_ms)(const bui_clock *clock); /* ms since the epoch; may step */
    int64_t (*mono_us)(const bui_clock *clock); /* us, never steps back */
};

/* CLOCK_REALTIME and CLOCK_MONOTONIC. */
const bui_clock *bui_clock_real(void);
/* mono_us of that one. */
int64_t bui_clock_now_us(void);

/* "2026-11-21T05:14:00.123Z" into out[32]; returns out. */
char *bui_time_text(int64_t wall_ms, char *out);

/* Parses "@-1h", "@-90s", "@-2d", "@end", "@start", "now", RFC 3339 and ms since the epoch into ms; the words
 * start and end give INT64_MIN and INT64_MAX. Returns false if it is none of them. */
#include <stdbool.h>
bool bui_time_parse(const char *text, int64_t now_ms, int64_t *out_ms);
/* A bare number, with or without '@', that as ms is before March 1973: somebody has written seconds, or an offset. */
bool bui_time_is_old(const char *text);

/* Parses "250ms", "1s", "5m", "2h", "7d" or a plain number of ms. */
bool bui_duration_parse(const char *text, int64_t *out_ms);

#endif
