/* SPDX-License-Identifier: MIT
 * Audit sheet: the audit's private database, for its own files. */
#ifndef BUS_OPS_AUDIT_SHEET_H
#define BUS_OPS_AUDIT_SHEET_H

#include "ops/audit.h"
#include <sqlite3.h>

struct bus_audit {
    sqlite3 *db;
    sqlite3_stmt *record;  /* the insert */
    sqlite3_stmt *letter;
};

/* What SQLite said, as an error; `what` is what was being done. */
bus_status bus_sheet_failed(const bus_audit *audit, const char *what, bus_error *err);
bus_status bus_sheet_run(bus_audit *audit, const char *sql, const char *what, bus_error *err);

#endif
