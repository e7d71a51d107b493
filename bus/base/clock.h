/* SPDX-License-Identifier: MIT
 * Clock: the shard asks this, so that time can be virtual in simulation and tests. */
#ifndef BUS_BASE_CLOCK_H
#define BUS_BASE_CLOCK_H

#include <stdint.h>

typedef struct bus_clock bus_clock;
struct bus_clock {
    int64_t (*wall_ms)(const bus_clock *self); /* ms since the epoch; may step */
    int64_t (*mono_us)(const bus_clock *self); /* us, never steps back */
};

/* CLOCK_REALTIME and CLOCK_MONOTONIC. */
const bus_clock *bus_clock_real(void);
/* mono_us of that one. */
int64_t bus_clock_now_us(void);

/* "2026-11-21T05:14:00.123Z" into out[32]; returns out. */
char *bus_time_text(int64_t wall_ms, char *out);

/* Parses "@-1h", "@-90s", "@-2d", "@end", "@start", "now", RFC 3339 and ms since the epoch into ms; the words
 * start and end give INT64_MIN and INT64_MAX. Returns false if it is none of them. */
#include <stdbool.h>
bool bus_time_parse(const char *text, int64_t now_ms, int64_t *out_ms);
/* A bare number, with or without '@', that as ms is before March 1973: somebody has written seconds, or an offset. */
bool bus_time_is_old(const char *text);

/* Parses "250ms", "1s", "5m", "2h", "7d" or a plain number of ms. */
bool bus_duration_parse(const char *text, int64_t *out_ms);

#endif
