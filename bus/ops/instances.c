/* SPDX-License-Identifier: MIT
 * Instances: heartbeats folded by process. */
#include "ops/instances.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/error.h"
#include "kafka/topic_reader.h"
#include "shard/topics.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INSTANCES_MOST 10000

void bui_instances_free(bui_instances *instances)
{
    for (size_t i = 0; i < instances->count; i++)
        free(instances->list[i].declarations);
    free(instances->list);
    *instances = (bui_instances){ 0 };
}

static void text_of(const json_t *beat, const char *name, char *out, size_t cap)
{
    const char *text = json_string_value(json_object_get(beat, name));
    snprintf(out, cap, "%s", text ? text : "");
}

static int64_t time_of(const json_t *beat, const char *name)
{
    const char *text = json_string_value(json_object_get(beat, name));
    int64_t ms;
    return text && bui_time_parse(text, 0, &ms) ? ms : 0;
}

static bool read_beat(const bui_record *record, bui_process *out)
{
    json_t *beat = json_loadb(record->value, record->value_len, 0, NULL), *shard;
    size_t i;
    if (!json_is_object(beat) || !json_is_string(json_object_get(beat, "service"))) {
        json_decref(beat);
        return false;
    }
    text_of(beat, "service", out->service, sizeof out->service);
    text_of(beat, "service_version", out->service_version, sizeof out->service_version);
    text_of(beat, "instance", out->instance, sizeof out->instance);
    text_of(beat, "host", out->host, sizeof out->host);
    text_of(beat, "state", out->state, sizeof out->state);
    text_of(beat, "version", out->version, sizeof out->version);
    text_of(beat, "why", out->why, sizeof out->why);
    out->pid = json_integer_value(json_object_get(beat, "pid"));
    out->shard_count = json_integer_value(json_object_get(beat, "shard_count"));
    out->started_ms = time_of(beat, "started");
    out->at_ms = time_of(beat, "at");
    if (!out->at_ms)
        out->at_ms = record->timestamp;
    json_array_foreach(json_object_get(beat, "shards"), i, shard)
    {
        size_t used = strlen(out->shards);
        out->held++;
        snprintf(out->shards + used, sizeof out->shards - used, "%s%" JSON_INTEGER_FORMAT, used ? ", " : "",
                 json_integer_value(shard));
    }
    out->declarations = strndup(record->value, record->value_len);
    json_decref(beat);
    return true;
}

/* The key is "<service>/<instance>"; a tombstone has nothing else. */
static bool read_key(const bui_record *record, bui_process *out)
{
    const char *key = record->key, *slash = key ? memchr(key, '/', record->key_len) : NULL;
    if (!slash)
        return false;
    snprintf(out->service, sizeof out->service, "%.*s", (int)(slash - key), key);
    snprintf(out->instance, sizeof out->instance, "%.*s", (int)(record->key_len - (size_t)(slash - key) - 1), slash + 1);
    out->removed = true;
    return true;
}

bus_status bui_instances_add(bui_instances *instances, const bui_record *record, bus_error *err)
{
    bui_process process = { 0 };
    instances->records++;
    if (!(record->value ? read_beat(record, &process) : read_key(record, &process))) {
        instances->unreadable++;
        return BUS_OK;
    }
    for (size_t i = 0; i < instances->count; i++)
        if (!strcmp(instances->list[i].service, process.service) && !strcmp(instances->list[i].instance, process.instance)) {
            free(instances->list[i].declarations);
            instances->list[i] = process;
            return BUS_OK;
        }
    if (instances->count == INSTANCES_MOST) { /* writers of heartbeats must not fill the memory of readers */
        free(process.declarations);
        instances->unreadable++;
        return BUS_OK;
    }
    if (!bui_array_room(&instances->list, &instances->cap, instances->count + 1, sizeof *instances->list, 16)) {
        free(process.declarations);
        return bui_fail_nomem(err);
    }
    instances->list[instances->count++] = process;
    return BUS_OK;
}

static int by_name(const void *a, const void *b)
{
    const bui_process *x = a, *y = b;
    int order = strcmp(x->service, y->service);
    return order ? order : strcmp(x->instance, y->instance);
}

void bui_instances_settle(bui_instances *instances)
{
    size_t kept = 0;
    for (size_t i = 0; i < instances->count; i++) {
        if (instances->list[i].removed)
            free(instances->list[i].declarations);
        else
            instances->list[kept++] = instances->list[i];
    }
    instances->count = kept;
    if (kept)
        qsort(instances->list, kept, sizeof *instances->list, by_name);
}

bus_status bui_instances_read(const bus_config *config, int timeout_ms, const bui_watch *watch, bui_instances *out,
                              bus_error *err)
{
    const bui_range range = {
        .topic = BUI_SERVICES_TOPIC, .partition = -1, .from = { BUI_EDGE_START, 0 }, .to = { BUI_EDGE_END, 0 }
    };
    bui_instances instances = { 0 };
    bui_kafka_reader *reader = NULL;
    const bui_record *record;
    bus_status status = bui_kafka_reader_open(config, "bus-services", &range, 1, BUI_READ_ANY, timeout_ms, &reader, err);
    if (status == BUS_MISSING)
        status = BUS_CLOSED;
    while (status == BUS_OK) {
        status = bui_kafka_reader_next(reader, 500, &record, err);
        if (status == BUS_OK)
            status = bui_instances_add(&instances, record, err);
        else if (status == BUS_TIMEOUT)
            status = BUS_OK;
        if (status == BUS_OK && bui_watch_stop(watch))
            status = bui_fail(err, BUS_CANCELLED, "interrupted while reading the heartbeats");
    }
    bui_kafka_reader_close(reader);
    if (status == BUS_CLOSED) {
        bui_instances_settle(&instances);
        *out = instances;
        return BUS_OK;
    }
    bui_instances_free(&instances);
    return status;
}
