/* SPDX-License-Identifier: MIT
 * bus_test_*: one process of a service on a cluster of its own. */
#include <bus/test.h>

#include "base/arena.h"
#include "base/config.h"
#include "base/error.h"
#include "base/id.h"
#include "base/virtual_clock.h"
#include "codec/catalog.h"
#include "codec/cloud.h"
#include "codec/envelope.h"
#include "shard/topics.h"
#include "store/store.h"
#include "testing/test_host.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TURNS_MOST 1000000 /* of steps without time passing: then something goes in circles */
#define START_MS 1767225600000 /* 2026-01-01T00:00:00Z */

struct bus_test {
    const bus_service *service;
    bus_config *own_config;
    bus_virtual_clock clock;
    bus_memory_cluster *cluster;
    bus_catalog *catalog;
    bus_host *host;
    bus_host_options options;
    char tiers[256];
    char data[512];
    bool own_data;
    int sent;
    bus_arena arena;           /* of events handed out */
};

/* ---- open and close */

static bus_status add_types(bus_test *test, bus_error *err)
{
    bus_status status = BUS_OK;
    for (const bus_route *route = test->service->routes; !status && route && route->topic; route++)
        if (route->type)
            status = bus_catalog_add(test->catalog, bus_type_schema(route->type), strlen(bus_type_schema(route->type)), err);
    for (const bus_emits *emits = test->service->emits; !status && emits && emits->type; emits++)
        status = bus_catalog_add(test->catalog, bus_type_schema(emits->type), strlen(bus_type_schema(emits->type)), err);
    return status;
}

static bus_status make_topics(bus_test *test, bus_error *err)
{
    bus_router *router = NULL;
    bus_topic_need *needs = NULL;
    size_t count = 0;
    bus_status status = bus_router_new(test->service, test->tiers, test->options.attempts, &router, err);
    if (!status)
        status = bus_topics_of(test->service->name, router, test->options.shards, &needs, &count, err);
    for (size_t i = 0; !status && i < count; i++) {
        status = bus_memory_topic(test->cluster, needs[i].name, needs[i].partitions);
        if (status == BUS_EXISTS)
            status = BUS_OK;
        else if (status)
            bus_fail(err, status, "topic %s cannot be made", needs[i].name);
    }
    free(needs);
    bus_router_free(router);
    return status;
}

static bus_status make_directory(bus_test *test, const char *given, bus_error *err)
{
    if (given) {
        if ((size_t)snprintf(test->data, sizeof test->data, "%s", given) >= sizeof test->data)
            return bus_fail(err, BUS_INVALID, "the path of the data directory is too long");
        return BUS_OK;
    }
    const char *temporary = getenv("TMPDIR");
    if ((size_t)snprintf(test->data, sizeof test->data, "%s/bus-test-XXXXXX", temporary && *temporary ? temporary : "/tmp") >=
        sizeof test->data)
        return bus_fail(err, BUS_INVALID, "TMPDIR is too long");
    if (!mkdtemp(test->data))
        return bus_fail(err, BUS_IO, "no temporary directory can be made at %s", test->data);
    test->own_data = true;
    return BUS_OK;
}

/* The directory and what is in it, two levels: <data>/<service>/<files>. */
static void remove_directory(const char *path)
{
    DIR *dir = opendir(path);
    for (const struct dirent *entry; dir && (entry = readdir(dir));) {
        char inner[1024];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if ((size_t)snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name) < sizeof inner && unlink(inner) != 0)
            remove_directory(inner);
    }
    if (dir)
        closedir(dir);
    rmdir(path);
}

/* Starts the process and gives it every shard. */
static bus_status start(bus_test *test, bus_error *err)
{
    bus_status status = bus_host_open(&test->options, &test->host, err);
    int32_t *shards = status ? NULL : calloc((size_t)test->options.shards, sizeof *shards);
    if (!status && !shards)
        status = bus_fail_nomem(err);
    for (int i = 0; !status && i < test->options.shards; i++)
        shards[i] = i;
    if (!status) {
        bus_memory_assign(bus_host_transport(test->host), shards, (size_t)test->options.shards);
        status = bus_test_run(test, err);
    }
    /* Without memory the group's word may have got lost. */
    for (int i = 0; !status && i < test->options.shards; i++)
        if (!bus_host_shard(test->host, i) || !bus_shard_attached(bus_host_shard(test->host, i)))
            status = bus_fail_nomem(err);
    free(shards);
    return status;
}

