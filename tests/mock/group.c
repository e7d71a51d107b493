/* SPDX-License-Identifier: MIT
 * Membership, lanes, commits and leaving, against the embedded broker. */
#include "support.h"

static void publish(fixture *f, const char *topic, int32_t partition, int from, int count)
{
    bui_report report;
    char value[16];
    for (int i = from; i < from + count; i++) {
        snprintf(value, sizeof value, "%d", i);
        support_send(f, i, topic, partition, value);
    }
    for (int i = 0; i < count; i++) {
        support_reports(f, &report, 1, 10000);
        assert_int_equal(report.kind, BUI_REPORT_ACKED);
    }
}

/* Takes `count` records of a lane whose values count up from `from`. */
static void expect(fixture *f, bui_lane *lane, int from, int count)
{
    bui_record record[64];
    bus_error err = { 0 };
    int64_t until = bui_kafka_now() + 10000;
    char value[16];
    while (count > 0) {
        size_t got = f->port->ops->fetch(f->port, lane, record, count < 64 ? (size_t)count : 64, &err);

        if (err.status != BUS_OK)
            fail_msg("lane: %s", err.text);
        for (size_t i = 0; i < got; i++) {
            snprintf(value, sizeof value, "%d", from++);
            assert_int_equal(record[i].value_len, strlen(value));
            assert_memory_equal(record[i].value, value, record[i].value_len);
        }
        f->port->ops->release(f->port, record, got);
        count -= (int)got;
        if (bui_kafka_now() > until)
            fail_msg("%d records did not come", count);
        if (got == 0)
            usleep(1000);
    }
}

static void lanes_deliver_from_their_offset(void **state)
{
    fixture *f = *state;
    bui_group_event event;
    bui_lane_spec lane[3] = { { .port = f->port, .topic = "t", .partition = 0, .offset = BUI_OFFSET_START },
                              { .port = f->port, .topic = "t", .partition = 1, .offset = 40 },
                              { .port = f->port, .topic = "u", .partition = 0, .offset = BUI_OFFSET_END } };
    bui_record record;
    bus_error err = { 0 };
    publish(f, "t", 0, 0, 100);
    publish(f, "t", 1, 0, 100);
    publish(f, "u", 0, 0, 10);
    support_join(f->transport, NULL, &event);
    assert_int_equal(event.count, 2);
    OK(f->transport->ops->assign(f->transport, lane, 3, &err_));
    expect(f, lane[0].lane, 0, 100);
    expect(f, lane[1].lane, 40, 60);
    /* The end is known once it was reached. */
    EVENTUALLY(5000, (f->port->ops->fetch(f->port, lane[0].lane, &record, 1, &err),
                      f->port->ops->end(f->port, lane[0].lane) == 100 && f->port->ops->eof(f->port, lane[0].lane) == 100));
    /* From the end on: only what comes later. The fetcher must have found the end first. */
    EVENTUALLY(5000,
               (f->port->ops->fetch(f->port, lane[2].lane, &record, 1, &err), f->port->ops->eof(f->port, lane[2].lane) == 10));
    publish(f, "u", 0, 10, 5);
    expect(f, lane[2].lane, 10, 5);
    assert_true(atomic_load(&f->wakes) > 0);
}

/* Records that were fetched ahead for a former assignment must not appear in the next one. */
static void reassigning_drops_what_was_fetched_ahead(void **state)
{
    fixture *f = *state;
    bui_group_event event;
    bui_lane_spec lane = { .port = f->port, .topic = "t", .partition = 0, .offset = 0 };
    bui_record kept;
    bus_error err = { 0 };
    publish(f, "t", 0, 0, 200);
    support_join(f->transport, NULL, &event);
    OK(f->transport->ops->assign(f->transport, &lane, 1, &err_));
    expect(f, lane.lane, 0, 10);
    EVENTUALLY(5000, f->port->ops->fetch(f->port, lane.lane, &kept, 1, &err) == 1);
    lane.offset = 5;
    OK(f->transport->ops->assign(f->transport, &lane, 1, &err_));
    expect(f, lane.lane, 5, 195);
    /* A record of the former lane is valid until released. */
    assert_memory_equal(kept.value, "10", 2);
    assert_string_equal(kept.topic, "t");
    f->port->ops->release(f->port, &kept, 1);
    OK(f->transport->ops->assign(f->transport, NULL, 0, &err_));
    lane.offset = 150;
    OK(f->transport->ops->assign(f->transport, &lane, 1, &err_));
    expect(f, lane.lane, 150, 50);
}

