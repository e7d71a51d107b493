/* SPDX-License-Identifier: MIT
 * State table: makes a state's table, adds the columns of new fields, and finds tables that do not fit. */
#include "base/error.h"
#include "store/internal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *column_of(const bui_state_table *table, size_t i)
{
    return table->shape->fields[i].name;
}

/* What a definition says after the column's name: its type, and what else. */
static const char *rest_of(const char *definition)
{
    const char *end = definition[0] == '"' ? strchr(definition + 1, '"') : NULL;
    return end && end[1] == ' ' ? end + 2 : "";
}

static bool is_nullable(const char *definition)
{
    return strstr(rest_of(definition), " NOT NULL") == NULL;
}

bool bui_states_have(const bui_store *store, const char *table)
{
    for (size_t i = 0; i < store->states.count; i++)
        if (table && strcasecmp(store->states.all[i].of->table, table) == 0)
            return true;
    return false;
}

/* ---- statements */

static void add_names(sqlite3_str *sql, const bui_state_table *table, bool key_only, const char *format)
{
    for (uint32_t i = 0; i < (key_only ? table->of->key_count : table->shape->count); i++) {
        if (i > 0)
            sqlite3_str_appendall(sql, strstr(format, "?%d") ? " AND " : ", ");
        sqlite3_str_appendf(sql, format, column_of(table, key_only ? table->of->key[i] : i), (int)i + 1);
    }
}

static sqlite3_stmt *prepared(bui_store *store, sqlite3_stmt **stmt, sqlite3_str *sql, bus_error *err)
{
    char *text = sqlite3_str_finish(sql);
    int rc = text ? bui_prepare_own(store, text, false, stmt, NULL) : SQLITE_NOMEM;
    sqlite3_free(text);
    if (rc == SQLITE_OK)
        return *stmt;
    bui_store_fail(store, rc, "preparing the SQL of a state", err);
    return NULL;
}

sqlite3_stmt *bui_state_loader(bui_store *store, bui_state_table *table, bus_error *err)
{
    if (table->load)
        return table->load;
    sqlite3_str *sql = sqlite3_str_new(store->db);
    sqlite3_str_appendall(sql, "SELECT ");
    add_names(sql, table, false, "\"%w\"");
    sqlite3_str_appendf(sql, " FROM \"%w\" WHERE ", table->of->table);
    add_names(sql, table, true, "\"%w\" = ?%d");
    return prepared(store, &table->load, sql, err);
}

sqlite3_stmt *bui_state_saver(bui_store *store, bui_state_table *table, bus_error *err)
{
    if (table->save)
        return table->save;
    sqlite3_str *sql = sqlite3_str_new(store->db);
    sqlite3_str_appendf(sql, "INSERT INTO \"%w\" (", table->of->table);
    add_names(sql, table, false, "\"%w\"");
    sqlite3_str_appendall(sql, ") VALUES (?1");
    for (uint32_t i = 1; i < table->shape->count; i++)
        sqlite3_str_appendf(sql, ", ?%d", (int)i + 1);
    sqlite3_str_appendall(sql, ") ON CONFLICT (");
    add_names(sql, table, true, "\"%w\"");
    sqlite3_str_appendall(sql, ") DO ");
    const char *begin = "UPDATE SET ";
    for (uint32_t i = 0; i < table->shape->count; i++) {
        if (bui_state_is_key(table, i))
            continue;
        sqlite3_str_appendf(sql, "%s\"%w\" = excluded.\"%w\"", begin, column_of(table, i), column_of(table, i));
        begin = ", ";
    }
    if (table->of->key_count == table->shape->count)
        sqlite3_str_appendall(sql, "NOTHING");
    return prepared(store, &table->save, sql, err);
}

sqlite3_stmt *bui_state_remover(bui_store *store, bui_state_table *table, bus_error *err)
{
    if (table->remove)
        return table->remove;
    sqlite3_str *sql = sqlite3_str_new(store->db);
    sqlite3_str_appendf(sql, "DELETE FROM \"%w\" WHERE ", table->of->table);
    add_names(sql, table, true, "\"%w\" = ?%d");
    return prepared(store, &table->remove, sql, err);
}

/* ---- making */

