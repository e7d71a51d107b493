/* SPDX-License-Identifier: MIT
 * Producer: sends a port's rows and tells how each ended. Delivery reports are taken as events, so that they need no
 * callback and no queue beside librdkafka's own. */
#include "base/error.h"
#include "base/array.h"
#include "base/log.h"
#include "kafka/internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* On a librdkafka thread, under the queue's lock. */
static void on_queue(rd_kafka_t *rk, void *opaque)
{
    kafka_port *port = opaque;

    (void)rk;
    if (!atomic_load(&port->deaf))
        port->wake(port->opaque);
}

/* A broker compares a topic's limit with whole batches: of rows that fit one by one none may be larger. */
static void bound_batches(rd_kafka_conf_t *conf, int64_t least)
{
    char text[32] = "";
    size_t len = sizeof text;

    if (!least || (rd_kafka_conf_get(conf, "batch.size", text, &len) == RD_KAFKA_CONF_OK && least >= strtoll(text, NULL, 10)))
        return;
    snprintf(text, sizeof text, "%lld", (long long)least);
    (void)bus_kafka_set(conf, "batch.size", text, NULL);
}

static bus_status producer_begin(kafka_port *port, kafka_producer *producer, bus_error *err)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_dup(port->transport->outbox_conf);
    bus_status status;

    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR);
    bound_batches(conf, atomic_load(&port->transport->least_bytes));
    status = bus_kafka_new(conf, BUS_KAFKA_OUTBOX, &producer->rk, err);
    if (status != BUS_OK)
        return status;
    producer->queue = rd_kafka_queue_get_main(producer->rk);
    rd_kafka_queue_cb_event_enable(producer->queue, on_queue, port);
    producer->fatal = false;
    return BUS_OK;
}

void kafka_producer_end(kafka_producer *producer)
{
    if (producer->rk) {
        rd_kafka_queue_cb_event_enable(producer->queue, NULL, NULL);
        if (producer->reports)
            rd_kafka_event_destroy(producer->reports);
        /* Otherwise destroy would wait for requests that are out. */
        rd_kafka_purge(producer->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
        bus_kafka_topics_free(&producer->topics);
        rd_kafka_queue_destroy(producer->queue);
        rd_kafka_destroy(producer->rk);
    }
    free(producer->refused);
    memset(producer, 0, sizeof *producer);
}

static bus_report_kind kind_of(rd_kafka_resp_err_t code)
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
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_COMPRESSION_TYPE:
        return BUS_REPORT_TOPIC;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE:
    case RD_KAFKA_RESP_ERR_INVALID_MSG:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
        return BUS_REPORT_RECORD;
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
        return BUS_REPORT_UNSURE;
    default:
        return BUS_REPORT_FAILED;
    }
}

static const char *advice(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION
               ? ": the topic has fewer partitions than it had: add them again with Kafka's kafka-topics.sh --alter --partitions N" : "";
}

/* Keeps the report of a row that never left. false: no memory. */
static bool refuse(kafka_producer *producer, bus_channel channel, int64_t id, rd_kafka_resp_err_t code)
{
    bus_report *report;

    if (!bus_array_room(&producer->refused, &producer->refused_cap, producer->refused_count + 1, sizeof *producer->refused, 8))
        return false;
    report = &producer->refused[producer->refused_count++];
    *report = (bus_report){ .channel = channel, .id = id, .kind = kind_of(code), .offset = BUS_OFFSET_NONE };
    snprintf(report->text, sizeof report->text, "%s%s", rd_kafka_err2str(code), advice(code));
    return true;
}

bus_status kafka_produce(bus_port *p, bus_channel channel, const bus_row *row, bus_error *err)
{
    kafka_port *port = kafka_port_of(p);
    kafka_producer *producer = &port->producer[channel];
    rd_kafka_topic_t *topic;
    rd_kafka_resp_err_t code;
    bus_status status;

    if (!producer->rk && (status = producer_begin(port, producer, err)) != BUS_OK)
        return status;
    if (producer->fatal)
        return bus_fail(err, BUS_CLOSED, "%s: the producer has failed; reset it", port->name);
    topic = bus_kafka_topic(&producer->topics, producer->rk, row->topic, &code);
    if (topic)
        code = bus_kafka_send(producer->rk, topic, row, (void *)(intptr_t)row->id);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return BUS_OK;
    if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL)
        return bus_fail(err, BUS_FULL, "%s: the producer's queue is full; go on after reports", port->name);
    if (code == RD_KAFKA_RESP_ERR__FATAL || code == RD_KAFKA_RESP_ERR__STATE) {
        producer->fatal = true;
        return bus_kafka_fail(err, RD_KAFKA_RESP_ERR__FATAL, "%s: the producer has failed; reset it", port->name);
    }
    if (!topic)
        code = RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION;
    if (!refuse(producer, channel, row->id, code))
        return bus_fail_nomem(err);
    port->wake(port->opaque);
    return BUS_OK;
}

