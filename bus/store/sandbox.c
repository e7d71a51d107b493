/* SPDX-License-Identifier: MIT
 * Sandbox: what the user's SQL may do. The authorizer is installed once and reads a flag: setting one for each handler
 * would expire every prepared statement. */
#include "base/error.h"
#include "store/internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SQL_CACHE_MOST 128

struct bui_sql_entry {
    sqlite3_stmt *stmt;
    char *text;
    size_t len;
    uint64_t last; /* for throwing out the one used longest ago */
    bool used;     /* since the sandbox was entered */
    bool on_state; /* it reads or writes a table of bus_service.states */
};

static bool has_prefix(const char *name, const char *prefix)
{
    return name && strncasecmp(name, prefix, strlen(prefix)) == 0;
}

static int deny(bui_tables_sandbox *sandbox, const char *what)
{
    sandbox->denied = what;
    return SQLITE_DENY;
}

/* The tables of the library and SQLite's own: denied by name, for any use. */
static int on_table(bui_tables_sandbox *sandbox, int action, const char *table, const char *other)
{
    if (has_prefix(table, "bus_") || has_prefix(other, "bus_"))
        return deny(sandbox, "tables named bus_* belong to the library");
    bool writes = action == SQLITE_INSERT || action == SQLITE_UPDATE || action == SQLITE_DELETE;
    if (writes && has_prefix(table, "sqlite_") && !sandbox->migrating)
        return deny(sandbox, "tables named sqlite_* belong to SQLite");
    return SQLITE_OK;
}

/* What a statement sees of a state's table must be written before it runs. bus_sql sees to that; of others only the preparation shows. */
static int on_state(bui_store *store)
{
    bui_states *states = &store->states;
    states->touched = true;
    if (store->sandbox.preparing)
        return SQLITE_OK;
    if (store->sandbox.inside && !states->bypassed)
        return deny(&store->sandbox, "SQL on the table of a state is prepared with bus_sql");
    states->strangers = true;
    return SQLITE_OK;
}

static int authorize(void *opaque, int action, const char *a, const char *b, const char *database, const char *trigger)
{
    (void)database;
    (void)trigger;
    bui_store *store = opaque;
    bui_tables_sandbox *sandbox = &store->sandbox;
    bool on_rows = action == SQLITE_READ || action == SQLITE_INSERT || action == SQLITE_UPDATE || action == SQLITE_DELETE;
    if (!sandbox->preparing)
        sandbox->strangers = true;
    if (on_rows && store->states.count && bui_states_have(store, a) && on_state(store) != SQLITE_OK)
        return SQLITE_DENY;
    if (!sandbox->inside)
        return SQLITE_OK;
    switch (action) {
    case SQLITE_SELECT:
    case SQLITE_RECURSIVE: return SQLITE_OK;
    case SQLITE_FUNCTION:
        return b && strcasecmp(b, "load_extension") == 0 ? deny(sandbox, "load_extension is not allowed") : SQLITE_OK;
    case SQLITE_READ:
    case SQLITE_INSERT:
    case SQLITE_UPDATE:
    case SQLITE_DELETE: return on_table(sandbox, action, a, NULL);
    case SQLITE_TRANSACTION:
    case SQLITE_SAVEPOINT:
        return deny(sandbox, "the bus begins, saves and commits; BEGIN, COMMIT, ROLLBACK and SAVEPOINT are not allowed");
    case SQLITE_ATTACH:
    case SQLITE_DETACH: return deny(sandbox, "ATTACH and DETACH are not allowed: one store, one file");
    case SQLITE_PRAGMA: return deny(sandbox, "PRAGMA is not allowed: the bus sets what durability needs");
    default: /* all that is left defines something */
        return sandbox->migrating ? on_table(sandbox, action, a, b)
                                  : deny(sandbox, "tables, indexes and triggers are changed by migrations only");
    }
}

