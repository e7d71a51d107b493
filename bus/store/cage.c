/* SPDX-License-Identifier: MIT
 * Cage: what the user's SQL may do. The authorizer is installed once and reads a flag: setting one anew for each handler
 * would expire every prepared statement. */
#include "base/error.h"
#include "store/internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SQL_CACHE_MOST 128

struct bus_sql_entry {
    sqlite3_stmt *stmt;
    char *text;
    size_t len;
    uint64_t last;   /* for throwing out the one used longest ago */
    bool used;       /* since the cage was entered */
};

static bool has_prefix(const char *name, const char *prefix)
{
    return name && strncasecmp(name, prefix, strlen(prefix)) == 0;
}

static int deny(bus_tables_cage *cage, const char *what)
{
    cage->denied = what;
    return SQLITE_DENY;
}

/* The tables of the library and SQLite's own: denied by name, whatever is done with them. */
static int on_table(bus_tables_cage *cage, int action, const char *table, const char *other)
{
    if (has_prefix(table, "bus_") || has_prefix(other, "bus_"))
        return deny(cage, "tables named bus_* belong to the library");
    bool writes = action == SQLITE_INSERT || action == SQLITE_UPDATE || action == SQLITE_DELETE;
    if (writes && has_prefix(table, "sqlite_") && !cage->migrating)
        return deny(cage, "tables named sqlite_* belong to SQLite");
    return SQLITE_OK;
}

static int authorize(void *opaque, int action, const char *a, const char *b, const char *database, const char *trigger)
{
    (void)database;
    (void)trigger;
    bus_tables_cage *cage = opaque;
    if (!cage->preparing)
        cage->strangers = true;
    if (!cage->inside)
        return SQLITE_OK;
    switch (action) {
    case SQLITE_SELECT:
    case SQLITE_RECURSIVE:
        return SQLITE_OK;
    case SQLITE_FUNCTION:
        return b && strcasecmp(b, "load_extension") == 0 ? deny(cage, "load_extension is not allowed") : SQLITE_OK;
    case SQLITE_READ:
    case SQLITE_INSERT:
    case SQLITE_UPDATE:
    case SQLITE_DELETE:
        return on_table(cage, action, a, NULL);
    case SQLITE_TRANSACTION:
    case SQLITE_SAVEPOINT:
        return deny(cage, "the bus begins, saves and commits; BEGIN, COMMIT, ROLLBACK and SAVEPOINT are not allowed");
    case SQLITE_ATTACH:
    case SQLITE_DETACH:
        return deny(cage, "ATTACH and DETACH are not allowed: one store, one file");
    case SQLITE_PRAGMA:
        return deny(cage, "PRAGMA is not allowed: the bus sets what durability needs");
    default: /* all that is left defines something */
        return cage->migrating ? on_table(cage, action, a, b) : deny(cage, "tables, indexes and triggers are changed by migrations only");
    }
}

bus_status bus_cage_install(bus_store *store, bus_error *err)
{
    bus_map_init(&store->cage.by_text);
    int rc = sqlite3_set_authorizer(store->db, authorize, &store->cage);
    return rc == SQLITE_OK ? BUS_OK : bus_store_fail(store, rc, "opening the store", err);
}

static void entry_free(bus_sql_entry *entry)
{
    sqlite3_finalize(entry->stmt);
    free(entry->text);
    free(entry);
}

void bus_cage_free(bus_store *store)
{
    bus_tables_cage *cage = &store->cage;
    for (size_t i = 0; i < cage->all.count; i++)
        entry_free(cage->all.at[i]);
    bus_list_free(&cage->all);
    bus_list_free(&cage->used);
    bus_map_free(&cage->by_text, NULL);
}

/* Statements that the user prepared by himself and left in the middle of their rows hold locks, and the rows that they
 * changed are not counted yet. */
static void reset_strangers(bus_store *store)
{
    for (sqlite3_stmt *stmt = sqlite3_next_stmt(store->db, NULL); stmt; stmt = sqlite3_next_stmt(store->db, stmt))
        if (sqlite3_stmt_busy(stmt))
            sqlite3_reset(stmt);
}

/* Resetting says how the last step ended. What the statement itself did wrong is the handler's business. */
static void reset(bus_store *store, sqlite3_stmt *stmt)
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
        if (store->cage.disabled.status == BUS_OK)
            bus_store_fail(store, rc, "running the handler's SQL", &store->cage.disabled);
        break;
    default:
        break;
    }
}

bus_status bus_store_disabled(bus_store *store, bus_error *err)
{
    if (store->cage.disabled.status != BUS_OK && err)
        *err = store->cage.disabled;
    return store->cage.disabled.status;
}

