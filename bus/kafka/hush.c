/* SPDX-License-Identifier: MIT
 * Hush: how loud a line of librdkafka's log is here. */
#include "kafka/hush.h"

#include <stdio.h>
#include <string.h>

/* Which of kafka.* are for consumers and which for producers is not the user's worry, nor what the embedded broker does not know
 * of creating topics. */
static const char *const idle[] = { "CONFWARN", "AUTOCREATE" };

bus_level bus_hush_level(bus_hush *hush, int severity, const char *facility, int64_t now_ms, unsigned *hidden)
{
    size_t i = 0;

    *hidden = 0;
    if (severity > 6)
        return BUS_DEBUG;
    for (size_t at = 0; at < sizeof idle / sizeof *idle; at++)
        if (strcmp(facility, idle[at]) == 0)
            return BUS_DEBUG;
    bus_level level = severity <= 4 ? BUS_WARN : BUS_INFO;
    while (i < hush->kinds && strncmp(hush->kind[i].facility, facility, sizeof hush->kind[i].facility - 1) != 0)
        i++;
    if (i == BUS_HUSH_KINDS) /* too loud rather than silent */
        return level;
    if (i == hush->kinds) {
        snprintf(hush->kind[i].facility, sizeof hush->kind[i].facility, "%s", facility);
        hush->kinds++;
    } else if (now_ms < hush->kind[i].until_ms) {
        hush->kind[i].hidden++;
        return BUS_DEBUG;
    }
    *hidden = hush->kind[i].hidden;
    hush->kind[i].hidden = 0;
    hush->kind[i].until_ms = now_ms + BUS_HUSH_MS;
    return level;
}
