/* SPDX-License-Identifier: MIT
 * Compare: both stores attached to one connection, read-only, and the work left to SQL. */
#include "ops/compare.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/id.h"
#include "ops/store_uri.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct comparer {
    sqlite3 *db;
    bui_arena *arena;
    bus_error *err;
} comparer;

const char *bui_table_verdict_name(bui_table_verdict verdict)
{
    switch (verdict) {
    case BUI_TABLE_SAME: return "same";
    case BUI_TABLE_WIDER: return "new columns";
    case BUI_TABLE_DIFFERS: return "differs";
    case BUI_TABLE_COLUMNS: return "other columns";
    case BUI_TABLE_ONLY_OLD: return "only in old";
    case BUI_TABLE_ONLY_NEW: return "only in new";
    }
    return "?";
}

bool bui_table_differs(const bui_table_comparison *table)
{
    return table->verdict != BUI_TABLE_SAME && table->verdict != BUI_TABLE_WIDER;
}

static bus_status sql_failed(const comparer *c, const char *what)
{
    int code = sqlite3_errcode(c->db);
    bus_status status = code == SQLITE_NOTADB || code == SQLITE_CORRUPT ? BUS_CORRUPT
                        : code == SQLITE_NOMEM                          ? BUS_NOMEM
                                                                        : BUS_STORE;
    return bui_fail(c->err, status, "%s: %s", what, sqlite3_errmsg(c->db));
}

static bus_status attach(const comparer *c, const char *path, const char *as)
{
    bus_status status = BUS_OK;
    sqlite3_stmt *stmt = NULL;
    char sql[64];
    if (access(path, R_OK) != 0)
        return bui_fail(c->err, BUS_MISSING, "%s: no store that can be read there", path);
    char *uri = bui_store_uri(path);
    if (!uri)
        return bui_fail_nomem(c->err);
    snprintf(sql, sizeof sql, "ATTACH ?1 AS %s", as);
    if (sqlite3_prepare_v2(c->db, sql, -1, &stmt, NULL) != SQLITE_OK ||
        sqlite3_bind_text(stmt, 1, uri, -1, SQLITE_STATIC) != SQLITE_OK || sqlite3_step(stmt) != SQLITE_DONE)
        status = sql_failed(c, path);
    sqlite3_finalize(stmt);
    free(uri);
    return status;
}

/* Runs a statement made with sqlite3_mprintf (freed here) and leaves it prepared. */
static bus_status prepare(const comparer *c, char *sql, sqlite3_stmt **out)
{
    if (!sql)
        return bui_fail_nomem(c->err);
    bus_status status = sqlite3_prepare_v2(c->db, sql, -1, out, NULL) == SQLITE_OK ? BUS_OK : sql_failed(c, "comparing");
    sqlite3_free(sql);
    return status;
}

/* ---- the library's own tables: what an event, a dead letter or a schedule waits for must be the same, not ids of rows or
 * incarnations */

static const struct own {
    const char *name, *sql;
} own[] = {
    { "bus_body", "SELECT letter, key, value FROM %s.bus_body" },
    { "bus_discarded", "SELECT source, topic, partition, seq, event_id, error, operator, reason, at FROM %s.bus_discarded" },
    { "bus_key", "SELECT scope, key, state, attempt, event_id FROM %s.bus_key WHERE state IN (1, 2)" },
    { "bus_letter", "SELECT id, event_id, scope, round, state FROM %s.bus_letter" },
    { "bus_parked",
      "SELECT k.scope, k.key, row_number() OVER (PARTITION BY p.key_id ORDER BY p.n) AS place, p.event_id, p.topic, p.partition,"
      " p.offset, p.value FROM %s.bus_parked p JOIN %s.bus_key k ON k.id = p.key_id" },
    { "bus_schedule", "SELECT name, due, event_id, topic, key, value FROM %s.bus_schedule" },
};
#define OWN (sizeof own / sizeof own[0])

static bool has_table(const comparer *c, const char *schema, const char *name)
{
    return sqlite3_table_column_metadata(c->db, schema, name, NULL, NULL, NULL, NULL, NULL, NULL) == SQLITE_OK;
}

/* As a view of each store, named as the table is. */
static bus_status view_own(const comparer *c, const struct own *table)
{
    static const char *const sides[] = { "old", "new" };
    bus_status status = BUS_OK;
    for (int i = 0; i < 2 && status == BUS_OK; i++) {
        char *select = sqlite3_mprintf(table->sql, sides[i], sides[i]);
        char *sql = select ? sqlite3_mprintf("CREATE TEMP VIEW \"%s %s\" AS %s", sides[i], table->name, select) : NULL;
        if (!sql)
            status = bui_fail_nomem(c->err);
        else if (sqlite3_exec(c->db, sql, NULL, NULL, NULL) != SQLITE_OK)
            status = sql_failed(c, table->name);
        sqlite3_free(select);
        sqlite3_free(sql);
    }
    return status;
}

static bool is_own(const char *table)
{
    return strncmp(table, "bus_", 4) == 0;
}

