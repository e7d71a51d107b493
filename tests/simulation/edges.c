/* SPDX-License-Identifier: MIT
 * Edges of the protocol's rules, each with what went wrong there: a key, a lane or a shard that never went on, an event taken
 * for another, a caller told the wrong thing. */
#include "inventory.events.h"
#include "support/scene.h"

#include "payment.events.h"
#include "shard/internal.h"
#include <bus/type.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNTER(scene, name) ((int)bui_counter_read(&scene_metrics(scene)->name))

static void send_from(scene *s, const char *source, const char *key, const char *id, const char *text)
{
    const bus_header headers[] = { { "ce_specversion", "1.0", 3 },
                                   { "ce_source", source, strlen(source) },
                                   { "ce_id", id, strlen(id) },
                                   { "ce_type", "test.Text", 9 } };
    const bui_row row = {
        .key = key, .key_len = strlen(key), .value = text, .value_len = strlen(text), .headers = headers, .header_count = 4
    };
    assert_true(bui_memory_append(s->cluster, "in", 0, &row) >= 0);
}

/* ---- CloudEvents: source and id together name an event */

static void two_producers_may_use_one_id_behind_a_waiting_key(void **state)
{
    scene *s = *state;
    send_from(s, "left", "k", "1", "a retry=1");
    send_from(s, "right", "k", "1", "b");
    send_from(s, "right", "k", "1", "b");
    scene_pass(s, 60000);
    assert_string_equal(scene_effects(s), "a b");
    assert_int_equal(COUNTER(s, duplicates), 1);
}

static void two_producers_may_use_one_id_beside_an_open_letter(void **state)
{
    scene *s = *state;
    send_from(s, "left", "k", "1", "a reject");
    scene_run(s);
    send_from(s, "right", "k", "1", "b emit");
    send_from(s, "middle", "k", "1", "c reject");
    scene_run(s);
    assert_string_equal(scene_effects(s), "b");
    assert_string_equal(scene_letters(s), "handler:open:1 handler:open:1");
    s->mended = true;
    scene_command(s, 0, "redrive", 0);
    scene_command(s, 1, "redrive", 0);
    scene_run(s);
    assert_string_equal(scene_effects(s), "b a c");
}

static void one_id_from_two_producers_causes_two_events(void **state)
{
    scene *s = *state;
    bui_record record;
    bui_envelope envelope;
    char id[2][64] = { "", "" };
    send_from(s, "left", "k", "1", "a emit");
    send_from(s, "right", "k", "1", "b emit");
    scene_pass(s, 1000);
    for (int64_t i = 0; i < 2; i++) {
        assert_true(bui_memory_read(s->cluster, "svc.events", 0, i, &record));
        assert_int_equal(bui_envelope_read(record.headers, record.header_count, &envelope, NULL), BUS_OK);
        memcpy(id[i], envelope.id.at, envelope.id.len);
    }
    assert_true(id[0][0] && id[1][0]);
    assert_string_not_equal(id[0], id[1]);
}

/* ---- schedules that cannot leave must not stop the shard */

static void a_schedule_whose_topic_is_no_longer_declared_waits_for_it(void **state)
{
    static const bus_emits fewer[] = { { &payment_RefundPayment_type, "svc.other" }, { 0 } };
    scene *s = *state;
    const bus_emits *all = s->service.emits;
    scene_send(s, "in", "k", "a schedule=500");
    scene_run(s);
    scene_stop(s);
    s->service.emits = fewer;
    scene_start(s);
    scene_pass(s, 5000);
    scene_send(s, "in", "k", "b");
    scene_pass(s, 5000);
    assert_string_equal(scene_effects(s), "a b");
    assert_int_equal(COUNTER(s, rollbacks), 0);
    scene_stop(s);
    s->service.emits = all;
    scene_start(s);
    scene_pass(s, 120000);
    assert_string_equal(scene_topic(s, "svc.events"), "a");
}

