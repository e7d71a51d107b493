/* SPDX-License-Identifier: MIT
 * A rebuilt store is the store that was: whatever waited, was held, planned, cancelled or unsent when the service stopped. The live run is the
 * oracle: rows of the service, and the library's tables as `bus rebuild` compares them. See support/scene.h for what the service does. */
#include "support/scene_rebuild.h"

#include "codec/envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* The rebuilt store equals the old one, and `kept` events are left to send. */
static bui_rebuilt is_the_same(scene *s, int64_t kept)
{
    bui_rebuilt rebuilt = scene_rebuild(s);
    assert_string_equal(scene_differences(s, &rebuilt), "");
    assert_int_equal(rebuilt.letters, 0);
    assert_int_equal(rebuilt.kept, kept);
    return rebuilt;
}

/* The service goes on with the rebuilt store. */
static void go_on(scene *s, const bui_rebuilt *rebuilt)
{
    scene_take_rebuilt(s, rebuilt);
    scene_start(s);
    assert_int_equal(scene_failure(s), BUS_OK);
}

static void what_was_done_is_done_again(void **state)
{
    scene *s = *state;
    for (int i = 0; i < 30; i++) {
        char text[40], key[8];
        snprintf(text, sizeof text, "e%d emit=%d", i, i % 3);
        snprintf(key, sizeof key, "k%d", i % 4);
        scene_send(s, i % 2 ? "in" : "slow", key, text);
        scene_pass(s, 100);
    }
    scene_pass(s, 5000);
    bui_rebuilt rebuilt = is_the_same(s, 0);
    assert_int_equal(rebuilt.dropped, 30);
    go_on(s, &rebuilt);
}

/* (a) It waits for a retry: no effect yet, nothing sent; it goes on waiting, and what it emits leaves. */
static void what_waits_goes_on_waiting(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a retry=2 emit");
    scene_send(s, "in", "k", "b emit");
    scene_send(s, "in", "other", "c emit");
    scene_pass(s, 3000); /* its second run has failed, the third is due in 10 s */
    assert_string_equal(scene_effects(s), "c");
    bui_rebuilt rebuilt = is_the_same(s, 0);
    go_on(s, &rebuilt);
    scene_pass(s, 30000);
    assert_string_equal(scene_effects(s), "c a b");
    assert_string_equal(scene_topic(s, "svc.events"), "c1 a1 b1");
}

/* The same with the store lost: its effects are there, and what it emits leaves. */
static void what_waited_in_a_lost_store_is_sent(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a retry=1 emit");
    scene_send(s, "in", "k", "b emit");
    scene_run(s);
    scene_stop(s);
    scene_lose_store(s);
    bui_virtual_clock_advance(&s->clock, INT64_C(60000000));
    bui_rebuilt rebuilt = scene_rebuild(s);
    assert_int_equal(rebuilt.kept, 2);
    go_on(s, &rebuilt);
    scene_pass(s, 30000);
    assert_string_equal(scene_effects(s), "a b");
    assert_string_equal(scene_topic(s, "svc.events"), "a1 b1");
}

/* (b) A dead letter is open and the handler is repaired since: it stays a dead letter, and its redrive works. */
static void a_letter_stays_open_though_its_handler_is_repaired(void **state)
{
    scene *s = *state;
    scene_send(s, "held", "k", "a reject emit");
    scene_send(s, "held", "k", "b emit");
    scene_send(s, "in", "k", "c retry=9 emit");
    scene_send(s, "in", "k", "d emit");
    scene_pass(s, 60000);
    assert_string_equal(scene_letters(s), "handler:open:1 handler:open:1");
    s->mended = true;
    bui_rebuilt rebuilt = is_the_same(s, 0);
    go_on(s, &rebuilt);
    assert_string_equal(scene_effects(s), "d");
    scene_command(s, 0, "redrive", 0);
    scene_command(s, 1, "redrive", 0);
    scene_pass(s, 30000);
    assert_string_equal(scene_topic(s, "svc.events"), "d1 a1 c1 b1");
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_letter WHERE state IN (1, 2)"), 0);
    rebuilt = is_the_same(s, 0); /* what was redriven is, again */
}

