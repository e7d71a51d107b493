/* SPDX-License-Identifier: MIT
 * Topic reader: one queue per partition, so that records can be taken in order of time, and a partition that is far ahead is
 * held back by librdkafka's own bound. */
#include "kafka/topic_reader.h"

#include "base/array.h"
#include "base/error.h"
#include "base/log.h"
#include "base/waker.h"
#include "kafka/internal.h"
#include <stdlib.h>
#include <string.h>

#define BATCH 64

/* One partition of a range. */
typedef struct part {
    bui_span span;
    bui_edge since, until;              /* as asked for */
    int64_t since_offset, until_offset; /* what the broker found for times */
    bool follow;
    bool done;
    bool caught_up;  /* at the log's end as last heard */
    bool no_look_up; /* the broker cannot look up times */
    bool in_order;   /* times are taken to rise */
    rd_kafka_topic_t *topic;
    rd_kafka_queue_t *queue; /* NULL: not started */
    rd_kafka_message_t *batch[BATCH];
    size_t at, count;
    rd_kafka_message_t *head; /* of the batch, found to be the next; NULL: not looked for yet */
    int64_t head_time;
} part;

struct bui_kafka_reader {
    rd_kafka_t *rk;
    bui_waker *waker;
    bui_read_order order;
    int64_t most; /* offsets before a range's end */
    part *parts;
    size_t part_count, part_cap;
    size_t next_part;            /* of BUI_READ_ANY */
    int64_t deadline;            /* of open */
    rd_kafka_message_t *message; /* the one handed out */
    bui_record record;
    bus_header *headers;
    size_t header_cap;
    bui_read_progress progress;
    bus_error failure;
};

static void on_queue(rd_kafka_t *rk, void *opaque)
{
    (void)rk;
    bui_waker_wake(opaque);
}

/* ---- open: ranges to parts, edges to offsets, then fetch */

static bus_status add_part(bui_kafka_reader *r, const bui_range *range, int32_t partition, bus_error *err)
{
    part *fresh;
    if (!bui_array_room(&r->parts, &r->part_cap, r->part_count + 1, sizeof *r->parts, 8))
        return bui_fail_nomem(err);
    fresh = &r->parts[r->part_count];
    memset(fresh, 0, sizeof *fresh);
    fresh->span.partition = partition;
    fresh->since = range->from;
    fresh->until = range->to;
    fresh->follow = range->to.kind == BUI_EDGE_NEVER;
    fresh->in_order = range->in_order;
    fresh->topic = rd_kafka_topic_new(r->rk, range->topic, NULL);
    if (!fresh->topic)
        return bui_fail(err, BUS_INVALID, "'%s' is not a topic name", range->topic);
    fresh->span.topic = rd_kafka_topic_name(fresh->topic);
    r->part_count++;
    return BUS_OK;
}

static bus_status add_range(bui_kafka_reader *r, const bui_range *range, bus_error *err)
{
    int32_t count;
    bus_status status = bui_kafka_partitions(r->rk, range->topic, bui_kafka_left(r->deadline), &count, err);
    if (status != BUS_OK)
        return status;
    if (range->partition >= count)
        return bui_fail(err, BUS_MISSING, "topic %s has %d partitions, there is no partition %d", range->topic, (int)count,
                        (int)range->partition);
    if (range->partition >= 0)
        return add_part(r, range, range->partition, err);
    for (int32_t i = 0; i < count && status == BUS_OK; i++)
        status = add_part(r, range, i, err);
    return status;
}

typedef enum which { LOW, HIGH, SINCE, UNTIL } which;

/* Where a range begins, the broker knows: no record before the first one that is not older than a time is. Where it ends, the broker
 * cannot know while producers write what times they like: a record in the range may stand behind one that is past it. */
static bool asks(const part *p, which what)
{
    return what <= HIGH ||
           (!p->no_look_up && (what == SINCE ? p->since.kind == BUI_EDGE_TIME : p->until.kind == BUI_EDGE_TIME && p->in_order));
}

/* One request for all parts that want this offset. */
static bus_status look_up(bui_kafka_reader *r, which what, bus_error *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)r->part_count);
    bus_status status;
    int n = 0;
    for (size_t i = 0; i < r->part_count; i++) {
        const part *p = &r->parts[i];
        const bui_edge *edge = what == SINCE ? &p->since : &p->until;

        if (asks(p, what))
            rd_kafka_topic_partition_list_add(list, p->span.topic, p->span.partition)->offset =
                what == LOW    ? RD_KAFKA_OFFSET_BEGINNING
                : what == HIGH ? RD_KAFKA_OFFSET_END
                : edge->at < 0 ? 0
                               : edge->at;
    }
    status = bui_kafka_list_offsets(r->rk, list, bui_kafka_left(r->deadline), err);
    for (size_t i = 0; status == BUS_OK && i < r->part_count; i++) {
        part *p = &r->parts[i];

        if (!asks(p, what))
            continue;
        int64_t found = list->elems[n++].offset;
        if (what == LOW)
            p->span.low = found;
        else if (what == HIGH)
            p->span.to = found; /* the end, until edges are applied */
        else if (what == SINCE)
            p->since_offset = found < 0 ? p->span.to : found;
        else
            p->until_offset = found < 0 ? p->span.to : found;
    }
    rd_kafka_topic_partition_list_destroy(list);
    return status;
}

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