static void a_schedule_over_a_lowered_limit_waits_until_it_is_raised(void **state)
{
    scene *s = *state;
    int64_t limit = s->options.limits.message_bytes;
    scene_send(s, "in", "k", "a schedule=500");
    scene_run(s);
    scene_stop(s);
    s->options.limits.message_bytes = 20;
    scene_start(s);
    scene_pass(s, 5000);
    scene_send(s, "in", "k", "b");
    scene_pass(s, 5000);
    assert_string_equal(scene_effects(s), "a b");
    scene_stop(s);
    s->options.limits.message_bytes = limit;
    scene_start(s);
    scene_pass(s, 120000);
    assert_string_equal(scene_topic(s, "svc.events"), "a");
}

static void what_is_too_big_to_leave_is_not_scheduled(void **state)
{
    scene *s = *state;
    scene_stop(s);
    s->options.limits.message_bytes = 190;
    scene_start(s);
    scene_send(s, "in", "k", "a schedule=500");
    scene_run(s);
    assert_string_equal(scene_effects(s), "");
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_schedule"), 0);
    assert_int_equal(COUNTER(s, retried), 1);
}

/* ---- a lane that failed goes on by itself */

static struct bui_port_ops denied_ops;
static const struct bui_port_ops *true_ops;
static bus_status denial;
static int denied_fetches;

static size_t denied_fetch(bui_port *port, bui_lane *lane, bui_record *out, size_t max, bus_error *err)
{
    if (!denial)
        return true_ops->fetch(port, lane, out, max, err);
    denied_fetches++;
    err->status = denial;
    snprintf(err->text, sizeof err->text, "not authorized");
    return 0;
}

static void a_lane_that_was_denied_goes_on_when_it_is_allowed_again(void **state)
{
    scene *s = *state;
    bui_port *port = bui_host_shard(s->host, 0)->port;
    true_ops = port->ops;
    denied_ops = *port->ops;
    denied_ops.fetch = denied_fetch;
    denial = BUS_DENIED;
    denied_fetches = 0;
    port->ops = &denied_ops;
    scene_send(s, "in", "k", "a");
    scene_pass(s, 60000);
    assert_string_equal(scene_effects(s), "");
    assert_in_range(denied_fetches, 2, 200); /* for five lanes and more: neither given up nor spinning */
    denial = BUS_OK;
    scene_pass(s, 60000);
    assert_string_equal(scene_effects(s), "a");
    port->ops = true_ops;
}

static void a_lane_without_memory_halts_so_that_the_process_joins_anew(void **state)
{
    scene *s = *state;
    bui_port *port = bui_host_shard(s->host, 0)->port;
    true_ops = port->ops;
    denied_ops = *port->ops;
    denied_ops.fetch = denied_fetch;
    denial = BUS_NOMEM;
    port->ops = &denied_ops;
    scene_send(s, "in", "k", "a");
    scene_run(s);
    port->ops = true_ops;
    assert_int_equal(scene_failure(s), BUS_NOMEM);
}

/* ---- anchors are looked at once in an assignment */

static void reattach(scene *s)
{
    bui_lane_spec specs[32];
    bui_transport *transport = bui_host_transport(s->host);
    bui_shard *shard = bui_host_shard(s->host, 0);
    bui_shard_detach(shard);
    bui_shard_lane_specs(shard, specs);
    assert_int_equal(transport->ops->assign(transport, specs, bui_shard_lane_count(shard), NULL), BUS_OK);
    bui_shard_attach(shard, specs);
}

static void an_anchor_that_expires_while_it_runs_is_not_asked_for_again(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a");
    scene_run(s);
    bui_memory_truncate_before(s->cluster, "in", 0, 1);
    reattach(s); /* as when another shard of the process comes */
    scene_send(s, "in", "k", "b");
    scene_run(s);
    scene_rebalance(s); /* claimed again: the anchor is b, and is looked at */
    bui_memory_truncate_before(s->cluster, "in", 0, 2);
    reattach(s);
    scene_send(s, "in", "k", "c");
    scene_run(s);
    assert_int_equal(scene_failure(s), BUS_OK);
    assert_string_equal(scene_effects(s), "a b c");
}

