/* SPDX-License-Identifier: MIT
 * Compare: do two stores hold the same? Table by table, row counts, a content hash, and the rows that differ. Of the library's
 * own tables (bus_*): keys that wait or are held, what is parked, dead letters with their states, schedules; without ids of
 * rows and times, for a rebuilt store has other marks, ids and incarnations by design. */
#ifndef BUI_OPS_COMPARE_H
#define BUI_OPS_COMPARE_H

#include "base/arena.h"
#include <bus/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUI_COMPARE_ROWS 10 /* differing rows kept a side and table */

typedef enum bui_table_verdict {
    BUI_TABLE_SAME,
    BUI_TABLE_WIDER,   /* the new one has more columns, and is the same in those of the old one: no difference */
    BUI_TABLE_DIFFERS, /* other rows, as far as both have the same columns */
    BUI_TABLE_COLUMNS, /* the new one has not all columns, and is the same in those that both have */
    BUI_TABLE_ONLY_OLD,
    BUI_TABLE_ONLY_NEW
} bui_table_verdict;

typedef struct bui_table_comparison {
    const char *name;
    bui_table_verdict verdict;
    int64_t old_rows, new_rows;  /* -1: the table is not there */
    uint64_t old_hash, new_hash; /* of all rows, whatever their order, in the columns that both have */
    const char *only_old[BUI_COMPARE_ROWS], *only_new[BUI_COMPARE_ROWS]; /* as SQL literals, joined by ", " */
    int only_old_count, only_new_count;
} bui_table_comparison;

typedef struct bui_comparison {
    bui_table_comparison *table;
    size_t count, differing;
} bui_comparison;

/* Compares two store files; neither is changed, neither may be in use by a writer. All memory comes from `arena`.
 * BUS_MISSING: a file is not there; BUS_CORRUPT: no SQLite database; BUS_STORE, BUS_IO, BUS_NOMEM. */
bus_status bui_compare(const char *old_path, const char *new_path, bui_arena *arena, bui_comparison *out, bus_error *err);

bool bui_table_differs(const bui_table_comparison *table); /* false: nothing of the old one is missing or other */
const char *bui_table_verdict_name(bui_table_verdict verdict);

#endif
