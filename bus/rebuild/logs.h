/* SPDX-License-Identifier: MIT
 * Logs: how a rebuild reads topics: by the tools' reader of Kafka, or from a test's cluster in memory. As kafka/topic_reader.h says. */
#ifndef BUI_REBUILD_LOGS_H
#define BUI_REBUILD_LOGS_H

#include "kafka/topic_reader.h"

typedef struct bui_logs bui_logs;
struct bui_logs {
    bus_status (*open)(bui_logs *logs, const bui_range *ranges, size_t count, bui_read_order order, void **out, bus_error *err);
    bus_status (*next)(void *reader, const bui_record **out, bus_error *err); /* BUS_CLOSED at the end */
    size_t (*span_count)(void *reader);
    bui_span (*span)(void *reader, size_t at);
    void (*close)(void *reader);
};

typedef struct bui_kafka_logs {
    bui_logs logs;
    const bus_config *config;
    int timeout_ms;
} bui_kafka_logs; /* logs first */
void bui_kafka_logs_init(bui_kafka_logs *out, const bus_config *config, int timeout_ms);

#endif