/* A copy that failed stays a dead letter of its own, and its event is not confused with it. */
static void letters_of_copies_stay(void **state)
{
    scene *s = *state;
    s->mended = true;
    scene_send(s, "in", "k", "a reject emit");
    scene_send(s, "in", "k", "b emit");
    scene_pass(s, 100);
    s->mended = false;
    scene_replay(s, "in", 0, "run", 1, 0);
    scene_replay(s, "in", 1, "run", 2, 0);
    scene_pass(s, 1000);
    assert_string_equal(scene_letters(s), "replay:open:1");
    s->mended = true;
    bui_rebuilt rebuilt = is_the_same(s, 0);
    go_on(s, &rebuilt);
    assert_string_equal(scene_effects(s), "a b b");
    scene_command(s, 0, "redrive", 0);
    scene_pass(s, 1000);
    assert_string_equal(scene_effects(s), "a b b a");
    assert_string_equal(scene_topic(s, "svc.events"), "a1 b1");
    is_the_same(s, 0);
}

static void letters_of_each_round_and_state(void **state)
{
    scene *s = *state;
    scene_send(s, "held", "a", "a retry=9 emit");
    scene_send(s, "held", "b", "b reject emit");
    scene_send(s, "in", "c", "c reject emit");
    scene_send(s, "in", "d", "d reject emit");
    scene_pass(s, 60000);
    for (int i = 0; i < 4; i++)
        scene_command(s, i, "redrive", 0);
    scene_pass(s, 60000);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_letter WHERE round = 2 AND state = 1"), 4);
    bui_rebuilt rebuilt = is_the_same(s, 0);
    go_on(s, &rebuilt);
    scene_send(s, "held", "b", "after");
    scene_command(s, 4, "discard", 2);
    scene_pass(s, 1000);
    s->mended = true;
    scene_command(s, 5, "redrive", 2);
    scene_pass(s, 60000);
    is_the_same(s, 0);
}

/* The handler of today fails where that of then did not, or the other way: the topic has the last word, also where no old store is there. */
static void a_letter_that_is_not_what_its_topic_says_is_counted(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a reject emit");
    scene_pass(s, 1000);
    s->mended = true;
    scene_command(s, 0, "redrive", 0);
    scene_pass(s, 1000);
    assert_string_equal(scene_letters(s), "handler:open:1 redriven:1 resolved:1");
    s->mended = false;
    scene_stop(s);
    scene_lose_store(s);
    bui_rebuilt rebuilt = scene_rebuild(s);
    assert_int_equal(rebuilt.letters, 1);
    unlink(rebuilt.store);
    s->mended = true;
    rebuilt = scene_rebuild(s);
    assert_int_equal(rebuilt.letters, 0);
    go_on(s, &rebuilt);
    assert_string_equal(scene_effects(s), "a");
}

/* A topic that is worked off late holds an event of the key back: a dead letter of it is redriven twice meanwhile. The merge
 * by time brings the event first. (Effects of different keys have no order.) */
static void commands_that_overtook_a_backlog(void **state)
{
    scene *s = *state;
    scene_send(s, "slow", "k", "a reject emit");
    scene_pass(s, 1000);
    s->weather = true;
    scene_send(s, "slow", "w", "w pause");
    scene_pass(s, 1);
    scene_send(s, "slow", "k", "x retry=1 emit");
    scene_pass(s, 1);
    scene_command(s, 0, "redrive", 0);
    scene_pass(s, 10);
    s->mended = true;
    scene_command(s, 2, "redrive", 0);
    scene_pass(s, 10);
    assert_string_equal(scene_effects(s), "a");
    s->weather = s->mended = false;
    scene_pass(s, 60000);
    assert_string_equal(scene_effects(s), "a w x");
    s->mended = true;
    bui_rebuilt rebuilt = scene_rebuild(s);
    assert_null(strstr(scene_differences(s, &rebuilt), "bus_"));
    assert_int_equal(rebuilt.letters, 0);
    assert_int_equal(rebuilt.kept, 0);
    unlink(rebuilt.store);
    scene_lose_store(s);
    rebuilt = scene_rebuild(s);
    assert_int_equal(rebuilt.letters, 0);
    go_on(s, &rebuilt);
    assert_string_equal(scene_effects(s), "w a x");
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_letter WHERE round = 2 AND state = 3"), 1);
}

