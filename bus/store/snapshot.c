/* SPDX-License-Identifier: MIT
 * Snapshot: a second connection that can do nothing but read. Not a READONLY one: WAL needs the shared memory, and the last
 * connection to close would checkpoint. */
#include "base/error.h"
#include "store/internal.h"

#include <strings.h>

static bool harmless_pragma(const char *name)
{
    static const char *const harmless[] = {
        "table_info",   "table_xinfo", "table_list", "index_list",     "index_info",  "index_xinfo",     "foreign_key_list",
        "data_version", "page_count",  "page_size",  "freelist_count", "quick_check", "integrity_check", "query_only",
    };
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++)
        if (name && strcasecmp(name, harmless[i]) == 0)
            return true;
    return false;
}

/* query_only alone would let a reader switch it off, or checkpoint. */
static int authorize(void *opaque, int action, const char *a, const char *b, const char *database, const char *trigger)
{
    (void)opaque;
    (void)database;
    (void)trigger;
    switch (action) {
    case SQLITE_SELECT:
    case SQLITE_READ:
    case SQLITE_RECURSIVE:
    case SQLITE_TRANSACTION: return SQLITE_OK;
    case SQLITE_FUNCTION: return b && strcasecmp(b, "load_extension") == 0 ? SQLITE_DENY : SQLITE_OK;
    case SQLITE_PRAGMA: return harmless_pragma(a) && !(b && strcasecmp(a, "query_only") == 0) ? SQLITE_OK : SQLITE_DENY;
    default: return SQLITE_DENY;
    }
}

bus_status bui_store_reader(const char *path, sqlite3 **out, bus_error *err)
{
    sqlite3 *db = NULL;
    int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_busy_timeout(db, BUI_BUSY_MS);
        sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
        sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        sqlite3_wal_autocheckpoint(db, 0);
        sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
        rc = sqlite3_exec(db, "PRAGMA query_only = 1; PRAGMA temp_store = MEMORY; SELECT count(*) FROM sqlite_schema", NULL, NULL,
                          NULL);
    }
    if (rc == SQLITE_OK)
        rc = sqlite3_set_authorizer(db, authorize, NULL);
    if (rc == SQLITE_OK) {
        *out = db;
        return BUS_OK;
    }
    bus_status status = bui_sqlite_fail(db, path, rc, "opening the store for reading", err);
    sqlite3_close(db);
    return status;
}

static bool answers(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *ask = NULL;
    bool yes = sqlite3_prepare_v2(db, sql, -1, &ask, NULL) == SQLITE_OK && sqlite3_step(ask) == SQLITE_ROW;
    sqlite3_finalize(ask);
    return yes;
}

bool bui_store_unclaimed(const char *path)
{
    sqlite3 *db = NULL;
    if (bui_store_reader(path, &db, NULL) != BUS_OK)
        return false;
    bool unclaimed = answers(db, "SELECT 1 FROM bus_meta WHERE opens = 0") ||
                     answers(db, "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM sqlite_schema)"); /* killed before its first table */
    sqlite3_close(db);
    return unclaimed;
}
