/* SPDX-License-Identifier: MIT
 * What the mock tests share: an embedded broker with topics, a transport on it, and waiting that ends. */
#ifndef BUI_TESTS_MOCK_SUPPORT_H
#define BUI_TESTS_MOCK_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include "kafka/broker.h"
#include "kafka/client.h"
#include "kafka/transport.h"
#include <librdkafka/rdkafka_mock.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OK(call) \
    do { \
        bus_error err_ = { 0 }; \
        if ((call) != BUS_OK) \
            fail_msg("%s: %s %s", #call, bus_status_name(err_.status), err_.text); \
    } while (0)
/* Polls a condition every ms, for at most so many ms. */
#define EVENTUALLY(ms, condition) \
    do { \
        int64_t until_ = bui_kafka_now() + (ms); \
        while (!(condition)) { \
            if (bui_kafka_now() > until_) \
                fail_msg("not within %d ms: %s", (int)(ms), #condition); \
            usleep(1000); \
        } \
    } while (0)

typedef struct fixture {
    bui_kafka_broker *broker;
    rd_kafka_mock_cluster_t *mock;
    bus_config *config;
    bui_transport *transport;
    bui_port *port;
    _Atomic int wakes;
} fixture;

static inline void support_log(bus_level level, const char *line, size_t len, void *opaque)
{
    (void)opaque;
    (void)level;
    fprintf(stderr, "# %.*s\n", (int)len, line);
}

static inline void support_wake(void *opaque)
{
    atomic_fetch_add(&((fixture *)opaque)->wakes, 1);
}

static inline void support_config(fixture *f)
{
    f->config = bus_config_new();
    assert_non_null(f->config);
    /* A real cluster instead, for tests that inject no faults and with these topics fresh: for a look by hand. */
    const char *other = getenv("BUS_TEST_BOOTSTRAP");
    OK(bus_config_set(f->config, "bootstrap.servers", other ? other : bui_kafka_broker_address(f->broker), &err_));
}

/* A broker of `nodes` with topics "t" (2 partitions), "u" (1) and "svc.redrive" (2), a transport and a port. */
static inline void support_open(fixture *f, int nodes)
{
    memset(f, 0, sizeof *f);
    if (getenv("BUS_TEST_LOG"))
        bus_log_to(BUS_DEBUG, support_log, NULL);
    OK(bui_kafka_broker_open(nodes, &f->broker, &err_));
    f->mock = bui_kafka_broker_mock(f->broker);
    OK(bui_kafka_broker_topic(f->broker, "t", 2, &err_));
    OK(bui_kafka_broker_topic(f->broker, "u", 1, &err_));
    OK(bui_kafka_broker_topic(f->broker, "svc.redrive", 2, &err_));
    support_config(f);
    OK(bui_kafka_transport_open(f->config, "test", &f->transport, &err_));
    OK(f->transport->ops->port_open(f->transport, "svc/0", support_wake, f, &f->port, &err_));
}

static inline void support_close(fixture *f)
{
    bus_error err;
    if (f->port) {
        (void)f->transport->ops->assign(f->transport, NULL, 0,
                                        &err); /* a port's lanes go before it; refused where it is in no group */
        f->transport->ops->port_close(f->port);
    }
    if (f->transport)
        f->transport->ops->free(f->transport);
    bus_config_free(f->config);
    bui_kafka_broker_close(f->broker);
}

static inline void support_send(fixture *f, int64_t id, const char *topic, int32_t partition, const char *value)
{
    bui_row row = {
        .id = id, .topic = topic, .partition = partition, .key = "k", .key_len = 1, .value = value, .value_len = strlen(value)
    };
    OK(f->port->ops->produce(f->port, BUI_MAIN, &row, &err_));
}

/* Takes exactly `count` reports within `ms`. */
static inline void support_reports(fixture *f, bui_report *out, size_t count, int ms)
{
    int64_t until = bui_kafka_now() + ms;
    size_t n = 0;
    while (n < count) {
        n += f->port->ops->reports(f->port, out + n, count - n);
        if (n < count && bui_kafka_now() > until)
            fail_msg("%zu of %zu reports within %d ms", n, count, ms);
        if (n < count)
            usleep(1000);
    }
}

/* Polls for one kind of group event; others but errors that pass are not expected. */
static inline void support_event(bui_transport *t, bui_group_event_kind kind, bui_group_event *out, int ms)
{
    int64_t until = bui_kafka_now() + ms;
    do {
        t->ops->poll(t, 100, out);
        if (out->kind == kind)
            return;
        if (out->kind != BUI_GROUP_NONE && out->kind != BUI_GROUP_ERROR)
            fail_msg("group event %d instead of %d", out->kind, kind);
        if (out->kind == BUI_GROUP_ERROR && out->err.fatal)
            fail_msg("fatal: %s", out->err.text);
    } while (bui_kafka_now() < until);
    fail_msg("no group event %d within %d ms", kind, ms);
}

/* Joins as group "svc" and takes the first assignment without answering it. */
static inline void support_join(bui_transport *t, const char *instance, bui_group_event *out)
{
    bui_membership membership = { .group = "svc", .lead = "svc.redrive", .instance = instance, .session_ms = 6000 };
    OK(t->ops->join(t, &membership, &err_));
    support_event(t, BUI_GROUP_ASSIGNED, out, 30000);
}

static inline void support_push(fixture *f, int16_t api, rd_kafka_resp_err_t code, size_t times)
{
    for (size_t i = 0; i < times; i++)
        rd_kafka_mock_push_request_errors(f->mock, api, 1, code);
}

enum { API_PRODUCE = 0, API_FETCH = 1, API_COMMIT = 8, API_OFFSET_FETCH = 9 };

/* cmocka's set-up and tear-down: *state is a fixture with one broker. */
static inline int support_set_up(void **state)
{
    fixture *f = malloc(sizeof *f);
    support_open(f, 1);
    *state = f;
    return 0;
}

static inline int support_tear_down(void **state)
{
    support_close(*state);
    free(*state);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, support_set_up, support_tear_down)

#endif
