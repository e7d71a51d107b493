/* SPDX-License-Identifier: MIT
 * What the store adds to SQLite: per event an upsert by the user, an outbox row, mark and position, 1,000 a commit, beside
 * the same two rows written by bare SQLite with the same settings, alternating in one run. */
#include "store/store.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EVENTS 200000
#define BATCH 1000
#define KEYS 1000
#define UPSERT "INSERT INTO stock(id, n) VALUES (?1, 1) ON CONFLICT(id) DO UPDATE SET n = n + 1"

static const bus_migration migrations[] = { { "stock", "CREATE TABLE stock(id INTEGER PRIMARY KEY, n INTEGER NOT NULL)" },
                                            { 0 } };
static char payload[120], headers[70];
static const char event_id[] = "0b6ce1c8-5f1d-5d0c-9a39-0b2c8a1e7f55";

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what)
{
    fprintf(stderr, "bench store: %s\n", what);
    exit(1);
}

static void event(bui_store *store, bui_destination *to, bui_position *position, int64_t i, bool levels, bus_error *err)
{
    int64_t gap;
    if (levels && bui_store_save(store, false, err) != BUS_OK)
        die(err->text);
    if (bui_mark_settle(store, "order/0#0123456789abcdef", 24, "order.events", 0, i, i, &gap) > BUI_NEW_FIRST ||
        bui_key_find(store, "order.events", "k", 1))
        die("not new");
    bui_store_sandbox(store, true);
    sqlite3_stmt *stmt = bui_store_sql(store, UPSERT, err);
    if (!stmt)
        die(err->text);
    sqlite3_bind_int64(stmt, 1, i * 7919 % KEYS);
    if (sqlite3_step(stmt) != SQLITE_DONE)
        die("upsert");
    bui_outbox_row row = { .destination = to,
                           .event_id = event_id,
                           .key = "item-1234",
                           .key_len = 9,
                           .value = payload,
                           .value_len = sizeof payload,
                           .headers = headers,
                           .headers_len = sizeof headers };
    if (bui_outbox_add(store, &row, err) != BUS_OK)
        die(err->text);
    bui_store_sandbox(store, false);
    if (bui_store_standing(store, err) != BUS_OK || !bui_position_set(store, position, i + 1, (bui_place){ i, (uint64_t)i, 1 }) ||
        (levels && bui_store_release(store, err) != BUS_OK))
        die("standing");
}

static double with_store(const char *path, bool levels, double *deletes)
{
    bus_error err;
    bui_store *store;
    static int64_t ids[BATCH];
    bui_store_options options = { .path = path, .service = "inventory", .shards = 1, .migrations = migrations };
    if (bui_store_open(&options, &store, &err) != BUS_OK || bui_store_raise(store, NULL, 0, &err) != BUS_OK)
        die(err.text);
    bui_destination *to = bui_destination_of(store, "inventory.events", 0, &err);
    bui_position *position = bui_position_of(store, "order.events", 0);
    double took = 0, deleting = 0;
    for (int64_t i = 1; i <= EVENTS; i += BATCH) {
        double start = now();
        if (bui_store_begin(store, &err) != BUS_OK)
            die(err.text);
        for (int64_t j = 0; j < BATCH; j++)
            event(store, to, position, i + j, levels, &err);
        if (bui_store_commit(store, &err) != BUS_OK)
            die(err.text);
        double middle = now();
        took += middle - start;
        if (bui_store_begin(store, &err) != BUS_OK)
            die(err.text);
        for (int64_t j = 0; j < BATCH; j++)
            ids[j] = bui_outbox_next_id(store) - BATCH + j;
        double before = now();
        if (bui_outbox_delete(store, ids, BATCH, &err) != BUS_OK)
            die(err.text);
        deleting += now() - before;
        if (bui_store_commit(store, &err) != BUS_OK || bui_store_checkpoint(store, 16 << 20, &err) != BUS_OK)
            die(err.text);
    }
    bui_store_close(store);
    *deletes += deleting;
    return took;
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *stmt = NULL;
    if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL) != SQLITE_OK)
        die(sqlite3_errmsg(db));
    return stmt;
}

