/* SPDX-License-Identifier: MIT
 * Compare: do two stores hold the same? Table by table, row counts, a content hash, and the rows that differ. Of the library's own
 * tables (bus_*): keys that wait or are held, what is parked, letters with their states, schedules; without ids of rows and times, for a
 * rebuilt store has other marks, ids and incarnations by design. */
#ifndef BUS_OPS_COMPARE_H
#define BUS_OPS_COMPARE_H

#include "base/arena.h"
#include <bus/error.h>
#include <stddef.h>
#include <stdint.h>

#define BUS_COMPARE_ROWS 10 /* differing rows kept a side and table */

typedef enum bus_table_verdict {
    BUS_TABLE_SAME,
    BUS_TABLE_DIFFERS,     /* other rows */
    BUS_TABLE_COLUMNS,     /* other columns: rows are not compared */
    BUS_TABLE_ONLY_OLD,
    BUS_TABLE_ONLY_NEW
} bus_table_verdict;

typedef struct bus_table_comparison {
    const char *name;
    bus_table_verdict verdict;
    int64_t old_rows, new_rows;        /* -1: the table is not there */
    uint64_t old_hash, new_hash;       /* of all rows, whatever their order */
    const char *only_old[BUS_COMPARE_ROWS], *only_new[BUS_COMPARE_ROWS]; /* as SQL literals, joined by ", " */
    int only_old_count, only_new_count;
} bus_table_comparison;

typedef struct bus_comparison {
    bus_table_comparison *table;
    size_t count, differing;
} bus_comparison;

/* Compares two store files; neither is changed, neither may be in use by a writer. All memory comes from `arena`.
 * BUS_MISSING: a file is not there; BUS_CORRUPT: no SQLite database; BUS_STORE, BUS_IO, BUS_NOMEM. */
bus_status bus_compare(const char *old_path, const char *new_path, bus_arena *arena, bus_comparison *out, bus_error *err);

const char *bus_table_verdict_name(bus_table_verdict verdict);

#endif