/* The second assignment comes before the client has heard of the topic. */
static void reassigning_at_once_loses_no_lane(void **state)
{
    fixture *f = *state;
    bui_group_event event;
    bui_lane_spec lane[2] = { { .port = f->port, .topic = "t", .partition = 0, .offset = 0 },
                              { .port = f->port, .topic = "u", .partition = 0, .offset = 0 } };
    publish(f, "t", 0, 0, 20);
    publish(f, "u", 0, 0, 20);
    support_join(f->transport, NULL, &event);
    OK(f->transport->ops->assign(f->transport, lane, 1, &err_));
    OK(f->transport->ops->assign(f->transport, lane, 2, &err_));
    expect(f, lane[0].lane, 0, 20);
    expect(f, lane[1].lane, 0, 20);
}

static void record_survives_whole(void **state)
{
    fixture *f = *state;
    bui_group_event event;
    bui_lane_spec lane = { .port = f->port, .topic = "u", .partition = 0, .offset = 0 };
    bus_header many[20];
    bui_row row[3] = {
        { .id = 1, .topic = "u", .key = "", .key_len = 0, .value = "", .value_len = 0, .timestamp = 1700000000123 },
        { .id = 2, .topic = "u" },
        { .id = 3, .topic = "u", .key = "k\0k", .key_len = 3, .value = "v", .value_len = 1, .headers = many, .header_count = 20 }
    };
    bui_report report[3];
    bui_record record[3];
    bus_error err = { 0 };
    size_t got = 0;
    for (int i = 0; i < 20; i++)
        many[i] = (bus_header){ i % 2 ? "odd" : "even", i == 0 ? NULL : "value", i < 2 ? 0 : 5 };
    for (int i = 0; i < 3; i++)
        OK(f->port->ops->produce(f->port, BUI_MAIN, &row[i], &err_));
    support_reports(f, report, 3, 10000);
    support_join(f->transport, NULL, &event);
    OK(f->transport->ops->assign(f->transport, &lane, 1, &err_));
    EVENTUALLY(10000, (got += f->port->ops->fetch(f->port, lane.lane, record + got, 3 - got, &err)) == 3);
    /* Empty is not NULL. */
    assert_non_null(record[0].key);
    assert_int_equal(record[0].key_len, 0);
    assert_non_null(record[0].value);
    assert_int_equal(record[0].value_len, 0);
    assert_int_equal(record[0].header_count, 0);
    assert_int_equal(record[0].timestamp, 1700000000123);
    assert_null(record[1].key);
    assert_null(record[1].value);
    assert_int_equal(record[2].key_len, 3);
    assert_memory_equal(record[2].key, "k\0k", 3);
    assert_int_equal(record[2].header_count, 20);
    assert_string_equal(record[2].headers[0].name, "even");
    assert_null(record[2].headers[0].value);
    assert_non_null(record[2].headers[1].value);
    assert_int_equal(record[2].headers[1].len, 0);
    assert_string_equal(record[2].headers[19].name, "odd");
    assert_memory_equal(record[2].headers[19].value, "value", 5);
    f->port->ops->release(f->port, record, 3);
}

static void offset_outside_the_log_fails_the_lane(void **state)
{
    fixture *f = *state;
    bui_group_event event;
    bui_lane_spec lane = { .port = f->port, .topic = "u", .partition = 0, .offset = 5000 };
    bui_record record;
    bus_error err = { 0 };
    publish(f, "u", 0, 0, 10);
    support_join(f->transport, NULL, &event);
    OK(f->transport->ops->assign(f->transport, &lane, 1, &err_));
    EVENTUALLY(10000, f->port->ops->fetch(f->port, lane.lane, &record, 1, &err) == 0 && err.status != BUS_OK);
    assert_int_equal(err.status, BUS_CORRUPT);
    assert_non_null(strstr(err.text, "u/0"));
}

