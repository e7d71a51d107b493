/* SPDX-License-Identifier: MIT
 * Open letters: the store knows which events have one without asking its table, through rollbacks and reopens, and what it asks of its
 * dead letters costs the same however many there are. */
#include "store/open_letters.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/statement_counts.h"
#include "support/temp_store.h"

static void put(temp_store *temp, int i, int state, const char *run)
{
    bui_deadletter letter = { .scope = "s", .round = 1, .state = state };
    snprintf(letter.id, sizeof letter.id, "letter-%d", i);
    snprintf(letter.event_id, sizeof letter.event_id, "event-%d", i);
    snprintf(letter.replay, sizeof letter.replay, "%s", run);
    OK_(bui_deadletter_put(temp->store, &letter, &temp->err), temp->err);
}

static void put_all(temp_store *temp, int from, int to, int state)
{
    OK_(bui_store_begin(temp->store, &temp->err), temp->err);
    for (int i = from; i < to; i++)
        put(temp, i, state, "");
    OK_(bui_store_commit(temp->store, &temp->err), temp->err);
}

static bool maybe(temp_store *temp, int i)
{
    char id[32];
    snprintf(id, sizeof id, "event-%d", i);
    return bui_deadletter_maybe(temp->store, id);
}

/* How many of them may have an open one. */
static int maybes(temp_store *temp, int from, int to)
{
    int count = 0;
    for (int i = from; i < to; i++)
        count += maybe(temp, i);
    return count;
}

static void no_is_exact_and_maybe_is_rare(void **state)
{
    (void)state;
    temp_store temp;
    temp_store_init(&temp);
    temp_store_open(&temp);
    assert_int_equal(maybes(&temp, 0, 1000), 0);
    for (int open = 1; open <= 20000; open *= 20) { /* 1, 20, 400, 8000: it is made larger on its way */
        put_all(&temp, 0, open, 1);
        assert_int_equal(maybes(&temp, 0, open), open);
        assert_in_range(maybes(&temp, 1000000, 1010000), 0, 250); /* of 10,000 */
    }
    temp_store_reopen(&temp);
    assert_int_equal(maybes(&temp, 0, 8000), 8000);
    put_all(&temp, 0, 4000, 3);
    put_all(&temp, 4000, 7999, 2); /* redriven: it is on its way */
    assert_in_range(maybes(&temp, 0, 4000), 0, 100);
    assert_int_equal(maybes(&temp, 4000, 8000), 4000);
    put_all(&temp, 4000, 8000, 4);
    assert_int_equal(maybes(&temp, 0, 1010000), 0);
    temp_store_remove(&temp);
}

static void what_is_undone_is_undone_there_too(void **state)
{
    (void)state;
    temp_store temp;
    temp_store_init(&temp);
    temp_store_open(&temp);
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    put(&temp, 1, 1, "");
    OK_(bui_store_save(temp.store, true, &temp.err), temp.err);
    put(&temp, 1, 3, "");
    put(&temp, 2, 1, "");
    assert_false(maybe(&temp, 1));
    OK_(bui_store_back(temp.store, &temp.err), temp.err);
    assert_true(maybe(&temp, 1));
    assert_false(maybe(&temp, 2));
    bui_store_rollback(temp.store);
    assert_false(maybe(&temp, 1));
    put_all(&temp, 1, 3, 1);
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    put(&temp, 1, 4, "");
    assert_int_equal(bui_deadletter_settled_count(temp.store), 1);
    bui_store_rollback(temp.store);
    assert_true(maybe(&temp, 1));
    assert_int_equal(bui_deadletter_settled_count(temp.store), 0);
    temp_store_remove(&temp);
}

/* A copy that was replayed is not its event: it holds nothing back. */
static void letters_of_copies_are_not_asked_for(void **state)
{
    (void)state;
    temp_store temp;
    temp_store_init(&temp);
    temp_store_open(&temp);
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    put(&temp, 1, 1, "run");
    OK_(bui_store_commit(temp.store, &temp.err), temp.err);
    assert_false(maybe(&temp, 1));
    assert_int_equal(bui_deadletter_open_count(temp.store), 1);
    temp_store_reopen(&temp);
    assert_false(maybe(&temp, 1));
    put_all(&temp, 2, 3, 1);
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    put(&temp, 1, 3, "run");
    OK_(bui_store_commit(temp.store, &temp.err), temp.err);
    assert_true(maybe(&temp, 2));
    temp_store_remove(&temp);
}

/* Ids are kept up to 255 bytes: what is longer must not be taken for another. */
static void long_ids_are_known(void **state)
{
    (void)state;
    temp_store temp;
    char id[1000];
    bui_deadletter letter = { .id = "l", .scope = "s", .round = 1, .state = 1 };
    temp_store_init(&temp);
    temp_store_open(&temp);
    memset(id, 'x', sizeof id);
    id[sizeof id - 1] = 0;
    snprintf(letter.event_id, sizeof letter.event_id, "%.255s", id);
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    OK_(bui_deadletter_put(temp.store, &letter, &temp.err), temp.err);
    OK_(bui_store_commit(temp.store, &temp.err), temp.err);
    assert_true(bui_deadletter_maybe(temp.store, id));
    temp_store_reopen(&temp);
    assert_true(bui_deadletter_maybe(temp.store, id));
    temp_store_remove(&temp);
}

