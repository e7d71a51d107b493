/* SPDX-License-Identifier: MIT
 * Audit database: the audit's private database, for its own files. */
#ifndef BUI_OPS_AUDIT_DATABASE_H
#define BUI_OPS_AUDIT_DATABASE_H

#include "ops/audit.h"
#include <sqlite3.h>

struct bui_audit {
    sqlite3 *db;
    bui_watch watch;      /* asked now and then whether to stop */
    sqlite3_stmt *record; /* the insert */
    sqlite3_stmt *letter, *copied;
    const bui_keys *keys;
    int64_t forged; /* records that are not signed as they demand */
};

/* Something that must hold, as a query that names what breaks it. Columns: where, id, text. */
typedef struct bui_audit_rule {
    const char *name;
    bui_audit_weight weight;
    const char *sql;
} bui_audit_rule;
#define PLACE(at) at ".topic || '/' || " at ".partition"

/* What an event leaves behind (audit_traces.c): views and indexes, which come after those of audit_rules.c, and rules. */
extern const char bui_trace_views[];
extern const bui_audit_rule bui_trace_rules[];
extern const size_t bui_trace_rule_count;
/* The function effect_id(cause, service, scope, index, sender) of the audit database: the id of what an event makes a service emit. */
bus_status bui_trace_functions(bui_audit *audit, bus_error *err);

/* What SQLite said, as an error; `what` is what was being done. */
bus_status bui_audit_db_failed(const bui_audit *audit, const char *what, bus_error *err);
bus_status bui_audit_db_run(bui_audit *audit, const char *sql, const char *what, bus_error *err);
/* One statement without rows; ?1 and ?2, if it has them, are the texts. */
bus_status bui_audit_db_do(bui_audit *audit, const char *sql, const char *one, const char *two, const char *what, bus_error *err);

/* The attached store's service and shard, and room for the service's own tables: a schema of its name. */
bus_status bui_audit_db_own_schema(bui_audit *audit, char service[64], int64_t *shard, bus_error *err);
/* Copies the service's own tables, the shard before their columns. */
bus_status bui_audit_db_own_tables(bui_audit *audit, const char *service, int64_t shard, bus_error *err);
/* Makes the indexes that the service declared for them, once all shards are copied. */
bus_status bui_audit_db_own_indexes(bui_audit *audit, bus_error *err);

#endif