static void apply_edges(bui_kafka_reader *r)
{
    for (size_t i = 0; i < r->part_count; i++) {
        part *p = &r->parts[i];
        int64_t high = p->span.to;
        bool since_time = asks(p, SINCE), until_time = asks(p, UNTIL);

        p->span.from = p->since.kind == BUI_EDGE_END || p->since.kind == BUI_EDGE_NEVER ? high
                       : p->since.kind == BUI_EDGE_OFFSET || since_time
                           ? clamp(since_time ? p->since_offset : p->since.at, p->span.low, high)
                           : p->span.low;
        p->span.to = p->follow ? INT64_MAX
                     : p->until.kind == BUI_EDGE_OFFSET || until_time
                         ? clamp(until_time ? p->until_offset : p->until.at, p->span.from, high)
                         : high;
        p->span.cut = p->span.low > 0 && p->span.from == p->span.low &&
                      ((p->since.kind == BUI_EDGE_OFFSET && p->since.at < p->span.low) || p->since.kind == BUI_EDGE_TIME);
        if (p->span.to < p->span.from)
            p->span.to = p->span.from;
        if (p->span.to - p->span.from > r->most)
            p->span.from = p->span.to - r->most;
        p->span.next = p->span.from;
        p->done = p->span.next >= p->span.to;
        r->progress.total =
            p->follow || r->progress.total == INT64_MAX ? INT64_MAX : r->progress.total + p->span.to - p->span.from;
    }
}

static bus_status start(bui_kafka_reader *r, part *p, bus_error *err)
{
    p->queue = rd_kafka_queue_new(r->rk);
    rd_kafka_queue_cb_event_enable(p->queue, on_queue, r->waker);
    if (rd_kafka_consume_start_queue(p->topic, p->span.partition, p->span.from, p->queue) == 0)
        return BUS_OK;
    rd_kafka_queue_destroy(p->queue);
    p->queue = NULL;
    /* The same partition in two ranges ends here. */
    return bui_kafka_fail(err, rd_kafka_last_error(), "reading %s/%d", p->span.topic, (int)p->span.partition);
}

static bus_status resolve(bui_kafka_reader *r, const bui_range *ranges, size_t count, bus_error *err)
{
    bool mock, timed = false;
    bus_status status = BUS_OK;
    for (size_t i = 0; i < count && status == BUS_OK; i++) {
        status = add_range(r, &ranges[i], err);
        timed = timed || ranges[i].from.kind == BUI_EDGE_TIME || ranges[i].to.kind == BUI_EDGE_TIME;
    }
    if (status != BUS_OK)
        return status;
    /* The embedded broker answers look-ups by time with "none". */
    mock = timed && bui_kafka_is_mock(r->rk, bui_kafka_left(r->deadline));
    for (size_t i = 0; i < r->part_count; i++)
        r->parts[i].no_look_up = mock;
    for (which what = LOW; what <= UNTIL && status == BUS_OK; what++)
        status = look_up(r, what, err);
    if (status == BUS_OK)
        apply_edges(r);
    for (size_t i = 0; i < r->part_count && status == BUS_OK; i++)
        if (!r->parts[i].done)
            status = start(r, &r->parts[i], err);
    return status;
}

bus_status bui_kafka_reader_open_with(rd_kafka_conf_t *conf, const bui_range *ranges, size_t count, bui_read_order order,
                                      int64_t most, int timeout_ms, bui_kafka_reader **out, bus_error *err)
{
    bui_kafka_reader *r = calloc(1, sizeof *r);
    bus_status status;
    if (!r || !(r->waker = bui_waker_new())) {
        rd_kafka_conf_destroy(conf);
        free(r);
        return bui_fail_nomem(err);
    }
    r->order = order;
    r->most = most;
    r->deadline = bui_kafka_now() + timeout_ms;
    if (order == BUI_READ_UNCOMMITTED)
        rd_kafka_conf_set(conf, "isolation.level", "read_uncommitted", NULL, 0);
    status = bui_kafka_new(conf, BUI_KAFKA_READER, &r->rk, err);
    if (status == BUS_OK)
        status = resolve(r, ranges, count, err);
    if (status == BUS_OK)
        *out = r;
    else
        bui_kafka_reader_close(r);
    return status;
}

