/* SPDX-License-Identifier: MIT
 * The producers of a port against a broker that misbehaves. */
#include "support.h"

#include <dirent.h>

static void acks_in_order(void **state)
{
    fixture *f = *state;
    bui_report report[1000];
    int64_t next[2] = { 0, 0 };
    for (int i = 0; i < 1000; i++)
        support_send(f, i + 1, "t", i % 2, "v");
    support_reports(f, report, 1000, 10000);
    /* Within a partition reports come in the order of sending, at dense offsets. */
    for (int i = 0; i < 1000; i++) {
        int partition = (int)((report[i].id - 1) % 2);

        assert_int_equal(report[i].kind, BUI_REPORT_ACKED);
        assert_int_equal(report[i].channel, BUI_MAIN);
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
    bui_row row = { .id = 7, .topic = "u", .value = "p", .value_len = 1 };
    bui_report report;
    OK(f->port->ops->produce(f->port, BUI_PROBE, &row, &err_));
    support_reports(f, &report, 1, 10000);
    assert_int_equal(report.channel, BUI_PROBE);
    assert_int_equal(report.id, 7);
    assert_int_equal(report.kind, BUI_REPORT_ACKED);
    assert_false(f->port->ops->fatal(f->port, BUI_MAIN));
}

static void reports_wake_who_listens(void **state)
{
    fixture *f = *state;
    bui_report report;
    support_send(f, 1, "u", 0, "v");
    support_reports(f, &report, 1, 10000);
    assert_false(f->port->ops->hear(f->port, false));
    f->wakes = 0;
    support_send(f, 2, "u", 0, "v");
    for (int i = 0; i < 1000 && !f->port->ops->hear(f->port, false); i++)
        usleep(10000);
    assert_int_equal(f->wakes, 0);
    assert_true(f->port->ops->hear(f->port, true)); /* a new listener hears of what came meanwhile */
    support_reports(f, &report, 1, 0);
    assert_int_equal(report.id, 2);
    support_send(f, 3, "u", 0, "v");
    for (int i = 0; i < 1000 && !f->wakes; i++)
        usleep(10000);
    assert_int_equal(f->wakes, 1);
}

/* A broker's answer to one row, and what we call it. */
static void one_error(fixture *f, rd_kafka_resp_err_t code, bui_report_kind kind)
{
    bui_report report;
    support_push(f, API_PRODUCE, code, 1);
    support_send(f, 1, "u", 0, "v");
    support_reports(f, &report, 1, 10000);
    if (report.kind != kind)
        fail_msg("%s: kind %d (%s), expected %d", rd_kafka_err2name(code), report.kind, report.text, kind);
    assert_string_equal(report.text, kind == BUI_REPORT_UNSURE ? "acknowledged without an offset" : rd_kafka_err2str(code));
    OK(f->port->ops->reset(f->port, BUI_MAIN, &err_));
    assert_false(f->port->ops->fatal(f->port, BUI_MAIN));
}

static void errors_are_classified(void **state)
{
    fixture *f = *state;
    one_error(f, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, BUI_REPORT_TOPIC);
    one_error(f, RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP, BUI_REPORT_TOPIC);
    one_error(f, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, BUI_REPORT_RECORD);
    one_error(f, RD_KAFKA_RESP_ERR_INVALID_RECORD, BUI_REPORT_RECORD);
    one_error(f, RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, BUI_REPORT_FAILED);
    /* Told "I have this already": delivered, but where? */
    one_error(f, RD_KAFKA_RESP_ERR_DUPLICATE_SEQUENCE_NUMBER, BUI_REPORT_UNSURE);
}

static void passing_errors_are_retried(void **state)
{
    fixture *f = *state;
    bui_report report[3];
    support_push(f, API_PRODUCE, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, 1);
    support_push(f, API_PRODUCE, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, 2);
    support_push(f, API_PRODUCE, RD_KAFKA_RESP_ERR__TRANSPORT, 1);
    for (int i = 0; i < 3; i++)
        support_send(f, i, "u", 0, "v");
    support_reports(f, report, 3, 15000);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(report[i].kind, BUI_REPORT_ACKED);
        assert_int_equal(report[i].id, i);
    }
}

