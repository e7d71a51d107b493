/* SPDX-License-Identifier: MIT
 * The rules of the protocol, each with the scenario it exists for: how committed rows leave, whatever is answered.
 * See support/scene.h for what the service does. */
#include "support/scene.h"
#include "shard/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNTER(scene, name) ((int)bui_counter_read(&scene_metrics(scene)->name))

static bui_memory_fate first_ack_lost(scene *s, const bui_row *row, bui_channel channel)
{
    (void)row;
    (void)channel;
    return s->asked == 1 ? BUI_FATE_LOST_ACK : BUI_FATE_ACK;
}

static void a_lost_ack_is_sent_again_and_dropped_downstream(void **state)
{
    scene *s = *state;
    s->fate = first_ack_lost;
    scene_send(s, "in", "k", "a emit=2");
    scene_pass(s, 5000);
    assert_string_equal(scene_topic(s, "svc.events"), "a1 a1 a2");
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_outbox"), 0);
    /* the same log as an input of ours, seen through a service that reads it */
    for (int64_t offset = 0; offset < 3; offset++) {
        bui_record record;
        bus_header headers[16];
        char hop[128];
        assert_true(bui_memory_read(s->cluster, "svc.events", 0, offset, &record));
        memcpy(headers, record.headers, record.header_count * sizeof *headers);
        for (size_t i = 0; i < record.header_count; i++)
            if (strcmp(headers[i].name, "bus-hop") == 0) {
                char text[128] = "";
                memcpy(text, headers[i].value, headers[i].len);
                snprintf(hop, sizeof hop, "%.*s typed/0/%s", (int)strcspn(text, " "), text, strrchr(text, '/') + 1);
                headers[i] = (bus_header){ "bus-hop", hop, strlen(hop) };
            }
        bui_memory_append(s->cluster, "typed", 0,
                          &(bui_row){ .key = record.key,
                                      .key_len = record.key_len,
                                      .value = record.value,
                                      .value_len = record.value_len,
                                      .headers = headers,
                                      .header_count = record.header_count });
    }
    scene_run(s);
    assert_string_equal(scene_effects(s), "a a1 a2");
    assert_int_equal(COUNTER(s, duplicates), 1);
    assert_int_equal(COUNTER(s, gaps), 0);
}

static void the_first_row_of_a_producer_goes_alone(void **state)
{
    scene *s = *state;
    s->fate = scene_hold_all;
    scene_send(s, "in", "k", "a emit=5");
    scene_run(s);
    bui_transport *client = bui_host_transport(s->host);
    assert_int_equal(bui_memory_withheld(client), 1);
    bui_memory_deliver(client, BUI_FATE_ACK);
    scene_run(s);
    assert_int_equal(bui_memory_withheld(client), 4);
    bui_memory_deliver(client, BUI_FATE_ACK);
    scene_send(s, "in", "k", "b emit=3");
    scene_run(s);
    assert_int_equal(bui_memory_withheld(client), 3);
    bui_memory_deliver(client, BUI_FATE_ACK);
    scene_pass(s, s->options.limits.idle_recheck_ms + 1000);
    scene_send(s, "in", "k", "c emit=3");
    scene_run(s);
    assert_int_equal(bui_memory_withheld(client), 1); /* the broker may have forgotten the producer by now */
    bui_memory_deliver(client, BUI_FATE_ACK);
    scene_run(s);
    bui_memory_deliver(client, BUI_FATE_ACK);
    scene_pass(s, 5000);
    assert_string_equal(scene_topic(s, "svc.events"), "a1 a2 a3 a4 a5 b1 b2 b3 c1 c2 c3");
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_outbox"), 0);
}

static bui_memory_fate first_ack_false(scene *s, const bui_row *row, bui_channel channel)
{
    (void)row;
    (void)channel;
    return s->asked <= 2 ? BUI_FATE_FALSE_ACK : BUI_FATE_ACK;
}

static void an_ack_without_an_offset_deletes_nothing(void **state)
{
    scene *s = *state;
    s->fate = first_ack_false;
    scene_send(s, "in", "k", "a emit=3");
    scene_pass(s, 60000);
    assert_string_equal(scene_topic(s, "svc.events"), "a1 a2 a3");
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_outbox"), 0);
}

static bui_memory_fate events_denied(scene *s, const bui_row *row, bui_channel channel)
{
    (void)channel;
    return !s->mended && strcmp(row->topic, "svc.events") == 0 ? BUI_FATE_TOPIC : BUI_FATE_ACK;
}

