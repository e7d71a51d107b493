/* SPDX-License-Identifier: MIT
 * Look: what is at the ends of partitions, for a shard that opens with rows that were not acknowledged. */
#include "base/error.h"
#include "kafka/internal.h"
#include <stdlib.h>
#include <string.h>

/* The partitions that are there and may be asked for, as ranges; the others' entries say why not. */
static size_t ranges_of(kafka_transport *t, bui_look *list, size_t count, int64_t deadline, bui_range *out)
{
    size_t n = 0;
    int32_t partitions = 0;
    const char *asked = NULL;
    bus_status status = BUS_OK;
    for (size_t i = 0; i < count; i++) {
        if (!asked || strcmp(asked, list[i].topic) != 0)
            status = bui_kafka_partitions(t->tool, list[i].topic, bui_kafka_left(deadline), &partitions, NULL);
        asked = list[i].topic;
        list[i].status = status != BUS_OK ? status : list[i].partition < partitions ? BUS_TIMEOUT : BUS_MISSING;
        if (list[i].status == BUS_TIMEOUT && bui_kafka_left(deadline) > 0)
            out[n++] = (bui_range){ .topic = list[i].topic,
                                    .partition = list[i].partition,
                                    .from = { BUI_EDGE_TIME, list[i].since_ms } };
    }
    return n;
}

/* Each span belongs to an entry, in the same order; entries without one have their status already. */
static void take_statuses(const bui_kafka_reader *reader, bui_look *list, size_t count)
{
    size_t at = 0, spans = bui_kafka_reader_span_count(reader);
    for (size_t i = 0; i < count && at < spans; i++) {
        bui_span span = bui_kafka_reader_span(reader, at);

        if (span.partition != list[i].partition || strcmp(span.topic, list[i].topic) != 0)
            continue;
        list[i].status = span.status ? span.status : span.next >= span.to ? BUS_OK : BUS_TIMEOUT;
        at++;
    }
}

bus_status kafka_look(bui_transport *base, bui_look *list, size_t count, int64_t most, int timeout_ms, bui_look_each each,
                      void *opaque, bus_error *err)
{
    kafka_transport *t = kafka_of(base);
    int64_t deadline = bui_kafka_now() + timeout_ms;
    bui_range *ranges = calloc(count + 1, sizeof *ranges);
    bui_kafka_reader *reader = NULL;
    const bui_record *record;
    bus_status status;
    size_t n;
    if (!ranges)
        return bui_fail_nomem(err);
    n = ranges_of(t, list, count, deadline, ranges);
    status = n == 0 ? BUS_OK
                    : bui_kafka_reader_open_with(rd_kafka_conf_dup(t->reader_conf), ranges, n, BUI_READ_WHAT_CAN, most,
                                                 bui_kafka_left(deadline), &reader, err);
    while (reader && bui_kafka_reader_next(reader, bui_kafka_left(deadline), &record, NULL) == BUS_OK && each(record, opaque))
        ;
    if (reader)
        take_statuses(reader, list, count);
    bui_kafka_reader_close(reader);
    free(ranges);
    return status;
}
