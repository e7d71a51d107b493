/* SPDX-License-Identifier: MIT
 * Failpoints: with BUS_FAILPOINTS defined, BUS_FAILPOINT=name:n kills the process (SIGKILL) the n-th time it reaches
 * that name, and BUS_FAILPOINT_TRACE=file appends each name once when first reached. Release builds contain none. */
#ifndef BUI_BASE_FAILPOINT_H
#define BUI_BASE_FAILPOINT_H

#ifdef BUS_FAILPOINTS
void bui_failpoint(const char *name);
/* Simulation sets a function that is called instead; it may longjmp-free unwind by returning only. */
void bui_failpoint_to(void (*fn)(const char *name, void *opaque), void *opaque);
#define BUI_FAILPOINT(name) bui_failpoint(name)
#else
#define BUI_FAILPOINT(name) ((void)0)
#endif

#endif