static void a_topic_fault_stops_its_destination_alone(void **state)
{
    scene *s = *state;
    s->fate = events_denied;
    scene_send(s, "in", "k", "a emit=2 other=2");
    scene_pass(s, 60000);
    scene_send(s, "in", "k", "b emit other");
    scene_pass(s, 60000);
    assert_string_equal(scene_topic(s, "svc.other"), "a1 a2 b1");
    assert_string_equal(scene_topic(s, "svc.events"), "");
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_outbox WHERE state = 0"), 3);
    s->mended = true;
    scene_pass(s, 120000);
    assert_string_equal(scene_topic(s, "svc.events"), "a1 a2 b1");
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_outbox"), 0);
}

static void dead_letters_denied_neither_lose_nor_spin(void **state)
{
    scene *s = *state;
    bui_memory_topic_delete(s->cluster, "svc.dlq");
    scene_send(s, "in", "k", "a reject");
    scene_send(s, "in", "k", "b");
    scene_pass(s, 600000);
    assert_string_equal(scene_effects(s), "b");
    assert_int_equal(s->runs, 2);
    assert_true(COUNTER(s, relay_failures) < 200);
    bui_memory_topic(s->cluster, "svc.dlq", 1);
    scene_pass(s, 120000);
    assert_string_equal(scene_letters(s), "handler:open:1");
}

static bui_memory_fate bad_key_refused(scene *s, const bui_row *row, bui_channel channel)
{
    (void)s;
    (void)channel;
    return row->key_len == 3 && memcmp(row->key, "bad", 3) == 0 ? BUI_FATE_RECORD : BUI_FATE_ACK;
}

static void a_record_fault_rejects_one_row_and_the_rest_goes_on(void **state)
{
    scene *s = *state;
    scene_stop(s);
    s->options.limits.refused_waits = false; /* outbox.refused=pass */
    scene_start(s);
    s->fate = bad_key_refused;
    scene_send(s, "in", "k", "a emit=2");
    scene_send(s, "in", "bad", "b emit");
    scene_send(s, "in", "k", "c emit=2");
    scene_pass(s, 120000);
    assert_string_equal(scene_topic(s, "svc.events"), "a1 a2 c1 c2");
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_outbox WHERE state = 1"), 1);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_outbox WHERE state = 0"), 0);
    assert_int_equal(COUNTER(s, rejected_rows), 1);
}

static bui_memory_fate fatal_once(scene *s, const bui_row *row, bui_channel channel)
{
    (void)row;
    (void)channel;
    return s->asked == 2 ? BUI_FATE_FATAL : BUI_FATE_ACK;
}

static void a_fatal_producer_is_replaced(void **state)
{
    scene *s = *state;
    s->fate = fatal_once;
    scene_send(s, "in", "k", "a emit=4");
    scene_pass(s, 60000);
    assert_string_equal(scene_topic(s, "svc.events"), "a1 a2 a3 a4");
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_outbox"), 0);
}

static void what_was_committed_leaves_after_a_restart_with_its_own_source(void **state)
{
    scene *s = *state;
    bui_record first, second;
    s->fate = scene_hold_all;
    scene_send(s, "in", "k", "a emit=2");
    scene_run(s);
    scene_stop(s);
    s->fate = NULL;
    scene_start(s);
    scene_send(s, "in", "k", "b emit");
    scene_pass(s, 5000);
    assert_string_equal(scene_topic(s, "svc.events"), "a1 a2 b1");
    assert_true(bui_memory_read(s->cluster, "svc.events", 0, 0, &first));
    assert_true(bui_memory_read(s->cluster, "svc.events", 0, 2, &second));
    for (size_t i = 0; i < first.header_count; i++)
        if (strcmp(first.headers[i].name, "bus-hop") == 0)
            assert_memory_not_equal(first.headers[i].value, second.headers[i].value, first.headers[i].len);
}

/* z1 is acknowledged; then `text` leaves, and its rows end as `fate` says, unheard: the process is killed. */
static void killed_with_rows_out(scene *s, const char *text,
                                 bui_memory_fate (*fate)(scene *s, const bui_row *row, bui_channel channel))
{
    scene_send(s, "in", "k", "z emit");
    scene_pass(s, 100);
    s->fate = scene_hold_all;
    scene_send(s, "in", "k", text);
    scene_run(s);
    s->fate = fate;
    s->asked = 0;
    bui_memory_deliver_some(bui_host_transport(s->host), 100);
    scene_stop(s);
    s->fate = NULL;
}

static bui_memory_fate all_land(scene *s, const bui_row *row, bui_channel channel)
{
    (void)s;
    (void)row;
    (void)channel;
    return BUI_FATE_LOST_ACK;
}

