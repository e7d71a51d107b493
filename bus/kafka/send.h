/* SPDX-License-Identifier: MIT
 * Send: a row as librdkafka takes it, and the handles of the topics that rows go to. */
#ifndef BUS_KAFKA_SEND_H
#define BUS_KAFKA_SEND_H

#include "shard/transport.h"
#include <librdkafka/rdkafka.h>

/* Of one producer; a name would cost librdkafka a search and two locks a row. Zeroed: none. The caller's lock, if threads share it. */
typedef struct bus_kafka_topics { rd_kafka_topic_t **at; size_t count, cap; } bus_kafka_topics;

rd_kafka_topic_t *bus_kafka_topic_known(const bus_kafka_topics *topics, const char *name); /* NULL: not yet */
/* The one known, or a new one. NULL: *why, RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE for want of memory. */
rd_kafka_topic_t *bus_kafka_topic(bus_kafka_topics *topics, rd_kafka_t *rk, const char *name, rd_kafka_resp_err_t *why);
void bus_kafka_topics_free(bus_kafka_topics *topics); /* before its producer is destroyed */

/* Hands a row over: its bytes are copied, partition <0 is left to the partitioner, `kept` comes back with the report. */
rd_kafka_resp_err_t bus_kafka_send(rd_kafka_t *rk, rd_kafka_topic_t *topic, const bus_row *row, void *kept);

#endif
