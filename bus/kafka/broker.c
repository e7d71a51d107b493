/* SPDX-License-Identifier: MIT
 * Embedded broker: a librdkafka handle that talks to nobody, with a mock cluster inside. */
#include "kafka/broker.h"

#include "base/error.h"
#include "kafka/client.h"
#include <librdkafka/rdkafka_mock.h>
#include <stdlib.h>
#include <time.h>

#define MOST_NODES 16
#define MOST_REPLICAS 3

struct bui_kafka_broker {
    rd_kafka_t *rk;
    rd_kafka_mock_cluster_t *mock;
    int nodes;
};

bus_status bui_kafka_broker_open(int nodes, bui_kafka_broker **out, bus_error *err)
{
    bui_kafka_broker *broker;
    rd_kafka_conf_t *conf;
    char text[256] = "";
    if (nodes < 1 || nodes > MOST_NODES)
        return bui_fail(err, BUS_INVALID, "%d brokers: choose 1 to %d", nodes, MOST_NODES);
    broker = calloc(1, sizeof *broker);
    if (!broker)
        return bui_fail_nomem(err);
    broker->nodes = nodes;
    conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "client.id", "broker", text, sizeof text);
    /* Nobody reads what it has to say of its own connections. */
    rd_kafka_conf_set(conf, "log_level", "3", text, sizeof text);
    broker->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    if (!broker->rk) {
        rd_kafka_conf_destroy(conf);
        free(broker);
        return bui_fail(err, BUS_IO, "cannot start the embedded broker: %s", text);
    }
    broker->mock = rd_kafka_mock_cluster_new(broker->rk, nodes);
    if (!broker->mock) {
        rd_kafka_destroy(broker->rk);
        free(broker);
        return bui_fail(err, BUS_IO,
                        "cannot open loopback ports for the embedded broker: is 127.0.0.1 there, and are "
                        "descriptors left (ulimit -n)?");
    }
    *out = broker;
    return BUS_OK;
}

void bui_kafka_broker_close(bui_kafka_broker *broker)
{
    if (!broker)
        return;
    rd_kafka_mock_cluster_destroy(broker->mock);
    rd_kafka_destroy(broker->rk);
    free(broker);
}

bus_status bui_kafka_broker_topic(bui_kafka_broker *broker, const char *topic, int32_t partitions, bus_error *err)
{
    int replicas = broker->nodes < MOST_REPLICAS ? broker->nodes : MOST_REPLICAS;
    rd_kafka_resp_err_t code;
    if (partitions < 1)
        return bui_fail(err, BUS_INVALID, "topic %s: %d partitions; at least 1", topic, (int)partitions);
    /* librdkafka 2.0.2 can lose the wake-up of a second command that comes while its mock thread still serves the first, which
     * then waits until the thread runs next, a second later. A moment is enough for it to be back in its poll. */
    nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    code = rd_kafka_mock_topic_create(broker->mock, topic, (int)partitions, replicas);
    if (code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS || code == RD_KAFKA_RESP_ERR__CONFLICT)
        return bui_fail(err, BUS_EXISTS, "topic %s is there already", topic);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return bui_kafka_fail(err, code, "topic %s", topic);
    return BUS_OK;
}

const char *bui_kafka_broker_address(const bui_kafka_broker *broker)
{
    return rd_kafka_mock_cluster_bootstraps(broker->mock);
}

void *bui_kafka_broker_mock(bui_kafka_broker *broker)
{
    return broker->mock;
}
