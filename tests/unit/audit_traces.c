/* SPDX-License-Identifier: MIT
 * Audit traces: stores and topics damaged into the state that a defect left, and the rule that finds it; and the same undamaged. What whole
 * histories leave: tests/simulation/audited.c. */
#include "ops/audit.h"
#include "base/id.h"
#include "codec/envelope.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/temp_store.h"

typedef struct desk {
    temp_store temp;
    bui_audit *audit;
    char found[2000]; /* "rule id" lines of what is violated */
    char source[64];
    char totals[100];
} desk;

static bool on_found(void *opaque, const bui_finding *finding)
{
    desk *d = opaque;
    size_t len = strlen(d->found);
    if (finding->weight == BUI_AUDIT_VIOLATED)
        snprintf(d->found + len, sizeof d->found - len, "%s %s\n", finding->rule, finding->id);
    return true;
}

static int setup(void **state)
{
    desk *d = calloc(1, sizeof *d);
    temp_store_init(&d->temp);
    temp_store_open(&d->temp);
    OK_(bui_store_raise(d->temp.store, NULL, 0, &d->temp.err), d->temp.err);
    snprintf(d->source, sizeof d->source, "inventory/1#%s", bui_store_meta(d->temp.store)->incarnation);
    OK_(bui_audit_new(NULL, &d->audit, &d->temp.err), d->temp.err);
    *state = d;
    return 0;
}

static int teardown(void **state)
{
    desk *d = *state;
    bui_audit_free(d->audit);
    temp_store_remove(&d->temp);
    free(d);
    return 0;
}

/* Damages the store, and reads it. */
static void store_has(desk *d, const char *sql)
{
    temp_store_meddle(&d->temp, sql);
    OK_(bui_audit_store(d->audit, d->temp.path, false, &d->temp.err), d->temp.err);
}

/* What stands at in/1@0 and the like: no hop, from "test". NULL: no id. */
static bui_record event_at(int64_t offset, const char *id, bus_header header[2])
{
    header[0] = (bus_header){ BUI_HEADER_SOURCE, "test", 4 };
    header[1] = (bus_header){ BUI_HEADER_ID, id, id ? strlen(id) : 0 };
    return (bui_record){ .topic = "in",
                         .partition = 1,
                         .offset = offset,
                         .timestamp = 1000 + offset,
                         .value = "v",
                         .value_len = 1,
                         .headers = header,
                         .header_count = id ? 2 : 1 };
}

static void log_has(desk *d, int64_t low, const char *ids)
{
    bus_header header[2];
    for (int64_t i = 0; ids[i]; i++) {
        char id[2] = { ids[i], 0 };
        bui_record record = event_at(low + i, id, header);
        OK_(bui_audit_record(d->audit, &record, &d->temp.err), d->temp.err);
    }
    OK_(bui_audit_log(d->audit, "in", 1, low, low + (int64_t)strlen(ids), &d->temp.err), d->temp.err);
}

static void numbered(desk *d, const char *topic, const char *source, int64_t seq, int64_t offset, const char *id,
                     const char *cause)
{
    char hop[200];
    snprintf(hop, sizeof hop, "%s %s/1/%lld", source, topic, (long long)seq);
    bus_header headers[] = { { BUI_HEADER_HOP, hop, strlen(hop) },
                             { BUI_HEADER_ID, id, strlen(id) },
                             { BUI_HEADER_CAUSATION, cause, cause ? strlen(cause) : 0 } };
    bui_record record = { .topic = topic,
                          .partition = 1,
                          .offset = offset,
                          .value = id,
                          .value_len = strlen(id),
                          .headers = headers,
                          .header_count = cause ? 3 : 2 };
    OK_(bui_audit_record(d->audit, &record, &d->temp.err), d->temp.err);
}

/* The service has emitted it, to out/1, as its first number. */
static void emitted(desk *d, const char *id, const char *cause)
{
    numbered(d, "out", d->source, 1, 0, id, cause);
    OK_(bui_audit_log(d->audit, "out", 1, 0, 1, &d->temp.err), d->temp.err);
}

