/* SPDX-License-Identifier: MIT
 * Hush: how loud a line of librdkafka's log is here. While a broker is away each handle of a process repeats itself every
 * second; people need that once. */
#ifndef BUS_KAFKA_HUSH_H
#define BUS_KAFKA_HUSH_H

#include <bus/log.h>
#include <stddef.h>
#include <stdint.h>

#define BUS_HUSH_MS 30000  /* one line of a facility in this time */
#define BUS_HUSH_KINDS 24  /* facilities told apart; librdkafka warns under fewer */

/* Zeroed at first; the caller locks. */
typedef struct bus_hush {
    struct { char facility[24]; int64_t until_ms; unsigned hidden; } kind[BUS_HUSH_KINDS];
    size_t kinds;
} bus_hush;

/* The level for a line of `facility` ("FAIL") with syslog's `severity` (0 to 7) at monotonic `now_ms`: BUS_WARN up to 4, BUS_INFO
 * up to 6, and BUS_DEBUG for the rest, for what tells nothing here, and for what repeats a facility within BUS_HUSH_MS. *hidden is
 * how many repeats went to BUS_DEBUG before this line; 0 if this one does too. */
bus_level bus_hush_level(bus_hush *hush, int severity, const char *facility, int64_t now_ms, unsigned *hidden);

#endif
