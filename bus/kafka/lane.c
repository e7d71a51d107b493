/* SPDX-License-Identifier: MIT
 * Lane: one assigned partition, read from its own queue without a copy. Each partition's queue is cut off from the
 * consumer's, so that a shard's thread takes only its own records, and tells that thread when it stops being empty. */
#include "base/error.h"
#include "base/array.h"
#include "base/log.h"
#include "kafka/internal.h"
#include <stdlib.h>
#include <string.h>

/* The one copy of a topic's name: records point to it after their lane is gone. */
static const char *intern(kafka_transport *t, const char *topic)
{
    char *copy;
    for (size_t i = 0; i < t->name_count; i++)
        if (strcmp(t->names[i], topic) == 0)
            return t->names[i];
    if (!bui_array_room(&t->names, &t->name_cap, t->name_count + 1, sizeof *t->names, 16))
        return NULL;
    copy = strdup(topic);
    if (copy)
        t->names[t->name_count++] = copy;
    return copy;
}

/* Into the list that the shard's thread takes as a whole. Any thread. */
static void list(bui_lane *lane)
{
    kafka_port *port = lane->port;
    if (atomic_exchange(&lane->listed, true))
        return;
    bui_lane *first = atomic_load(&port->ready);
    do
        lane->waiting = first;
    while (!atomic_compare_exchange_weak(&port->ready, &first, lane));
}

/* On a librdkafka thread, under the queue's lock. */
static void on_queue(rd_kafka_t *rk, void *opaque)
{
    bui_lane *lane = opaque;
    (void)rk;
    list(lane);
    lane->port->wake(lane->port->opaque);
}

/* Puts those back that do not fit. What comes in a lane after it was unlisted lists it again. */
size_t kafka_ready(bui_port *p, size_t *out, size_t max)
{
    kafka_port *port = kafka_port_of(p);
    size_t count = 0;
    if (!atomic_load_explicit(&port->ready, memory_order_relaxed))
        return 0;
    for (bui_lane *lane = atomic_exchange(&port->ready, NULL), *next; lane; lane = next) {
        next = lane->waiting;
        atomic_store(&lane->listed, false);
        if (count < max)
            out[count++] = lane->number;
        else
            list(lane);
    }
    return count;
}

bus_status kafka_lane_open(kafka_transport *t, const bui_lane_spec *spec, bui_lane **out, bus_error *err)
{
    const char *name = intern(t, spec->topic);
    bui_lane *lane = name ? calloc(1, sizeof *lane) : NULL;
    if (!lane)
        return bui_fail_nomem(err);
    lane->port = kafka_port_of(spec->port);
    lane->topic = name;
    lane->partition = spec->partition;
    lane->number = spec->number;
    lane->eof = BUI_OFFSET_NONE;
    lane->next_offset = spec->offset;
    lane->queue = rd_kafka_queue_get_partition(t->rk, name, spec->partition);
    if (!lane->queue) {
        free(lane);
        return bui_fail(err, BUS_INVALID, "%s/%d is not a partition that can be read", name, (int)spec->partition);
    }
    /* Before the assignment: it would forward the queue to the consumer's otherwise. */
    rd_kafka_queue_forward(lane->queue, NULL);
    rd_kafka_queue_cb_event_enable(lane->queue, on_queue, lane);
    *out = lane;
    return BUS_OK;
}

/* The port is idle: nobody takes from its list meanwhile. */
static void unlist_all(kafka_port *port)
{
    for (bui_lane *lane = atomic_exchange(&port->ready, NULL); lane; lane = lane->waiting)
        atomic_store(&lane->listed, false);
}

void kafka_lane_close(bui_lane *lane)
{
    rd_kafka_queue_cb_event_enable(lane->queue, NULL, NULL);
    unlist_all(lane->port);
    rd_kafka_queue_destroy(lane->queue);
    free(lane);
}

/* A message that carries an error is about the lane. What goes away by itself is logged; what does not is kept until a record
 * comes. */
