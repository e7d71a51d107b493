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

typedef struct memory_logs {
    bui_logs logs;
    bui_memory_cluster *cluster;
    bool (*gone)(const bui_record *record);
} memory_logs;

typedef struct memory_reader {
    bui_memory_cluster *cluster;
    bool (*gone)(const bui_record *record);
    bui_read_order order;
    bui_span *span;
    size_t count;
    bui_record record;
} memory_reader;

static int64_t edge(bui_memory_cluster *cluster, const char *topic, int32_t partition, bui_edge edge, bool to)
{
    int64_t low = bui_memory_start(cluster, topic, partition), high = bui_memory_end(cluster, topic, partition);
    if (edge.kind == BUI_EDGE_OFFSET)
        return edge.at < low ? low : edge.at > high ? high : edge.at;
    return to || edge.kind == BUI_EDGE_END ? high : low;
}

static bus_status open_reader(bui_logs *logs, const bui_range *ranges, size_t count, bui_read_order order, void **out,
                              bus_error *err)
{
    bui_memory_cluster *cluster = ((memory_logs *)logs)->cluster;
    memory_reader *reader = calloc(1, sizeof *reader);
    reader->cluster = cluster;
    reader->gone = ((memory_logs *)logs)->gone;
    reader->order = order;
    for (size_t i = 0; i < count; i++) {
        int32_t partitions = 0;
        const char *name = NULL;
        for (size_t k = 0; (name = bui_memory_topic_at(cluster, k, &partitions)) && strcmp(name, ranges[i].topic) != 0; k++)
            continue;
        if (!name) {
            free(reader->span);
            free(reader);
            return bui_fail(err, BUS_MISSING, "no topic %s", ranges[i].topic);
        }
        for (int32_t q = ranges[i].partition < 0 ? 0 : ranges[i].partition;
             q < (ranges[i].partition < 0 ? partitions : ranges[i].partition + 1); q++) {
            reader->span = realloc(reader->span, (reader->count + 1) * sizeof *reader->span);
            bui_span *span = &reader->span[reader->count++];
            *span = (bui_span){ .topic = name,
                                .partition = q,
                                .low = bui_memory_start(cluster, name, q),
                                .from = edge(cluster, name, q, ranges[i].from, false),
                                .to = edge(cluster, name, q, ranges[i].to, true) };
            span->next = span->from;
        }
    }
    *out = reader;
    return BUS_OK;
}

