/* SPDX-License-Identifier: MIT
 * The memory transport's cluster: topics as arrays of records, and what groups have committed. */
#include "testing/memory_cluster.h"

#include "base/array.h"
#include "base/error.h"
#include "codec/size.h"
#include <stdlib.h>
#include <string.h>

/* One block, so that a record handed to a reader can be a copy of its own: a reader that keeps a pointer past `release`
 * then touches freed memory, and a sanitizer says so. */
memory_record *memory_record_copy(const bui_record *from)
{
    size_t size = sizeof(memory_record) + from->header_count * sizeof(bus_header) + from->key_len + from->value_len + 1;
    for (size_t i = 0; i < from->header_count; i++)
        size += strlen(from->headers[i].name) + 1 + from->headers[i].len;
    memory_record *copy = malloc(size);
    if (!copy)
        return NULL;
    *copy = (memory_record){ .record = *from };
    bus_header *headers = (bus_header *)(copy + 1);
    char *at = (char *)(headers + from->header_count);
    for (size_t i = 0; i < from->header_count; i++) {
        const bus_header *header = &from->headers[i];
        size_t name = strlen(header->name) + 1;
        headers[i] = (bus_header){ memcpy(at, header->name, name), header->value ? at + name : NULL, header->len };
        at += name;
        if (header->len)
            memcpy(at, header->value, header->len);
        at += header->len;
    }
    copy->record.headers = headers;
    /* an empty key is not no key: it points at the block's spare byte at worst */
    copy->record.key = from->key ? at : NULL;
    if (from->key_len)
        memcpy(at, from->key, from->key_len);
    at += from->key_len;
    copy->record.value = from->value ? at : NULL;
    if (from->value_len)
        memcpy(at, from->value, from->value_len);
    copy->record.handle = copy;
    return copy;
}

bui_memory_cluster *bui_memory_cluster_new(const bui_clock *clock)
{
    bui_memory_cluster *cluster = calloc(1, sizeof *cluster);
    if (cluster) {
        cluster->clock = clock;
        cluster->queue_most = 100000;
    }
    return cluster;
}

static void log_cut(memory_log *log, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        free(log->at[i]);
    memmove(log->at + from, log->at + to, (log->count - to) * sizeof(*log->at));
    log->count -= to - from;
}

static void topic_empty(memory_topic *topic)
{
    for (int32_t p = 0; p < topic->partitions; p++) {
        if (topic->log[p].at)
            log_cut(&topic->log[p], 0, topic->log[p].count);
        free(topic->log[p].at);
        topic->log[p] = (memory_log){ 0 };
    }
}

void bui_memory_cluster_free(bui_memory_cluster *cluster)
{
    if (!cluster)
        return;
    while (cluster->zombies)
        bui_memory_zombie_next(cluster, false);
    for (memory_topic *topic = cluster->topics, *next; topic; topic = next) {
        next = topic->next;
        topic_empty(topic);
        free(topic->name);
        free(topic);
    }
    for (memory_commit *commit = cluster->commits, *next; commit; commit = next) {
        next = commit->next;
        free(commit->group);
        free(commit);
    }
    free(cluster);
}

/* ---- lanes hear of it */

static bool reads(bui_lane *lane, const memory_topic *topic)
{
    return lane->topic == topic || (lane->topic->gone && strcmp(lane->name, topic->name) == 0);
}

/* They have a sign that the log may be another one now. */
static void lanes_doubt(bui_memory_cluster *cluster, const memory_topic *topic, int32_t partition)
{
    for (memory_client *client = cluster->no_signs ? NULL : cluster->clients; client; client = client->next)
        for (bui_lane *lane = client->lanes; lane; lane = lane->next)
            lane->port->doubts += reads(lane, topic) && lane->partition == partition;
}

/* Something of it has changed: wakes the ports whose lanes stand at or past `from`. */
static void lanes_hear(bui_memory_cluster *cluster, const memory_topic *topic, int32_t partition, int64_t from)
{
    for (memory_client *client = cluster->clients; client; client = client->next)
        for (bui_lane *lane = away(client) ? NULL : client->lanes; lane; lane = lane->next)
            if (reads(lane, topic) && lane->partition == partition && lane->at >= from)
                lane_wake(lane);
}

/* ---- topics */