/* What expires between a claim and its first fetch. */
static void claim_then_expire(scene *s, const char *topic, int64_t before)
{
    bui_memory_revoke(bui_host_transport(s->host));
    bui_memory_assign(bui_host_transport(s->host), (int32_t[]){ 0 }, 1);
    bui_host_group(s->host);
    bui_memory_truncate_before(s->cluster, topic, 0, before);
}

static void an_anchor_that_expires_after_the_claim_is_claimed_again(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a");
    scene_run(s);
    scene_send(s, "in", "k", "b");
    claim_then_expire(s, "in", 1);
    scene_pass(s, 1000);
    assert_int_equal(scene_failure(s), BUS_OK);
    assert_string_equal(scene_effects(s), "a b");
}

static void retries_that_expire_after_the_claim_halt_nobody(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a retry=1");
    scene_run(s); /* its retry record is there, and not due */
    claim_then_expire(s, "svc.retry.1s", 1);
    scene_pass(s, 60000);
    assert_int_equal(scene_failure(s), BUS_OK);
    assert_string_equal(scene_effects(s), "a");
}

static void an_event_that_expires_after_the_claim_halts(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a");
    scene_run(s);
    scene_send(s, "in", "k", "b");
    scene_send(s, "in", "k", "c");
    claim_then_expire(s, "in", 2);
    scene_pass(s, 1000);
    assert_int_equal(scene_failure(s), BUS_REFUSED);
    assert_string_equal(scene_effects(s), "a");
}

/* ---- nobody starves */

static void keys_catching_up_of_a_paused_topic_do_not_starve_the_others(void **state)
{
    scene *s = *state;
    s->weather = true;
    scene_send(s, "in", "k", "a retry=1");
    scene_send(s, "in", "k", "b pause");
    scene_pass(s, 2000);
    assert_string_equal(scene_effects(s), "a");
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_key WHERE state = 3"), 1);
    bui_shard *shard = bui_host_shard(s->host, 0);
    shard->batch.one_by_one = true; /* as after a death in a handler */
    shard->batch.one_by_one_left = 1000;
    shard->input[1].paused_until_us = s->clock.mono_us + 60000000;
    bui_virtual_clock_advance(&s->clock, 100000);
    for (int i = 0; i < 5; i++)
        scene_send(s, "slow", "x", (const char *const[]){ "c", "d", "e", "f", "g" }[i]);
    scene_run(s);
    assert_string_equal(scene_effects(s), "a c d e f g");
}

/* ---- a wall clock set back holds nobody for as long as the step */

static void a_clock_set_back_does_not_hold_a_key(void **state)
{
    scene *s = *state;
    scene_send(s, "in", "k", "a retry=1 pause");
    scene_run(s);
    s->weather = true;
    scene_pass(s, 1500); /* its retry record has come and gone: only a timer brings it back */
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_key"), 1);
    s->weather = false;
    bui_virtual_clock_step(&s->clock, -24 * 3600 * 1000);
    scene_pass(s, 15 * 60 * 1000);
    assert_string_equal(scene_effects(s), "a");
}

/* ---- callers are told what became of the transaction that was committed */

static int call_runs;
static bus_status call_end;

static bus_verdict second_time(bus_tx *tx, void *opaque)
{
    (void)opaque;
    if (call_runs++ == 0)
        return bus_reject(tx, "not yet");
    sqlite3_step(bus_sql(tx, "INSERT INTO effect(name) VALUES ('call')"));
    return BUS_DONE;
}

static void call_done(bui_call *call, bus_status status, const bus_error *err)
{
    (void)call;
    (void)err;
    call_end = status;
}

