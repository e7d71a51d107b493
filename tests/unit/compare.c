/* SPDX-License-Identifier: MIT
 * Compare and swap: two stores told apart, table by table, and one put in the other's place. */
#include "ops/compare.h"
#include "store/swap.h"
#include "store/lock.h"
#include "base/failpoint.h"
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct pair {
    char directory[64], old[100], fresh[100];
    bui_arena arena;
} pair;

/* As a stopped service leaves it: WAL mode, never checkpointed, rows still in the -wal file. */
static void make(const char *path, const char *sql)
{
    sqlite3 *db;
    char *why = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    if (sqlite3_exec(db, "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;", NULL, NULL, &why) != SQLITE_OK ||
        sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
        fail_msg("%s", why);
    sqlite3_close(db);
}

static int setup(void **state)
{
    pair *p = calloc(1, sizeof *p);
    strcpy(p->directory, "/tmp/bus-compare-XXXXXX");
    if (!p || !mkdtemp(p->directory))
        return -1;
    snprintf(p->old, sizeof p->old, "%s/0.db", p->directory);
    snprintf(p->fresh, sizeof p->fresh, "%s/new ?#%%.db", p->directory); /* what an URI must not trip over */
    bui_arena_init(&p->arena, 0);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    pair *p = *state;
    char command[200];
    snprintf(command, sizeof command, "rm -rf '%s'", p->directory);
    bui_arena_free(&p->arena);
    int failed = system(command);
    free(p);
    return failed;
}

static bui_comparison compare(pair *p)
{
    bui_comparison out = { 0 };
    bus_error err = { 0 };
    if (bui_compare(p->old, p->fresh, &p->arena, &out, &err) != BUS_OK)
        fail_msg("%s", err.text);
    return out;
}

#define STOCK "CREATE TABLE stock(sku TEXT PRIMARY KEY NOT NULL COLLATE NOCASE, n);"

static void same_rows_in_another_order(void **state)
{
    pair *p = *state;
    make(
        p->old, STOCK
        "INSERT INTO stock VALUES('a', 1), ('b', NULL), ('c', x'00ff'), ('d', 0.1); CREATE TABLE bus_mark(x PRIMARY KEY); INSERT INTO bus_mark VALUES(1);");
    make(p->fresh, STOCK
         "INSERT INTO stock VALUES('d', 0.1), ('c', x'00ff'), ('b', NULL), ('a', 1); CREATE TABLE bus_mark(x PRIMARY KEY);");
    bui_comparison c = compare(p);
    assert_int_equal(c.count, 1); /* bus_mark is the library's */
    assert_int_equal(c.differing, 0);
    assert_string_equal(c.table[0].name, "stock");
    assert_int_equal(c.table[0].old_rows, 4);
    assert_int_equal(c.table[0].new_rows, 4);
    assert_true(c.table[0].old_hash == c.table[0].new_hash);
}

static void rows_that_differ_are_listed(void **state)
{
    pair *p = *state;
    make(p->old, STOCK "INSERT INTO stock VALUES('a', 1), ('b', 2), ('c', 'x');");
    make(p->fresh, STOCK "INSERT INTO stock VALUES('A', 1), ('b', '2'), ('c', 'x');"); /* case and type count */
    bui_comparison c = compare(p);
    assert_int_equal(c.differing, 1);
    assert_int_equal(c.table[0].verdict, BUI_TABLE_DIFFERS);
    assert_int_equal(c.table[0].only_old_count, 2);
    assert_string_equal(c.table[0].only_old[0], "n=1, sku='a'");
    assert_string_equal(c.table[0].only_old[1], "n=2, sku='b'");
    assert_string_equal(c.table[0].only_new[1], "n=1, sku='A'");
    assert_string_equal(c.table[0].only_new[0], "n='2', sku='b'");
}

static void tables_and_columns_that_differ(void **state)
{
    pair *p = *state;
    make(p->old, "CREATE TABLE gone(x PRIMARY KEY); CREATE TABLE wide(x PRIMARY KEY, y); INSERT INTO gone VALUES(1);");
    make(p->fresh, "CREATE TABLE come(x PRIMARY KEY); CREATE TABLE wide(x PRIMARY KEY);");
    bui_comparison c = compare(p);
    assert_int_equal(c.count, 3);
    assert_int_equal(c.differing, 3);
    assert_int_equal(c.table[0].verdict, BUI_TABLE_ONLY_NEW);
    assert_int_equal(c.table[0].old_rows, -1);
    assert_int_equal(c.table[1].verdict, BUI_TABLE_ONLY_OLD);
    assert_int_equal(c.table[1].old_rows, 1);
    assert_int_equal(c.table[2].verdict, BUI_TABLE_COLUMNS);
}

/* A rebuild by a version with a new field of a state: nothing of the old store is lost. */
static void more_columns_are_no_difference(void **state)
{
    pair *p = *state;
    make(p->old, "CREATE TABLE item(sku TEXT PRIMARY KEY NOT NULL, n); INSERT INTO item VALUES('a', 1), ('b', 2);");
    make(p->fresh,
         "CREATE TABLE item(shelf, n, sku TEXT PRIMARY KEY NOT NULL); INSERT INTO item VALUES('x', 1, 'a'), ('y', 2, 'b');");
    bui_comparison c = compare(p);
    assert_int_equal(c.differing, 0);
    assert_int_equal(c.table[0].verdict, BUI_TABLE_WIDER);
    assert_int_equal(c.table[0].new_rows, 2);
    assert_true(c.table[0].old_hash == c.table[0].new_hash);
}

static void rows_of_a_wider_table_are_compared(void **state)
{
    pair *p = *state;
    make(p->old, "CREATE TABLE item(sku TEXT PRIMARY KEY NOT NULL, n); INSERT INTO item VALUES('a', 1), ('b', 2);");
    make(p->fresh,
         "CREATE TABLE item(sku TEXT PRIMARY KEY NOT NULL, n, shelf); INSERT INTO item VALUES('a', 1, 'x'), ('b', 3, 'y');");
    bui_comparison c = compare(p);
    assert_int_equal(c.differing, 1);
    assert_int_equal(c.table[0].verdict, BUI_TABLE_DIFFERS);
    assert_string_equal(c.table[0].only_old[0], "n=2, sku='b'");
    assert_string_equal(c.table[0].only_new[0], "n=3, sku='b'");
}

static void columns_that_are_gone_are_a_difference(void **state)
{
    pair *p = *state;
    make(p->old, "CREATE TABLE item(sku TEXT PRIMARY KEY NOT NULL, n, note); INSERT INTO item VALUES('a', 1, 'z');");
    make(p->fresh, "CREATE TABLE item(sku TEXT PRIMARY KEY NOT NULL, n, shelf); INSERT INTO item VALUES('a', 1, 'x');");
    bui_comparison c = compare(p);
    assert_int_equal(c.differing, 1);
    assert_int_equal(c.table[0].verdict, BUI_TABLE_COLUMNS);
}

#define OWN \
    "CREATE TABLE bus_key(id INTEGER PRIMARY KEY, scope, key, state, attempt, event_id);" \
    "CREATE TABLE bus_parked(key_id, n, event_id, topic, partition, offset, value, PRIMARY KEY (key_id, n));" \
    "CREATE TABLE bus_letter(id PRIMARY KEY, event_id, scope, round, state, at);" \
    "CREATE TABLE bus_schedule(id INTEGER PRIMARY KEY, name, due, event_id, topic, key, value);" \
    "CREATE TABLE bus_discarded(id INTEGER PRIMARY KEY, source, topic, partition, seq, event_id, error, operator, reason, at);" \
    "INSERT INTO bus_discarded VALUES("

static void the_librarys_tables_are_compared(void **state)
{
    pair *p = *state;
    make(
        p->old, OWN
        "12, 'a/0#1', 't', 0, 5, 'x', 'too big', 'ann', 'why', 9); INSERT INTO bus_key VALUES(7, 's', 'k', 1, 2, 'e'); INSERT INTO bus_parked VALUES(7, 40, 'e', 't', 0, 3, 'v'), (7, 41, 'f', 't', 0, 4, 'v');"
        "INSERT INTO bus_letter VALUES('l', 'e', 's', 1, 1, 1000); INSERT INTO bus_schedule VALUES(3, 'n', 5, 'x', 't', 'k', 'v');");
    make(
        p->fresh, OWN
        "-1, 'a/0#1', 't', 0, 5, 'x', 'too big', 'ann', 'why', 9); INSERT INTO bus_key VALUES(9, 's', 'k', 1, 2, 'e'); INSERT INTO bus_parked VALUES(9, 50, 'e', 't', 0, 3, 'v'), (9, 52, 'f', 't', 0, 4, 'v');"
        "INSERT INTO bus_letter VALUES('l', 'e', 's', 1, 3, 2000);");
    bui_comparison c =
        compare(p); /* other ids and times are no difference; a dead letter's state and a schedule that is gone are */
    assert_int_equal(c.count, 5);
    assert_int_equal(c.differing, 2);
    assert_string_equal(c.table[2].name, "bus_letter");
    assert_string_equal(c.table[2].only_old[0], "event_id='e', id='l', round=1, scope='s', state=1");
    assert_string_equal(c.table[4].name, "bus_schedule");
    assert_int_equal(c.table[4].only_old_count, 1);
}

static void at_most_ten_rows_a_side(void **state)
{
    pair *p = *state;
    make(
        p->old, STOCK
        "WITH RECURSIVE k(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM k WHERE i < 50) INSERT INTO stock SELECT 'k' || i, i FROM k;");
    make(p->fresh, STOCK);
    bui_comparison c = compare(p);
    assert_int_equal(c.table[0].only_old_count, BUI_COMPARE_ROWS);
    assert_int_equal(c.table[0].only_new_count, 0);
    assert_int_equal(c.table[0].old_rows, 50);
}

static void what_is_no_store(void **state)
{
    pair *p = *state;
    bui_comparison out;
    bus_error err = { 0 };
    make(p->old, STOCK);
    assert_int_equal(bui_compare(p->old, "/nonexistent/0.db", &p->arena, &out, &err), BUS_MISSING);
    assert_non_null(strstr(err.text, "/nonexistent/0.db"));
    FILE *file = fopen(p->fresh, "w");
    fputs("this is certainly no database, whatever its name says: it is far too honest a text file for that", file);
    fclose(file);
    assert_int_equal(bui_compare(p->old, p->fresh, &p->arena, &out, &err), BUS_CORRUPT);
}

static int64_t count_rows(const char *path)
{
    sqlite3 *db;
    sqlite3_stmt *stmt;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT count(*) FROM stock", -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    int64_t rows = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return rows;
}

static void a_swap_moves_each_store_with_its_wal(void **state)
{
    pair *p = *state;
    char kept[512], expected[200];
    bus_error err = { 0 };
    make(p->old, STOCK "INSERT INTO stock VALUES('a', 1);");
    make(p->fresh, STOCK "INSERT INTO stock VALUES('a', 1), ('b', 2);");
    if (bui_store_swap(p->fresh, p->old, 1234, kept, &err) != BUS_OK)
        fail_msg("%s", err.text);
    snprintf(expected, sizeof expected, "%s.replaced-1234", p->old);
    assert_string_equal(kept, expected);
    assert_int_equal(count_rows(p->old), 2);
    assert_int_equal(count_rows(kept), 1);
    assert_int_equal(access(p->fresh, F_OK), -1);
}

static void a_swap_into_an_empty_place(void **state)
{
    pair *p = *state;
    char kept[512] = "?";
    make(p->fresh, STOCK "INSERT INTO stock VALUES('a', 1);");
    assert_int_equal(bui_store_swap(p->fresh, p->old, 1, kept, NULL), BUS_OK);
    assert_string_equal(kept, "");
    assert_int_equal(count_rows(p->old), 1);
    assert_int_equal(bui_store_swap(p->fresh, p->old, 1, kept, NULL), BUS_MISSING);
    assert_int_equal(count_rows(p->old), 1); /* untouched */
}

static void a_held_shard_is_not_swapped(void **state)
{
    pair *p = *state;
    char base[100], kept[512];
    bui_lock *lock = NULL;
    make(p->old, STOCK "INSERT INTO stock VALUES('a', 1);");
    make(p->fresh, STOCK);
    snprintf(base, sizeof base, "%s/0", p->directory);
    assert_int_equal(bui_lock_take(base, &lock, NULL, NULL), BUS_OK);
    assert_int_equal(bui_store_swap(p->fresh, p->old, 1, kept, NULL), BUS_LOCKED);
    bui_lock_free(lock);
    assert_int_equal(count_rows(p->old), 1);
}

#ifdef BUS_FAILPOINTS
static const char *deadly;

static void kill_at(const char *name, void *opaque)
{
    (void)opaque;
    if (strcmp(name, deadly) == 0)
        (void)kill(getpid(), SIGKILL);
}

/* In a child, which is killed when it reaches `at`. */
static void swap_killed(const pair *p, const char *at)
{
    pid_t child = fork();
    int how;
    if (child == 0) {
        char kept[512];
        deadly = at;
        bui_failpoint_to(kill_at, NULL);
        _exit(bui_store_swap(p->fresh, p->old, 1234, kept, NULL) != BUS_OK);
    }
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL);
}

