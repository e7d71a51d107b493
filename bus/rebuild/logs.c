/* SPDX-License-Identifier: MIT
 * Logs: those of Kafka. */
#include "rebuild/logs.h"

#define WHERE "rebuild"
#define NEXT_MS 10000

static bus_status open_reader(bui_logs *logs, const bui_range *ranges, size_t count, bui_read_order order, void **out,
                              bus_error *err)
{
    const bui_kafka_logs *kafka = (const bui_kafka_logs *)logs;
    bui_kafka_reader *reader;
    bus_status status = bui_kafka_reader_open(kafka->config, WHERE, ranges, count, order, kafka->timeout_ms, &reader, err);
    if (status == BUS_OK)
        *out = reader;
    return status;
}

static bus_status next(void *reader, const bui_record **out, bus_error *err)
{
    return bui_kafka_reader_next(reader, NEXT_MS, out, err);
}

static size_t span_count(void *reader)
{
    return bui_kafka_reader_span_count(reader);
}

static bui_span span(void *reader, size_t at)
{
    return bui_kafka_reader_span(reader, at);
}

static void close_reader(void *reader)
{
    bui_kafka_reader_close(reader);
}

void bui_kafka_logs_init(bui_kafka_logs *out, const bus_config *config, int timeout_ms)
{
    *out = (bui_kafka_logs){
        .logs = { .open = open_reader, .next = next, .span_count = span_count, .span = span, .close = close_reader },
        .config = config,
        .timeout_ms = timeout_ms
    };
}
