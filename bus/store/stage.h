/* SPDX-License-Identifier: MIT
 * Stage: the undo log of what the store keeps in memory. Memory is a cache of the store (protocol rule R5): whoever
 * changes a cached word notes its old bytes first, so that a rolled back savepoint or transaction takes memory back too. */
#ifndef BUS_STORE_STAGE_H
#define BUS_STORE_STAGE_H

#include "base/buf.h"

typedef struct bus_stage { bus_buf log; } bus_stage;

void bus_stage_init(bus_stage *stage);
void bus_stage_free(bus_stage *stage);
/* Saves `len` bytes at `at` (stable address) as they are now. false: no memory, and nothing must be changed. */
bool bus_stage_note(bus_stage *stage, void *at, size_t len);
size_t bus_stage_mark(const bus_stage *stage);
void bus_stage_undo(bus_stage *stage, size_t mark); /* restores everything noted after the mark, newest first */
void bus_stage_clear(bus_stage *stage);             /* committed: forget */

#endif