/* Wherever it dies: no store lies beside another's WAL, none is lost, and the next process has the new one whole. */
static void a_swap_that_is_killed_is_finished(void **state)
{
    static const char *const points[] = { "swap-noted", "swap-left", "swap-gone", "swap-came", "swap-come", "swap-done" };
    pair *p = *state;
    char aside[200], note[200];
    snprintf(aside, sizeof aside, "%s.replaced-1234", p->old);
    snprintf(note, sizeof note, "%s.swap", p->old);
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        make(p->old, STOCK "INSERT INTO stock VALUES('a', 1);");
        make(p->fresh, STOCK "INSERT INTO stock VALUES('a', 1), ('b', 2);");
        swap_killed(p, points[i]);
        if (access(p->old, F_OK) == 0) /* what a foreign tool would open now is one of the two, whole */
            assert_int_equal(count_rows(p->old), access(p->fresh, F_OK) == 0 ? 1 : 2);
        assert_int_equal(bui_store_swap_finish(p->old, NULL), BUS_OK);
        assert_int_equal(count_rows(p->old), 2);
        assert_int_equal(count_rows(aside), 1);
        assert_int_equal(access(p->fresh, F_OK), -1);
        assert_int_equal(access(note, F_OK), -1);
        unlink(p->old);
        unlink(aside);
    }
}