static void what_landed_is_not_sent_again_after_a_restart(void **state)
{
    scene *s = *state;
    killed_with_rows_out(s, "a emit=3", all_land);
    assert_int_equal(bui_memory_end(s->cluster, "svc.events", 0), 4);
    scene_start(s);
    scene_send(s, "in", "k", "b emit");
    scene_pass(s, 5000);
    assert_string_equal(scene_topic(s, "svc.events"), "z1 a1 a2 a3 b1");
    assert_int_equal(COUNTER(s, landed), 3);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_outbox"), 0);
}

static void what_lies_behind_other_sources_is_found_too(void **state)
{
    scene *s = *state;
    bui_record record;
    killed_with_rows_out(s, "a emit=3", all_land);
    assert_true(bui_memory_read(s->cluster, "svc.events", 0, 0, &record));
    for (int i = 0; i < 1000; i++)
        bui_memory_append(s->cluster, "svc.events", 0,
                          &(bui_row){ .key = "x", .key_len = 1, .value = record.value, .value_len = record.value_len });
    bui_memory_append_control(s->cluster, "svc.events", 0, 2);
    scene_start(s);
    scene_pass(s, 5000);
    assert_int_equal(COUNTER(s, landed), 3);
    assert_int_equal(bui_memory_end(s->cluster, "svc.events", 0), 1006);
}

static bui_memory_fate the_second_is_lost(scene *s, const bui_row *row, bui_channel channel)
{
    (void)row;
    (void)channel;
    return s->asked == 2 ? BUI_FATE_FALSE_ACK : BUI_FATE_LOST_ACK;
}

/* If a3 were left out, a reader that keeps the last value of each key would keep a2. */
static void from_what_is_missing_on_all_is_sent(void **state)
{
    scene *s = *state;
    killed_with_rows_out(s, "a emit=3", the_second_is_lost);
    assert_string_equal(scene_topic(s, "svc.events"), "z1 a1 a3");
    scene_start(s);
    scene_pass(s, 5000);
    assert_string_equal(scene_topic(s, "svc.events"), "z1 a1 a3 a2 a3");
    assert_int_equal(COUNTER(s, landed), 1);
}

static bui_memory_fate none_lands(scene *s, const bui_row *row, bui_channel channel)
{
    (void)s;
    (void)row;
    (void)channel;
    return BUI_FATE_FAILED;
}

static void a_record_with_our_number_and_other_bytes_is_not_ours(void **state)
{
    scene *s = *state;
    bui_record record;
    bus_header headers[16];
    char hop[600] = "";
    killed_with_rows_out(s, "a emit=2", none_lands);
    assert_true(bui_memory_read(s->cluster, "svc.events", 0, 0, &record));
    memcpy(headers, record.headers, record.header_count * sizeof *headers);
    for (size_t i = 0; i < record.header_count; i++)
        if (strcmp(headers[i].name, "bus-hop") == 0) {
            memcpy(hop, headers[i].value, headers[i].len);
            char *number = strstr(hop, "svc.events/0/1");
            assert_non_null(number);
            number[strlen("svc.events/0/")] = '2'; /* a1's number */
            headers[i].value = hop;
        }
    bui_memory_append(s->cluster, "svc.events", 0,
                      &(bui_row){ .key = record.key,
                                  .key_len = record.key_len,
                                  .value = record.value,
                                  .value_len = record.value_len,
                                  .headers = headers,
                                  .header_count = record.header_count });
    scene_start(s);
    scene_pass(s, 5000);
    assert_string_equal(scene_topic(s, "svc.events"), "z1 z1 a1 a2");
    assert_int_equal(COUNTER(s, landed), 0);
}

static void what_cannot_be_looked_at_is_sent(void **state)
{
    scene *s = *state;
    killed_with_rows_out(s, "a emit=2", all_land);
    bui_memory_looks_fail(s->cluster, true);
    scene_start(s);
    scene_pass(s, 5000);
    assert_string_equal(scene_topic(s, "svc.events"), "z1 a1 a2 a1 a2");
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_outbox"), 0);
}

static void a_topic_that_is_gone_harms_no_other(void **state)
{
    scene *s = *state;
    killed_with_rows_out(s, "a emit=2 other=2", all_land);
    bui_memory_topic_delete(s->cluster, "svc.other");
    bui_memory_topic(s->cluster, "svc.other", 1);
    scene_start(s);
    scene_pass(s, 5000);
    assert_string_equal(scene_topic(s, "svc.events"), "z1 a1 a2");
    assert_string_equal(scene_topic(s, "svc.other"), "a1 a2");
}

static int64_t committed(const scene *s)
{
    bui_offset offset;
    return bui_memory_committed(s->cluster, "svc", "in", 0, &offset) ? offset.offset : -1;
}