/* (c) Records of one fetch are not of one time. */
static void schedules_fire_are_cancelled_and_pend_as_they_did(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a schedule=500 name=fired");
    scene_send(s, "in", "k", "b schedule=500 name=stopped");
    scene_send(s, "in", "k", "c schedule=90000 name=pending");
    scene_pass(s, 100);
    scene_send(s, "in", "k", "d cancel=stopped");
    scene_pass(s, 1000);
    assert_true(s->cancelled);
    scene_send(s, "in", "k", "e cancel=fired");
    scene_pass(s, 1000);
    assert_false(s->cancelled);
    assert_string_equal(scene_topic(s, "svc.events"), "a");
    bui_rebuilt rebuilt = is_the_same(s, 0);
    go_on(s, &rebuilt);
    scene_pass(s, 100000);
    assert_string_equal(scene_topic(s, "svc.events"), "a c");
}

/* The cancelling event was sent before the plan fell due, and handled after. */
static void a_cancel_that_came_too_late_comes_too_late_again(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a due=500 name=x");
    scene_run(s);
    s->weather = true;
    scene_send(s, "slow", "k", "wait pause cancel=x");
    scene_pass(s, 5000);
    s->weather = false;
    scene_pass(s, 60000);
    assert_false(s->cancelled);
    s->cancelled = true;
    bui_rebuilt rebuilt = is_the_same(s, 0);
    assert_false(s->cancelled);
    go_on(s, &rebuilt);
    scene_pass(s, 1000);
    assert_string_equal(scene_topic(s, "svc.events"), "a");
}

/* The service was down past a plan's time: what it handled first when it came back has cancelled or replaced the plan, and nothing left. */
static void what_was_cancelled_before_it_could_leave_does_not_leave(void **state)
{
    scene *s = *state;
    scene_stop(s);
    scene_send(s, "in", "k", "a schedule=500 name=stopped");
    scene_send(s, "in", "k", "b schedule=500 name=replaced");
    scene_send(s, "in", "k", "c schedule=500 name=left");
    bui_virtual_clock_advance(&s->clock, INT64_C(4000000));
    scene_send(s, "in", "k", "d cancel=stopped");
    scene_send(s, "in", "k", "e schedule=90000 name=replaced");
    scene_start(s);
    scene_pass(s, 1000);
    assert_true(s->cancelled);
    assert_string_equal(scene_topic(s, "svc.events"), "c");
    s->cancelled = false;
    bui_rebuilt rebuilt = is_the_same(s, 0);
    assert_true(s->cancelled);
    unlink(rebuilt.store);
    scene_lose_store(s);
    rebuilt = scene_rebuild(s);
    assert_int_equal(rebuilt.kept, 0);
    go_on(s, &rebuilt);
    scene_pass(s, 60000);
    assert_string_equal(scene_topic(s, "svc.events"), "c");
    scene_pass(s, 60000);
    assert_string_equal(scene_topic(s, "svc.events"), "c e");
}

/* It had fired, and its row had not left: a cancel that was sent before and handled after does not take it back. */
static void a_plan_that_was_on_its_way_stays_so(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a due=500 name=x");
    scene_run(s);
    s->weather = true;
    s->fate = scene_hold_all;
    scene_send(s, "slow", "k", "wait pause cancel=x");
    scene_pass(s, 5000);
    s->weather = false;
    scene_pass(s, 60000);
    assert_false(s->cancelled);
    bui_rebuilt rebuilt = is_the_same(s, 1);
    assert_false(s->cancelled);
    s->fate = NULL;
    go_on(s, &rebuilt);
    scene_pass(s, 1000);
    assert_string_equal(scene_topic(s, "svc.events"), "a");
    unlink(rebuilt.store);
}