/* Where the rows of a table are, on one side. */
static char *rows_of(const char *side, const char *table)
{
    return is_own(table) ? sqlite3_mprintf("temp.\"%w %w\"", side, table) : sqlite3_mprintf("%s.\"%w\"", side, table);
}

/* ---- tables */

static bui_table_comparison *add_table(const comparer *c, bui_comparison *out, size_t *cap, const char *name)
{
    if (out->count == *cap) {
        size_t wider = *cap ? *cap * 2 : 16;
        bui_table_comparison *grown = bui_arena_alloc(c->arena, wider * sizeof *grown);
        if (!grown)
            return NULL;
        if (*cap)
            memcpy(grown, out->table, *cap * sizeof *grown);
        out->table = grown;
        *cap = wider;
    }
    char *copy = name ? bui_arena_copy(c->arena, name, strlen(name)) : NULL;
    if (!copy)
        return NULL;
    bui_table_comparison *table = &out->table[out->count++];
    *table = (bui_table_comparison){ .name = copy, .old_rows = -1, .new_rows = -1 };
    return table;
}

static bus_status list_tables(const comparer *c, bui_comparison *out)
{
    sqlite3_stmt *stmt = NULL;
    bus_status status =
        prepare(c,
                sqlite3_mprintf("SELECT name, max(o), max(n) FROM ("
                                "  SELECT name, 1 AS o, 0 AS n FROM old.sqlite_schema WHERE type = 'table'"
                                "  UNION ALL SELECT name, 0, 1 FROM new.sqlite_schema WHERE type = 'table')"
                                " WHERE name NOT LIKE 'bus\\_%%' ESCAPE '\\' AND name NOT LIKE 'sqlite\\_%%' ESCAPE '\\'"
                                " GROUP BY name ORDER BY name"),
                &stmt);
    size_t cap = 0;
    int rc = SQLITE_DONE;
    while (status == BUS_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        bui_table_comparison *table = add_table(c, out, &cap, (const char *)sqlite3_column_text(stmt, 0));
        if (!table) {
            status = bui_fail_nomem(c->err);
            break;
        }
        if (!sqlite3_column_int(stmt, 1))
            table->verdict = BUI_TABLE_ONLY_NEW;
        else if (!sqlite3_column_int(stmt, 2))
            table->verdict = BUI_TABLE_ONLY_OLD;
    }
    if (status == BUS_OK && rc != SQLITE_DONE)
        status = sql_failed(c, "listing tables");
    sqlite3_finalize(stmt);
    for (size_t i = 0; i < OWN && status == BUS_OK; i++) {
        if (!has_table(c, "old", own[i].name) || !has_table(c, "new", own[i].name))
            continue;
        status = view_own(c, &own[i]);
        if (status == BUS_OK && !add_table(c, out, &cap, own[i].name))
            status = bui_fail_nomem(c->err);
    }
    return status;
}

/* Of which sides' columns? */
typedef struct columns {
    bool old, new;             /* look at these */
    size_t only_old, only_new; /* how many are on one side alone: they are left out, if both are looked at */
} columns;

/* Each column's name, and on how many of the sides it is. */
static bus_status find_columns(const comparer *c, const char *table, const columns *of, sqlite3_stmt **out)
{
    bool ours = is_own(table);
    char *old = ours ? sqlite3_mprintf("old %s", table) : sqlite3_mprintf("%s", table);
    char *new = ours ? sqlite3_mprintf("new %s", table) : sqlite3_mprintf("%s", table);
    bus_status status = old && new
                            ? prepare(c,
                                      sqlite3_mprintf("SELECT name, total(o), total(n) FROM ("
                                                      "  SELECT name, 1 AS o, 0 AS n FROM pragma_table_info(%Q, %Q) WHERE %d"
                                                      "  UNION ALL SELECT name, 0, 1 FROM pragma_table_info(%Q, %Q) WHERE %d)"
                                                      " GROUP BY name COLLATE NOCASE ORDER BY name",
                                                      old, ours ? "temp" : "old", of->old, new, ours ? "temp" : "new", of->new),
                                      out)
                            : bui_fail_nomem(c->err);
    sqlite3_free(old);
    sqlite3_free(new);
    return status;
}

/* The columns that the sides have in common, as one expression that makes a row a text of SQL literals: quote() distinguishes 1, '1'
 * and 1.0 and takes every collation out of the comparison. */
static bus_status row_expression(const comparer *c, const char *table, columns *of, bui_buf *out)
{
    sqlite3_stmt *stmt = NULL;
    bus_status status = find_columns(c, table, of, &stmt);
    int rc = SQLITE_DONE;
    while (status == BUS_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(stmt, 0);
        of->only_old += of->new && !sqlite3_column_int(stmt, 2);
        of->only_new += of->old && !sqlite3_column_int(stmt, 1);
        if (sqlite3_column_int(stmt, 1) < of->old || sqlite3_column_int(stmt, 2) < of->new)
            continue;
        char *part = sqlite3_mprintf("%s'%q='||quote(\"%w\")", out->len ? "||', '||" : "", name, name);
        if (part)
            bui_buf_text(out, part);
        else
            status = bui_fail_nomem(c->err);
        sqlite3_free(part);
    }
    if (status == BUS_OK && rc != SQLITE_DONE)
        status = sql_failed(c, table);
    bui_buf_byte(out, 0);
    if (status == BUS_OK && !bui_buf_ok(out))
        status = bui_fail_nomem(c->err);
    sqlite3_finalize(stmt);
    return status;
}

