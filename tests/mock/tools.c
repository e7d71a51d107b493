/* SPDX-License-Identifier: MIT
 * What the tools are made of: publisher, reader and lag, against the embedded broker. */
#include "support.h"

#include "base/id.h"
#include "kafka/admin.h"
#include "kafka/lag.h"
#include "kafka/publisher.h"
#include "kafka/topic_reader.h"

typedef struct tally {
    int ok, failed;
    bus_status last;
    int32_t partition;
    int64_t offset;
} tally;

static void count_done(void *opaque, bus_status status, int32_t partition, int64_t offset, const bus_error *err)
{
    tally *t = opaque;
    assert_true((status == BUS_OK) == (err == NULL));
    if (status == BUS_OK)
        t->ok++;
    else
        t->failed++;
    t->last = status;
    t->partition = partition;
    t->offset = offset;
}

static void fill(fixture *f, const char *topic, int32_t partition, int count, int64_t first_ms, int64_t step_ms)
{
    bui_kafka_publisher *p;
    tally t = { 0 };
    OK(bui_kafka_publisher_open(f->config, "fill", NULL, NULL, &p, &err_));
    for (int i = 0; i < count; i++) {
        bui_row row = {
            .topic = topic, .partition = partition, .value = "v", .value_len = 1, .timestamp = first_ms + i * step_ms
        };

        OK(bui_kafka_publish(p, &row, count_done, &t, &err_));
    }
    OK(bui_kafka_publisher_flush(p, 10000, &err_));
    assert_int_equal(t.ok, count);
    bui_kafka_publisher_close(p, 0);
}

static void publishes_by_key(void **state)
{
    fixture *f = *state;
    bui_kafka_publisher *p;
    bui_row row = { .topic = "t", .partition = -1, .value = "v", .value_len = 1 };
    bus_header id = { "ce_id", "5c0e", 4 };
    char key[16];
    OK(bui_kafka_publisher_open(f->config, "test", support_wake, f, &p, &err_));
    for (int i = 0; i < 20; i++) {
        tally t = { 0 };

        row.key = key;
        row.key_len = (size_t)snprintf(key, sizeof key, "key-%d", i);
        OK(bui_kafka_publish(p, &row, count_done, &t, &err_));
        OK(bui_kafka_publisher_flush(p, 10000, &err_));
        assert_int_equal(t.ok, 1);
        assert_int_equal(t.partition, bui_partition_of(key, row.key_len, 2));
    }
    /* Without a key the event's id decides, each time alike. */
    row.key = NULL;
    row.headers = &id;
    row.header_count = 1;
    for (int i = 0; i < 5; i++) {
        tally t = { 0 };

        OK(bui_kafka_publish(p, &row, count_done, &t, &err_));
        OK(bui_kafka_publisher_flush(p, 10000, &err_));
        assert_int_equal(t.partition, bui_partition_of("5c0e", 4, 2));
    }
    assert_int_equal(bui_kafka_publisher_out(p), 0);
    assert_true(atomic_load(&f->wakes) > 0);
    bui_kafka_publisher_close(p, 0);
}

static void publisher_tells_failures_and_goes_on(void **state)
{
    fixture *f = *state;
    bui_kafka_publisher *p;
    bui_row row = { .topic = "u", .value = "v", .value_len = 1 };
    bus_error err = { 0 };
    tally t = { 0 };
    OK(bui_kafka_publisher_open(f->config, "test", NULL, NULL, &p, &err_));
    support_push(f, API_PRODUCE, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, 1);
    OK(bui_kafka_publish(p, &row, count_done, &t, &err_));
    OK(bui_kafka_publisher_flush(p, 10000, &err_));
    assert_int_equal(t.last, BUS_DENIED);
    /* Without a callback the flush tells. */
    support_push(f, API_PRODUCE, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, 1);
    EVENTUALLY(5000, (bui_kafka_publisher_poll(p, 0), bui_kafka_publish(p, &row, NULL, NULL, &err) == BUS_OK));
    assert_int_equal(bui_kafka_publisher_flush(p, 10000, &err), BUS_DENIED);
    EVENTUALLY(5000, (bui_kafka_publisher_poll(p, 0), bui_kafka_publish(p, &row, count_done, &t, &err) == BUS_OK));
    OK(bui_kafka_publisher_flush(p, 10000, &err_));
    assert_int_equal(t.ok, 1);
    /* Closed with the broker away: told, and in time. */
    rd_kafka_mock_broker_set_down(f->mock, 1);
    OK(bui_kafka_publish(p, &row, count_done, &t, &err_));
    assert_int_equal(bui_kafka_publisher_flush(p, 200, &err), BUS_TIMEOUT);
    int64_t before = bui_kafka_now();
    bui_kafka_publisher_close(p, 200);
    assert_true(bui_kafka_now() - before < 15000);
    assert_int_equal(t.last, BUS_CLOSED);
}

