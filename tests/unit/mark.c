/* SPDX-License-Identifier: MIT
 * Marks and gaps against a model that keeps every settled number in a set, through saves, rollbacks and reopens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/temp_store.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SOURCES 4
#define MOST 120

static const char *const sources[SOURCES] = { "order/0#aaaa", "order/0#bbbb", "order/1#cccc", "payment/0#dddd" };

/* settled[source][seq]; high is what the mark must be. */
typedef struct model {
    bool settled[SOURCES][MOST + 1];
    int64_t high[SOURCES];
} model;

static bui_receipt settle(temp_store *temp, int s, int64_t seq, int64_t *gap)
{
    return bui_mark_settle(temp->store, sources[s], strlen(sources[s]), "order.events", 1, seq, 1000 + s, gap);
}

static void expect_settle(temp_store *temp, model *m, int s, int64_t seq)
{
    int64_t gap = -1, missing = seq - m->high[s] - 1;
    bool family = (s == 0 && m->high[1]) || (s == 1 && m->high[0]);
    bui_receipt want, got = settle(temp, s, seq, &gap);
    if (m->settled[s][seq])
        want = BUI_DUPLICATE;
    else if (seq < m->high[s])
        want = BUI_NEW_IN_GAP;
    else
        want = missing > 0 && (m->high[s] || family) ? BUI_NEW_AFTER_GAP : m->high[s] ? BUI_NEW : BUI_NEW_FIRST;
    assert_int_equal(got, want);
    assert_int_equal(gap, want == BUI_NEW_AFTER_GAP ? missing : 0);
    m->settled[s][seq] = true;
    if (seq > m->high[s])
        m->high[s] = seq;
}

static size_t gaps_of(const model *m)
{
    size_t gaps = 0;
    for (int s = 0; s < SOURCES; s++)
        for (int64_t seq = 1; seq <= m->high[s]; seq++)
            gaps += !m->settled[s][seq] && (seq == 1 || m->settled[s][seq - 1]);
    return gaps;
}

static void expect_same(temp_store *temp, const model *m)
{
    for (int s = 0; s < SOURCES; s++)
        assert_int_equal(bui_mark_high(temp->store, sources[s], strlen(sources[s]), "order.events", 1), m->high[s]);
    assert_int_equal(bui_mark_gaps(temp->store), gaps_of(m));
}

static void expect_tables(temp_store *temp, const model *m)
{
    assert_int_equal(temp_store_number(temp, "SELECT count(*) FROM bus_hole"), gaps_of(m));
    int64_t high = 0;
    for (int s = 0; s < SOURCES; s++)
        high += m->high[s];
    assert_int_equal(temp_store_number(temp, "SELECT coalesce(sum(high), 0) FROM bus_mark"), high);
}

/* A few deliveries, each in a level of its own that is kept or taken back. */
static void random_transaction(temp_store *temp, model *m)
{
    OK_(bui_store_begin(temp->store, &temp->err), temp->err);
    model before = *m;
    for (int i = rand() % 12; i > 0; i--) {
        model saved = *m;
        OK_(bui_store_save(temp->store, rand() % 2, &temp->err), temp->err);
        for (int j = rand() % 4; j > 0; j--) {
            int s = rand() % SOURCES;
            int64_t seq = rand() % 3 ? m->high[s] + 1 + (rand() % 4 == 0) * (rand() % 5) : 1 + rand() % MOST;
            if (seq <= MOST)
                expect_settle(temp, m, s, seq);
        }
        if (rand() % 3) {
            OK_(bui_store_release(temp->store, &temp->err), temp->err);
        } else {
            OK_(bui_store_back(temp->store, &temp->err), temp->err);
            *m = saved;
        }
        expect_same(temp, m);
    }
    if (rand() % 4) {
        OK_(bui_store_commit(temp->store, &temp->err), temp->err);
    } else {
        bui_store_rollback(temp->store);
        *m = before;
    }
    expect_same(temp, m);
    expect_tables(temp, m);
}

static void follows_the_model(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 12; seed++) {
        temp_store temp;
        temp_store_init(&temp);
        temp_store_open(&temp);
        model m = { 0 };
        srand(seed);
        for (int i = 0; i < 60; i++) {
            random_transaction(&temp, &m);
            if (rand() % 8 == 0) {
                temp_store_reopen(&temp);
                expect_same(&temp, &m);
            }
        }
        /* In the end every number is either settled or new, exactly once. */
        OK_(bui_store_begin(temp.store, &temp.err), temp.err);
        for (int s = 0; s < SOURCES; s++)
            for (int64_t seq = 1; seq <= MOST; seq++)
                expect_settle(&temp, &m, s, seq);
        assert_int_equal(bui_mark_gaps(temp.store), 0);
        OK_(bui_store_commit(temp.store, &temp.err), temp.err);
        expect_tables(&temp, &m);
        temp_store_remove(&temp);
    }
}