/* Count and hash of all rows. The sum of the rows' hashes does not depend on their order, so nothing is sorted. */
static bus_status digest(const comparer *c, const char *schema, const char *table, const char *row, int64_t *rows, uint64_t *hash)
{
    sqlite3_stmt *stmt = NULL;
    char *rows_there = rows_of(schema, table);
    bus_status status =
        rows_there ? prepare(c, sqlite3_mprintf("SELECT %s FROM %s", row, rows_there), &stmt) : bui_fail_nomem(c->err);
    sqlite3_free(rows_there);
    int rc = SQLITE_DONE;
    int64_t count = 0;
    uint64_t sum = 0;
    while (status == BUS_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const void *text = sqlite3_column_text(stmt, 0);
        if (!text) {
            status = bui_fail_nomem(c->err);
            break;
        }
        sum += bui_hash(text, (size_t)sqlite3_column_bytes(stmt, 0), 1);
        count++;
    }
    if (status == BUS_OK && rc != SQLITE_DONE)
        status = sql_failed(c, table);
    sqlite3_finalize(stmt);
    if (status == BUS_OK) {
        *rows = count;
        *hash = sum;
    }
    return status;
}

static bus_status list_rows(const comparer *c, const char *table, const char *row, const char *here, const char *there,
                            const char **out, int *count)
{
    sqlite3_stmt *stmt = NULL;
    char *a = rows_of(here, table), *b = rows_of(there, table);
    bus_status status = a && b ? prepare(c,
                                         sqlite3_mprintf("SELECT %s FROM %s EXCEPT SELECT %s FROM %s ORDER BY 1 LIMIT %d", row, a,
                                                         row, b, BUI_COMPARE_ROWS),
                                         &stmt)
                               : bui_fail_nomem(c->err);
    sqlite3_free(a);
    sqlite3_free(b);
    int rc = SQLITE_DONE;
    while (status == BUS_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const void *text = sqlite3_column_text(stmt, 0);
        char *copy = text ? bui_arena_copy(c->arena, text, (size_t)sqlite3_column_bytes(stmt, 0)) : NULL;
        if (!copy)
            status = bui_fail_nomem(c->err);
        else
            out[(*count)++] = copy;
    }
    if (status == BUS_OK && rc != SQLITE_DONE)
        status = sql_failed(c, table);
    sqlite3_finalize(stmt);
    return status;
}

static bus_status compare_table(const comparer *c, bui_table_comparison *table)
{
    columns of = { .old = table->verdict != BUI_TABLE_ONLY_NEW, .new = table->verdict != BUI_TABLE_ONLY_OLD };
    bui_buf expression;
    bui_buf_init(&expression, 0);
    bus_status status = row_expression(c, table->name, &of, &expression);
    const char *row = expression.len > 1 ? (const char *)expression.data : "''"; /* no column in common */
    if (status == BUS_OK && of.old)
        status = digest(c, "old", table->name, row, &table->old_rows, &table->old_hash);
    if (status == BUS_OK && of.new)
        status = digest(c, "new", table->name, row, &table->new_rows, &table->new_hash);
    if (status != BUS_OK || table->verdict != BUI_TABLE_SAME)
        goto out;
    if (table->old_rows == table->new_rows && table->old_hash == table->new_hash) {
        table->verdict = of.only_old ? BUI_TABLE_COLUMNS : of.only_new ? BUI_TABLE_WIDER : BUI_TABLE_SAME;
        goto out;
    }
    table->verdict = BUI_TABLE_DIFFERS;
    status = list_rows(c, table->name, row, "old", "new", table->only_old, &table->only_old_count);
    if (status == BUS_OK)
        status = list_rows(c, table->name, row, "new", "old", table->only_new, &table->only_new_count);
out:
    bui_buf_free(&expression);
    return status;
}

bus_status bui_compare(const char *old_path, const char *new_path, bui_arena *arena, bui_comparison *out, bus_error *err)
{
    comparer c = { .arena = arena, .err = err };
    bui_comparison result = { 0 };
    bus_status status;
    if (sqlite3_open_v2(":memory:", &c.db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
        status = c.db ? sql_failed(&c, "opening SQLite") : bui_fail_nomem(err);
        goto out;
    }
    sqlite3_db_config(c.db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    status = attach(&c, old_path, "old");
    if (status == BUS_OK)
        status = attach(&c, new_path, "new");
    if (status == BUS_OK)
        status = list_tables(&c, &result);
    for (size_t i = 0; status == BUS_OK && i < result.count; i++) {
        status = compare_table(&c, &result.table[i]);
        result.differing += bui_table_differs(&result.table[i]);
    }
    if (status == BUS_OK)
        *out = result;
out:
    sqlite3_close(c.db);
    return status;
}
