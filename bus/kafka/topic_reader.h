/* SPDX-License-Identifier: MIT
 * Topic reader: walks ranges of topics without a consumer group, for tools: consume, replay, rebuild, dead letters. The
 * ends are taken when it is opened, so a reader of a busy topic ends. Blocking; one thread per handle. */
#ifndef BUI_KAFKA_TOPIC_READER_H
#define BUI_KAFKA_TOPIC_READER_H

#include "shard/transport.h"
#include <bus/service.h>

/* An edge of a range. Of BUI_EDGE_TIME, `at` is ms since the epoch, and each record's own time decides. The broker returns the
 * first record that is not older (offsets_for_times); the end is looked for up to the end of the log, since the times of
 * producers (message.timestamp.type=CreateTime) need not rise, unless the range says `in_order` or the broker gives the times.
 * The mock broker cannot look up times: there the reader begins at the log's start. */
typedef enum bui_edge_kind {
    BUI_EDGE_START,  /* the log's first record */
    BUI_EDGE_END,    /* the log's end at open */
    BUI_EDGE_OFFSET, /* `at` is an offset; clamped to what the log holds */
    BUI_EDGE_TIME,
    BUI_EDGE_NEVER /* as `to` only: follow the topic without end */
} bui_edge_kind;
typedef struct bui_edge {
    bui_edge_kind kind;
    int64_t at;
} bui_edge;

/* from <= records < to. A zero `from` is the start; a zero `to` (BUI_EDGE_START) is taken as the end. */
typedef struct bui_range {
    const char *topic;
    int32_t partition; /* -1: all of the topic's */
    bui_edge from, to;
    bool in_order; /* times rise: stop at the first record that is not older than `to` */
} bui_range;

typedef enum bui_read_order {
    BUI_READ_ANY,        /* fastest: order within each partition only */
    BUI_READ_WHAT_CAN,   /* as ANY; a partition that cannot be read ends there, and its span says why */
    BUI_READ_BY_TIME,    /* merged over all partitions by record timestamp, order within each partition kept. When
                         * following, a partition at its end does not hold up the others */
    BUI_READ_UNCOMMITTED /* as ANY, and also what transactions have not committed, or have aborted */
} bui_read_order;

typedef struct bui_kafka_reader bui_kafka_reader;

/* Resolves the ranges and starts fetching. BUS_MISSING: a topic or partition is not there; BUS_BROKER, BUS_TIMEOUT,
 * BUS_DENIED. read_committed as librdkafka's default (kafka.isolation.level). */
bus_status bui_kafka_reader_open(const bus_config *config, const char *where, const bui_range *ranges, size_t count,
                                 bui_read_order order, int timeout_ms, bui_kafka_reader **out, bus_error *err);
void bui_kafka_reader_close(bui_kafka_reader *reader);

/* The next record, borrowed until the next call. BUS_OK; BUS_CLOSED: every range is read to its end; BUS_TIMEOUT: nothing
 * came within timeout_ms (call again); else the reader cannot go on (a topic deleted, its range truncated away: BUS_CORRUPT).
 * Outputs are written for BUS_OK only. */
bus_status bui_kafka_reader_next(bui_kafka_reader *reader, int timeout_ms, const bui_record **out, bus_error *err);

typedef struct bui_read_progress {
    int64_t records; /* handed out */
    int64_t bytes;   /* of their keys, values */
    int64_t passed;  /* offsets behind us, over all partitions */
    int64_t total;   /* offsets in all ranges; INT64_MAX when following */
    int64_t outside; /* records looked at whose own time is outside */
    int cut;         /* spans that are cut, see bui_span */
} bui_read_progress;
void bui_kafka_reader_progress(const bui_kafka_reader *reader, bui_read_progress *out);

/* The resolved spans, one per partition: from (first offset), to (one past the last), next (where it is now), low
 * (the log's start at open), cut (what was asked for may begin before the log's start: that part has been deleted). */
typedef struct bui_span {
    const char *topic;
    int32_t partition;
    int64_t low, from, to, next;
    bus_status status;
    bool cut;
} bui_span;
size_t bui_kafka_reader_span_count(const bui_kafka_reader *reader);
bui_span bui_kafka_reader_span(const bui_kafka_reader *reader, size_t at);

#endif