bus_status bui_sandbox_install(bui_store *store, bus_error *err)
{
    bui_map_init(&store->sandbox.by_text);
    int rc = sqlite3_set_authorizer(store->db, authorize, store);
    return rc == SQLITE_OK ? BUS_OK : bui_store_fail(store, rc, "opening the store", err);
}

static void entry_free(bui_sql_entry *entry)
{
    sqlite3_finalize(entry->stmt);
    free(entry->text);
    free(entry);
}

void bui_sandbox_free(bui_store *store)
{
    bui_tables_sandbox *sandbox = &store->sandbox;
    for (size_t i = 0; i < sandbox->all.count; i++)
        entry_free(sandbox->all.at[i]);
    bui_list_free(&sandbox->all);
    bui_list_free(&sandbox->used);
    bui_map_free(&sandbox->by_text, NULL);
}

/* Statements that the user prepared without bus_sql and left in the middle of their rows hold locks, and the rows that they
 * changed are not counted yet. */
static void reset_strangers(bui_store *store)
{
    for (sqlite3_stmt *stmt = sqlite3_next_stmt(store->db, NULL); stmt; stmt = sqlite3_next_stmt(store->db, stmt))
        if (sqlite3_stmt_busy(stmt))
            sqlite3_reset(stmt);
}

/* Resetting says how the last step ended. What the statement itself did wrong is the handler's business. */
static void reset(bui_store *store, sqlite3_stmt *stmt)
{
    int rc = sqlite3_reset(stmt);
    switch (rc & 0xff) {
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_NOMEM:
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
        if (store->sandbox.disabled.status == BUS_OK)
            bui_store_fail(store, rc, "running the handler's SQL", &store->sandbox.disabled);
        break;
    default: break;
    }
}

bus_status bui_store_disabled(bui_store *store, bus_error *err)
{
    if (store->sandbox.disabled.status != BUS_OK && err)
        *err = store->sandbox.disabled;
    return store->sandbox.disabled.status;
}

void bui_store_sandbox(bui_store *store, bool inside)
{
    bui_tables_sandbox *sandbox = &store->sandbox;
    sandbox->inside = inside;
    if (inside) {
        sandbox->denied = NULL;
        sandbox->disabled.status = BUS_OK;
        return;
    }
    bui_states_left(store);
    for (size_t i = 0; i < sandbox->used.count; i++) {
        bui_sql_entry *entry = sandbox->used.at[i];
        reset(store, entry->stmt);
        entry->used = false;
    }
    sandbox->used.count = 0;
    if (sandbox->strangers)
        reset_strangers(store);
}

bus_status bui_store_standing(bui_store *store, bus_error *err)
{
    int violated = 0, high = 0;
    if (store->sticky.status != BUS_OK) {
        if (err)
            *err = store->sticky;
        return store->sticky.status;
    }
    if (sqlite3_get_autocommit(store->db))
        return bui_fail(err, BUS_STORE, "%s: the transaction is gone: a statement with OR ROLLBACK, or a full disk, ended it",
                        store->path);
    sqlite3_db_status(store->db, SQLITE_DBSTATUS_DEFERRED_FKS, &violated, &high, 0);
    if (violated)
        return bui_fail(err, BUS_STORE, "%s: a deferred foreign key is violated at the end of the handler", store->path);
    return BUS_OK;
}

static bool blank(const char *text)
{
    while (*text && (isspace((unsigned char)*text) || *text == ';'))
        text++;
    return *text == 0;
}

/* The statement to drop when the cache is full: of those that this handler has not used, the one used longest ago. */
static size_t oldest(const bui_list *all)
{
    size_t found = SIZE_MAX;
    for (size_t i = 0; i < all->count; i++) {
        const bui_sql_entry *entry = all->at[i];
        if (!entry->used && (found == SIZE_MAX || entry->last < ((const bui_sql_entry *)all->at[found])->last))
            found = i;
    }
    return found;
}

