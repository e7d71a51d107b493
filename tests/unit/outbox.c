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

typedef struct seen { int64_t ids[64], seqs[64]; char sources[64][80]; size_t count, most; } seen;

static bool collect(const bus_outbox_row *row, void *opaque)
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

static int64_t add(temp_store *temp, bus_destination *to)
{
    bus_outbox_row row = { .destination = to, .event_id = "e", .value = "value", .value_len = 5, .headers = "" };
    OK_(bus_outbox_add(temp->store, &row, &temp->err), temp->err);
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
    OK_(bus_store_raise(temp.store, NULL, 0, &temp.err), temp.err);
    char source[80];
    bus_destination *a = bus_destination_of(temp.store, "a", 0, &temp.err), *b = bus_destination_of(temp.store, "b", 0, &temp.err);
    assert_ptr_equal(bus_destination_by_id(temp.store, b->id), b);
    assert_null(bus_destination_by_id(temp.store, 99));
    strcpy(source, a->source);
    OK_(bus_store_begin(temp.store, &temp.err), temp.err);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(bus_outbox_next_id(temp.store), i + 1);
        ids[i] = add(&temp, i % 2 ? b : a);
    }
    OK_(bus_store_commit(temp.store, &temp.err), temp.err);
    OK_(bus_outbox_scan(temp.store, 0, b, 100, collect, &s, &temp.err), temp.err);
    assert_int_equal(s.count, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(s.ids[i], ids[i * 2 + 1]);
        assert_int_equal(s.seqs[i], i + 1);
        assert_string_equal(s.sources[i], source);
    }
    s = (seen){ .most = 2 };
    OK_(bus_outbox_scan(temp.store, ids[3], NULL, 100, collect, &s, &temp.err), temp.err);
    assert_int_equal(s.count, 2);
    assert_int_equal(s.ids[0], ids[3]);
    assert_int_equal(bus_outbox_depth_of(temp.store).bytes, 50);
    assert_true(bus_outbox_depth_of(temp.store).oldest_ms > 0);
    /* Rejected rows stay, and are handed out no more. */
    OK_(bus_store_begin(temp.store, &temp.err), temp.err);
    OK_(bus_outbox_reject(temp.store, ids[0], "too large", &temp.err), temp.err);
    assert_int_equal(bus_outbox_reject(temp.store, ids[0], "too large", &temp.err), BUS_MISSING);
    const int64_t gone[] = { ids[1], ids[2], ids[3], ids[7] };
    OK_(bus_outbox_delete(temp.store, gone, 4, &temp.err), temp.err);
    OK_(bus_store_commit(temp.store, &temp.err), temp.err);
    for (int round = 0; round < 2; round++) { /* the second time as loaded */
        bus_outbox_depth depth = bus_outbox_depth_of(temp.store);
        assert_int_equal(depth.rows, 5);
        assert_int_equal(depth.rejected, 1);
        temp_store_reopen(&temp);
        s = (seen){ 0 };
        OK_(bus_outbox_scan(temp.store, 0, NULL, 100, collect, &s, &temp.err), temp.err);
        assert_int_equal(s.count, 5);
        assert_int_equal(s.ids[0], ids[4]);
    }
    /* A new incarnation: seq from 1, ids above all former ones even when none is left; old rows keep their source. */
    OK_(bus_store_raise(temp.store, NULL, 0, &temp.err), temp.err);
    a = bus_destination_of(temp.store, "a", 0, &temp.err);
    OK_(bus_store_begin(temp.store, &temp.err), temp.err);
    assert_true(add(&temp, a) > ids[9]);
    OK_(bus_store_commit(temp.store, &temp.err), temp.err);
    s = (seen){ 0 };
    OK_(bus_outbox_scan(temp.store, 0, a, 100, collect, &s, &temp.err), temp.err);
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
        bus_destination *to = bus_destination_of(temp.store, "a", 0, &temp.err);
        OK_(bus_store_begin(temp.store, &temp.err), temp.err);
        int64_t id = add(&temp, to);
        assert_true(id > last);
        OK_(bus_outbox_delete(temp.store, &id, 1, &temp.err), temp.err);
        OK_(bus_store_commit(temp.store, &temp.err), temp.err);
        assert_int_equal(bus_outbox_depth_of(temp.store).rows, 0);
        assert_int_equal(bus_outbox_depth_of(temp.store).oldest_ms, 0);
        last = id;
        temp_store_close(&temp);
    }
    temp_store_remove(&temp);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(rows), cmocka_unit_test(ids_are_never_reused) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
