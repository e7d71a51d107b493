/* SPDX-License-Identifier: MIT
 * The sandbox: what a handler's SQL may do, and what is noticed afterwards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/internal.h"
#include "support/temp_store.h"
#include <stdio.h>
#include <string.h>

static const bus_migration migrations[] = {
    { "one", "CREATE TABLE a(id INTEGER PRIMARY KEY, n INTEGER UNIQUE);"
             "CREATE TABLE b(id INTEGER PRIMARY KEY, a INTEGER REFERENCES a(id) DEFERRABLE INITIALLY DEFERRED);"
             "CREATE TRIGGER thief AFTER INSERT ON b WHEN new.id = 66 BEGIN DELETE FROM a; END" },
    { 0 }
};

static int setup(void **state)
{
    static temp_store temp;
    temp_store_init(&temp);
    temp.options.migrations = migrations;
    temp_store_open(&temp);
    *state = &temp;
    return 0;
}

static int teardown(void **state)
{
    temp_store_remove(*state);
    return 0;
}

static void denies(void **state)
{
    temp_store *temp = *state;
    sqlite3 *db = bui_store_db(temp->store);
    static const char *const denied[] = {
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT x",
        "RELEASE bus",
        "ATTACH ':memory:' AS m",
        "DETACH main",
        "PRAGMA synchronous = 0",
        "PRAGMA table_info(a)",
        "CREATE TABLE c(x)",
        "CREATE TEMP TABLE c(x)",
        "CREATE INDEX i ON a(n)",
        "DROP TABLE a",
        "ALTER TABLE a ADD z",
        "CREATE VIEW v AS SELECT 1",
        "REINDEX",
        "ANALYZE",
        "SELECT * FROM bus_meta",
        "SELECT * FROM BUS_OUTBOX",
        "DELETE FROM bus_mark",
        "UPDATE bus_meta SET opens = 0",
        "INSERT INTO a SELECT seq, 1 FROM bus_outbox",
        "DELETE FROM sqlite_schema",
    };
    OK_(bui_store_begin(temp->store, &temp->err), temp->err);
    bui_store_sandbox(temp->store, true);
    for (size_t i = 0; i < sizeof denied / sizeof *denied; i++) {
        memset(&temp->err, 0, sizeof temp->err);
        if (bui_store_sql(temp->store, denied[i], &temp->err))
            fail_msg("'%s' was prepared", denied[i]);
        if (sqlite3_exec(db, denied[i], NULL, NULL, NULL) == SQLITE_OK)
            fail_msg("'%s' ran", denied[i]);
    }
    assert_int_not_equal(sqlite3_exec(db, "VACUUM", NULL, NULL, NULL),
                         SQLITE_OK); /* SQLite asks nobody, and refuses inside a transaction */
    assert_null(bui_store_sql(temp->store, "SELECT 1; SELECT 2", &temp->err));
    assert_non_null(strstr(temp->err.text, "one statement"));
    assert_null(bui_store_sql(temp->store, "", &temp->err));
    assert_null(bui_store_sql(temp->store, "SELECT absent FROM a", &temp->err));
    if (!strstr(temp->err.text, "no such column: absent"))
        fail_msg("%s", temp->err.text);
    assert_non_null(bui_store_sql(temp->store, "SELECT * FROM a;  ", &temp->err));
    /* The library itself goes on inside. */
    bui_outbox_row row = { .destination = bui_destination_of(temp->store, "t", 0, &temp->err), .event_id = "x" };
    OK_(bui_outbox_add(temp->store, &row, &temp->err), temp->err);
    bui_store_sandbox(temp->store, false);
    OK_(bui_store_standing(temp->store, &temp->err), temp->err);
    OK_(bui_store_commit(temp->store, &temp->err), temp->err);
}

