/* SPDX-License-Identifier: MIT
 * bus_test_*, what is to be seen: topics, stores, figures. */
#include "testing/test_internal.h"

#include "base/error.h"
#include "codec/envelope.h"
#include "ops/headers.h"
#include "store/store.h"
#include <string.h>

static const bus_type *type_in(const bus_service *service, const char *name)
{
    for (const bus_route *route = service->routes; route && route->topic; route++)
        if (route->type && strcmp(bus_type_name(route->type), name) == 0)
            return route->type;
    for (const bus_emits *emits = service->emits; emits && emits->type; emits++)
        if (strcmp(bus_type_name(emits->type), name) == 0)
            return emits->type;
    return NULL;
}

/* The service's own, else that of a service beside it. */
static const bus_type *type_of(const bus_test *test, const char *name)
{
    const bus_type *found = type_in(test->service, name);
    for (const bus_test *other = test->world->first; !found && other; other = other->next)
        found = type_in(other->service, name);
    return found;
}

bool test_next_record(const bus_test *test, const char *topic, uint64_t *after, bui_record *out)
{
    const bui_memory_cluster *cluster = test->world->cluster;
    uint64_t least = UINT64_MAX;
    int32_t count = test_partitions(test, topic);
    for (int32_t p = 0; p < count; p++) {
        int64_t low = bui_memory_start(cluster, topic, p), high = bui_memory_end(cluster, topic, p);
        while (low < high) { /* the first of the partition past `after` */
            int64_t middle = low + (high - low) / 2;
            if (bui_memory_serial(cluster, topic, p, middle) > *after)
                high = middle;
            else
                low = middle + 1;
        }
        uint64_t serial = bui_memory_serial(cluster, topic, p, low);
        if (serial && serial < least && bui_memory_read(cluster, topic, p, low, out))
            least = serial;
    }
    if (least == UINT64_MAX)
        return false;
    *after = least;
    return true;
}

int32_t test_partitions(const bus_test *test, const char *topic)
{
    int32_t count = 0;
    const char *name;
    for (size_t i = 0; (name = bui_memory_topic_at(test->world->cluster, i, &count)) && strcmp(name, topic) != 0; i++)
        ;
    return name ? count : 0;
}

static const char *text_of(bui_arena *arena, bui_slice slice)
{
    const char *text = slice.at ? bui_arena_copy(arena, slice.at, slice.len) : "";
    return text ? text : "";
}

/* As the service that handles it sees it; on topics of copies, of the original. */
static bool scheduled(const bui_record *record, const bui_envelope *envelope)
{
    const bui_slice topic = { record->topic, strlen(record->topic) };
    return envelope->orig.topic.at ? envelope->orig.hop_is_own && envelope->orig.scheduled
                                   : bui_hop_names(&envelope->hop, topic, record->partition) && envelope->hop.scheduled;
}

const bus_event *test_event_of(bus_test *test, const bui_record *record)
{
    bus_event *event = bui_arena_zero(&test->arena, sizeof *event);
    bui_envelope envelope = { 0 };
    if (!event)
        return NULL;
    if (bui_envelope_read(record->headers, record->header_count, &envelope, NULL) != BUS_OK)
        memset(&envelope, 0, sizeof envelope); /* a test may well write headers that are none */
    *event = (bus_event){ .topic = record->topic,
                          .partition = record->partition,
                          .offset = record->offset,
                          .id = text_of(&test->arena, envelope.id),
                          .source = text_of(&test->arena, envelope.source),
                          .type_name = text_of(&test->arena, envelope.type),
                          .correlation = text_of(&test->arena, envelope.correlation),
                          .causation = text_of(&test->arena, envelope.causation),
                          .traceparent = text_of(&test->arena, envelope.traceparent),
                          .time_ms = record->timestamp,
                          .attempt = envelope.hop.attempt ? envelope.hop.attempt : 1,
                          .scheduled = scheduled(record, &envelope),
                          .key = { record->key, record->key_len },
                          .value = { record->value, record->value_len },
                          .headers = record->headers,
                          .header_count = record->header_count };
    const bus_type *type = type_of(test, event->type_name);
    if (type && record->value && (event->body = bus_test_body(test, event, type, NULL)))
        event->type = type;
    return event;
}

