/* SPDX-License-Identifier: MIT
 * Fleet: heartbeats folded by process. */
#include "ops/fleet.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/error.h"
#include "kafka/reader.h"
#include "shard/topics.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLEET_MOST 10000

void bus_fleet_free(bus_fleet *fleet)
{
    for (size_t i = 0; i < fleet->count; i++)
        free(fleet->list[i].declarations);
    free(fleet->list);
    *fleet = (bus_fleet){ 0 };
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
    return text && bus_time_parse(text, 0, &ms) ? ms : 0;
}

static bool read_beat(const bus_record *record, bus_process *out)
{
    json_t *beat = json_loadb(record->value, record->value_len, 0, NULL), *shard;
    size_t i;
    if (!json_is_object(beat) || !json_is_string(json_object_get(beat, "service"))) {
        json_decref(beat);
        return false;
    }
    text_of(beat, "service", out->service, sizeof out->service);
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
    json_array_foreach(json_object_get(beat, "shards"), i, shard) {
        size_t used = strlen(out->shards);
        out->held++;
        snprintf(out->shards + used, sizeof out->shards - used, "%s%" JSON_INTEGER_FORMAT, used ? ", " : "", json_integer_value(shard));
    }
    out->declarations = strndup(record->value, record->value_len);
    json_decref(beat);
    return true;
}

/* The key is "<service>/<instance>"; a tombstone has nothing else. */
static bool read_key(const bus_record *record, bus_process *out)
{
    const char *key = record->key, *slash = key ? memchr(key, '/', record->key_len) : NULL;
    if (!slash)
        return false;
    snprintf(out->service, sizeof out->service, "%.*s", (int)(slash - key), key);
    snprintf(out->instance, sizeof out->instance, "%.*s", (int)(record->key_len - (size_t)(slash - key) - 1), slash + 1);
    out->removed = true;
    return true;
}

bus_status bus_fleet_add(bus_fleet *fleet, const bus_record *record, bus_error *err)
{
    bus_process process = { 0 };
    if (!(record->value ? read_beat(record, &process) : read_key(record, &process))) {
        fleet->unreadable++;
        return BUS_OK;
    }
    for (size_t i = 0; i < fleet->count; i++)
        if (!strcmp(fleet->list[i].service, process.service) && !strcmp(fleet->list[i].instance, process.instance)) {
            free(fleet->list[i].declarations);
            fleet->list[i] = process;
            return BUS_OK;
        }
    if (fleet->count == FLEET_MOST) { /* writers of heartbeats must not fill the memory of readers */
        free(process.declarations);
        fleet->unreadable++;
        return BUS_OK;
    }
    if (!bus_array_room(&fleet->list, &fleet->cap, fleet->count + 1, sizeof *fleet->list, 16)) {
        free(process.declarations);
        return bus_fail_nomem(err);
    }
    fleet->list[fleet->count++] = process;
    return BUS_OK;
}

static int by_name(const void *a, const void *b)
{
    const bus_process *x = a, *y = b;
    int order = strcmp(x->service, y->service);
    return order ? order : strcmp(x->instance, y->instance);
}

void bus_fleet_settle(bus_fleet *fleet)
{
    size_t kept = 0;
    for (size_t i = 0; i < fleet->count; i++) {
        if (fleet->list[i].removed)
            free(fleet->list[i].declarations);
        else
            fleet->list[kept++] = fleet->list[i];
    }
    fleet->count = kept;
    if (kept)
        qsort(fleet->list, kept, sizeof *fleet->list, by_name);
}

bus_status bus_fleet_read(const bus_config *config, int timeout_ms, const bus_watch *watch, bus_fleet *out, bus_error *err)
{
    const bus_range range = { .topic = BUS_SERVICES_TOPIC, .partition = -1, .from = { BUS_EDGE_START, 0 }, .to = { BUS_EDGE_END, 0 } };
    bus_fleet fleet = { 0 };
    bus_kafka_reader *reader = NULL;
    const bus_record *record;
    bus_status status = bus_kafka_reader_open(config, "bus-services", &range, 1, BUS_READ_ANY, timeout_ms, &reader, err);

    if (status == BUS_MISSING)
        status = BUS_CLOSED;
    while (status == BUS_OK) {
        status = bus_kafka_reader_next(reader, 500, &record, err);
        if (status == BUS_OK)
            status = bus_fleet_add(&fleet, record, err);
        else if (status == BUS_TIMEOUT)
            status = BUS_OK;
        if (status == BUS_OK && bus_watch_stop(watch))
            status = bus_fail(err, BUS_CANCELLED, "interrupted while reading the heartbeats");
    }
    bus_kafka_reader_close(reader);
    if (status == BUS_CLOSED) {
        bus_fleet_settle(&fleet);
        *out = fleet;
        return BUS_OK;
    }
    bus_fleet_free(&fleet);
    return status;
}
