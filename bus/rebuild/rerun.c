/* SPDX-License-Identifier: MIT
 * Rerun: reads ahead by one record. A lane gives that record only if it is its own, so the shard, which asks its lanes in
 * turn, sees the merged order. */
#include "rebuild/rerun.h"
#include "base/error.h"
#include <stdlib.h>
#include <string.h>

typedef struct bui_lane {
    const bui_kafka_lag *mark;
    bool skipped;
} replay_lane;

struct bui_rerun {
    bui_transport transport; /* first */
    bui_port port;
    bui_rerun_options options;
    replay_lane *lanes;
    void *reader[2]; /* below and from the committed offsets; NULL: none there */
    int part;        /* 0, 1; 2: ended */
    bool commit_passed;
    const bui_record *head; /* the next record; NULL: not read yet, or none */
    bool commit_waits;
    int64_t taken[2];
    bus_error failure;
};

static bui_rerun *of_transport(bui_transport *t)
{
    return (bui_rerun *)t;
}

static bui_rerun *of_port(bui_port *port)
{
    return (bui_rerun *)((char *)port - offsetof(bui_rerun, port));
}

/* ---- the log */

static void advance(bui_rerun *replay)
{
    while (!replay->head && replay->part < 2 && replay->failure.status == BUS_OK) {
        if (replay->part == 1 && !replay->commit_passed)
            return;
        void *reader = replay->reader[replay->part];
        bus_status status = reader ? replay->options.logs->next(reader, &replay->head, &replay->failure) : BUS_CLOSED;
        if (status == BUS_CLOSED) {
            replay->failure = (bus_error){ 0 };
            replay->head = NULL;
            replay->part++;
        } else if (status != BUS_OK) {
            replay->head = NULL;
            replay->failure.status = status;
        }
    }
}

int64_t bui_rerun_next_ms(bui_rerun *replay)
{
    advance(replay);
    return replay->head ? replay->head->timestamp : INT64_MAX;
}

/* One block: the headers, then all bytes. */
static bool copy_record(const bui_record *from, const char *topic, bui_record *out)
{
    size_t size = from->header_count * sizeof(bus_header) + from->key_len + from->value_len + 2;
    for (size_t i = 0; i < from->header_count; i++)
        size += strlen(from->headers[i].name) + 1 + from->headers[i].len + 1;
    char *block = malloc(size);
    if (!block)
        return false;
    bus_header *headers = (bus_header *)(void *)block;
    char *at = block + from->header_count * sizeof(bus_header);
    *out = *from;
    out->topic = topic;
    out->handle = block;
    out->headers = headers;
#define PUT(pointer, bytes, len) (pointer = memcpy(at, bytes, len), at += (len) + 1)
    if (from->key)
        PUT(out->key, from->key, from->key_len);
    if (from->value)
        PUT(out->value, from->value, from->value_len);
    for (size_t i = 0; i < from->header_count; i++) {
        const bus_header *header = &from->headers[i];
        headers[i] = *header;
        PUT(headers[i].name, header->name, strlen(header->name) + 1);
        at--; /* the name brought its own end */
        if (header->value)
            PUT(headers[i].value, header->value, header->len);
    }
#undef PUT
    return true;
}

static size_t fetch(bui_port *port, bui_lane *lane, bui_record *out, size_t max, bus_error *err)
{
    bui_rerun *replay = of_port(port);
    const bui_clock *clock = &replay->options.clock->clock;
    size_t n = 0;
    while (n < max) {
        advance(replay);
        const bui_record *head = replay->head;
        /* One whose time has not come yet waits: what falls due before it comes first. */
        if (!head || head->timestamp > clock->wall_ms(clock) || head->partition != lane->mark->partition ||
            strcmp(head->topic, lane->mark->topic) != 0)
            break;
        if (!copy_record(head, lane->mark->topic, &out[n])) {
            replay->failure.status = bui_fail_nomem(&replay->failure);
            break;
        }
        replay->taken[replay->part]++;
        replay->head = NULL;
        n++;
    }
    (void)err; /* a broken log ends the rebuild, not the lane */
    return n;
}

static void release(bui_port *port, bui_record *records, size_t count)
{
    (void)port;
    for (size_t i = 0; i < count; i++)
        free(records[i].handle);
}