/* Prepares a question about a table, whose name is bound. */
static sqlite3_stmt *ask(bui_store *store, const char *sql, const char *table, bus_error *err)
{
    sqlite3_stmt *stmt = NULL;
    int rc = bui_prepare_own(store, sql, false, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(stmt, 1, table, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        return stmt;
    bui_store_fail(store, rc, "looking at a state's table", err);
    sqlite3_finalize(stmt);
    return NULL;
}

static const char columns_sql[] = "SELECT name, type, \"notnull\", pk, dflt_value FROM pragma_table_info(?1)";

/* Which columns the table has; *count of all that it has, 0: it is not there. */
static bus_status find_columns(bui_store *store, const bui_state_table *table, bool *there, size_t *count, bus_error *err)
{
    sqlite3_stmt *stmt = ask(store, columns_sql, table->of->table, err);
    int rc = SQLITE_ERROR;
    if (!stmt)
        return BUS_STORE;
    *count = 0;
    while ((rc = bui_step(store, stmt)) == SQLITE_ROW) {
        ++*count;
        for (size_t i = 0; i < table->shape->count; i++)
            if (strcasecmp(bui_column_text(stmt, 0), column_of(table, i)) == 0)
                there[i] = true;
    }
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? BUS_OK : bui_store_fail(store, rc, "looking at a state's table", err);
}

static bus_status change(bui_store *store, sqlite3_str *sql, bus_error *err)
{
    char *text = sqlite3_str_finish(sql);
    bus_status status = text ? bui_exec(store, text, "making a state's table", err) : bui_fail_nomem(err);
    sqlite3_free(text);
    return status;
}

/* A version that does not know the field, before or after this one, must be able to write a row. */
static const char *fallback(const bui_state_table *table, uint32_t i)
{
    const char *definition = table->of->columns[i], *rest = rest_of(definition);
    if (bui_state_is_key(table, i) || is_nullable(definition) || strstr(rest, " DEFAULT "))
        return "";
    return strncmp(rest, "TEXT", 4) == 0 ? " DEFAULT ''" : strncmp(rest, "BLOB", 4) == 0 ? " DEFAULT X''" : " DEFAULT 0";
}

/* A key of one integer: SQLite finds it faster as the id of its row. */
static bool is_row_id(const bui_state_table *table)
{
    return table->of->key_count == 1 && strncmp(rest_of(table->of->columns[table->of->key[0]]), "INTEGER ", 8) == 0;
}

static bus_status create(bui_store *store, const bui_state_table *table, bus_error *err)
{
    sqlite3_str *sql = sqlite3_str_new(store->db);
    sqlite3_str_appendf(sql, "CREATE TABLE \"%w\" (", table->of->table);
    for (uint32_t i = 0; i < table->shape->count; i++)
        sqlite3_str_appendf(sql, "%s%s, ", table->of->columns[i], fallback(table, i));
    sqlite3_str_appendall(sql, "PRIMARY KEY (");
    add_names(sql, table, true, "\"%w\"");
    sqlite3_str_appendall(sql, is_row_id(table) ? "))" : ")) WITHOUT ROWID");
    return change(store, sql, err);
}

static bus_status widen(bui_store *store, const bui_state_table *table, size_t i, bus_error *err)
{
    const char *definition = table->of->columns[i];
    if (!is_nullable(definition) && !strstr(rest_of(definition), " DEFAULT "))
        return bui_fail(err, BUS_REFUSED,
                        "%s: table %s has no column for the field %s of %s, and the rows that are there cannot get one: give the "
                        "field a default, make it optional, or add the column in a migration",
                        store->path, table->of->table, column_of(table, i), table->of->type->name);
    sqlite3_str *sql = sqlite3_str_new(store->db);
    sqlite3_str_appendf(sql, "ALTER TABLE \"%w\" ADD COLUMN %s", table->of->table, definition);
    return change(store, sql, err);
}

/* In a transaction, begun by the first that changes something. */
static bus_status make_one(bui_store *store, const bui_state_table *table, bool *begun, bus_error *err)
{
    size_t count = 0, missing = 0, fields = table->shape->count;
    bool *there = calloc(fields, sizeof *there);
    if (!there)
        return bui_fail_nomem(err);
    bus_status status = find_columns(store, table, there, &count, err);
    for (size_t i = 0; i < fields; i++)
        missing += !there[i];
    if (status == BUS_OK && missing && !*begun) {
        status = bui_exec(store, "BEGIN IMMEDIATE; UPDATE bus_meta SET seal = seal | 1", "making a state's table", err);
        *begun = !sqlite3_get_autocommit(store->db);
    }
    if (status == BUS_OK && count == 0)
        status = create(store, table, err);
    for (size_t i = 0; i < fields && count > 0 && status == BUS_OK; i++)
        if (!there[i])
            status = widen(store, table, i, err);
    free(there);
    return status;
}

static bus_status take(bui_store *store, const bus_state *state, bui_state_table *table, bus_error *err)
{
    if (state->layout != BUS_STATE_LAYOUT || !state->type || state->type->layout != BUS_TYPE_LAYOUT)
        return bui_fail(err, BUS_INVALID,
                        "a state of bus_service.states was generated for another version of the library: run bus-schemac again");
    if (strncasecmp(state->table, "bus_", 4) == 0 || strncasecmp(state->table, "sqlite_", 7) == 0)
        return bui_fail(err, BUS_INVALID, "state %s: table %s: names that begin with bus_ or sqlite_ are taken",
                        state->type->name, state->table);
    if (bui_states_have(store, state->table))
        return bui_fail(err, BUS_INVALID, "table %s is in bus_service.states twice", state->table);
    *table = (bui_state_table){ .of = state, .shape = state->type->shape };
    return BUS_OK;
}

bus_status bui_states_make(bui_store *store, const bus_state *const *states, bus_error *err)
{
    bui_states *own = &store->states;
    size_t count = 0;
    bool begun = false;
    bus_status status = BUS_OK;
    while (states && states[count])
        count++;
    if (count == 0)
        return BUS_OK;
    if (!(own->all = calloc(count, sizeof *own->all)))
        return bui_fail_nomem(err);
    for (size_t i = 0; i < count && status == BUS_OK; i++) {
        status = take(store, states[i], &own->all[i], err);
        own->count += status == BUS_OK;
        if (status == BUS_OK)
            status = make_one(store, &own->all[i], &begun, err);
    }
    if (begun && status == BUS_OK) {
        store->committing = true;
        status = bui_exec(store, "COMMIT", "making a state's table", err);
        store->committing = false;
        store->seal |= status == BUS_OK;
    }
    if (begun && !sqlite3_get_autocommit(store->db))
        (void)bui_exec(store, "ROLLBACK", "making a state's table", NULL);
    return status;
}

/* ---- checking */

static bus_status unfit(const bui_store *store, const bui_state_table *table, const char *column, const char *why, bus_error *err)
{
    return bui_fail(err, BUS_REFUSED, "%s: column %s of table %s %s; make it fit state %s by a migration", store->path, column,
                    table->of->table, why, table->of->type->name);
}

static bus_status check_column(const bui_store *store, const bui_state_table *table, sqlite3_stmt *stmt, bus_error *err)
{
    const char *name = bui_column_text(stmt, 0), *type = bui_column_text(stmt, 1);
    bool not_null = sqlite3_column_int(stmt, 2);
    uint32_t place = (uint32_t)sqlite3_column_int(stmt, 3), at = 0;
    while (at < table->shape->count && strcasecmp(name, column_of(table, at)) != 0)
        at++;
    if (at == table->shape->count) {
        bool free_of_us = !not_null || sqlite3_column_type(stmt, 4) != SQLITE_NULL;
        return place > 0 || !free_of_us ? unfit(store, table, name, "is no field of the state, and needs a value", err) : BUS_OK;
    }
    const char *rest = rest_of(table->of->columns[at]);
    size_t len = strcspn(rest, " ");
    if (strlen(type) != len || strncasecmp(type, rest, len) != 0)
        return unfit(store, table, name, "has another type than the field", err);
    if (place > 0 ? place > table->of->key_count || table->of->key[place - 1] != at : bui_state_is_key(table, at))
        return unfit(store, table, name,
                     place > 0 ? "is in the primary key, and not so in the state's" : "is not in the primary key", err);
    if (place == 0 && not_null == is_nullable(table->of->columns[at]))
        return unfit(store, table, name,
                     not_null ? "is NOT NULL, and the field is optional" : "may be NULL, and the field may not", err);
    return BUS_OK;
}

static bus_status check_one(bui_store *store, bui_state_table *table, bus_error *err)
{
    bus_status status = BUS_OK;
    size_t count = 0;
    int rc = SQLITE_ERROR;
    sqlite3_stmt *stmt = ask(store, columns_sql, table->of->table, err);
    while (stmt && status == BUS_OK && (rc = bui_step(store, stmt)) == SQLITE_ROW) {
        count++;
        status = check_column(store, table, stmt, err);
    }
    sqlite3_finalize(stmt);
    if (!stmt || status != BUS_OK)
        return stmt ? status : BUS_STORE;
    if (rc != SQLITE_DONE)
        return bui_store_fail(store, rc, "checking a state's table", err);
    if (count < table->shape->count)
        return bui_fail(err, BUS_REFUSED, "%s: a migration took table %s of state %s away, or columns of it", store->path,
                        table->of->table, table->of->type->name);
    stmt = ask(store, "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ?1 COLLATE NOCASE",
               table->of->table, err);
    if (!stmt)
        return BUS_STORE;
    rc = bui_step(store, stmt);
    table->triggers = rc == SQLITE_ROW && sqlite3_column_int(stmt, 0) > 0;
    sqlite3_finalize(stmt);
    return rc == SQLITE_ROW ? BUS_OK : bui_store_fail(store, rc, "checking a state's table", err);
}

bus_status bui_states_check(bui_store *store, bus_error *err)
{
    bus_status status = BUS_OK;
    for (size_t i = 0; i < store->states.count && status == BUS_OK; i++)
        status = check_one(store, &store->states.all[i], err);
    return status;
}
