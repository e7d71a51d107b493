/* SPDX-License-Identifier: MIT
 * What a commit adds to the write-ahead log leaves in one piece, and what could not leave is not lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/disk.h"
#include "support/temp_store.h"
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define PATH "/machine/0.db"
#define ROWS 300 /* of 1,000 bytes: more than the cache has pages for, and than leaves at once */

/* Of the rows before the last four. */
#define SUM "SELECT sum(id * unicode(hex(body)) + 31 * unicode(substr(hex(body), 1999))) FROM t WHERE id < 600"

/* Some where memory is watched, which makes it slow. */
#if defined(__SANITIZE_ADDRESS__)
#define STEP 7
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define STEP 7
#endif
#endif
#ifndef STEP
#define STEP 1
#endif

typedef struct rig {
    disk *disk;
    bui_store *store;
    bus_error err;
    int writes, syncs, asked, fails_at, fails_for;
    disk_fate fate;
    bool unsure;
} rig;

static disk_fate judge(void *opaque, const char *path, disk_op op)
{
    rig *r = opaque;
    if (!strstr(path, "-wal") || (op != DISK_WRITE && op != DISK_SYNC))
        return DISK_WELL;
    r->writes += op == DISK_WRITE;
    r->syncs += op == DISK_SYNC;
    int now = r->asked++;
    if (r->fails_at < 0 || now < r->fails_at || now >= r->fails_at + r->fails_for)
        return DISK_WELL;
    r->unsure |= op == DISK_SYNC || r->fate == DISK_ERROR;
    return r->fate;
}

static void open_store(rig *r)
{
    static const bus_migration migrations[] = { { "t", "CREATE TABLE t(id INTEGER PRIMARY KEY, body BLOB NOT NULL)" }, { 0 } };
    const bui_store_options options = {
        .path = PATH, .service = "svc", .shards = 1, .vfs = "disk", .migrations = migrations, .cache_bytes = 10 * 4096
    };
    OK_(bui_store_open(&options, &r->store, &r->err), r->err);
}

static void begin_on(rig *r, uint64_t seed, int sector, bool power_safe)
{
    *r = (rig){ .disk = disk_new(seed), .fails_at = -1 };
    disk_promise(r->disk, sector, power_safe);
    disk_judge_by(r->disk, judge, r);
    open_store(r);
}

static void begin(rig *r, uint64_t seed)
{
    begin_on(r, seed, 512, true);
}

static void finish(rig *r)
{
    bui_store_close(r->store);
    disk_free(r->disk);
}