static void rows_of_small_transactions_leave_together(void **state)
{
    scene *s = *state;
    scene_stop(s);
    s->options.limits.linger_us = 2000;
    s->options.limits.commit_interval_ms = 0;
    scene_start(s);
    scene_send(s, "in", "k", "a emit");
    scene_pass(s, 1);
    assert_string_equal(scene_topic(s, "svc.events"), "a1"); /* at once: none has left for long */
    scene_send(s, "in", "k", "b emit");
    scene_run(s);
    scene_send(s, "in", "k", "c emit");
    scene_run(s);
    assert_string_equal(scene_effects(s), "a b c");
    assert_string_equal(scene_topic(s, "svc.events"), "a1");
    assert_int_equal(committed(s), 1); /* not before what b and c cause is in its topic */
    scene_pass(s, 1);
    assert_string_equal(scene_topic(s, "svc.events"), "a1 b1 c1");
    assert_int_equal(committed(s), 3);
    scene_send(s, "in", "k", "d emit");
    scene_run(s);
    scene_send(s, "in", "k", "e emit=70");
    scene_run(s); /* a crowd does not linger, and takes the others with it */
    assert_int_equal(bui_memory_end(s->cluster, "svc.events", 0), 3 + 1 + 70);
    scene_send(s, "in", "k", "f emit");
    scene_run(s);
    assert_int_equal(bui_memory_end(s->cluster, "svc.events", 0), 74);
    scene_stop(s);
    scene_start(s); /* what was lingering when the process died */
    scene_pass(s, 1000);
    assert_int_equal(bui_memory_end(s->cluster, "svc.events", 0), 75);
    assert_int_equal(committed(s), 6);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_outbox"), 0);
    assert_int_equal(COUNTER(s, duplicates), 0);
}

static int pushes;
static void count_push(bui_port *port)
{
    (void)port;
    pushes++;
}

static void what_lingers_in_the_producer_is_pushed_once(void **state)
{
    scene *s = *state;
    bui_shard *shard = bui_host_shard(s->host, 0);
    struct bui_port_ops ops = *shard->port->ops;
    const struct bui_port_ops *former = shard->port->ops;
    ops.push = count_push;
    shard->port->ops = &ops;
    scene_send(s, "in", "k", "a emit");
    scene_run(s);
    assert_int_equal(pushes, 0); /* others may come and leave with it */
    scene_pass(s, 1);
    assert_int_equal(pushes, 1);
    scene_pass(s, 60000);
    assert_int_equal(pushes, 1); /* nothing has been handed over since */
    scene_send(s, "in", "k", "b silent");
    scene_pass(s, 60000);
    assert_int_equal(pushes, 1);
    shard->port->ops = former;
}

static void a_full_outbox_stops_deliveries_until_it_drains(void **state)
{
    scene *s = *state;
    scene_stop(s);
    s->options.limits.outbox_bytes = 2000;
    s->options.limits.batch_records = 1;
    scene_start(s);
    bui_memory_down(s->cluster, true);
    bui_memory_down(s->cluster, false);
    s->fate = scene_hold_all;
    char text[32];
    for (int i = 0; i < 50; i++) {
        snprintf(text, sizeof text, "e%d emit=2", i);
        scene_send(s, "in", "k", text);
    }
    scene_pass(s, 60000);
    assert_in_range(s->runs, 1, 40);
    s->fate = NULL;
    bui_memory_deliver(bui_host_transport(s->host), BUI_FATE_ACK);
    scene_pass(s, 60000);
    assert_int_equal(s->runs, 50);
    assert_int_equal(scene_ask(s, "SELECT count(*) FROM bus_outbox"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_set_up, scene_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_lost_ack_is_sent_again_and_dropped_downstream),
        TEST(the_first_row_of_a_producer_goes_alone),
        TEST(an_ack_without_an_offset_deletes_nothing),
        TEST(a_topic_fault_stops_its_destination_alone),
        TEST(dead_letters_denied_neither_lose_nor_spin),
        TEST(a_record_fault_rejects_one_row_and_the_rest_goes_on),
        TEST(a_fatal_producer_is_replaced),
        TEST(what_was_committed_leaves_after_a_restart_with_its_own_source),
        TEST(what_landed_is_not_sent_again_after_a_restart),
        TEST(what_lies_behind_other_sources_is_found_too),
        TEST(from_what_is_missing_on_all_is_sent),
        TEST(a_record_with_our_number_and_other_bytes_is_not_ours),
        TEST(what_cannot_be_looked_at_is_sent),
        TEST(a_topic_that_is_gone_harms_no_other),
        TEST(rows_of_small_transactions_leave_together),
        TEST(what_lingers_in_the_producer_is_pushed_once),
        TEST(a_full_outbox_stops_deliveries_until_it_drains),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
