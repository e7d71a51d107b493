/* SPDX-License-Identifier: MIT
 * Logs: how a rebuild reads topics: by the tools' reader of Kafka, or from a test's cluster in memory. As kafka/reader.h says. */
#ifndef BUS_REBUILD_LOGS_H
#define BUS_REBUILD_LOGS_H

#include "kafka/reader.h"

typedef struct bus_logs bus_logs;
struct bus_logs {
    bus_status (*open)(bus_logs *logs, const bus_range *ranges, size_t count, bus_read_order order, void **out, bus_error *err);
    bus_status (*next)(void *reader, const bus_record **out, bus_error *err); /* BUS_CLOSED at the end */
    size_t (*span_count)(void *reader);
    bus_span (*span)(void *reader, size_t at);
    void (*close)(void *reader);
};

typedef struct bus_kafka_logs { bus_logs logs; const bus_config *config; int timeout_ms; } bus_kafka_logs; /* logs first */
void bus_kafka_logs_init(bus_kafka_logs *out, const bus_config *config, int timeout_ms);

#endif
