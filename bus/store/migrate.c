/* SPDX-License-Identifier: MIT
 * Migrate: the user's migrations, append-only, each in its own transaction, known by name and checksum. */
#include "base/error.h"
#include "base/id.h"
#include "store/internal.h"

#include <string.h>

static void checksum(const bus_migration *migration, char out[BUI_ID_TEXT])
{
    const bui_part parts[] = { { "migration", 9 },
                               { migration->name, strlen(migration->name) },
                               { migration->sql, strlen(migration->sql) } };
    bui_id_of(parts, 3, out);
}

/* Compares what was applied with the list; *applied is how many. */
static bus_status check(bui_store *store, const bus_migration *list, size_t count, size_t *applied, bus_error *err)
{
    sqlite3_stmt *stmt = NULL;
    bus_status status = BUS_OK;
    size_t n = 0;
    int rc = bui_prepare_own(store, "SELECT n, name, checksum FROM bus_migration ORDER BY n", false, &stmt, NULL);
    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        rc = bui_step(store, stmt);
        if (rc != SQLITE_ROW)
            break;
        const char *name = bui_column_text(stmt, 1);
        char sum[BUI_ID_TEXT];
        if (n >= count) {
            status = bui_fail(err, BUS_REFUSED,
                              "%s: migration %zu ('%s') was applied, but this program's list ends before it; the store was"
                              " used by a newer version of the service: run that",
                              store->path, n + 1, name);
            break;
        }
        checksum(&list[n], sum);
        if (strcmp(name, list[n].name) != 0) {
            status = bui_fail(err, BUS_REFUSED,
                              "%s: migration %zu was applied as '%s', this program's list has '%s' there; migrations are"
                              " append-only: restore the order",
                              store->path, n + 1, name, list[n].name);
            break;
        }
        if (strcmp(bui_column_text(stmt, 2), sum) != 0) {
            status = bui_fail(err, BUS_REFUSED,
                              "%s: the text of migration %zu ('%s') has changed since it was applied; restore the old text"
                              " and append a new migration",
                              store->path, n + 1, name);
            break;
        }
        n++;
    }
    if (status == BUS_OK && rc != SQLITE_DONE)
        status = bui_store_fail(store, rc, "reading the applied migrations", err);
    sqlite3_finalize(stmt);
    *applied = n;
    return status;
}

/* Replication by changesets, and ours to come, need a NOT NULL primary key on every table. An INTEGER PRIMARY KEY of a rowid
 * table is never NULL, though SQLite does not call it so. */
static const char without_key[] =
    "SELECT t.name FROM pragma_table_list t WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    " AND t.name NOT LIKE 'bus\\_%' ESCAPE '\\' AND NOT (EXISTS (SELECT 1 FROM pragma_table_info(t.name) c WHERE c.pk > 0)"
    " AND (NOT EXISTS (SELECT 1 FROM pragma_table_info(t.name) c WHERE c.pk > 0 AND c.\"notnull\" = 0)"
    " OR ((SELECT count(*) FROM pragma_table_info(t.name) c WHERE c.pk > 0) = 1"
    " AND EXISTS (SELECT 1 FROM pragma_table_info(t.name) c WHERE c.pk = 1 AND c.type = 'INTEGER' COLLATE NOCASE)))) LIMIT 1";

static bus_status check_keys(bui_store *store, const char *name, bus_error *err)
{
    sqlite3_stmt *stmt = NULL;
    bus_status status = BUS_OK;
    int rc = bui_prepare_own(store, without_key, false, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = bui_step(store, stmt);
    if (rc == SQLITE_ROW)
        status = bui_fail(err, BUS_REFUSED,
                          "%s: migration '%s' leaves table %.100s without a primary key that is NOT NULL; declare one",
                          store->path, name, bui_column_text(stmt, 0));
    else if (rc != SQLITE_DONE)
        status = bui_store_fail(store, rc, "checking the migrated tables", err);
    sqlite3_finalize(stmt);
    return status;
}

static bus_status run(bui_store *store, const bus_migration *migration, bus_error *err)
{
    bui_tables_sandbox *sandbox = &store->sandbox;
    sandbox->inside = sandbox->migrating = sandbox->preparing = true;
    sandbox->denied = NULL;
    int rc = sqlite3_exec(store->db, migration->sql, NULL, NULL, NULL);
    sandbox->inside = sandbox->migrating = sandbox->preparing = false;
    if (rc == SQLITE_OK && !sqlite3_get_autocommit(store->db))
        return check_keys(store, migration->name, err);
    if (rc == SQLITE_OK)
        return bui_fail(err, BUS_REFUSED, "%s: migration '%s' ended its transaction", store->path, migration->name);
    if ((rc & 0xff) == SQLITE_AUTH)
        return bui_fail(err, BUS_REFUSED, "%s: migration '%s': %s", store->path, migration->name,
                        sandbox->denied ? sandbox->denied : sqlite3_errmsg(store->db));
    bui_store_fail(store, rc, "migrating", err);
    return bui_fail_in(err, "migration '%s'", migration->name);
}

static bus_status record(bui_store *store, size_t n, const bus_migration *migration, bus_error *err)
{
    char sum[BUI_ID_TEXT];
    checksum(migration, sum);
    /* It may be the first commit since a checkpoint: see seal.c. */
    char *sql = sqlite3_mprintf("UPDATE bus_meta SET seal = seal | 1; INSERT INTO bus_migration VALUES (%lld, %Q, %Q, %lld)",
                                (long long)n, migration->name, sum, (long long)store->now_ms);
    if (!sql)
        return bui_fail_nomem(err);
    bus_status status = bui_exec(store, sql, "recording a migration", err);
    sqlite3_free(sql);
    return status;
}

static bus_status apply(bui_store *store, size_t n, const bus_migration *migration, bus_error *err)
{
    store->committing = true;
    bus_status status = bui_exec(store, "BEGIN IMMEDIATE", "migrating", err);
    store->committing = false; /* the user's SQL runs under the commit hook's guard */
    if (status == BUS_OK)
        status = run(store, migration, err);
    if (status == BUS_OK)
        status = record(store, n, migration, err);
    if (status == BUS_OK) {
        store->committing = true;
        status = bui_exec(store, "COMMIT", "committing a migration", err);
        store->committing = false;
        store->seal |= status == BUS_OK;
    }
    if (status != BUS_OK && !sqlite3_get_autocommit(store->db))
        (void)bui_exec(store, "ROLLBACK", "migrating", NULL);
    return status;
}

bus_status bui_migrate(bui_store *store, const bus_migration *migrations, bus_error *err)
{
    size_t count = 0, applied;
    while (migrations && migrations[count].name)
        count++;
    bus_status status = check(store, migrations, count, &applied, err);
    for (size_t i = applied; i < count && status == BUS_OK; i++)
        status = apply(store, i + 1, &migrations[i], err);
    return status;
}
