/* SPDX-License-Identifier: MIT
 * Fault: what is wrong with a value and where. The path is put together backwards while the codec's recursion unwinds,
 * so that nothing is paid for it until something fails. */
#ifndef BUI_CODEC_FAULT_H
#define BUI_CODEC_FAULT_H

#include "base/error.h"
#include <stdint.h>

#define BUI_COLD __attribute__((cold, noinline))
#define BUI_HOT __attribute__((aligned(64))) /* its speed must not depend on what was linked before it */

typedef struct bui_fault {
    bus_status status; /* BUS_OK: none yet; only this needs to be set at the start */
    size_t start;      /* the path is path[start ..] */
    char path[240];
    char text[200];
} bui_fault;

/* Notes what is wrong; returns false, so that callers write `return bui_fault_set(...)`. The first one counts. */
bool bui_fault_set(bui_fault *fault, bus_status status, const char *format, ...) BUS_PRINTF(3, 4) BUI_COLD;
bool bui_fault_nomem(bui_fault *fault) BUI_COLD;

/* Puts a step before the path: ".field", "[3]". Returns false. A path that is too long keeps its end. */
bool bui_fault_field(bui_fault *fault, const char *name) BUI_COLD;
bool bui_fault_index(bui_fault *fault, uint64_t index) BUI_COLD;

/* Moves it to err as "root.path: text" and returns its status. */
bus_status bui_fault_report(const bui_fault *fault, const char *root, bus_error *err);

#endif
