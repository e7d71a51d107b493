/* SPDX-License-Identifier: MIT
 * A store that holds mostly unused pages gives them back when it is opened, whatever happens meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/failpoint.h"
#include "store/shrink.h"
#include "support/temp_store.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MB (INT64_C(1) << 20)
#define DEEP 4 /* MB that were written and deleted */

static const bus_migration migrations[] = { { "one", "CREATE TABLE mine (id TEXT NOT NULL PRIMARY KEY, what)" }, { 0 } };

static void run(temp_store *t, const char *sql)
{
    OK_(bui_store_begin(t->store, &t->err), t->err);
    if (sqlite3_exec(bui_store_db(t->store), sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(bui_store_db(t->store)));
    OK_(bui_store_commit(t->store, &t->err), t->err);
}

static int64_t size_of(const temp_store *t)
{
    struct stat file;
    return stat(t->path, &file) == 0 ? (int64_t)file.st_size : -1;
}

/* Rows with ids of their own, then a deep outbox that is empty again. */
static void fill(temp_store *t)
{
    temp_store_open(t);
    run(t, "INSERT INTO mine (rowid, id, what) VALUES (7, 'a', 'seven'), (70, 'b', 'seventy'), (5000, 'c', 'x')");
    run(t, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4096)"
           "INSERT INTO mine (id, what) SELECT i, randomblob(1000) FROM n");
    run(t, "DELETE FROM mine WHERE rowid > 5000");
    OK_(bui_store_rest(t->store, &t->err), t->err);
    temp_store_close(t);
    assert_true(size_of(t) > DEEP * MB);
}

static int make_deep(void **state)
{
    temp_store *t = calloc(1, sizeof *t);
    temp_store_init(t);
    t->options.migrations = migrations;
    fill(t);
    t->options.shrink_bytes = MB;
    *state = t;
    return 0;
}

static int drop(void **state)
{
    temp_store_remove(*state);
    free(*state);
    return 0;
}

static void has_all(temp_store *t)
{
    assert_int_equal(temp_store_number(t, "SELECT count(*) FROM mine"), 3);
    assert_int_equal(temp_store_number(t, "SELECT sum(rowid) FROM mine"), 5077);
    assert_int_equal(temp_store_number(t, "SELECT rowid FROM mine WHERE what = 'seventy'"), 70);
    run(t, "INSERT INTO mine (rowid, id, what) VALUES (1, 'd', 'later')");
    run(t, "DELETE FROM mine WHERE rowid = 1");
}

static void what_is_unused_is_given_back(void **state)
{
    temp_store *t = *state;
    char id[37];
    struct stat before, after;
    t->options.shrink_bytes = 0;
    temp_store_open(t);
    memcpy(id, bui_store_meta(t->store)->store_id, sizeof id);
    int64_t seal = temp_store_number(t, "SELECT seal FROM bus_meta");
    temp_store_close(t);
    assert_int_equal(stat(t->path, &before), 0);
    t->options.shrink_bytes = MB;
    temp_store_open(t);
    assert_int_equal(stat(t->path, &after), 0);
    assert_true(after.st_size < MB / 2);
    assert_int_equal(after.st_mode, before.st_mode);
    assert_string_equal(bui_store_meta(t->store)->store_id, id);
    assert_true(temp_store_number(t, "SELECT seal FROM bus_meta") > seal);
    has_all(t);
    temp_store_reopen(t);
    has_all(t);
}

static void what_is_little_or_less_than_half_stays(void **state)
{
    temp_store *t = *state;
    t->options.shrink_bytes = 100 * MB;
    temp_store_open(t);
    assert_true(size_of(t) > DEEP * MB);
    run(t, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2600)"
           "INSERT INTO mine (id, what) SELECT i, randomblob(1000) FROM n");
    OK_(bui_store_rest(t->store, &t->err), t->err);
    t->options.shrink_bytes = MB;
    temp_store_reopen(t);
    assert_true(size_of(t) > DEEP * MB);
}

static void wiped_stores_keep_their_file(void **state)
{
    temp_store *t = *state;
    t->options.secure_delete = "on";
    temp_store_open(t);
    assert_true(size_of(t) > DEEP * MB);
}

