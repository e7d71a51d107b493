/* SPDX-License-Identifier: MIT
 * Outbox: ids never come twice, rows keep the source they were written under, totals follow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/temp_store.h"
#include <stdio.h>
#include <string.h>

typedef struct seen {
    int64_t ids[64], seqs[64];
    char sources[64][80];
    size_t count, most;
} seen;

static bool collect(const bui_outbox_row *row, void *opaque)
{
    seen *s = opaque;
    s->ids[s->count] = row->id;
    s->seqs[s->count] = row->seq;
    snprintf(s->sources[s->count], sizeof s->sources[0], "%s", row->source);
    assert_memory_equal(row->value, "value", 5);
    assert_null(row->key);
    assert_non_null(row->headers);
    return ++s->count != s->most;
}

static int64_t add(temp_store *temp, bui_destination *to)
{
    bui_outbox_row row = { .destination = to, .event_id = "e", .value = "value", .value_len = 5, .headers = "" };
    OK_(bui_outbox_add(temp->store, &row, &temp->err), temp->err);
    return row.id;
}

static void rows(void **state)
{
    (void)state;
    temp_store temp;
    seen s = { 0 };
    int64_t ids[10];
    temp_store_init(&temp);
    temp_store_open(&temp);
    OK_(bui_store_raise(temp.store, NULL, 0, &temp.err), temp.err);
    char source[80];
    bui_destination *a = bui_destination_of(temp.store, "a", 0, &temp.err),
                    *b = bui_destination_of(temp.store, "b", 0, &temp.err);
    assert_ptr_equal(bui_destination_by_id(temp.store, b->id), b);
    assert_null(bui_destination_by_id(temp.store, 99));
    strcpy(source, a->source);
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(bui_outbox_next_id(temp.store), i + 1);
        ids[i] = add(&temp, i % 2 ? b : a);
    }
    OK_(bui_store_commit(temp.store, &temp.err), temp.err);
    OK_(bui_outbox_scan(temp.store, 0, b, 100, collect, &s, &temp.err), temp.err);
    assert_int_equal(s.count, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(s.ids[i], ids[i * 2 + 1]);
        assert_int_equal(s.seqs[i], i + 1);
        assert_string_equal(s.sources[i], source);
    }
    s = (seen){ .most = 2 };
    OK_(bui_outbox_scan(temp.store, ids[3], NULL, 100, collect, &s, &temp.err), temp.err);
    assert_int_equal(s.count, 2);
    assert_int_equal(s.ids[0], ids[3]);
    assert_int_equal(bui_outbox_depth_of(temp.store).bytes, 50);
    assert_true(bui_outbox_depth_of(temp.store).oldest_ms > 0);
    /* Rejected rows stay, and are handed out no more. */
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    OK_(bui_outbox_reject(temp.store, ids[0], BUI_OUTBOX_REJECTED, "too large", &temp.err), temp.err);
    assert_int_equal(bui_outbox_reject(temp.store, ids[0], BUI_OUTBOX_REJECTED, "too large", &temp.err), BUS_MISSING);
    const int64_t gone[] = { ids[1], ids[2], ids[3], ids[7] };
    OK_(bui_outbox_delete(temp.store, gone, 4, &temp.err), temp.err);
    OK_(bui_store_commit(temp.store, &temp.err), temp.err);
    for (int round = 0; round < 2; round++) { /* the second time as loaded */
        bui_outbox_depth depth = bui_outbox_depth_of(temp.store);
        assert_int_equal(depth.rows, 5);
        assert_int_equal(depth.rejected, 1);
        temp_store_reopen(&temp);
        s = (seen){ 0 };
        OK_(bui_outbox_scan(temp.store, 0, NULL, 100, collect, &s, &temp.err), temp.err);
        assert_int_equal(s.count, 5);
        assert_int_equal(s.ids[0], ids[4]);
    }
    /* A new incarnation: seq from 1, ids above all former ones even when none is left; old rows keep their source. */
    OK_(bui_store_raise(temp.store, NULL, 0, &temp.err), temp.err);
    a = bui_destination_of(temp.store, "a", 0, &temp.err);
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    assert_true(add(&temp, a) > ids[9]);
    OK_(bui_store_commit(temp.store, &temp.err), temp.err);
    s = (seen){ 0 };
    OK_(bui_outbox_scan(temp.store, 0, a, 100, collect, &s, &temp.err), temp.err);
    assert_string_equal(s.sources[0], source);
    assert_string_equal(s.sources[s.count - 1], a->source);
    assert_string_not_equal(s.sources[s.count - 1], source);
    assert_int_equal(s.seqs[s.count - 1], 1);
    temp_store_remove(&temp);
}

