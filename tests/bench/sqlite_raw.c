/* SPDX-License-Identifier: MIT
 * The ceilings of the store: SQLite alone, with the settings, the rows and the sizes that the bus uses.
 *
 *   sqlite_raw rows   --count N --dir D [--compact 1]   the upsert and the outbox row, 4 threads with a file each, 1,000 a commit
 *   sqlite_raw commit --seconds S --dir D [--rate R] [--sync-us U]  the same two rows, one commit each, one thread */
#include "bench/bench.h"
#include "bench/slow_sync.h"
#include "codec/envelope.h"
#include <pthread.h>
#include <sqlite3.h>

#define WAL_BYTES (64 << 20) /* wal.max.bytes */

typedef struct raw {
    sqlite3 *db;
    sqlite3_stmt *begin, *commit, *upsert, *add;
    int64_t next;
    int wal_pages;
    long count;
    const bui_buf *headers;
} raw;

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *stmt = NULL;
    if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL) != SQLITE_OK)
        bench_die(sql, sqlite3_errmsg(db));
    return stmt;
}

static void run(raw *r, sqlite3_stmt *stmt)
{
    if (sqlite3_step(stmt) != SQLITE_DONE)
        bench_die("SQLite", sqlite3_errmsg(r->db));
    sqlite3_reset(stmt);
}

static int on_wal(void *opaque, sqlite3 *db, const char *name, int pages)
{
    (void)db;
    (void)name;
    ((raw *)opaque)->wal_pages = pages;
    return SQLITE_OK;
}

