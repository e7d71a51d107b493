/* SPDX-License-Identifier: MIT
 * Audit of very many dead letters: twice as many cost twice as much. By the steps of SQLite's machine, in the looks that it takes at
 * whether to stop: a little more than twice, for these are some ten thousands of steps long. */
#include "codec/envelope.h"
#include "ops/audit.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/temp_store.h"

/* A third open and holding their keys, a third redriven and open again, a third resolved. */
static void fill_store(temp_store *temp, int count)
{
    OK_(bui_store_begin(temp->store, &temp->err), temp->err);
    for (int i = 0; i < count; i++) {
        char name[32];
        bui_deadletter letter = { .scope = "in", .round = 1 + (i % 3 == 1), .state = i % 3 == 2 ? 3 : 1 };
        snprintf(letter.id, sizeof letter.id, "letter-%d", i);
        snprintf(letter.event_id, sizeof letter.event_id, "event-%d", i);
        snprintf(name, sizeof name, "key-%d", i);
        if (i % 3 == 0) {
            bui_key *key = bui_key_make(temp->store, "in", name, strlen(name), &temp->err);
            bui_parked parked = { .event_id = letter.event_id, .topic = "in", .offset = i, .timestamp = 1 };
            assert_non_null(key);
            OK_(bui_key_park(temp->store, key, &parked, &temp->err), temp->err);
            assert_true(bui_key_touch(temp->store, key));
            key->state = BUI_KEY_HELD;
            letter.key_id = key->id;
        }
        OK_(bui_deadletter_put(temp->store, &letter, &temp->err), temp->err);
    }
    bui_position *position = bui_position_of(temp->store, "in", 0);
    assert_true(position && bui_position_set(temp->store, position, count, BUI_NO_PLACE));
    OK_(bui_store_commit(temp->store, &temp->err), temp->err);
}

static void take(bui_audit *audit, const char *topic, int32_t partition, int64_t offset, int i, const char *letter,
                 const char *body)
{
    char id[32], orig[48], text[64], command[64];
    bus_error err = { 0 };
    snprintf(id, sizeof id, "event-%d", i);
    snprintf(orig, sizeof orig, "in/0/%d/1", i);
    snprintf(text, sizeof text, "letter-%d %s", i, letter ? letter : "");
    snprintf(command, sizeof command, "redrive letter-%d 1", i);
    bus_header headers[5] = { { BUI_HEADER_ID, id, strlen(id) }, { "ce_source", "test", 4 }, { "ce_type", "type", 4 } };
    size_t count = 3;
    if (strcmp(topic, "in"))
        headers[count++] = (bus_header){ BUI_HEADER_ORIG, orig, strlen(orig) };
    if (letter)
        headers[count++] = (bus_header){ BUI_HEADER_LETTER, text, strlen(text) };
    bui_record record = { .topic = topic,
                          .partition = partition,
                          .offset = offset,
                          .timestamp = 1,
                          .value = body,
                          .value_len = body ? strlen(body) : 0,
                          .headers = headers,
                          .header_count = count };
    OK_(bui_audit_record(audit, &record, &err), err);
}

static void fill_topics(bui_audit *audit, int count)
{
    int64_t dlq = 0, redrive = 0;
    bus_error err = { 0 };
    for (int i = 0; i < count; i++) {
        take(audit, "in", 0, i, i, NULL, "body");
        take(audit, "inventory.dlq", 1, dlq++, i, "1 open", "body");
        if (i % 3 == 0)
            continue;
        take(audit, "inventory.redrive", 1, redrive++, i, NULL, "body");
        take(audit, "inventory.dlq", 1, dlq++, i, "1 redriven", NULL);
        take(audit, "inventory.dlq", 1, dlq++, i, i % 3 == 1 ? "2 open" : "1 resolved", i % 3 == 1 ? "body" : NULL);
    }
    OK_(bui_audit_log(audit, "in", 0, 0, count, &err), err);
    OK_(bui_audit_log(audit, "inventory.dlq", 1, 0, dlq, &err), err);
    OK_(bui_audit_log(audit, "inventory.redrive", 1, 0, redrive, &err), err);
}

static bool on_found(void *opaque, const bui_finding *finding)
{
    (void)opaque;
    if (finding->weight == BUI_AUDIT_VIOLATED && strcmp(finding->rule, "unsettled"))
        fail_msg("%s %s %s %s", finding->rule, finding->where, finding->id, finding->text);
    return true;
}

static bool on_total(void *opaque, const bui_audit_total *total)
{
    int *dead = opaque;
    *dead = (int)total->dead;
    return true;
}

static bool count_looks(void *opaque)
{
    int *looks = opaque;
    ++*looks;
    return false;
}

static int looks_for(int count)
{
    temp_store temp;
    bui_audit *audit;
    bus_error err = { 0 };
    int looks = 0, dead = 0;
    bui_watch watch = { .stop = count_looks, .opaque = &looks };
    temp_store_init(&temp);
    temp_store_open(&temp);
    fill_store(&temp, count);
    OK_(bui_audit_new(&watch, &audit, &err), err);
    OK_(bui_audit_store(audit, temp.path, false, &err), err);
    fill_topics(audit, count);
    OK_(bui_audit_store_again(audit, temp.path, &err), err);
    OK_(bui_audit_rules(audit, on_found, NULL, &err), err);
    OK_(bui_audit_totals(audit, on_total, &dead, &err), err);
    assert_int_equal(dead, count - count / 3);
    bui_audit_free(audit);
    temp_store_remove(&temp);
    return looks;
}

static void twice_as_many_letters_cost_twice_as_much(void **state)
{
    (void)state;
    int few = looks_for(3000);
    assert_in_range(looks_for(6000), few, few * 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(twice_as_many_letters_cost_twice_as_much) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