static void first_records(void **state)
{
    (void)state;
    temp_store temp;
    int64_t gap;
    temp_store_init(&temp);
    temp_store_open(&temp);
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    assert_int_equal(settle(&temp, 0, 7, &gap), BUI_NEW_FIRST); /* an unknown source, read from the middle: no alarm */
    assert_int_equal(gap, 0);
    assert_int_equal(settle(&temp, 1, 3, &gap), BUI_NEW_AFTER_GAP); /* a new incarnation of a known shard begins at 1 */
    assert_int_equal(gap, 2);
    assert_int_equal(settle(&temp, 3, 1, &gap), BUI_NEW_FIRST);
    assert_int_equal(settle(&temp, 3, INT64_MAX, &gap), BUI_NEW_AFTER_GAP);
    assert_int_equal(settle(&temp, 3, INT64_MAX, NULL), BUI_DUPLICATE);
    assert_int_equal(settle(&temp, 3, 0, NULL), BUI_RECEIPT_FAILED);
    /* Another partition is another destination. */
    assert_int_equal(bui_mark_settle(temp.store, sources[0], strlen(sources[0]), "order.events", 2, 1, 1, NULL), BUI_NEW_FIRST);
    OK_(bui_store_commit(temp.store, &temp.err), temp.err);
    temp_store_remove(&temp);
}

static void forgets_and_expires(void **state)
{
    (void)state;
    temp_store temp;
    temp_store_init(&temp);
    temp_store_open(&temp);
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    for (int s = 0; s < SOURCES; s++)
        settle(&temp, s, 5, NULL);
    OK_(bui_store_commit(temp.store, &temp.err), temp.err);
    assert_int_equal(bui_mark_gaps(temp.store), 4);
    /* Heard of at 1000 + s. Only order/0#aaaa has a newer incarnation. */
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    OK_(bui_mark_expire(temp.store, 5000, &temp.err), temp.err);
    bui_store_rollback(temp.store);
    assert_int_equal(bui_mark_gaps(temp.store), 4);
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    OK_(bui_mark_expire(temp.store, 5000, &temp.err), temp.err);
    OK_(bui_store_commit(temp.store, &temp.err), temp.err);
    temp_store_reopen(&temp);
    assert_int_equal(bui_mark_high(temp.store, sources[0], strlen(sources[0]), "order.events", 1), 0);
    for (int s = 1; s < SOURCES; s++)
        assert_int_equal(bui_mark_high(temp.store, sources[s], strlen(sources[s]), "order.events", 1), 5);
    assert_int_equal(bui_mark_gaps(temp.store), 3);
    /* An offset reset backwards: the partition's marks go. */
    bui_position *position = bui_position_of(temp.store, "order.events", 1);
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    assert_true(bui_position_set(temp.store, position, 10, BUI_NO_PLACE));
    OK_(bui_position_forget(temp.store, "order.events", 1, &temp.err), temp.err);
    OK_(bui_store_commit(temp.store, &temp.err), temp.err);
    assert_int_equal(position->next, 10);
    assert_int_equal(temp_store_number(&temp, "SELECT (SELECT count(*) FROM bus_mark) + (SELECT count(*) FROM bus_hole)"), 0);
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    assert_int_equal(settle(&temp, 2, 4, NULL), BUI_NEW_FIRST);
    OK_(bui_store_commit(temp.store, &temp.err), temp.err);
    temp_store_remove(&temp);
}

static void many_gaps(void **state)
{
    (void)state;
    const int64_t most = 2 * BUI_GAPS_PER_MARK;
    temp_store temp;
    int64_t gap;
    temp_store_init(&temp);
    temp_store_open(&temp);
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    for (int64_t seq = 2; seq <= most; seq += 2)
        assert_int_not_equal(settle(&temp, 0, seq, NULL), BUI_RECEIPT_FAILED);
    OK_(bui_store_commit(temp.store, &temp.err), temp.err);
    temp_store_reopen(&temp);
    assert_int_equal(bui_mark_gaps(temp.store), BUI_GAPS_PER_MARK);
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    /* One more is not counted, and changes nothing; what needs no further gap is. */
    assert_int_equal(settle(&temp, 0, most + 2, &gap), BUI_UNCOUNTED);
    assert_int_equal(settle(&temp, 0, most + 1, &gap), BUI_NEW);
    assert_int_equal(settle(&temp, 0, most + 3, &gap), BUI_UNCOUNTED);
    for (int64_t seq = most - 1; seq > 0; seq -= 2)
        assert_int_equal(settle(&temp, 0, seq, NULL), BUI_NEW_IN_GAP);
    OK_(bui_store_commit(temp.store, &temp.err), temp.err);
    assert_int_equal(temp_store_number(&temp, "SELECT count(*) FROM bus_hole"), 0);
    temp_store_remove(&temp);
}