static int read_all(bui_kafka_reader *r, int64_t *first, int64_t *last)
{
    const bui_record *record;
    bus_status status;
    bus_error err;
    int n = 0;
    while ((status = bui_kafka_reader_next(r, 10000, &record, &err)) == BUS_OK) {
        if (n++ == 0)
            *first = record->offset;
        *last = record->offset;
    }
    if (status != BUS_CLOSED)
        fail_msg("%s", err.text);
    return n;
}

static void reads_ranges(void **state)
{
    fixture *f = *state;
    static const struct {
        bui_edge from, to;
        int count;
        int64_t first, last;
    } want[] = {
        { { BUI_EDGE_START, 0 }, { BUI_EDGE_END, 0 }, 100, 0, 99 },
        { { BUI_EDGE_START, 0 }, { BUI_EDGE_START, 0 }, 100, 0, 99 },
        { { BUI_EDGE_OFFSET, 20 }, { BUI_EDGE_OFFSET, 30 }, 10, 20, 29 },
        { { BUI_EDGE_OFFSET, 90 }, { BUI_EDGE_OFFSET, 1000 }, 10, 90, 99 },
        { { BUI_EDGE_END, 0 }, { BUI_EDGE_END, 0 }, 0, -1, -1 },
        { { BUI_EDGE_OFFSET, 50 }, { BUI_EDGE_OFFSET, 40 }, 0, -1, -1 },
        { { BUI_EDGE_TIME, 1700000010000 }, { BUI_EDGE_TIME, 1700000020000 }, 10, 10, 19 },
        { { BUI_EDGE_TIME, 1800000000000 }, { BUI_EDGE_END, 0 }, 0, -1, -1 },
    };

    fill(f, "u", 0, 100, 1700000000000, 1000);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        bui_range range = { .topic = "u", .partition = 0, .from = want[i].from, .to = want[i].to };
        bui_kafka_reader *r;
        int64_t first = -1, last = -1;

        OK(bui_kafka_reader_open(f->config, "test", &range, 1, BUI_READ_ANY, 10000, &r, &err_));
        assert_int_equal(read_all(r, &first, &last), want[i].count);
        assert_int_equal(first, want[i].first);
        assert_int_equal(last, want[i].last);
        bui_kafka_reader_close(r);
    }
}

typedef struct seen {
    int count;
    int64_t first;
    bool all_of_t;
} seen;

static bool note_seen(const bui_record *record, void *opaque)
{
    seen *s = opaque;
    s->first = s->count++ ? s->first : record->offset;
    s->all_of_t = s->all_of_t && strcmp(record->topic, "t") == 0;
    return true;
}

static void looks_back_from_the_ends(void **state)
{
    fixture *f = *state;
    bui_look list[] = { { "t", 9, 0, BUS_OK }, { "t", 1, 1700000050000, BUS_BUG }, { "t", 7, 0, BUS_OK } };
    seen s = { .all_of_t = true };
    fill(f, "t", 1, 100, 1700000000000, 1000);
    fill(f, "u", 0, 10, 1700000000000, 1000);
    OK(f->transport->ops->look(f->transport, list, 3, 1000, 10000, note_seen, &s, &err_));
    assert_int_equal(list[0].status, BUS_MISSING);
    assert_int_equal(list[1].status, BUS_OK);
    assert_int_equal(list[2].status, BUS_MISSING);
    assert_int_equal(s.count, 50);
    assert_int_equal(s.first, 50);
    assert_true(s.all_of_t);
    s = (seen){ .all_of_t = true };
    OK(f->transport->ops->look(f->transport, list, 3, 20, 10000, note_seen, &s, &err_));
    assert_int_equal(s.count, 20);
    assert_int_equal(s.first, 80);
}

static void merges_by_time(void **state)
{
    fixture *f = *state;
    bui_range ranges[2] = { { .topic = "t", .partition = -1 }, { .topic = "u" } };
    bui_read_progress progress;
    const bui_record *record;
    bui_kafka_reader *r;
    bus_status status;
    bus_error err;
    int64_t last = 0;
    int n = 0;
    fill(f, "t", 0, 200, 1700000000000, 7);
    fill(f, "t", 1, 300, 1700000000500, 3);
    fill(f, "u", 0, 100, 1700000000001, 20);
    OK(bui_kafka_reader_open(f->config, "test", ranges, 2, BUI_READ_BY_TIME, 10000, &r, &err_));
    assert_int_equal(bui_kafka_reader_span_count(r), 3);
    while ((status = bui_kafka_reader_next(r, 10000, &record, &err)) == BUS_OK) {
        assert_true(record->timestamp >= last);
        last = record->timestamp;
        n++;
    }
    assert_int_equal(status, BUS_CLOSED);
    assert_int_equal(n, 600);
    bui_kafka_reader_progress(r, &progress);
    assert_int_equal(progress.passed, 600);
    assert_int_equal(progress.total, 600);
    assert_int_equal(progress.bytes, 600);
    bui_kafka_reader_close(r);
}