bus_status bus_test_open(const bus_service *service, const bus_test_options *given, bus_test **out, bus_error *err)
{
    static const bus_test_options defaults;
    const bus_test_options *options = given ? given : &defaults;
    if (options->shards < 0 || options->shards > 1000)
        return bus_fail(err, BUS_INVALID, "shards is %d: give 1 to 1000", options->shards);
    bus_test *test = calloc(1, sizeof *test);
    if (!test)
        return bus_fail_nomem(err);
    bus_status status = BUS_NOMEM;
    bus_arena_init(&test->arena, 0);
    bus_virtual_clock_init(&test->clock, options->start_ms ? options->start_ms : START_MS);
    test->service = service;
    test->own_config = options->config ? bus_config_copy(options->config) : bus_config_new();
    test->cluster = bus_memory_cluster_new(&test->clock.clock);
    test->catalog = bus_catalog_new();
    if (!test->own_config || !test->cluster || !test->catalog) {
        bus_fail_nomem(err);
        goto out;
    }
    snprintf(test->tiers, sizeof test->tiers, "%s", bus_config_text(test->own_config, "retry.tiers"));
    test->options = (bus_host_options){
        .service = service, .data = test->data, .shards = options->shards ? options->shards : 1, .retry_tiers = test->tiers,
        .attempts = (int)bus_config_int(test->own_config, "retry.attempts"), .cluster = test->cluster,
        .clock = &test->clock.clock, .catalog = test->catalog };
    bus_limits_of(test->own_config, &test->options.limits);
    test->options.limits.linger_us = 0; /* time passes only when it is told to */
    status = make_directory(test, options->data, err);
    if (!status)
        status = make_topics(test, err);
    if (!status)
        status = add_types(test, err);
    if (!status)
        status = start(test, err);
out:
    if (status)
        bus_test_close(test);
    else
        *out = test;
    return status;
}

void bus_test_close(bus_test *test)
{
    if (!test)
        return;
    bus_host_close(test->host);
    bus_memory_cluster_free(test->cluster);
    bus_catalog_free(test->catalog);
    bus_config_free(test->own_config);
    bus_arena_free(&test->arena);
    if (test->own_data)
        remove_directory(test->data);
    free(test);
}

bus_status bus_test_restart(bus_test *test, bus_error *err)
{
    bus_host_close(test->host);
    test->host = NULL;
    return start(test, err);
}

/* ---- in */

bus_status bus_test_send_raw(bus_test *test, const bus_raw *record, bus_error *err)
{
    int32_t count = 0, partition = record->partition;
    const char *topic = NULL;
    for (size_t i = 0; (topic = bus_memory_topic_at(test->cluster, i, &count)) && strcmp(topic, record->topic) != 0; i++)
        ;
    if (!topic)
        return bus_fail(err, BUS_MISSING, "topic %s is none that service %s reads or writes", record->topic, test->service->name);
    char serial[32];
    int digits = snprintf(serial, sizeof serial, "%d", test->sent++);
    if (!record->keep_partition)
        partition = record->key ? bus_partition_of(record->key, record->key_len, count)
                                : bus_partition_of(serial, (size_t)digits, count);
    if (partition < 0 || partition >= count)
        return bus_fail(err, BUS_INVALID, "topic %s has no partition %d", topic, (int)partition);
    const bus_row row = { .key = record->key, .key_len = record->key_len, .value = record->value, .value_len = record->value_len,
                          .headers = record->headers, .header_count = record->header_count, .timestamp = record->timestamp };
    return bus_memory_append(test->cluster, topic, partition, &row) < 0 ? bus_fail_nomem(err) : BUS_OK;
}

bus_status bus_test_send(bus_test *test, const char *topic, const bus_type *type, const char *key, const void *body, bus_error *err)
{
    void *bytes = NULL;
    size_t len = 0;
    /* Whoever writes by a schema has announced it: so events of other versions can be sent. */
    bus_status status = bus_catalog_add(test->catalog, bus_type_schema(type), strlen(bus_type_schema(type)), err);
    if (!status)
        status = bus_encode(type, body, &bytes, &len, err);
    if (status)
        return status;
    char id[BUS_ID_TEXT];
    const bus_part parts[] = { { "bus_test", 8 }, { &test->sent, sizeof test->sent } };
    bus_id_of(parts, 2, id); /* not random, so that a test's runs are equal */
    bus_header headers[BUS_CLOUD_HEADERS];
    size_t count = bus_cloud_write(&(bus_cloud){ .id = id, .type = bus_type_name(type), .source = "test" }, headers);
    status = bus_test_send_raw(test, &(bus_raw){ .topic = topic, .key = key, .key_len = key ? strlen(key) : 0, .value = bytes,
                                                 .value_len = len, .headers = headers, .header_count = count }, err);
    free(bytes);
    return status;
}