bus_status bui_kafka_reader_open(const bus_config *config, const char *where, const bui_range *ranges, size_t count,
                                 bui_read_order order, int timeout_ms, bui_kafka_reader **out, bus_error *err)
{
    rd_kafka_conf_t *conf = NULL;
    bus_status status = bui_kafka_conf(config, BUI_KAFKA_READER, where, &conf, err);
    return status != BUS_OK ? status : bui_kafka_reader_open_with(conf, ranges, count, order, INT64_MAX, timeout_ms, out, err);
}

void bui_kafka_reader_close(bui_kafka_reader *r)
{
    if (!r)
        return;
    if (r->message)
        rd_kafka_message_destroy(r->message);
    for (size_t i = 0; i < r->part_count; i++) {
        part *p = &r->parts[i];

        if (p->queue) {
            rd_kafka_queue_cb_event_enable(p->queue, NULL, NULL);
            rd_kafka_consume_stop(p->topic, p->span.partition);
            for (; p->at < p->count; p->at++)
                rd_kafka_message_destroy(p->batch[p->at]);
            rd_kafka_queue_destroy(p->queue);
        }
        rd_kafka_topic_destroy(p->topic);
    }
    if (r->rk)
        rd_kafka_destroy(r->rk);
    bui_waker_free(r->waker);
    free(r->headers);
    free(r->parts);
    free(r);
}

/* ---- next */

static void on_part_error(bui_kafka_reader *r, part *p, const rd_kafka_message_t *message)
{
    bus_status status = bui_kafka_status(message->err);
    bool grave = status == BUS_MISSING || status == BUS_DENIED || status == BUS_CORRUPT;
    if (grave && message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF && r->order == BUI_READ_WHAT_CAN) {
        p->span.status = status;
        p->done = true;
    } else if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        /* Past the markers of transactions and what compaction took. */
        if (message->offset > p->span.next)
            p->span.next = message->offset;
        p->caught_up = true;
    } else if (status == BUS_MISSING || status == BUS_DENIED) {
        bui_kafka_fail(&r->failure, message->err, "reading %s/%d", p->span.topic, (int)p->span.partition);
    } else if (status == BUS_CORRUPT) {
        bui_fail(&r->failure, BUS_CORRUPT, "reading %s/%d at %lld: %s", p->span.topic, (int)p->span.partition,
                 (long long)p->span.next, rd_kafka_message_errstr(message));
    } else {
        bui_log(BUS_WARN, rd_kafka_name(r->rk), "fetch_error", "%s/%d: %s; trying again", p->span.topic, (int)p->span.partition,
                rd_kafka_message_errstr(message));
    }
}

static int64_t time_of(const rd_kafka_message_t *message)
{
    rd_kafka_timestamp_type_t kind;
    return rd_kafka_message_timestamp(message, &kind);
}

typedef enum verdict { PAST, OUTSIDE, SKIP, TAKE } verdict;

/* What the record means for its part. Times that the broker gave rise; those of producers need not. */
static verdict judge(part *p, const rd_kafka_message_t *message)
{
    rd_kafka_timestamp_type_t kind;
    int64_t time = rd_kafka_message_timestamp(message, &kind);
    if (message->offset >= p->span.to)
        return PAST;
    if (message->offset < p->span.next)
        return SKIP;
    if (p->until.kind == BUI_EDGE_TIME && time >= p->until.at)
        return p->in_order || kind == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME ? PAST : OUTSIDE;
    return p->since.kind == BUI_EDGE_TIME && time < p->since.at ? OUTSIDE : TAKE;
}

/* The part's next record, left in its batch; NULL: none here now. */
static rd_kafka_message_t *head_of(bui_kafka_reader *r, part *p)
{
    while (!p->head && !p->done && r->failure.status == BUS_OK) {
        if (p->at == p->count) {
            ssize_t got = 0;

            if (p->span.next >= p->span.to) {
                p->done = true;
                break;
            }
            if (rd_kafka_queue_length(p->queue) > 0)
                got = rd_kafka_consume_batch_queue(p->queue, 0, p->batch, BATCH);
            p->at = 0;
            p->count = got > 0 ? (size_t)got : 0;
            if (p->count == 0)
                break;
        }
        rd_kafka_message_t *message = p->batch[p->at];
        verdict what = message->err ? SKIP : judge(p, message);

        if (what == TAKE) {
            p->caught_up = false;
            p->head = message;
            p->head_time = time_of(message);
            break;
        }
        if (message->err) {
            on_part_error(r, p, message);
        } else if (what == PAST) {
            p->done = true;
            p->span.next = p->span.to;
        } else if (what == OUTSIDE) {
            p->span.next = message->offset + 1;
            r->progress.outside++;
        }
        rd_kafka_message_destroy(message);
        p->at++;
    }
    return p->head;
}