static void a_swap_whose_new_store_is_gone_is_undone(void **state)
{
    static const char *const points[] = { "swap-noted", "swap-left", "swap-gone" };
    pair *p = *state;
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        make(p->old, STOCK "INSERT INTO stock VALUES('a', 1);");
        make(p->fresh, STOCK);
        swap_killed(p, points[i]);
        unlink(p->fresh);
        assert_int_equal(bui_store_swap_finish(p->old, NULL), BUS_OK);
        assert_int_equal(count_rows(p->old), 1);
        assert_int_equal(bui_store_swap_finish(p->old, NULL), BUS_OK); /* nothing left to do */
        unlink(p->old);
    }
}
#endif

static void a_note_that_cannot_be_read_refuses(void **state)
{
    pair *p = *state;
    char note[200];
    bus_error err = { 0 };
    make(p->old, STOCK);
    snprintf(note, sizeof note, "%s.swap", p->old);
    FILE *file = fopen(note, "w");
    fputs("half of a path", file);
    fclose(file);
    assert_int_equal(bui_store_swap_finish(p->old, &err), BUS_CORRUPT);
    assert_non_null(strstr(err.text, note));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(same_rows_in_another_order),
        TEST(rows_that_differ_are_listed),
        TEST(tables_and_columns_that_differ),
        TEST(more_columns_are_no_difference),
        TEST(rows_of_a_wider_table_are_compared),
        TEST(columns_that_are_gone_are_a_difference),
        TEST(the_librarys_tables_are_compared),
        TEST(at_most_ten_rows_a_side),
        TEST(what_is_no_store),
        TEST(a_swap_moves_each_store_with_its_wal),
        TEST(a_swap_into_an_empty_place),
        TEST(a_held_shard_is_not_swapped),
        TEST(a_note_that_cannot_be_read_refuses),
#ifdef BUS_FAILPOINTS
        TEST(a_swap_that_is_killed_is_finished),
        TEST(a_swap_whose_new_store_is_gone_is_undone),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
