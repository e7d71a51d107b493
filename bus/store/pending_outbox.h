/* SPDX-License-Identifier: MIT
 * Pending outbox: the rows of the transaction under way. They stay in memory until its commit, which writes them by one statement,
 * and after it until the next begins, or as long as the relay wishes, so that it need not read them back. */
#ifndef BUI_STORE_PENDING_OUTBOX_H
#define BUI_STORE_PENDING_OUTBOX_H

#include "base/buf.h"
#include <bus/error.h>

typedef struct bui_store bui_store;
typedef struct bui_destination bui_destination;

typedef struct bui_pending_row {
    int64_t id, seq, at;
    bui_destination *destination;
    size_t event_id, key, value, headers; /* where they begin in `bytes`; event_id ends with a 0 */
    size_t event_id_len, key_len, value_len, headers_len;
    bool has_event_id, has_key, has_value, has_headers;
} bui_pending_row;

typedef struct bui_pending_outbox {
    bui_pending_row *row;
    size_t count, cap;
    size_t written; /* of them are in the table */
    bui_buf bytes;
    size_t saved_count, saved_len, saved_written;
    size_t kept_count, kept_len; /* of transactions that are committed */
    bool keeps;                  /* those of the transaction under way will be kept, too */
} bui_pending_outbox;

/* Makes the rows from `written` on readable by SQL as bus_fresh(id, destination, seq, size, at, event_id, key, value, headers). */
bus_status bui_pending_install(bui_store *store, bus_error *err);
void bui_pending_begin(bui_pending_outbox *pending);
void bui_pending_ended(bui_pending_outbox *pending, bool committed);
void bui_pending_saved(bui_pending_outbox *pending);
void bui_pending_back(bui_pending_outbox *pending);
void bui_pending_free(bui_pending_outbox *pending);

#endif