/* A tool has it open: it must not be left with the old file's log or index. */
static void a_store_that_is_read_is_left_alone(void **state)
{
    temp_store *t = *state;
    sqlite3 *tool = NULL;
    OK_(bui_store_reader(t->path, &tool, &t->err), t->err);
    assert_int_equal(sqlite3_exec(tool, "BEGIN; SELECT count(*) FROM mine", NULL, NULL, NULL), SQLITE_OK);
    temp_store_open(t);
    assert_true(size_of(t) > DEEP * MB);
    has_all(t);
    assert_int_equal(sqlite3_exec(tool, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(tool);
    temp_store_reopen(t);
    assert_true(size_of(t) < MB / 2);
    has_all(t);
}

static void refused(temp_store *t)
{
    bus_status status = bui_store_open(&t->options, &t->store, &t->err);
    if (status != BUS_REFUSED && status != BUS_CORRUPT)
        fail_msg("opened: %s %s", bus_status_name(status), t->err.text);
}

/* Copies of two moments, one of them from before, are refused as torn ones are. */
static void a_log_of_before_does_not_fit(void **state)
{
    temp_store *t = *state;
    char line[400];
    t->options.shrink_bytes = 0;
    temp_store_open(t);
    has_all(t); /* in the log */
    snprintf(line, sizeof line, "cp %s-wal %s/log; cp %s %s/old", t->path, t->directory, t->path, t->directory);
    assert_int_equal(system(line), 0);
    OK_(bui_store_rest(t->store, &t->err), t->err);
    temp_store_close(t);
    t->options.shrink_bytes = MB;
    temp_store_open(t);
    assert_true(size_of(t) < MB / 2);
    temp_store_close(t);
    snprintf(line, sizeof line, "cp %s %s/new; cp %s/log %s-wal; rm -f %s-shm", t->path, t->directory, t->directory, t->path,
             t->path);
    assert_int_equal(system(line), 0);
    refused(t); /* the old log beside the new file */
    snprintf(line, sizeof line, "cp %s/new %s; rm -f %s-wal %s-shm", t->directory, t->path, t->path, t->path);
    assert_int_equal(system(line), 0);
    temp_store_open(t);
    run(t, "INSERT INTO mine (rowid, id, what) VALUES (2, 'e', 'new log')");
    temp_store_close(t);
    snprintf(line, sizeof line, "cp %s/old %s; rm -f %s-shm", t->directory, t->path, t->path);
    assert_int_equal(system(line), 0);
    refused(t); /* the new log beside the old file */
}

/* The disk is full while it is copied: the old file stays, and is opened. */
static void a_full_disk_leaves_the_old_file(void **state)
{
    temp_store *t = *state;
    char made[200];
    struct rlimit all, few;
    t->options.shrink_bytes = 0;
    temp_store_open(t);
    run(t, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)"
           "INSERT INTO mine (id, what) SELECT i, randomblob(1000) FROM n");
    OK_(bui_store_rest(t->store, &t->err), t->err);
    temp_store_close(t);
    t->options.shrink_bytes = MB;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &all), 0);
    few = all;
    few.rlim_cur = (rlim_t)(MB / 2); /* the copy needs more, the log less */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &few), 0);
    bus_status status = bui_store_open(&t->options, &t->store, &t->err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &all), 0);
    OK_(status, t->err);
    assert_true(size_of(t) > DEEP * MB);
    assert_int_equal(temp_store_number(t, "SELECT count(*) FROM mine"), 1003);
    snprintf(made, sizeof made, "%s.shrunk", t->path);
    assert_int_not_equal(access(made, F_OK), 0);
    temp_store_reopen(t);
    assert_true(size_of(t) < 2 * MB);
    assert_int_equal(temp_store_number(t, "SELECT count(*) FROM mine"), 1003);
}

#ifdef BUS_FAILPOINTS
static const char *deadly;

static void kill_at(const char *name, void *opaque)
{
    (void)opaque;
    if (strcmp(name, deadly) == 0)
        (void)kill(getpid(), SIGKILL);
}

static void wherever_it_is_killed_the_store_is_whole(void **state)
{
    static const char *const points[] = { "shrink-taken", "shrink-copied", "shrink-made", "shrink-came" };
    temp_store *t = *state;
    char made[200];
    snprintf(made, sizeof made, "%s.shrunk", t->path);
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        int how;
        pid_t child = fork();
        if (child == 0) {
            deadly = points[i];
            bui_failpoint_to(kill_at, NULL);
            _exit(bui_store_open(&t->options, &t->store, &t->err) != BUS_OK);
        }
        assert_int_equal(waitpid(child, &how, 0), child);
        if (!WIFSIGNALED(how) || WTERMSIG(how) != SIGKILL)
            fail_msg("it did not come to %s", points[i]);
        temp_store_open(t);
        assert_true(size_of(t) < MB / 2);
        has_all(t);
        assert_int_not_equal(access(made, F_OK), 0);
        temp_store_close(t);
        unlink(t->path);
        char log[200];
        snprintf(log, sizeof log, "%s-wal", t->path);
        unlink(log);
        t->options.shrink_bytes = 0;
        fill(t);
        t->options.shrink_bytes = MB;
    }
}
#endif

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_deep, drop)
    const struct CMUnitTest tests[] = {
        TEST(what_is_unused_is_given_back),
        TEST(what_is_little_or_less_than_half_stays),
        TEST(wiped_stores_keep_their_file),
        TEST(a_store_that_is_read_is_left_alone),
        TEST(a_log_of_before_does_not_fit),
        TEST(a_full_disk_leaves_the_old_file),
#ifdef BUS_FAILPOINTS
        TEST(wherever_it_is_killed_the_store_is_whole),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
