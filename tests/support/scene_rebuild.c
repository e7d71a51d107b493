/* SPDX-License-Identifier: MIT
 * Rebuild from topics in memory: the logs are those of the cluster, the marks what the group has committed there. */
#include "support/scene_rebuild.h"

#include "base/config.h"
#include "base/error.h"
#include "rebuild/rebuild_internal.h"
#include "store/swap.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- logs */

typedef struct memory_logs { bus_logs logs; bus_memory_cluster *cluster; bool (*gone)(const bus_record *record); } memory_logs;

typedef struct memory_reader {
    bus_memory_cluster *cluster;
    bool (*gone)(const bus_record *record);
    bus_read_order order;
    bus_span *span;
    size_t count;
    bus_record record;
} memory_reader;

static int64_t edge(bus_memory_cluster *cluster, const char *topic, int32_t partition, bus_edge edge, bool to)
{
    int64_t low = bus_memory_start(cluster, topic, partition), high = bus_memory_end(cluster, topic, partition);
    if (edge.kind == BUS_EDGE_OFFSET)
        return edge.at < low ? low : edge.at > high ? high : edge.at;
    return to || edge.kind == BUS_EDGE_END ? high : low;
}

static bus_status open_reader(bus_logs *logs, const bus_range *ranges, size_t count, bus_read_order order, void **out, bus_error *err)
{
    bus_memory_cluster *cluster = ((memory_logs *)logs)->cluster;
    memory_reader *reader = calloc(1, sizeof *reader);
    reader->cluster = cluster;
    reader->gone = ((memory_logs *)logs)->gone;
    reader->order = order;
    for (size_t i = 0; i < count; i++) {
        int32_t partitions = 0;
        const char *name = NULL;
        for (size_t k = 0; (name = bus_memory_topic_at(cluster, k, &partitions)) && strcmp(name, ranges[i].topic) != 0; k++)
            continue;
        if (!name) {
            free(reader->span);
            free(reader);
            return bus_fail(err, BUS_MISSING, "no topic %s", ranges[i].topic);
        }
        for (int32_t q = ranges[i].partition < 0 ? 0 : ranges[i].partition; q < (ranges[i].partition < 0 ? partitions : ranges[i].partition + 1); q++) {
            reader->span = realloc(reader->span, (reader->count + 1) * sizeof *reader->span);
            bus_span *span = &reader->span[reader->count++];
            *span = (bus_span){ .topic = name, .partition = q, .low = bus_memory_start(cluster, name, q),
                                .from = edge(cluster, name, q, ranges[i].from, false), .to = edge(cluster, name, q, ranges[i].to, true) };
            span->next = span->from;
        }
    }
    *out = reader;
    return BUS_OK;
}

static bus_status next(void *opaque, const bus_record **out, bus_error *err)
{
    memory_reader *reader = opaque;
    bus_span *first = NULL;
    bus_record record;
    (void)err;
    for (size_t i = 0; i < reader->count; i++) {
        bus_span *span = &reader->span[i];
        while (span->next < span->to && (!bus_memory_read(reader->cluster, span->topic, span->partition, span->next, &record) ||
                                         (reader->gone && reader->gone(&record))))
            span->next++;
        if (span->next >= span->to || (first && reader->order == BUS_READ_ANY))
            continue;
        if (!first || record.timestamp < reader->record.timestamp) {
            first = span;
            reader->record = record;
        }
    }
    if (!first)
        return BUS_CLOSED;
    first->next++;
    *out = &reader->record;
    return BUS_OK;
}

static size_t span_count(void *reader) { return ((memory_reader *)reader)->count; }
static bus_span span(void *reader, size_t at) { return ((memory_reader *)reader)->span[at]; }

static void close_reader(void *reader)
{
    free(((memory_reader *)reader)->span);
    free(reader);
}

/* ---- one shard */

static void find_marks(rebuild *r, const memory_rebuild *how)
{
    size_t count;
    const bus_input *inputs = bus_router_inputs(r->router, &count);
    r->partitions = calloc(count, sizeof *r->partitions);
    for (size_t i = 0; i < count; i++) {
        const char *name;
        for (size_t k = 0; (name = bus_memory_topic_at(how->cluster, k, &r->partitions[i])) && strcmp(name, inputs[i].topic) != 0; k++)
            continue;
        for (int32_t q = 0; q < r->partitions[i]; q++) {
            bus_offset committed = { .offset = BUS_OFFSET_NONE };
            (void)bus_memory_committed(how->cluster, how->service->name, inputs[i].topic, q, &committed);
            r->marks = realloc(r->marks, (r->mark_count + 1) * sizeof *r->marks);
            bus_kafka_lag *mark = &r->marks[r->mark_count++];
            *mark = (bus_kafka_lag){ .partition = q, .committed = committed.offset, .low = bus_memory_start(how->cluster, inputs[i].topic, q),
                                     .high = bus_memory_end(how->cluster, inputs[i].topic, q) };
            snprintf(mark->topic, sizeof mark->topic, "%s", inputs[i].topic);
            snprintf(mark->metadata, sizeof mark->metadata, "%s", committed.metadata);
        }
    }
}