static void letter_told(desk *d, int64_t offset, const char *orig, const char *class)
{
    char hop[200];
    snprintf(hop, sizeof hop, "%s inventory.dlq/1/%lld", d->source, (long long)offset + 1);
    bus_header headers[] = { { BUI_HEADER_HOP, hop, strlen(hop) },
                             { BUI_HEADER_ID, "a", 1 },
                             { BUI_HEADER_ORIG, orig, strlen(orig) },
                             { BUI_HEADER_LETTER, "l 1 open", 8 },
                             { BUI_HEADER_ERROR_CLASS, class, strlen(class) } };
    bui_record record = { .topic = "inventory.dlq",
                          .partition = 1,
                          .offset = offset,
                          .value = "v",
                          .value_len = 1,
                          .headers = headers,
                          .header_count = 5 };
    OK_(bui_audit_record(d->audit, &record, &d->temp.err), d->temp.err);
    OK_(bui_audit_log(d->audit, "inventory.dlq", 1, 0, offset + 1, &d->temp.err), d->temp.err);
}

static void finds(desk *d, const char *expected)
{
    bus_error err = { 0 };
    OK_(bui_audit_store_again(d->audit, d->temp.path, &err), err);
    OK_(bui_audit_rules(d->audit, on_found, d, &err), err);
    assert_string_equal(d->found, expected);
}

#define STANDS(next) "INSERT INTO bus_position(topic, partition, next, anchor, anchor_hash) VALUES ('in', 1, " #next ", -1, 0);"
#define SEEN(n, id) "INSERT INTO bus_seen VALUES (" #n ", 'in/1 test', '" id "', 1);"
#define DESTINATION(next) "INSERT INTO bus_destination VALUES (1, 'out', 1, " #next ");"
#define KEY(state, parked) "INSERT INTO bus_key VALUES (7, 'in', 'k', " #state ", 'a', 0, 1, 0, 0, " #parked ", 1);"
#define PARKED(command) "INSERT INTO bus_parked VALUES (7, 1, 1, 'a', 'in', 1, 0, 1000, NULL, NULL, NULL, " #command ");"
#define LETTER(key, state, replay) \
    "INSERT INTO bus_letter(id, event_id, scope, key_id, round, state, first_failed, at, partition, replay) VALUES ('l', 'a', 'in', " #key \
    ", 1, " #state ", 1, 1, 1, '" replay "');"

/* ---- what was passed and not handled */

static void an_event_that_was_skipped(void **state)
{
    desk *d = *state;
    store_has(d, STANDS(3) SEEN(1, "a") SEEN(2, "c"));
    log_has(d, 0, "abc");
    finds(d, "unsettled in/1@1\n");
}

static void what_is_before_the_first_that_was_taken_is_not_missed(void **state)
{
    desk *d = *state;
    store_has(d, STANDS(3) SEEN(8, "b") SEEN(9, "c")); /* a reading from the end, or ids that were forgotten since */
    log_has(d, 0, "abc");
    finds(d, "");
}

static void numbers_that_were_skipped(void **state)
{
    desk *d = *state;
    store_has(d, STANDS(4) "INSERT INTO bus_mark VALUES (3, 'far/0#1', 'in', 1, 5, 1); INSERT INTO bus_hole VALUES (3, 2, 3);");
    for (int i = 0; i < 4; i++)
        numbered(d, "in", "far/0#1", i + 2, i, (const char *[]){ "b", "c", "d", "e" }[i], NULL);
    OK_(bui_audit_log(d->audit, "in", 1, 0, 4, &d->temp.err), d->temp.err);
    finds(d, "unsettled in/1@0\nunsettled in/1@1\n");
}

