/* SPDX-License-Identifier: MIT
 * Error construction, for the library's own files. */
#ifndef BUI_BASE_ERROR_H
#define BUI_BASE_ERROR_H

#include <bus/error.h>
#include <bus/tx.h> /* BUS_PRINTF */

/* Fills *err (may be NULL) and returns `status`, so that callers write `return bui_fail(...)`. The text is
 * cut at a UTF-8 boundary; control characters become spaces. retriable is set for BUS_FULL, BUS_LOCKED,
 * BUS_BROKER, BUS_TIMEOUT and BUS_NOMEM, fatal is false; change them after the call. */
bus_status bui_fail(bus_error *err, bus_status status, const char *format, ...) BUS_PRINTF(3, 4);

/* Puts "prefix: " before the text already in *err and returns its status. */
bus_status bui_fail_in(bus_error *err, const char *prefix, ...) BUS_PRINTF(2, 3);

/* For what runs once for each event: the 500 bytes of text need no zeroes. */
static inline void bui_error_clear(bus_error *err)
{
    err->status = BUS_OK;
    err->retriable = err->fatal = false;
    err->text[0] = 0;
}

/* Shorthand for BUS_NOMEM. */
bus_status bui_fail_nomem(bus_error *err);

#endif
