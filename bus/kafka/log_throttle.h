/* SPDX-License-Identifier: MIT
 * Log throttle: how loud a line of librdkafka's log is here. While a broker is away each handle of a process repeats itself every
 * second; people need that once. */
#ifndef BUI_KAFKA_LOG_THROTTLE_H
#define BUI_KAFKA_LOG_THROTTLE_H

#include <bus/log.h>
#include <stddef.h>
#include <stdint.h>

#define BUI_LOG_THROTTLE_MS 30000 /* one line of a facility in this time */
#define BUI_LOG_THROTTLE_KINDS 24 /* facilities told apart; librdkafka warns under fewer */

/* Zeroed at first; the caller locks. */
typedef struct bui_log_throttle {
    struct {
        char facility[24];
        int64_t until_ms;
        unsigned hidden;
    } kind[BUI_LOG_THROTTLE_KINDS];
    size_t kinds;
} bui_log_throttle;

/* The level for a line of `facility` ("FAIL") with syslog's `severity` (0 to 7) at monotonic `now_ms`: BUS_WARN up to 4,
 * BUS_INFO up to 6, and BUS_DEBUG for the rest, for what means nothing here, and for what repeats a facility within
 * BUI_LOG_THROTTLE_MS. *hidden is how many repeats went to BUS_DEBUG before this line; 0 if this one does too. */
bus_level bui_log_throttle_level(bui_log_throttle *log_throttle, int severity, const char *facility, int64_t now_ms,
                                 unsigned *hidden);

#endif
