/* SPDX-License-Identifier: MIT
 * Builds log lines as JSON and gives them to the process's hook. */
#ifndef BUS_BASE_LOG_H
#define BUS_BASE_LOG_H

#include <bus/log.h>
#include <bus/tx.h>
#include <stdbool.h>

/* True if a line of this level would reach the hook. */
bool bus_log_wants(bus_level level);

/* One line. `where` is "service/shard" or a part's name; `event` a stable snake_case word; the rest the
 * message for people. Never payloads or secrets. Any thread. */
void bus_log(bus_level level, const char *where, const char *event, const char *format, ...) BUS_PRINTF(4, 5);

#endif