memory_topic *memory_topic_find(const bui_memory_cluster *cluster, const char *name)
{
    for (memory_topic *topic = cluster->topics; topic; topic = topic->next)
        if (!topic->gone && strcmp(topic->name, name) == 0)
            return topic;
    return NULL;
}

memory_log *memory_log_of(memory_topic *topic, int32_t partition)
{
    return topic && !topic->gone && partition >= 0 && partition < topic->partitions ? &topic->log[partition] : NULL;
}

bus_status bui_memory_topic(bui_memory_cluster *cluster, const char *name, int32_t partitions)
{
    if (partitions < 1)
        return BUS_INVALID;
    if (memory_topic_find(cluster, name))
        return BUS_EXISTS;
    memory_topic *topic = calloc(1, sizeof *topic + (size_t)partitions * sizeof(memory_log));
    if (!topic || !(topic->name = strdup(name))) {
        free(topic);
        return BUS_NOMEM;
    }
    topic->partitions = partitions;
    topic->most = BUI_TOPIC_BYTES;
    memory_topic **at = &cluster->topics;
    while (*at)
        at = &(*at)->next;
    *at = topic;
    return BUS_OK;
}

void bui_memory_topic_limit(bui_memory_cluster *cluster, const char *name, int64_t most)
{
    memory_topic *topic = memory_topic_find(cluster, name);
    if (topic)
        topic->most = most;
}

void bui_memory_topic_delete(bui_memory_cluster *cluster, const char *name)
{
    memory_topic *topic = memory_topic_find(cluster, name);
    if (!topic)
        return;
    topic_empty(topic);
    topic->gone = true;
    for (int32_t p = 0; p < topic->partitions; p++) {
        lanes_doubt(cluster, topic, p);
        lanes_hear(cluster, topic, p, INT64_MIN);
    }
}

const char *bui_memory_topic_at(const bui_memory_cluster *cluster, size_t i, int32_t *partitions)
{
    for (const memory_topic *topic = cluster->topics; topic; topic = topic->next)
        if (!topic->gone && i-- == 0) {
            *partitions = topic->partitions;
            return topic->name;
        }
    return NULL;
}

int64_t memory_log_store(bui_memory_cluster *cluster, memory_topic *topic, int32_t partition, memory_record *record)
{
    memory_log *log = &topic->log[partition];
    if (!bui_array_room(&log->at, &log->cap, log->count + 1, sizeof *log->at, 16)) {
        free(record);
        return -1;
    }
    int64_t offset = memory_log_end(log);
    record->record.topic = topic->name;
    record->record.partition = partition;
    record->record.offset = offset;
    record->serial = ++cluster->serial;
    log->at[log->count++] = record;
    lanes_hear(cluster, topic, partition, offset);
    return offset;
}

int64_t bui_memory_append(bui_memory_cluster *cluster, const char *name, int32_t partition, const bui_row *row)
{
    memory_topic *topic = memory_topic_find(cluster, name);
    if (!memory_log_of(topic, partition))
        return -1;
    memory_record *record =
        memory_record_copy(&(bui_record){ .timestamp = row->timestamp ? row->timestamp : cluster->clock->wall_ms(cluster->clock),
                                          .key = row->key,
                                          .key_len = row->key_len,
                                          .value = row->value,
                                          .value_len = row->value_len,
                                          .headers = row->headers,
                                          .header_count = row->header_count });
    return record ? memory_log_store(cluster, topic, partition, record) : -1;
}

int64_t bui_memory_append_control(bui_memory_cluster *cluster, const char *name, int32_t partition, int count)
{
    memory_topic *topic = memory_topic_find(cluster, name);
    int64_t first = -1;
    for (int i = 0; memory_log_of(topic, partition) && i < count; i++) {
        memory_record *record = memory_record_copy(&(bui_record){ .timestamp = -1 });
        if (!record)
            return -1;
        record->control = true;
        int64_t offset = memory_log_store(cluster, topic, partition, record);
        first = i == 0 ? offset : first;
    }
    return first;
}

bool bui_memory_read(const bui_memory_cluster *cluster, const char *name, int32_t partition, int64_t offset, bui_record *out)
{
    const memory_log *log = memory_log_of(memory_topic_find(cluster, name), partition);
    if (!log || offset < log->low || offset >= memory_log_end(log) || log->at[offset - log->low]->control)
        return false;
    *out = log->at[offset - log->low]->record;
    return true;
}