typedef struct test_call {
    bus_call call;
    bool done, abandoned;      /* abandoned: nobody waits any more, free it */
    bus_status status;
    bus_error err;
} test_call;

static void on_call_done(bus_call *call, bus_status status, const bus_error *err)
{
    test_call *mine = (test_call *)call;
    if (mine->abandoned) {
        free(mine);
        return;
    }
    mine->done = true;
    mine->status = status;
    if (err)
        mine->err = *err;
}

bus_status bus_test_transact(bus_test *test, const void *key, size_t key_len, bus_transaction fn, void *opaque, bus_error *err)
{
    if (bus_shard_inside())
        return bus_fail(err, BUS_INVALID, "bus_test_transact inside a handler: use the transaction it was given");
    bus_shard *shard = bus_host_shard(test->host, key ? bus_partition_of(key, key_len, test->options.shards) : 0);
    if (!shard)
        return bus_fail(err, BUS_CLOSED, "the shard is not open: bus_test_run tells why");
    test_call *call = calloc(1, sizeof *call);
    if (!call)
        return bus_fail_nomem(err);
    call->call = (bus_call){ .fn = fn, .opaque = opaque, .done = on_call_done };
    bus_status status = bus_shard_call(shard, &call->call, err);
    if (status) {
        free(call);
        return status;
    }
    status = bus_test_run(test, err);
    if (!call->done) { /* the shard has halted, or cannot write now: it answers when it can, or at its end */
        call->abandoned = true;
        return status ? status : bus_fail(err, BUS_TIMEOUT, "the transaction waits: the store cannot be written now");
    }
    status = call->status;
    if (status && err)
        *err = call->err;
    free(call);
    return status;
}

/* ---- time */

static int64_t now_us(const bus_test *test)
{
    return test->clock.mono_us;
}

bus_status bus_test_run(bus_test *test, bus_error *err)
{
    int turn = 0;
    do {
        bus_host_group(test->host);
        for (int i = 0; i < test->options.shards; i++)
            bus_host_step(test->host, i);
    } while (bus_host_due(test->host) <= now_us(test) && ++turn < TURNS_MOST);
    if (turn == TURNS_MOST)
        return bus_fail(err, BUS_BUG, "service %s has not come to rest after %d turns: do its own events go in circles?",
                        test->service->name, TURNS_MOST);
    for (int i = 0; i < test->options.shards; i++) {
        bus_status status = bus_host_failure(test->host, i, err);
        if (status)
            return status;
    }
    return BUS_OK;
}

bus_status bus_test_advance(bus_test *test, int64_t ms, bus_error *err)
{
    if (ms < 0)
        return bus_fail(err, BUS_INVALID, "time does not go back: %lld ms", (long long)ms);
    int64_t target = now_us(test) + ms * 1000;
    bus_status status = bus_test_run(test, err);
    while (!status && now_us(test) < target) {
        int64_t due = bus_host_due(test->host);
        bus_virtual_clock_advance(&test->clock, (due < target ? due : target) - now_us(test));
        status = bus_test_run(test, err);
    }
    return status;
}

/* ---- out */

static const bus_type *type_of(const bus_test *test, const char *name)
{
    for (const bus_route *route = test->service->routes; route && route->topic; route++)
        if (route->type && strcmp(bus_type_name(route->type), name) == 0)
            return route->type;
    for (const bus_emits *emits = test->service->emits; emits && emits->type; emits++)
        if (strcmp(bus_type_name(emits->type), name) == 0)
            return emits->type;
    return NULL;
}

/* Finds the at-th record by serial: merges the partitions. */
static bool find_record(const bus_test *test, const char *topic, size_t at, bus_record *out)
{
    int32_t count = 0;
    const char *name = NULL;
    for (size_t i = 0; (name = bus_memory_topic_at(test->cluster, i, &count)) && strcmp(name, topic) != 0; i++)
        ;
    uint64_t after = 0;
    for (size_t i = 0; name && i <= at; i++) {
        uint64_t least = UINT64_MAX;
        for (int32_t p = 0; p < count; p++) {
            int64_t low = bus_memory_start(test->cluster, topic, p), high = bus_memory_end(test->cluster, topic, p);
            while (low < high) { /* the first of the partition past `after` */
                int64_t middle = low + (high - low) / 2;
                if (bus_memory_serial(test->cluster, topic, p, middle) > after)
                    high = middle;
                else
                    low = middle + 1;
            }
            uint64_t serial = bus_memory_serial(test->cluster, topic, p, low);
            if (serial && serial < least && bus_memory_read(test->cluster, topic, p, low, out))
                least = serial;
        }
        if (least == UINT64_MAX)
            return false;
        after = least;
    }
    return name != NULL;
}

