/* SPDX-License-Identifier: MIT
 * A store in a directory of its own, for tests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/temp_store.h"
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void temp_store_init(temp_store *temp)
{
    memset(temp, 0, sizeof *temp);
    snprintf(temp->directory, sizeof temp->directory, "/tmp/bus-store-XXXXXX");
    assert_non_null(mkdtemp(temp->directory));
    snprintf(temp->path, sizeof temp->path, "%s/inventory/1.db", temp->directory);
    temp->options = (bui_store_options){ .path = temp->path, .service = "inventory", .shard = 1, .shards = 4 };
}

bui_store *temp_store_open(temp_store *temp)
{
    OK_(bui_store_open(&temp->options, &temp->store, &temp->err), temp->err);
    return temp->store;
}

void temp_store_close(temp_store *temp)
{
    bui_store_close(temp->store);
    temp->store = NULL;
}

bui_store *temp_store_reopen(temp_store *temp)
{
    temp_store_close(temp);
    return temp_store_open(temp);
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info;
    (void)kind;
    (void)walk;
    return remove(path);
}

void temp_store_remove(temp_store *temp)
{
    temp_store_close(temp);
    nftw(temp->directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int64_t number(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *stmt = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    int64_t value = sqlite3_step(stmt) == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : -1;
    sqlite3_finalize(stmt);
    return value;
}

int64_t temp_store_number(temp_store *temp, const char *sql)
{
    return number(bui_store_db(temp->store), sql);
}

void temp_store_meddle(temp_store *temp, const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(temp->path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    sqlite3_close(db);
}

static sqlite3_mem_methods real;
static long left;
static bool hit;

static bool fails(void)
{
    if (left > 0 && --left == 0) {
        hit = true;
        return true;
    }
    return false;
}

static void *failing_malloc(int n)
{
    return fails() ? NULL : real.xMalloc(n);
}

static void *failing_realloc(void *old, int n)
{
    return fails() ? NULL : real.xRealloc(old, n);
}

void sqlite_fail_install(void)
{
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real), SQLITE_OK);
    sqlite3_mem_methods failing = real;
    failing.xMalloc = failing_malloc;
    failing.xRealloc = failing_realloc;
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_MALLOC, &failing), SQLITE_OK);
}

void sqlite_fail_at(long n)
{
    hit = false;
    left = n;
}

bool sqlite_fail_off(void)
{
    left = 0;
    return hit;
}
