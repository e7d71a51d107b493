/* SPDX-License-Identifier: MIT
 * Replay: reads a range, sends copies. */
#include "ops/replay.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/id.h"
#include "codec/size.h"
#include "kafka/admin.h"
#include "kafka/publisher.h"
#include "ops/commands.h"
#include "ops/takes.h"
#include "shard/shard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHERE "bus-replay"
#define FAILED_MOST 100

typedef struct player {
    const bui_replay *replay;
    bui_replay_result *result;
    bui_kafka_reader *reader;
    bui_kafka_publisher *publisher;
    bui_arena arena;
    char destination[260];
    int32_t partitions;
    int64_t most;          /* largest record of the destination */
    int64_t *seq;          /* by destination partition */
    bui_replay_plan *plan; /* to a service */
    bui_keys *keys;
    bool counting; /* a first walk, before anything is sent */
    int64_t began_us;
    const bui_clock *clock;
} player;

static bool is_machinery(const char *topic)
{
    const char *dot = strchr(topic, '.');
    return dot && (!strcmp(dot, ".dlq") || !strcmp(dot, ".redrive") || !strncmp(dot, ".retry.", 7));
}

static bus_status check(const bui_replay *replay, const char *destination, bus_error *err)
{
    const char *source = replay->source.topic;
    if (!strcmp(source, destination))
        return bui_fail(err, BUS_REFUSED,
                        "%s would be copied onto itself, doubling its events for every reader: replay to the one "
                        "service that needs them (--to-service)",
                        source);
    if (replay->service && is_machinery(source))
        return bui_fail(err, BUS_REFUSED,
                        "%s holds what a service itself sent on: replay the topic the events came from, or use "
                        "`bus dlq redrive` for dead letters",
                        source);
    return BUS_OK;
}

static bus_status find_destination(player *p, const bus_config *config, bus_error *err)
{
    bui_kafka_admin *admin = NULL;
    bui_kafka_topic *topics = NULL;
    const char *name = p->destination;
    size_t count = 0;
    bus_status status = bui_kafka_admin_open(config, WHERE, &admin, err);
    if (status == BUS_OK)
        status = bui_kafka_admin_topics(admin, &name, 1, false, p->replay->timeout_ms, &topics, &count, err);
    if (status == BUS_OK && (count == 0 || topics[0].partitions < 1))
        status = bui_fail(err, BUS_MISSING, "topic %s is not there: %s", name,
                          p->replay->service ? "is the service's name right, and has it run?"
                                             : "create it first (bus topics list shows what is there)");
    if (status == BUS_OK) {
        p->result->partitions = p->partitions = topics[0].partitions;
        if (!(p->seq = calloc((size_t)p->partitions, sizeof *p->seq)))
            status = bui_fail_nomem(err);
    }
    free(topics);
    bui_kafka_admin_close(admin);
    p->most = status == BUS_OK ? bui_topic_takes(config, WHERE, name, p->replay->timeout_ms) : 0;
    return status;
}

static bool wanted(const bui_replay *replay, const bui_record *record)
{
    if (replay->key &&
        (!record->key || record->key_len != replay->key_len || memcmp(record->key, replay->key, replay->key_len) != 0))
        return false;
    return !replay->type || bui_slice_is(bui_record_header(record, "ce_type"), replay->type);
}

static void published(void *opaque, bus_status status, int32_t partition, int64_t offset, const bus_error *err)
{
    bui_replay_result *result = opaque;
    (void)partition;
    (void)offset;
    if (status == BUS_OK) {
        result->acknowledged++;
        return;
    }
    if (!result->failed++ && err)
        result->failure = *err;
}

/* The n-th record of a run at `rate` a second is due at began + n / rate; until then callbacks run. */
static void pace(player *p)
{
    int64_t due = p->replay->rate ? p->began_us + p->result->sent * 1000000 / p->replay->rate : 0;
    int64_t wait_us = due - p->clock->mono_us(p->clock);
    bui_kafka_publisher_poll(p->publisher, 0);
    while (wait_us > 0 && !bui_watch_stop(p->replay->watch)) {
        /* Waiting in poll returns with the first callback, so the remainder is looked at again. */
        bui_kafka_publisher_poll(p->publisher, wait_us < 200000 ? (int)(wait_us / 1000) + 1 : 200);
        wait_us = due - p->clock->mono_us(p->clock);
    }
}

