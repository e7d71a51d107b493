/* SPDX-License-Identifier: MIT
 * What statements of a connection have cost so far, for tests of how cost grows: counts do not depend on the machine. */
#ifndef TESTS_SUPPORT_STATEMENT_COUNTS_H
#define TESTS_SUPPORT_STATEMENT_COUNTS_H

#include <sqlite3.h>
#include <stdint.h>
#include <string.h>

/* Of all prepared statements whose text has `part` in it: SQLITE_STMTSTATUS_RUN (how often they ran), _VM_STEP (steps of SQLite's machine),
 * _FULLSCAN_STEP (rows of a table that was read from end to end). */
static inline int64_t statement_count(sqlite3 *db, const char *part, int what)
{
    int64_t sum = 0;
    for (sqlite3_stmt *stmt = sqlite3_next_stmt(db, NULL); stmt; stmt = sqlite3_next_stmt(db, stmt))
        if (strstr(sqlite3_sql(stmt), part))
            sum += sqlite3_stmt_status(stmt, what, 0);
    return sum;
}

#endif