static int64_t end(bui_port *port, bui_lane *lane)
{
    (void)port;
    return lane->mark->high;
}

/* At the very end the positions pass what carries no record: transaction markers, compacted tails. */
static int64_t eof(bui_port *port, bui_lane *lane)
{
    return bui_rerun_ended(of_port(port)) ? lane->mark->high : BUI_OFFSET_NONE;
}

/* ---- sends */

/* Never answered: their destinations show later what of the rows was sent. */
static bus_status produce(bui_port *port, bui_channel channel, const bui_row *row, bus_error *err)
{
    (void)port;
    (void)channel;
    (void)row;
    (void)err;
    return BUS_OK;
}

static size_t reports(bui_port *port, bui_report *out, size_t max)
{
    (void)port;
    (void)out;
    (void)max;
    return 0;
}

static bool hear(bui_port *port, bool wanted)
{
    (void)port;
    (void)wanted;
    return false;
}

static bool fatal(bui_port *port, bui_channel channel)
{
    (void)port;
    (void)channel;
    return false;
}

static bus_status reset(bui_port *port, bui_channel channel, bus_error *err)
{
    (void)port;
    (void)channel;
    (void)err;
    return BUS_OK;
}

/* What the store says is not committed to the group: the service does that at its next start. */
static void port_commit(bui_port *port, const bui_offset *list, size_t count)
{
    (void)list;
    (void)count;
    of_port(port)->commit_waits = true;
}

static int port_committed(bui_port *port, bus_error *err)
{
    (void)err;
    int answer = of_port(port)->commit_waits;
    of_port(port)->commit_waits = false;
    return answer;
}

static const struct bui_port_ops port_ops = {
    .fetch = fetch,
    .release = release,
    .end = end,
    .eof = eof,
    .produce = produce,
    .reports = reports,
    .hear = hear,
    .fatal = fatal,
    .reset = reset,
    .commit = port_commit,
    .committed = port_committed,
};

/* ---- the client */

static replay_lane *find(bui_rerun *replay, const char *topic, int32_t partition)
{
    for (size_t i = 0; i < replay->options.count; i++)
        if (replay->options.marks[i].partition == partition && strcmp(replay->options.marks[i].topic, topic) == 0)
            return &replay->lanes[i];
    return NULL;
}

static bus_status assign(bui_transport *t, bui_lane_spec *lanes, size_t count, bus_error *err)
{
    for (size_t i = 0; i < count; i++) {
        lanes[i].lane = find(of_transport(t), lanes[i].topic, lanes[i].partition);
        if (!lanes[i].lane)
            return bui_fail(err, BUS_BUG, "%s/%d is not part of the rebuild", lanes[i].topic, (int)lanes[i].partition);
    }
    return BUS_OK;
}

static bus_status partitions(bui_transport *t, const char *topic, int timeout_ms, int32_t *out, bus_error *err)
{
    bui_transport *metadata = of_transport(t)->options.metadata;
    return metadata->ops->partitions(metadata, topic, timeout_ms, out, err);
}

/* A dead letter that did not fit then keeps its event now as well. */
static bus_status largest(bui_transport *t, const char *const *topics, size_t count, int timeout_ms, int64_t *out, bus_error *err)
{
    bui_transport *metadata = of_transport(t)->options.metadata;
    return metadata->ops->largest ? metadata->ops->largest(metadata, topics, count, timeout_ms, out, err) : BUS_OK;
}

static bus_status watermarks(bui_transport *t, bui_offset *list, size_t count, int timeout_ms, bus_error *err)
{
    (void)timeout_ms;
    (void)err;
    for (size_t i = 0; i < count; i++) {
        const replay_lane *lane = find(of_transport(t), list[i].topic, list[i].partition);
        list[i].high = lane ? lane->mark->high : 0;
        list[i].low = !lane ? 0 : lane->skipped ? lane->mark->high : lane->mark->low;
    }
    return BUS_OK;
}

/* To the store that is made here the group has committed nothing. */
static bus_status committed(bui_transport *t, bui_offset *list, size_t count, int timeout_ms, bus_error *err)
{
    (void)t;
    (void)timeout_ms;
    (void)err;
    for (size_t i = 0; i < count; i++) {
        list[i].offset = BUI_OFFSET_NONE;
        list[i].metadata[0] = '\0';
    }
    return BUS_OK;
}

