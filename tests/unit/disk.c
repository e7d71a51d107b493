/* SPDX-License-Identifier: MIT
 * The simulated disk: plain SQLite on it loses nothing that was committed with synchronous=FULL, whenever the power fails, and
 * does lose with less. A disk on which nothing can be lost would prove nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/disk.h"
#include "support/disk_image.h"
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH "/machine/data.db"
#define PAGE 4096

/* A tenth where SQLite's memory is watched, which makes it slow. */
#if defined(__SANITIZE_ADDRESS__)
#define SOME(n) ((n) / 10)
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SOME(n) ((n) / 10)
#endif
#endif
#ifndef SOME
#define SOME(n) (n)
#endif

/* ---- one file */

static void what_was_synced_stays(void **state)
{
    (void)state;
    uint64_t random = 1;
    int kept = 0, lost = 0, torn = 0;
    for (int i = 0; i < 2000; i++) {
        disk_image image = { 0 };
        char old[4 * PAGE], new[4 * PAGE];
        memset(old, 'o', sizeof old);
        memset(new, 'n', sizeof new);
        assert_true(disk_image_write(&image, 0, old, sizeof old));
        assert_true(disk_image_sync(&image));
        assert_true(disk_image_write(&image, PAGE, new, 2 * PAGE));
        assert_true(disk_image_lose(&image, 512, false, &random));
        assert_int_equal(image.cache.len, sizeof old);
        assert_memory_equal(image.cache.at, old, PAGE);
        assert_memory_equal(image.cache.at + 3 * PAGE, old, PAGE);
        int sectors = 0;
        for (int s = 8; s < 24; s++) {
            const char *at = (const char *)image.cache.at + 512 * s;
            assert_memory_equal(at, *at == 'n' ? new : old, 512); /* a sector is whole */
            sectors += *at == 'n';
        }
        kept += sectors == 16;
        lost += sectors == 0;
        torn += sectors > 0 && sectors < 16;
        disk_image_free(&image);
    }
    assert_true(kept > 100 && lost > 100 && torn > 100);
}

static void later_writes_may_survive_earlier_ones(void **state)
{
    (void)state;
    uint64_t random = 2;
    int reordered = 0, between = 0, shorter = 0;
    for (int i = 0; i < 2000; i++) {
        disk_image image = { 0 };
        assert_true(disk_image_truncate(&image, 2 * PAGE));
        assert_true(disk_image_sync(&image));
        assert_true(disk_image_write(&image, 0, "1", 1));
        assert_true(disk_image_write(&image, PAGE, "2", 1));
        assert_true(disk_image_write(&image, 0, "3", 1));
        assert_true(disk_image_write(&image, 2 * PAGE, "4", 1));
        assert_true(disk_image_lose(&image, 4096, false, &random));
        reordered += image.cache.at[0] == 0 && image.cache.at[PAGE] == '2';
        between += image.cache.at[0] == '1';
        shorter += image.cache.len == 2 * PAGE;
        disk_image_free(&image);
    }
    assert_true(reordered > 100 && between > 100 && shorter > 100);
}

/* The bytes can be read, no later sync writes them, and a power loss takes them. */
static void a_failed_sync_leaves_clean_pages(void **state)
{
    (void)state;
    uint64_t random = 3;
    int fooled = 0;
    for (int i = 0; i < 500; i++) {
        disk_image image = { 0 };
        assert_true(disk_image_write(&image, 0, "old", 3) && disk_image_sync(&image));
        assert_true(disk_image_write(&image, 0, "new", 3) && disk_image_sync_in_vain(&image, &random));
        assert_memory_equal(image.cache.at, "new", 3);
        assert_true(disk_image_sync(&image) && disk_image_lose(&image, 512, false, &random));
        fooled += memcmp(image.cache.at, "old", 3) == 0;
        /* written again it is safe */
        assert_true(disk_image_write(&image, 0, "new", 3) && disk_image_sync(&image) &&
                    disk_image_lose(&image, 512, false, &random));
        assert_memory_equal(image.cache.at, "new", 3);
        disk_image_free(&image);
    }
    assert_true(fooled > 50);
}

