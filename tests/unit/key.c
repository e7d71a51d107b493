/* SPDX-License-Identifier: MIT
 * Keys and parked records against a plain model, through saves, rollbacks and reopens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/temp_store.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS 24

typedef struct model_key {
    int64_t id;
    bui_key_state state;
    int64_t due;
    int attempt;
    int64_t parked;
} model_key;
typedef struct model {
    model_key key[KEYS];
} model;

static const void *name_of(int i, char text[16])
{
    snprintf(text, 16, "key%d", i);
    return text;
}

static bui_key *find(temp_store *temp, int i)
{
    char text[16];
    name_of(i, text);
    return bui_key_find(temp->store, "order.events", text, strlen(text));
}

static void expect_same(temp_store *temp, const model *m)
{
    bui_key_totals want = { 0 };
    int64_t least = INT64_MAX;
    for (int i = 0; i < KEYS; i++) {
        const model_key *k = &m->key[i];
        bui_key *key = find(temp, i);
        assert_int_equal(key ? key->state : BUI_KEY_FREE, k->state);
        if (!key)
            continue;
        assert_int_equal(key->id, k->id);
        assert_ptr_equal(bui_key_by_id(temp->store, k->id), key);
        assert_int_equal(key->due, k->due);
        assert_int_equal(key->attempt, k->attempt);
        assert_int_equal(key->parked, k->parked);
        want.waiting += k->state == BUI_KEY_WAITING;
        want.held += k->state == BUI_KEY_HELD;
        want.catching_up += k->state == BUI_KEY_CATCHING_UP;
        want.parked += k->parked;
        if (k->state == BUI_KEY_WAITING && k->due < least)
            least = k->due;
    }
    bui_key_totals got = bui_key_totals_of(temp->store);
    want.parked_bytes = want.parked * 5;
    assert_memory_equal(&got, &want, sizeof want);
    const bui_key *due = bui_key_next_due(temp->store);
    assert_int_equal(due ? due->due : INT64_MAX, least);
    int64_t after = 0;
    for (bui_key *key; (key = bui_key_next_catching_up(temp->store, after)); after = key->id, want.catching_up--) {
        assert_true(key->id > after);
        assert_int_equal(key->state, BUI_KEY_CATCHING_UP);
    }
    assert_int_equal(want.catching_up, 0);
}

static void park(temp_store *temp, bui_key *key)
{
    bui_parked record = { .event_id = "e",
                          .topic = "order.events",
                          .offset = 7,
                          .record_key = "k",
                          .record_key_len = 1,
                          .value = "value",
                          .value_len = 4 };
    OK_(bui_key_park(temp->store, key, &record, &temp->err), temp->err);
}

static void random_step(temp_store *temp, model *m)
{
    char text[16];
    int i = rand() % KEYS;
    model_key *k = &m->key[i];
    bui_key *key = find(temp, i);
    if (!key) {
        name_of(i, text);
        key = bui_key_make(temp->store, "order.events", text, strlen(text), &temp->err);
        assert_non_null(key);
        key->due = rand() % 1000;
        *k = (model_key){ key->id, BUI_KEY_WAITING, key->due, 0, 0 };
    } else if (rand() % 3 == 0) {
        park(temp, key);
        k->parked++;
    } else if (k->parked && rand() % 2) {
        OK_(bui_key_pop(temp->store, key, &temp->err), temp->err);
        k->parked--;
    } else if (!k->parked && rand() % 2) {
        OK_(bui_key_free(temp->store, key, &temp->err), temp->err);
        k->state = BUI_KEY_FREE;
    } else {
        assert_true(bui_key_touch(temp->store, key));
        key->state = k->state = (bui_key_state)(1 + rand() % 3);
        key->due = k->due = rand() % 1000;
        key->attempt = ++k->attempt;
    }
}

static void random_transaction(temp_store *temp, model *m)
{
    OK_(bui_store_begin(temp->store, &temp->err), temp->err);
    model before = *m;
    for (int i = rand() % 10; i > 0; i--) {
        model saved = *m;
        OK_(bui_store_save(temp->store, true, &temp->err), temp->err);
        for (int j = rand() % 6; j > 0; j--)
            random_step(temp, m);
        if (rand() % 2)
            expect_same(temp, m);
        if (rand() % 3) {
            OK_(bui_store_release(temp->store, &temp->err), temp->err);
        } else {
            OK_(bui_store_back(temp->store, &temp->err), temp->err);
            *m = saved;
        }
        if (rand() % 2)
            expect_same(temp, m);
    }
    if (rand() % 4) {
        OK_(bui_store_commit(temp->store, &temp->err), temp->err);
    } else {
        bui_store_rollback(temp->store);
        *m = before;
    }
    expect_same(temp, m);
    int64_t rows = 0, parked = 0;
    for (int i = 0; i < KEYS; i++) {
        rows += m->key[i].state != BUI_KEY_FREE;
        parked += m->key[i].state != BUI_KEY_FREE ? m->key[i].parked : 0;
    }
    assert_int_equal(temp_store_number(temp, "SELECT count(*) FROM bus_key"), rows);
    assert_int_equal(temp_store_number(temp, "SELECT count(*) FROM bus_parked"), parked);
}

static void follows_the_model(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 12; seed++) {
        temp_store temp;
        temp_store_init(&temp);
        temp_store_open(&temp);
        model m;
        memset(&m, 0, sizeof m);
        srand(seed);
        for (int i = 0; i < 60; i++) {
            random_transaction(&temp, &m);
            if (rand() % 8 == 0) {
                temp_store_reopen(&temp);
                expect_same(&temp, &m);
            }
        }
        temp_store_remove(&temp);
    }
}

static void null_and_empty_keys_differ(void **state)
{
    (void)state;
    temp_store temp;
    temp_store_init(&temp);
    temp_store_open(&temp);
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    bui_key *none = bui_key_make(temp.store, "s", NULL, 0, &temp.err), *empty = bui_key_make(temp.store, "s", "", 0, &temp.err);
    assert_non_null(none);
    assert_non_null(empty);
    assert_null(bui_key_make(temp.store, "s", "", 0, &temp.err));
    assert_int_equal(temp.err.status, BUS_BUG);
    OK_(bui_store_commit(temp.store, &temp.err), temp.err);
    temp_store_reopen(&temp);
    assert_null(bui_key_find(temp.store, "s", NULL, 0)->key);
    assert_non_null(bui_key_find(temp.store, "s", "", 0)->key);
    temp_store_remove(&temp);
}

static void parked_records_keep_all(void **state)
{
    (void)state;
    temp_store temp;
    bui_arena arena;
    bui_parked out;
    bui_arena_init(&arena, 0);
    temp_store_init(&temp);
    temp_store_open(&temp);
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    bui_key *key = bui_key_make(temp.store, "s", "k", 1, &temp.err);
    bui_parked first = { .event_id = "one",
                         .topic = "t",
                         .partition = 3,
                         .offset = 9,
                         .timestamp = -1,
                         .record_key = "",
                         .headers = "hh",
                         .headers_len = 2 };
    bui_parked second = { .event_id = "two", .topic = "u", .value = "", .value_len = 0 };
    assert_int_equal(bui_key_head(temp.store, key, &arena, &out, &temp.err), BUS_MISSING);
    assert_int_equal(bui_key_pop(temp.store, key, &temp.err), BUS_MISSING);
    OK_(bui_key_park(temp.store, key, &first, &temp.err), temp.err);
    OK_(bui_key_park(temp.store, key, &second, &temp.err), temp.err);
    assert_true(bui_key_holds(temp.store, key, &(bui_identity){ "u", 0, "two", NULL }));
    assert_false(bui_key_holds(temp.store, key, &(bui_identity){ "u", 0, "three", NULL }));
    assert_false(bui_key_holds(temp.store, key, &(bui_identity){ "u", 1, "two", NULL }));
    assert_false(bui_key_holds(temp.store, key, &(bui_identity){ "t", 0, "two", NULL }));
    assert_int_equal(bui_key_free(temp.store, key, &temp.err), BUS_BUG);
    OK_(bui_store_commit(temp.store, &temp.err), temp.err);
    temp_store_reopen(&temp);
    key = bui_key_find(temp.store, "s", "k", 1);
    OK_(bui_key_head(temp.store, key, &arena, &out, &temp.err), temp.err);
    assert_string_equal(out.event_id, "one");
    assert_string_equal(out.topic, "t");
    assert_int_equal(out.partition, 3);
    assert_int_equal(out.offset, 9);
    assert_int_equal(out.timestamp, -1);
    assert_non_null(out.record_key);
    assert_int_equal(out.record_key_len, 0);
    assert_null(out.value);
    assert_memory_equal(out.headers, "hh", 2);
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    OK_(bui_key_pop(temp.store, key, &temp.err), temp.err);
    OK_(bui_key_head(temp.store, key, &arena, &out, &temp.err), temp.err);
    assert_string_equal(out.event_id, "two");
    assert_non_null(out.value);
    assert_null(out.record_key);
    OK_(bui_key_pop(temp.store, key, &temp.err), temp.err);
    int64_t id = key->id;
    OK_(bui_key_free(temp.store, key, &temp.err), temp.err);
    /* Made again in the same transaction: another id, since tokens name it. */
    key = bui_key_make(temp.store, "s", "k", 1, &temp.err);
    assert_true(key->id > id);
    assert_null(bui_key_by_id(temp.store, id));
    OK_(bui_store_commit(temp.store, &temp.err), temp.err);
    assert_int_equal(temp_store_number(&temp, "SELECT count(*) FROM bus_key"), 1);
    bui_arena_free(&arena);
    temp_store_remove(&temp);
}

