/* SPDX-License-Identifier: MIT
 * Ids seen: bounded, oldest first out, the same after a reopen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/temp_store.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bui_receipt settle(temp_store *temp, int i)
{
    char id[24];
    int len = snprintf(id, sizeof id, "id-%d", i);
    return bui_dedup_settle(temp->store, "shop", 4, id, (size_t)len, i);
}

static void source_and_id_both_count(void **state)
{
    (void)state;
    temp_store temp;
    temp_store_init(&temp);
    temp_store_open(&temp);
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    assert_int_equal(bui_dedup_settle(temp.store, "ab", 2, "c", 1, 1), BUI_NEW);
    assert_int_equal(bui_dedup_settle(temp.store, "a", 1, "bc", 2, 1), BUI_NEW);
    assert_int_equal(bui_dedup_settle(temp.store, "", 0, "abc", 3, 1), BUI_NEW);
    assert_int_equal(bui_dedup_settle(temp.store, "abc", 3, "", 0, 1), BUI_NEW);
    OK_(bui_store_commit(temp.store, &temp.err), temp.err);
    temp_store_reopen(&temp);
    assert_int_equal(bui_dedup_settle(temp.store, "ab", 2, "c", 1, 1), BUI_DUPLICATE);
    assert_int_equal(bui_dedup_settle(temp.store, "", 0, "abc", 3, 1), BUI_DUPLICATE);
    assert_int_equal(bui_dedup_settle(temp.store, "abc", 3, "", 0, 1), BUI_DUPLICATE);
    temp_store_remove(&temp);
}

static void stays_bounded(void **state)
{
    (void)state;
    temp_store temp;
    temp_store_init(&temp);
    temp.options.dedup_most = 1000;
    temp_store_open(&temp);
    for (int i = 0; i < 20000; i += 50) {
        OK_(bui_store_begin(temp.store, &temp.err), temp.err);
        for (int j = i; j < i + 50; j++)
            assert_int_equal(settle(&temp, j), BUI_NEW);
        if (i % 150 == 0) { /* taken back, and seen again at once */
            bui_store_rollback(temp.store);
            OK_(bui_store_begin(temp.store, &temp.err), temp.err);
            for (int j = i; j < i + 50; j++)
                assert_int_equal(settle(&temp, j), BUI_NEW);
        }
        OK_(bui_store_commit(temp.store, &temp.err), temp.err);
        if (i % 3000 == 0)
            temp_store_reopen(&temp);
        assert_in_range(temp_store_number(&temp, "SELECT count(*) FROM bus_seen"), i >= 1000 ? 800 : 0, 1000);
        for (int j = i + 49; j >= 0 && j > i - 800; j -= 7)
            assert_int_equal(settle(&temp, j), BUI_DUPLICATE);
    }
    int64_t kept = temp_store_number(&temp, "SELECT count(*) FROM bus_seen"), forgotten = bui_dedup_forgotten(temp.store);
    assert_true(forgotten > 0);
    assert_true(bui_dedup_oldest_ms(temp.store) > 0);
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    for (int j = 0; j < 20000; j++)
        assert_int_equal(settle(&temp, j), j >= 20000 - kept ? BUI_DUPLICATE : BUI_NEW);
    bui_store_rollback(temp.store);
    temp_store_remove(&temp);
}

#define MANY 150000

/* As many as settle() would have settled. */
static void fill(temp_store *temp)
{
    temp_store_meddle(temp, "WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM c WHERE i < 149999)"
                            " INSERT INTO bus_seen SELECT i + 1, CAST('shop' AS BLOB), CAST('id-' || i AS BLOB), i FROM c");
}

/* Until the ids are there it is LATER. */
static bui_receipt settle_at_last(temp_store *temp, int i)
{
    bui_receipt receipt;
    while ((receipt = settle(temp, i)) == BUI_RECEIPT_LATER) {
        assert_true(bui_dedup_loading(temp->store));
        assert_int_equal(bui_dedup_has(temp->store, "shop", 4, "x", 1), BUI_RECEIPT_LATER);
        bui_store_rollback(temp->store);
        usleep(1000);
        OK_(bui_store_begin(temp->store, &temp->err), temp->err);
    }
    return receipt;
}

