/* SPDX-License-Identifier: MIT
 * Dlq: the folds' I/O. Events are not kept in memory: a dead letter knows the offset of its record, which is read again when it
 * is wanted, so that a million dead letters cost their descriptions only. */
#include "ops/dlq_internal.h"
#include "base/clock.h"
#include "base/error.h"
#include "kafka/admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bui_dead_fold *bui_dlq_fold(bui_dlq *dlq)
{
    return dlq->fold;
}

size_t bui_dlq_services(const bui_dlq *dlq)
{
    return dlq->topic_count;
}

void bui_dlq_close(bui_dlq *dlq)
{
    if (!dlq)
        return;
    bui_dead_fold_free(dlq->fold);
    bui_keys_free(dlq->keys);
    bui_dlq_places_free(dlq);
    free(dlq->topics);
    free(dlq->partitions);
    free(dlq->spans);
    free(dlq);
}

static bool is_dlq(const char *topic)
{
    size_t len = strlen(topic);
    return len > strlen(BUI_DLQ_SUFFIX) && !strcmp(topic + len - strlen(BUI_DLQ_SUFFIX), BUI_DLQ_SUFFIX);
}

static bus_status list_topics(const bui_dlq *dlq, const char *const *names, size_t name_count, bui_kafka_topic **out,
                              size_t *count, bus_error *err)
{
    bui_kafka_admin *admin = NULL;
    bus_status status = bui_kafka_admin_open(dlq->config, BUI_DLQ_WHERE, &admin, err);
    if (status == BUS_OK)
        status = bui_kafka_admin_topics(admin, names, name_count, false, dlq->timeout_ms, out, count, err);
    bui_kafka_admin_close(admin);
    return status;
}

static bus_status make_room(bui_dlq *dlq, size_t count, bus_error *err)
{
    dlq->topics = calloc(count + 1, sizeof *dlq->topics);
    dlq->partitions = calloc(count + 1, sizeof *dlq->partitions);
    return dlq->topics && dlq->partitions ? BUS_OK : bui_fail_nomem(err);
}

static bus_status find_topics(bui_dlq *dlq, bus_error *err)
{
    bui_kafka_topic *topics = NULL;
    size_t count = 0;
    bus_status status = list_topics(dlq, NULL, 0, &topics, &count, err);
    if (status == BUS_OK)
        status = make_room(dlq, count, err);
    for (size_t i = 0; status == BUS_OK && i < count; i++)
        if (is_dlq(topics[i].name)) {
            dlq->partitions[dlq->topic_count] = topics[i].partitions;
            snprintf(dlq->topics[dlq->topic_count++], sizeof *dlq->topics, "%s", topics[i].name);
        }
    free(topics);
    return status;
}

static bus_status name_topics(bui_dlq *dlq, const char *const *services, size_t count, bus_error *err)
{
    bus_status status = make_room(dlq, count, err);
    for (size_t i = 0; i < count && status == BUS_OK; i++) {
        int len = snprintf(dlq->topics[i], sizeof *dlq->topics, "%s" BUI_DLQ_SUFFIX, services[i]);
        if (len >= (int)sizeof *dlq->topics)
            status = bui_fail(err, BUS_INVALID, "service %.60s...: names are shorter", services[i]);
    }
    dlq->topic_count = count;
    return status;
}

bus_status bui_dlq_count_partitions(bui_dlq *dlq, bus_error *err)
{
    bui_kafka_topic *topics = NULL;
    size_t count = 0;
    if (!dlq->topic_count || dlq->partitions[0]) /* listed already */
        return BUS_OK;
    const char **names = calloc(dlq->topic_count, sizeof *names);
    if (!names)
        return bui_fail_nomem(err);
    for (size_t i = 0; i < dlq->topic_count; i++)
        names[i] = dlq->topics[i];
    bus_status status = list_topics(dlq, names, dlq->topic_count, &topics, &count, err);
    for (size_t i = 0; status == BUS_OK && i < dlq->topic_count; i++)
        for (size_t k = 0; k < count; k++)
            if (!strcmp(topics[k].name, dlq->topics[i]))
                dlq->partitions[i] = topics[k].partitions;
    free(names);
    free(topics);
    return status;
}

bus_status bui_dlq_take(bui_dlq *dlq, const bui_record *record, bus_error *err)
{
    char service[250];
    snprintf(service, sizeof service, "%.*s", (int)(strlen(record->topic) - strlen(BUI_DLQ_SUFFIX)), record->topic);
    return bui_dead_fold_add(dlq->fold, service, record, err);
}