static void a_call_that_is_run_again_is_told_of_the_last_run(void **state)
{
    scene *s = *state;
    bui_call call = { .fn = second_time, .done = call_done };
    call_runs = 0;
    call_end = BUS_BUG;
    assert_int_equal(bui_shard_call(bui_host_shard(s->host, 0), &call, NULL), BUS_OK);
    scene_send(s, "in", "k", "a write reject"); /* what it wrote makes the batch run again with savepoints */
    scene_run(s);
    assert_int_equal(call_runs, 2);
    assert_int_equal(call_end, scene_ask(s, "SELECT count(*) FROM effect WHERE name = 'call'") ? BUS_OK : BUS_REFUSED);
}

static bus_verdict only_emits(bus_tx *tx, void *opaque)
{
    (void)opaque;
    bus_emit(tx, &inventory_ReleaseStock_type, BUS_STR("k"), &(inventory_ReleaseStock){ .order_id = bus_str("told") });
    return BUS_DONE;
}

/* No topic can make it again: the store says so, and the group's commits, in case that the store is lost. */
static void a_call_that_only_emits_is_marked_in_the_store_and_in_the_commits(void **state)
{
    scene *s = *state;
    bui_call call = { .fn = only_emits, .done = call_done };
    bui_offset lead = { 0 };
    scene_send(s, "in", "k", "a");
    scene_pass(s, 5000);
    assert_int_equal(scene_ask(s, "SELECT transacted FROM bus_meta"), 0);
    assert_true(bui_memory_committed(s->cluster, "svc", "svc.redrive", 0, &lead));
    assert_null(strstr(lead.metadata, "transacted"));
    assert_int_equal(bui_shard_call(bui_host_shard(s->host, 0), &call, NULL), BUS_OK);
    scene_pass(s, 5000);
    assert_int_equal(call_end, BUS_OK);
    assert_int_equal(scene_ask(s, "SELECT transacted FROM bus_meta"), 1);
    assert_true(bui_memory_committed(s->cluster, "svc", "svc.redrive", 0, &lead));
    assert_non_null(strstr(lead.metadata, " transacted"));
    scene_stop(s);
    scene_start(s);
    assert_true(bui_memory_committed(s->cluster, "svc", "svc.redrive", 0, &lead));
    assert_non_null(strstr(lead.metadata, " transacted")); /* from the first commit on */
    scene_stop(s);
    scene_start(s);
    assert_int_equal(scene_failure(s), BUS_OK);
}

/* ---- limits and settings */

static void a_bad_deploy_does_not_drain_a_topic_into_the_dead_letters(void **state)
{
    scene *s = *state;
    char key[16], text[32];
    scene_stop(s);
    s->options.limits.reject_percent = 50;
    scene_start(s);
    for (int i = 0; i < 300; i++) {
        snprintf(key, sizeof key, "k%d", i);
        snprintf(text, sizeof text, "e%d reject", i);
        scene_send(s, "in", key, text);
    }
    scene_pass(s, 60000);
    assert_in_range(COUNTER(s, dead_lettered), 50, 100); /* what it takes to judge, and one a pause */
    s->mended = true;
    scene_pass(s, 10 * 60000);
    assert_int_equal(COUNTER(s, dead_lettered) + (int)scene_ask(s, "SELECT count(*) FROM effect"), 300);
}

static void failures_that_end_together_are_no_bad_deploy(void **state)
{
    scene *s = *state;
    char key[16], text[32];
    scene_stop(s);
    s->options.limits.reject_percent = 50;
    scene_start(s);
    for (int i = 0; i < 1000; i++) { /* a third fails, and is given up on within one second */
        snprintf(key, sizeof key, "k%d", i);
        snprintf(text, sizeof text, i % 3 ? "e%d" : "e%d retry=99", i);
        scene_send(s, "in", key, text);
    }
    scene_pass(s, 10 * 60000);
    assert_int_equal(COUNTER(s, dead_lettered), 334);
    assert_int_equal(COUNTER(s, pauses), 0);
}

/* ---- prepare steps that run at a time */