static void what_is_settled_by_its_id_or_forged_is_not_missed(void **state)
{
    desk *d = *state;
    store_has(
        d,
        STANDS(3) "INSERT INTO bus_mark VALUES (3, 'far/0#1', 'in', 1, 1, 1); INSERT INTO bus_seen VALUES (1, 'in/1 ', 'y', 1);" LETTER(
            0, 1, ""));
    numbered(d, "in", "far/0#1", 1, 0, "x", NULL);
    numbered(d, "in", "far/0#1", 2, 1, "y", NULL); /* above the bound of marks */
    numbered(d, "in", "far/0#1", 3, 2, "z", NULL); /* somebody's who has no key */
    OK_(bui_audit_log(d->audit, "in", 1, 0, 3, &d->temp.err), d->temp.err);
    letter_told(d, 0, "in/1/2/0", "forged");
    temp_store_meddle(&d->temp, "INSERT INTO bus_destination VALUES (1, 'inventory.dlq', 1, 2)");
    finds(d, "");
}

/* ---- another log */

static void events_that_are_not_in_the_log(void **state)
{
    desk *d = *state;
    store_has(d, STANDS(1) SEEN(1, "a") SEEN(2, "b"));
    log_has(d, 0, "a");
    finds(d, "replaced in/1\n");
}

static void events_that_have_expired_are_not_missed(void **state)
{
    desk *d = *state;
    store_has(d, STANDS(2) SEEN(1, "a") SEEN(2, "b"));
    log_has(d, 1, "b");
    finds(d, "");
}

static void events_of_a_log_before_the_one_that_was_accepted_are_not_missed(void **state)
{
    desk *d = *state;
    store_has(d, STANDS(1) SEEN(1, "x") SEEN(2, "a") "UPDATE bus_position SET life = 1;");
    log_has(d, 0, "a");
    finds(d, "");
}

static void another_record_at_the_anchor(void **state)
{
    for (int damaged = 0; damaged < 2; damaged++) {
        desk *d = *state;
        char sql[300];
        bus_header header[2];
        bui_record record = event_at(0, damaged ? "b" : "a", header);
        snprintf(
            sql, sizeof sql,
            "INSERT INTO bus_position(topic, partition, next, anchor, anchor_hash, anchor_kind, proof) VALUES ('in', 1, 1, 0, %lld, 1, -1);" SEEN(
                1, "a"),
            (long long)bui_record_hash(&record, 1));
        store_has(d, sql);
        log_has(d, 0, "a");
        finds(d, damaged ? "replaced in/1@0\n" : "");
        if (!damaged) {
            teardown(state);
            setup(state);
        }
    }
}

static void another_event_where_one_waits(void **state)
{
    desk *d = *state;
    store_has(d, STANDS(1) SEEN(1, "b") KEY(1, 1) PARKED(0));
    log_has(d, 0, "b");
    finds(d, "replaced in/1@0\n");
}

static void another_event_where_a_letters_was(void **state)
{
    desk *d = *state;
    store_has(d, STANDS(1) SEEN(1, "a") LETTER(0, 1, "") "INSERT INTO bus_destination VALUES (1, 'inventory.dlq', 1, 2);");
    log_has(d, 0, "a");
    letter_told(d, 0, "in/1/0/900", "handler"); /* the time is another */
    finds(d, "replaced in/1@0\n");
}

/* ---- effects */

static void an_effect_without_its_event(void **state)
{
    desk *d = *state;
    store_has(d, STANDS(1) SEEN(1, "a") DESTINATION(2));
    log_has(d, 0, "a");
    emitted(d, "e", "gone");
    finds(d, "caused out/1@0\n");
}

static void an_effect_whose_event_may_have_expired_is_well(void **state)
{
    desk *d = *state;
    store_has(d, STANDS(2) SEEN(1, "a") DESTINATION(2));
    log_has(d, 1, "a");
    emitted(d, "e", "gone");
    finds(d, "");
}

static void an_event_that_waits_and_has_taken_effect(void **state)
{
    desk *d = *state;
    store_has(d, STANDS(1) SEEN(1, "a") DESTINATION(2) KEY(1, 1) PARKED(0));
    log_has(d, 0, "a");
    emitted(d, "e", "a");
    finds(d, "again event a\n");
}

static void a_letter_whose_event_has_taken_effect(void **state)
{
    desk *d = *state;
    store_has(d, STANDS(1) SEEN(1, "a") DESTINATION(2)
                     LETTER(0, 1, "") "INSERT INTO bus_destination VALUES (2, 'inventory.dlq', 1, 2);");
    log_has(d, 0, "a");
    letter_told(d, 0, "in/1/0/1000", "handler");
    emitted(d, "e", "a");
    finds(d, "again event a\n");
}

