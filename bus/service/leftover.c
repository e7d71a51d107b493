/* SPDX-License-Identifier: MIT
 * Leftover: what a rebuild does with the rows in its outbox, see leftover.h. */
#include "service/leftover.h"
#include "base/arena.h"
#include "base/error.h"
#include "base/map.h"
#include "codec/envelope.h"
#include "kafka/reader.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT_ONCE 1000 /* rows renumbered in one transaction */

/* ---- what Kafka has already */

typedef struct leftover {
    bus_map names;           /* of records, see name_of -> row id + 1 */
    bus_map places;          /* "topic\0partition" -> itself */
    bus_range *ranges;
    size_t range_count;
    int64_t *known;          /* ids of rows whose event is in Kafka */
    size_t known_count;
    bool nomem;
} leftover;

/* What tells a record from all others of its partition: the event's id; of a letter's record, which letter and what became of it,
 * for all of them bear the id of the event. 0: neither. */
static size_t name_of(const char *topic, int32_t partition, const bus_header *headers, size_t count, char out[800])
{
    const bus_header *found = NULL;
    for (size_t i = 0; i < count; i++) {
        bool letter = strcmp(headers[i].name, BUS_HEADER_LETTER) == 0;
        if (headers[i].value && (letter || strcmp(headers[i].name, BUS_HEADER_ID) == 0))
            found = &headers[i];
        if (letter)
            break;
    }
    if (!found || found->len > 400)
        return 0;
    return (size_t)snprintf(out, 800, "%s/%" PRId32 " %.*s", topic, partition, (int)found->len, (const char *)found->value);
}