static bus_status commit(bui_transport *t, const bui_offset *list, size_t count, int timeout_ms, bus_error *err)
{
    (void)t;
    (void)list;
    (void)count;
    (void)timeout_ms;
    (void)err;
    return BUS_OK;
}

static bus_status port_open(bui_transport *t, const char *name, void (*wake)(void *), void *opaque, bui_port **out,
                            bus_error *err)
{
    (void)name;
    (void)wake; /* it is stepped without sleeping */
    (void)opaque;
    (void)err;
    *out = &of_transport(t)->port;
    return BUS_OK;
}

static void port_close(bui_port *port)
{
    (void)port;
}

static const struct bui_transport_ops transport_ops = {
    .assign = assign,
    .partitions = partitions,
    .largest = largest,
    .watermarks = watermarks,
    .committed = committed,
    .commit = commit,
    .port_open = port_open,
    .port_close = port_close,
};

/* ---- open and close */

static bus_status open_readers(bui_rerun *replay, bus_error *err)
{
    const bui_rerun_options *options = &replay->options;
    bui_range *ranges = calloc(options->count + 1, sizeof *ranges);
    if (!ranges)
        return bui_fail_nomem(err);
    bus_status status = BUS_OK;
    for (int part = 0; part < 2 && status == BUS_OK; part++) {
        size_t count = 0;
        for (size_t i = 0; i < options->count; i++) {
            const bui_kafka_lag *mark = &options->marks[i];
            int64_t cut = mark->committed < mark->low ? mark->low : mark->committed > mark->high ? mark->high : mark->committed;
            int64_t from = part ? cut : mark->low, to = part ? mark->high : cut;
            if (!options->skipped[i] && from < to)
                ranges[count++] = (bui_range){ .topic = mark->topic,
                                               .partition = mark->partition,
                                               .from = { BUI_EDGE_OFFSET, from },
                                               .to = { BUI_EDGE_OFFSET, to } };
        }
        if (count > 0)
            status = options->logs->open(options->logs, ranges, count, BUI_READ_BY_TIME, &replay->reader[part], err);
    }
    free(ranges);
    return status;
}

bus_status bui_rerun_open(const bui_rerun_options *options, bui_rerun **out, bus_error *err)
{
    bui_rerun *replay = calloc(1, sizeof *replay);
    if (!replay || !(replay->lanes = calloc(options->count + 1, sizeof *replay->lanes))) {
        free(replay);
        return bui_fail_nomem(err);
    }
    replay->transport.ops = &transport_ops;
    replay->port.ops = &port_ops;
    replay->options = *options;
    for (size_t i = 0; i < options->count; i++)
        replay->lanes[i] = (replay_lane){ &options->marks[i], options->skipped[i] };
    bus_status status = open_readers(replay, err);
    if (status != BUS_OK) {
        bui_rerun_close(replay);
        return status;
    }
    *out = replay;
    return BUS_OK;
}

void bui_rerun_close(bui_rerun *replay)
{
    if (!replay)
        return;
    for (int part = 0; part < 2; part++)
        if (replay->reader[part])
            replay->options.logs->close(replay->reader[part]);
    free(replay->lanes);
    free(replay);
}

bui_transport *bui_rerun_transport(bui_rerun *replay)
{
    return &replay->transport;
}

bool bui_rerun_at_commit(const bui_rerun *replay)
{
    return replay->part == 1 && !replay->commit_passed;
}

void bui_rerun_pass_commit(bui_rerun *replay)
{
    replay->commit_passed = true;
}

bool bui_rerun_ended(const bui_rerun *replay)
{
    return replay->part == 2;
}

bus_status bui_rerun_failure(const bui_rerun *replay, bus_error *err)
{
    if (replay->failure.status != BUS_OK && err)
        *err = replay->failure;
    return replay->failure.status;
}

int64_t bui_rerun_records(const bui_rerun *replay, int64_t *after_commit)
{
    *after_commit = replay->taken[1];
    return replay->taken[0] + replay->taken[1];
}
