/* SPDX-License-Identifier: MIT
 * The memory transport does what its header says: logs, lanes, group events, offsets, and each fate of a row. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "testing/clock.h"
#include "testing/memory_transport.h"

typedef struct world {
    bui_virtual_clock clock;
    bui_memory_cluster *cluster;
    bui_transport *client;
    bui_port *port;
    int wakes;
    bui_memory_fate fates[16]; /* what the judge says, in turn; then ACK */
    size_t asked;
    bui_memory_flight flight; /* as the judge last saw it */
} world;

static void on_wake(void *opaque)
{
    ((world *)opaque)->wakes++;
}

static bui_memory_fate judge(void *opaque, const bui_row *row, bui_channel channel)
{
    world *w = opaque;
    (void)row;
    (void)channel;
    w->flight = *bui_memory_judging(w->cluster);
    return w->asked < 16 ? w->fates[w->asked++] : BUI_FATE_ACK;
}

static int set_up(void **state)
{
    world *w = calloc(1, sizeof *w);
    bui_virtual_clock_init(&w->clock, 1700000000000);
    w->cluster = bui_memory_cluster_new(&w->clock.clock);
    assert_int_equal(bui_memory_topic(w->cluster, "in", 2), BUS_OK);
    assert_int_equal(bui_memory_topic(w->cluster, "out", 2), BUS_OK);
    w->client = bui_memory_client(w->cluster);
    assert_int_equal(w->client->ops->join(w->client, &(bui_membership){ "shop", "in", NULL, 6000, 0 }, NULL), BUS_OK);
    assert_int_equal(w->client->ops->port_open(w->client, "shop/0", on_wake, w, &w->port, NULL), BUS_OK);
    bui_memory_judge_by(w->cluster, judge, w);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    world *w = *state;
    w->client->ops->assign(w->client, NULL, 0, NULL);
    w->client->ops->port_close(w->port);
    w->client->ops->free(w->client);
    bui_memory_cluster_free(w->cluster);
    free(w);
    return 0;
}

static void append(world *w, int32_t partition, const char *key, const char *value)
{
    bui_row row = { .key = key, .key_len = key ? strlen(key) : 0, .value = value, .value_len = value ? strlen(value) : 0 };
    assert_true(bui_memory_append(w->cluster, "in", partition, &row) >= 0);
}

static bui_lane *lane_at(world *w, int64_t offset)
{
    bui_lane_spec spec = { w->port, "in", 0, offset, 0, NULL };
    assert_int_equal(w->client->ops->assign(w->client, &spec, 1, NULL), BUS_OK);
    return spec.lane;
}

static void send_row(world *w, bui_channel channel, int64_t id)
{
    char value[16];
    snprintf(value, sizeof value, "%d", (int)id);
    bui_row row = { .id = id, .topic = "out", .partition = 1, .value = value, .value_len = strlen(value) };
    assert_int_equal(w->port->ops->produce(w->port, channel, &row, NULL), BUS_OK);
}

/* Takes all reports and writes them as "id:kind:offset ". */
static const char *told(world *w)
{
    static char text[512];
    bui_report reports[32];
    size_t n = w->port->ops->reports(w->port, reports, 32), at = 0;
    text[0] = 0;
    for (size_t i = 0; i < n; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%d:%c:%d ", (int)reports[i].id, "AUTRF"[reports[i].kind],
                               reports[i].offset == BUI_OFFSET_NONE ? -1 : (int)reports[i].offset);
    return text;
}