/* ---- SQLite on it */

typedef struct machine {
    disk *disk;
    sqlite3 *db;
    const char *synchronous;
    uint64_t random;
    bool off;
    int64_t left;                        /* changes until the power fails; negative: it does not */
    int syncs_fail, writes_fail, deaths; /* per mille */
    bool unsafe;                         /* no power-safe overwrite */
    bool safe;                           /* with it, whatever the seed says */
    bool keeps_log;                      /* closing moves nothing into the database, as the stores of the bus */
    int committed;                       /* the last row whose commit was said to be good */
    int tried;
    int lost, broken; /* histories in which such a row was gone, or the file was no good */
    int power_losses;
} machine;

static int below(machine *m, int n)
{
    return (int)(disk_random(&m->random) % (uint64_t)n);
}

static disk_fate judge(void *opaque, const char *path, disk_op op)
{
    machine *m = opaque;
    (void)path;
    if (op != DISK_READ && m->left >= 0 && m->left-- == 0) {
        m->off = true;
        disk_power_off(m->disk, "/machine/");
    }
    if (op == DISK_SYNC && below(m, 1000) < m->syncs_fail)
        return DISK_ERROR;
    return op == DISK_WRITE && below(m, 1000) < m->writes_fail ? DISK_ERROR : DISK_WELL;
}

static int run(machine *m, const char *sql)
{
    return m->off ? SQLITE_IOERR : sqlite3_exec(m->db, sql, NULL, NULL, NULL);
}

static int64_t number(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *query = NULL;
    int64_t answer = -1;
    if (sqlite3_prepare_v2(db, sql, -1, &query, NULL) == SQLITE_OK && sqlite3_step(query) == SQLITE_ROW)
        answer = sqlite3_column_int64(query, 0);
    sqlite3_finalize(query);
    return answer;
}