static void follows(void **state)
{
    fixture *f = *state;
    bui_range range = { .topic = "t", .partition = -1, .from = { BUI_EDGE_END, 0 }, .to = { BUI_EDGE_NEVER, 0 } };
    const bui_record *record;
    bui_kafka_reader *r;
    bus_error err;
    fill(f, "t", 0, 5, 0, 0);
    OK(bui_kafka_reader_open(f->config, "test", &range, 1, BUI_READ_BY_TIME, 10000, &r, &err_));
    assert_int_equal(bui_kafka_reader_next(r, 300, &record, &err), BUS_TIMEOUT);
    /* The silent partition does not hold this one up. */
    fill(f, "t", 0, 1, 0, 0);
    OK(bui_kafka_reader_next(r, 5000, &record, &err_));
    assert_int_equal(record->offset, 5);
    bui_kafka_reader_close(r);
}

static void reader_says_what_is_missing(void **state)
{
    fixture *f = *state;
    bui_range range = { .topic = "u", .partition = 3, .from = { 0 }, .to = { 0 } };
    bui_kafka_reader *r = NULL;
    bus_error err = { 0 };
    int64_t before;
    assert_int_equal(bui_kafka_reader_open(f->config, "test", &range, 1, BUI_READ_ANY, 5000, &r, &err), BUS_MISSING);
    assert_non_null(strstr(err.text, "u has 1"));
    rd_kafka_mock_broker_set_down(f->mock, 1);
    before = bui_kafka_now();
    assert_int_equal(bui_kafka_reader_open(f->config, "test", &range, 1, BUI_READ_ANY, 500, &r, &err), BUS_BROKER);
    assert_true(bui_kafka_now() - before < 15000);
    assert_null(r);
}

static void tells_lag(void **state)
{
    fixture *f = *state;
    static const char *const topics[] = { "u", "t" };
    bui_offset offset[2] = { { .topic = "t", .partition = 1, .offset = 4, .metadata = "m" }, { .topic = "u", .offset = 3 } };
    bui_group_event event;
    bui_kafka_lag *lag;
    size_t count;
    fill(f, "t", 1, 10, 0, 0);
    fill(f, "u", 0, 3, 0, 0);
    support_join(f->transport, NULL, &event);
    OK(f->transport->ops->commit(f->transport, offset, 2, 10000, &err_));
    OK(bui_kafka_lag_read(f->config, "test", "svc", topics, 2, true, 10000, &lag, &count, &err_));
    assert_int_equal(count, 3);
    assert_string_equal(lag[0].topic, "t");
    assert_int_equal(lag[0].committed, BUI_OFFSET_NONE);
    assert_int_equal(lag[0].lag, 0);
    assert_int_equal(lag[1].partition, 1);
    assert_int_equal(lag[1].committed, 4);
    assert_int_equal(lag[1].lag, 6);
    assert_string_equal(lag[1].metadata, "m");
    assert_in_range(lag[1].lag_ms, 0, 60000);
    assert_string_equal(lag[2].topic, "u");
    assert_int_equal(lag[2].lag, 0);
    assert_int_equal(lag[2].lag_ms, 0);
    free(lag);
}

static void lists_topics(void **state)
{
    fixture *f = *state;
    static const char *const names[] = { "u", "nowhere" };
    bui_kafka_admin *admin;
    bui_kafka_topic *list;
    size_t count;
    int brokers;
    OK(bui_kafka_admin_open(f->config, "test", &admin, &err_));
    OK(bui_kafka_admin_brokers(admin, 5000, &brokers, &err_));
    assert_int_equal(brokers, 1);
    OK(bui_kafka_admin_topics(admin, NULL, 0, true, 5000, &list, &count, &err_));
    assert_int_equal(count, 3);
    assert_string_equal(list[0].name, "svc.redrive");
    assert_int_equal(list[1].partitions, 2);
    assert_false(list[1].configured);
    free(list);
    OK(bui_kafka_admin_topics(admin, names, 2, false, 5000, &list, &count, &err_));
    assert_int_equal(count, 1);
    assert_string_equal(list[0].name, "u");
    free(list);
    assert_false(bui_kafka_topic_name_ok("a b"));
    assert_false(bui_kafka_topic_name_ok(".."));
    assert_true(bui_kafka_topic_name_ok("order.retry.1s"));
    bui_kafka_admin_close(admin);
}

static void broker_refuses_a_topic_twice(void **state)
{
    fixture *f = *state;
    bus_error err = { 0 };
    assert_int_equal(bui_kafka_broker_topic(f->broker, "u", 1, &err), BUS_EXISTS);
    assert_int_equal(bui_kafka_broker_topic(f->broker, "x", 0, &err), BUS_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(publishes_by_key),
        TEST(publisher_tells_failures_and_goes_on),
        TEST(reads_ranges),
        TEST(looks_back_from_the_ends),
        TEST(merges_by_time),
        TEST(follows),
        TEST(reader_says_what_is_missing),
        TEST(tells_lag),
        TEST(lists_topics),
        TEST(broker_refuses_a_topic_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
