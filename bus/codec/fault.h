/* SPDX-License-Identifier: MIT
 * Fault: what is wrong with a value and where. The path is put together backwards while the codec's recursion unwinds,
 * so that nothing is paid for it until something fails. */
#ifndef BUS_CODEC_FAULT_H
#define BUS_CODEC_FAULT_H

#include "base/error.h"
#include <stdint.h>

#define BUS_COLD __attribute__((cold, noinline))
#define BUS_HOT __attribute__((aligned(64))) /* its speed shall not hang on what was linked before it */

typedef struct bus_fault {
    bus_status status;      /* BUS_OK: none yet; only this needs to be set at the start */
    size_t start;           /* the path is path[start ..] */
    char path[240];
    char text[200];
} bus_fault;

/* Notes what is wrong; returns false, so that callers write `return bus_fault_set(...)`. The first one counts. */
bool bus_fault_set(bus_fault *fault, bus_status status, const char *format, ...) BUS_PRINTF(3, 4) BUS_COLD;
bool bus_fault_nomem(bus_fault *fault) BUS_COLD;

/* Puts a step before the path: ".field", "[3]". Returns false. A path that is too long keeps its end. */
bool bus_fault_field(bus_fault *fault, const char *name) BUS_COLD;
bool bus_fault_index(bus_fault *fault, uint64_t index) BUS_COLD;

/* Moves it to err as "root.path: text" and returns its status. */
bus_status bus_fault_report(const bus_fault *fault, const char *root, bus_error *err);

#endif
