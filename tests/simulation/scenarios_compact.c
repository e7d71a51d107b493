/* SPDX-License-Identifier: MIT
 * The compact form between services, and the full one at the edges: for the bus both are one event. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "codec/compact.h"
#include "support/scene.h"
#include <stdio.h>
#include <string.h>

#define COUNTER(s, name) bui_counter_read(&scene_metrics(s)->name)
#define TRACE "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

static void with_form(scene *s, bool compact)
{
    scene_stop(s);
    s->options.limits.compact_envelope = compact;
    scene_start(s);
    scene_run(s);
}

/* From the service `far`, as its hop says; at the `to` that the hop says. */
static void send(scene *s, const char *topic, const char *to, int seq, const char *id, const char *text)
{
    char hop[400];
    snprintf(hop, sizeof hop, "far/0#1 %s/0/%d s=1 i=%s y=test.Text c=cause r=first p=" TRACE, to, seq, id);
    const bus_header headers[] = { { "colour", "blue", 4 }, { BUI_HEADER_HOP, hop, strlen(hop) } };
    scene_send_headers(s, topic, "k", headers, 2, text);
}

static void send_in_full(scene *s, const char *topic, const char *source, const char *id, const char *text)
{
    const bus_header headers[] = { { BUI_HEADER_SOURCE, source, strlen(source) }, { BUI_HEADER_ID, id, strlen(id) } };
    scene_send_headers(s, topic, "k", headers, 2, text);
}

static const char *header(scene *s, const char *topic, int64_t offset, const char *name)
{
    static char text[600];
    bui_record record;
    const char *found = "none";
    assert_true(bui_memory_read(s->cluster, topic, 0, offset, &record));
    for (size_t i = 0; i < record.header_count; i++)
        if (strcmp(record.headers[i].name, name) == 0) {
            snprintf(text, sizeof text, "%.*s", (int)record.headers[i].len, (const char *)record.headers[i].value);
            found = text;
        }
    return found;
}

static bui_envelope envelope_at(scene *s, const char *topic, int64_t offset)
{
    bui_record record;
    bui_envelope envelope;
    assert_true(bui_memory_read(s->cluster, topic, 0, offset, &record));
    assert_int_equal(bui_envelope_read(record.headers, record.header_count, &envelope, NULL), BUS_OK);
    return envelope;
}

static bool is(bui_slice slice, const char *text)
{
    return slice.at && slice.len == strlen(text) && memcmp(slice.at, text, slice.len) == 0;
}

static void is_in_full(scene *s, const char *topic, int64_t offset)
{
    assert_string_equal(header(s, topic, offset, "ce_id"), "e1");
    assert_string_equal(header(s, topic, offset, "ce_type"), "test.Text");
    assert_string_equal(header(s, topic, offset, "ce_specversion"), "1.0");
    assert_string_equal(header(s, topic, offset, "ce_source"), "far");
    assert_string_equal(header(s, topic, offset, "content-type"), "application/avro");
    assert_string_equal(header(s, topic, offset, "ce_correlationid"), "first");
    assert_string_equal(header(s, topic, offset, "ce_causationid"), "cause");
    assert_string_equal(header(s, topic, offset, "traceparent"), TRACE);
    assert_string_equal(header(s, topic, offset, "colour"), "blue");
    assert_non_null(strstr(header(s, topic, offset, "bus-orig"), " far/0#1 in/0/1 s=1"));
    assert_null(strstr(header(s, topic, offset, "bus-orig"), "i="));
    assert_null(strstr(header(s, topic, offset, "bus-hop"), "i="));
}

/* ---- what is sent */

static void both_forms_say_the_same(void **state)
{
    scene *s = *state;
    bui_envelope e[2];
    char id[2][64];
    for (int compact = 0; compact < 2; compact++) {
        with_form(s, compact);
        send(s, "in", "in", 1 + compact, compact ? "e2" : "e1", "a emit");
        scene_run(s);
        assert_int_equal(scene_headers_of(s, "svc.events", compact, ""), compact ? 1 : 9);
        e[compact] = envelope_at(s, "svc.events", compact);
        snprintf(id[compact], sizeof id[compact], "%.*s", (int)e[compact].id.len, e[compact].id.at);
        assert_true(is(e[compact].source, "svc") && is(e[compact].type, "inventory.ReleaseStock"));
        assert_true(is(e[compact].correlation, "first") && is(e[compact].causation, compact ? "e2" : "e1"));
        assert_true(is(e[compact].traceparent, TRACE) && is(e[compact].content_type, "application/avro"));
    }
    assert_string_not_equal(id[0], id[1]);
}

static void the_first_cause_is_said_once(void **state)
{
    scene *s = *state;
    with_form(s, true);
    scene_send(s, "in", "k", "a emit");
    scene_run(s);
    bui_envelope e = envelope_at(s, "svc.events", 0);
    assert_true(is(e.correlation, "a") && is(e.causation, "a"));
    assert_true(!e.hop.correlation.at && is(e.hop.causation, "a"));
}