static bool note_row(const bus_outbox_row *row, void *opaque)
{
    leftover *left = opaque;
    char place[300], name[800];
    size_t count = bus_headers_count(row->headers, row->headers_len);
    bus_header *headers = count < SIZE_MAX ? calloc(count + 1, sizeof *headers) : NULL;
    left->nomem = !headers;
    if (headers && bus_headers_unpack(row->headers, row->headers_len, headers, count) == count) {
        size_t len = name_of(row->destination->topic, row->destination->partition, headers, count, name);
        left->nomem = len && !bus_map_put(&left->names, name, len, (void *)(intptr_t)(row->id + 1));
    }
    free(headers);
    int n = snprintf(place, sizeof place, "%s/%" PRId32, row->destination->topic, row->destination->partition);
    if (!left->nomem && !bus_map_get(&left->places, place, (size_t)n)) {
        bus_range *more = realloc(left->ranges, (left->range_count + 1) * sizeof *more);
        if (more) {
            more[left->range_count++] = (bus_range){ .topic = row->destination->topic, .partition = row->destination->partition };
            left->ranges = more;
        }
        left->nomem = !more || !bus_map_put(&left->places, place, (size_t)n, left);
    }
    return !left->nomem;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static bus_status find_known(leftover *left, const bus_config *config, int timeout_ms, bus_error *err)
{
    bus_kafka_reader *reader;
    const bus_record *record;
    left->known = calloc(left->names.count + 1, sizeof *left->known);
    if (!left->known)
        return bus_fail_nomem(err);
    bus_status status = bus_kafka_reader_open(config, "rebuild", left->ranges, left->range_count, BUS_READ_ANY, timeout_ms, &reader, err);
    if (status != BUS_OK)
        return status;
    while ((status = bus_kafka_reader_next(reader, timeout_ms, &record, err)) == BUS_OK) {
        char name[800];
        size_t len = name_of(record->topic, record->partition, record->headers, record->header_count, name);
        void *row = len ? bus_map_remove(&left->names, name, len) : NULL;
        if (row)
            left->known[left->known_count++] = (int64_t)(intptr_t)row - 1;
    }
    bus_kafka_reader_close(reader);
    qsort(left->known, left->known_count, sizeof *left->known, by_value);
    return status == BUS_CLOSED ? BUS_OK : status;
}

bus_status bus_leftover_clear(bus_store *store, const bus_config *config, int timeout_ms, int64_t *known, bus_error *err)
{
    leftover left = { 0 };
    bus_map_init(&left.names);
    bus_map_init(&left.places);
    bus_status status = bus_outbox_scan(store, 0, NULL, SIZE_MAX, note_row, &left, err);
    if (status == BUS_OK && left.nomem)
        status = bus_fail_nomem(err);
    if (status == BUS_OK && left.range_count > 0)
        status = find_known(&left, config, timeout_ms, err);
    if (status == BUS_OK && left.known_count > 0) {
        status = bus_store_begin(store, err);
        if (status == BUS_OK)
            status = bus_outbox_delete(store, left.known, left.known_count, err);
        if (status == BUS_OK)
            status = bus_store_commit(store, err);
        else
            bus_store_rollback(store);
    }
    *known = (int64_t)left.known_count;
    bus_map_free(&left.names, NULL);
    bus_map_free(&left.places, NULL);
    free(left.ranges);
    free(left.known);
    return status;
}

/* ---- new numbers */

typedef struct batch {
    bus_arena arena;
    bus_outbox_row row[AT_ONCE];
    int64_t id[AT_ONCE];
    size_t count;
    int64_t bound;           /* ids from here on are new rows */
    bool nomem;
} batch;

static bool copy(bus_arena *arena, const void **bytes, size_t len)
{
    *bytes = *bytes ? bus_arena_copy(arena, *bytes, len) : NULL;
    return *bytes != NULL;
}

static bool take_row(const bus_outbox_row *row, void *opaque)
{
    batch *all = opaque;
    bus_outbox_row *mine = &all->row[all->count];
    if (row->id >= all->bound)
        return false;
    *mine = *row;
    const void *id = row->event_id;
    all->nomem = (row->event_id && !copy(&all->arena, &id, strlen(row->event_id))) || (row->key && !copy(&all->arena, &mine->key, row->key_len)) ||
                 (row->value && !copy(&all->arena, &mine->value, row->value_len)) || !copy(&all->arena, &mine->headers, row->headers_len);
    mine->event_id = id;
    all->id[all->count++] = row->id;
    return !all->nomem;
}

/* The same record under the store's present incarnation and the next number of its destination. */
static bus_status add_anew(bus_store *store, bus_outbox_row *row, bus_error *err)
{
    char text[640];
    bus_envelope envelope;
    bus_buf packed;
    bus_status status = BUS_OK;
    size_t count = bus_headers_count(row->headers, row->headers_len), kept = 0;
    bus_header *headers = count < SIZE_MAX ? calloc(count + 1, sizeof *headers) : NULL;
    bus_destination *to = bus_destination_of(store, row->destination->topic, row->destination->partition, err);
    bus_buf_init(&packed, 0);
    if (!headers || !to) {
        status = headers ? err->status : bus_fail_nomem(err);
    } else if (bus_headers_unpack(row->headers, row->headers_len, headers, count) != count) {
        status = bus_fail(err, BUS_CORRUPT, "the headers of outbox row %" PRId64 " cannot be read", row->id);
    } else if ((status = bus_envelope_read(headers, count, &envelope, err)) == BUS_OK) {
        for (size_t i = 0; i < count; i++)
            if (strcmp(headers[i].name, BUS_HEADER_HOP) != 0)
                headers[kept++] = headers[i];
        bus_hop hop = envelope.hop;
        hop.source = (bus_slice){ to->source, strlen(to->source) };
        hop.seq = to->next_seq;
        headers[kept++] = (bus_header){ BUS_HEADER_HOP, text, bus_hop_write(&hop, text, sizeof text) };
        bus_headers_pack(headers, kept, &packed);
        row->destination = to;
        row->seq = 0;
        row->headers = packed.data;
        row->headers_len = packed.len;
        status = bus_buf_ok(&packed) ? bus_outbox_add(store, row, err) : bus_fail_nomem(err);
    }
    bus_buf_free(&packed);
    free(headers);
    return status;
}

static bus_status renumber(bus_store *store, batch *all, bus_error *err)
{
    bus_status status = bus_store_begin(store, err);
    if (status != BUS_OK)
        return status;
    for (size_t i = 0; i < all->count && status == BUS_OK; i++)
        status = add_anew(store, &all->row[i], err);
    if (status == BUS_OK)
        status = bus_outbox_delete(store, all->id, all->count, err);
    if (status == BUS_OK)
        return bus_store_commit(store, err);
    bus_store_rollback(store);
    return status;
}

bus_status bus_leftover_renumber(bus_store *store, bus_error *err)
{
    bus_error local;
    err = err ? err : &local;
    batch *all = calloc(1, sizeof *all);
    if (!all)
        return bus_fail_nomem(err);
    bus_arena_init(&all->arena, 0);
    all->bound = bus_outbox_next_id(store);
    bus_status status;
    do {
        all->count = 0;
        bus_arena_reset(&all->arena);
        status = bus_outbox_scan(store, 0, NULL, AT_ONCE, take_row, all, err);
        if (status == BUS_OK && all->nomem)
            status = bus_fail_nomem(err);
        if (status == BUS_OK && all->count > 0)
            status = renumber(store, all, err);
    } while (status == BUS_OK && all->count > 0);
    bus_arena_free(&all->arena);
    free(all);
    return status;
}