/* Numbers that descend split one gap again and again. What a level keeps for taking back stays small. */
static void descending_numbers_cost_little(void **state)
{
    (void)state;
    temp_store temp;
    temp_store_init(&temp);
    temp_store_open(&temp);
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    assert_int_equal(settle(&temp, 0, 120000, NULL), BUI_NEW_FIRST);
    int counted = 0;
    for (int64_t seq = 119998; seq > 0; seq -= 2)
        counted += settle(&temp, 0, seq, NULL) == BUI_NEW_IN_GAP;
    assert_int_equal(counted, BUI_GAPS_PER_MARK - 1);
    assert_int_equal(bui_mark_gaps(temp.store), BUI_GAPS_PER_MARK);
    OK_(bui_store_commit(temp.store, &temp.err), temp.err);
    temp_store_reopen(&temp);
    assert_int_equal(bui_mark_gaps(temp.store), BUI_GAPS_PER_MARK);
    temp_store_remove(&temp);
}

static void gaps_of_a_compacted_topic_are_forgotten_oldest_first(void **state)
{
    (void)state;
    temp_store temp;
    int64_t seq, gap;
    temp_store_init(&temp);
    temp_store_open(&temp);
    for (seq = 2; seq <= 20000;) {
        OK_(bui_store_begin(temp.store, &temp.err), temp.err);
        for (int i = 0; i < 300 && seq <= 20000; i++, seq += 2)
            assert_int_not_equal(settle(&temp, 0, seq, NULL), BUI_UNCOUNTED);
        OK_(bui_store_commit(temp.store, &temp.err), temp.err);
        assert_true(bui_mark_gaps(temp.store) <= BUI_GAPS_PER_MARK);
        assert_int_equal(temp_store_number(&temp, "SELECT count(*) FROM bus_hole"), (int64_t)bui_mark_gaps(temp.store));
    }
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    assert_int_equal(settle(&temp, 0, 1, &gap), BUI_DUPLICATE);
    assert_int_equal(settle(&temp, 0, 19999, &gap), BUI_NEW_IN_GAP);
    OK_(bui_store_commit(temp.store, &temp.err), temp.err);
    temp_store_remove(&temp);
}

static void sources_are_bounded(void **state)
{
    (void)state;
    temp_store temp;
    char source[32];
    temp_store_init(&temp);
    temp.options.marks_most = 1000;
    temp_store_open(&temp);
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    for (int i = 0; i < 3000; i++) {
        int len = snprintf(source, sizeof source, "made-up/%d#1", i);
        assert_int_equal(bui_mark_settle(temp.store, source, (size_t)len, "order.events", 1, 1, 1, NULL),
                         i < 1000 ? BUI_NEW_FIRST : BUI_UNCOUNTED);
    }
    assert_int_equal(bui_mark_settle(temp.store, "made-up/7#1", 11, "order.events", 1, 2, 1, NULL), BUI_NEW);
    /* So are the gaps of all of them together. */
    for (int i = 0; i < 3000; i++) {
        int len = snprintf(source, sizeof source, "made-up/%d#1", i % 1000);
        (void)bui_mark_settle(temp.store, source, (size_t)len, "order.events", 1, 10 + 2 * i, 1, NULL);
    }
    assert_int_equal(bui_mark_gaps(temp.store), 1000);
    OK_(bui_store_commit(temp.store, &temp.err), temp.err);
    temp_store_remove(&temp);
}

static void contradicting_gaps_are_refused(void **state)
{
    (void)state;
    temp_store temp;
    temp_store_init(&temp);
    temp_store_open(&temp);
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    settle(&temp, 0, 5, NULL);
    OK_(bui_store_commit(temp.store, &temp.err), temp.err);
    temp_store_close(&temp);
    temp_store_meddle(&temp, "UPDATE bus_hole SET hi = 9");
    assert_int_equal(bui_store_open(&temp.options, &temp.store, &temp.err), BUS_CORRUPT);
    assert_non_null(strstr(temp.err.text, "gap 1..9"));
    temp_store_remove(&temp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_the_model),
        cmocka_unit_test(first_records),
        cmocka_unit_test(forgets_and_expires),
        cmocka_unit_test(many_gaps),
        cmocka_unit_test(descending_numbers_cost_little),
        cmocka_unit_test(gaps_of_a_compacted_topic_are_forgotten_oldest_first),
        cmocka_unit_test(sources_are_bounded),
        cmocka_unit_test(contradicting_gaps_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