static void commits_with_metadata(void **state)
{
    fixture *f = *state;
    bui_group_event event;
    bui_offset offset[3] = { { .topic = "t", .partition = 1, .offset = 17, .metadata = "store 3" },
                             { .topic = "svc.redrive", .partition = 0, .offset = 4 },
                             { .topic = "u", .partition = 0, .offset = 9, .metadata = "x" } };
    bui_offset back[4] = {
        { .topic = "u" }, { .topic = "t", .partition = 0 }, { .topic = "t", .partition = 1 }, { .topic = "svc.redrive" }
    };
    bus_error err = { 0 };
    int answer = 0;
    support_join(f->transport, NULL, &event);
    /* Before the assignment is answered: that is when a shard claims its store. */
    OK(f->transport->ops->commit(f->transport, offset, 2, 10000, &err_));
    OK(f->transport->ops->assign(f->transport, NULL, 0, &err_));
    f->port->ops->commit(f->port, offset + 2, 1);
    EVENTUALLY(10000, (answer = f->port->ops->committed(f->port, &err)) != 0);
    assert_int_equal(answer, 1);
    assert_int_equal(f->port->ops->committed(f->port, &err), 0);
    OK(f->transport->ops->committed(f->transport, back, 4, 10000, &err_));
    assert_int_equal(back[0].offset, 9);
    assert_string_equal(back[0].metadata, "x");
    assert_int_equal(back[1].offset, BUI_OFFSET_NONE);
    assert_int_equal(back[2].offset, 17);
    assert_string_equal(back[2].metadata, "store 3");
    assert_int_equal(back[3].offset, 4);
    assert_string_equal(back[3].metadata, "");
}

static void looks_at_topics(void **state)
{
    fixture *f = *state;
    bui_offset mark[2] = { { .topic = "t", .partition = 0 }, { .topic = "u", .partition = 0 } };
    int32_t count = 0;
    publish(f, "t", 0, 0, 7);
    OK(f->transport->ops->partitions(f->transport, "t", 5000, &count, &err_));
    assert_int_equal(count, 2);
    OK(f->transport->ops->watermarks(f->transport, mark, 2, 5000, &err_));
    assert_int_equal(mark[0].low, 0);
    assert_int_equal(mark[0].high, 7);
    assert_int_equal(mark[1].high, 0);
}

/* Answers whatever the group says to this member within 100 ms; what it holds then. */
static void follow(bui_transport *member, size_t *count, int32_t *first)
{
    bui_group_event event;
    member->ops->poll(member, 100, &event);
    if (event.kind != BUI_GROUP_ASSIGNED && event.kind != BUI_GROUP_REVOKED && event.kind != BUI_GROUP_LOST)
        return;
    *count = event.kind == BUI_GROUP_ASSIGNED ? event.count : 0;
    if (*count)
        *first = event.shards[0];
    OK(member->ops->assign(member, NULL, 0, &err_));
}

static void two_members_share(void **state)
{
    fixture *f = *state;
    bui_transport *other = NULL;
    bui_group_event event;
    int32_t mine = -1, theirs = -1;
    size_t my_count = 2, their_count = 0;
    support_join(f->transport, "slot-1", &event);
    assert_int_equal(event.count, 2);
    OK(f->transport->ops->assign(f->transport, NULL, 0, &err_));
    OK(bui_kafka_transport_open(f->config, "other", &other, &err_));
    bui_membership membership = { .group = "svc", .lead = "svc.redrive", .instance = "slot-2", .session_ms = 6000 };
    OK(other->ops->join(other, &membership, &err_));
    /* The embedded broker takes a few rounds of 3 s, and in between one member may have all: both must keep answering. */
    int64_t deadline = bui_kafka_now() + 45000;
    while ((my_count != 1 || their_count != 1) && bui_kafka_now() < deadline) {
        follow(f->transport, &my_count, &mine);
        follow(other, &their_count, &theirs);
    }
    assert_int_equal(my_count, 1);
    assert_int_equal(their_count, 1);
    assert_int_not_equal(mine, theirs);
    other->ops->leave(other, 3000);
    other->ops->free(other);
}

static void poll_can_be_woken(void **state)
{
    fixture *f = *state;
    bui_group_event event;
    int64_t before;
    f->transport->ops->wake(f->transport);
    before = bui_kafka_now();
    f->transport->ops->poll(f->transport, 60000, &event);
    assert_int_equal(event.kind, BUI_GROUP_NONE);
    assert_true(bui_kafka_now() - before < 20000);
}

