/* SPDX-License-Identifier: MIT
 * Embedded broker: librdkafka's mock cluster on loopback ports, in memory, for the demo and for tests. It speaks to any
 * client, knows no admin API, no look-up by time, and keeps 5 MB per partition. */
#ifndef BUI_KAFKA_BROKER_H
#define BUI_KAFKA_BROKER_H

#include <bus/error.h>
#include <stdint.h>

typedef struct bui_kafka_broker bui_kafka_broker;

/* Starts `nodes` (1 to 16) brokers on free ports of 127.0.0.1, ready when it returns. */
bus_status bui_kafka_broker_open(int nodes, bui_kafka_broker **out, bus_error *err);
void bui_kafka_broker_close(bui_kafka_broker *broker);

/* Creates a topic; all nodes (3 at most) hold it. BUS_EXISTS if it is there already. */
bus_status bui_kafka_broker_topic(bui_kafka_broker *broker, const char *topic, int32_t partitions, bus_error *err);

/* "127.0.0.1:34567,..." for bootstrap.servers. Borrowed until close. */
const char *bui_kafka_broker_address(const bui_kafka_broker *broker);

/* The mock cluster itself (rd_kafka_mock_cluster_t, <librdkafka/rdkafka_mock.h>), for fault injection. */
void *bui_kafka_broker_mock(bui_kafka_broker *broker);

#endif