/* What an operator has given up is not sent, and who and why stays known. */
static void what_was_discarded_is_not_sent(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a emit");
    scene_run(s);
    bui_memory_topic_limit(s->cluster, "svc.events", 500);
    scene_send(s, "in", "k", "b big=1000");
    scene_run(s);
    scene_send(s, "in", "k", "c emit");
    scene_pass(s, 1000);
    assert_true(scene_discard_refused(s));
    scene_pass(s, 20000);
    assert_string_equal(scene_topic(s, "svc.events"), "a1 c1");
    bui_memory_topic_limit(s->cluster, "svc.events", 5000);
    bui_rebuilt rebuilt = is_the_same(s, 0);
    go_on(s, &rebuilt);
    assert_int_equal(
        scene_ask(s, "SELECT count(*) FROM bus_discarded WHERE id < 0 AND operator = 'ann@host' AND reason = 'why' AND seq = 2"),
        1);
    scene_pass(s, 20000);
    assert_string_equal(scene_topic(s, "svc.events"), "a1 c1");
    rebuilt = is_the_same(s, 0); /* and from store to store */
    scene_lose_store(s);
    unlink(rebuilt.store);
    rebuilt = scene_rebuild(s); /* nobody knows any more */
    assert_int_equal(rebuilt.kept, 1);
}

/* ---- with keys: what others write in the service's name decides nothing */

static const char signing[] = "k 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef write";

static bui_keys *begin_signing(scene *s)
{
    bui_keys *keys = NULL;
    assert_int_equal(bui_keys_new(signing, sizeof signing - 1, "keys", "*", &keys, NULL), BUS_OK);
    scene_stop(s);
    s->options.limits.keys = s->signs = keys;
    scene_start(s);
    return keys;
}

static void end_signing(scene *s, bui_keys *keys)
{
    scene_stop(s);
    s->options.limits.keys = s->signs = NULL;
    scene_start(s);
    bui_keys_free(keys);
}

static void forged_letters_and_retries_fail_nothing_again(void **state)
{
    scene *s = *state;
    bui_keys *keys = begin_signing(s);
    scene_send(s, "in", "k", "a emit");
    scene_send(s, "in", "k", "b emit");
    scene_send(s, "in", "l", "c reject emit");
    scene_pass(s, 1000);
    static const char letter[] = "11111111-2222-4333-8444-555555555555 1 open", first[] = "in/0/0/0", second[] = "in/0/1/0";
    const bus_header as_letter[] = { { "bus-letter", letter, sizeof letter - 1 },
                                     { "bus-orig", first, sizeof first - 1 },
                                     { "__dlq.errors.delivery.count", "1", 1 },
                                     { "__dlq.errors.class", "handler", 7 } };
    static const char again[] = "svc/0#0123456789abcdef svc.retry.1s/0/1 a=2 n=4102444800000 t=1";
    const bus_header as_retry[] = { { "bus-orig", second, sizeof second - 1 }, { "bus-hop", again, sizeof again - 1 } };
    scene_send_with(s, "svc.dlq", "k", "x", as_letter, 4);
    scene_send_with(s, "svc.retry.1s", "k", "x", as_retry, 2);
    scene_pass(s, 1000);
    bui_rebuilt rebuilt = is_the_same(s, 0);
    go_on(s, &rebuilt);
    assert_string_equal(scene_effects(s), "a b");
    end_signing(s, keys);
}