static void ids_are_never_reused(void **state)
{
    (void)state;
    temp_store temp;
    int64_t last = 0;
    temp_store_init(&temp);
    for (int i = 0; i < 5; i++) {
        temp_store_open(&temp);
        bui_destination *to = bui_destination_of(temp.store, "a", 0, &temp.err);
        OK_(bui_store_begin(temp.store, &temp.err), temp.err);
        int64_t id = add(&temp, to);
        assert_true(id > last);
        OK_(bui_outbox_delete(temp.store, &id, 1, &temp.err), temp.err);
        OK_(bui_store_commit(temp.store, &temp.err), temp.err);
        assert_int_equal(bui_outbox_depth_of(temp.store).rows, 0);
        assert_int_equal(bui_outbox_depth_of(temp.store).oldest_ms, 0);
        last = id;
        temp_store_close(&temp);
    }
    temp_store_remove(&temp);
}

static void commit(temp_store *temp)
{
    OK_(bui_store_commit(temp->store, &temp->err), temp->err);
}

static int64_t add_many(temp_store *temp, bui_destination *to, int count)
{
    int64_t last = 0;
    for (int i = 0; i < count; i++)
        last = add(temp, to);
    return last;
}

/* All acknowledged ids of 1 to `high` but `without` (0: none); what is deleted of them at no cost. */
static size_t delete_whole(temp_store *temp, int64_t high, int64_t without)
{
    static int64_t ids[4000];
    size_t count = 0, gone = 99;
    for (int64_t id = 1; id <= high; id++)
        if (id != without)
            ids[count++] = id;
    OK_(bui_outbox_delete_whole(temp->store, ids, count, &gone, &temp->err), temp->err);
    return gone;
}

static int64_t rows_of(temp_store *temp, const char *table)
{
    char sql[80];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", table);
    return temp_store_number(temp, sql);
}

static void two_tables_take_turns(void **state)
{
    (void)state;
    temp_store temp;
    temp_store_init(&temp);
    bui_store *store = temp_store_open(&temp);
    bui_destination *to = bui_destination_of(store, "a", 0, &temp.err);
    OK_(bui_store_begin(store, &temp.err), temp.err);
    add_many(&temp, to, 300);
    assert_int_equal(bui_outbox_pending_count(store), 300);
    commit(&temp);
    assert_int_equal(bui_outbox_pending_count(store), 300); /* for the relay */
    for (int round = 0; round < 2; round++) {               /* the second time as loaded */
        OK_(bui_store_begin(store, &temp.err), temp.err);
        assert_int_equal(bui_outbox_pending_count(store), 0);
        add_many(&temp, to, 10);
        assert_int_equal(delete_whole(&temp, 310, 100), 0); /* one is missing: nothing can be deleted whole */
        assert_int_equal(delete_whole(&temp, 299, 0), 0);
        assert_int_equal(delete_whole(&temp, round ? 300 : 309, 0), 300); /* the older table; of the younger one is missing */
        assert_int_equal(bui_outbox_depth_of(store).rows, 10);
        bui_store_rollback(store);
        assert_int_equal(bui_outbox_depth_of(store).rows, 300);
        store = temp_store_reopen(&temp);
        to = bui_destination_of(store, "a", 0, &temp.err);
    }
    OK_(bui_store_begin(store, &temp.err), temp.err);
    add_many(&temp, to, 10);
    commit(&temp);
    assert_int_equal(rows_of(&temp, "bus_outbox_0"), 300);
    assert_int_equal(rows_of(&temp, "bus_outbox_1"), 10);
    seen s = { .most = 4 };
    OK_(bui_outbox_scan(store, 299, NULL, 100, collect, &s, &temp.err), temp.err);
    assert_int_equal(s.ids[0], 299); /* on over the border */
    assert_true(s.ids[3] > s.ids[2] && s.ids[2] > 300);
    OK_(bui_store_begin(store, &temp.err), temp.err);
    OK_(bui_outbox_reject(store, 5, BUI_OUTBOX_HOLDS, "too large", &temp.err), temp.err);
    assert_int_equal(delete_whole(&temp, 300, 5), 0); /* what was rejected stays */
    const int64_t some[] = { 1, 2, 3, s.ids[2] };
    OK_(bui_outbox_delete(store, some, 4, &temp.err), temp.err);
    commit(&temp);
    assert_int_equal(rows_of(&temp, "bus_outbox_0"), 297);
    assert_int_equal(rows_of(&temp, "bus_outbox_1"), 9);
    assert_int_equal(bui_outbox_depth_of(store).rows, 305);
    assert_int_equal(bui_outbox_depth_of(store).bytes, 306 * 5);
    temp_store_remove(&temp);
}

