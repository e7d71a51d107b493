/* SPDX-License-Identifier: MIT
 * Log: the library never prints. It hands each line, a JSON object, to one hook per process. */
#ifndef BUS_LOG_H
#define BUS_LOG_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum bus_level { BUS_DEBUG, BUS_INFO, BUS_WARN, BUS_ERROR } bus_level;

/* Called from any thread, possibly several at once; must not call the library. `line` is one JSON
 * object of `len` bytes without a newline: ts (RFC 3339, UTC), level, where ("service/shard" or a
 * part's name), event (a stable word to search for) and msg (for people). No payloads, no secrets. */
typedef void (*bus_log_fn)(void *opaque, bus_level level, const char *line, size_t len);

/* Installs the process's hook, or none with NULL (the default). Lines below `least` are not built.
 * Any thread; lines already on their way may still reach the former hook. */
void bus_log_to(bus_log_fn fn, void *opaque, bus_level least);

#ifdef __cplusplus
}
#endif
#endif