static void a_text_that_is_no_word_cannot_look_like_a_letter(void **state)
{
    scene *s = *state;
    with_form(s, true);
    send_in_full(s, "in", "left", "x i=other y=Other", "a emit");
    scene_run(s);
    bui_envelope e = envelope_at(s, "svc.events", 0);
    assert_true(is(e.causation, "x i=other y=Other") && is(e.correlation, "x i=other y=Other"));
    assert_true(is(e.type, "inventory.ReleaseStock") && !is(e.id, "other"));
    assert_int_equal(scene_headers_of(s, "svc.events", 0, ""), 3);
}

static void what_a_handler_traces_counts(void **state)
{
    scene *s = *state;
    static const bus_header traced[] = { { BUI_HEADER_TRACEPARENT, TRACE, sizeof TRACE - 1 } };
    for (int compact = 0; compact < 2; compact++) {
        with_form(s, compact);
        scene_send_with(s, "in", "k", compact ? "b pass" : "a pass", traced, 1);
        scene_run(s);
        assert_int_equal(scene_headers_of(s, "svc.events", compact, BUI_HEADER_TRACEPARENT), !compact);
        assert_true(is(envelope_at(s, "svc.events", compact).traceparent, TRACE));
    }
}

static void what_is_scheduled_takes_the_form_of_the_day(void **state)
{
    scene *s = *state;
    for (int compact = 0; compact < 2; compact++) {
        with_form(s, !compact);
        scene_send(s, "in", "k", compact ? "b schedule=500" : "a schedule=500");
        scene_run(s);
        with_form(s, compact);
        scene_pass(s, 1000);
        assert_int_equal(scene_headers_of(s, "svc.events", compact, ""), compact ? 1 : 8);
        bui_envelope e = envelope_at(s, "svc.events", compact);
        assert_true(is(e.source, "svc") && is(e.causation, compact ? "b" : "a") && is(e.correlation, compact ? "b" : "a"));
    }
}

/* ---- copies */

static void a_dead_letter_is_in_full(void **state)
{
    scene *s = *state;
    send(s, "in", "in", 1, "e1", "a reject emit");
    scene_run(s);
    is_in_full(s, "svc.dlq", 0);
    s->mended = true;
    scene_command(s, 0, "redrive", 0);
    scene_run(s);
    assert_string_equal(scene_effects(s), "a");
    bui_envelope e = envelope_at(s, "svc.events", 0);
    assert_true(is(e.causation, "e1") && is(e.correlation, "first") && is(e.traceparent, TRACE));
}

static void a_retry_is_in_full_and_what_waits_keeps_its_name(void **state)
{
    scene *s = *state;
    send(s, "in", "in", 1, "e1", "a retry=1");
    send(s, "in", "in", 2, "e2", "b emit");
    scene_run(s);
    is_in_full(s, "svc.retry.1s", 0);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_parked"), 2);
    scene_pass(s, 60000);
    assert_string_equal(scene_effects(s), "a b");
    assert_true(is(envelope_at(s, "svc.events", 0).causation, "e2"));
}

static void a_replay_is_in_full(void **state)
{
    scene *s = *state;
    send(s, "in", "in", 1, "e1", "a");
    scene_run(s);
    scene_replay(s, "in", 0, "run", 1, 0);
    scene_run(s);
    assert_string_equal(scene_effects(s), "a a");
    is_in_full(s, "svc.redrive", 0);
}

/* ---- names of events */

static void an_event_has_one_name_in_both_forms(void **state)
{
    scene *s = *state;
    send(s, "in", "elsewhere", 1, "1", "a"); /* copied here by somebody: its hop means nothing, its letters do */
    send_in_full(s, "in", "far", "1", "a");
    send_in_full(s, "in", "near", "1", "b");
    scene_run(s);
    assert_string_equal(scene_effects(s), "a b");
    assert_int_equal(COUNTER(s, duplicates), 1);
}

static void an_event_that_waits_has_one_name_in_both_forms(void **state)
{
    scene *s = *state;
    send(s, "in", "elsewhere", 1, "1", "a retry=1");
    send_in_full(s, "in", "far", "1", "a retry=1");
    send_in_full(s, "in", "near", "1", "b");
    scene_pass(s, 60000);
    assert_string_equal(scene_effects(s), "a b");
    assert_int_equal(COUNTER(s, duplicates), 1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, scene_set_up, scene_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(both_forms_say_the_same),
        TEST(the_first_cause_is_said_once),
        TEST(a_text_that_is_no_word_cannot_look_like_a_letter),
        TEST(what_a_handler_traces_counts),
        TEST(what_is_scheduled_takes_the_form_of_the_day),
        TEST(a_dead_letter_is_in_full),
        TEST(a_retry_is_in_full_and_what_waits_keeps_its_name),
        TEST(a_replay_is_in_full),
        TEST(an_event_has_one_name_in_both_forms),
        TEST(an_event_that_waits_has_one_name_in_both_forms),
    };
    return cmocka_run_group_tests_name("scenarios_compact", tests, NULL, NULL);
}