/* A counter that is full stays: "no" would no longer be exact. */
static void counters_do_not_wrap(void **state)
{
    (void)state;
    bui_open_letters letters = { 0 };
    assert_true(bui_open_letters_make(&letters, 1));
    for (int i = 0; i < 300; i++) {
        assert_true(bui_open_letters_add(&letters, "same", NULL));
        assert_true(bui_open_letters_maybe(&letters, "same"));
    }
    for (int i = 0; i < 299; i++)
        assert_true(bui_open_letters_remove(&letters, "same", NULL));
    assert_true(bui_open_letters_maybe(&letters, "same"));
    bui_open_letters_free(&letters);
}

/* Steps of SQLite's machine to find the oldest open one, those ahead of the clock, and what may be forgotten. */
static int64_t steps_of_looks(temp_store *temp)
{
    static const char *const texts[] = { "SELECT min(at) FROM bus_letter", "AND at BETWEEN ?1",
                                         "FROM (SELECT round FROM bus_letter" };
    sqlite3 *db = bui_store_db(temp->store);
    int64_t before = 0, after = 0, oldest, gone;
    bool more;
    for (size_t i = 0; i < 3; i++)
        before += statement_count(db, texts[i], SQLITE_STMTSTATUS_VM_STEP);
    OK_(bui_store_begin(temp->store, &temp->err), temp->err);
    OK_(bui_deadletter_oldest(temp->store, &oldest, &temp->err), temp->err);
    OK_(bui_deadletters_between(temp->store, INT64_MAX - 1, INT64_MAX, NULL, NULL, &temp->err), temp->err);
    OK_(bui_deadletter_expire(temp->store, 1, 100000, &gone, &more, &temp->err), temp->err);
    OK_(bui_store_commit(temp->store, &temp->err), temp->err);
    assert_int_equal(gone, 0);
    for (size_t i = 0; i < 3; i++)
        after += statement_count(db, texts[i], SQLITE_STMTSTATUS_VM_STEP);
    return after - before;
}

static void looks_cost_the_same_with_many(void **state)
{
    (void)state;
    temp_store temp;
    temp_store_init(&temp);
    temp_store_open(&temp);
    put_all(&temp, 0, 20, 1);
    put_all(&temp, 10, 20, 3);
    int64_t few = steps_of_looks(&temp);
    put_all(&temp, 0, 4000, 1);
    put_all(&temp, 2000, 4000, 3);
    assert_in_range(steps_of_looks(&temp), 1, few + 10);
    temp_store_remove(&temp);
}

static void the_oldest_settled_are_forgotten_first(void **state)
{
    (void)state;
    temp_store temp;
    int64_t gone;
    bool more;
    temp_store_init(&temp);
    temp_store_open(&temp);
    put_all(&temp, 0, 30, 1);
    for (int i = 0; i < 20; i++) {
        char sql[100];
        put_all(&temp, i, i + 1, 3);
        snprintf(sql, sizeof sql, "UPDATE bus_letter SET at = %d WHERE id = 'letter-%d'", 1000 - i, i);
        temp_store_meddle(&temp, sql);
    }
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    OK_(bui_deadletter_expire(temp.store, 1, 5, &gone, &more, &temp.err), temp.err);
    assert_int_equal(bui_deadletter_settled_count(temp.store), 5);
    bui_store_rollback(temp.store);
    assert_int_equal(bui_deadletter_settled_count(temp.store), 20);
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    OK_(bui_deadletter_expire(temp.store, 1, 5, &gone, &more, &temp.err), temp.err);
    OK_(bui_store_commit(temp.store, &temp.err), temp.err);
    assert_int_equal(gone, 15);
    assert_false(more);
    assert_int_equal(temp_store_number(&temp, "SELECT count(*) FROM bus_letter WHERE state = 3 AND at > 995"), 5);
    assert_int_equal(temp_store_number(&temp, "SELECT count(*) FROM bus_letter WHERE state = 1"), 10);
    temp_store_reopen(&temp);
    assert_int_equal(bui_deadletter_settled_count(temp.store), 5);
    assert_int_equal(bui_deadletter_open_count(temp.store), 10);
    temp_store_remove(&temp);
}

/* It is of the same version: a program that knew nothing of them may open it again. */
static void a_store_without_the_indexes_gets_them(void **state)
{
    (void)state;
    temp_store temp;
    temp_store_init(&temp);
    temp_store_open(&temp);
    put_all(&temp, 0, 3, 1);
    temp_store_close(&temp);
    temp_store_meddle(&temp, "DROP INDEX bus_letter_open_at; DROP INDEX bus_letter_settled_at;"
                             "CREATE INDEX bus_letter_open ON bus_letter(id) WHERE state IN (1, 2)");
    temp_store_open(&temp);
    assert_int_equal(temp_store_number(&temp,
                                       "SELECT count(*) FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'bus_letter'"
                                       " AND name IN ('bus_letter_open_at', 'bus_letter_settled_at', 'bus_letter_open')"),
                     2);
    assert_int_equal(maybes(&temp, 0, 3), 3);
    assert_int_equal(temp_store_number(&temp, "SELECT version FROM bus_meta"), 11);
    temp_store_reopen(&temp);
    temp_store_remove(&temp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_is_exact_and_maybe_is_rare),
        cmocka_unit_test(what_is_undone_is_undone_there_too),
        cmocka_unit_test(letters_of_copies_are_not_asked_for),
        cmocka_unit_test(long_ids_are_known),
        cmocka_unit_test(counters_do_not_wrap),
        cmocka_unit_test(looks_cost_the_same_with_many),
        cmocka_unit_test(the_oldest_settled_are_forgotten_first),
        cmocka_unit_test(a_store_without_the_indexes_gets_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
