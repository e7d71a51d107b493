/* SPDX-License-Identifier: MIT
 * Producer: sends a port's rows by the sender of its turn and reports how each ended. */
#include "base/error.h"
#include "base/array.h"
#include "kafka/sender.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENDS 256

static bui_report_kind kind_of(rd_kafka_resp_err_t code)
{
    switch ((int)code) {
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
    case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_COMPRESSION_TYPE: return BUI_REPORT_TOPIC;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE:
    case RD_KAFKA_RESP_ERR_INVALID_MSG:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD: return BUI_REPORT_RECORD;
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT: return BUI_REPORT_UNSURE;
    default: return BUI_REPORT_FAILED;
    }
}

static const char *advice(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION
               ? ": the topic has fewer partitions than it had: add them again with Kafka's kafka-topics.sh --alter --partitions N"
               : "";
}

/* Keeps the report of a row that never left. false: no memory. */
static bool refuse(kafka_producer *producer, bui_channel channel, int64_t id, rd_kafka_resp_err_t code)
{
    bui_report *report;
    if (!bui_array_room(&producer->refused, &producer->refused_cap, producer->refused_count + 1, sizeof *producer->refused, 8))
        return false;
    report = &producer->refused[producer->refused_count++];
    *report = (bui_report){ .channel = channel, .id = id, .kind = kind_of(code), .offset = BUI_OFFSET_NONE };
    snprintf(report->text, sizeof report->text, "%s%s", rd_kafka_err2str(code), advice(code));
    return true;
}

bus_status kafka_produce(bui_port *p, bui_channel channel, const bui_row *row, bus_error *err)
{
    kafka_port *port = kafka_port_of(p);
    kafka_producer *producer = &port->producer[channel];
    rd_kafka_topic_t *topic;
    rd_kafka_resp_err_t code;
    if (row->id >> KAFKA_ID_BITS)
        return bui_fail(err, BUS_BUG, "%s: row %" PRId64 " has an id of more than %d bits", port->name, row->id, KAFKA_ID_BITS);
    bus_status status = producer->sender ? BUS_OK : kafka_sender_join(port, channel, err);
    if (status != BUS_OK)
        return status;
    if (kafka_sender_fatal(producer))
        return bui_fail(err, BUS_CLOSED, "%s: the producer has failed; reset it", port->name);
    if (!kafka_sender_expect(producer))
        return bui_fail_nomem(err);
    topic = bui_kafka_topic(&producer->topics, producer->rk, row->topic, &code);
    if (topic)
        code = bui_kafka_send(producer->rk, topic, row, kafka_sender_opaque(producer, row->id));
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        producer->out++;
        return BUS_OK;
    }
    if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL)
        return bui_fail(err, BUS_FULL, "%s: the producer's queue is full; go on after reports", port->name);
    if (code == RD_KAFKA_RESP_ERR__FATAL || code == RD_KAFKA_RESP_ERR__STATE) {
        kafka_sender_failed(producer);
        return bui_kafka_fail(err, RD_KAFKA_RESP_ERR__FATAL, "%s: the producer has failed; reset it", port->name);
    }
    if (!topic)
        code = RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION;
    if (!refuse(producer, channel, row->id, code))
        return bui_fail_nomem(err);
    port->wake(port->opaque);
    return BUS_OK;
}

static void report_of(const kafka_end_of_row *end, bui_channel channel, bui_report *out)
{
    out->channel = channel;
    out->id = end->id;
    out->offset = end->offset;
    if (end->error == RD_KAFKA_RESP_ERR_NO_ERROR) {
        /* A batch answered "duplicate sequence number" counts as delivered to librdkafka, but has no offset: it can be
         * another one's. */
        out->kind = end->offset >= 0 ? BUI_REPORT_ACKED : BUI_REPORT_UNSURE;
        out->text[0] = '\0';
        if (out->kind == BUI_REPORT_UNSURE)
            snprintf(out->text, sizeof out->text, "acknowledged without an offset");
        return;
    }
    out->kind = kind_of(end->error);
    out->offset = BUI_OFFSET_NONE;
    /* Not rd_kafka_message_errstr: of a row that was not answered by a broker it returns the row's value. */
    snprintf(out->text, sizeof out->text, "%s%s", rd_kafka_err2str(end->error), advice(end->error));
}

size_t kafka_reports(bui_port *p, bui_report *out, size_t max)
{
    kafka_port *port = kafka_port_of(p);
    kafka_end_of_row end[ENDS];
    size_t n = 0;
    for (int i = 0; i < BUI_CHANNELS && n < max; i++) {
        kafka_producer *producer = &port->producer[i];
        size_t taken;

        while (n < max && producer->refused_count > 0)
            out[n++] = producer->refused[--producer->refused_count];
        while (n < max && (taken = kafka_sender_take(producer, end, max - n < ENDS ? max - n : ENDS)) > 0)
            for (size_t k = 0; k < taken; k++)
                report_of(&end[k], (bui_channel)i, &out[n++]);
    }
    return n;
}

/* Only the first end that waits wakes the port, so a listener first checks whether there is one. */
bool kafka_hear(bui_port *p, bool reports)
{
    kafka_port *port = kafka_port_of(p);
    bool some = false;
    atomic_store(&port->deaf, !reports);
    for (int i = 0; i < BUI_CHANNELS; i++)
        some |= port->producer[i].refused_count > 0 || kafka_sender_waiting(&port->producer[i]) > 0;
    return some;
}

/* librdkafka's threads wait in whole milliseconds, however short linger.ms is, unless something wakes them. */
void kafka_push(bui_port *p)
{
    kafka_port *port = kafka_port_of(p);
    for (int i = 0; i < BUI_CHANNELS; i++)
        if (port->producer[i].sender)
            rd_kafka_flush(port->producer[i].rk, 0);
}

bool kafka_fatal(bui_port *p, bui_channel channel)
{
    return kafka_sender_fatal(&kafka_port_of(p)->producer[channel]);
}

bus_status kafka_reset(bui_port *p, bui_channel channel, bus_error *err)
{
    kafka_port *port = kafka_port_of(p);
    kafka_sender_retire(&port->producer[channel]);
    kafka_sender_leave(&port->producer[channel]);
    return kafka_sender_join(port, channel, err);
}