static int64_t ask(rig *r, const char *sql)
{
    sqlite3_stmt *stmt;
    assert_int_equal(sqlite3_prepare_v2(bui_store_db(r->store), sql, -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    int64_t answer = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return answer;
}

/* Rows of a random body each, as a copy of an older one, four by a statement. Whatever goes wrong, it is not looked at: the commit must
 * know. If room runs out, SQLite undoes only the statement. */
static void add(rig *r, int first, int count)
{
    char sql[300];
    for (int i = first; i < first + count; i += 4) {
        snprintf(sql, sizeof sql,
                 "WITH n(n) AS (VALUES (0), (1), (2), (3)) INSERT INTO t SELECT %d + n, ifnull((SELECT body FROM t AS old"
                 " WHERE old.id = %d + n), randomblob(1000)) FROM n",
                 i, i > first + 40 ? i - 40 : -9);
        (void)sqlite3_exec(bui_store_db(r->store), sql, NULL, NULL, NULL);
    }
}

static void a_commit_is_written_once(void **state)
{
    (void)state;
    rig r;
    begin(&r, 1);
    for (int i = 0; i < 3; i++) {
        r.writes = r.syncs = 0;
        OK_(bui_store_begin(r.store, &r.err), r.err);
        add(&r, i * 12, 12);
        OK_(bui_store_commit(r.store, &r.err), r.err);
        assert_int_equal(r.writes, 1);
        assert_int_equal(r.syncs, 1);
        assert_int_equal(disk_unsynced(r.disk, PATH "-wal"), 0);
    }
    finish(&r);
}

static void a_large_commit_leaves_in_large_pieces(void **state)
{
    (void)state;
    rig r;
    begin(&r, 2);
    r.writes = 0;
    OK_(bui_store_begin(r.store, &r.err), r.err);
    (void)sqlite3_exec(bui_store_db(r.store), "INSERT INTO t VALUES (1, zeroblob(3000000))", NULL, NULL, NULL);
    OK_(bui_store_commit(r.store, &r.err), r.err);
    assert_in_range(r.writes, 3000000 / 65536, 2 * 3000000 / 65536);
    assert_int_equal(ask(&r, "SELECT length(body) FROM t"), 3000000);
    finish(&r);
}

/* Each operation on the log in turn fails, once or for a while, under a program that does not look: a commit that says it is there is
 * there whole, after a loss of power as well, and one that says it is not leaves nothing. */
static void what_could_not_be_written_is_not_lost(void **state)
{
    (void)state;
    int failed = 0, well = 0;
    for (int i = 0; i < 800; i += STEP) {
        rig r;
        begin(&r, (uint64_t)i);
        OK_(bui_store_begin(r.store, &r.err), r.err);
        add(&r, 0, ROWS);
        OK_(bui_store_commit(r.store, &r.err), r.err);
        r.asked = 0;
        r.fails_at = i / 8;
        r.fails_for = i % 2 ? 1 : 7;
        r.fate = i / 2 % 2 ? DISK_ERROR : DISK_NO_SPACE;
        OK_(bui_store_begin(r.store, &r.err), r.err);
        add(&r, ROWS, ROWS);
        bool committed = bui_store_commit(r.store, NULL) == BUS_OK;
        bool reached = r.asked > r.fails_at;
        r.fails_at = -1;
        int64_t rows = ask(&r, "SELECT count(*) FROM t"), sum = ask(&r, SUM);
        failed += !committed;
        well += committed && reached;
        assert_true(committed ? rows > ROWS && rows <= 2 * ROWS : rows == ROWS);
        /* and the next one is well; or it is not ended, and what had failed because room ran out is not found behind it */
        if (i % 8 >= 4 && !r.unsure) {
            OK_(bui_store_begin(r.store, &r.err), r.err);
            add(&r, 2 * ROWS, 4);
            disk_cut(r.disk, "/machine/");
            bui_store_close(r.store);
            open_store(&r);
            assert_int_equal(ask(&r, "SELECT count(*) FROM t"), rows);
        }
        OK_(bui_store_begin(r.store, &r.err), r.err);
        add(&r, 2 * ROWS, 4);
        OK_(bui_store_commit(r.store, &r.err), r.err);
        disk_power_off(r.disk, "/machine/");
        bui_store_close(r.store);
        open_store(&r);
        assert_int_equal(ask(&r, "SELECT count(*) FROM t"), rows + 4);
        assert_int_equal(ask(&r, SUM), sum);
        assert_int_equal(ask(&r, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"), 0);
        finish(&r);
        if (!reached)
            break;
    }
    print_message("%d commits failed, %d were made at a later attempt\n", failed, well);
    assert_true(failed > 10);
}

/* Where a commit is padded to whole sectors SQLite writes the rest of it after its sync: the next, which fails, does not take that along. */
static void a_padded_commit_outlives_the_failure_of_the_next(void **state)
{
    (void)state;
    for (int i = 0; i < 16; i++) {
        rig r;
        begin_on(&r, (uint64_t)i, i % 2 ? 512 : 4096, false);
        for (int n = 0; n < 3; n++) {
            r.fails_at = n == 1 ? r.asked : -1;
            r.fails_for = 1;
            r.fate = DISK_NO_SPACE;
            OK_(bui_store_begin(r.store, &r.err), r.err);
            add(&r, 100 * n, 4 * (1 + i / 2));
            assert_int_equal(bui_store_commit(r.store, &r.err) == BUS_OK, n != 1);
        }
        int64_t rows = ask(&r, "SELECT count(*) FROM t");
        disk_cut(r.disk, PATH);
        bui_store_close(r.store);
        open_store(&r);
        assert_int_equal(ask(&r, "SELECT count(*) FROM t"), rows);
        finish(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_commit_is_written_once),
        cmocka_unit_test(a_large_commit_leaves_in_large_pieces),
        cmocka_unit_test(what_could_not_be_written_is_not_lost),
        cmocka_unit_test(a_padded_commit_outlives_the_failure_of_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
