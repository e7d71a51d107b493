/* SPDX-License-Identifier: MIT
 * Send: a row as librdkafka takes it, and the handles of the topics that rows go to. */
#ifndef BUI_KAFKA_SEND_H
#define BUI_KAFKA_SEND_H

#include "shard/transport.h"
#include <librdkafka/rdkafka.h>

/* Of one producer; a name would cost librdkafka a search and two locks a row. Zeroed: none. The caller's lock, if threads share it. */
typedef struct bui_kafka_topics {
    rd_kafka_topic_t **at;
    size_t count, cap;
} bui_kafka_topics;

rd_kafka_topic_t *bui_kafka_topic_known(const bui_kafka_topics *topics, const char *name); /* NULL: not yet */
/* The one known, or a new one. NULL: *why, RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE if memory ran out. */
rd_kafka_topic_t *bui_kafka_topic(bui_kafka_topics *topics, rd_kafka_t *rk, const char *name, rd_kafka_resp_err_t *why);
void bui_kafka_topics_free(bui_kafka_topics *topics); /* before its producer is destroyed */

/* Hands a row over: its bytes are copied, partition <0 is left to the partitioner, `kept` comes back with the report. */
rd_kafka_resp_err_t bui_kafka_send(rd_kafka_t *rk, rd_kafka_topic_t *topic, const bui_row *row, void *kept);

#endif