/* In the arena. */
static bus_status make_copy(player *p, const bui_record *record, bui_row *row, bus_error *err)
{
    const bui_replay *replay = p->replay;
    bui_command command = {
        .kind = BUI_COMMAND_REPLAY, .id = replay->run, .round = replay->most_failures, .reason = replay->reason, .by = replay->by
    };
    bus_header *headers;
    size_t count;
    int32_t partition = record->partition % p->partitions;
    if (!replay->service && record->key)
        partition = bui_partition_of(record->key, record->key_len, p->partitions);
    bui_copy_hop hop = { .run = replay->run, .topic = p->destination, .partition = partition, .seq = p->seq[partition] + 1 };
    bui_arena_reset(&p->arena);
    bus_status status = bui_replay_headers(record, replay->service ? &command : NULL, replay->service ? &hop : NULL,
                                           !replay->service, &p->arena, &headers, &count, err);
    if (status == BUS_OK)
        *row = (bui_row){ .topic = p->destination,
                          .partition = partition,
                          .key = record->key,
                          .key_len = record->key_len,
                          .value = record->value,
                          .value_len = record->value_len,
                          .headers = headers,
                          .header_count = count,
                          .timestamp = replay->service         ? 0
                                       : record->timestamp > 0 ? record->timestamp
                                                               : 0 };
    return status;
}

static bool fits(const player *p, const bui_row *row)
{
    return bui_record_size(row->key, row->key_len, row->value, row->value_len, row->headers, row->header_count) <= p->most;
}

static bus_status copy(player *p, const bui_record *record, bus_error *err)
{
    bus_error why = { 0 };
    bui_row row;
    bui_slice elsewhere = bui_body_elsewhere(record);
    if (elsewhere.at) { /* a copy of it would be a tombstone */
        bus_status missing =
            bui_fail(&why, BUS_MISSING, "%s/%d offset %lld does not carry its event, which is %.*s: replay that", record->topic,
                     record->partition, (long long)record->offset, (int)elsewhere.len, elsewhere.at);
        published(p->result, missing, 0, 0, &why);
        return BUS_OK;
    }
    bus_status status = make_copy(p, record, &row, err);
    if (status != BUS_OK)
        return status;
    pace(p);
    while ((status = bui_kafka_publish(p->publisher, &row, published, p->result, &why)) == BUS_FULL) {
        if (bui_watch_stop(p->replay->watch))
            return bui_fail(err, BUS_CANCELLED, "interrupted");
        bui_kafka_publisher_poll(p->publisher, 100);
    }
    if (status == BUS_OK) {
        p->seq[row.partition]++;
        p->result->sent++;
    } else {
        published(p->result, status, 0, 0, &why);
    }
    return BUS_OK;
}

/* A copy bears our signature, whatever the record had: one that nobody vouches for must not borrow it. */
static bool is_forged(player *p, const bui_record *record)
{
    bus_error why = { 0 };
    if (bui_record_authentic(p->keys, record, NULL, &why))
        return false;
    if (!p->result->forged++)
        bui_fail(&p->result->forgery, BUS_DENIED, "%.200s/%d offset %lld: %.200s", record->topic, record->partition,
                 (long long)record->offset, why.text);
    return true;
}

/* One that matches: counted or sent, unless it is forged or the service would refuse it. */
static bus_status take(player *p, const bui_record *record, bus_error *err)
{
    bui_replay_result *result = p->result;
    bool forged = is_forged(p, record), large = false;
    bui_row row;
    if (p->counting && !bui_body_elsewhere(record).at) {
        bus_status status = make_copy(p, record, &row, err);
        if (status != BUS_OK)
            return status;
        large = !fits(p, &row);
    }
    bui_meets meets = p->plan  ? bui_replay_plan_meets(p->plan, record, forged, large, p->counting)
                      : forged ? BUI_MEETS_FORGED
                               : BUI_MEETS_RUN;
    result->matched++;
    result->large += large;
    result->early += meets == BUI_MEETS_EARLY;
    result->refused += meets == BUI_MEETS_REFUSE || meets == BUI_MEETS_NO_ROUTE;
    if (!result->first || record->timestamp < result->first)
        result->first = record->timestamp;
    if (record->timestamp > result->last)
        result->last = record->timestamp;
    return p->counting || !bui_meets_well(meets) ? BUS_OK : copy(p, record, err);
}

