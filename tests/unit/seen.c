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

static bus_receipt settle(temp_store *temp, int i)
{
    char id[24];
    int len = snprintf(id, sizeof id, "id-%d", i);
    return bus_seen_settle(temp->store, "shop", 4, id, (size_t)len, i);
}

static void source_and_id_both_count(void **state)
{
    (void)state;
    temp_store temp;
    temp_store_init(&temp);
    temp_store_open(&temp);
    OK_(bus_store_begin(temp.store, &temp.err), temp.err);
    assert_int_equal(bus_seen_settle(temp.store, "ab", 2, "c", 1, 1), BUS_NEW);
    assert_int_equal(bus_seen_settle(temp.store, "a", 1, "bc", 2, 1), BUS_NEW);
    assert_int_equal(bus_seen_settle(temp.store, "", 0, "abc", 3, 1), BUS_NEW);
    assert_int_equal(bus_seen_settle(temp.store, "abc", 3, "", 0, 1), BUS_NEW);
    OK_(bus_store_commit(temp.store, &temp.err), temp.err);
    temp_store_reopen(&temp);
    assert_int_equal(bus_seen_settle(temp.store, "ab", 2, "c", 1, 1), BUS_DUPLICATE);
    assert_int_equal(bus_seen_settle(temp.store, "", 0, "abc", 3, 1), BUS_DUPLICATE);
    assert_int_equal(bus_seen_settle(temp.store, "abc", 3, "", 0, 1), BUS_DUPLICATE);
    temp_store_remove(&temp);
}

static void stays_bounded(void **state)
{
    (void)state;
    temp_store temp;
    temp_store_init(&temp);
    temp.options.seen_most = 1000;
    temp_store_open(&temp);
    for (int i = 0; i < 20000; i += 50) {
        OK_(bus_store_begin(temp.store, &temp.err), temp.err);
        for (int j = i; j < i + 50; j++)
            assert_int_equal(settle(&temp, j), BUS_NEW);
        if (i % 150 == 0) { /* taken back, and seen again at once */
            bus_store_rollback(temp.store);
            OK_(bus_store_begin(temp.store, &temp.err), temp.err);
            for (int j = i; j < i + 50; j++)
                assert_int_equal(settle(&temp, j), BUS_NEW);
        }
        OK_(bus_store_commit(temp.store, &temp.err), temp.err);
        if (i % 3000 == 0)
            temp_store_reopen(&temp);
        assert_in_range(temp_store_number(&temp, "SELECT count(*) FROM bus_seen"), i >= 1000 ? 800 : 0, 1000);
        for (int j = i + 49; j >= 0 && j > i - 800; j -= 7)
            assert_int_equal(settle(&temp, j), BUS_DUPLICATE);
    }
    int64_t kept = temp_store_number(&temp, "SELECT count(*) FROM bus_seen");
    OK_(bus_store_begin(temp.store, &temp.err), temp.err);
    for (int j = 0; j < 20000; j++)
        assert_int_equal(settle(&temp, j), j >= 20000 - kept ? BUS_DUPLICATE : BUS_NEW);
    bus_store_rollback(temp.store);
    temp_store_remove(&temp);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(source_and_id_both_count), cmocka_unit_test(stays_bounded) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