static void a_planned_event_that_has_left(void **state)
{
    desk *d = *state;
    store_has(d, STANDS(1) SEEN(1, "a")
                     DESTINATION(2) "INSERT INTO bus_schedule VALUES (1, 'timer', 9, 'e', 'out', 1, NULL, NULL, NULL);");
    log_has(d, 0, "a");
    emitted(d, "e", "a");
    finds(d, "planned schedule timer\n");
}

/* ---- what a store says of itself */

static void a_copy_is_not_its_event(void **state)
{
    desk *d = *state;
    store_has(d, STANDS(0) KEY(1, 1) PARKED(3)
                     LETTER(0, 1, "run") "UPDATE bus_position SET next = 0; UPDATE bus_parked SET offset = -1;");
    log_has(d, 0, "");
    finds(d, "");
    bus_error err = { 0 };
    OK_(bui_audit_invariants(
            d->audit, "f",
            "-- none: neither waits nor is dead\nSELECT event_id FROM waiting UNION ALL SELECT event_id FROM dead;\n", on_found,
            d, &err),
        err);
    assert_string_equal(d->found, "");
}

static void a_held_key_that_no_letter_holds(void **state)
{
    desk *d = *state;
    store_has(d, STANDS(1) SEEN(1, "a") KEY(2, 1) PARKED(0));
    log_has(d, 0, "a");
    finds(d, "held key 7\n");
}

static void a_letter_that_holds_no_key(void **state)
{
    desk *d = *state;
    store_has(d, STANDS(1) SEEN(1, "a") LETTER(7, 1, ""));
    log_has(d, 0, "a");
    finds(d, "held letter l\n");
}

static void what_waits_by_no_key(void **state)
{
    desk *d = *state;
    store_has(d, STANDS(1) SEEN(1, "a") PARKED(0));
    log_has(d, 0, "a");
    finds(d, "held event a\n");
}

static void a_key_whose_events_are_gone(void **state)
{
    desk *d = *state;
    store_has(d, STANDS(1) SEEN(1, "a") KEY(1, 2) PARKED(0));
    log_has(d, 0, "a");
    finds(d, "held key 7\n");
}

static void a_letter_that_compaction_took(void **state)
{
    desk *d = *state;
    store_has(d, STANDS(1) SEEN(1, "a") LETTER(0, 1, ""));
    log_has(d, 0, "a");
    OK_(bui_audit_log(d->audit, "inventory.dlq", 1, 0, 9, &d->temp.err), d->temp.err);
    finds(d, "letter letter l\n");
}

static void a_letter_for_two(void **state)
{
    desk *d = *state;
    store_has(d, STANDS(1) SEEN(1, "a") LETTER(0, 1, "") "INSERT INTO bus_destination VALUES (1, 'inventory.dlq', 1, 3);");
    log_has(d, 0, "a");
    letter_told(d, 0, "in/1/0/1000", "handler");
    letter_told(d, 1, "in/5/0/1000", "handler");
    finds(d, "letter letter l\n");
}

static void a_letter_that_was_closed_long_ago_is_not_missed(void **state)
{
    desk *d = *state;
    store_has(d, STANDS(1) SEEN(1, "a")
                     LETTER(0, 4, "") "INSERT INTO bus_destination VALUES (1, 'inventory.dlq', 1, 2); DELETE FROM bus_letter;");
    log_has(d, 0, "a");
    bus_header headers[] = { { BUI_HEADER_LETTER, "l 1 discarded", 13 } };
    bui_record record = { .topic = "inventory.dlq", .partition = 1, .headers = headers, .header_count = 1 };
    OK_(bui_audit_record(d->audit, &record, &d->temp.err), d->temp.err);
    finds(d, "");
}