static void a_lost_transaction_is_noticed(void **state)
{
    temp_store *temp = *state;
    sqlite3 *db = bui_store_db(temp->store);
    OK_(bui_store_begin(temp->store, &temp->err), temp->err);
    bui_store_sandbox(temp->store, true);
    assert_int_equal(sqlite3_exec(db, "INSERT INTO a VALUES (1, 1)", NULL, NULL, NULL), SQLITE_OK);
    assert_int_not_equal(sqlite3_exec(db, "INSERT OR ROLLBACK INTO a VALUES (2, 1)", NULL, NULL, NULL), SQLITE_OK);
    /* Outside of a transaction now, but nothing commits by itself. */
    assert_int_not_equal(sqlite3_exec(db, "INSERT INTO a VALUES (3, 3)", NULL, NULL, NULL), SQLITE_OK);
    bui_store_sandbox(temp->store, false);
    assert_int_equal(bui_store_standing(temp->store, &temp->err), BUS_STORE);
    assert_non_null(strstr(temp->err.text, "OR ROLLBACK"));
    assert_int_equal(bui_store_commit(temp->store, &temp->err), BUS_STORE);
    assert_int_equal(temp_store_number(temp, "SELECT count(*) FROM a"), 0);
    OK_(bui_store_begin(temp->store, &temp->err), temp->err);
    assert_int_equal(sqlite3_exec(db, "INSERT INTO b VALUES (1, 99)", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(bui_store_standing(temp->store, &temp->err), BUS_STORE);
    assert_non_null(strstr(temp->err.text, "foreign key"));
    bui_store_rollback(temp->store);
}

/* A statement left among its rows counts its changes only when it is reset: leaving the sandbox does that. */
static void unfinished_statements_count(void **state)
{
    temp_store *temp = *state;
    sqlite3_stmt *own = NULL;
    OK_(bui_store_begin(temp->store, &temp->err), temp->err);
    for (int i = 0; i < 2; i++) {
        OK_(bui_store_save(temp->store, true, &temp->err), temp->err);
        bui_store_sandbox(temp->store, true);
        if (i == 0)
            assert_int_equal(sqlite3_step(bui_store_sql(temp->store, "INSERT INTO a VALUES (10, 10) RETURNING id", &temp->err)),
                             SQLITE_ROW);
        else
            assert_int_equal(
                sqlite3_prepare_v2(bui_store_db(temp->store), "INSERT INTO a VALUES (11, 11) RETURNING id", -1, &own, NULL),
                SQLITE_OK);
        if (own)
            assert_int_equal(sqlite3_step(own), SQLITE_ROW);
        bui_store_sandbox(temp->store, false);
        assert_true(bui_store_changed(temp->store));
        OK_(bui_store_back(temp->store, &temp->err), temp->err);
    }
    sqlite3_finalize(own);
    OK_(bui_store_commit(temp->store, &temp->err), temp->err);
    assert_int_equal(temp_store_number(temp, "SELECT count(*) FROM a"), 0);
}

static void statements_are_cached(void **state)
{
    temp_store *temp = *state;
    char sql[64];
    bui_store_sandbox(temp->store, true);
    sqlite3_stmt *one = bui_store_sql(temp->store, "SELECT ?1", &temp->err);
    sqlite3_bind_int(one, 1, 7);
    assert_int_equal(sqlite3_step(one), SQLITE_ROW);
    strcpy(sql, "SELECT ?1"); /* by text, not by address */
    assert_ptr_equal(bui_store_sql(temp->store, sql, &temp->err), one);
    assert_int_equal(sqlite3_step(one), SQLITE_ROW);
    assert_int_equal(sqlite3_column_type(one, 0), SQLITE_NULL);
    for (int i = 0; i < 200; i++) {
        snprintf(sql, sizeof sql, "SELECT %d", i);
        sqlite3_stmt *stmt = bui_store_sql(temp->store, sql, &temp->err);
        assert_true((stmt != NULL) == (i < 127));
    }
    assert_int_equal(temp->err.status, BUS_TOO_BIG);
    bui_store_sandbox(temp->store, false);
    for (int i = 0; i < 1000; i++) {
        bui_store_sandbox(temp->store, true);
        snprintf(sql, sizeof sql, "SELECT %d", i);
        assert_int_equal(sqlite3_step(bui_store_sql(temp->store, sql, &temp->err)), SQLITE_ROW);
        bui_store_sandbox(temp->store, false);
    }
}

static void a_write_that_found_no_room_is_noticed_though_nobody_looked(void **state)
{
    temp_store *temp = *state;
    char pragma[64];
    snprintf(pragma, sizeof pragma, "PRAGMA max_page_count = %lld", (long long)temp_store_number(temp, "PRAGMA page_count") + 2);
    assert_int_equal(sqlite3_exec(bui_store_db(temp->store), pragma, NULL, NULL, NULL), SQLITE_OK);
    OK_(bui_store_begin(temp->store, &temp->err), temp->err);
    bui_store_sandbox(temp->store, true);
    sqlite3_step(bui_store_sql(temp->store, "INSERT INTO a VALUES (1, zeroblob(1000000))", &temp->err));
    sqlite3_step(bui_store_sql(temp->store, "INSERT INTO a VALUES (2, 2)", &temp->err));
    bui_store_sandbox(temp->store, false);
    assert_int_equal(bui_store_disabled(temp->store, &temp->err), BUS_FULL);
    bui_store_rollback(temp->store);
    /* a constraint is the handler's business */
    OK_(bui_store_begin(temp->store, &temp->err), temp->err);
    bui_store_sandbox(temp->store, true);
    for (int i = 0; i < 2; i++)
        sqlite3_step(bui_store_sql(temp->store, "INSERT INTO a VALUES (3, 3)", &temp->err));
    bui_store_sandbox(temp->store, false);
    assert_int_equal(bui_store_disabled(temp->store, &temp->err), BUS_OK);
}

/* Where others' statements may be in the middle of their rows, each handler pays for a look at all there are. */
static void its_own_statements_are_no_strangers(void **state)
{
    temp_store *temp = *state;
    sqlite3_stmt *other = NULL;
    assert_false(temp->store->sandbox.strangers); /* though a migration has just run, after which SQLite prepares again */
    assert_int_equal(sqlite3_prepare_v2(bui_store_db(temp->store), "SELECT 1 FROM a", -1, &other, NULL), SQLITE_OK);
    assert_true(temp->store->sandbox.strangers);
    sqlite3_finalize(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(denies, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lost_transaction_is_noticed, setup, teardown),
        cmocka_unit_test_setup_teardown(unfinished_statements_count, setup, teardown),
        cmocka_unit_test_setup_teardown(statements_are_cached, setup, teardown),
        cmocka_unit_test_setup_teardown(its_own_statements_are_no_strangers, setup, teardown),
        cmocka_unit_test_setup_teardown(a_write_that_found_no_room_is_noticed_though_nobody_looked, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