/* The id of the row in the stopped service's outbox. */
static void id_in_outbox(scene *s, char out[64])
{
    char path[200];
    sqlite3 *db = NULL;
    sqlite3_stmt *ask = NULL;
    snprintf(path, sizeof path, "%s/svc/0.db", s->data);
    assert_int_equal(bui_store_reader(path, &db, NULL), BUS_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT event_id FROM bus_outbox", -1, &ask, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(ask), SQLITE_ROW);
    snprintf(out, 64, "%s", (const char *)sqlite3_column_text(ask, 0));
    sqlite3_finalize(ask);
    sqlite3_close(db);
}

static void a_forged_output_is_not_taken_for_sent(void **state)
{
    scene *s = *state;
    bui_keys *keys = begin_signing(s);
    char id[64];
    s->fate = scene_hold_all;
    scene_send(s, "in", "k", "a emit");
    scene_run(s);
    scene_stop(s);
    id_in_outbox(s, id);
    const bus_header forged[] = { { "ce_id", id, strlen(id) }, { "bus-hop", "svc/0#0123456789abcdef svc.events/0/1", 37 } };
    scene_send_headers(s, "svc.events", "k", forged, 2, "x");
    bui_rebuilt rebuilt = scene_rebuild(s);
    assert_int_equal(rebuilt.dropped, 0);
    assert_int_equal(rebuilt.kept, 1);
    s->fate = NULL;
    go_on(s, &rebuilt);
    end_signing(s, keys);
}

/* An older copy in the store's place knows of plans and waits that are over since. */
static void an_older_copy_is_no_witness(void **state)
{
    scene *s = *state;
    char directory[80];
    snprintf(directory, sizeof directory, "%s/svc", s->data);
    scene_send(s, "in", "k", "a schedule=5000");
    scene_send(s, "in", "other", "b retry=1 emit");
    scene_pass(s, 500);
    snapshot *copy = snapshot_take(directory, 0);
    scene_pass(s, 10000);
    assert_string_equal(scene_topic(s, "svc.events"), "b1 a");
    scene_stop(s);
    assert_true(snapshot_restore(copy));
    bui_rebuilt rebuilt = scene_rebuild(s);
    assert_int_equal(rebuilt.kept, 0);
    go_on(s, &rebuilt);
    scene_pass(s, 30000);
    assert_string_equal(scene_topic(s, "svc.events"), "b1 a");
    assert_string_equal(scene_effects(s), "a b");

    /* Nothing moved but the plan: the copy cannot be told from the last store, and the topic tells. */
    scene_send(s, "in", "k", "c schedule=5000");
    scene_pass(s, 4000);
    copy = snapshot_take(directory, 0);
    scene_pass(s, 10000);
    scene_stop(s);
    assert_true(snapshot_restore(copy));
    rebuilt = scene_rebuild(s);
    assert_int_equal(rebuilt.kept, 0);
    go_on(s, &rebuilt);
    scene_pass(s, 30000);
    assert_string_equal(scene_topic(s, "svc.events"), "b1 a c");
}

/* (d) What retention has deleted of the outputs had been sent. */
static void outputs_that_expired_are_not_sent_again(void **state)
{
    scene *s = *state;
    for (int i = 0; i < 10; i++) {
        char text[40];
        snprintf(text, sizeof text, "e%d emit", i);
        scene_send(s, "in", "k", text);
        scene_pass(s, 1000);
    }
    scene_pass(s, 5000);
    bui_memory_truncate_before(s->cluster, "svc.events", 0, 6);
    bui_rebuilt rebuilt = is_the_same(s, 0);
    assert_int_equal(rebuilt.expired, 6);
    bui_memory_truncate_before(s->cluster, "svc.events", 0, 10); /* and when all are gone */
    scene_start(s);
    scene_pass(s, 1000);
    scene_stop(s);
    scene_lose_store(s);
    unlink(rebuilt.store);
    rebuilt = scene_rebuild(s);
    assert_int_equal(rebuilt.expired, 10);
    assert_int_equal(rebuilt.kept, 0);
    go_on(s, &rebuilt);
    scene_pass(s, 5000);
    assert_int_equal(bui_memory_end(s->cluster, "svc.events", 0), 10);
}

static bool compacted(const bui_record *record)
{
    return strcmp(record->topic, "svc.events") == 0 && record->offset != 4 && record->offset != 5;
}

/* Of each key the last is there; one that had not left does. */
static void outputs_that_were_compacted_are_not_sent_again(void **state)
{
    scene *s = *state;
    for (int i = 0; i < 6; i++) {
        char text[40];
        snprintf(text, sizeof text, "e%d emit", i);
        scene_send(s, "in", i % 2 ? "odd" : "even", text);
        scene_pass(s, 1000);
    }
    scene_send(s, "in", "third", "e6 retry=1 emit");
    scene_run(s);
    scene_stop(s);
    scene_lose_store(s);
    bui_virtual_clock_advance(&s->clock, INT64_C(60000000));
    bui_rebuilt rebuilt = scene_rebuild_without(s, compacted);
    assert_int_equal(rebuilt.expired, 4);
    assert_int_equal(rebuilt.kept, 1);
    go_on(s, &rebuilt);
    scene_pass(s, 5000);
    assert_string_equal(scene_topic(s, "svc.events"), "e01 e11 e21 e31 e41 e51 e61");
}

/* Answers, tombstones, events without a key, and what nobody can read. */
static void answers_and_what_has_no_key(void **state)
{
    scene *s = *state;
    scene_send(s, "in", NULL, "a emit");
    scene_send(s, "in", NULL, "b retry=1 emit");
    scene_send(s, "in", NULL, "c reject emit");
    scene_send(s, "typed", "k", "d emit=2");
    scene_send_raw(s, "typed", "k", NULL, NULL, 0);
    scene_send_raw(s, "typed", "k", "inventory.ReleaseStock", "\xff\xff", 2);
    scene_send(s, "typed", "k", "e emit");
    scene_pass(s, 20000);
    bui_rebuilt rebuilt = is_the_same(s, 0);
    go_on(s, &rebuilt);
    is_the_same(s, 0);
}

/* Rows on their way when the process died: what arrived is not sent again, what did not is, and whatever came meanwhile too. */
static void what_was_under_way_is_sent_once(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a emit");
    scene_pass(s, 5000);
    s->fate = scene_hold_all;
    scene_send(s, "in", "k", "b emit=3");
    scene_run(s);
    s->fate = scene_lose_ack;
    assert_int_equal(bui_memory_deliver_some(bui_host_transport(s->host), 1), 1); /* stored, not told */
    scene_stop(s);
    s->fate = NULL;
    scene_send(s, "in", "k", "new emit");
    bui_rebuilt rebuilt = scene_rebuild(s);
    assert_int_equal(rebuilt.after_commit, 2);
    assert_int_equal(rebuilt.kept, 3);
    scene_lose_store(s);
    go_on(s, &rebuilt);
    scene_pass(s, 5000);
    assert_string_equal(scene_topic(s, "svc.events"), "a1 b1 b2 b3 new1");
    assert_string_equal(scene_effects(s), "a b new");
}

/* A prepare step that failed, and one that kills: as the topics tell. */
static void steps_and_deaths_are_as_they_were(void **state)
{
    scene *s = *state;
    scene_send(s, "steps", "k", "a retry=1 emit");
    scene_send(s, "steps", "k", "b emit");
    scene_send(s, "in", "x", "c die");
    scene_pass(s, 60000);
    assert_string_equal(scene_letters(s), "crash:open:1");
    int runs = s->runs;
    bui_rebuilt rebuilt = is_the_same(s, 0);
    assert_int_equal(s->runs - runs, 2); /* what failed is not run again, nor what kills */
    go_on(s, &rebuilt);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_set_up, scene_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_was_done_is_done_again),
        TEST(what_waits_goes_on_waiting),
        TEST(what_waited_in_a_lost_store_is_sent),
        TEST(a_letter_stays_open_though_its_handler_is_repaired),
        TEST(letters_of_copies_stay),
        TEST(letters_of_each_round_and_state),
        TEST(a_letter_that_is_not_what_its_topic_says_is_counted),
        TEST(commands_that_overtook_a_backlog),
        TEST(schedules_fire_are_cancelled_and_pend_as_they_did),
        TEST(a_cancel_that_came_too_late_comes_too_late_again),
        TEST(what_was_cancelled_before_it_could_leave_does_not_leave),
        TEST(a_plan_that_was_on_its_way_stays_so),
        TEST(what_was_discarded_is_not_sent),
        TEST(forged_letters_and_retries_fail_nothing_again),
        TEST(a_forged_output_is_not_taken_for_sent),
        TEST(an_older_copy_is_no_witness),
        TEST(outputs_that_expired_are_not_sent_again),
        TEST(outputs_that_were_compacted_are_not_sent_again),
        TEST(answers_and_what_has_no_key),
        TEST(what_was_under_way_is_sent_once),
        TEST(steps_and_deaths_are_as_they_were),

    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