static void a_letter_that_an_invented_round_hides(void **state)
{
    desk *d = *state;
    store_has(d, STANDS(1) SEEN(1, "a") LETTER(0, 1, "") "INSERT INTO bus_destination VALUES (1, 'inventory.dlq', 1, 2);");
    log_has(d, 0, "a");
    letter_told(d, 0, "in/1/0/1000", "handler");
    bus_header headers[] = { { BUI_HEADER_LETTER, "l 2147483647 discarded", 22 } };
    bui_record record = { .topic = "inventory.dlq", .partition = 1, .offset = 1, .headers = headers, .header_count = 1 };
    OK_(bui_audit_record(d->audit, &record, &d->temp.err), d->temp.err);
    finds(d, "letter letter l\n");
}

static void a_store_that_the_group_knows_to_be_older(void **state)
{
    static const struct {
        const char *id;
        int opens, age, next;
        const char *found;
    } commits[] = {
        { NULL, 1, 0, 1, "" },
        { NULL, 9, 0, 1, "older store\n" },
        { NULL, 1, 4, 1, "older store\n" },
        { NULL, 0, 9, 1, "" },
        { NULL, 1, 0, 2, "older in/1\n" },
        { "11111111-2222-3333-4444-555555555555", 1, 0, 1, "older store\n" },
    };
    for (size_t i = 0; i < sizeof commits / sizeof *commits; i++) {
        desk *d = *state;
        char metadata[120];
        const bui_meta *meta = bui_store_meta(d->temp.store);
        snprintf(metadata, sizeof metadata, "%s %d %d - waiting=0/0/0", commits[i].id ? commits[i].id : meta->store_id,
                 commits[i].opens, commits[i].age);
        assert_int_equal(meta->opens, 1);
        store_has(d, STANDS(1) SEEN(1, "a"));
        log_has(d, 0, "a");
        OK_(bui_audit_commit(d->audit, "inventory", "inventory.redrive", 1, 0, metadata, &d->temp.err), d->temp.err);
        OK_(bui_audit_commit(d->audit, "inventory", "in", 1, commits[i].next, metadata, &d->temp.err), d->temp.err);
        OK_(bui_audit_commit(d->audit, "inventory", "in", 1, 77, "", &d->temp.err),
            d->temp.err); /* Kafka's own tool: it is for the next start */
        finds(d, commits[i].found);
        teardown(state);
        setup(state);
    }
}

static void a_store_of_an_older_version_is_read(void **state)
{
    desk *d = *state;
    store_has(d, STANDS(1) SEEN(1, "a") KEY(1, 1) PARKED(0) LETTER(0, 3, "") TEMP_STORE_BACK_TO_4 TEMP_STORE_BEFORE_7
              "DROP TABLE bus_former; DROP TABLE bus_discarded; DROP TABLE bus_body;");
    log_has(d, 0, "a");
    finds(d, "");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(an_event_that_was_skipped),
        TEST(what_is_before_the_first_that_was_taken_is_not_missed),
        TEST(numbers_that_were_skipped),
        TEST(what_is_settled_by_its_id_or_forged_is_not_missed),
        TEST(events_that_are_not_in_the_log),
        TEST(events_that_have_expired_are_not_missed),
        TEST(events_of_a_log_before_the_one_that_was_accepted_are_not_missed),
        TEST(another_record_at_the_anchor),
        TEST(another_event_where_one_waits),
        TEST(another_event_where_a_letters_was),
        TEST(an_effect_without_its_event),
        TEST(an_effect_whose_event_may_have_expired_is_well),
        TEST(an_event_that_waits_and_has_taken_effect),
        TEST(a_letter_whose_event_has_taken_effect),
        TEST(a_planned_event_that_has_left),
        TEST(a_copy_is_not_its_event),
        TEST(a_held_key_that_no_letter_holds),
        TEST(a_letter_that_holds_no_key),
        TEST(what_waits_by_no_key),
        TEST(a_key_whose_events_are_gone),
        TEST(a_letter_that_compaction_took),
        TEST(a_letter_for_two),
        TEST(a_letter_that_was_closed_long_ago_is_not_missed),
        TEST(a_letter_that_an_invented_round_hides),
        TEST(a_store_that_the_group_knows_to_be_older),
        TEST(a_store_of_an_older_version_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