static void report_of(const rd_kafka_message_t *message, bus_channel channel, bus_report *out)
{
    out->channel = channel;
    out->id = (int64_t)(intptr_t)message->_private;
    out->offset = message->offset;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        /* A batch answered "duplicate sequence number" counts as delivered to librdkafka, but has no offset: it can be
         * another one's. */
        out->kind = message->offset >= 0 ? BUS_REPORT_ACKED : BUS_REPORT_UNSURE;
        out->text[0] = '\0';
        if (out->kind == BUS_REPORT_UNSURE)
            snprintf(out->text, sizeof out->text, "acknowledged without an offset");
        return;
    }
    out->kind = kind_of(message->err);
    out->offset = BUS_OFFSET_NONE;
    /* Not rd_kafka_message_errstr: of a row that was not answered by a broker it returns the row's value. */
    snprintf(out->text, sizeof out->text, "%s%s", rd_kafka_err2str(message->err), advice(message->err));
}

static void on_error(kafka_port *port, kafka_producer *producer, rd_kafka_event_t *event)
{
    char text[300];

    if (rd_kafka_event_error_is_fatal(event)) {
        producer->fatal = true;
        rd_kafka_fatal_error(producer->rk, text, sizeof text);
        bus_log(BUS_WARN, port->name, "producer_fatal", "%s; the producer will be replaced", text);
        return;
    }
    bus_kafka_warn(port->name, "producer_error", event);
}

/* The next report of the event in hand or of the queue; NULL: none. */
static const rd_kafka_message_t *next_report(kafka_port *port, kafka_producer *producer)
{
    const rd_kafka_message_t *message;
    rd_kafka_event_t *event;

    for (;;) {
        if (producer->reports) {
            message = rd_kafka_event_message_next(producer->reports);
            if (message)
                return message;
            rd_kafka_event_destroy(producer->reports);
            producer->reports = NULL;
        }
        if (rd_kafka_queue_length(producer->queue) == 0)
            return NULL;
        event = rd_kafka_queue_poll(producer->queue, 0);
        if (!event)
            return NULL;
        if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_DR) {
            producer->reports = event;
            continue;
        }
        if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR)
            on_error(port, producer, event);
        rd_kafka_event_destroy(event);
    }
}

size_t kafka_reports(bus_port *p, bus_report *out, size_t max)
{
    kafka_port *port = kafka_port_of(p);
    const rd_kafka_message_t *message;
    size_t n = 0;

    for (int i = 0; i < BUS_CHANNELS && n < max; i++) {
        kafka_producer *producer = &port->producer[i];

        if (!producer->rk)
            continue;
        while (n < max && producer->refused_count > 0)
            out[n++] = producer->refused[--producer->refused_count];
        while (n < max && (message = next_report(port, producer)))
            report_of(message, (bus_channel)i, &out[n++]);
    }
    return n;
}

/* The queue tells of its first event alone, so whoever begins to listen looks whether there is one. */
bool kafka_hear(bus_port *p, bool reports)
{
    kafka_port *port = kafka_port_of(p);
    bool some = false;

    atomic_store(&port->deaf, !reports);
    for (int i = 0; i < BUS_CHANNELS; i++)
        some |= port->producer[i].refused_count > 0 || (port->producer[i].rk && rd_kafka_queue_length(port->producer[i].queue) > 0);
    return some;
}

/* librdkafka's threads wait in whole milliseconds, however short linger.ms is, unless something wakes them. */
void kafka_push(bus_port *p)
{
    kafka_port *port = kafka_port_of(p);

    for (int i = 0; i < BUS_CHANNELS; i++)
        if (port->producer[i].rk)
            rd_kafka_flush(port->producer[i].rk, 0);
}

bool kafka_fatal(bus_port *p, bus_channel channel)
{
    kafka_producer *producer = &kafka_port_of(p)->producer[channel];

    return producer->rk && (producer->fatal || rd_kafka_fatal_error(producer->rk, NULL, 0) != RD_KAFKA_RESP_ERR_NO_ERROR);
}

bus_status kafka_reset(bus_port *p, bus_channel channel, bus_error *err)
{
    kafka_port *port = kafka_port_of(p);

    kafka_producer_end(&port->producer[channel]);
    return producer_begin(port, &port->producer[channel], err);
}