static void absent_broker_is_waited_for_and_left(void **state)
{
    fixture *f = *state;
    bui_group_event event;
    bui_membership membership = { .group = "svc", .lead = "svc.redrive", .session_ms = 6000 };
    bui_offset offset = { .topic = "t", .offset = 1 };
    bus_error err = { 0 };
    int64_t before;
    int32_t count;
    rd_kafka_mock_broker_set_down(f->mock, 1);
    OK(f->transport->ops->join(f->transport, &membership, &err_));
    support_event(f->transport, BUI_GROUP_ERROR, &event, 10000);
    assert_int_equal(event.err.status, BUS_BROKER);
    before = bui_kafka_now();
    assert_int_equal(f->transport->ops->partitions(f->transport, "t", 300, &count, &err), BUS_BROKER);
    assert_int_equal(f->transport->ops->committed(f->transport, &offset, 1, 300, &err), BUS_BROKER);
    assert_int_equal(f->transport->ops->commit(f->transport, &offset, 1, 300, &err), BUS_TIMEOUT);
    assert_true(bui_kafka_now() - before < 15000);
    rd_kafka_mock_broker_set_up(f->mock, 1);
    support_event(f->transport, BUI_GROUP_ASSIGNED, &event, 30000);
    OK(f->transport->ops->assign(f->transport, NULL, 0, &err_));
    rd_kafka_mock_broker_set_down(f->mock, 1);
    usleep(200000);
    before = bui_kafka_now();
    f->transport->ops->leave(f->transport, 1000);
    assert_true(bui_kafka_now() - before < 5000);
    before = bui_kafka_now();
    f->transport->ops->port_close(f->port);
    f->port = NULL;
    f->transport->ops->free(f->transport);
    f->transport = NULL;
    assert_true(bui_kafka_now() - before < 5000);
}

/* The look-up of a partition whose leader has died and was followed by another must not wait for the dead one. */
static void leader_that_died_is_not_waited_for(void **state)
{
    fixture *f = *state;
    bui_offset mark = { .topic = "u", .partition = 0 };
    int64_t before;
    support_close(f);
    support_open(f, 3);
    rd_kafka_mock_partition_set_leader(f->mock, "u", 0, 1);
    publish(f, "u", 0, 0, 7);
    OK(f->transport->ops->watermarks(f->transport, &mark, 1, 5000, &err_));
    rd_kafka_mock_broker_set_down(f->mock, 1);
    usleep(1500000); /* a client that lost the connection asks who leads now: the dead one still */
    rd_kafka_mock_partition_set_leader(f->mock, "u", 0, 2);
    mark.high = 0;
    before = bui_kafka_now();
    OK(f->transport->ops->watermarks(f->transport, &mark, 1, 20000, &err_));
    assert_int_equal(mark.high, 7);
    assert_true(bui_kafka_now() - before < 15000);
}

static void coordinator_moves(void **state)
{
    fixture *f = *state;
    bui_group_event event;
    bui_offset offset = { .topic = "t", .partition = 0, .offset = 3 }, back = { .topic = "t" };
    support_join(f->transport, NULL, &event);
    OK(f->transport->ops->assign(f->transport, NULL, 0, &err_));
    support_push(f, API_COMMIT, RD_KAFKA_RESP_ERR_NOT_COORDINATOR, 1);
    support_push(f, API_OFFSET_FETCH, RD_KAFKA_RESP_ERR_NOT_COORDINATOR, 1);
    OK(f->transport->ops->commit(f->transport, &offset, 1, 10000, &err_));
    OK(f->transport->ops->committed(f->transport, &back, 1, 10000, &err_));
    assert_int_equal(back.offset, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lanes_deliver_from_their_offset),
        TEST(reassigning_drops_what_was_fetched_ahead),
        TEST(reassigning_at_once_loses_no_lane),
        TEST(record_survives_whole),
        TEST(offset_outside_the_log_fails_the_lane),
        TEST(commits_with_metadata),
        TEST(looks_at_topics),
        TEST(two_members_share),
        TEST(poll_can_be_woken),
        TEST(absent_broker_is_waited_for_and_left),
        TEST(leader_that_died_is_not_waited_for),
        TEST(coordinator_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
