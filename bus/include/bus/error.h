/* SPDX-License-Identifier: MIT
 * Errors: every call that can fail returns a bus_status and takes a caller-owned bus_error last. */
#ifndef BUS_ERROR_H
#define BUS_ERROR_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What kind of thing went wrong. The text of bus_error says what, where and what to do. */
typedef enum bus_status {
    BUS_OK = 0,
    BUS_INVALID,   /* an argument or input is wrong; calling again unchanged fails again */
    BUS_CONFIG,    /* a property's name or value is wrong */
    BUS_NOMEM,     /* no memory */
    BUS_IO,        /* a file, directory or socket of this host */
    BUS_FULL,      /* disk full, or a bounded queue or store is full: retry later */
    BUS_STORE,     /* SQLite said no */
    BUS_CORRUPT,   /* stored or received bytes contradict themselves */
    BUS_REFUSED,   /* doing it could lose or double something: see the text for the way out */
    BUS_LOCKED,    /* another process holds the shard */
    BUS_BROKER,    /* no broker answers */
    BUS_DENIED,    /* the broker denies it to this principal */
    BUS_MISSING,   /* the named topic, letter, schema, file ... is not there */
    BUS_EXISTS,    /* it is there already */
    BUS_TIMEOUT,   /* the deadline passed; what was asked may still happen */
    BUS_TOO_BIG,   /* over a declared bound */
    BUS_SCHEMA,    /* a schema or the bytes written by it cannot be read */
    BUS_ELSEWHERE, /* the key's shard lives in another process: use bus_request */
    BUS_CLOSED,    /* the handle is closing or closed */
    BUS_CANCELLED, /* interrupted by bus_stop or a signal */
    BUS_BUG        /* a state that must not be: report it */
} bus_status;

/* Caller-owned; may be NULL wherever it is taken. Written only on failure. `text` is one line of
 * UTF-8, always terminated, and never holds payloads or secrets. */
typedef struct bus_error {
    bus_status status;
    bool retriable; /* the same call may succeed later */
    bool fatal;     /* the handle it came from is of no further use: close it */
    char text[500];
} bus_error;

/* Returns a status's name, such as "BUS_REFUSED"; "BUS_UNKNOWN" for a number that is none.
 * Thread: any.
 * Errors: none.
 * Owner: the text is constant. */
const char *bus_status_name(bus_status status);

#ifdef __cplusplus
}
#endif
#endif