static void on_lane_error(bui_lane *lane, const rd_kafka_message_t *message)
{
    bus_status status = bui_kafka_status(message->err);
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        lane->eof = message->offset;
        return;
    }
    if (status == BUS_MISSING) {
        bui_kafka_fail(&lane->failure, message->err, "%s/%d", lane->topic, (int)lane->partition);
    } else if (status == BUS_DENIED) {
        bui_kafka_fail(&lane->failure, message->err, "reading %s/%d", lane->topic, (int)lane->partition);
    } else if (status == BUS_CORRUPT) {
        bui_fail(&lane->failure, BUS_CORRUPT, "%s/%d: %s", lane->topic, (int)lane->partition, rd_kafka_message_errstr(message));
    } else {
        bui_log(BUS_WARN, lane->port->name, "fetch_error", "%s/%d: %s; trying again", lane->topic, (int)lane->partition,
                rd_kafka_message_errstr(message));
    }
}

static kafka_fetched *take_spare(kafka_port *port)
{
    kafka_fetched *fetched = port->spare;
    if (fetched)
        port->spare = fetched->next;
    else
        fetched = malloc(sizeof *fetched);
    if (fetched)
        fetched->more = NULL;
    return fetched;
}

/* Copies the list to `array` and `bytes`. */
static void copy_headers(const rd_kafka_headers_t *list, size_t count, bus_header *array, char *bytes)
{
    for (size_t i = 0; i < count; i++) {
        bus_header h = { 0 };

        rd_kafka_header_get_all(list, i, &h.name, &h.value, &h.len);
        size_t name = strlen(h.name) + 1;

        array[i].name = memcpy(bytes, h.name, name);
        array[i].value = h.value ? memcpy(bytes + name, h.value, h.len) : NULL;
        array[i].len = h.len;
        bytes += name + h.len;
    }
}

/* The headers as an array. librdkafka parses them into a list of as many allocations at the first look. If the list were kept
 * until the batch has committed, thousands of small blocks would be freed at once, far more than malloc's caches of a thread
 * take: a tenth of the loop's time. So it is copied and freed on the spot, block after block from the cache. false: no memory. */
static bool read_headers(kafka_fetched *fetched, bui_record *out)
{
    rd_kafka_headers_t *list;
    bus_header *array = fetched->headers;
    char *bytes = fetched->bytes;
    size_t count, size = 0, len;
    const char *name;
    const void *value;
    out->headers = array;
    out->header_count = 0;
    if (rd_kafka_message_detach_headers(fetched->message, &list) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return true;
    count = rd_kafka_header_cnt(list);
    for (size_t i = 0; i < count && rd_kafka_header_get_all(list, i, &name, &value, &len) == RD_KAFKA_RESP_ERR_NO_ERROR; i++)
        size += strlen(name) + 1 + len;
    if (count > KAFKA_HEADERS_INLINE || size > KAFKA_HEADER_BYTES) {
        array = fetched->more = malloc(count * sizeof *array + size);
        bytes = (char *)(array + count);
    }
    if (array)
        copy_headers(list, count, array, bytes);
    rd_kafka_headers_destroy(list);
    out->headers = array;
    out->header_count = array ? count : 0;
    return array != NULL;
}

static bool to_record(bui_lane *lane, rd_kafka_message_t *message, bui_record *out)
{
    kafka_fetched *fetched = take_spare(lane->port);
    rd_kafka_timestamp_type_t kind;
    if (!fetched)
        return false;
    fetched->message = message;
    if (!read_headers(fetched, out)) {
        fetched->next = lane->port->spare;
        lane->port->spare = fetched;
        return false;
    }
    out->topic = lane->topic;
    out->partition = message->partition;
    out->offset = message->offset;
    out->timestamp = rd_kafka_message_timestamp(message, &kind);
    out->key = message->key;
    out->key_len = message->key_len;
    out->value = message->payload;
    out->value_len = message->len;
    out->handle = fetched;
    lane->next_offset = message->offset + 1;
    return true;
}

/* librdkafka reports a denial once, and nothing when access is granted again to a partition where nothing is new. To seek to where
 * it stands makes it ask as if for the first time: the denial is reported again before the shard looks again, or it is over. */
static void ask_again(bui_lane *lane)
{
    rd_kafka_topic_partition_list_t *list;
    rd_kafka_error_t *error;
    if (lane->failure.status != BUS_DENIED)
        return;
    list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, lane->topic, lane->partition)->offset = lane->next_offset;
    error = rd_kafka_seek_partitions(lane->port->transport->rk, list, 0);
    if (!error)
        memset(&lane->failure, 0, sizeof lane->failure);
    else
        rd_kafka_error_destroy(error);
    rd_kafka_topic_partition_list_destroy(list);
}