static bus_status next(void *opaque, const bui_record **out, bus_error *err)
{
    memory_reader *reader = opaque;
    bui_span *first = NULL;
    bui_record record;
    (void)err;
    for (size_t i = 0; i < reader->count; i++) {
        bui_span *span = &reader->span[i];
        while (span->next < span->to && (!bui_memory_read(reader->cluster, span->topic, span->partition, span->next, &record) ||
                                         (reader->gone && reader->gone(&record))))
            span->next++;
        if (span->next >= span->to || (first && reader->order == BUI_READ_ANY))
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

static size_t span_count(void *reader)
{
    return ((memory_reader *)reader)->count;
}
static bui_span span(void *reader, size_t at)
{
    return ((memory_reader *)reader)->span[at];
}

static void close_reader(void *reader)
{
    free(((memory_reader *)reader)->span);
    free(reader);
}

/* ---- one shard */

static void find_marks(rebuild *r, const memory_rebuild *how)
{
    size_t count;
    const bui_input *inputs = bui_router_inputs(r->router, &count);
    r->partitions = calloc(count, sizeof *r->partitions);
    for (size_t i = 0; i < count; i++) {
        const char *name;
        for (size_t k = 0; (name = bui_memory_topic_at(how->cluster, k, &r->partitions[i])) && strcmp(name, inputs[i].topic) != 0;
             k++)
            continue;
        for (int32_t q = 0; q < r->partitions[i]; q++) {
            bui_offset committed = { .offset = BUI_OFFSET_NONE };
            (void)bui_memory_committed(how->cluster, how->service->name, inputs[i].topic, q, &committed);
            r->marks = realloc(r->marks, (r->mark_count + 1) * sizeof *r->marks);
            bui_kafka_lag *mark = &r->marks[r->mark_count++];
            *mark = (bui_kafka_lag){ .partition = q,
                                     .committed = committed.offset,
                                     .low = bui_memory_start(how->cluster, inputs[i].topic, q),
                                     .high = bui_memory_end(how->cluster, inputs[i].topic, q) };
            snprintf(mark->topic, sizeof mark->topic, "%s", inputs[i].topic);
            snprintf(mark->metadata, sizeof mark->metadata, "%s", committed.metadata);
        }
    }
}

bus_status memory_rebuild_shard(const memory_rebuild *how, int shard, bui_rebuilt *out, bus_error *err)
{
    memory_logs logs = {
        .logs = { .open = open_reader, .next = next, .span_count = span_count, .span = span, .close = close_reader },
        .cluster = how->cluster,
        .gone = how->gone
    };
    bui_rebuild_report report = { .shard = calloc((size_t)how->shards, sizeof *report.shard) };
    rebuild r = { .service = how->service,
                  .config = bus_config_new(),
                  .report = &report,
                  .at_ms = how->now_ms,
                  .timeout_ms = 1000,
                  .catalog = how->catalog,
                  .shards = how->shards,
                  .logs = &logs.logs,
                  .keys = (bui_keys *)(uintptr_t)how->keys };
    char path[512];
    snprintf(r.home, sizeof r.home, "%s/%s", how->data, how->service->name);
    snprintf(r.build, sizeof r.build, "%s/rebuilt", how->data);
    (void)mkdir(r.build, 0700);
    snprintf(path, sizeof path, "%s/sent.db", r.build);
    bus_status status = bui_router_new(how->service, how->retry_tiers, how->attempts, &r.router, err);
    if (status == BUS_OK) {
        find_marks(&r, how);
        r.metadata = bui_memory_client(how->cluster);
        status = bui_sent_open(r.logs, how->service->name, r.keys, path, &r.sent, err);
    }
    if (status == BUS_OK)
        status = bui_rebuild_shard(&r, shard, err);
    *out = report.shard[shard];
    bui_sent_close(r.sent);
    if (r.metadata)
        r.metadata->ops->free(r.metadata);
    bui_router_free(r.router);
    bus_config_free((bus_config *)(uintptr_t)r.config);
    free(report.shard);
    free(r.partitions);
    free(r.marks);
    return status;
}

/* ---- of a scene */

bui_rebuilt scene_rebuild_without(scene *s, bool (*gone)(const bui_record *record))
{
    memory_rebuild how = { .service = &s->service,
                           .cluster = s->cluster,
                           .catalog = s->catalog,
                           .data = s->data,
                           .shards = 1,
                           .retry_tiers = s->options.retry_tiers,
                           .attempts = s->options.attempts,
                           .gone = gone,
                           .keys = s->options.limits.keys,
                           .now_ms = s->clock.clock.wall_ms(&s->clock.clock) };
    bui_rebuilt out;
    bus_error err = { 0 };
    scene_stop(s);
    if (memory_rebuild_shard(&how, 0, &out, &err) != BUS_OK)
        fail_msg("%s", err.text);
    return out;
}

bui_rebuilt scene_rebuild(scene *s)
{
    return scene_rebuild_without(s, NULL);
}

const char *scene_differences(scene *s, const bui_rebuilt *rebuilt)
{
    bui_comparison found = { 0 };
    bui_arena arena;
    bus_error err = { 0 };
    bui_arena_init(&arena, 0);
    if (bui_compare(rebuilt->place, rebuilt->store, &arena, &found, &err) != BUS_OK)
        fail_msg("%s", err.text);
    s->text[0] = 0;
    for (size_t i = 0; i < found.count; i++) {
        const bui_table_comparison *table = &found.table[i];
        size_t len = strlen(s->text);
        if (table->verdict != BUI_TABLE_SAME)
            snprintf(s->text + len, sizeof s->text - len, "%s: %s | %s; ", table->name,
                     table->only_old_count ? table->only_old[0] : "", table->only_new_count ? table->only_new[0] : "");
    }
    bui_arena_free(&arena);
    return s->text;
}

void scene_take_rebuilt(scene *s, const bui_rebuilt *rebuilt)
{
    char kept[512];
    bus_error err = { 0 };
    if (bui_store_swap(rebuilt->store, rebuilt->place, 1, kept, &err) != BUS_OK)
        fail_msg("%s", err.text);
    (void)s;
    if (*kept)
        unlink(kept);
}