bus_status bui_dlq_remember(bui_dlq *dlq, const bui_kafka_reader *reader, bus_error *err)
{
    free(dlq->spans);
    dlq->span_count = bui_kafka_reader_span_count(reader);
    dlq->spans = calloc(dlq->span_count + 1, sizeof *dlq->spans);
    if (!dlq->spans)
        return bui_fail_nomem(err);
    for (size_t i = 0; i < dlq->span_count; i++) {
        bui_span at = bui_kafka_reader_span(reader, i);
        snprintf(dlq->spans[i].topic, sizeof dlq->spans[i].topic, "%s", at.topic);
        dlq->spans[i].partition = at.partition;
        dlq->spans[i].next = at.to;
    }
    return BUS_OK;
}

void bui_dlq_step(const bui_kafka_reader *reader, const bui_watch *watch)
{
    bui_read_progress progress;
    bui_kafka_reader_progress(reader, &progress);
    bui_watch_step(watch, progress.records, progress.passed, progress.total);
}

static bus_status read_all(bui_dlq *dlq, const bui_watch *watch, bus_error *err)
{
    bui_kafka_reader *reader = NULL;
    const bui_record *record;
    bui_range *ranges = calloc(dlq->topic_count, sizeof *ranges);
    if (!ranges)
        return bui_fail_nomem(err);
    for (size_t i = 0; i < dlq->topic_count; i++)
        ranges[i] =
            (bui_range){ .topic = dlq->topics[i], .partition = -1, .from = { BUI_EDGE_START, 0 }, .to = { BUI_EDGE_END, 0 } };
    bus_status status =
        bui_kafka_reader_open(dlq->config, BUI_DLQ_WHERE, ranges, dlq->topic_count, BUI_READ_ANY, dlq->timeout_ms, &reader, err);
    while (status == BUS_OK) {
        status = bui_kafka_reader_next(reader, 500, &record, err);
        if (status == BUS_OK) {
            status = bui_dlq_take(dlq, record, err);
            if (status == BUS_OK)
                status = bui_places_add(bui_dlq_places_of(dlq, record->topic), record, err);
        } else if (status == BUS_TIMEOUT) {
            status = BUS_OK;
        }
        bui_dlq_step(reader, watch);
        if (status == BUS_OK && bui_watch_stop(watch))
            status = bui_fail(err, BUS_CANCELLED, "interrupted while reading the dead letters");
    }
    if (status == BUS_CLOSED)
        status = bui_dlq_remember(dlq, reader, err);
    bui_kafka_reader_close(reader);
    free(ranges);
    return status;
}

bus_status bui_dlq_new(const bus_config *config, const char *const *services, size_t count, int timeout_ms, bui_dlq **out,
                       bus_error *err)
{
    bui_dlq *dlq = calloc(1, sizeof *dlq);
    if (!dlq)
        return bui_fail_nomem(err);
    dlq->config = config;
    dlq->timeout_ms = timeout_ms;
    dlq->fold = bui_dead_fold_new();
    bus_status status = dlq->fold ? bui_keys_of(config, &dlq->keys, err) : bui_fail_nomem(err);
    if (status == BUS_OK) {
        bui_dead_fold_trust(dlq->fold, dlq->keys);
        status = count ? name_topics(dlq, services, count, err) : find_topics(dlq, err);
    }
    if (status == BUS_OK)
        *out = dlq;
    else
        bui_dlq_close(dlq);
    return status;
}

bus_status bui_dlq_open(const bus_config *config, const char *const *services, size_t count, int timeout_ms,
                        const bui_watch *watch, bui_dlq **out, bus_error *err)
{
    bui_dlq *dlq;
    bus_status status = bui_dlq_new(config, services, count, timeout_ms, &dlq, err);
    if (status != BUS_OK)
        return status;
    status = bui_dlq_places_new(dlq, err);
    if (status == BUS_OK && dlq->topic_count)
        status = read_all(dlq, watch, err);
    if (status == BUS_OK) {
        bui_dlq_places_save(dlq);
        *out = dlq;
    } else {
        bui_dlq_close(dlq);
    }
    return status;
}

