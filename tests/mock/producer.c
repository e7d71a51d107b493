/* SPDX-License-Identifier: MIT
 * The producers of a port against a broker that misbehaves. */
#include "support.h"

static void acks_in_order(void **state)
{
    fixture *f = *state;
    bus_report report[1000];
    int64_t next[2] = { 0, 0 };

    for (int i = 0; i < 1000; i++)
        support_send(f, i + 1, "t", i % 2, "v");
    support_reports(f, report, 1000, 10000);
    /* Within a partition reports come in the order of sending, at dense offsets. */
    for (int i = 0; i < 1000; i++) {
        int partition = (int)((report[i].id - 1) % 2);

        assert_int_equal(report[i].kind, BUS_REPORT_ACKED);
        assert_int_equal(report[i].channel, BUS_MAIN);
        assert_int_equal(report[i].offset, next[partition]);
        assert_int_equal(report[i].id, next[partition] * 2 + partition + 1);
        next[partition]++;
    }
    assert_true(atomic_load(&f->wakes) > 0);
    assert_int_equal(f->port->ops->reports(f->port, report, 1000), 0);
}

static void channels_are_apart(void **state)
{
    fixture *f = *state;
    bus_row row = { .id = 7, .topic = "u", .value = "p", .value_len = 1 };
    bus_report report;

    OK(f->port->ops->produce(f->port, BUS_PROBE, &row, &err_));
    support_reports(f, &report, 1, 10000);
    assert_int_equal(report.channel, BUS_PROBE);
    assert_int_equal(report.id, 7);
    assert_int_equal(report.kind, BUS_REPORT_ACKED);
    assert_false(f->port->ops->fatal(f->port, BUS_MAIN));
}

static void reports_wake_who_listens(void **state)
{
    fixture *f = *state;
    bus_report report;

    support_send(f, 1, "u", 0, "v");
    support_reports(f, &report, 1, 10000);
    assert_false(f->port->ops->hear(f->port, false));
    f->wakes = 0;
    support_send(f, 2, "u", 0, "v");
    for (int i = 0; i < 1000 && !f->port->ops->hear(f->port, false); i++)
        usleep(10000);
    assert_int_equal(f->wakes, 0);
    assert_true(f->port->ops->hear(f->port, true)); /* who listens again is told of what came meanwhile */
    support_reports(f, &report, 1, 0);
    assert_int_equal(report.id, 2);
    support_send(f, 3, "u", 0, "v");
    for (int i = 0; i < 1000 && !f->wakes; i++)
        usleep(10000);
    assert_int_equal(f->wakes, 1);
}

/* A broker's answer to one row, and what we call it. */
static void one_error(fixture *f, rd_kafka_resp_err_t code, bus_report_kind kind)
{
    bus_report report;

    support_push(f, API_PRODUCE, code, 1);
    support_send(f, 1, "u", 0, "v");
    support_reports(f, &report, 1, 10000);
    if (report.kind != kind)
        fail_msg("%s: kind %d (%s), expected %d", rd_kafka_err2name(code), report.kind, report.text, kind);
    assert_string_equal(report.text, kind == BUS_REPORT_UNSURE ? "acknowledged without an offset" : rd_kafka_err2str(code));
    OK(f->port->ops->reset(f->port, BUS_MAIN, &err_));
    assert_false(f->port->ops->fatal(f->port, BUS_MAIN));
}

static void errors_are_classified(void **state)
{
    fixture *f = *state;

    one_error(f, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, BUS_REPORT_TOPIC);
    one_error(f, RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP, BUS_REPORT_TOPIC);
    one_error(f, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, BUS_REPORT_RECORD);
    one_error(f, RD_KAFKA_RESP_ERR_INVALID_RECORD, BUS_REPORT_RECORD);
    one_error(f, RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, BUS_REPORT_FAILED);
    /* Told "I have this already": delivered, but where? */
    one_error(f, RD_KAFKA_RESP_ERR_DUPLICATE_SEQUENCE_NUMBER, BUS_REPORT_UNSURE);
}

static void passing_errors_are_retried(void **state)
{
    fixture *f = *state;
    bus_report report[3];

    support_push(f, API_PRODUCE, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, 1);
    support_push(f, API_PRODUCE, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, 2);
    support_push(f, API_PRODUCE, RD_KAFKA_RESP_ERR__TRANSPORT, 1);
    for (int i = 0; i < 3; i++)
        support_send(f, i, "u", 0, "v");
    support_reports(f, report, 3, 15000);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(report[i].kind, BUS_REPORT_ACKED);
        assert_int_equal(report[i].id, i);
    }
}