/* The values of out/1, in order. */
static const char *stored(world *w)
{
    static char text[512];
    size_t at = 0;
    bui_record record;
    text[0] = 0;
    for (int64_t offset = 0; bui_memory_read(w->cluster, "out", 1, offset, &record); offset++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%.*s ", (int)record.value_len, (const char *)record.value);
    return text;
}

static void a_lane_reads_what_was_appended(void **state)
{
    world *w = *state;
    bus_header headers[] = { { "ce_id", "x1", 2 }, { "null", NULL, 0 }, { "empty", "", 0 } };
    bui_row row = {
        .key = "", .key_len = 0, .value = "abc", .value_len = 3, .headers = headers, .header_count = 3, .timestamp = 42
    };
    assert_int_equal(bui_memory_append(w->cluster, "in", 0, &row), 0);
    append(w, 0, NULL, NULL);
    append(w, 1, "other", "partition");
    bui_record got[4];
    bus_error err = { 0 };
    bui_lane *lane = lane_at(w, BUI_OFFSET_START);
    assert_int_equal(w->wakes, 1);
    assert_int_equal(w->port->ops->fetch(w->port, lane, got, 4, &err), 2);
    assert_string_equal(got[0].topic, "in");
    assert_int_equal(got[0].timestamp, 42);
    assert_non_null(got[0].key);
    assert_int_equal(got[0].key_len, 0);
    assert_memory_equal(got[0].value, "abc", 3);
    assert_int_equal(got[0].header_count, 3);
    assert_memory_equal(got[0].headers[0].value, "x1", 2);
    assert_null(got[0].headers[1].value);
    assert_non_null(got[0].headers[2].value);
    assert_int_equal(got[1].offset, 1);
    assert_int_equal(got[1].timestamp, 1700000000000);
    assert_null(got[1].key);
    assert_null(got[1].value);
    assert_int_equal(w->port->ops->end(w->port, lane), 2);
    assert_int_equal(w->port->ops->eof(w->port, lane), 2);
    w->client->ops->assign(w->client, NULL, 0, NULL); /* records outlive their lane */
    assert_memory_equal(got[0].value, "abc", 3);
    w->port->ops->release(w->port, got, 2);
    assert_int_equal(err.status, BUS_OK);
}

static void a_lane_wakes_its_port_when_it_had_nothing(void **state)
{
    world *w = *state;
    bui_record got[4];
    bui_lane *lane = lane_at(w, BUI_OFFSET_END);
    assert_int_equal(w->wakes, 0);
    append(w, 0, "k", "1");
    append(w, 0, "k", "2");
    append(w, 1, "k", "3");
    assert_int_equal(w->wakes, 1);
    assert_int_equal(w->port->ops->fetch(w->port, lane, got, 1, NULL), 1);
    w->port->ops->release(w->port, got, 1);
    append(w, 0, "k", "4");
    assert_int_equal(w->wakes, 1);
    assert_int_equal(w->port->ops->fetch(w->port, lane, got, 4, NULL), 2);
    w->port->ops->release(w->port, got, 2);
    append(w, 0, "k", "5");
    assert_int_equal(w->wakes, 2);
}

static void an_offset_outside_the_log_and_a_lost_topic_are_errors(void **state)
{
    world *w = *state;
    bui_record got[4];
    bus_error err = { 0 };
    for (int i = 0; i < 5; i++)
        append(w, 0, "k", "v");
    bui_lane *lane = lane_at(w, 2);
    bui_memory_truncate_before(w->cluster, "in", 0, 3);
    assert_int_equal(w->port->ops->fetch(w->port, lane, got, 4, &err), 0);
    assert_int_equal(err.status, BUS_CORRUPT);
    lane = lane_at(w, 5);
    bui_memory_truncate_after(w->cluster, "in", 0, 4);
    assert_int_equal(bui_memory_end(w->cluster, "in", 0), 4);
    assert_int_equal(bui_memory_start(w->cluster, "in", 0), 3);
    err.status = BUS_OK;
    assert_int_equal(w->port->ops->fetch(w->port, lane, got, 4, &err), 0);
    assert_int_equal(err.status, BUS_CORRUPT);
    assert_false(bui_memory_read(w->cluster, "in", 0, 2, got));
    assert_true(bui_memory_read(w->cluster, "in", 0, 3, got));
    lane = lane_at(w, 3);
    bui_memory_topic_delete(w->cluster, "in");
    assert_int_equal(w->port->ops->fetch(w->port, lane, got, 4, &err), 0);
    assert_int_equal(err.status, BUS_MISSING);
    int32_t count = 0;
    assert_int_equal(w->client->ops->partitions(w->client, "in", 0, &count, NULL), BUS_MISSING);
    assert_int_equal(bui_memory_topic(w->cluster, "in", 4), BUS_OK);
    assert_int_equal(w->client->ops->partitions(w->client, "in", 0, &count, NULL), BUS_OK);
    assert_int_equal(count, 4);
    assert_int_equal(bui_memory_end(w->cluster, "in", 0), 0);
}

static void control_records_take_offsets_and_are_never_delivered(void **state)
{
    world *w = *state;
    bui_record got[4];
    append(w, 0, "k", "1");
    assert_int_equal(bui_memory_append_control(w->cluster, "in", 0, 2), 1);
    append(w, 0, "k", "2");
    assert_int_equal(bui_memory_append_control(w->cluster, "in", 0, 1), 4);
    bui_lane *lane = lane_at(w, 0);
    assert_int_equal(w->port->ops->fetch(w->port, lane, got, 4, NULL), 2);
    assert_int_equal(got[1].offset, 3);
    w->port->ops->release(w->port, got, 2);
    assert_int_equal(w->port->ops->end(w->port, lane), 5);
    assert_int_equal(w->port->ops->eof(w->port, lane), 5);
}

static void polls_give_group_events_in_order(void **state)
{
    world *w = *state;
    bui_group_event event;
    bui_memory_assign(w->client, (int32_t[]){ 1, 3 }, 2);
    bui_memory_revoke(w->client);
    bui_memory_lose(w->client);
    w->client->ops->poll(w->client, 0, &event);
    assert_int_equal(event.kind, BUI_GROUP_ASSIGNED);
    assert_int_equal(event.count, 2);
    assert_int_equal(event.shards[1], 3);
    w->client->ops->poll(w->client, 0, &event);
    assert_int_equal(event.kind, BUI_GROUP_REVOKED);
    w->client->ops->poll(w->client, 0, &event);
    assert_int_equal(event.kind, BUI_GROUP_LOST);
    w->client->ops->poll(w->client, 0, &event);
    assert_int_equal(event.kind, BUI_GROUP_NONE);
}

static void offsets_are_kept_per_group_and_refused_to_the_lost(void **state)
{
    world *w = *state;
    const struct bui_transport_ops *ops = w->client->ops;
    bui_offset list[] = { { .topic = "in", .partition = 1 } };
    assert_int_equal(ops->committed(w->client, list, 1, 0, NULL), BUS_OK);
    assert_int_equal(list[0].offset, BUI_OFFSET_NONE);
    list[0].offset = 7;
    strcpy(list[0].metadata, "store 1");
    assert_int_equal(ops->commit(w->client, list, 1, 0, NULL), BUS_OK);
    bui_offset seen;
    assert_false(bui_memory_committed(w->cluster, "else", "in", 1, &seen));
    assert_true(bui_memory_committed(w->cluster, "shop", "in", 1, &seen));
    assert_int_equal(seen.offset, 7);
    assert_string_equal(seen.metadata, "store 1");
    bui_memory_commit_foreign(w->cluster, "shop", "in", 1, 3);
    assert_int_equal(ops->committed(w->client, list, 1, 0, NULL), BUS_OK);
    assert_int_equal(list[0].offset, 3);
    assert_string_equal(list[0].metadata, "");

    bui_group_event event;
    bui_memory_lose(w->client);
    assert_int_equal(ops->commit(w->client, list, 1, 0, NULL), BUS_BROKER);
    w->port->ops->commit(w->port, list, 1);
    assert_int_equal(w->port->ops->committed(w->port, NULL), -1);
    assert_int_equal(w->port->ops->committed(w->port, NULL), 0);
    bui_memory_assign(w->client, NULL, 0);
    ops->poll(w->client, 0, &event);
    assert_int_equal(ops->commit(w->client, list, 1, 0, NULL), BUS_BROKER);
    ops->poll(w->client, 0, &event);
    assert_int_equal(ops->commit(w->client, list, 1, 0, NULL), BUS_OK);
    bui_memory_commits_fail(w->cluster, true);
    assert_int_equal(ops->commit(w->client, list, 1, 0, NULL), BUS_BROKER);
}

static void while_the_broker_is_down_everything_waits(void **state)
{
    world *w = *state;
    bui_record got[4];
    int32_t count;
    append(w, 0, "k", "1");
    bui_lane *lane = lane_at(w, 0);
    bui_memory_down(w->cluster, true);
    bui_offset list[] = { { .topic = "in", .partition = 0, .offset = 1 } };
    assert_int_equal(w->port->ops->fetch(w->port, lane, got, 4, NULL), 0);
    assert_int_equal(w->client->ops->partitions(w->client, "in", 0, &count, NULL), BUS_BROKER);
    assert_int_equal(w->client->ops->watermarks(w->client, list, 1, 0, NULL), BUS_BROKER);
    assert_int_equal(w->client->ops->committed(w->client, list, 1, 0, NULL), BUS_BROKER);
    assert_int_equal(w->client->ops->commit(w->client, list, 1, 0, NULL), BUS_BROKER);
    w->port->ops->commit(w->port, list, 1);
    send_row(w, BUI_MAIN, 1);
    send_row(w, BUI_MAIN, 2);
    assert_int_equal(w->asked, 0);
    assert_int_equal(w->port->ops->committed(w->port, NULL), 0);
    assert_string_equal(told(w), "");
    w->fates[1] = BUI_FATE_FAILED;
    bui_memory_down(w->cluster, false);
    assert_string_equal(told(w), "1:A:0 2:F:-1 ");
    assert_int_equal(w->port->ops->committed(w->port, NULL), 1);
    assert_int_equal(w->port->ops->fetch(w->port, lane, got, 4, NULL), 1);
    w->port->ops->release(w->port, got, 1);
    assert_int_equal(w->client->ops->watermarks(w->client, list, 1, 0, NULL), BUS_OK);
    assert_int_equal(list[0].high, 1);
}

static void each_fate_stores_and_reports_as_named(void **state)
{
    world *w = *state;
    const bui_memory_fate fates[] = { BUI_FATE_ACK,    BUI_FATE_LOST_ACK, BUI_FATE_DUPLICATE, BUI_FATE_FALSE_ACK,
                                      BUI_FATE_UNSURE, BUI_FATE_FAILED,   BUI_FATE_TOPIC,     BUI_FATE_RECORD };
    const char *reports[] = { "1:A:0 ", "2:F:-1 ", "3:A:2 ", "4:U:-1 ", "5:U:-1 ", "6:F:-1 ", "7:T:-1 ", "8:R:-1 " };
    memcpy(w->fates, fates, sizeof fates);
    for (int64_t id = 1; id <= 8; id++) {
        send_row(w, BUI_MAIN, id);
        assert_int_equal(w->flight.established, id > 1);
        assert_string_equal(told(w), reports[id - 1]);
    }
    assert_string_equal(stored(w), "1 2 3 3 5 ");
}

static void a_missing_topic_is_a_topic_fault(void **state)
{
    world *w = *state;
    assert_int_equal(w->port->ops->produce(w->port, BUI_PROBE, &(bui_row){ .id = 5, .topic = "none" }, NULL), BUS_OK);
    assert_int_equal(w->port->ops->produce(w->port, BUI_PROBE, &(bui_row){ .id = 6, .topic = "out", .partition = 2 }, NULL),
                     BUS_OK);
    assert_string_equal(told(w), "5:T:-1 6:T:-1 ");
}

static void held_rows_keep_their_order(void **state)
{
    world *w = *state;
    w->fates[1] = BUI_FATE_HOLD;
    for (int64_t id = 1; id <= 4; id++)
        send_row(w, BUI_MAIN, id);
    assert_int_equal(bui_memory_withheld(w->client), 3);
    assert_int_equal(w->flight.out, 2);
    assert_string_equal(told(w), "1:A:0 ");
    w->fates[4] = BUI_FATE_ACK, w->fates[5] = BUI_FATE_HOLD;
    assert_int_equal(bui_memory_deliver_some(w->client, 10), 1);
    assert_string_equal(told(w), "2:A:1 ");
    assert_int_equal(bui_memory_deliver(w->client, BUI_FATE_LOST_ACK), 2);
    assert_string_equal(told(w), "3:F:-1 4:F:-1 ");
    assert_string_equal(stored(w), "1 2 3 4 ");
    assert_int_equal(bui_memory_withheld(w->client), 0);
}

static void behind_a_failed_row_all_fail_until_its_report_is_taken(void **state)
{
    world *w = *state;
    w->fates[0] = BUI_FATE_HOLD;
    send_row(w, BUI_MAIN, 1);
    send_row(w, BUI_MAIN, 2);
    assert_int_equal(bui_memory_deliver_some(w->client, 0), 0);
    w->fates[2] = BUI_FATE_RECORD;
    assert_int_equal(bui_memory_deliver_some(w->client, 1), 1);
    send_row(w, BUI_MAIN, 3);
    assert_string_equal(told(w), "1:R:-1 2:F:-1 3:F:-1 ");
    send_row(w, BUI_MAIN, 1);
    assert_string_equal(told(w), "1:A:0 ");
    assert_string_equal(stored(w), "1 ");
}

static void a_fatal_producer_takes_all_it_holds_with_it(void **state)
{
    world *w = *state;
    w->fates[0] = BUI_FATE_HOLD;
    w->fates[1] = BUI_FATE_FATAL;
    send_row(w, BUI_MAIN, 1);
    send_row(w, BUI_MAIN, 2);
    assert_true(w->port->ops->fatal(w->port, BUI_MAIN));
    assert_false(w->port->ops->fatal(w->port, BUI_PROBE));
    assert_int_equal(w->port->ops->produce(w->port, BUI_MAIN, &(bui_row){ .id = 3, .topic = "out" }, NULL), BUS_CLOSED);
    send_row(w, BUI_PROBE, 9);
    assert_string_equal(told(w), "2:F:-1 1:F:-1 9:A:0 ");
    assert_int_equal(w->port->ops->reset(w->port, BUI_MAIN, NULL), BUS_OK);
    assert_false(w->port->ops->fatal(w->port, BUI_MAIN));
    send_row(w, BUI_MAIN, 1);
    assert_false(w->flight.established);
    assert_string_equal(told(w), "1:A:1 ");
}

static void a_reset_forgets_reports_and_rows_of_its_channel(void **state)
{
    world *w = *state;
    w->fates[1] = BUI_FATE_HOLD;
    send_row(w, BUI_MAIN, 1);
    send_row(w, BUI_MAIN, 2);
    send_row(w, BUI_PROBE, 3);
    assert_int_equal(w->port->ops->reset(w->port, BUI_MAIN, NULL), BUS_OK);
    assert_string_equal(told(w), "3:A:1 ");
    assert_int_equal(bui_memory_withheld(w->client), 0);
    assert_int_equal(bui_memory_zombie_next(w->cluster, true), 0);
    assert_string_equal(stored(w), "1 3 ");
}

static void zombies_land_late_or_never(void **state)
{
    world *w = *state;
    bui_memory_zombies_keep(w->cluster, true);
    w->fates[0] = BUI_FATE_HOLD;
    for (int64_t id = 1; id <= 4; id++)
        send_row(w, BUI_MAIN, id);
    w->port->ops->reset(w->port, BUI_MAIN, NULL);
    send_row(w, BUI_MAIN, 1);
    assert_int_equal(bui_memory_zombie_next(w->cluster, true), 3);
    assert_int_equal(bui_memory_zombie_next(w->cluster, true), 2);
    assert_int_equal(bui_memory_zombie_next(w->cluster, false), 0);
    assert_string_equal(stored(w), "1 1 2 ");
    assert_string_equal(told(w), "1:A:0 ");
}

static void a_client_that_is_cut_off_is_dead_to_the_cluster(void **state)
{
    world *w = *state;
    bui_record got[4];
    bui_offset list[] = { { .topic = "in", .offset = 1 } };
    append(w, 0, "k", "1");
    bui_lane *lane = lane_at(w, 0);
    bui_memory_zombies_keep(w->cluster, true);
    w->fates[0] = BUI_FATE_HOLD;
    send_row(w, BUI_MAIN, 1);
    bui_memory_cut(w->client);
    send_row(w, BUI_MAIN, 2);
    w->port->ops->commit(w->port, list, 1);
    assert_int_equal(w->port->ops->fetch(w->port, lane, got, 4, NULL), 0);
    assert_int_equal(w->client->ops->commit(w->client, list, 1, 0, NULL), BUS_BROKER);
    bui_memory_down(w->cluster, true);
    bui_memory_down(w->cluster, false);
    assert_string_equal(told(w), "");
    assert_string_equal(stored(w), "");
    assert_false(bui_memory_committed(w->cluster, "shop", "in", 0, &list[0]));
    assert_int_equal(bui_memory_zombie_next(w->cluster, true), 0);
    assert_string_equal(stored(w), "1 ");
}

static void a_full_queue_says_so_until_reports_are_taken(void **state)
{
    world *w = *state;
    bui_memory_queue_most(w->cluster, 2);
    send_row(w, BUI_MAIN, 1);
    send_row(w, BUI_MAIN, 2);
    assert_int_equal(w->wakes, 1);
    assert_int_equal(w->port->ops->produce(w->port, BUI_MAIN, &(bui_row){ .id = 3, .topic = "out" }, NULL), BUS_FULL);
    assert_string_equal(told(w), "1:A:0 2:A:1 ");
    send_row(w, BUI_MAIN, 3);
    assert_int_equal(w->wakes, 2);
}

static void reports_wake_who_listens(void **state)
{
    world *w = *state;
    assert_false(w->port->ops->hear(w->port, false));
    send_row(w, BUI_MAIN, 1);
    assert_int_equal(w->wakes, 0);
    assert_true(w->port->ops->hear(w->port, true)); /* a new listener hears of what came meanwhile */
    assert_string_equal(told(w), "1:A:0 ");
    assert_false(w->port->ops->hear(w->port, true));
    send_row(w, BUI_MAIN, 2);
    assert_int_equal(w->wakes, 1);
}

static size_t one_at_most(void *opaque, const char *topic, int32_t partition, size_t ready)
{
    (void)opaque;
    assert_string_equal(topic, "in");
    assert_int_equal(partition, 0);
    return ready > 2 ? 0 : 1;
}

static void a_meter_bounds_what_a_fetch_gets(void **state)
{
    world *w = *state;
    bui_record got[4];
    append(w, 0, "k", "1");
    append(w, 0, "k", "2");
    bui_memory_meter_by(w->cluster, one_at_most, NULL);
    bui_lane *lane = lane_at(w, 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(w->port->ops->fetch(w->port, lane, got, 4, NULL), 1);
        assert_int_equal(got[0].offset, i);
        w->port->ops->release(w->port, got, 1);
    }
}

static void the_clock_moves_only_when_told(void **state)
{
    world *w = *state;
    const bui_clock *clock = &w->clock.clock;
    int64_t mono = clock->mono_us(clock);
    bui_virtual_clock_advance(&w->clock, 1500);
    assert_int_equal(clock->mono_us(clock), mono + 1500);
    assert_int_equal(clock->wall_ms(clock), 1700000000001);
    bui_virtual_clock_step(&w->clock, -1000);
    assert_int_equal(clock->mono_us(clock), mono + 1500);
    assert_int_equal(clock->wall_ms(clock), 1699999999001);
    bui_virtual_clock_advance(&w->clock, -5);
    assert_int_equal(clock->mono_us(clock), mono + 1500);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_lane_reads_what_was_appended),
        TEST(a_lane_wakes_its_port_when_it_had_nothing),
        TEST(an_offset_outside_the_log_and_a_lost_topic_are_errors),
        TEST(control_records_take_offsets_and_are_never_delivered),
        TEST(polls_give_group_events_in_order),
        TEST(offsets_are_kept_per_group_and_refused_to_the_lost),
        TEST(while_the_broker_is_down_everything_waits),
        TEST(each_fate_stores_and_reports_as_named),
        TEST(a_missing_topic_is_a_topic_fault),
        TEST(held_rows_keep_their_order),
        TEST(behind_a_failed_row_all_fail_until_its_report_is_taken),
        TEST(a_fatal_producer_takes_all_it_holds_with_it),
        TEST(a_reset_forgets_reports_and_rows_of_its_channel),
        TEST(zombies_land_late_or_never),
        TEST(a_client_that_is_cut_off_is_dead_to_the_cluster),
        TEST(a_full_queue_says_so_until_reports_are_taken),
        TEST(reports_wake_who_listens),
        TEST(a_meter_bounds_what_a_fetch_gets),
        TEST(the_clock_moves_only_when_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
