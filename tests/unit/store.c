/* SPDX-License-Identifier: MIT
 * Opening a store: what is refused and in which words, what is set, what survives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/temp_store.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void refused(temp_store *temp, bus_status status, const char *words)
{
    bui_store *store = NULL;
    memset(&temp->err, 0, sizeof temp->err);
    assert_int_equal(bui_store_open(&temp->options, &store, &temp->err), status);
    assert_null(store);
    if (!strstr(temp->err.text, words) || !strstr(temp->err.text, temp->path))
        fail_msg("'%s' does not say '%s' and the path", temp->err.text, words);
}

static void makes_and_sets(void **state)
{
    (void)state;
    temp_store temp;
    struct stat info;
    temp_store_init(&temp);
    bui_store *store = temp_store_open(&temp);
    char id[37];
    strcpy(id, bui_store_meta(store)->store_id);
    assert_true(bui_store_meta(store)->fresh);
    assert_int_equal(strlen(id), 36);
    assert_int_equal(temp_store_number(&temp, "PRAGMA synchronous"), 2);
    assert_int_equal(temp_store_number(&temp, "PRAGMA wal_autocheckpoint"), 0);
    assert_int_equal(temp_store_number(&temp, "PRAGMA foreign_keys"), 1);
    assert_int_equal(temp_store_number(&temp, "PRAGMA trusted_schema"), 0);
    assert_int_equal(temp_store_number(&temp, "PRAGMA temp_store"), 2);
    assert_int_equal(temp_store_number(&temp, "PRAGMA cache_size"), -65536);
    assert_int_equal(temp_store_number(&temp, "SELECT journal_mode = 'wal' FROM pragma_journal_mode"), 1);
    assert_int_equal(stat(temp.path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    /* Every table of the library has a primary key. */
    assert_int_equal(
        temp_store_number(
            &temp, "SELECT count(*) FROM pragma_table_list t WHERE t.schema = 'main' AND t.type = 'table' AND t.name LIKE 'bus%'"
                   " AND NOT EXISTS (SELECT 1 FROM pragma_table_info(t.name) c WHERE c.pk > 0)"),
        0);
    store = temp_store_reopen(&temp);
    assert_false(bui_store_meta(store)->fresh);
    assert_string_equal(bui_store_meta(store)->store_id, id);
    temp_store_remove(&temp);
}

static void raises(void **state)
{
    (void)state;
    temp_store temp;
    temp_store_init(&temp);
    bui_store *store = temp_store_open(&temp);
    char before[17];
    strcpy(before, bui_store_meta(store)->incarnation);
    OK_(bui_store_raise(store, NULL, 0, &temp.err), temp.err);
    assert_int_equal(bui_store_meta(store)->opens, 1);
    assert_string_not_equal(bui_store_meta(store)->incarnation, before);
    OK_(bui_store_raise(store, "11111111-2222-3333-4444-555555555555", 41, &temp.err), temp.err);
    OK_(bui_store_begin(store, &temp.err), temp.err);
    OK_(bui_store_set_transacted(store, &temp.err), temp.err);
    bui_store_rollback(store);
    assert_false(bui_store_meta(store)->transacted);
    OK_(bui_store_begin(store, &temp.err), temp.err);
    OK_(bui_store_set_transacted(store, &temp.err), temp.err);
    OK_(bui_store_commit(store, &temp.err), temp.err);
    store = temp_store_reopen(&temp);
    assert_int_equal(bui_store_meta(store)->opens, 41);
    assert_string_equal(bui_store_meta(store)->store_id, "11111111-2222-3333-4444-555555555555");
    assert_true(bui_store_meta(store)->transacted);
    temp_store_remove(&temp);
}