/* A pool whose jobs end when the test says so. */
typedef struct held_pool {
    bui_pool pool;
    bui_job *job[16];
    size_t count, most;
} held_pool;

static void hold(bui_pool *pool, bui_job *job)
{
    held_pool *held = (held_pool *)pool;
    assert_true(held->count < 16);
    held->job[held->count++] = job;
    held->most = held->count > held->most ? held->count : held->most;
}

static void end_one(held_pool *held)
{
    bui_job *job = held->job[0];
    memmove(held->job, held->job + 1, --held->count * sizeof *held->job);
    job->run(job);
    job->done(job);
}

/* How many of four events' steps ran at a time. */
static size_t most_at_a_time(scene *s, const char *prefix)
{
    held_pool held = { .pool = { hold } };
    char text[8], key[8];
    s->options.pool = &held.pool;
    scene_start(s);
    for (int i = 0; i < 4; i++) {
        snprintf(text, sizeof text, "%s%d", prefix, i);
        snprintf(key, sizeof key, "k%d", i);
        scene_send(s, "steps", key, text);
    }
    for (scene_run(s); held.count; scene_run(s))
        end_one(&held);
    scene_stop(s);
    return held.most;
}

static void steps_run_alone_after_a_death_among_several(void **state)
{
    scene *s = *state;
    char directory[80];
    bus_error err = { 0 };
    scene_stop(s);
    assert_int_equal(most_at_a_time(s, "a"), 4);
    snprintf(directory, sizeof directory, "%s/svc", s->data);
    bui_crash_note *note = bui_crash_open(directory, 0, &err);
    assert_non_null(note);
    for (int64_t offset = 0; offset < 2; offset++)
        bui_crash_enter_step(note, &(bui_delivery){ .event = { .topic = "steps", .offset = offset } });
    bui_crash_close(note);
    assert_int_equal(most_at_a_time(s, "b"), 1);
    assert_int_equal(most_at_a_time(s, "c"), 4);
    s->options.pool = NULL;
    scene_start(s);
    assert_string_equal(scene_effects(s), "a0 a1 a2 a3 b0 b1 b2 b3 c0 c1 c2 c3");
}

static void end_all(held_pool *held)
{
    while (held->count)
        end_one(held);
}

static void a_lane_that_is_given_up_starts_no_step(void **state)
{
    scene *s = *state;
    held_pool held = { .pool = { hold } };
    scene_stop(s);
    s->options.pool = &held.pool;
    scene_start(s);
    for (int i = 0; i < 6; i++)
        scene_send(s, "steps", "k", (const char *const[]){ "a", "b", "c", "d", "e", "f" }[i]);
    scene_send(s, "steps", "other", "x");
    scene_run(s);
    assert_int_equal(held.count, 2); /* one of a key */
    bui_memory_lose(bui_host_transport(s->host));
    scene_run(s);
    assert_int_equal(held.count, 2);
    end_all(&held); /* the pool comes to them too late */
    assert_int_equal(s->prepared, 0);
    bui_memory_assign(bui_host_transport(s->host), (int32_t[]){ 0 }, 1);
    scene_run(s);
    assert_int_equal(held.count, 2);
    bui_job *running = held.job[0];
    running->run(running);
    bui_memory_lose(bui_host_transport(s->host));
    bui_memory_assign(bui_host_transport(s->host), (int32_t[]){ 0 }, 1);
    scene_run(s);
    assert_int_equal(held.count, 2); /* the next reader waits for the steps that are running */
    memmove(held.job, held.job + 1, --held.count * sizeof *held.job);
    running->done(running);
    end_all(&held);
    assert_int_equal(s->prepared, 1);
    for (scene_run(s); held.count; scene_run(s))
        end_one(&held);
    assert_string_equal(scene_effects(s), "a b c d e f x");
    assert_int_equal(s->prepared, 8);
    scene_send(s, "steps", "k", "g");
    scene_send(s, "steps", "k", "h");
    scene_run(s);
    bui_shard_drain(bui_host_shard(s->host, 0));
    end_all(&held);
    scene_run(s);
    assert_int_equal(held.count, 0);
    assert_int_equal(s->prepared, 9);
    scene_stop(s);
    s->options.pool = NULL;
    scene_start(s);
    assert_string_equal(scene_effects(s), "a b c d e f x g h");
}