static const char *text_of(bus_arena *arena, bus_slice slice)
{
    const char *text = slice.at ? bus_arena_copy(arena, slice.at, slice.len) : "";
    return text ? text : "";
}

const bus_event *bus_test_event(bus_test *test, const char *topic, size_t at)
{
    bus_record record;
    bus_event *event = find_record(test, topic, at, &record) ? bus_arena_zero(&test->arena, sizeof *event) : NULL;
    if (!event)
        return NULL;
    bus_envelope envelope = { 0 };
    if (bus_envelope_read(record.headers, record.header_count, &envelope, NULL))
        memset(&envelope, 0, sizeof envelope); /* a test may well write headers that are none */
    *event = (bus_event){
        .topic = record.topic, .partition = record.partition, .offset = record.offset, .id = text_of(&test->arena, envelope.id),
        .source = text_of(&test->arena, envelope.source), .type_name = text_of(&test->arena, envelope.type),
        .correlation = text_of(&test->arena, envelope.correlation), .causation = text_of(&test->arena, envelope.causation),
        .traceparent = text_of(&test->arena, envelope.traceparent), .time = record.timestamp,
        .attempt = envelope.hop.attempt ? envelope.hop.attempt : 1, .key = record.key, .key_len = record.key_len,
        .value = record.value, .value_len = record.value_len, .headers = record.headers, .header_count = record.header_count };
    const bus_type *type = type_of(test, event->type_name);
    bus_framing framing;
    bus_framing_of(record.value, record.value_len, record.headers, record.header_count, &framing);
    if (type && record.value &&
        !bus_catalog_decode_framed(test->catalog, &framing, type, record.value, record.value_len, &test->arena, &event->body, NULL))
        event->type = type;
    return event;
}

bus_status bus_test_query(bus_test *test, const char *sql, int64_t *out, bus_error *err)
{
    int64_t sum = 0;
    bus_status status = BUS_OK;
    for (int i = 0; !status && i < test->options.shards; i++) {
        sqlite3 *db = NULL;
        sqlite3_stmt *query = NULL;
        const bus_shard *shard = bus_host_shard(test->host, i);
        if (!shard)
            return bus_fail(err, BUS_CLOSED, "shard %d is not open: bus_test_run tells why", i);
        status = bus_store_reader(bus_shard_store_path(shard), &db, err);
        if (!status && sqlite3_prepare_v2(db, sql, -1, &query, NULL) != SQLITE_OK)
            status = bus_fail(err, BUS_INVALID, "query: %s", sqlite3_errmsg(db));
        int code = status ? SQLITE_DONE : sqlite3_step(query);
        if (code == SQLITE_ROW)
            sum += sqlite3_column_int64(query, 0);
        else if (code != SQLITE_DONE)
            status = bus_fail(err, BUS_STORE, "query: %s", sqlite3_errmsg(db));
        sqlite3_finalize(query);
        sqlite3_close(db);
    }
    if (!status)
        *out = sum;
    return status;
}

void bus_test_figures_of(bus_test *test, bus_test_figures *out)
{
    *out = (bus_test_figures){ .now_ms = test->clock.clock.wall_ms(&test->clock.clock) };
    for (int i = 0; i < test->options.shards; i++) {
        const bus_shard *shard = bus_host_shard(test->host, i);
        if (!shard)
            continue;
        const bus_shard_metrics *metrics = bus_shard_metrics_of(shard);
        out->handled += (int64_t)bus_counter_read(&metrics->handled);
        out->retried += (int64_t)bus_counter_read(&metrics->retried);
        out->dead_lettered += (int64_t)bus_counter_read(&metrics->dead_lettered);
        out->duplicates += (int64_t)bus_counter_read(&metrics->duplicates);
        out->unrouted += (int64_t)bus_counter_read(&metrics->unrouted);
        out->letters_open += bus_gauge_read(&metrics->letters_open);
        out->keys_waiting += bus_gauge_read(&metrics->parked_keys);
        out->keys_held += bus_gauge_read(&metrics->held_keys);
        out->events_parked += bus_gauge_read(&metrics->parked_events);
        out->outbox += bus_gauge_read(&metrics->outbox_rows);
    }
}