/* The outbox as the bus has it. */
static void open_raw(raw *r, const char *directory, int index)
{
    char path[300];
    snprintf(path, sizeof path, "%s/raw-%d.db", directory, index);
    if (sqlite3_open_v2(path, &r->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK ||
        sqlite3_exec(
            r->db,
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -65536;" BENCH_STOCK
            ";CREATE TABLE outbox(id INTEGER PRIMARY KEY, destination INTEGER NOT NULL, epoch INTEGER NOT NULL,"
            " seq INTEGER NOT NULL, state INTEGER NOT NULL, size INTEGER NOT NULL, made INTEGER NOT NULL, at INTEGER NOT NULL,"
            " event_id TEXT NOT NULL, key BLOB, value BLOB, headers BLOB NOT NULL, error TEXT)",
            NULL, NULL, NULL) != SQLITE_OK)
        bench_die(path, sqlite3_errmsg(r->db));
    sqlite3_wal_hook(r->db, on_wal, r);
    r->begin = prepare(r->db, "BEGIN IMMEDIATE");
    r->commit = prepare(r->db, "COMMIT");
    r->upsert = prepare(r->db, BENCH_UPSERT);
    r->add =
        prepare(r->db, "INSERT INTO outbox(id, destination, epoch, seq, state, size, made, at, event_id, key, value, headers)"
                       " VALUES (?1, ?2, 1, ?1, 0, ?3, ?4, 0, ?5, ?6, ?7, ?8)");
}

static void close_raw(raw *r)
{
    sqlite3_finalize(r->begin);
    sqlite3_finalize(r->commit);
    sqlite3_finalize(r->upsert);
    sqlite3_finalize(r->add);
    sqlite3_close(r->db);
}

static void two_rows(raw *r)
{
    static const char value[190] = "v", id[] = "0b6ce1c8-5f1d-5d0c-9a39-0b2c8a1e7f55";
    char key[24];
    int64_t number = ++r->next;
    int key_len = snprintf(key, sizeof key, "key-%d", (int)(number * 7919 % BENCH_KEYS));
    sqlite3_bind_int64(r->upsert, 1, number * 7919 % BENCH_KEYS);
    run(r, r->upsert);
    sqlite3_bind_int64(r->add, 1, number);
    sqlite3_bind_int64(r->add, 2, number % BENCH_SHARDS);
    sqlite3_bind_int64(r->add, 3, (int64_t)(sizeof value + r->headers->len) + key_len);
    sqlite3_bind_int64(r->add, 4, INT64_C(1795242137244));
    sqlite3_bind_text(r->add, 5, id, sizeof id - 1, SQLITE_STATIC);
    sqlite3_bind_blob(r->add, 6, key, key_len, SQLITE_STATIC);
    sqlite3_bind_blob(r->add, 7, value, sizeof value, SQLITE_STATIC);
    sqlite3_bind_blob(r->add, 8, r->headers->data, (int)r->headers->len, SQLITE_STATIC);
    run(r, r->add);
}

static void checkpoint(raw *r)
{
    if ((int64_t)r->wal_pages * 4096 < WAL_BYTES)
        return;
    sqlite3_wal_checkpoint_v2(r->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    r->wal_pages = 0;
}

static void *write_rows(void *opaque)
{
    raw *r = opaque;
    for (long i = 0; i < r->count; i += BENCH_BATCH) {
        run(r, r->begin);
        for (long j = 0; j < BENCH_BATCH; j++)
            two_rows(r);
        run(r, r->commit);
        checkpoint(r);
    }
    return NULL;
}

static int rows(const char *directory, long count, const bui_buf *headers)
{
    raw r[BENCH_SHARDS] = { { 0 } };
    pthread_t thread[BENCH_SHARDS];
    long done = 0;
    for (int i = 0; i < BENCH_SHARDS; i++) {
        open_raw(&r[i], directory, i);
        r[i].headers = headers;
        r[i].count = count / BENCH_SHARDS;
    }
    double start = bench_now();
    for (int i = 0; i < BENCH_SHARDS; i++)
        if (pthread_create(&thread[i], NULL, write_rows, &r[i]))
            bench_die("thread", "cannot start");
    for (int i = 0; i < BENCH_SHARDS; i++)
        pthread_join(thread[i], NULL);
    double seconds = bench_now() - start;
    for (int i = 0; i < BENCH_SHARDS; i++) {
        done += r[i].next;
        close_raw(&r[i]);
    }
    printf("{\"what\":\"sqlite_rows\",\"rows\":%ld,\"per_second\":%.0f,\"header_bytes\":%zu}\n", done, (double)done / seconds,
           headers->len);
    return 0;
}

static int commits(const char *directory, double seconds, long rate, const bui_buf *headers)
{
    enum { MOST = 1000000 };
    double *took = malloc(MOST * sizeof *took);
    raw r = { .headers = headers };
    size_t n = 0;
    if (!took)
        bench_die("commit", "no memory");
    open_raw(&r, directory, 100 + (int)(rate > 0));
    double start = bench_now();
    while (bench_now() - start < seconds && n < MOST) {
        if (rate > 0 && bench_now() < start + (double)n / (double)rate)
            bench_sleep(start + (double)n / (double)rate - bench_now());
        double before = bench_now();
        run(&r, r.begin);
        two_rows(&r);
        run(&r, r.commit);
        took[n++] = bench_now() - before;
        checkpoint(&r);
    }
    printf("{\"what\":\"sqlite_commit\",\"per_second\":%.0f", (double)n / (bench_now() - start));
    bench_print_times("commit", took, n);
    printf("}\n");
    close_raw(&r);
    free(took);
    return 0;
}

/* Packed as the bus packs what it emits: as many bytes as in the real outbox. */
static void pack(bool compact, bui_buf *out)
{
    static const char id[] = "6f6f2c3e-8f2a-5c0e-9d2c-0a1b2c3d4e5f", hop[] = "bench/0#0123456789abcdef bench.events/0/123456",
                      all[] =
                          "bench/0#0123456789abcdef bench.events/0/123456 i=6f6f2c3e-8f2a-5c0e-9d2c-0a1b2c3d4e5f y=bench.Event "
                          "c=6f6f2c3e-8f2a-5c0e-9d2c-0a1b2c3d4e5f";
    bus_header one = { "bus-hop", all, sizeof all - 1 };
    bus_header full[] = { { "ce_id", id, 36 },
                          { "ce_type", "bench.Event", 11 },
                          { "bus-hop", hop, sizeof hop - 1 },
                          { "ce_specversion", "1.0", 3 },
                          { "ce_source", "bench", 5 },
                          { "content-type", "application/avro", 16 },
                          { "ce_correlationid", id, 36 },
                          { "ce_causationid", id, 36 } };
    bui_buf_init(out, 0);
    bui_headers_pack(compact ? &one : full, compact ? 1 : 8, out);
    if (!bui_buf_ok(out))
        bench_die("headers", "no memory");
}

int main(int argc, char **argv)
{
    if (argc == 1)
        return 0;
    const char *directory = bench_text_option(argc, argv, "--dir", "/tmp");
    bui_buf headers;
    int result = 2;
    bench_slow_sync(bench_option(argc, argv, "--sync-us", 0));
    pack(bench_option(argc, argv, "--compact", 0) != 0, &headers);
    if (strcmp(argv[1], "rows") == 0)
        result = rows(directory, bench_option(argc, argv, "--count", 400000), &headers);
    else if (strcmp(argv[1], "commit") == 0)
        result =
            commits(directory, (double)bench_option(argc, argv, "--seconds", 3), bench_option(argc, argv, "--rate", 0), &headers);
    bui_buf_free(&headers);
    return result;
}
