/* SPDX-License-Identifier: MIT
 * Log: the library does not print (only bus_service_main does). It hands each line, a JSON object, to one hook per process. */
#ifndef BUS_LOG_H
#define BUS_LOG_H

#include <bus/type.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How much a line matters. */
typedef enum bus_level { BUS_DEBUG, BUS_INFO, BUS_WARN, BUS_ERROR } bus_level;

/* Called from any thread, possibly several at once; must not call the library. `line` is one JSON
 * object of `len` bytes without a newline: ts (RFC 3339, UTC), level, where ("service/shard" or a
 * part's name), event (a stable word to search for) and msg (for people). No payloads, no secrets. */
typedef void (*bus_log_fn)(bus_level level, const char *line, size_t len, void *opaque);

/* Installs the process's hook, or none with NULL (the default). Lines below `least` are not built.
 * Thread: any. Lines that are on their way may still reach the former hook after the call.
 * Errors: none.
 * Owner: `opaque` is passed on as it is; it must live until no line can reach the hook. */
void bus_log_to(bus_level least, bus_log_fn fn, void *opaque);

/* ---- lines of a program's own */

/* What the value of a field is. */
typedef enum bus_log_kind { BUS_LOG_TEXT = 0, BUS_LOG_INT, BUS_LOG_REAL, BUS_LOG_BOOL } bus_log_kind;

/* One member of a line beside those that each has: made by the functions below. The name is of a-z, 0-9 and '_', at most 40;
 * others become '_', and one of the line's own members gets a '_' behind. A text is cut after 1000 bytes. Its layout does not
 * change. */
typedef struct bus_log_field {
    const char *name;
    bus_log_kind kind;
    bus_string text;
    int64_t number;
    double real;
} bus_log_field;

/* Makes a field of text; of no text (at NULL) null.
 * Thread: any.
 * Errors: none.
 * Owner: borrows name and text until the line is written. */
static inline bus_log_field bus_log_text(const char *name, bus_string text)
{
    bus_log_field field = { name, BUS_LOG_TEXT, text, 0, 0 };
    return field;
}

/* Makes a field of a whole number.
 * Thread: any.
 * Errors: none.
 * Owner: borrows the name until the line is written. */
static inline bus_log_field bus_log_int(const char *name, int64_t number)
{
    bus_log_field field = { name, BUS_LOG_INT, { NULL, 0 }, number, 0 };
    return field;
}

/* Makes a field of a number; NaN and infinity become null.
 * Thread: any.
 * Errors: none.
 * Owner: borrows the name until the line is written. */
static inline bus_log_field bus_log_real(const char *name, double real)
{
    bus_log_field field = { name, BUS_LOG_REAL, { NULL, 0 }, 0, real };
    return field;
}

/* Makes a field of true or false.
 * Thread: any.
 * Errors: none.
 * Owner: borrows the name until the line is written. */
static inline bus_log_field bus_log_bool(const char *name, bool yes)
{
    bus_log_field field = { name, BUS_LOG_BOOL, { NULL, 0 }, yes, 0 };
    return field;
}

/* The two arguments for fields: BUS_FIELDS(bus_log_text("sku", sku), bus_log_int("left", 3)). In C++ write an array of your own. */
#ifndef __cplusplus
#define BUS_FIELDS(...) \
    (const bus_log_field[]){ __VA_ARGS__ }, sizeof((const bus_log_field[]){ __VA_ARGS__ }) / sizeof(bus_log_field)
#endif

/* Zero means default. */
typedef struct bus_log_options {
    const char *
        where; /* default: in a handler, a prepare step, a transaction or bus_service.open "service/shard", else the service's name */
    bool every; /* no limit: for lines whose number nobody else can raise */
} bus_log_options;

/* Writes one line of your own to the hook: the library's members, then `fields` (at most 32; NULL and 0: none). `event` is a
 * stable word to search for, `msg` the sentence for people. Ten lines a minute of one event are written, and the next one says how
 * many were not; those of level BUS_DEBUG all are. It is written at once, whatever happens to the transaction: a handler that runs
 * again writes it again. `options` may be NULL. No payloads, no secrets.
 * Thread: any, but not in the hook.
 * Errors: none; without memory a line says that one was lost.
 * Owner: copies everything. */
void bus_log_line(bus_level level, const char *event, const char *msg, const bus_log_field *fields, size_t field_count,
                  const bus_log_options *options);

#ifdef __cplusplus
}
#endif
#endif
