/* SPDX-License-Identifier: MIT
 * Undo log: of what the store keeps in memory. Memory is a cache of the store (protocol rule R5): code that
 * changes a cached word notes its old bytes first, so that a rolled back savepoint or transaction takes memory back too. */
#ifndef BUI_STORE_UNDO_LOG_H
#define BUI_STORE_UNDO_LOG_H

#include "base/buf.h"

typedef struct bui_undo_log {
    bui_buf log;
} bui_undo_log;

void bui_undo_log_init(bui_undo_log *undo_log);
void bui_undo_log_free(bui_undo_log *undo_log);
/* Saves `len` bytes at `at` (stable address) as they are now. false: no memory, and nothing must be changed. */
bool bui_undo_log_note(bui_undo_log *undo_log, void *at, size_t len);
size_t bui_undo_log_mark(const bui_undo_log *undo_log);
void bui_undo_log_undo(bui_undo_log *undo_log, size_t mark); /* restores everything noted after the mark, newest first */
void bui_undo_log_clear(bui_undo_log *undo_log);             /* committed: forget */

#endif