static part *choose_any(bui_kafka_reader *r)
{
    for (size_t i = 0; i < r->part_count; i++) {
        part *p = &r->parts[(r->next_part + i) % r->part_count];

        if (head_of(r, p)) {
            r->next_part = (r->next_part + i) % r->part_count;
            /* A part is left when its batch is used up, so that none starves. */
            if (p->at + 1 == p->count)
                r->next_part++;
            return p;
        }
    }
    return NULL;
}

/* The oldest head, once every part has one, has ended, or (when following) is at its end. */
static part *choose_oldest(bui_kafka_reader *r)
{
    part *best = NULL;
    for (size_t i = 0; i < r->part_count; i++) {
        part *p = &r->parts[i];
        if (!head_of(r, p)) {
            if (!p->done && !(p->follow && p->caught_up))
                return NULL;
            continue;
        }
        if (!best || p->head_time < best->head_time)
            best = p;
    }
    return best;
}

static bool all_done(const bui_kafka_reader *r)
{
    for (size_t i = 0; i < r->part_count; i++)
        if (!r->parts[i].done)
            return false;
    return true;
}

static bool read_headers(bui_kafka_reader *r)
{
    rd_kafka_headers_t *list;
    size_t count, n = 0;
    r->record.headers = r->headers;
    r->record.header_count = 0;
    if (rd_kafka_message_headers(r->message, &list) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return true;
    count = rd_kafka_header_cnt(list);
    if (count > r->header_cap) {
        bus_header *headers = realloc(r->headers, 2 * count * sizeof *headers);

        if (!headers)
            return false;
        r->headers = headers;
        r->header_cap = 2 * count;
    }
    while (n < count && rd_kafka_header_get_all(list, n, &r->headers[n].name, &r->headers[n].value, &r->headers[n].len) ==
                            RD_KAFKA_RESP_ERR_NO_ERROR)
        n++;
    r->record.headers = r->headers;
    r->record.header_count = n;
    return true;
}

static bus_status take(bui_kafka_reader *r, part *p, bus_error *err)
{
    rd_kafka_message_t *message = p->batch[p->at++];
    r->message = message;
    p->head = NULL;
    p->span.next = message->offset + 1;
    r->record.topic = p->span.topic;
    r->record.partition = message->partition;
    r->record.offset = message->offset;
    r->record.timestamp = p->head_time;
    r->record.key = message->key;
    r->record.key_len = message->key_len;
    r->record.value = message->payload;
    r->record.value_len = message->len;
    r->record.handle = NULL;
    if (!read_headers(r))
        return bui_fail_nomem(err);
    r->progress.records++;
    r->progress.bytes += (int64_t)(message->key_len + message->len);
    return BUS_OK;
}

bus_status bui_kafka_reader_next(bui_kafka_reader *r, int timeout_ms, const bui_record **out, bus_error *err)
{
    int64_t deadline = INT64_MAX; /* the clock is not asked while there are records */
    bus_status status;
    if (r->message) {
        rd_kafka_message_destroy(r->message);
        r->message = NULL;
    }
    for (;;) {
        part *p = r->order == BUI_READ_BY_TIME ? choose_oldest(r) : choose_any(r);

        if (r->failure.status != BUS_OK) {
            if (err)
                *err = r->failure;
            return r->failure.status;
        }
        if (p) {
            status = take(r, p, err);
            if (status == BUS_OK)
                *out = &r->record;
            return status;
        }
        if (all_done(r))
            return bui_fail(err, BUS_CLOSED, "every range is read to its end");
        if (deadline == INT64_MAX)
            deadline = bui_kafka_now() + timeout_ms;
        if (bui_kafka_left(deadline) == 0)
            return bui_fail(err, BUS_TIMEOUT, "no record came within %d ms", timeout_ms);
        bui_waker_sleep(r->waker, (int64_t)bui_kafka_left(deadline) * 1000);
    }
}

void bui_kafka_reader_progress(const bui_kafka_reader *r, bui_read_progress *out)
{
    *out = r->progress;
    out->passed = 0;
    out->cut = 0;
    for (size_t i = 0; i < r->part_count; i++) {
        out->passed += r->parts[i].span.next - r->parts[i].span.from;
        out->cut += r->parts[i].span.cut;
    }
}

size_t bui_kafka_reader_span_count(const bui_kafka_reader *r)
{
    return r->part_count;
}

bui_span bui_kafka_reader_span(const bui_kafka_reader *r, size_t at)
{
    return r->parts[at].span;
}
