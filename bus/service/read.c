/* SPDX-License-Identifier: MIT
 * Read: bus_read, a query-only snapshot beside the writer. Each read has a connection of its own from a small pool; its
 * read transaction ends with the call, since a snapshot that lives long keeps the WAL from being reset. */
#include "base/error.h"
#include "service/worker.h"
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_EVERY 1000 /* SQLite virtual machine steps between looks at the clock: some 10 us */

typedef struct deadline {
    const bui_clock *clock;
    int64_t at_us;
    bool passed;
} deadline;

static int look_at_clock(void *opaque)
{
    deadline *mine = opaque;
    mine->passed = mine->passed || mine->clock->mono_us(mine->clock) > mine->at_us;
    return mine->passed;
}

/* With seats_lock held for reading. */
static bus_status take_reader(bui_worker *worker, sqlite3 **out, int64_t *generation, char **path, bus_error *err)
{
    pthread_mutex_lock(&worker->readers_lock);
    *generation = worker->reader_generation;
    *out = worker->reader_count > 0 ? worker->readers[--worker->reader_count] : NULL;
    pthread_mutex_unlock(&worker->readers_lock);
    if (*out)
        return BUS_OK;
    *path = strdup(bui_shard_store_path(worker->shard));
    return *path ? BUS_OK : bui_fail_nomem(err);
}

/* Back into the pool, unless the store was closed meanwhile or the pool is full. */
static void give_reader(bui_worker *worker, sqlite3 *db, int64_t generation)
{
    pthread_mutex_lock(&worker->readers_lock);
    bool kept = generation == worker->reader_generation && worker->reader_count < BUI_WORKER_READERS;
    if (kept)
        worker->readers[worker->reader_count++] = db;
    pthread_mutex_unlock(&worker->readers_lock);
    if (!kept)
        sqlite3_close_v2(db);
}

/* False: the connection cannot be used again. */
static bool end_snapshot(sqlite3 *db)
{
    sqlite3_progress_handler(db, 0, NULL, NULL);
    for (sqlite3_stmt *left; (left = sqlite3_next_stmt(db, NULL));)
        sqlite3_finalize(left); /* forgotten by the caller: it would hold the snapshot */
    return sqlite3_get_autocommit(db) || sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL) == SQLITE_OK;
}

bus_status bus_read(bus *self, bus_string key, bus_reader fn, void *opaque, bus_error *err)
{
    if (!fn)
        return bui_fail(err, BUS_INVALID, "bus_read needs a function");
    bui_worker *worker = NULL;
    sqlite3 *db = NULL;
    char *path = NULL;
    int64_t generation = 0;
    pthread_rwlock_rdlock(&self->workers_lock);
    bus_status status = bui_worker_of(self, key, &worker, err);
    if (status == BUS_OK)
        status = take_reader(worker, &db, &generation, &path, err);
    pthread_rwlock_unlock(&self->workers_lock);
    if (status == BUS_OK && !db)
        status = bui_store_reader(path, &db, err);
    free(path);
    if (status != BUS_OK)
        return status;

    int64_t most_ms = bui_config_int(self->config, "store.read.max.ms");
    deadline limit = { self->clock, self->clock->mono_us(self->clock) + most_ms * 1000, false };
    sqlite3_progress_handler(db, LOOK_EVERY, look_at_clock, &limit);
    if (sqlite3_exec(db, "BEGIN", NULL, NULL, NULL) != SQLITE_OK)
        status = bui_fail(err, BUS_STORE, "cannot begin to read shard %d: %s", worker->index, sqlite3_errmsg(db));
    else
        status = fn(db, opaque, err);
    bool usable = end_snapshot(db);
    if (limit.passed)
        status =
            bui_fail(err, BUS_TIMEOUT, "reading shard %d of %s took longer than store.read.max.ms (%lld ms) and was interrupted",
                     worker->index, self->name, (long long)most_ms);
    if (usable)
        give_reader(worker, db, generation);
    else
        sqlite3_close_v2(db);
    return status;
}