const void *bus_test_body(bus_test *test, const bus_event *event, const bus_type *type, bus_error *err)
{
    bui_framing framing;
    const void *body = NULL;
    if (!event->value.at) {
        bui_fail(err, BUS_INVALID, "a tombstone has no body");
        return NULL;
    }
    bui_framing_of(event->value.at, event->value.len, event->headers, event->header_count, &framing);
    if (bui_catalog_decode_framed(test->world->catalog, &framing, type, event->value.at, event->value.len, &test->arena, &body,
                                  err) != BUS_OK)
        return NULL;
    return body;
}

/* The at-th record of the type (NULL: any); `*count` those before it, all of them where it is not there. */
static bool seek(const bus_test *test, const char *topic, const bus_type *type, size_t at, bui_record *out, size_t *count)
{
    uint64_t after = 0;
    *count = 0;
    while (test_next_record(test, topic, &after, out)) {
        bui_envelope envelope;
        bool wanted = !type || (bui_envelope_read(out->headers, out->header_count, &envelope, NULL) == BUS_OK &&
                                bui_slice_is(envelope.type, bus_type_name(type)));
        if (wanted && (*count)++ == at)
            return true;
    }
    return false;
}

const bus_event *bus_test_find(bus_test *test, const char *topic, const bus_type *type, size_t at)
{
    bui_record record;
    size_t before;
    return seek(test, topic, type, at, &record, &before) ? test_event_of(test, &record) : NULL;
}

const bus_event *bus_test_event(bus_test *test, const char *topic, size_t at)
{
    return bus_test_find(test, topic, NULL, at);
}

size_t bus_test_count(bus_test *test, const char *topic, const bus_type *type)
{
    bui_record record;
    size_t count;
    seek(test, topic, type, SIZE_MAX, &record, &count);
    return count;
}

bus_status bus_test_query(bus_test *test, const char *sql, int64_t *out, bus_error *err)
{
    int64_t sum = 0;
    bus_status status = BUS_OK;
    for (int i = 0; status == BUS_OK && i < test->options.shards; i++) {
        sqlite3 *db = NULL;
        sqlite3_stmt *query = NULL;
        const bui_shard *shard = bui_host_shard(test->host, i);
        if (!shard)
            return bui_fail(err, BUS_CLOSED, "shard %d is not open: bus_test_run says why", i);
        status = bui_store_reader(bui_shard_store_path(shard), &db, err);
        if (status == BUS_OK && sqlite3_prepare_v2(db, sql, -1, &query, NULL) != SQLITE_OK)
            status = bui_fail(err, BUS_INVALID, "query: %s", sqlite3_errmsg(db));
        int code = status != BUS_OK ? SQLITE_DONE : sqlite3_step(query);
        if (code == SQLITE_ROW)
            sum += sqlite3_column_int64(query, 0);
        else if (code != SQLITE_DONE)
            status = bui_fail(err, BUS_STORE, "query: %s", sqlite3_errmsg(db));
        sqlite3_finalize(query);
        sqlite3_close(db);
    }
    if (status == BUS_OK)
        *out = sum;
    return status;
}

void bus_test_figures_of(bus_test *test, bus_test_figures *out)
{
    *out = (bus_test_figures){ .now_ms = test->world->clock.clock.wall_ms(&test->world->clock.clock) };
    for (int i = 0; i < test->options.shards; i++) {
        const bui_shard *shard = bui_host_shard(test->host, i);
        if (!shard)
            continue;
        const bui_shard_metrics *metrics = bui_shard_metrics_of(shard);
        out->handled += (int64_t)bui_counter_read(&metrics->handled);
        out->retried += (int64_t)bui_counter_read(&metrics->retried);
        out->dead_lettered += (int64_t)bui_counter_read(&metrics->dead_lettered);
        out->duplicates += (int64_t)bui_counter_read(&metrics->duplicates);
        out->unrouted += (int64_t)bui_counter_read(&metrics->unrouted);
        out->letters_open += bui_gauge_read(&metrics->letters_open);
        out->keys_waiting += bui_gauge_read(&metrics->parked_keys);
        out->keys_held += bui_gauge_read(&metrics->held_keys);
        out->events_parked += bui_gauge_read(&metrics->parked_events);
        out->outbox += bui_gauge_read(&metrics->outbox_rows);
    }
}
