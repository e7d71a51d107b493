/* SPDX-License-Identifier: MIT
 * Builds log lines as JSON and gives them to the process's hook. */
#ifndef BUI_BASE_LOG_H
#define BUI_BASE_LOG_H

#include "base/buf.h"
#include <bus/log.h>
#include <bus/tx.h>
#include <stdbool.h>

/* True if a line of this level would reach the hook. */
bool bui_log_wants(bus_level level);

/* One line. `where` is "service/shard" or a part's name; `event` a stable snake_case word; the rest the
 * message for people. Never payloads or secrets. Any thread. */
void bui_log(bus_level level, const char *where, const char *event, const char *format, ...) BUS_PRINTF(4, 5);

/* The same in two steps, for a line with further members: ",\"name\":value" may be appended between them. `end` frees the buffer. */
void bui_log_begin(bui_buf *line, bus_level level, const char *where, const char *event, const char *format, ...)
    BUS_PRINTF(5, 6);
void bui_log_end(bui_buf *line, bus_level level);

#endif
