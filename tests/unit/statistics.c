/* SPDX-License-Identifier: MIT
 * SQLite's statistics of memory: off, but not for a program that used SQLite first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/statistics.h"
#include <bus/bus.h>
#include <sqlite3.h>

static sqlite3_int64 used_by_a_connection(void)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE a(id INTEGER PRIMARY KEY)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_int64 used = sqlite3_memory_used();
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return used;
}

static void a_program_that_was_first_keeps_them(void **state)
{
    (void)state;
    assert_int_equal(sqlite3_initialize(), SQLITE_OK);
    bui_statistics_off();
    assert_true(used_by_a_connection() > 0);
    assert_int_equal(sqlite3_shutdown(), SQLITE_OK);
}

static void bus_open_turns_them_off(void **state)
{
    (void)state;
    const bus_service nameless = { .name = "Not A Name" };
    bus_config *config = bus_config_new();
    bus *handle = NULL;
    bus_error err = { 0 };
    assert_non_null(config);
    assert_int_not_equal(bus_open(&nameless, config, &handle, &err), BUS_OK);
    assert_int_equal(used_by_a_connection(), 0);
    bus_config_free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_program_that_was_first_keeps_them),
        cmocka_unit_test(bus_open_turns_them_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