static void many_are_loaded_beside(void **state)
{
    (void)state;
    temp_store temp;
    temp_store_init(&temp);
    temp_store_open(&temp);
    fill(&temp);
    temp.options.dedup_beside = true;
    temp_store_reopen(&temp);
    assert_true(bui_dedup_loading(temp.store)); /* open did not wait */
    temp_store_reopen(&temp);                   /* nor does close */
    assert_true(bui_dedup_loading(temp.store));
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    OK_(bui_store_commit(temp.store, &temp.err), temp.err);
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    for (int i = 0; i < MANY; i += 7)
        assert_int_equal(settle_at_last(&temp, i), BUI_DUPLICATE);
    assert_false(bui_dedup_loading(temp.store));
    assert_int_equal(settle(&temp, MANY), BUI_NEW);
    assert_int_equal(settle(&temp, MANY), BUI_DUPLICATE);
    OK_(bui_store_commit(temp.store, &temp.err), temp.err);
    assert_int_equal(temp_store_number(&temp, "SELECT max(n) FROM bus_seen"), MANY + 1);
    temp_store_remove(&temp);
}

static void what_is_forgotten_meanwhile_is_forgotten(void **state)
{
    (void)state;
    temp_store temp;
    temp_store_init(&temp);
    temp_store_open(&temp);
    fill(&temp);
    temp.options.dedup_beside = true;
    temp_store_reopen(&temp);
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    OK_(bui_dedup_forget(temp.store, "shop", &temp.err), temp.err);
    OK_(bui_store_commit(temp.store, &temp.err), temp.err);
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    assert_int_equal(settle_at_last(&temp, 1), BUI_NEW);
    OK_(bui_store_commit(temp.store, &temp.err), temp.err);
    assert_int_equal(temp_store_number(&temp, "SELECT count(*) FROM bus_seen"), 1);
    temp_store_remove(&temp);
}

/* What could not be loaded is no answer: of an id that is not in memory then nothing is known. */
static void a_load_that_fails_answers_nothing(void **state)
{
    (void)state;
    temp_store temp;
    char away[sizeof temp.path + 8];
    temp_store_init(&temp);
    temp_store_open(&temp);
    fill(&temp);
    snprintf(away, sizeof away, "%s.away", temp.path);
    temp.options.dedup_beside = true;
    temp_store_reopen(&temp);
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    assert_int_equal(settle_at_last(&temp, 1), BUI_DUPLICATE);
    OK_(bui_dedup_forget(temp.store, "another", &temp.err), temp.err); /* to load them again */
    assert_int_equal(rename(temp.path, away), 0);
    OK_(bui_store_commit(temp.store, &temp.err), temp.err);
    for (int i = 0; i < 20; i++) {
        OK_(bui_store_begin(temp.store, &temp.err), temp.err);
        assert_int_equal(bui_dedup_has(temp.store, "shop", 4, "id-2", 4), BUI_RECEIPT_LATER);
        bui_store_rollback(temp.store);
        usleep(5000);
    }
    assert_int_equal(rename(away, temp.path), 0);
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    assert_int_equal(settle_at_last(&temp, 2), BUI_DUPLICATE);
    assert_int_equal(bui_dedup_has(temp.store, "shop", 4, "id-3", 4), BUI_DUPLICATE);
    bui_store_rollback(temp.store);
    temp_store_remove(&temp);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(source_and_id_both_count), cmocka_unit_test(stays_bounded),
                                        cmocka_unit_test(many_are_loaded_beside),
                                        cmocka_unit_test(what_is_forgotten_meanwhile_is_forgotten),
                                        cmocka_unit_test(a_load_that_fails_answers_nothing) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
