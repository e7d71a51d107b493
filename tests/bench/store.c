/* SPDX-License-Identifier: MIT
 * What the store adds to SQLite: per event an upsert by the user, an outbox row, mark and position, 1,000 a commit, beside
 * the same two rows written by bare SQLite with the same settings, alternating in one run. The same with typed state instead of
 * the upsert, and with neither, shows what each of the two costs. `store state|upsert|none` runs one of them once, for profiles. */
#include "bench.events.h"
#include "store/state.h"
#include "store/store.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define EVENTS 200000
#define BATCH 1000
#define KEYS 250 /* of a shard of four */
#define UPSERT "INSERT INTO stock(id, n) VALUES (?1, 1) ON CONFLICT(id) DO UPDATE SET n = n + 1"

static const bus_migration migrations[] = { { "stock", "CREATE TABLE stock(id INTEGER PRIMARY KEY, n INTEGER NOT NULL)" },
                                            { 0 } };
static const bus_state *const states[] = { &bench_Stock_state, NULL };
typedef enum work { UPSERT_ROW, STATE_ROW, NO_ROW } work;
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

static double processor(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void upsert(bui_store *store, int64_t key, bus_error *err)
{
    sqlite3_stmt *stmt = bui_store_sql(store, UPSERT, err);
    if (!stmt)
        die(err->text);
    sqlite3_bind_int64(stmt, 1, key);
    if (sqlite3_step(stmt) != SQLITE_DONE)
        die("upsert");
}

static void load_and_save(bui_store *store, int64_t key, bus_error *err)
{
    bench_Stock row = { .id = key };
    bool found;
    if (bui_state_load(store, &bench_Stock_state, &row, &found, err) != BUS_OK)
        die(err->text);
    row.n++;
    if (bui_state_save(store, &bench_Stock_state, &row, err) != BUS_OK)
        die(err->text);
}

static void event(bui_store *store, bui_destination *to, bui_position *position, int64_t i, work does, bool levels,
                  bus_error *err)
{
    int64_t gap;
    if (levels && bui_store_save(store, false, err) != BUS_OK)
        die(err->text);
    if (bui_mark_settle(store, "order/0#0123456789abcdef", 24, "order.events", 0, i, i, &gap) > BUI_NEW_FIRST ||
        bui_key_find(store, "order.events", "k", 1))
        die("not new");
    bui_store_sandbox(store, true);
    if (does == UPSERT_ROW)
        upsert(store, i * 7919 % KEYS, err);
    else if (does == STATE_ROW)
        load_and_save(store, i * 7919 % KEYS, err);
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

/* Effects that are missing would make the figure meaningless. */
static void check(bui_store *store, work does)
{
    sqlite3_stmt *stmt = NULL;
    if (sqlite3_prepare_v2(bui_store_db(store), "SELECT total(n) FROM stock", -1, &stmt, NULL) != SQLITE_OK ||
        sqlite3_step(stmt) != SQLITE_ROW || sqlite3_column_int64(stmt, 0) != (does == NO_ROW ? 0 : EVENTS))
        die("the rows are wrong");
    sqlite3_finalize(stmt);
}

static double with_store(const char *path, work does, bool levels, double *deletes)
{
    bus_error err;
    bui_store *store;
    static int64_t ids[BATCH];
    bui_store_options options = { .path = path, .service = "inventory", .shards = 1 };
    options.migrations = does == STATE_ROW ? NULL : migrations;
    options.states = does == STATE_ROW ? states : NULL;
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
            event(store, to, position, i + j, does, levels, &err);
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
    check(store, does);
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

typedef struct figures {
    double raw, plain, levels, deletes, seconds[3], cpu[3]; /* the last two by work */
} figures;

static const char *const names[] = { [UPSERT_ROW] = "upsert", [STATE_ROW] = "state", [NO_ROW] = "none" };

static void one_round(const char *directory, int round, figures *f)
{
    char path[96];
    double ignored = 0;
    snprintf(path, sizeof path, "%s/raw%d.db", directory, round);
    f->raw += with_sqlite(path);
    snprintf(path, sizeof path, "%s/plain%d.db", directory, round);
    f->plain += with_store(path, UPSERT_ROW, false, &f->deletes);
    for (int does = UPSERT_ROW; does <= NO_ROW; does++) {
        double before = processor();
        snprintf(path, sizeof path, "%s/%s%d.db", directory, names[does], round);
        f->seconds[does] += with_store(path, (work)does, true, &ignored);
        f->cpu[does] += processor() - before;
    }
}

static void print(const figures *f, double n)
{
    printf("  SQLite alone                    %6.2f us an event   %8.0f events/s\n", f->raw / n * 1e6, n / f->raw);
    printf("  the store                       %6.2f us an event   %8.0f events/s   %.2f of SQLite alone\n", f->plain / n * 1e6,
           n / f->plain, f->raw / f->plain);
    printf("  the store, a level per event    %6.2f us an event   %8.0f events/s   %.2f of SQLite alone\n",
           f->seconds[UPSERT_ROW] / n * 1e6, n / f->seconds[UPSERT_ROW], f->raw / f->seconds[UPSERT_ROW]);
    printf("  the same, with typed state      %6.2f us an event   %8.0f events/s\n", f->seconds[STATE_ROW] / n * 1e6,
           n / f->seconds[STATE_ROW]);
    printf("  deleting acknowledged rows      %6.2f us a row\n", f->deletes / n * 1e6);
    printf("  processor time, of the upsert   %6.2f us an event\n", (f->cpu[UPSERT_ROW] - f->cpu[NO_ROW]) / n * 1e6);
    printf("  processor time, of typed state  %6.2f us an event   %.2f of the upsert\n",
           (f->cpu[STATE_ROW] - f->cpu[NO_ROW]) / n * 1e6,
           (f->cpu[STATE_ROW] - f->cpu[NO_ROW]) / (f->cpu[UPSERT_ROW] - f->cpu[NO_ROW]));
}

int main(int argc, char **argv)
{
    char directory[] = "/tmp/bus-bench-XXXXXX", path[96], command[64];
    figures f = { 0 };
    if (!mkdtemp(directory))
        die("no temporary directory");
    memset(payload, 'p', sizeof payload);
    memset(headers, 'h', sizeof headers);
    for (int does = UPSERT_ROW; argc > 1 && does <= NO_ROW; does++)
        if (strcmp(argv[1], names[does]) == 0) {
            snprintf(path, sizeof path, "%s/%s.db", directory, names[does]);
            with_store(path, (work)does, true, &f.deletes);
        }
    if (argc == 1) {
        printf("store: %d events, %d a commit, FULL; per event one upsert and one outbox row of %zu bytes\n", EVENTS, BATCH,
               sizeof payload + sizeof headers + 9);
        for (int round = 0; round < 3; round++)
            one_round(directory, round, &f);
        print(&f, 3.0 * EVENTS);
    }
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    return system(command) == 0 ? 0 : 1;
}