static void a_step_waits_a_moment_for_those_that_are_out(void **state)
{
    scene *s = *state;
    held_pool held = { .pool = { hold } };
    char text[8], key[8];
    scene_stop(s);
    s->options.pool = &held.pool;
    scene_start(s);
    for (int i = 0; i < 4; i++) {
        snprintf(text, sizeof text, "e%d", i);
        snprintf(key, sizeof key, "k%d", i);
        scene_send(s, "steps", key, text);
    }
    scene_run(s);
    end_one(&held);
    scene_run(s);
    assert_string_equal(scene_effects(s), "");
    scene_pass(s, 5); /* they take longer than that */
    assert_string_equal(scene_effects(s), "e0");
    int commits = COUNTER(s, commits);
    while (held.count) {
        end_one(&held);
        scene_run(s);
    }
    assert_string_equal(scene_effects(s), "e0 e1 e2 e3"); /* the last one need not wait */
    assert_int_equal(COUNTER(s, commits), commits + 1);
    scene_stop(s);
    s->options.pool = NULL;
    scene_start(s);
}

/* ---- replies */

static void ask_from(scene *s, const char *key, const char *text, const char *reply_to)
{
    const bus_header headers[] = { { "ce_specversion", "1.0", 3 },
                                   { "ce_source", "far", 3 },
                                   { "ce_id", key, strlen(key) },
                                   { "ce_type", "test.Text", 9 },
                                   { "bus-reply-to", reply_to, strlen(reply_to) } };
    const bui_row row = {
        .key = key, .key_len = strlen(key), .value = text, .value_len = strlen(text), .headers = headers, .header_count = 5
    };
    assert_true(bui_memory_append(s->cluster, "in", 0, &row) >= 0);
}

static void who_asks_cannot_have_the_answer_written_anywhere(void **state)
{
    scene *s = *state;
    assert_int_equal(bui_memory_topic(s->cluster, "far.replies", 1), BUS_OK);
    assert_int_equal(bui_memory_topic(s->cluster, "payment.commands", 1), BUS_OK);
    ask_from(s, "k1", "a answer", "far.replies/0");
    ask_from(s, "k2", "b answer", "payment.commands/0");
    ask_from(s, "k3", "c answer", "payment.commands");
    scene_pass(s, 60000);
    assert_string_equal(scene_topic(s, "far.replies"), "answer");
    assert_string_equal(scene_topic(s, "payment.commands"), "");
    assert_string_equal(scene_effects(s), "a b c"); /* the event is not to blame, nor are those behind it */
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_letter"), 0);
    assert_int_equal(COUNTER(s, replies_unsent), 2);
}

static void a_question_without_an_address_is_handled(void **state)
{
    static const char *const wrong[] = { "",
                                         "/",
                                         "x.replies",
                                         "x.replies/",
                                         "x.replies/-1",
                                         "x.replies/1x",
                                         "x.replies/ 1",
                                         "x.replies/4294967296",
                                         "x y.replies/0",
                                         "x/y.replies/0",
                                         ".replies/99999999999999999999" };
    scene *s = *state;
    char key[8], text[32];
    scene_send(s, "in", "k", "a0 answer");
    scene_send(s, "in", "k", "b0");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        snprintf(key, sizeof key, "k%zu", i);
        snprintf(text, sizeof text, "w%zu answer", i);
        ask_from(s, key, text, wrong[i]);
    }
    scene_pass(s, 60000);
    assert_string_equal(scene_effects(s), "a0 b0 w0 w1 w2 w3 w4 w5 w6 w7 w8 w9 w10");
    assert_int_equal(COUNTER(s, replies_unsent), 12);
    assert_int_equal(COUNTER(s, retried), 0);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_outbox"), 0);
}