uint64_t bui_memory_serial(const bui_memory_cluster *cluster, const char *name, int32_t partition, int64_t offset)
{
    const memory_log *log = memory_log_of(memory_topic_find(cluster, name), partition);
    return log && offset >= log->low && offset < memory_log_end(log) ? log->at[offset - log->low]->serial : 0;
}

int64_t bui_memory_start(const bui_memory_cluster *cluster, const char *name, int32_t partition)
{
    const memory_log *log = memory_log_of(memory_topic_find(cluster, name), partition);
    return log ? log->low : -1;
}

int64_t bui_memory_end(const bui_memory_cluster *cluster, const char *name, int32_t partition)
{
    const memory_log *log = memory_log_of(memory_topic_find(cluster, name), partition);
    return log ? memory_log_end(log) : -1;
}

void bui_memory_truncate_before(bui_memory_cluster *cluster, const char *name, int32_t partition, int64_t low)
{
    memory_topic *topic = memory_topic_find(cluster, name);
    memory_log *log = memory_log_of(topic, partition);
    if (!log || low <= log->low)
        return;
    int64_t end = memory_log_end(log);
    if (low > end)
        low = end;
    if (log->count)
        log_cut(log, 0, (size_t)(low - log->low));
    log->low = low;
    lanes_hear(cluster, topic, partition, INT64_MIN);
}

void bui_memory_truncate_after(bui_memory_cluster *cluster, const char *name, int32_t partition, int64_t high)
{
    memory_topic *topic = memory_topic_find(cluster, name);
    memory_log *log = memory_log_of(topic, partition);
    if (!log || high < log->low || high >= memory_log_end(log))
        return;
    log_cut(log, (size_t)(high - log->low), log->count);
    lanes_doubt(cluster, topic, partition);
    lanes_hear(cluster, topic, partition, INT64_MIN);
}

/* ---- rows on their way */

void memory_send_free(memory_send *send)
{
    if (send)
        free(send->record);
    free(send);
}

/* Stores a copy, so that the row can be stored again; its offset or -1. */
int64_t memory_send_store(bui_memory_cluster *cluster, const memory_send *send)
{
    memory_record *record = memory_record_copy(&send->record->record);
    return record ? memory_log_store(cluster, send->topic, send->partition, record) : -1;
}

size_t bui_memory_zombies(const bui_memory_cluster *cluster)
{
    size_t count = 0;
    for (const memory_send *send = cluster->zombies; send; send = send->next)
        count++;
    return count;
}

size_t bui_memory_zombie_next(bui_memory_cluster *cluster, bool lands)
{
    memory_send *first = cluster->zombies;
    if (!first)
        return 0;
    cluster->zombies = first->next;
    if (lands && memory_log_of(first->topic, first->partition))
        memory_send_store(cluster, first);
    size_t left = 0;
    for (memory_send **at = &cluster->zombies; *at;) {
        memory_send *send = *at;
        if (!lands && send->producer == first->producer && send->topic == first->topic && send->partition == first->partition) {
            *at = send->next;
            memory_send_free(send);
        } else {
            at = &send->next;
            left++;
        }
    }
    memory_send_free(first);
    return left;
}

/* ---- faults of the whole cluster */

void bui_memory_judge_by(bui_memory_cluster *cluster, bui_memory_judge judge, void *opaque)
{
    cluster->judge = judge;
    cluster->judge_opaque = opaque;
}

const bui_memory_flight *bui_memory_judging(const bui_memory_cluster *cluster)
{
    return &cluster->flight;
}

void bui_memory_meter_by(bui_memory_cluster *cluster, bui_memory_meter meter, void *opaque)
{
    cluster->meter = meter;
    cluster->meter_opaque = opaque;
}

void bui_memory_queue_most(bui_memory_cluster *cluster, size_t rows)
{
    cluster->queue_most = rows;
}

void bui_memory_no_signs(bui_memory_cluster *cluster, bool none)
{
    cluster->no_signs = none;
}

void bui_memory_commits_fail(bui_memory_cluster *cluster, bool fail)
{
    cluster->commits_fail = fail;
}

void bui_memory_looks_fail(bui_memory_cluster *cluster, bool fail)
{
    cluster->looks_fail = fail;
}

void bui_memory_zombies_keep(bui_memory_cluster *cluster, bool keep)
{
    cluster->keep_zombies = keep;
}