static bus_status walk(player *p, bus_error *err)
{
    const bui_watch *watch = p->replay->watch;
    bui_replay_result *result = p->result;
    const bui_record *record;
    bui_read_progress progress;
    bus_status status;
    while ((status = bui_kafka_reader_next(p->reader, 500, &record, err)) == BUS_OK || status == BUS_TIMEOUT) {
        if (bui_watch_stop(watch))
            return bui_fail(err, BUS_CANCELLED, "interrupted");
        if (status == BUS_TIMEOUT)
            continue;
        result->read++;
        if (wanted(p->replay, record)) {
            status = take(p, record, err);
            if (status != BUS_OK)
                return status;
            if (result->failed >= FAILED_MOST) {
                if (err)
                    *err = result->failure;
                return bui_fail_in(err, "%d records could not be stored, the first because", FAILED_MOST);
            }
        }
        bui_kafka_reader_progress(p->reader, &progress);
        bui_watch_step(watch, p->counting ? result->matched : result->sent, progress.passed, progress.total);
    }
    return status == BUS_CLOSED ? BUS_OK : status;
}

static void note_range(player *p)
{
    bui_read_progress progress = { 0 };
    if (!p->reader)
        return;
    bui_kafka_reader_progress(p->reader, &progress);
    p->result->outside = progress.outside;
    p->result->cut = progress.cut;
}

static bus_status open_reader(player *p, const bus_config *config, bus_error *err)
{
    return bui_kafka_reader_open(config, WHERE, &p->replay->source, 1, BUI_READ_BY_TIME, p->replay->timeout_ms, &p->reader, err);
}

/* Reads the range once without sending: what will the copies meet? */
static bus_status look(player *p, const bus_config *config, bus_error *err)
{
    const bui_replay *replay = p->replay;
    bui_replay_result *result = p->result;
    bus_status status = BUS_OK;
    if (replay->service)
        status = bui_replay_plan_open(config, replay->service, replay->source.topic, replay->timeout_ms, &p->plan, err);
    if (status != BUS_OK || (!replay->service && !replay->dry_run))
        return status;
    p->counting = true;
    status = open_reader(p, config, err);
    if (status == BUS_OK)
        status = walk(p, err);
    note_range(p);
    bui_kafka_reader_close(p->reader);
    p->reader = NULL;
    p->counting = false;
    if (status == BUS_OK && p->plan && replay->show)
        replay->show(replay->opaque, p->plan);
    if (status == BUS_OK && replay->service && result->matched &&
        result->early + result->refused + result->forged == result->matched)
        status = result->forged == result->matched
                     ? bui_fail(err, BUS_REFUSED, "none of them is signed as hop.verify demands; nothing was sent. The first: %s",
                                result->forgery.text)
                     : bui_fail(err, BUS_REFUSED, "%s would run none of the copies; nothing was sent", replay->service);
    if (status == BUS_OK && !replay->dry_run)
        *result = (bui_replay_result){ .partitions = result->partitions };
    return status;
}

bus_status bui_replay_run(const bus_config *config, const bui_replay *replay, bui_replay_result *result, bus_error *err)
{
    player p = { .replay = replay, .result = result, .clock = bui_clock_real() };
    bus_error late = { 0 };
    *result = (bui_replay_result){ 0 };
    snprintf(p.destination, sizeof p.destination, "%s%s", replay->service ? replay->service : replay->topic,
             replay->service ? ".redrive" : "");
    bui_arena_init(&p.arena, 0);
    bus_status status = check(replay, p.destination, err);
    if (status == BUS_OK)
        status = bui_keys_of(config, &p.keys, err);
    if (status == BUS_OK)
        status = find_destination(&p, config, err);
    if (status == BUS_OK)
        status = look(&p, config, err);
    if (status == BUS_OK && !replay->dry_run)
        status = open_reader(&p, config, err);
    if (status == BUS_OK && !replay->dry_run)
        status = bui_kafka_publisher_open(config, WHERE, NULL, NULL, &p.publisher, err);
    p.began_us = p.clock->mono_us(p.clock);
    if (status == BUS_OK && !replay->dry_run)
        status = walk(&p, err);
    if (p.publisher) {
        /* Also after an interruption: what was sent must be counted correctly. */
        if (bui_kafka_publisher_flush(p.publisher, replay->timeout_ms, &late) == BUS_TIMEOUT && status == BUS_OK)
            status = bui_fail(err, BUS_TIMEOUT, "the broker has not acknowledged all copies in time; they may still be stored");
        bui_kafka_publisher_close(p.publisher, 0);
    }
    note_range(&p);
    bui_kafka_reader_close(p.reader);
    bui_replay_plan_close(p.plan);
    bui_keys_free(p.keys);
    bui_arena_free(&p.arena);
    free(p.seq);
    return status;
}