/* 100,000 waiting keys: each question stays cheap, or this takes minutes. */
static void many_keys(void **state)
{
    (void)state;
    temp_store temp;
    char text[16];
    temp_store_init(&temp);
    temp_store_open(&temp);
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    srand(5);
    for (int i = 0; i < 100000; i++) {
        name_of(i, text);
        bui_key *key = bui_key_make(temp.store, "s", text, strlen(text), &temp.err);
        assert_non_null(key);
        key->due = rand();
        assert_non_null(bui_key_next_due(temp.store));
    }
    OK_(bui_store_commit(temp.store, &temp.err), temp.err);
    temp_store_reopen(&temp);
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    int64_t before = -1;
    bui_key *key;
    while ((key = bui_key_next_due(temp.store))) {
        assert_true(key->due >= before);
        before = key->due;
        assert_true(bui_key_touch(temp.store, key));
        key->state = BUI_KEY_CATCHING_UP;
    }
    OK_(bui_store_commit(temp.store, &temp.err), temp.err);
    assert_int_equal(bui_key_totals_of(temp.store).catching_up, 100000);
    OK_(bui_store_begin(temp.store, &temp.err), temp.err);
    int64_t after = 0, freed = 0;
    while ((key = bui_key_next_catching_up(temp.store, after))) {
        after = key->id;
        OK_(bui_key_free(temp.store, key, &temp.err), temp.err);
        freed++;
    }
    assert_int_equal(freed, 100000);
    OK_(bui_store_commit(temp.store, &temp.err), temp.err);
    assert_int_equal(temp_store_number(&temp, "SELECT count(*) FROM bus_key"), 0);
    temp_store_remove(&temp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_the_model),
        cmocka_unit_test(null_and_empty_keys_differ),
        cmocka_unit_test(parked_records_keep_all),
        cmocka_unit_test(many_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