static void fatal_then_reset(void **state)
{
    fixture *f = *state;
    bui_row row = { .id = 9, .topic = "u", .value = "v", .value_len = 1 };
    bui_report report[3];
    bus_error err = { 0 };
    int64_t before;
    /* With the gapless guarantee a refused record is the end of a producer. */
    support_push(f, API_PRODUCE, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, 1);
    for (int i = 0; i < 3; i++)
        support_send(f, i, "u", 0, "v");
    support_reports(f, report, 3, 10000);
    for (int i = 0; i < 3; i++)
        assert_int_not_equal(report[i].kind, BUI_REPORT_ACKED);
    EVENTUALLY(5000, f->port->ops->fatal(f->port, BUI_MAIN));
    assert_int_equal(f->port->ops->produce(f->port, BUI_MAIN, &row, &err), BUS_CLOSED);
    assert_non_null(strstr(err.text, "reset"));
    before = bui_kafka_now();
    OK(f->port->ops->reset(f->port, BUI_MAIN, &err_));
    assert_true(bui_kafka_now() - before < 15000);
    support_send(f, 10, "u", 0, "v");
    support_reports(f, report, 1, 10000);
    assert_int_equal(report[0].id, 10);
    assert_int_equal(report[0].kind, BUI_REPORT_ACKED);
}

static void missing_topic_is_the_topics_fault(void **state)
{
    fixture *f = *state;
    bui_row row = { .id = 1, .topic = "t", .partition = 99, .value = "v", .value_len = 1 };
    bui_report report;
    /* Known topic, no such partition. (A missing topic takes librdkafka its propagation time of 30 s.) */
    support_send(f, 0, "t", 0, "v");
    support_reports(f, &report, 1, 10000);
    OK(f->port->ops->produce(f->port, BUI_MAIN, &row, &err_));
    support_reports(f, &report, 1, 10000);
    assert_int_equal(report.id, 1);
    assert_int_equal(report.kind, BUI_REPORT_TOPIC);
    assert_string_not_equal(report.text, "v");
}

static void too_big_is_the_records_fault(void **state)
{
    fixture *f = *state;
    size_t len = 2 * 1024 * 1024;
    char *value = calloc(1, len);
    bui_row row = { .id = 5, .topic = "t", .value = value, .value_len = len };
    bui_report report;
    OK(f->port->ops->produce(f->port, BUI_MAIN, &row, &err_));
    support_reports(f, &report, 1, 20000);
    assert_int_equal(report.id, 5);
    assert_int_equal(report.kind, BUI_REPORT_RECORD);
    assert_false(f->port->ops->fatal(f->port, BUI_MAIN));
    free(value);
}

static void broker_away_then_back(void **state)
{
    fixture *f = *state;
    bui_report report[100];
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
        assert_int_equal(report[i].kind, BUI_REPORT_ACKED);
        assert_int_equal(report[i].offset, i + 1);
    }
}

static void reset_and_close_do_not_wait_for_the_broker(void **state)
{
    fixture *f = *state;
    bui_report report;
    int64_t before;
    support_send(f, 0, "u", 0, "v");
    support_reports(f, &report, 1, 10000);
    rd_kafka_mock_broker_set_down(f->mock, 1);
    for (int i = 0; i < 100; i++)
        support_send(f, i, "u", 0, "v");
    usleep(200000);
    before = bui_kafka_now();
    OK(f->port->ops->reset(f->port, BUI_MAIN, &err_));
    assert_true(bui_kafka_now() - before < 15000);
    /* What was out is forgotten. */
    assert_int_equal(f->port->ops->reports(f->port, &report, 1), 0);
    support_send(f, 1, "u", 0, "v");
    before = bui_kafka_now();
    f->transport->ops->port_close(f->port);
    f->port = NULL;
    assert_true(bui_kafka_now() - before < 15000);
}