bus_status bui_dlq_follow(bui_dlq *dlq, int64_t wait_ms, bool (*enough)(void *opaque), void *opaque, const bui_watch *watch,
                          bus_error *err)
{
    const bui_clock *clock = bui_clock_real();
    int64_t deadline = clock->mono_us(clock) + wait_ms * 1000;
    bui_kafka_reader *reader = NULL;
    const bui_record *record;
    bui_range *ranges = calloc(dlq->span_count + 1, sizeof *ranges);
    if (!ranges)
        return bui_fail_nomem(err);
    for (size_t i = 0; i < dlq->span_count; i++)
        ranges[i] = (bui_range){ .topic = dlq->spans[i].topic,
                                 .partition = dlq->spans[i].partition,
                                 .from = { BUI_EDGE_OFFSET, dlq->spans[i].next },
                                 .to = { BUI_EDGE_NEVER, 0 } };
    bus_status status = BUS_OK;
    if (dlq->span_count && !enough(opaque))
        status = bui_kafka_reader_open(dlq->config, BUI_DLQ_WHERE, ranges, dlq->span_count, BUI_READ_ANY, dlq->timeout_ms,
                                       &reader, err);
    while (status == BUS_OK && reader && !enough(opaque)) {
        int64_t left_ms = (deadline - clock->mono_us(clock)) / 1000;
        if (left_ms <= 0)
            break;
        if (bui_watch_stop(watch)) {
            status = bui_fail(err, BUS_CANCELLED, "interrupted while waiting for the outcome");
            break;
        }
        status = bui_kafka_reader_next(reader, (int)(left_ms < 500 ? left_ms : 500), &record, err);
        if (status == BUS_OK)
            status = bui_dlq_take(dlq, record, err);
        else if (status == BUS_TIMEOUT)
            status = BUS_OK;
    }
    for (size_t i = 0; reader && i < dlq->span_count; i++) {
        bui_span at = bui_kafka_reader_span(reader, i);
        for (size_t j = 0; j < dlq->span_count; j++)
            if (dlq->spans[j].partition == at.partition && !strcmp(dlq->spans[j].topic, at.topic))
                dlq->spans[j].next = at.next;
    }
    bui_kafka_reader_close(reader);
    free(ranges);
    return status;
}

static int by_place(const void *a, const void *b)
{
    const bui_dead *x = *(bui_dead *const *)a, *y = *(bui_dead *const *)b;
    if (x->shard != y->shard)
        return x->shard < y->shard ? -1 : 1;
    return x->record < y->record ? -1 : x->record > y->record;
}

/* One range per partition, from its first wanted record to its last. Returns how many; `letters` is sorted by place. */
static size_t ranges_of(bui_dead *const *letters, size_t count, const char *topic, bui_range *out)
{
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (letters[i]->record < 0)
            continue;
        if (!used || out[used - 1].partition != letters[i]->shard)
            out[used++] =
                (bui_range){ .topic = topic, .partition = letters[i]->shard, .from = { BUI_EDGE_OFFSET, letters[i]->record } };
        out[used - 1].to = (bui_edge){ BUI_EDGE_OFFSET, letters[i]->record + 1 };
    }
    return used;
}

bus_status bui_dlq_records(bui_dlq *dlq, bui_dead *const *letters, size_t count, bui_dlq_each each, void *opaque,
                           const bui_watch *watch, bus_error *err)
{
    char topic[260];
    bus_status status;
    bui_kafka_reader *reader = NULL;
    const bui_record *record;
    if (!count)
        return BUS_OK;
    snprintf(topic, sizeof topic, "%s" BUI_DLQ_SUFFIX, letters[0]->service);
    bui_dead **sorted = calloc(count, sizeof *sorted);
    bui_range *ranges = calloc(count, sizeof *ranges);
    if (!sorted || !ranges) {
        status = bui_fail_nomem(err);
        goto out;
    }
    memcpy(sorted, letters, count * sizeof *sorted);
    qsort(sorted, count, sizeof(bui_dead *), by_place);
    size_t range_count = ranges_of(sorted, count, topic, ranges);
    status = range_count ? bui_kafka_reader_open(dlq->config, BUI_DLQ_WHERE, ranges, range_count, BUI_READ_ANY, dlq->timeout_ms,
                                                 &reader, err)
                         : BUS_CLOSED;
    while (status == BUS_OK) {
        status = bui_kafka_reader_next(reader, 500, &record, err);
        if (status == BUS_OK) {
            bui_dead wanted = { .shard = record->partition, .record = record->offset }, *key = &wanted;
            bui_dead **found = bsearch(&key, sorted, count, sizeof(bui_dead *), by_place);
            if (found)
                status = each(opaque, *found, record, err);
        } else if (status == BUS_TIMEOUT) {
            status = BUS_OK;
        }
        bui_dlq_step(reader, watch);
        if (status == BUS_OK && bui_watch_stop(watch))
            status = bui_fail(err, BUS_CANCELLED, "interrupted");
    }
    if (status == BUS_CLOSED)
        status = BUS_OK;
out:
    bui_kafka_reader_close(reader);
    free(ranges);
    free(sorted);
    return status;
}