/* Rows written before a savepoint's end, by a scan, are written again when it is taken back; those after it are gone. */
static void savepoints_hold(void **state)
{
    (void)state;
    temp_store temp;
    seen s = { 0 };
    temp_store_init(&temp);
    bui_store *store = temp_store_open(&temp);
    bui_destination *to = bui_destination_of(store, "a", 0, &temp.err);
    OK_(bui_store_begin(store, &temp.err), temp.err);
    add(&temp, to);
    OK_(bui_store_save(store, true, &temp.err), temp.err);
    add(&temp, to);
    OK_(bui_outbox_scan(store, 0, NULL, 100, collect, &s, &temp.err), temp.err); /* writes both */
    assert_int_equal(s.count, 2);
    OK_(bui_store_back(store, &temp.err), temp.err);
    assert_int_equal(bui_outbox_pending_count(store), 1);
    add(&temp, to);
    commit(&temp);
    assert_int_equal(rows_of(&temp, "bus_outbox"), 2);
    assert_int_equal(bui_outbox_depth_of(store).rows, 2);
    assert_int_equal(to->next_seq, 3);
    bui_outbox_row row;
    bui_outbox_pending(store, 1, &row);
    assert_int_equal(row.seq, 2);
    assert_string_equal(row.event_id, "e");
    assert_null(row.key);
    assert_memory_equal(row.value, "value", row.value_len);
    temp_store_remove(&temp);
}

static void next_is(temp_store *temp, int64_t next)
{
    bui_store *store = temp_store_reopen(temp);
    assert_int_equal(bui_destination_of(store, "a", 0, &temp->err)->next_seq, next);
    assert_int_equal(temp_store_number(temp, "SELECT next_seq FROM bus_numbered WHERE topic = 'a'"), next);
}

/* The rows tell the next number as long as they are there; it is written when they go, and with the incarnation's end. */
static void numbers_outlive_their_rows(void **state)
{
    (void)state;
    temp_store temp;
    temp_store_init(&temp);
    bui_store *store = temp_store_open(&temp);
    OK_(bui_store_begin(store, &temp.err), temp.err);
    int64_t last = add_many(&temp, bui_destination_of(store, "a", 0, &temp.err), 5);
    commit(&temp);
    OK_(bui_store_begin(store, &temp.err), temp.err);
    last = add_many(&temp, bui_destination_of(store, "a", 0, &temp.err), 5);
    commit(&temp);
    assert_int_equal(temp_store_number(&temp, "SELECT next_seq FROM bus_destination"),
                     6); /* its first row, written with the first rows */
    next_is(&temp, 11);
    for (int64_t from = last - 9; from <= last; from += 5) { /* the older half, then all */
        int64_t ids[] = { from, from + 1, from + 2, from + 3, from + 4 };
        OK_(bui_store_begin(temp.store, &temp.err), temp.err);
        OK_(bui_outbox_delete(temp.store, ids, 5, &temp.err), temp.err);
        commit(&temp);
        next_is(&temp, 11);
    }
    assert_int_equal(rows_of(&temp, "bus_outbox"), 0);
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    add_many(&temp, bui_destination_of(temp.store, "a", 0, &temp.err), 2);
    commit(&temp);
    OK_(bui_store_raise(temp.store, NULL, 0, &temp.err), temp.err);
    assert_int_equal(temp_store_number(&temp, "SELECT next_seq FROM bus_former"), 13);
    next_is(&temp, 1);
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    add_many(&temp, bui_destination_of(temp.store, "a", 0, &temp.err), 3);
    bui_store_rollback(temp.store);
    next_is(&temp, 1);
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    add_many(&temp, bui_destination_of(temp.store, "a", 0, &temp.err), 3);
    commit(&temp);
    next_is(&temp, 4);
    temp_store_remove(&temp);
}

/* The rows of a store of version 2 are there, and those that follow come after them. */
static void upgrades_a_store_of_version_2(void **state)
{
    (void)state;
    temp_store temp;
    seen s = { 0 };
    temp_store_init(&temp);
    bui_store *store = temp_store_open(&temp);
    OK_(bui_store_begin(store, &temp.err), temp.err);
    int64_t last = add_many(&temp, bui_destination_of(store, "a", 0, &temp.err), 20);
    commit(&temp);
    temp_store_close(&temp);
    temp_store_meddle(
        &temp, TEMP_STORE_BEFORE_7 TEMP_STORE_BACK_TO_4
        "DROP VIEW bus_numbered; DROP VIEW bus_outbox; DROP TABLE bus_outbox_1; ALTER TABLE bus_outbox_0 RENAME TO bus_outbox;"
        "UPDATE bus_meta SET version = 2");
    store = temp_store_open(&temp);
    assert_int_equal(temp_store_number(&temp, "SELECT version FROM bus_meta"), BUI_STORE_VERSION);
    assert_int_equal(bui_outbox_depth_of(store).rows, 20);
    OK_(bui_store_begin(store, &temp.err), temp.err);
    assert_true(add(&temp, bui_destination_of(store, "a", 0, &temp.err)) > last);
    commit(&temp);
    OK_(bui_outbox_scan(store, 0, NULL, 100, collect, &s, &temp.err), temp.err);
    assert_int_equal(s.count, 21);
    temp_store_remove(&temp);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(rows),
                                        cmocka_unit_test(ids_are_never_reused),
                                        cmocka_unit_test(two_tables_take_turns),
                                        cmocka_unit_test(savepoints_hold),
                                        cmocka_unit_test(numbers_outlive_their_rows),
                                        cmocka_unit_test(upgrades_a_store_of_version_2) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