static void who_asks_cannot_make_destinations_without_end(void **state)
{
    scene *s = *state;
    scene_stop(s);
    s->options.limits.reply_places = 3;
    scene_start(s);
    assert_int_equal(bui_memory_topic(s->cluster, "far.replies", 8), BUS_OK);
    for (int i = 0; i < 8; i++) {
        char key[8], text[32], to[32];
        snprintf(key, sizeof key, "k%d", i);
        snprintf(text, sizeof text, "a%d answer", i);
        snprintf(to, sizeof to, "far.replies/%d", i % 4);
        ask_from(s, key, text, to);
    }
    scene_pass(s, 60000);
    assert_int_equal(COUNTER(s, replies_unsent), 2); /* both of the fourth */
    assert_string_equal(scene_effects(s), "a0 a1 a2 a3 a4 a5 a6 a7");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_set_up, scene_tear_down)

static void an_answer_that_no_topic_takes_holds_nothing_for_ever(void **state)
{
    scene *s = *state;
    bui_offset commit;
    ask_from(s, "k1", "a answer", "gone.replies/0");
    ask_from(s, "k2", "b answer", "gone.replies/0");
    scene_pass(s, 200000);
    assert_string_equal(scene_effects(s), "a b");
    assert_true(!bui_memory_committed(s->cluster, "svc", "in", 0, &commit) || commit.offset == 0); /* their rows are still out */
    assert_int_equal(COUNTER(s, rejected_rows), 0);
    scene_pass(s, 400000);
    assert_int_equal(COUNTER(s, rejected_rows), 2);
    assert_true(bui_memory_committed(s->cluster, "svc", "in", 0, &commit));
    assert_int_equal(commit.offset, 2);
    assert_int_equal(bui_memory_topic(s->cluster, "gone.replies", 1), BUS_OK); /* the next requester has made it */
    ask_from(s, "k3", "c answer", "gone.replies/0");
    scene_pass(s, 60000);
    assert_string_equal(scene_topic(s, "gone.replies"), "answer");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(two_producers_may_use_one_id_behind_a_waiting_key),
        TEST(two_producers_may_use_one_id_beside_an_open_letter),
        TEST(one_id_from_two_producers_causes_two_events),
        TEST(a_schedule_whose_topic_is_no_longer_declared_waits_for_it),
        TEST(a_schedule_over_a_lowered_limit_waits_until_it_is_raised),
        TEST(what_is_too_big_to_leave_is_not_scheduled),
        TEST(a_lane_that_was_denied_goes_on_when_it_is_allowed_again),
        TEST(a_lane_without_memory_halts_so_that_the_process_joins_anew),
        TEST(an_anchor_that_expires_while_it_runs_is_not_asked_for_again),
        TEST(an_anchor_that_expires_after_the_claim_is_claimed_again),
        TEST(retries_that_expire_after_the_claim_halt_nobody),
        TEST(an_event_that_expires_after_the_claim_halts),
        TEST(keys_catching_up_of_a_paused_topic_do_not_starve_the_others),
        TEST(a_clock_set_back_does_not_hold_a_key),
        TEST(a_call_that_is_run_again_is_told_of_the_last_run),
        TEST(a_call_that_only_emits_is_marked_in_the_store_and_in_the_commits),
        TEST(a_bad_deploy_does_not_drain_a_topic_into_the_dead_letters),
        TEST(failures_that_end_together_are_no_bad_deploy),
        TEST(steps_run_alone_after_a_death_among_several),
        TEST(a_lane_that_is_given_up_starts_no_step),
        TEST(a_step_waits_a_moment_for_those_that_are_out),
        TEST(a_question_without_an_address_is_handled),
        TEST(who_asks_cannot_make_destinations_without_end),
        TEST(who_asks_cannot_have_the_answer_written_anywhere),
        TEST(an_answer_that_no_topic_takes_holds_nothing_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