static void slow_broker_keeps_the_order(void **state)
{
    fixture *f = *state;
    bui_report report[500];
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

/* ---- several ports on few producers */

#define PORTS 8

static int threads(void)
{
    int count = 0;
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    while (readdir(tasks))
        count++;
    closedir(tasks);
    return count;
}

/* In place of the fixture's own transport: one whose ports share so many producers. */
static void share(fixture *f, const char *most, bui_port *port[PORTS])
{
    f->transport->ops->port_close(f->port);
    f->transport->ops->free(f->transport);
    f->port = NULL;
    OK(bus_config_set(f->config, "producers.max", most, &err_));
    OK(bui_kafka_transport_open(f->config, "test", &f->transport, &err_));
    for (int i = 0; i < PORTS; i++)
        OK(f->transport->ops->port_open(f->transport, "svc/0", support_wake, f, &port[i], &err_));
}

/* The functions of support.h go by the fixture's port. */
static void send_by(fixture *f, bui_port *port, int64_t id)
{
    f->port = port;
    support_send(f, id, "u", 0, "v");
}

static void reported(fixture *f, bui_port *port, int64_t id, bui_report_kind kind)
{
    bui_report report;
    f->port = port;
    support_reports(f, &report, 1, 15000);
    assert_int_equal(report.id, id);
    assert_int_equal(report.kind, kind);
    assert_int_equal(report.channel, BUI_MAIN);
}

/* As the relay does: what fails is sent again, by another producer if this one is at its end, which a purge can be. */
static void delivered(fixture *f, bui_port *port, int64_t id)
{
    bui_row row = { .id = id, .topic = "u", .key = "k", .key_len = 1, .value = "v", .value_len = 1 };
    bui_report report = { .kind = BUI_REPORT_FAILED };
    bus_error err = { 0 };
    f->port = port;
    for (int i = 0; i < 100 && report.kind != BUI_REPORT_ACKED; i++) {
        if (port->ops->fatal(port, BUI_MAIN) || port->ops->produce(port, BUI_MAIN, &row, &err) == BUS_CLOSED) {
            OK(port->ops->reset(port, BUI_MAIN, &err_));
            continue;
        }
        support_reports(f, &report, 1, 15000);
        assert_int_equal(report.id, id);
    }
    assert_int_equal(report.kind, BUI_REPORT_ACKED);
}

static void close_all(fixture *f, bui_port *port[PORTS])
{
    for (int i = 0; i < PORTS; i++)
        if (port[i])
            f->transport->ops->port_close(port[i]);
    f->port = NULL;
}

/* One row of each, first's id and up; each hears of its own alone. */
static void each_sends(fixture *f, bui_port *port[PORTS], int64_t first)
{
    bui_report report;
    for (int i = 0; i < PORTS; i++)
        send_by(f, port[i], first + i);
    for (int i = 0; i < PORTS; i++) {
        reported(f, port[i], first + i, BUI_REPORT_ACKED);
        assert_int_equal(port[i]->ops->reports(port[i], &report, 1), 0);
    }
}

static int64_t records(fixture *f, const char *topic)
{
    bui_offset end = { .topic = topic };
    OK(f->transport->ops->watermarks(f->transport, &end, 1, 10000, &err_));
    return end.high;
}

static void ports_share_producers(void **state)
{
    fixture *f = *state;
    bui_port *port[PORTS];
    share(f, "2", port);
    int before = threads();
    each_sends(f, port, 100);
    /* Of each producer: its main thread, the one that takes reports, and two for brokers. */
    assert_true(threads() - before <= 2 * 4);
    close_all(f, port);
    EVENTUALLY(5000, threads() <= before);
}

static void a_fatal_producer_fails_all_its_ports_and_no_other(void **state)
{
    fixture *f = *state;
    bui_port *port[PORTS];
    share(f, "2", port);
    each_sends(f, port, 0);
    support_push(f, API_PRODUCE, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, 1);
    send_by(f, port[0], 9);
    reported(f, port[0], 9, BUI_REPORT_TOPIC);
    EVENTUALLY(5000, port[0]->ops->fatal(port[0], BUI_MAIN));
    for (int i = 1; i < PORTS; i++)
        assert_int_equal(port[i]->ops->fatal(port[i], BUI_MAIN), i % 2 == 0);
    /* Each goes on by itself, and the first finds a new one for all. */
    int before = threads();
    for (int i = 0; i < PORTS; i += 2)
        OK(port[i]->ops->reset(port[i], BUI_MAIN, &err_));
    each_sends(f, port, 20);
    EVENTUALLY(5000, threads() <= before + 2); /* the old one is gone */
    close_all(f, port);
}

/* The rows of a port that is closed must not leave later. The others' rows fail as well, are sent again, and are acknowledged. */
/* Ports share a producer; while the broker is away two have a row in it, 10 and 11, and the first closes. */
static void leave_with_rows(fixture *f, bui_port **port)
{
    share(f, "1", port);
    each_sends(f, port, 0);
    rd_kafka_mock_broker_set_down(f->mock, 1);
    send_by(f, port[0], 10);
    send_by(f, port[1], 11);
    f->transport->ops->port_close(port[0]);
    port[0] = NULL;
}

static void what_a_closed_port_had_out_is_not_sent(void **state)
{
    fixture *f = *state;
    bui_port *port[PORTS];
    bui_report report;
    leave_with_rows(f, port);
    reported(f, port[1], 11, BUI_REPORT_FAILED);
    rd_kafka_mock_broker_set_up(f->mock, 1);
    for (int i = 1; i < PORTS; i++) {
        delivered(f, port[i], 20 + i);
        assert_int_equal(port[i]->ops->reports(port[i], &report, 1), 0);
    }
    assert_int_equal(records(f, "u"), PORTS + PORTS - 1);
    close_all(f, port);
}

/* What a port hands over after rows of its own were taken out, and before it knows, must not overtake them. */
static void what_follows_rows_that_were_taken_out_is_refused(void **state)
{
    fixture *f = *state;
    bui_row row = { .id = 12, .topic = "u", .key = "k", .key_len = 1, .value = "v", .value_len = 1 };
    bus_error err = { 0 };
    bui_port *port[PORTS];
    leave_with_rows(f, port);
    assert_int_equal(port[1]->ops->produce(port[1], BUI_MAIN, &row, &err), BUS_CLOSED);
    rd_kafka_mock_broker_set_up(f->mock, 1);
    reported(f, port[1], 11, BUI_REPORT_FAILED);
    assert_true(port[1]->ops->fatal(port[1], BUI_MAIN));
    delivered(f, port[1], 11);
    delivered(f, port[1], 12);
    assert_int_equal(records(f, "u"), PORTS + 2);
    close_all(f, port);
}

/* The next port may get the place of one that has left, and must not hear of its rows. */
static void a_port_hears_nothing_of_one_that_has_left(void **state)
{
    fixture *f = *state;
    bui_port *port[PORTS];
    bui_report report;
    share(f, "1", port);
    send_by(f, port[1], 1);
    reported(f, port[1], 1, BUI_REPORT_ACKED);
    rd_kafka_mock_broker_set_rtt(f->mock, 1, 300);
    for (int i = 0; i < 5; i++) {
        send_by(f, port[0], 30 + i);
        f->transport->ops->port_close(port[0]);
        OK(f->transport->ops->port_open(f->transport, "svc/0", support_wake, f, &port[0], &err_));
    }
    delivered(f, port[0], 40);
    assert_int_equal(port[0]->ops->reports(port[0], &report, 1), 0);
    close_all(f, port);
}

static void an_id_that_does_not_fit_is_refused(void **state)
{
    fixture *f = *state;
    bui_row row = { .id = INT64_C(1) << 48, .topic = "u", .value = "v", .value_len = 1 };
    bus_error err = { 0 };
    assert_int_equal(f->port->ops->produce(f->port, BUI_MAIN, &row, &err), BUS_BUG);
    assert_non_null(strstr(err.text, "281474976710656"));
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
        TEST(ports_share_producers),
        TEST(a_fatal_producer_fails_all_its_ports_and_no_other),
        TEST(what_a_closed_port_had_out_is_not_sent),
        TEST(what_follows_rows_that_were_taken_out_is_refused),
        TEST(a_port_hears_nothing_of_one_that_has_left),
        TEST(an_id_that_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