static bus_status prepare(bui_store *store, const char *sql, sqlite3_stmt **out, bus_error *err)
{
    const char *tail = NULL;
    sqlite3_stmt *stmt = NULL;
    store->sandbox.denied = NULL;
    int rc = bui_prepare_own(store, sql, true, &stmt, &tail);
    if (rc == SQLITE_OK && stmt && blank(tail)) {
        *out = stmt;
        return BUS_OK;
    }
    bus_status status;
    if ((rc & 0xff) == SQLITE_AUTH)
        status = bui_fail(err, BUS_INVALID, "SQL refused: %s: %.120s",
                          store->sandbox.denied ? store->sandbox.denied : sqlite3_errmsg(store->db), sql);
    else if (rc == SQLITE_OK)
        status = bui_fail(err, BUS_INVALID, "SQL must be one statement: %.120s", sql);
    else if ((rc & 0xff) == SQLITE_ERROR)
        status = bui_fail(err, BUS_INVALID, "%s in: %.200s", sqlite3_errmsg(store->db), sql);
    else
        status = bui_store_fail(store, rc, "preparing SQL", err);
    sqlite3_finalize(stmt);
    return status;
}

static bui_sql_entry *entry_new(bui_store *store, const char *sql, size_t len, bus_error *err)
{
    bui_tables_sandbox *sandbox = &store->sandbox;
    if (!bui_list_reserve(&sandbox->all, SQL_CACHE_MOST) || !bui_list_reserve(&sandbox->used, SQL_CACHE_MOST)) {
        bui_fail_nomem(err);
        return NULL;
    }
    if (sandbox->all.count == SQL_CACHE_MOST) {
        size_t out = oldest(&sandbox->all);
        if (out == SIZE_MAX) {
            bui_fail(err, BUS_TOO_BIG, "a handler used more than %d different SQL texts; bind values, do not paste them",
                     SQL_CACHE_MOST);
            return NULL;
        }
        bui_sql_entry *old = sandbox->all.at[out];
        bui_map_remove(&sandbox->by_text, old->text, old->len);
        sandbox->recent = NULL;
        sandbox->all.at[out] = sandbox->all.at[--sandbox->all.count];
        entry_free(old);
    }
    bui_sql_entry *entry = calloc(1, sizeof *entry);
    if (entry)
        entry->text = strdup(sql);
    if (!entry || !entry->text) {
        free(entry);
        bui_fail_nomem(err);
        return NULL;
    }
    entry->len = len;
    store->states.touched = false;
    bool ok = prepare(store, sql, &entry->stmt, err) == BUS_OK;
    entry->on_state = store->states.touched;
    if (ok && !(ok = bui_map_put(&sandbox->by_text, sql, len, entry)))
        bui_fail_nomem(err);
    if (!ok) {
        entry_free(entry);
        return NULL;
    }
    bui_list_add(&sandbox->all, entry);
    return entry;
}

sqlite3_stmt *bui_store_sql(bui_store *store, const char *sql, bus_error *err)
{
    bui_tables_sandbox *sandbox = &store->sandbox;
    bui_sql_entry *entry = sandbox->recent;
    if (!entry || strcmp(entry->text, sql) != 0) { /* most handlers have one, so it is cheaper to compare than to look up */
        size_t len = strlen(sql);
        entry = bui_map_get(&sandbox->by_text, sql, len);
        if (!entry && !(entry = entry_new(store, sql, len, err)))
            return NULL;
        sandbox->recent = entry;
    }
    if (entry->on_state && bui_states_bypass(store, err) != BUS_OK)
        return NULL;
    entry->last = ++sandbox->clock;
    if (entry->used) {
        reset(store, entry->stmt);
    } else {
        entry->used = true;
        bui_list_add(&sandbox->used, entry);
    }
    sqlite3_clear_bindings(entry->stmt);
    return entry->stmt;
}