/* What a start leaves that was refused before it claimed the shard; also one that was killed while it made the file. */
static void a_store_that_nobody_claimed_is_known(void **state)
{
    (void)state;
    temp_store temp;
    temp_store_init(&temp);
    assert_false(bui_store_unclaimed(temp.path));
    bui_store_close(temp_store_open(&temp));
    temp.store = NULL;
    assert_true(bui_store_unclaimed(temp.path));
    bui_store *store = temp_store_open(&temp);
    OK_(bui_store_raise(store, NULL, 0, &temp.err), temp.err);
    assert_false(bui_store_unclaimed(temp.path));
    bui_store_close(store);
    temp.store = NULL;
    assert_false(bui_store_unclaimed(temp.path));
    assert_int_equal(truncate(temp.path, 0), 0);
    char wal[sizeof temp.path + 8];
    snprintf(wal, sizeof wal, "%s-wal", temp.path);
    unlink(wal);
    assert_true(bui_store_unclaimed(temp.path));
    temp_store_remove(&temp);
}

static void another_owner(void **state)
{
    (void)state;
    temp_store temp;
    temp_store_init(&temp);
    temp_store_open(&temp);
    temp_store_close(&temp);
    temp.options.service = "payment";
    refused(&temp, BUS_REFUSED, "of service 'inventory', not of 'payment'");
    temp.options.service = "inventory";
    temp.options.shard = 2;
    refused(&temp, BUS_REFUSED, "of shard 1, not of shard 2");
    temp.options.shard = 1;
    temp.options.shards = 8;
    refused(&temp, BUS_REFUSED, "made for 4 shards");
    temp.options.shards = 4;
    temp_store_meddle(&temp, "UPDATE bus_meta SET version = 999");
    refused(&temp, BUS_REFUSED, "store version 999, made by a newer version");
    temp.options.shards = 0;
    bui_store *store;
    assert_int_equal(bui_store_open(&temp.options, &store, &temp.err), BUS_INVALID);
    temp_store_remove(&temp);
}

static void another_file(void **state)
{
    (void)state;
    temp_store temp;
    char directory[128];
    temp_store_init(&temp);
    snprintf(directory, sizeof directory, "%s/inventory", temp.directory);
    mkdir(directory, 0700);
    FILE *file = fopen(temp.path, "w");
    for (int i = 0; i < 1000; i++)
        fputs("this is no database\n", file);
    fclose(file);
    refused(&temp, BUS_CORRUPT, "not a database");
    remove(temp.path);
    temp_store_meddle(&temp, "CREATE TABLE theirs(x)");
    refused(&temp, BUS_REFUSED, "not a store of the bus");
    /* Refused without a trace: it is as it was, not even in WAL mode. */
    sqlite3 *db;
    assert_int_equal(sqlite3_open(temp.path, &db), SQLITE_OK);
    temp_store_close(&temp);
    sqlite3_stmt *stmt;
    sqlite3_prepare_v2(db, "PRAGMA journal_mode", -1, &stmt, NULL);
    sqlite3_step(stmt);
    assert_string_equal((const char *)sqlite3_column_text(stmt, 0), "delete");
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    remove(temp.path);
    mkdir(temp.path, 0700);
    refused(&temp, BUS_IO, "unable to open");
    temp_store_remove(&temp);
}