bus_status memory_rebuild_shard(const memory_rebuild *how, int shard, bus_rebuilt *out, bus_error *err)
{
    memory_logs logs = { .logs = { .open = open_reader, .next = next, .span_count = span_count, .span = span, .close = close_reader },
                         .cluster = how->cluster, .gone = how->gone };
    bus_rebuild_report report = { .shard = calloc((size_t)how->shards, sizeof *report.shard) };
    rebuild r = { .service = how->service, .config = bus_config_new(), .report = &report, .at_ms = how->now_ms, .timeout_ms = 1000,
                  .catalog = how->catalog, .shards = how->shards, .logs = &logs.logs, .keys = (bus_keys *)(uintptr_t)how->keys };
    char path[512];
    snprintf(r.home, sizeof r.home, "%s/%s", how->data, how->service->name);
    snprintf(r.build, sizeof r.build, "%s/rebuilt", how->data);
    (void)mkdir(r.build, 0700);
    snprintf(path, sizeof path, "%s/sent.db", r.build);
    bus_status status = bus_router_new(how->service, how->retry_tiers, how->attempts, &r.router, err);
    if (status == BUS_OK) {
        find_marks(&r, how);
        r.metadata = bus_memory_client(how->cluster);
        status = bus_sent_open(r.logs, how->service->name, r.keys, path, &r.sent, err);
    }
    if (status == BUS_OK)
        status = bus_rebuild_shard(&r, shard, err);
    *out = report.shard[shard];
    bus_sent_close(r.sent);
    if (r.metadata)
        r.metadata->ops->free(r.metadata);
    bus_router_free(r.router);
    bus_config_free((bus_config *)(uintptr_t)r.config);
    free(report.shard);
    free(r.partitions);
    free(r.marks);
    return status;
}

/* ---- of a scene */

bus_rebuilt scene_rebuild_without(scene *s, bool (*gone)(const bus_record *record))
{
    memory_rebuild how = { .service = &s->service, .cluster = s->cluster, .catalog = s->catalog, .data = s->data, .shards = 1,
                           .retry_tiers = s->options.retry_tiers, .attempts = s->options.attempts,
                           .gone = gone, .keys = s->options.limits.keys, .now_ms = s->clock.clock.wall_ms(&s->clock.clock) };
    bus_rebuilt out;
    bus_error err = { 0 };
    scene_stop(s);
    if (memory_rebuild_shard(&how, 0, &out, &err) != BUS_OK)
        fail_msg("%s", err.text);
    return out;
}

bus_rebuilt scene_rebuild(scene *s)
{
    return scene_rebuild_without(s, NULL);
}

const char *scene_differences(scene *s, const bus_rebuilt *rebuilt)
{
    bus_comparison found = { 0 };
    bus_arena arena;
    bus_error err = { 0 };
    bus_arena_init(&arena, 0);
    if (bus_compare(rebuilt->place, rebuilt->store, &arena, &found, &err) != BUS_OK)
        fail_msg("%s", err.text);
    s->text[0] = 0;
    for (size_t i = 0; i < found.count; i++) {
        const bus_table_comparison *table = &found.table[i];
        size_t len = strlen(s->text);
        if (table->verdict != BUS_TABLE_SAME)
            snprintf(s->text + len, sizeof s->text - len, "%s: %s | %s; ", table->name, table->only_old_count ? table->only_old[0] : "",
                     table->only_new_count ? table->only_new[0] : "");
    }
    bus_arena_free(&arena);
    return s->text;
}

void scene_take_rebuilt(scene *s, const bus_rebuilt *rebuilt)
{
    char kept[512];
    bus_error err = { 0 };
    if (bus_store_swap(rebuilt->store, rebuilt->place, 1, kept, &err) != BUS_OK)
        fail_msg("%s", err.text);
    (void)s;
    if (*kept)
        unlink(kept);
}
