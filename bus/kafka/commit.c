/* SPDX-License-Identifier: MIT
 * Commit: offsets with metadata for the group. Always through a reply queue and with a deadline: librdkafka's own
 * synchronous commit waits for an absent coordinator without limit. */
#include "base/error.h"
#include "kafka/internal.h"
#include <stdint.h>
#include <string.h>

/* A shard commits again with its next batch, so an answer that does not come is soon of no interest. */
#define ANSWER_MS 10000

static rd_kafka_topic_partition_list_t *list_of(const bui_offset *list, size_t count)
{
    rd_kafka_topic_partition_list_t *out = rd_kafka_topic_partition_list_new((int)count);
    for (size_t i = 0; i < count; i++) {
        rd_kafka_topic_partition_t *at = rd_kafka_topic_partition_list_add(out, list[i].topic, list[i].partition);
        size_t len = strnlen(list[i].metadata, sizeof list[i].metadata - 1);

        at->offset = list[i].offset;
        if (len) {
            /* The list frees it with the allocator of librdkafka. */
            at->metadata = rd_kafka_mem_malloc(NULL, len);
            if (!at->metadata)
                continue;
            memcpy(at->metadata, list[i].metadata, len);
            at->metadata_size = len;
        }
    }
    return out;
}

/* What an answer says of all its partitions. Its code is NO_ERROR if and only if the last answer took each. Otherwise the list tells which
 * it refused: librdkafka 2.8 leaves in it what an earlier answer said, after which it asked again. */
static bus_status answer_of(kafka_transport *t, rd_kafka_event_t *event, bus_error *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_event_topic_partition_list(event);
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    if (code == RD_KAFKA_RESP_ERR__NO_OFFSET || code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return BUS_OK;
    for (int i = 0; list && i < list->cnt; i++)
        if (list->elems[i].err)
            return bui_kafka_fail(err, list->elems[i].err, "group %s: committing %s/%d", t->group, list->elems[i].topic,
                                  (int)list->elems[i].partition);
    return bui_kafka_fail(err, code, "group %s: committing offsets", t->group);
}

bus_status kafka_commit(bui_transport *base, const bui_offset *list, size_t count, int timeout_ms, bus_error *err)
{
    kafka_transport *t = kafka_of(base);
    rd_kafka_topic_partition_list_t *offsets;
    rd_kafka_event_t *event;
    rd_kafka_queue_t *queue;
    rd_kafka_resp_err_t code;
    bus_status status;
    if (count == 0)
        return BUS_OK;
    if (!t->rk)
        return bui_fail(err, BUS_INVALID, "%s: no group yet: join first", t->where);
    queue = rd_kafka_queue_new(t->rk);
    offsets = list_of(list, count);
    code = rd_kafka_commit_queue(t->rk, offsets, queue, NULL, NULL);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        status = bui_kafka_fail(err, code, "group %s: committing offsets", t->group);
    } else if ((event = rd_kafka_queue_poll(queue, timeout_ms))) {
        status = answer_of(t, event, err);
        rd_kafka_event_destroy(event);
    } else {
        status =
            bui_fail(err, BUS_TIMEOUT, "group %s: its coordinator did not answer the commit within %d ms", t->group, timeout_ms);
    }
    rd_kafka_topic_partition_list_destroy(offsets);
    rd_kafka_queue_destroy(queue);
    return status;
}

static void on_queue(rd_kafka_t *rk, void *opaque)
{
    kafka_port *port = opaque;
    (void)rk;
    port->wake(port->opaque);
}

void kafka_port_commit(bui_port *p, const bui_offset *list, size_t count)
{
    kafka_port *port = kafka_port_of(p);
    kafka_transport *t = port->transport;
    rd_kafka_topic_partition_list_t *offsets;
    rd_kafka_resp_err_t code;
    port->commit_answer = 0;
    port->commit_number++;
    port->commit_deadline = bui_kafka_now() + ANSWER_MS;
    if (!t->rk || count == 0) {
        port->commit_answer = -1;
        bui_fail(&port->commit_error, BUS_CLOSED, "%s: not a member of the group", port->name);
        return;
    }
    if (!port->commit_queue) {
        port->commit_queue = rd_kafka_queue_new(t->rk);
        rd_kafka_queue_cb_event_enable(port->commit_queue, on_queue, port);
    }
    offsets = list_of(list, count);
    code = rd_kafka_commit_queue(t->rk, offsets, port->commit_queue, NULL, (void *)port->commit_number);
    rd_kafka_topic_partition_list_destroy(offsets);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        port->commit_answer = -1;
        bui_kafka_fail(&port->commit_error, code, "group %s: committing offsets", t->group);
    }
}

int kafka_port_committed(bui_port *p, bus_error *err)
{
    kafka_port *port = kafka_port_of(p);
    rd_kafka_event_t *event;
    int answer;
    while (port->commit_queue && rd_kafka_queue_length(port->commit_queue) > 0 &&
           (event = rd_kafka_queue_poll(port->commit_queue, 0))) {
        if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_OFFSET_COMMIT &&
            (uintptr_t)rd_kafka_event_opaque(event) == port->commit_number && port->commit_deadline)
            port->commit_answer = answer_of(port->transport, event, &port->commit_error) == BUS_OK ? 1 : -1;
        rd_kafka_event_destroy(event);
    }
    if (port->commit_deadline && !port->commit_answer && bui_kafka_left(port->commit_deadline) == 0) {
        port->commit_answer = -1;
        bui_fail(&port->commit_error, BUS_TIMEOUT, "group %s: its coordinator did not answer the commit within %d ms",
                 port->transport->group, ANSWER_MS);
    }
    answer = port->commit_answer;
    if (answer) {
        port->commit_deadline = 0;
        port->commit_answer = 0;
        if (answer < 0 && err)
            *err = port->commit_error;
    }
    return answer;
}
