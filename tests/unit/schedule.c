/* SPDX-License-Identifier: MIT
 * Scheduled emits in due order, replaced and cancelled by name; dead letters by id. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/temp_store.h"
#include <stdio.h>
#include <string.h>

static void put(temp_store *temp, const char *name, int64_t due)
{
    bui_scheduled event = {
        .name = name, .due = due, .event_id = "e", .topic = "t", .partition = -1, .key = "", .headers = "h", .headers_len = 1
    };
    OK_(bui_schedule_put(temp->store, &event, &temp->err), temp->err);
    assert_true(event.id > 0);
}

static void due_order(void **state)
{
    (void)state;
    temp_store temp;
    bui_arena arena;
    bui_scheduled out;
    bui_arena_init(&arena, 0);
    temp_store_init(&temp);
    temp_store_open(&temp);
    assert_int_equal(bui_schedule_next_due(temp.store), INT64_MAX);
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    put(&temp, "b", 20);
    put(&temp, "a", 10);
    put(&temp, "c", 20);
    OK_(bui_store_save(temp.store, true, &temp.err), temp.err);
    put(&temp, "a", 30); /* replaces */
    assert_int_equal(bui_schedule_next_due(temp.store), 20);
    assert_true(bui_schedule_drop(temp.store, "b"));
    assert_false(bui_schedule_drop(temp.store, "b"));
    OK_(bui_store_back(temp.store, &temp.err), temp.err);
    assert_int_equal(bui_schedule_next_due(temp.store), 10);
    put(&temp, "a", 30);
    OK_(bui_store_commit(temp.store, &temp.err), temp.err);
    temp_store_reopen(&temp);
    assert_int_equal(bui_schedule_next_due(temp.store), 20);
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    assert_int_equal(bui_schedule_take(temp.store, 19, &arena, &out, &temp.err), BUS_MISSING);
    static const char *const order[] = { "b", "c", "a" };
    for (int i = 0; i < 3; i++) {
        OK_(bui_schedule_take(temp.store, 100, &arena, &out, &temp.err), temp.err);
        assert_string_equal(out.name, order[i]);
        assert_non_null(out.key);
        assert_null(out.value);
        assert_int_equal(out.partition, -1);
        assert_memory_equal(out.headers, "h", 1);
    }
    assert_int_equal(bui_schedule_next_due(temp.store), INT64_MAX);
    bui_store_rollback(temp.store);
    assert_int_equal(bui_schedule_next_due(temp.store), 20);
    bui_arena_free(&arena);
    temp_store_remove(&temp);
}

static void letters(void **state)
{
    (void)state;
    temp_store temp;
    temp_store_init(&temp);
    temp_store_open(&temp);
    bui_deadletter letter = { .id = "l1", .event_id = "e", .scope = "s", .key_id = 4, .round = 1, .state = 1, .first_failed = 9 },
                   out;
    assert_int_equal(bui_deadletter_get(temp.store, "l1", &out, &temp.err), BUS_MISSING);
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    OK_(bui_deadletter_put(temp.store, &letter, &temp.err), temp.err);
    letter.state = 2;
    letter.round = 2;
    OK_(bui_deadletter_put(temp.store, &letter, &temp.err), temp.err);
    assert_int_equal(bui_deadletter_open_count(temp.store), 1);
    OK_(bui_store_commit(temp.store, &temp.err), temp.err);
    temp_store_reopen(&temp);
    assert_int_equal(bui_deadletter_open_count(temp.store), 1);
    OK_(bui_deadletter_get(temp.store, "l1", &out, &temp.err), temp.err);
    assert_string_equal(out.scope, "s");
    assert_int_equal(out.round, 2);
    assert_int_equal(out.key_id, 4);
    assert_int_equal(out.first_failed, 9);
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    out.state = 3;
    OK_(bui_deadletter_put(temp.store, &out, &temp.err), temp.err);
    assert_int_equal(bui_deadletter_open_count(temp.store), 0);
    bui_store_rollback(temp.store);
    assert_int_equal(bui_deadletter_open_count(temp.store), 1);
    temp_store_remove(&temp);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(due_order), cmocka_unit_test(letters) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
