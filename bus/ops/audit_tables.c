/* SPDX-License-Identifier: MIT
 * Audit tables: the service's own tables, for the invariants that it declares. Its queries find what they would find at home: the same
 * affinities, collations and indexes. Without the indexes a join over two services' tables takes the product of their rows. */
#include "base/error.h"
#include "ops/audit_database.h"

#include <stdio.h>
#include <string.h>

bus_status bui_audit_db_own_schema(bui_audit *audit, char service[64], int64_t *shard, bus_error *err)
{
    sqlite3_stmt *stmt = NULL;
    bus_status status = BUS_OK;
    if (sqlite3_prepare_v2(audit->db, "SELECT service, shard FROM s.bus_meta", -1, &stmt, NULL) != SQLITE_OK ||
        sqlite3_step(stmt) != SQLITE_ROW)
        status = bui_audit_db_failed(audit, "reading the store's name", err);
    if (status == BUS_OK) {
        snprintf(service, 64, "%s", (const char *)sqlite3_column_text(stmt, 0));
        *shard = sqlite3_column_int64(stmt, 1);
    }
    sqlite3_finalize(stmt);
    if (status != BUS_OK || sqlite3_db_filename(audit->db, service))
        return status;
    char *sql = sqlite3_mprintf("ATTACH '' AS \"%w\"; PRAGMA \"%w\".journal_mode = OFF; PRAGMA \"%w\".cache_size = -65536",
                                service, service, service);
    status = sql ? bui_audit_db_run(
                       audit, sql,
                       "making room for a service's tables (SQLite attaches about ten databases: name fewer services)", err)
                 : bui_fail_nomem(err);
    sqlite3_free(sql);
    return status;
}

/* As the service declared it, but for what is not known here: a collation of its own; and STRICT's ANY, which elsewhere is a number. */
static bus_status append_column(bui_audit *audit, sqlite3_str *sql, const char *table, const char *name, const char *type,
                                bus_error *err)
{
    const char *collation = NULL, *suffix = sqlite3_stricmp(name, "shard") ? "" : ":1";
    if (sqlite3_table_column_metadata(audit->db, "s", table, name, NULL, &collation, NULL, NULL, NULL) != SQLITE_OK)
        return bui_audit_db_failed(audit, table, err);
    sqlite3_str_appendf(sql, ", \"%w%s\" %s", name, suffix, type && sqlite3_stricmp(type, "ANY") ? type : "");
    if (!sqlite3_stricmp(collation, "NOCASE") || !sqlite3_stricmp(collation, "RTRIM"))
        sqlite3_str_appendf(sql, " COLLATE %s", collation);
    return BUS_OK;
}

static bus_status make_table(bui_audit *audit, const char *service, const char *table, bus_error *err)
{
    sqlite3_stmt *stmt = NULL;
    bus_status status = BUS_OK;
    sqlite3_str *sql = sqlite3_str_new(audit->db);
    char *all = sqlite3_mprintf("SELECT * FROM s.\"%w\"", table);
    sqlite3_str_appendf(sql, "CREATE TABLE \"%w\".\"%w\"(shard INTEGER", service, table);
    if (!all || sqlite3_prepare_v2(audit->db, all, -1, &stmt, NULL) != SQLITE_OK)
        status = bui_audit_db_failed(audit, table, err);
    for (int i = 0; status == BUS_OK && i < sqlite3_column_count(stmt); i++)
        status = append_column(audit, sql, table, sqlite3_column_name(stmt, i), sqlite3_column_decltype(stmt, i), err);
    sqlite3_str_appendall(sql, ")");
    char *text = sqlite3_str_finish(sql);
    if (status == BUS_OK)
        status = text ? bui_audit_db_run(audit, text, table, err) : bui_fail_nomem(err);
    sqlite3_finalize(stmt);
    sqlite3_free(all);
    sqlite3_free(text);
    return status;
}

/* One for each index of the table and for its key; not for those over expressions. None is unique over all shards. */
static const char index_sql[] =
    "INSERT INTO later SELECT printf('CREATE INDEX \"%w\".\"bus_%w_%d\" ON \"%w\"(%s);', ?1, ?2, n, ?2, group_concat(printf('\"%w\"', name)))"
    " FROM (SELECT l.seq AS n, i.name FROM pragma_index_list(?2, 's') l, pragma_index_info(l.name, 's') i ORDER BY l.seq, i.seqno)"
    " GROUP BY n HAVING count(name) = count(*)"
    " UNION ALL SELECT printf('CREATE INDEX \"%w\".\"bus_%w_key\" ON \"%w\"(\"%w\");', ?1, ?2, ?2, name) FROM pragma_table_info(?2, 's')"
    " WHERE pk AND NOT EXISTS (SELECT 1 FROM pragma_index_list(?2, 's') WHERE origin = 'pk')";

static bus_status copy_table(bui_audit *audit, const char *service, int64_t shard, const char *table, bus_error *err)
{
    bus_status status = BUS_OK;
    if (sqlite3_table_column_metadata(audit->db, service, table, NULL, NULL, NULL, NULL, NULL, NULL) != SQLITE_OK) {
        status = make_table(audit, service, table, err);
        if (status == BUS_OK)
            status = bui_audit_db_do(audit, index_sql, service, table, table, err);
    }
    if (status != BUS_OK)
        return status;
    char *sql =
        sqlite3_mprintf("INSERT INTO \"%w\".\"%w\" SELECT %lld, * FROM s.\"%w\"", service, table, (long long)shard, table);
    status = sql ? bui_audit_db_run(audit, sql, table, err) : bui_fail_nomem(err);
    sqlite3_free(sql);
    return status;
}

bus_status bui_audit_db_own_tables(bui_audit *audit, const char *service, int64_t shard, bus_error *err)
{
    sqlite3_stmt *stmt = NULL;
    bus_status status = BUS_OK;
    int rc = SQLITE_DONE;
    if (sqlite3_prepare_v2(audit->db,
                           "SELECT name FROM s.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'bus\\_%' ESCAPE '\\'"
                           " AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
                           -1, &stmt, NULL) != SQLITE_OK)
        return bui_audit_db_failed(audit, "listing tables", err);
    while (status == BUS_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW)
        status = copy_table(audit, service, shard, (const char *)sqlite3_column_text(stmt, 0), err);
    if (status == BUS_OK && rc != SQLITE_DONE)
        status = bui_audit_db_failed(audit, "listing tables", err);
    sqlite3_finalize(stmt);
    return status;
}

bus_status bui_audit_db_own_indexes(bui_audit *audit, bus_error *err)
{
    sqlite3_stmt *stmt = NULL;
    bus_status status = BUS_OK;
    if (sqlite3_prepare_v2(audit->db, "SELECT group_concat(sql, '') FROM later", -1, &stmt, NULL) != SQLITE_OK ||
        sqlite3_step(stmt) != SQLITE_ROW)
        status = bui_audit_db_failed(audit, "indexing services' tables", err);
    const char *text = status == BUS_OK ? (const char *)sqlite3_column_text(stmt, 0) : NULL;
    char *all = text ? sqlite3_mprintf("%s", text) : NULL;
    if (all)
        sqlite3_reset(stmt);
    if (text)
        status = all ? bui_audit_db_run(audit, all, "indexing services' tables", err) : bui_fail_nomem(err);
    sqlite3_finalize(stmt);
    sqlite3_free(all);
    return status;
}