static void open_file(machine *m)
{
    assert_int_equal(sqlite3_open(PATH, &m->db), SQLITE_OK);
    if (m->keeps_log)
        sqlite3_db_config(m->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
}

static bool open_db(machine *m)
{
    char sql[200];
    open_file(m);
    snprintf(sql, sizeof sql, "PRAGMA synchronous = %s; PRAGMA cache_size = 8; PRAGMA wal_autocheckpoint = 0", m->synchronous);
    return run(m, "PRAGMA journal_mode = WAL") == SQLITE_OK && run(m, sql) == SQLITE_OK &&
           run(m, "CREATE TABLE IF NOT EXISTS row(n INTEGER PRIMARY KEY, body BLOB NOT NULL);"
                  "CREATE TABLE IF NOT EXISTS total(id INTEGER PRIMARY KEY, rows INTEGER NOT NULL);"
                  "CREATE INDEX IF NOT EXISTS row_body ON row(body);"
                  "INSERT OR IGNORE INTO total VALUES (1, 0)") == SQLITE_OK;
}

/* A row with a body that says which it is, and their count; old rows change, too. */
static bool transaction(machine *m)
{
    char sql[400];
    int n = m->committed + 1;
    snprintf(sql, sizeof sql,
             "BEGIN IMMEDIATE; INSERT OR REPLACE INTO row VALUES (%d, CAST(printf('%%0%dd', %d) AS BLOB));"
             "UPDATE row SET body = body || 'x' WHERE n = %d; UPDATE total SET rows = %d",
             n, 10 + below(m, 9) * below(m, 700), n, 1 + below(m, n), n);
    if (run(m, sql) != SQLITE_OK) {
        run(m, "ROLLBACK");
        return false;
    }
    m->tried = n;
    if (run(m, "COMMIT") == SQLITE_OK) {
        m->committed = n;
        return true;
    }
    run(m, "ROLLBACK");
    return false;
}

/* What is there now: all that was said to be committed, and nothing by halves. */
static void look(machine *m)
{
    sqlite3_stmt *check = NULL;
    int64_t rows = -1;
    bool well = sqlite3_prepare_v2(m->db, "PRAGMA integrity_check", -1, &check, NULL) == SQLITE_OK &&
                sqlite3_step(check) == SQLITE_ROW && strcmp((const char *)sqlite3_column_text(check, 0), "ok") == 0;
    sqlite3_finalize(check);
    if (well && number(m->db, "SELECT count(*) FROM sqlite_schema WHERE name = 'total'") == 1)
        rows = number(m->db, "SELECT coalesce(max(rows), 0) FROM total");
    else if (well)
        rows = 0;
    well = well && rows >= 0 && (rows == 0 || number(m->db, "SELECT count(*) FROM row") == rows);
    if (rows > 0)
        well = well && number(m->db, "SELECT count(*) FROM row WHERE CAST(rtrim(CAST(body AS TEXT), 'x') AS INTEGER) <> n") == 0;
    m->broken += !well;
    m->lost += well && rows < m->committed;
    assert_true(!well || rows <= m->tried);
    m->committed = m->tried = well ? (int)rows : 0;
}

/* A process dies and another goes on: with what it finds, which it takes for committed once it has committed itself. */
static bool die(machine *m)
{
    disk_cut(m->disk, "/machine/");
    sqlite3_close(m->db);
    if (!open_db(m))
        return false;
    m->committed = (int)number(m->db, "SELECT rows FROM total");
    return transaction(m);
}

/* Some transactions and checkpoints, then the power fails in the midst of it. */
static void one_life(machine *m)
{
    m->left = below(m, 120);
    bool open = open_db(m);
    for (int i = 0; open && !m->off && i < 40; i++) {
        transaction(m);
        if (!m->off && below(m, 1000) < m->deaths)
            open = die(m);
        if (below(m, 6) == 0)
            sqlite3_wal_checkpoint_v2(m->db, NULL, below(m, 2) ? SQLITE_CHECKPOINT_PASSIVE : SQLITE_CHECKPOINT_TRUNCATE, NULL,
                                      NULL);
    }
    if (!m->off)
        disk_power_off(m->disk, "/machine/");
    m->left = -1;
    sqlite3_close(m->db);
    m->off = false;
    m->power_losses++;
    int writes = m->writes_fail, syncs = m->syncs_fail;
    m->writes_fail = m->syncs_fail = 0;
    open_file(m);
    look(m);
    sqlite3_close(m->db);
    m->writes_fail = writes;
    m->syncs_fail = syncs;
}

/* So many disks of these habits, a dozen power losses each. */
static machine lives(machine habits, uint64_t seed, int disks)
{
    machine sum = { 0 };
    for (int i = 0; i < disks; i++) {
        machine m = habits;
        m.random = seed + (uint64_t)i;
        m.left = -1;
        m.disk = disk_new(seed * 1000 + (uint64_t)i);
        if (m.safe || m.unsafe)
            disk_promise(m.disk, i % 2 ? 512 : 4096, m.safe);
        disk_judge_by(m.disk, judge, &m);
        for (int life = 0; life < 12 && !m.broken; life++)
            one_life(&m);
        disk_free(m.disk);
        sum.lost += m.lost;
        sum.broken += m.broken;
        sum.power_losses += m.power_losses;
    }
    print_message("synchronous=%s: %d power losses, %d lost commits, %d broke the file\n", habits.synchronous, sum.power_losses,
                  sum.lost, sum.broken);
    return sum;
}

static void full_never_loses(void **state)
{
    (void)state;
    machine all = lives((machine){ .synchronous = "FULL", .deaths = 100 }, 1, SOME(300));
    assert_int_equal(all.power_losses, SOME(300) * 12);
    assert_int_equal(all.lost, 0);
    assert_int_equal(all.broken, 0);
}

static void full_never_loses_when_the_log_is_kept(void **state)
{
    (void)state;
    machine all = lives((machine){ .synchronous = "FULL", .deaths = 100, .safe = true, .keeps_log = true }, 7, SOME(150));
    assert_int_equal(all.lost, 0);
    assert_int_equal(all.broken, 0);
}

/* What SQLite wrote behind a commit to fill its sector may be lost; the next process then begins inside that sector, and the
 * next loss of power may spoil it. SQLite's unix VFS promises power-safe overwrite, so that no store is in this danger. */
static void a_kept_log_loses_without_power_safe_overwrite(void **state)
{
    (void)state;
    machine all = lives((machine){ .synchronous = "FULL", .unsafe = true, .keeps_log = true }, 8, SOME(400));
    assert_true(all.lost > 0);
}

static void normal_loses_commits_but_breaks_nothing(void **state)
{
    (void)state;
    machine all = lives((machine){ .synchronous = "NORMAL" }, 2, SOME(60));
    assert_true(all.lost > all.power_losses / 20);
    assert_int_equal(all.broken, 0);
}

static void off_breaks_files(void **state)
{
    (void)state;
    machine all = lives((machine){ .synchronous = "OFF" }, 3, SOME(60));
    assert_true(all.lost > 0);
    assert_true(all.broken > 0);
}

/* Within one process SQLite writes what was not synced again, over the same place. */
static void full_never_loses_when_syncs_and_writes_fail(void **state)
{
    (void)state;
    machine all = lives((machine){ .synchronous = "FULL", .syncs_fail = 100, .writes_fail = 20, .safe = true, .keeps_log = true },
                        4, SOME(150));
    assert_int_equal(all.lost, 0);
    assert_int_equal(all.broken, 0);
}

/* The next process reads a commit out of the cache whose sync failed, and builds on it. SQLite does not help: bui_store_open
 * has to. */
static void a_death_after_a_failed_sync_loses(void **state)
{
    (void)state;
    machine all = lives((machine){ .synchronous = "FULL", .syncs_fail = 300, .deaths = 300, .safe = true }, 5, SOME(100));
    assert_true(all.lost > 0);
}

/* Without power-safe overwrite SQLite fills the sector behind a commit, part of it after the sync; when the next sync fails,
 * that part is never written again. */
static void failed_syncs_lose_without_power_safe_overwrite(void **state)
{
    (void)state;
    machine all = lives((machine){ .synchronous = "FULL", .syncs_fail = 300, .unsafe = true }, 6, SOME(100));
    assert_true(all.lost > 0);
}

/* ---- the rest of the file system */

static void a_full_disk_heals(void **state)
{
    (void)state;
    machine m = { .synchronous = "FULL", .random = 5, .left = -1 };
    m.disk = disk_new(5);
    assert_true(open_db(&m));
    assert_true(transaction(&m));
    disk_room(m.disk, "/machine", 10000);
    int done = 0;
    while (done < 100 && transaction(&m))
        done++;
    assert_true(done < 100);
    assert_int_equal(sqlite3_exec(m.db, "INSERT INTO row VALUES (1000, zeroblob(100000))", NULL, NULL, NULL), SQLITE_FULL);
    disk_room(m.disk, "/machine", -1);
    assert_true(transaction(&m));
    disk_power_off(m.disk, "/machine/");
    sqlite3_close(m.db);
    assert_true(open_db(&m));
    look(&m);
    assert_int_equal(m.lost + m.broken, 0);
    sqlite3_close(m.db);
    disk_free(m.disk);
}

/* The dead one's locks are gone although he is not closed, and what he had written is there. */
static void a_process_dies(void **state)
{
    (void)state;
    machine m = { .synchronous = "OFF", .random = 6, .left = -1 };
    m.disk = disk_new(6);
    assert_true(open_db(&m));
    assert_true(transaction(&m));
    assert_true(disk_unsynced(m.disk, PATH "-wal") > 0);
    assert_int_equal(run(&m, "BEGIN IMMEDIATE; UPDATE total SET rows = 99"), SQLITE_OK);
    sqlite3 *dead = m.db;
    disk_cut(m.disk, PATH);
    assert_int_equal(sqlite3_exec(dead, "COMMIT", NULL, NULL, NULL), SQLITE_IOERR);
    assert_true(open_db(&m));
    assert_int_equal(number(m.db, "SELECT rows FROM total"), 1);
    assert_true(transaction(&m));
    sqlite3_close(dead);
    assert_true(transaction(&m));
    look(&m);
    assert_int_equal(m.lost + m.broken, 0);
    sqlite3_close(m.db);
    disk_free(m.disk);
}

static void connections_keep_out_of_each_others_way(void **state)
{
    (void)state;
    machine m = { .synchronous = "FULL", .random = 7, .left = -1 };
    sqlite3 *reader = NULL;
    m.disk = disk_new(7);
    assert_true(open_db(&m));
    assert_true(transaction(&m));
    assert_int_equal(sqlite3_open(PATH, &reader), SQLITE_OK);
    assert_int_equal(sqlite3_exec(reader, "BEGIN; SELECT * FROM total", NULL, NULL, NULL), SQLITE_OK);
    assert_true(transaction(&m));
    assert_int_equal(number(reader, "SELECT rows FROM total"), 1); /* its snapshot */
    assert_int_equal(sqlite3_wal_checkpoint_v2(m.db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL), SQLITE_BUSY);
    assert_int_equal(run(&m, "BEGIN IMMEDIATE"), SQLITE_OK);
    assert_int_equal(sqlite3_exec(reader, "COMMIT; BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_BUSY);
    assert_int_equal(run(&m, "COMMIT"), SQLITE_OK);
    assert_int_equal(number(reader, "SELECT rows FROM total"), 2);
    assert_int_equal(sqlite3_wal_checkpoint_v2(m.db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL), SQLITE_OK);
    sqlite3_close(reader);
    sqlite3_close(m.db);
    disk_free(m.disk);
}

static uint64_t print_of(uint64_t seed)
{
    machine m = { .synchronous = "NORMAL", .random = seed, .left = -1, .syncs_fail = 50 };
    m.disk = disk_new(seed);
    disk_judge_by(m.disk, judge, &m);
    for (int life = 0; life < 6; life++)
        one_life(&m);
    uint64_t print = disk_print(m.disk);
    disk_free(m.disk);
    return print;
}

static void the_same_seed_is_the_same_history(void **state)
{
    (void)state;
    uint64_t first = print_of(8);
    assert_int_not_equal(first, print_of(9));
    assert_int_equal(first, print_of(8));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_synced_stays),
        cmocka_unit_test(later_writes_may_survive_earlier_ones),
        cmocka_unit_test(a_failed_sync_leaves_clean_pages),
        cmocka_unit_test(full_never_loses),
        cmocka_unit_test(full_never_loses_when_the_log_is_kept),
        cmocka_unit_test(a_kept_log_loses_without_power_safe_overwrite),
        cmocka_unit_test(normal_loses_commits_but_breaks_nothing),
        cmocka_unit_test(off_breaks_files),
        cmocka_unit_test(full_never_loses_when_syncs_and_writes_fail),
        cmocka_unit_test(a_death_after_a_failed_sync_loses),
        cmocka_unit_test(failed_syncs_lose_without_power_safe_overwrite),
        cmocka_unit_test(a_full_disk_heals),
        cmocka_unit_test(a_process_dies),
        cmocka_unit_test(connections_keep_out_of_each_others_way),
        cmocka_unit_test(the_same_seed_is_the_same_history),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
