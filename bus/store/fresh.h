/* SPDX-License-Identifier: MIT
 * Fresh: the outbox rows of the transaction in hand. They stay in memory until its commit, which writes them by one statement,
 * and after it until the next begins, or as long as the relay wishes, so that it need not read them back. */
#ifndef BUS_STORE_FRESH_H
#define BUS_STORE_FRESH_H

#include "base/buf.h"
#include <bus/error.h>

typedef struct bus_store bus_store;
typedef struct bus_destination bus_destination;

typedef struct bus_fresh_row {
    int64_t id, seq, at;
    bus_destination *destination;
    size_t event_id, key, value, headers;   /* where they begin in `bytes`; event_id ends with a 0 */
    size_t event_id_len, key_len, value_len, headers_len;
    bool has_event_id, has_key, has_value, has_headers;
} bus_fresh_row;

typedef struct bus_fresh {
    bus_fresh_row *row;
    size_t count, cap;
    size_t written;                         /* of them are in the table */
    bus_buf bytes;
    size_t saved_count, saved_len, saved_written;
    size_t kept_count, kept_len;            /* of transactions that are committed */
    bool keeps;                             /* those of the transaction in hand will be kept, too */
} bus_fresh;

/* Makes the rows from `written` on readable by SQL as bus_fresh(id, destination, seq, size, at, event_id, key, value, headers). */
bus_status bus_fresh_install(bus_store *store, bus_error *err);
void bus_fresh_begin(bus_fresh *fresh);
void bus_fresh_ended(bus_fresh *fresh, bool committed);
void bus_fresh_saved(bus_fresh *fresh);
void bus_fresh_back(bus_fresh *fresh);
void bus_fresh_free(bus_fresh *fresh);

#endif