static void run(sqlite3_stmt *stmt)
{
    if (sqlite3_step(stmt) != SQLITE_DONE)
        die("raw SQLite");
    sqlite3_reset(stmt);
}

static double with_sqlite(const char *path)
{
    sqlite3 *db = NULL;
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK ||
        sqlite3_exec(
            db,
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -65536;"
            "CREATE TABLE stock(id INTEGER PRIMARY KEY, n INTEGER NOT NULL);"
            "CREATE TABLE outbox(id INTEGER PRIMARY KEY, topic INTEGER, seq INTEGER, event_id TEXT, key BLOB, value BLOB, headers BLOB)",
            NULL, NULL, NULL) != SQLITE_OK)
        die(sqlite3_errmsg(db));
    sqlite3_stmt *begin = prepare(db, "BEGIN IMMEDIATE"), *commit = prepare(db, "COMMIT"), *upsert = prepare(db, UPSERT);
    sqlite3_stmt *add = prepare(db, "INSERT INTO outbox VALUES (?1, 1, ?1, ?2, ?3, ?4, ?5)"),
                 *delete = prepare(db, "DELETE FROM outbox");
    double took = 0;
    for (int64_t i = 1; i <= EVENTS; i += BATCH) {
        double start = now();
        run(begin);
        for (int64_t j = 0; j < BATCH; j++) {
            sqlite3_bind_int64(upsert, 1, (i + j) * 7919 % KEYS);
            run(upsert);
            sqlite3_bind_int64(add, 1, i + j);
            sqlite3_bind_text(add, 2, event_id, sizeof event_id - 1, SQLITE_STATIC);
            sqlite3_bind_blob(add, 3, "item-1234", 9, SQLITE_STATIC);
            sqlite3_bind_blob(add, 4, payload, sizeof payload, SQLITE_STATIC);
            sqlite3_bind_blob(add, 5, headers, sizeof headers, SQLITE_STATIC);
            run(add);
        }
        run(commit);
        took += now() - start;
        run(delete);
        if (i % 50000 == 1)
            sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    }
    sqlite3_finalize(begin);
    sqlite3_finalize(commit);
    sqlite3_finalize(upsert);
    sqlite3_finalize(add);
    sqlite3_finalize(delete);
    sqlite3_close(db);
    return took;
}

int main(void)
{
    char directory[] = "/tmp/bus-bench-XXXXXX", path[64], command[64];
    if (!mkdtemp(directory))
        die("no temporary directory");
    memset(payload, 'p', sizeof payload);
    memset(headers, 'h', sizeof headers);
    printf("store: %d events, %d a commit, FULL; per event one upsert and one outbox row of %zu bytes\n", EVENTS, BATCH,
           sizeof payload + sizeof headers + 9);
    double raw = 0, plain = 0, levels = 0, deletes = 0, ignored = 0;
    for (int round = 0; round < 3; round++) {
        snprintf(path, sizeof path, "%s/raw%d.db", directory, round);
        raw += with_sqlite(path);
        snprintf(path, sizeof path, "%s/plain%d.db", directory, round);
        plain += with_store(path, false, &deletes);
        snprintf(path, sizeof path, "%s/levels%d.db", directory, round);
        levels += with_store(path, true, &ignored);
    }
    double n = 3.0 * EVENTS;
    printf("  SQLite alone                    %6.2f us an event   %8.0f events/s\n", raw / n * 1e6, n / raw);
    printf("  the store                       %6.2f us an event   %8.0f events/s   %.2f of SQLite alone\n", plain / n * 1e6,
           n / plain, raw / plain);
    printf("  the store, a level per event    %6.2f us an event   %8.0f events/s   %.2f of SQLite alone\n", levels / n * 1e6,
           n / levels, raw / levels);
    printf("  deleting acknowledged rows      %6.2f us a row\n", deletes / n * 1e6);
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    return system(command) == 0 ? 0 : 1;
}