size_t kafka_fetch(bui_port *p, bui_lane *lane, bui_record *out, size_t max, bus_error *err)
{
    kafka_port *port = kafka_port_of(p);
    size_t taken = 0;
    /* An empty wait costs a system call in librdkafka, an empty look does not. */
    while (taken < max && rd_kafka_queue_length(lane->queue) > 0) {
        size_t room = sizeof port->batch / sizeof *port->batch, want = max - taken < room ? max - taken : room;
        ssize_t got = rd_kafka_consume_batch_queue(lane->queue, 0, port->batch, want);

        if (got <= 0)
            break;
        for (ssize_t i = 0; i < got; i++) {
            rd_kafka_message_t *message = port->batch[i];

            if (message->err) {
                on_lane_error(lane, message);
                rd_kafka_message_destroy(message);
            } else if (lane->failure.status != BUS_NOMEM && to_record(lane, message, &out[taken])) {
                memset(&lane->failure, 0, sizeof lane->failure);
                taken++;
            } else {
                /* librdkafka does not give a message twice, so a gap would open here: the lane ends instead. */
                rd_kafka_message_destroy(message);
                bui_fail_nomem(&lane->failure);
            }
        }
    }
    if (taken == 0 && lane->failure.status != BUS_OK && err) {
        *err = lane->failure;
        ask_again(lane);
    }
    /* It stopped at something else than a record, or one has come just now: nobody is told of what is behind it. */
    if (taken == 0 && rd_kafka_queue_length(lane->queue) > 0)
        on_queue(NULL, lane);
    return taken;
}

void kafka_release(bui_port *p, bui_record *records, size_t count)
{
    kafka_port *port = kafka_port_of(p);
    for (size_t i = 0; i < count; i++) {
        kafka_fetched *fetched = records[i].handle;

        if (!fetched)
            continue;
        rd_kafka_message_destroy(fetched->message);
        free(fetched->more);
        fetched->next = port->spare;
        port->spare = fetched;
        records[i].handle = NULL;
    }
}

/* Puts a barrier before what comes: what is in the queue already is not given any more. Waits for nothing. */
void kafka_rewind(bui_port *p, bui_lane *lane, int64_t offset)
{
    kafka_port *port = kafka_port_of(p);
    rd_kafka_topic_t *topic = port->transport->rk ? rd_kafka_topic_new(port->transport->rk, lane->topic, NULL) : NULL;
    rd_kafka_resp_err_t code = topic ? rd_kafka_seek(topic, lane->partition, offset, 0) : RD_KAFKA_RESP_ERR__STATE;
    lane->eof = BUI_OFFSET_NONE;
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) /* the lane is of no use now: a new membership makes another */
        bui_fail(&lane->failure, BUS_NOMEM, "%s/%d cannot be read from offset %lld on: %s", lane->topic, (int)lane->partition,
                 (long long)offset, rd_kafka_err2str(code));
    if (topic)
        rd_kafka_topic_destroy(topic);
}

int64_t kafka_eof(bui_port *p, bui_lane *lane)
{
    (void)p;
    return lane->eof;
}

int64_t kafka_end(bui_port *p, bui_lane *lane)
{
    kafka_port *port = kafka_port_of(p);
    int64_t low = 0, high = BUI_OFFSET_NONE;
    /* What the last fetch response said; no request is made. */
    if (!port->transport->rk ||
        rd_kafka_get_watermark_offsets(port->transport->rk, lane->topic, lane->partition, &low, &high) !=
            RD_KAFKA_RESP_ERR_NO_ERROR ||
        high < 0)
        return lane->eof;
    return high;
}