void bus_store_cage(bus_store *store, bool inside)
{
    bus_tables_cage *cage = &store->cage;
    cage->inside = inside;
    if (inside) {
        cage->denied = NULL;
        cage->disabled.status = BUS_OK;
        return;
    }
    for (size_t i = 0; i < cage->used.count; i++) {
        bus_sql_entry *entry = cage->used.at[i];
        reset(store, entry->stmt);
        entry->used = false;
    }
    cage->used.count = 0;
    if (cage->strangers)
        reset_strangers(store);
}

bus_status bus_store_standing(bus_store *store, bus_error *err)
{
    int violated = 0, high = 0;
    if (store->sticky.status != BUS_OK) {
        if (err)
            *err = store->sticky;
        return store->sticky.status;
    }
    if (sqlite3_get_autocommit(store->db))
        return bus_fail(err, BUS_STORE, "%s: the transaction is gone: a statement with OR ROLLBACK, or a full disk, ended it", store->path);
    sqlite3_db_status(store->db, SQLITE_DBSTATUS_DEFERRED_FKS, &violated, &high, 0);
    if (violated)
        return bus_fail(err, BUS_STORE, "%s: a deferred foreign key is violated at the end of the handler", store->path);
    return BUS_OK;
}

static bool blank(const char *text)
{
    while (*text && (isspace((unsigned char)*text) || *text == ';'))
        text++;
    return *text == 0;
}

/* The statement to throw out when the cache is full: of those that this handler has not used the one used longest ago. */
static size_t oldest(const bus_list *all)
{
    size_t found = SIZE_MAX;
    for (size_t i = 0; i < all->count; i++) {
        const bus_sql_entry *entry = all->at[i];
        if (!entry->used && (found == SIZE_MAX || entry->last < ((const bus_sql_entry *)all->at[found])->last))
            found = i;
    }
    return found;
}

static bus_status prepare(bus_store *store, const char *sql, sqlite3_stmt **out, bus_error *err)
{
    const char *tail = NULL;
    sqlite3_stmt *stmt = NULL;
    store->cage.denied = NULL;
    int rc = bus_prepare_own(store, sql, true, &stmt, &tail);
    if (rc == SQLITE_OK && stmt && blank(tail)) {
        *out = stmt;
        return BUS_OK;
    }
    bus_status status;
    if ((rc & 0xff) == SQLITE_AUTH)
        status = bus_fail(err, BUS_INVALID, "SQL refused: %s: %.120s", store->cage.denied ? store->cage.denied : sqlite3_errmsg(store->db), sql);
    else if (rc == SQLITE_OK)
        status = bus_fail(err, BUS_INVALID, "SQL must be one statement: %.120s", sql);
    else if ((rc & 0xff) == SQLITE_ERROR)
        status = bus_fail(err, BUS_INVALID, "%s in: %.200s", sqlite3_errmsg(store->db), sql);
    else
        status = bus_store_fail(store, rc, "preparing SQL", err);
    sqlite3_finalize(stmt);
    return status;
}

static bus_sql_entry *entry_new(bus_store *store, const char *sql, size_t len, bus_error *err)
{
    bus_tables_cage *cage = &store->cage;
    if (!bus_list_reserve(&cage->all, SQL_CACHE_MOST) || !bus_list_reserve(&cage->used, SQL_CACHE_MOST)) {
        bus_fail_nomem(err);
        return NULL;
    }
    if (cage->all.count == SQL_CACHE_MOST) {
        size_t out = oldest(&cage->all);
        if (out == SIZE_MAX) {
            bus_fail(err, BUS_TOO_BIG, "a handler used more than %d different SQL texts; bind values, do not paste them", SQL_CACHE_MOST);
            return NULL;
        }
        bus_sql_entry *old = cage->all.at[out];
        bus_map_remove(&cage->by_text, old->text, old->len);
        cage->all.at[out] = cage->all.at[--cage->all.count];
        entry_free(old);
    }
    bus_sql_entry *entry = calloc(1, sizeof *entry);
    if (entry)
        entry->text = strdup(sql);
    if (!entry || !entry->text) {
        free(entry);
        bus_fail_nomem(err);
        return NULL;
    }
    entry->len = len;
    bool ok = prepare(store, sql, &entry->stmt, err) == BUS_OK;
    if (ok && !(ok = bus_map_put(&cage->by_text, sql, len, entry)))
        bus_fail_nomem(err);
    if (!ok) {
        entry_free(entry);
        return NULL;
    }
    bus_list_add(&cage->all, entry);
    return entry;
}

sqlite3_stmt *bus_store_sql(bus_store *store, const char *sql, bus_error *err)
{
    bus_tables_cage *cage = &store->cage;
    size_t len = strlen(sql);
    bus_sql_entry *entry = bus_map_get(&cage->by_text, sql, len);
    if (!entry && !(entry = entry_new(store, sql, len, err)))
        return NULL;
    entry->last = ++cage->clock;
    if (entry->used) {
        reset(store, entry->stmt);
    } else {
        entry->used = true;
        bus_list_add(&cage->used, entry);
    }
    sqlite3_clear_bindings(entry->stmt);
    return entry->stmt;
}
