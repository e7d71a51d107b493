/* SPDX-License-Identifier: MIT
 * Answers of a schema registry in the store: kept, taken back, read at the next open, and a store from before they were. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "support/temp_store.h"

static void collect(const char *question, const char *answer, void *opaque)
{
    char *all = opaque;
    size_t n = strlen(all);
    snprintf(all + n, 200 - n, "%s=%s;", question, answer);
}

static void answers_are(temp_store *temp, const char *expected)
{
    char all[200] = "";
    OK_(bui_answers(temp->store, collect, all, &temp->err), temp->err);
    assert_string_equal(all, expected);
}

static void keeps_answers(void **state)
{
    (void)state;
    temp_store temp;
    temp_store_init(&temp);
    bui_store *store = temp_store_open(&temp);
    OK_(bui_store_begin(store, &temp.err), temp.err);
    OK_(bui_answer_put(store, "schemas/ids/1", "\"long\"", &temp.err), temp.err);
    OK_(bui_answer_put(store, "schemas/ids/1", "\"int\"", &temp.err), temp.err); /* the first stays */
    assert_true(bui_answer_known(store, "schemas/ids/1"));
    bui_store_rollback(store);
    assert_false(bui_answer_known(store, "schemas/ids/1"));
    answers_are(&temp, "");

    OK_(bui_store_begin(store, &temp.err), temp.err);
    OK_(bui_answer_put(store, "schemas/ids/1", "\"long\"", &temp.err), temp.err);
    OK_(bui_store_save(store, true, &temp.err), temp.err);
    OK_(bui_answer_put(store, "schemas/ids/2", "\"int\"", &temp.err), temp.err);
    OK_(bui_store_back(store, &temp.err), temp.err);
    assert_false(bui_answer_known(store, "schemas/ids/2"));
    OK_(bui_answer_put(store, "schemas/ids/3", "\"string\"", &temp.err), temp.err);
    OK_(bui_store_commit(store, &temp.err), temp.err);
    store = temp_store_reopen(&temp);
    answers_are(&temp, "schemas/ids/1=\"long\";schemas/ids/3=\"string\";");
    assert_true(bui_answer_known(store, "schemas/ids/1"));
    temp_store_remove(&temp);
}

static void upgrades_a_store_of_version_1(void **state)
{
    (void)state;
    temp_store temp;
    temp_store_init(&temp);
    temp_store_open(&temp);
    temp_store_close(&temp);
    temp_store_meddle(&temp, TEMP_STORE_BEFORE_7 TEMP_STORE_BACK_TO_4 "DROP TABLE bus_answer");
    temp_store_meddle(
        &temp,
        "DROP VIEW bus_numbered; DROP VIEW bus_outbox; DROP TABLE bus_outbox_1; ALTER TABLE bus_outbox_0 RENAME TO bus_outbox");
    temp_store_meddle(&temp, "UPDATE bus_meta SET version = 1");
    bui_store *store = temp_store_open(&temp);
    assert_int_equal(temp_store_number(&temp, "SELECT version FROM bus_meta"), BUI_STORE_VERSION);
    OK_(bui_store_begin(store, &temp.err), temp.err);
    OK_(bui_answer_put(store, "schemas/ids/1", "\"long\"", &temp.err), temp.err);
    OK_(bui_store_commit(store, &temp.err), temp.err);
    temp_store_reopen(&temp);
    answers_are(&temp, "schemas/ids/1=\"long\";");
    temp_store_remove(&temp);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(keeps_answers), cmocka_unit_test(upgrades_a_store_of_version_1) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
