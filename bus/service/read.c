/* SPDX-License-Identifier: MIT
 * Read: bus_read, a query-only snapshot beside the writer. Each read has a connection of its own from a small pool; its
 * read transaction ends with the call, since a snapshot that lives long keeps the WAL from being reset. */
#include "base/error.h"
#include "service/seat.h"
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_EVERY 1000 /* SQLite virtual machine steps between looks at the clock: some 10 us */

typedef struct deadline {
    const bus_clock *clock;
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
static bus_status take_reader(bus_seat *seat, sqlite3 **out, int64_t *generation, char **path, bus_error *err)
{
    pthread_mutex_lock(&seat->readers_lock);
    *generation = seat->reader_generation;
    *out = seat->reader_count > 0 ? seat->readers[--seat->reader_count] : NULL;
    pthread_mutex_unlock(&seat->readers_lock);
    if (*out)
        return BUS_OK;
    *path = strdup(bus_shard_store_path(seat->shard));
    return *path ? BUS_OK : bus_fail_nomem(err);
}

/* Back into the pool, unless the store was closed meanwhile or the pool is full. */
static void give_reader(bus_seat *seat, sqlite3 *db, int64_t generation)
{
    pthread_mutex_lock(&seat->readers_lock);
    bool kept = generation == seat->reader_generation && seat->reader_count < BUS_SEAT_READERS;
    if (kept)
        seat->readers[seat->reader_count++] = db;
    pthread_mutex_unlock(&seat->readers_lock);
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

bus_status bus_read(bus *self, const void *key, size_t key_len, bus_reader fn, void *opaque, bus_error *err)
{
    if (!fn)
        return bus_fail(err, BUS_INVALID, "bus_read needs a function");
    bus_seat *seat = NULL;
    sqlite3 *db = NULL;
    char *path = NULL;
    int64_t generation = 0;
    pthread_rwlock_rdlock(&self->seats_lock);
    bus_status status = bus_seat_of(self, key, key_len, &seat, err);
    if (status == BUS_OK)
        status = take_reader(seat, &db, &generation, &path, err);
    pthread_rwlock_unlock(&self->seats_lock);
    if (status == BUS_OK && !db)
        status = bus_store_reader(path, &db, err);
    free(path);
    if (status != BUS_OK)
        return status;

    int64_t most_ms = bus_config_int(self->config, "store.read.max.ms");
    deadline limit = { self->clock, self->clock->mono_us(self->clock) + most_ms * 1000, false };
    sqlite3_progress_handler(db, LOOK_EVERY, look_at_clock, &limit);
    if (sqlite3_exec(db, "BEGIN", NULL, NULL, NULL) != SQLITE_OK)
        status = bus_fail(err, BUS_STORE, "cannot begin to read shard %d: %s", seat->index, sqlite3_errmsg(db));
    else
        status = fn(db, opaque, err);
    bool usable = end_snapshot(db);
    if (limit.passed)
        status = bus_fail(err, BUS_TIMEOUT, "reading shard %d of %s took longer than store.read.max.ms (%lld ms) and was interrupted",
                          seat->index, self->name, (long long)most_ms);
    if (usable)
        give_reader(seat, db, generation);
    else
        sqlite3_close_v2(db);
    return status;
}
