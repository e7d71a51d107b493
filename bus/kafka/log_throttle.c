/* SPDX-License-Identifier: MIT
 * Log throttle: how loud a line of librdkafka's log is here. */
#include "kafka/log_throttle.h"

#include <stdio.h>
#include <string.h>

/* Which of kafka.* are for consumers and which for producers is not the user's worry, nor what the embedded broker does not know
 * of creating topics. */
static const char *const idle[] = { "CONFWARN", "AUTOCREATE" };

bus_level bui_log_throttle_level(bui_log_throttle *log_throttle, int severity, const char *facility, int64_t now_ms,
                                 unsigned *hidden)
{
    size_t i = 0;
    *hidden = 0;
    if (severity > 6)
        return BUS_DEBUG;
    for (size_t at = 0; at < sizeof idle / sizeof *idle; at++)
        if (strcmp(facility, idle[at]) == 0)
            return BUS_DEBUG;
    bus_level level = severity <= 4 ? BUS_WARN : BUS_INFO;
    while (i < log_throttle->kinds &&
           strncmp(log_throttle->kind[i].facility, facility, sizeof log_throttle->kind[i].facility - 1) != 0)
        i++;
    if (i == BUI_LOG_THROTTLE_KINDS) /* too loud rather than silent */
        return level;
    if (i == log_throttle->kinds) {
        snprintf(log_throttle->kind[i].facility, sizeof log_throttle->kind[i].facility, "%s", facility);
        log_throttle->kinds++;
    } else if (now_ms < log_throttle->kind[i].until_ms) {
        log_throttle->kind[i].hidden++;
        return BUS_DEBUG;
    }
    *hidden = log_throttle->kind[i].hidden;
    log_throttle->kind[i].hidden = 0;
    log_throttle->kind[i].until_ms = now_ms + BUI_LOG_THROTTLE_MS;
    return level;
}