/* As a user without rights: root may do all. Returns the status that the open gave. */
static void refused_as_nobody(temp_store *temp, const char *words)
{
    pid_t child = fork();
    if (child == 0) {
        if (getuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
            _exit(9);
        bui_store *store = NULL;
        bus_status status = bui_store_open(&temp->options, &store, &temp->err);
        if (status != BUS_IO || !strstr(temp->err.text, words))
            fprintf(stderr, "%s: %s\n", bus_status_name(status), temp->err.text);
        _exit(status == BUS_IO && strstr(temp->err.text, words) ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
}

static void without_permission(void **state)
{
    (void)state;
    temp_store temp;
    char directory[128];
    temp_store_init(&temp);
    chmod(temp.directory, 0555);
    refused_as_nobody(&temp, "let the user of this process write there");
    chmod(temp.directory, 0755);
    temp_store_open(&temp);
    temp_store_close(&temp);
    snprintf(directory, sizeof directory, "%s/inventory", temp.directory);
    chmod(directory, 0555);
    chmod(temp.path, 0444);
    refused_as_nobody(&temp, "let the user of this process");
    temp_store_remove(&temp);
}

static void migrates(void **state)
{
    (void)state;
    temp_store temp;
    temp_store_init(&temp);
    bus_migration list[4] = { { "one", "CREATE TABLE a(id INTEGER PRIMARY KEY); INSERT INTO a VALUES (5)" }, { 0 } };
    temp.options.migrations = list;
    temp_store_open(&temp);
    list[1] = (bus_migration){ "two", "CREATE TABLE b(id TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID; CREATE INDEX b_id ON b(id)" };
    temp_store_reopen(&temp);
    temp_store_reopen(&temp);
    assert_int_equal(temp_store_number(&temp, "SELECT count(*) FROM a"), 1);
    assert_int_equal(temp_store_number(&temp, "SELECT count(*) FROM bus_migration"), 2);
    temp_store_close(&temp);
    static const struct {
        bus_migration third;
        const char *words;
        bus_status status;
    } bad[] = {
        { { "three", "CREATE TABLE c(id TEXT PRIMARY KEY)" }, "leaves table c without a primary key", BUS_REFUSED },
        { { "three", "CREATE TABLE c(x)" }, "leaves table c without a primary key", BUS_REFUSED },
        { { "three", "COMMIT" }, "the bus begins, saves and commits", BUS_REFUSED },
        { { "three", "CREATE TABLE bus_mine(id INTEGER PRIMARY KEY)" }, "bus_* belong to the library", BUS_REFUSED },
        { { "three", "DELETE FROM bus_mark" }, "bus_* belong to the library", BUS_REFUSED },
        { { "three", "DROP TABLE bus_mark" }, "bus_* belong to the library", BUS_REFUSED },
        { { "three", "PRAGMA foreign_keys = 0" }, "PRAGMA is not allowed", BUS_REFUSED },
        { { "three", "CREATE TABLE c(id INTEGER PRIMARY KEY); CREATE TABLE a(id INTEGER PRIMARY KEY)" },
          "already exists",
          BUS_STORE },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        list[2] = bad[i].third;
        refused(&temp, bad[i].status, bad[i].words);
        assert_non_null(strstr(temp.err.text, "'three'"));
    }
    list[2] = (bus_migration){ "three", "CREATE TABLE c(id INTEGER PRIMARY KEY)" }; /* nothing of the failed ones is left */
    temp_store_open(&temp);
    temp_store_close(&temp);
    list[1].sql = "CREATE TABLE b(id INTEGER PRIMARY KEY)";
    refused(&temp, BUS_REFUSED, "the text of migration 2 ('two') has changed");
    list[1].name = "zwei";
    refused(&temp, BUS_REFUSED, "migration 2 was applied as 'two', this program's list has 'zwei'");
    list[1] = (bus_migration){ 0 };
    refused(&temp, BUS_REFUSED, "newer version of the service");
    temp_store_remove(&temp);
}

static void readers_only_read(void **state)
{
    (void)state;
    temp_store temp;
    sqlite3 *reader = NULL;
    temp_store_init(&temp);
    temp.options.migrations = (const bus_migration[]){ { "one", "CREATE TABLE a(id INTEGER PRIMARY KEY)" }, { 0 } };
    assert_int_equal(bui_store_reader(temp.path, &reader, &temp.err), BUS_IO);
    assert_non_null(strstr(temp.err.text, temp.path));
    temp_store_open(&temp);
    OK_(bui_store_reader(temp.path, &reader, &temp.err), temp.err);
    static const char *const denied[] = { "INSERT INTO a VALUES (1)", "DELETE FROM a",         "CREATE TABLE x(y)",
                                          "PRAGMA query_only = 0",    "PRAGMA wal_checkpoint", "PRAGMA user_version = 3",
                                          "ATTACH ':memory:' AS m" };
    for (size_t i = 0; i < sizeof denied / sizeof *denied; i++)
        assert_int_not_equal(sqlite3_exec(reader, denied[i], NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(reader, "BEGIN; SELECT * FROM a; PRAGMA table_info(a); COMMIT", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(reader);
    temp_store_remove(&temp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makes_and_sets),
        cmocka_unit_test(raises),
        cmocka_unit_test(a_store_that_nobody_claimed_is_known),
        cmocka_unit_test(another_owner),
        cmocka_unit_test(another_file),
        cmocka_unit_test(without_permission),
        cmocka_unit_test(migrates),
        cmocka_unit_test(readers_only_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
