/* SPDX-License-Identifier: MIT
 * Store: opens one shard's SQLite file, configures SQLite, and loads the caches. */
#include "base/error.h"
#include "base/log.h"
#include "store/file.h"
#include "store/internal.h"
#include "store/seal.h"
#include "store/shrink.h"
#include "store/swap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Nobody but bui_store_commit commits: a handler whose failed statement ended the transaction (OR ROLLBACK) would else go
 * on in autocommit mode. Not zero turns the commit into a rollback. */
static int on_commit(void *opaque)
{
    return !((bui_store *)opaque)->committing;
}

/* Runs a pragma. What it answers must be `want`, if given, or is a number for *page_size, if given. */
static bus_status pragma_of(bui_store *store, const char *sql, const char *want, int64_t *page_size, bus_error *err)
{
    sqlite3_stmt *stmt = NULL;
    int rc = bui_prepare_own(store, sql, false, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = bui_step(store, stmt);
    bus_status status = BUS_OK;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        status = bui_store_fail(store, rc, "opening the store", err);
    else if (want && (rc != SQLITE_ROW || strcmp(bui_column_text(stmt, 0), want) != 0))
        status = bui_fail(err, BUS_STORE, "%s: '%s' gave '%s' instead of '%s'; the file system must support shared memory maps",
                          store->path, sql, rc == SQLITE_ROW ? bui_column_text(stmt, 0) : "", want);
    else if (page_size)
        *page_size = sqlite3_column_int64(stmt, 0);
    rc = sqlite3_finalize(stmt); /* what a pragma changes is committed here, after its row said that it was done */
    return status != BUS_OK || rc == SQLITE_OK ? status : bui_store_fail(store, rc, "opening the store", err);
}

/* An empty file is made empty on the disk, too, before a database is created in it. Otherwise what an earlier creation, whose
 * sync had failed, left there would come back with a loss of power, and not be a database. */
static bus_status harden_empty(bui_store *store, bus_error *err)
{
    sqlite3_file *file = NULL;
    sqlite3_int64 size = 0;
    int rc = sqlite3_file_control(store->db, "main", SQLITE_FCNTL_FILE_POINTER, &file);
    if (rc != SQLITE_OK || !file || !file->pMethods)
        return BUS_OK;
    rc = file->pMethods->xFileSize(file, &size);
    if (rc == SQLITE_OK && !size)
        rc = file->pMethods->xTruncate(file, 0);
    if (rc == SQLITE_OK && !size)
        rc = file->pMethods->xSync(file, SQLITE_SYNC_NORMAL);
    return rc == SQLITE_OK ? BUS_OK : bui_store_fail(store, rc, "making the store", err);
}

bus_status bui_store_cache(bui_store *store, int64_t bytes, bus_error *err)
{
    char pragma[64];
    snprintf(pragma, sizeof pragma, "PRAGMA cache_size = -%lld", (long long)((bytes + 1023) / 1024));
    return bui_exec(store, pragma, "sizing the cache", err);
}

static bus_status configure(bui_store *store, const bui_store_options *options, bus_error *err)
{
    sqlite3 *db = store->db;
    char pragma[64];
    const char *synchronous = options->synchronous ? options->synchronous : "FULL";
    int64_t cache = options->cache_bytes > 0 ? options->cache_bytes : INT64_C(64) << 20;
    sqlite3_busy_timeout(db, BUI_BUSY_MS);
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_FKEY, 1, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
    bus_status status;
    /* The first statement that reads the file: this is where no database and no permission show. */
    status = pragma_of(store, "PRAGMA schema_version", NULL, NULL, err);
    if (status != BUS_OK)
        return status;
    if (sqlite3_db_readonly(db, "main") == 1) /* SQLite falls back to reading where it may not write */
        return bui_fail(err, BUS_IO, "%s cannot be written; let the user of this process write the file and its directory",
                        store->path);
    /* Another program's database is refused before anything in it is changed, and so is one whose log is another's. */
    status = bui_schema_check(store, err);
    if (status == BUS_OK)
        status = bui_seal_check(store, err);
    if (status == BUS_OK)
        status = harden_empty(store, err);
    if (status == BUS_OK)
        status = pragma_of(store, "PRAGMA journal_mode = WAL", "wal", NULL, err);
    if (status != BUS_OK)
        return status;
    store->wal.gathers = strcmp(synchronous, "FULL") == 0;
    snprintf(pragma, sizeof pragma, "PRAGMA synchronous = %s", synchronous);
    status = bui_exec(store, pragma, "opening the store", err);
    if (status != BUS_OK)
        return status;
    snprintf(pragma, sizeof pragma, "PRAGMA secure_delete = %s", options->secure_delete ? options->secure_delete : "fast");
    status = pragma_of(store, pragma, NULL, NULL, err);
    if (status != BUS_OK)
        return status;
    status = bui_store_cache(store, cache, err);
    if (status == BUS_OK)
        status = bui_exec(store, "PRAGMA temp_store = MEMORY", "opening the store", err);
    if (status == BUS_OK)
        status = pragma_of(store, "PRAGMA page_size", NULL, &store->page_size, err);
    if (status != BUS_OK)
        return status;
    sqlite3_commit_hook(db, on_commit, store);
    status = bui_pending_install(store, err);
    return status == BUS_OK ? bui_sandbox_install(store, err) : status;
}

static bus_status load(bui_store *store, bus_error *err)
{
    for (const bui_group *const *group = bui_groups; *group; group++)
        if ((*group)->load) {
            bus_status status = (*group)->load(store, err);
            if (status != BUS_OK)
                return status;
        }
    return BUS_OK;
}

static bus_status open_file(bui_store *store, const bui_store_options *options, bus_error *err)
{
    if (!options->vfs) { /* a file system of the caller's (simulation) knows no directories or modes */
        bus_status status = bui_file_parents(store->path, err);
        if (status == BUS_OK)
            status = bui_store_swap_finish(store->path, err);
        if (status == BUS_OK)
            status = bui_file_touch(store->path, err);
        if (status != BUS_OK)
            return status;
    }
    int rc =
        sqlite3_open_v2(store->path, &store->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, options->vfs);
    store->file = options->vfs ? 0 : bui_file_number(store->path);
    return rc == SQLITE_OK ? BUS_OK : bui_store_fail(store, rc, "opening the store", err);
}

static bus_status open_once(const bui_store_options *options, bui_store **out, bus_error *err)
{
    if (!options->path || !options->service || options->shards < 1 || options->shard < 0 || options->shard >= options->shards)
        return bui_fail(err, BUS_INVALID, "a store needs a path, a service, and a shard below the number of shards");
    bus_error local;
    err = err ? err : &local;
    bui_store *store = calloc(1, sizeof *store);
    if (!store)
        return bui_fail_nomem(err);
    store->shard = options->shard;
    store->shards = options->shards;
    store->clock = options->clock ? options->clock : bui_clock_real();
    store->dedup_most = options->dedup_most > 0 ? options->dedup_most : 1000000;
    store->dedup.beside = options->dedup_beside;
    store->marks_most = options->marks_most > 0 ? options->marks_most : 100000;
    store->now_ms = store->clock->wall_ms(store->clock);
    bui_undo_log_init(&store->undo_log);
    bui_buf_init(&store->scratch, 0);
    bui_buf_init(&store->pending.bytes, 0);
    bui_map_init(&store->names);
    bui_map_init(&store->sources);
    bui_states_init(store, options->state_bytes);
    store->path = strdup(options->path);
    store->service = strdup(options->service);
    bus_status status = store->path && store->service ? open_file(store, options, err) : bui_fail_nomem(err);
    if (status == BUS_OK)
        status = configure(store, options, err);
    if (status == BUS_OK)
        status = bui_wal_open(store, err);
    if (status == BUS_OK)
        status = bui_tables_apply(store, err);
    if (status == BUS_OK)
        status = bui_meta_load(store, err);
    if (status == BUS_OK)
        status = bui_states_make(store, options->states, err);
    if (status == BUS_OK)
        status = bui_migrate(store, options->migrations, err);
    if (status == BUS_OK)
        status = bui_states_check(store, err);
    if (status == BUS_OK)
        status = load(store, err);
    if (status != BUS_OK) {
        bui_store_close(store);
        return status;
    }
    *out = store;
    return BUS_OK;
}

/* Copying takes as long as what is in use is large, and the shard waits for it. */
#define SHRINK_LIVE_MOST (INT64_C(2) << 30)

static bool is_worth_shrinking(const bui_store_options *options, bui_store *store)
{
    int64_t live = 0, unused;
    bool wiped =
        options->secure_delete && !strcmp(options->secure_delete, "on"); /* the old file's bytes would stay on the disk */
    if (!options->shrink_bytes || options->vfs || wiped)
        return false;
    unused = bui_store_unused(store, &live);
    if (unused < options->shrink_bytes || unused < live)
        return false;
    if (live > SHRINK_LIVE_MOST)
        bui_log(BUS_INFO, "store", "store_unused",
                "%lld MB of %s are unused, and stay for rows to come: the %lld MB in use are more than is copied at a start",
                (long long)(unused >> 20), store->path, (long long)(live >> 20));
    return live <= SHRINK_LIVE_MOST;
}

/* The store is closed and opened again. What fails leaves it as it was: it only stays large. */
static bus_status shrink(const bui_store_options *options, bui_store **store, bus_error *err)
{
    bus_error why = { 0 };
    int64_t given = 0;
    bus_status status = bui_store_rest(*store, &why);
    bui_store_close(*store);
    *store = NULL;
    if (status == BUS_OK)
        status = bui_store_shrink(options->path, &given, &why);
    if (status == BUS_OK)
        bui_log(BUS_INFO, "store", "store_shrunk", "%s has given back %lld MB that it did not use", options->path,
                (long long)(given >> 20));
    else
        bui_log(BUS_WARN, "store", "store_not_shrunk", "%s keeps what it does not use until the next start: %s", options->path,
                why.text);
    return open_once(options, store, err);
}

bus_status bui_store_open(const bui_store_options *options, bui_store **out, bus_error *err)
{
    bui_store *store;
    bus_status status = open_once(options, &store, err);
    if (status == BUS_OK && is_worth_shrinking(options, store))
        status = shrink(options, &store, err);
    if (status == BUS_OK)
        *out = store;
    return status;
}

void bui_store_close(bui_store *store)
{
    if (!store)
        return;
    bui_store_rollback(store);
    bui_sandbox_free(store);
    for (int i = 0; i < BUI_STATEMENTS; i++)
        sqlite3_finalize(store->stmt[i]);
    for (const bui_group *const *group = bui_groups; *group; group++)
        if ((*group)->free)
            (*group)->free(store);
    bui_wal_close(store);
    sqlite3_close_v2(store->db); /* a statement that the user kept must not keep us from closing */
    bui_map_free(&store->names, free);
    bui_map_free(&store->sources, free);
    bui_buf_free(&store->scratch);
    bui_undo_log_free(&store->undo_log);
    free(store->source);
    free(store->path);
    free(store->service);
    free(store);
}

sqlite3 *bui_store_db(bui_store *store)
{
    return store->db;
}

const char *bui_store_path(const bui_store *store)
{
    return store->path;
}