static void fatal_then_reset(void **state)
{
    fixture *f = *state;
    bus_row row = { .id = 9, .topic = "u", .value = "v", .value_len = 1 };
    bus_report report[3];
    bus_error err = { 0 };
    int64_t before;

    /* With the gapless guarantee a refused record is the end of a producer. */
    support_push(f, API_PRODUCE, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, 1);
    for (int i = 0; i < 3; i++)
        support_send(f, i, "u", 0, "v");
    support_reports(f, report, 3, 10000);
    for (int i = 0; i < 3; i++)
        assert_int_not_equal(report[i].kind, BUS_REPORT_ACKED);
    EVENTUALLY(5000, f->port->ops->fatal(f->port, BUS_MAIN));
    assert_int_equal(f->port->ops->produce(f->port, BUS_MAIN, &row, &err), BUS_CLOSED);
    assert_non_null(strstr(err.text, "reset"));
    before = bus_kafka_now();
    OK(f->port->ops->reset(f->port, BUS_MAIN, &err_));
    assert_true(bus_kafka_now() - before < 15000);
    support_send(f, 10, "u", 0, "v");
    support_reports(f, report, 1, 10000);
    assert_int_equal(report[0].id, 10);
    assert_int_equal(report[0].kind, BUS_REPORT_ACKED);
}

static void missing_topic_is_the_topics_fault(void **state)
{
    fixture *f = *state;
    bus_row row = { .id = 1, .topic = "t", .partition = 99, .value = "v", .value_len = 1 };
    bus_report report;

    /* Known topic, no such partition. (A missing topic takes librdkafka its propagation time of 30 s.) */
    support_send(f, 0, "t", 0, "v");
    support_reports(f, &report, 1, 10000);
    OK(f->port->ops->produce(f->port, BUS_MAIN, &row, &err_));
    support_reports(f, &report, 1, 10000);
    assert_int_equal(report.id, 1);
    assert_int_equal(report.kind, BUS_REPORT_TOPIC);
    assert_string_not_equal(report.text, "v");
}

static void too_big_is_the_records_fault(void **state)
{
    fixture *f = *state;
    size_t len = 2 * 1024 * 1024;
    char *value = calloc(1, len);
    bus_row row = { .id = 5, .topic = "t", .value = value, .value_len = len };
    bus_report report;

    OK(f->port->ops->produce(f->port, BUS_MAIN, &row, &err_));
    support_reports(f, &report, 1, 20000);
    assert_int_equal(report.id, 5);
    assert_int_equal(report.kind, BUS_REPORT_RECORD);
    assert_false(f->port->ops->fatal(f->port, BUS_MAIN));
    free(value);
}

static void broker_away_then_back(void **state)
{
    fixture *f = *state;
    bus_report report[100];

    support_send(f, 0, "u", 0, "v");
    support_reports(f, report, 1, 10000);
    rd_kafka_mock_broker_set_down(f->mock, 1);
    for (int i = 0; i < 100; i++)
        support_send(f, i, "u", 0, "v");
    usleep(1500000);
    assert_int_equal(f->port->ops->reports(f->port, report, 100), 0);
    rd_kafka_mock_broker_set_up(f->mock, 1);
    support_reports(f, report, 100, 15000);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(report[i].id, i);
        assert_int_equal(report[i].kind, BUS_REPORT_ACKED);
        assert_int_equal(report[i].offset, i + 1);
    }
}

static void reset_and_close_do_not_wait_for_the_broker(void **state)
{
    fixture *f = *state;
    bus_report report;
    int64_t before;

    support_send(f, 0, "u", 0, "v");
    support_reports(f, &report, 1, 10000);
    rd_kafka_mock_broker_set_down(f->mock, 1);
    for (int i = 0; i < 100; i++)
        support_send(f, i, "u", 0, "v");
    usleep(200000);
    before = bus_kafka_now();
    OK(f->port->ops->reset(f->port, BUS_MAIN, &err_));
    assert_true(bus_kafka_now() - before < 15000);
    /* What was out is forgotten. */
    assert_int_equal(f->port->ops->reports(f->port, &report, 1), 0);
    support_send(f, 1, "u", 0, "v");
    before = bus_kafka_now();
    f->transport->ops->port_close(f->port);
    f->port = NULL;
    assert_true(bus_kafka_now() - before < 15000);
}

static void slow_broker_keeps_the_order(void **state)
{
    fixture *f = *state;
    bus_report report[500];

    rd_kafka_mock_broker_set_rtt(f->mock, 1, 50);
    for (int i = 0; i < 500; i++) {
        support_send(f, i, "u", 0, "v");
        if (i % 100 == 99)
            usleep(5000);
    }
    support_reports(f, report, 500, 10000);
    for (int i = 0; i < 500; i++) {
        assert_int_equal(report[i].id, i);
        assert_int_equal(report[i].offset, i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(acks_in_order),
        TEST(channels_are_apart),
        TEST(reports_wake_who_listens),
        TEST(errors_are_classified),
        TEST(passing_errors_are_retried),
        TEST(fatal_then_reset),
        TEST(missing_topic_is_the_topics_fault),
        TEST(too_big_is_the_records_fault),
        TEST(broker_away_then_back),
        TEST(reset_and_close_do_not_wait_for_the_broker),
        TEST(slow_broker_keeps_the_order),
    };

    cmocka_set_test_filter(getenv("TEST_FILTER"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
